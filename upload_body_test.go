package ittybit_test

import (
	"bytes"
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
