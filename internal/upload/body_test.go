package upload_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
)

// uploadWatched is a body that counts the reads of its bytes.
type uploadWatched struct {
	*bytes.Reader
	reads int
}

func (w *uploadWatched) ReadAt(p []byte, off int64) (int, error) {
	w.reads++
	return w.Reader.ReadAt(p, off)
}

// uploadThrough is a client with that transport.
func uploadThrough(t *testing.T, transport apiRoundTrip) *ittybit.Client {
	t.Helper()
	client, err := ittybit.NewClient(clientKey, uploadQuick, ittybit.WithHTTPClient(&http.Client{Transport: transport}))
	require.NoError(t, err)
	return client
}

func TestUpload_readsNothingOfItsBodyOnceTheCallHasEnded(t *testing.T) {
	for name, threshold := range map[string]int64{"whole": 0, "in chunks": 1} {
		t.Run(name, func(t *testing.T) {
			var kept io.ReadCloser // net/http may still be about to read it
			client := uploadThrough(t, func(req *http.Request) (*http.Response, error) {
				kept = req.Body
				return apiResponse(403, `{"message":"wrong signature"}`)
			})
			body := &uploadWatched{Reader: bytes.NewReader(uploadBytes(1, 3*uploadKiB))}
			_, err := client.Files.Upload(t.Context(), ittybit.UploadParams{
				Domain: "you.ittybit.net", Filename: "x.mp4", Body: body, Threshold: threshold, ChunkSize: uploadKiB,
			})
			require.ErrorIs(t, err, ittybit.ErrForbidden)
			before := body.reads
			n, err := kept.Read(make([]byte, 10))
			assert.Zero(t, n)
			require.Error(t, err)
			require.NotErrorIs(t, err, io.EOF, "it has not come to its end")
			assert.Equal(t, before, body.reads, "the caller may have closed it")
		})
	}
}

func TestUpload_readsForItsLatestTryOnly(t *testing.T) {
	data := uploadBytes(2, uploadKiB)
	body := &uploadWatched{Reader: bytes.NewReader(data)}
	var first io.ReadCloser
	client := uploadThrough(t, func(req *http.Request) (*http.Response, error) {
		if first == nil {
			first = req.Body
			n, err := io.ReadFull(first, make([]byte, 100))
			assert.NoError(t, err)
			assert.Equal(t, 100, n)
			return nil, errors.New("the connection was reset")
		}
		before := body.reads
		n, err := first.Read(make([]byte, 100)) // net/http writes a body in a goroutine of its own
		assert.Zero(t, n)
		assert.Error(t, err)
		assert.NotErrorIs(t, err, io.EOF)
		assert.Equal(t, before, body.reads)
		sent, err := io.ReadAll(req.Body)
		assert.NoError(t, err)
		assert.Equal(t, data, sent, "from its beginning")
		return apiResponse(201, "")
	})
	var seen []int64
	_, err := client.Files.Upload(t.Context(), ittybit.UploadParams{
		Domain: "you.ittybit.net", Filename: "x.mp4", Body: body,
		OnProgress: func(p ittybit.UploadProgress) { seen = append(seen, p.Sent) },
	})
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(seen), 3)
	assert.Equal(t, []int64{100, 0}, seen[:2], "what is to be sent again is taken back")
	assert.EqualValues(t, len(data), seen[len(seen)-1])
}

func TestUpload_beginsWhereItsBodyStands(t *testing.T) {
	data := uploadBytes(3, 3*uploadKiB)
	for name, threshold := range map[string]int64{"whole": 0, "in chunks": 1} {
		t.Run(name, func(t *testing.T) {
			storage := newUploadStorage(t)
			body := bytes.NewReader(data)
			_, err := body.Seek(100, io.SeekStart)
			require.NoError(t, err)
			params := uploadChunked(storage, body, 0)
			params.Threshold = threshold
			_, err = uploadClient(t).Files.Upload(t.Context(), params)
			require.NoError(t, err)
			assert.Equal(t, data[100:], storage.file("/dir/x.mp4"))
		})
	}
}

// uploadEager is a body that says with its last bytes that they are the last, as an io.ReaderAt
// may.
type uploadEager struct{ *bytes.Reader }

func (e uploadEager) ReadAt(p []byte, off int64) (int, error) {
	n, err := e.Reader.ReadAt(p, off)
	if off+int64(n) == e.Size() {
		err = io.EOF
	}
	return n, err
}

func TestUpload_takesABodyThatSaysItsEndWithItsLastBytes(t *testing.T) {
	data := uploadBytes(4, 2*uploadKiB+5)
	for name, threshold := range map[string]int64{"whole": 0, "in chunks": 1} {
		t.Run(name, func(t *testing.T) {
			storage := newUploadStorage(t)
			params := uploadChunked(storage, uploadEager{bytes.NewReader(data)}, 0)
			params.Threshold = threshold
			_, err := uploadClient(t).Files.Upload(t.Context(), params)
			require.NoError(t, err)
			assert.Equal(t, data, storage.file("/dir/x.mp4"))
		})
	}
}

// uploadTorn is a body that gives its bytes up to an offset, and then an error with the last of
// them.
type uploadTorn struct {
	*bytes.Reader
	at  int64
	err error
}

func (b *uploadTorn) ReadAt(p []byte, off int64) (int, error) {
	if rest := max(b.at-off, 0); int64(len(p)) > rest {
		n, _ := b.Reader.ReadAt(p[:rest], off)
		return n, b.err
	}
	return b.Reader.ReadAt(p, off)
}

func TestUpload_endsWhereItsBodyCannotBeReadAnyFurther(t *testing.T) {
	torn := errors.New("the tape is torn")
	data := uploadBytes(5, 3*uploadKiB)
	for name, threshold := range map[string]int64{"whole": 0, "in chunks": 1} {
		t.Run(name, func(t *testing.T) {
			storage := newUploadStorage(t)
			params := uploadChunked(storage, &uploadTorn{bytes.NewReader(data), uploadKiB + 100, torn}, 0)
			params.Threshold = threshold
			_, err := uploadClient(t).Files.Upload(t.Context(), params)
			require.ErrorIs(t, err, torn)
			assert.Nil(t, storage.file("/dir/x.mp4"))
		})
	}
}

func TestUpload_comparesNothingThatCannotBeRead(t *testing.T) {
	torn := errors.New("the tape is torn")
	data := uploadBytes(6, 6*uploadKiB+1)
	storage := newUploadStorage(t)
	token := uploadBegun(t, storage, data)
	require.Contains(t, uploadConfirmed(t, token), int64(0))
	before := len(storage.all())
	params := uploadChunked(storage, &uploadTorn{bytes.NewReader(data), 100, torn}, 0)
	params.Resume = token
	_, err := uploadClient(t).Files.Upload(t.Context(), params)
	require.ErrorIs(t, err, torn)
	require.NotErrorIs(t, err, ittybit.ErrUploadChanged)
	assert.Len(t, storage.all(), before, "it may be another body")
	assert.Equal(t, token, uploadFailure(t, err))
}

func TestUpload_refusesTheTokenOfABodyThatHasGrown(t *testing.T) {
	data := uploadBytes(8, 6*uploadKiB+1)
	storage := newUploadStorage(t)
	token := uploadBegun(t, storage, data)
	before := len(storage.all())
	params := uploadChunked(storage, bytes.NewReader(append(data, 'x')), 0) // as many chunks, and the same so far
	params.Resume = token
	_, err := uploadClient(t).Files.Upload(t.Context(), params)
	clientParamError(t, err, "Resume")
	assert.Len(t, storage.all(), before)
}

func TestUpload_countsWhatWasConfirmedBeforeAsSent(t *testing.T) {
	data := uploadBytes(7, 6*uploadKiB+1)
	storage := newUploadStorage(t)
	token := uploadBegun(t, storage, data)
	confirmed := int64(len(uploadConfirmed(t, token))) * uploadKiB
	require.Positive(t, confirmed)
	storage.setHook(nil)
	params := uploadChunked(storage, bytes.NewReader(data), 0)
	params.Resume = token
	var seen []ittybit.UploadProgress
	params.OnProgress = func(p ittybit.UploadProgress) { seen = append(seen, p) }
	_, err := uploadClient(t).Files.Upload(t.Context(), params)
	require.NoError(t, err)
	require.NotEmpty(t, seen)
	assert.GreaterOrEqual(t, seen[0].Sent, confirmed)
	size := int64(len(data))
	assert.Equal(t, ittybit.UploadProgress{Sent: size, Confirmed: size, Total: size}, seen[len(seen)-1])
}

func TestUpload_refusesTokensOfOtherVersionsAndOfTooManyChunks(t *testing.T) {
	const many = 100_001
	states := make([]byte, many*5)
	token := func(version, chunk, size int, states []byte) ittybit.UploadToken {
		text, err := json.Marshal(map[string]any{"v": version, "url": "https://you.ittybit.net/x.mp4", "size": size, "chunk": chunk, "chunks": states})
		require.NoError(t, err)
		return ittybit.UploadToken(text)
	}
	for name, tt := range map[string]struct {
		token ittybit.UploadToken
		size  int
		good  bool
	}{
		"this version":    {token(1, 1, 2, states[:10]), 2, true},
		"another version": {token(2, 1, 2, states[:10]), 2, false},
		"no version":      {token(0, 1, 2, states[:10]), 2, false},
		"too many chunks": {token(1, 1, many, states), many, false},
	} {
		t.Run(name, func(t *testing.T) {
			puts := new(fuzzedPuts)
			client, err := ittybit.NewClient(clientKey, ittybit.WithHTTPClient(&http.Client{Transport: puts}))
			require.NoError(t, err)
			_, err = client.Files.Upload(t.Context(), ittybit.UploadParams{
				Domain: "you.ittybit.net", Filename: "x.mp4", Body: bytes.NewReader(make([]byte, tt.size)), Resume: tt.token,
			})
			if tt.good {
				require.NoError(t, err)
				return
			}
			clientParamError(t, err, "Resume")
			assert.Empty(t, puts.sent)
		})
	}
}
