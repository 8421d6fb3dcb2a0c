package upload_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/internal/apitest"
)

func TestUpload_sendsASmallFileWithOnePut(t *testing.T) {
	storage := newUploadStorage(t)
	var info ittybit.ResponseInfo
	result, err := uploadClient(t).Files.Upload(t.Context(), ittybit.UploadParams{
		Domain: storage.URL, Folder: "/a b/", Filename: "ü.mp4", Body: strings.NewReader("a video"), ContentType: "video/mp4",
	}, ittybit.WithResponseInfo(&info))
	require.NoError(t, err)
	puts := storage.all()
	require.Len(t, puts, 1)
	assert.Equal(t, http.MethodPut, puts[0].Method)
	assert.Equal(t, "/a%20b/%C3%BC.mp4", puts[0].Path)
	assert.Empty(t, puts[0].Query)
	assert.Equal(t, "Bearer "+clientKey, puts[0].Header.Get("Authorization"))
	assert.Equal(t, "video/mp4", puts[0].Header.Get("Content-Type"))
	assert.NotContains(t, puts[0].Header, "Content-Range")
	assert.Equal(t, int64(7), puts[0].Length)
	assert.Equal(t, "a video", string(puts[0].Body))
	assert.Equal(t, http.StatusCreated, info.StatusCode)

	assert.Equal(t, storage.URL+"/a%20b/%C3%BC.mp4", result.URL)
	require.NotNil(t, result.File)
	assert.Equal(t, "file_1", result.File.ID)
	assert.Equal(t, ittybit.FileKindVideo, result.File.Kind)
	assert.Equal(t, result.URL, result.File.URL)
	assert.True(t, result.File.Created.Equal(time.Date(2024, 1, 1, 10, 10, 10, 101_000_000, time.UTC)), result.File.Created.String())
}

func TestUpload_sendsAPlainReaderOfOneChunkWithOnePut(t *testing.T) {
	storage := newUploadStorage(t)
	data := uploadBytes(1, uploadKiB)
	_, err := uploadClient(t).Files.Upload(t.Context(), uploadChunked(storage, uploadOnce(data), uploadKiB))
	require.NoError(t, err)
	puts := storage.all()
	require.Len(t, puts, 1)
	assert.False(t, puts[0].Chunk)
	assert.Equal(t, data, storage.file("/dir/x.mp4"))
}

func TestUpload_takesAResponseThatSaysNothing(t *testing.T) {
	storage := newUploadStorage(t)
	storage.setHook(uploadResponse(0, -1, http.StatusOK, ""))
	signed, err := ittybit.SignURL(clientKey, ittybit.SignURLParams{Domain: storage.URL, Path: "dir/x.mp4", Expiry: time.Now().Add(time.Hour), Method: ittybit.SignedURLMethodPut})
	require.NoError(t, err)
	for name, params := range map[string]ittybit.UploadParams{
		"key":    {Domain: storage.URL, Folder: "dir", Filename: "x.mp4"},
		"signed": {SignedURL: signed.URL},
	} {
		params.Body = strings.NewReader("x")
		result, err := uploadClient(t).Files.Upload(t.Context(), params)
		require.NoError(t, err, name)
		assert.Nil(t, result.File, name)
		assert.Equal(t, storage.URL+"/dir/x.mp4", result.URL, name)
	}
}

func TestUpload_sendsNoKeyToASignedURL(t *testing.T) {
	uploader, err := ittybit.NewUploader(uploadQuick)
	require.NoError(t, err)
	for name, upload := range map[string]func(context.Context, ittybit.UploadParams, ...ittybit.RequestOption) (*ittybit.UploadResult, error){
		"client": uploadClient(t).Files.Upload, "uploader": uploader.Upload,
	} {
		storage := newUploadStorage(t)
		signed, err := ittybit.SignURL(clientKey, ittybit.SignURLParams{Domain: storage.URL, Path: "dir/x.mp4", Expiry: time.Now().Add(time.Hour), Method: ittybit.SignedURLMethodPut})
		require.NoError(t, err)
		data := uploadBytes(2, 3*uploadKiB+1)
		for _, threshold := range []int64{0, 1} {
			result, err := upload(t.Context(), ittybit.UploadParams{
				SignedURL: signed.URL, Body: bytes.NewReader(data), Threshold: threshold, ChunkSize: uploadKiB,
				OnCheckpoint: func(token ittybit.UploadToken) { assert.NotContains(t, string(token), signed.Signature) },
			})
			require.NoError(t, err, name)
			assert.NotNil(t, result.File, name)
			assert.NotContains(t, result.URL, "?")
			assert.Equal(t, data, storage.file("/dir/x.mp4"), name)
		}
		puts := storage.all()
		assert.Len(t, puts, 1+4, name)
		for _, put := range puts {
			assert.NotContains(t, put.Header, "Authorization", name)
			assert.Contains(t, put.Query, "signature="+signed.Signature, name)
		}
	}
}

func TestUpload_refusesASignedURLThatIttybitWouldRefuse(t *testing.T) {
	storage := newUploadStorage(t)
	uploader, err := ittybit.NewUploader(uploadQuick)
	require.NoError(t, err)
	for name, query := range map[string]string{
		"expired":       "?expiry=1700000000&method=put&signature=s3cret",
		"of 1970":       "?expiry=0&method=put&signature=s3cret",
		"before 1970":   "?expiry=-1&method=put&signature=s3cret",
		"milliseconds":  "?expiry=4102444800000&method=put&signature=s3cret",
		"out of range":  "?expiry=99999999999999999999&method=put&signature=s3cret",
		"to fetch":      "?expiry=9999999999&method=get&signature=s3cret",
		"not signed":    "?expiry=9999999999&method=put",
		"with fragment": "?expiry=9999999999&method=put&signature=s3cret#a",
	} {
		params := ittybit.UploadParams{SignedURL: storage.URL + "/dir/x.mp4" + query, Body: strings.NewReader("x")}
		_, err := uploader.Upload(t.Context(), params)
		clientParamError(t, err, "SignedURL")
		assert.NotContains(t, err.Error(), "s3cret", name)
		_, err = uploadClient(t).Files.Upload(t.Context(), params)
		clientParamError(t, err, "SignedURL")
	}
	_, err = uploader.Upload(t.Context(), ittybit.UploadParams{Domain: storage.URL, Filename: "x.mp4", Body: strings.NewReader("x")})
	clientParamError(t, err, "SignedURL")
	assert.Empty(t, storage.all())
}

func TestUpload_tellsWhatIsWrongWithASignature(t *testing.T) {
	storage := newUploadStorage(t)
	storage.setHook(uploadResponse(0, -1, http.StatusForbidden, `{"message":"signature expired"}`))
	signed, err := ittybit.SignURL(clientKey, ittybit.SignURLParams{Domain: storage.URL, Path: "dir/x.mp4", Expiry: time.Now().Add(time.Hour), Method: ittybit.SignedURLMethodPut})
	require.NoError(t, err)
	for _, threshold := range []int64{0, 1} {
		_, err = uploadClient(t).Files.Upload(t.Context(), ittybit.UploadParams{
			SignedURL: signed.URL, Body: bytes.NewReader(uploadBytes(3, 3*uploadKiB)), Threshold: threshold, ChunkSize: uploadKiB,
		})
		require.ErrorIs(t, err, ittybit.ErrForbidden)
		assert.ErrorContains(t, err, "signature expired")
		assert.NotContains(t, err.Error(), signed.Signature)
		assert.Empty(t, uploadFailure(t, err))
	}
	assert.Len(t, storage.all(), 2, "it is refused once, not for each chunk")
}

func TestUpload_triesAChunkAgainAlone(t *testing.T) {
	for name, hook := range map[string]func(w http.ResponseWriter){
		"503":  func(w http.ResponseWriter) { w.WriteHeader(http.StatusServiceUnavailable) },
		"drop": func(http.ResponseWriter) { panic(http.ErrAbortHandler) },
	} {
		for _, once := range []bool{false, true} {
			for _, bad := range []int64{0, 2 * uploadKiB, 5 * uploadKiB} { // the first, one between, the last
				storage := newUploadStorage(t)
				var first sync.Once
				storage.setHook(func(put *uploadPut, w http.ResponseWriter, _ *http.Request) bool {
					hit := false
					if put.Start == bad {
						first.Do(func() { hit = true })
					}
					if hit {
						hook(w)
					}
					return hit
				})
				data := uploadBytes(4, 5*uploadKiB+100)
				body := io.Reader(bytes.NewReader(data))
				if once {
					body = uploadOnce(data)
				}
				_, err := uploadClient(t).Files.Upload(t.Context(), uploadChunked(storage, body, int64(len(data))))
				require.NoError(t, err, name)
				assert.Equal(t, data, storage.file("/dir/x.mp4"), name)
				want := map[int64]int{}
				for start := int64(0); start < int64(len(data)); start += uploadKiB {
					want[start] = 1
				}
				want[bad] = 2
				assert.Equal(t, want, storage.attempts(), name)
			}
		}
	}
}

func TestUpload_sendsChunksInParallelAndTheLastOneLast(t *testing.T) {
	const chunks, concurrency = 12, 3
	storage := newUploadStorage(t)
	var (
		mu             sync.Mutex
		inFlight, most int
		done           int
		two            = make(chan struct{})
	)
	storage.setHook(func(put *uploadPut, w http.ResponseWriter, _ *http.Request) bool {
		mu.Lock()
		inFlight++
		most = max(most, inFlight)
		if inFlight == 2 && most == 2 {
			select {
			case <-two:
			default:
				close(two)
			}
		}
		if put.final() {
			assert.Equal(t, 1, inFlight, "the last chunk is alone")
			assert.Equal(t, chunks-1, done, "the last chunk is last")
		}
		if put.Start == 0 {
			assert.Equal(t, 1, inFlight, "the first chunk is alone")
			assert.Zero(t, done)
		}
		mu.Unlock()
		if put.Start > 0 && !put.final() {
			select {
			case <-two:
			case <-time.After(5 * time.Second):
				t.Error("never two at once")
			}
		}
		mu.Lock()
		inFlight--
		done++
		mu.Unlock()
		return false
	})
	data := uploadBytes(5, (chunks-1)*uploadKiB+1)
	params := uploadChunked(storage, bytes.NewReader(data), 0)
	params.Concurrency = concurrency
	_, err := uploadClient(t).Files.Upload(t.Context(), params)
	require.NoError(t, err)
	assert.Equal(t, data, storage.file("/dir/x.mp4"))
	assert.Greater(t, most, 1)
	assert.LessOrEqual(t, most, concurrency)
}

func TestUpload_refusesWrongParameters(t *testing.T) {
	data := uploadBytes(10, 6*uploadKiB+1)
	storage := newUploadStorage(t)
	token := uploadBegun(t, storage, data)
	before := len(storage.all())
	for name, test := range map[string]struct {
		param  string
		change func(p *ittybit.UploadParams)
	}{
		"no body":             {"Body", func(p *ittybit.UploadParams) { p.Body = nil }},
		"empty body":          {"Body", func(p *ittybit.UploadParams) { p.Body = strings.NewReader("") }},
		"size differs":        {"Size", func(p *ittybit.UploadParams) { p.Size = 3 }},
		"size unknown":        {"Size", func(p *ittybit.UploadParams) { p.Body = uploadOnce(data) }},
		"no domain":           {"Domain", func(p *ittybit.UploadParams) { p.Domain = "" }},
		"domain in the clear": {"Domain", func(p *ittybit.UploadParams) { p.Domain = "http://you.ittybit.net" }},
		"no filename":         {"Filename", func(p *ittybit.UploadParams) { p.Filename = "" }},
		"slash in filename":   {"Filename", func(p *ittybit.UploadParams) { p.Filename = "a/b" }},
		"filename ..":         {"Folder and Filename", func(p *ittybit.UploadParams) { p.Filename = ".." }},
		"folder ..":           {"Folder and Filename", func(p *ittybit.UploadParams) { p.Folder = "a/../b" }},
		"empty segment":       {"Folder and Filename", func(p *ittybit.UploadParams) { p.Folder = "a//b" }},
		"bad token":           {"Resume", func(p *ittybit.UploadParams) { p.Resume = "x" }},
		"damaged token": {"Resume", func(p *ittybit.UploadParams) {
			p.Resume = ittybit.UploadToken(strings.Replace(string(token), `"chunks":"`, `"chunks":"AAAA`, 1))
		}},
		"token of another":     {"Resume", func(p *ittybit.UploadParams) { p.Resume, p.Filename = token, "y.mp4" }},
		"token of other size":  {"Resume", func(p *ittybit.UploadParams) { p.Resume, p.Body = token, bytes.NewReader(data[1:]) }},
		"negative size":        {"Size", func(p *ittybit.UploadParams) { p.Size = -1 }},
		"negative threshold":   {"Threshold", func(p *ittybit.UploadParams) { p.Threshold = -1 }},
		"negative chunk size":  {"ChunkSize", func(p *ittybit.UploadParams) { p.ChunkSize = -1 }},
		"negative concurrency": {"Concurrency", func(p *ittybit.UploadParams) { p.Concurrency = -1 }},
		"too many chunks": {"ChunkSize", func(p *ittybit.UploadParams) {
			p.Body, p.ChunkSize = io.NewSectionReader(uploadPattern{data}, 0, 100_001), 1
		}},
		"content type":          {"ContentType", func(p *ittybit.UploadParams) { p.ContentType = "a\r\nb: c" }},
		"signed URL and domain": {"SignedURL", func(p *ittybit.UploadParams) { p.SignedURL = storage.URL + "/x?signature=a" }},
		"signed URL in the clear": {"SignedURL", func(p *ittybit.UploadParams) {
			p.Domain, p.Folder, p.Filename, p.SignedURL = "", "", "", "http://you.ittybit.net/x?signature=a"
		}},
	} {
		t.Run(name, func(t *testing.T) {
			params := uploadChunked(storage, bytes.NewReader(data), 0)
			test.change(&params)
			_, err := uploadClient(t).Files.Upload(t.Context(), params)
			clientParamError(t, err, test.param)
		})
	}
	_, err := uploadClient(t).Files.Upload(clientNoContext, uploadChunked(storage, bytes.NewReader(data), 0))
	clientParamError(t, err, "ctx")
	assert.Len(t, storage.all(), before, "nothing is sent")
}

func TestUpload_memoryDoesNotGrowWithTheFile(t *testing.T) {
	const limit, interval = 64 << 20, 32 << 20
	pattern := uploadPattern{uploadBytes(11, 1<<20)}
	for name, test := range map[string]struct {
		size int64
		once bool
	}{"ReaderAt": {1 << 30, false}, "Reader": {256 << 20, true}} {
		t.Run(name, func(t *testing.T) {
			if apitest.RaceEnabled() {
				test.size = min(test.size, 256<<20) // four times the limit still
			}
			storage := newUploadStorage(t)
			storage.discard = true
			params := ittybit.UploadParams{Domain: storage.URL, Filename: "x.mp4", Body: io.NewSectionReader(pattern, 0, test.size), Size: test.size}
			if test.once {
				params.Body = struct{ io.Reader }{params.Body}
			}
			heap := func() uint64 {
				var stats runtime.MemStats
				runtime.ReadMemStats(&stats)
				return stats.HeapAlloc
			}
			runtime.GC()
			baseline := heap()
			peak, samples, next := baseline, 0, int64(0)
			params.OnProgress = func(p ittybit.UploadProgress) {
				if p.Sent >= next {
					next, samples, peak = p.Sent+interval, samples+1, max(peak, heap())
				}
			}
			_, err := uploadClient(t).Files.Upload(t.Context(), params)
			require.NoError(t, err)
			t.Logf("%d MiB: the heap grew by at most %.1f MiB (%d samples)", test.size>>20, float64(peak-baseline)/(1<<20), samples)
			assert.Less(t, peak-baseline, uint64(limit))
			assert.GreaterOrEqual(t, int64(samples), test.size/interval/2)
			assert.Equal(t, test.size, storage.size["/x.mp4"])
		})
	}
}

func TestUpload_followsNoRedirect(t *testing.T) {
	for _, threshold := range []int64{0, 1} {
		storage, other := newUploadStorage(t), newUploadStorage(t)
		storage.setHook(func(_ *uploadPut, w http.ResponseWriter, r *http.Request) bool {
			http.Redirect(w, r, other.URL+"/dir/x.mp4", http.StatusTemporaryRedirect)
			return true
		})
		params := uploadChunked(storage, bytes.NewReader(uploadBytes(12, 3*uploadKiB)), 0)
		params.Threshold = threshold
		_, err := uploadClient(t).Files.Upload(t.Context(), params)
		var response *ittybit.APIError
		require.ErrorAs(t, err, &response)
		assert.Equal(t, http.StatusTemporaryRedirect, response.StatusCode)
		assert.Len(t, storage.all(), 1)
		assert.Empty(t, other.all())
	}
}

func TestUpload_tellsItsProgress(t *testing.T) {
	data := uploadBytes(13, 6*uploadKiB+5)
	size := int64(len(data))
	for _, threshold := range []int64{0, 1} {
		storage := newUploadStorage(t)
		storage.setHook(uploadResponse(0, 1, http.StatusServiceUnavailable, "")) // it falls back once
		params := uploadChunked(storage, bytes.NewReader(data), 0)
		params.Threshold = threshold
		var seen []ittybit.UploadProgress
		params.OnProgress = func(p ittybit.UploadProgress) { seen = append(seen, p) }
		_, err := uploadClient(t).Files.Upload(t.Context(), params)
		require.NoError(t, err)
		require.NotEmpty(t, seen)
		for _, p := range seen {
			assert.Equal(t, size, p.Total)
			assert.LessOrEqual(t, p.Sent, size)
			assert.LessOrEqual(t, p.Confirmed, p.Sent)
		}
		assert.Equal(t, ittybit.UploadProgress{Sent: size, Confirmed: size, Total: size}, seen[len(seen)-1])
		assert.Equal(t, size, seen[len(seen)-1].Sent)
	}
}

func TestUpload_isRefusedBeforeItIsSent(t *testing.T) {
	for _, threshold := range []int64{0, 1} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusForbidden) // it reads nothing
		}))
		sent := int64(0)
		_, err := uploadClient(t).Files.Upload(t.Context(), ittybit.UploadParams{
			Domain: server.URL, Filename: "x.mp4", Body: bytes.NewReader(uploadBytes(14, 8<<20)), Threshold: threshold, ChunkSize: 4 << 20,
			OnProgress: func(p ittybit.UploadProgress) { sent = max(sent, p.Sent) },
		})
		require.ErrorIs(t, err, ittybit.ErrForbidden)
		assert.Zero(t, sent)
		server.Close()
	}
}

func TestUpload_isNotTakenForDoneWhereTheResponseComesTooEarly(t *testing.T) {
	hasty := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusCreated) // nothing of the body was asked for
	}))
	t.Cleanup(hasty.Close)
	for name, threshold := range map[string]int64{"whole": 0, "in chunks": 1} {
		t.Run(name, func(t *testing.T) {
			result, err := uploadClient(t).Files.Upload(t.Context(), ittybit.UploadParams{
				Domain: hasty.URL, Filename: "a.bin", Body: bytes.NewReader(uploadBytes(1, 8*uploadKiB)),
				Threshold: threshold, ChunkSize: uploadKiB,
			})
			require.ErrorContains(t, err, "before the body was sent in full")
			assert.Nil(t, result)
			assert.Empty(t, uploadFailure(t, err), "nothing is confirmed")
		})
	}
}

// uploadLost is a body that can't go back to where it stood.
type uploadLost struct{ *bytes.Reader }

func (l uploadLost) Seek(offset int64, whence int) (int64, error) {
	if whence == io.SeekStart {
		return 0, errors.New("the tape is torn")
	}
	return l.Reader.Seek(offset, whence)
}

func TestUpload_refusesABodyThatIsLostInSeeking(t *testing.T) {
	storage := newUploadStorage(t)
	_, err := uploadClient(t).Files.Upload(t.Context(), uploadChunked(storage, uploadLost{bytes.NewReader(uploadBytes(1, 10))}, 0))
	clientParamError(t, err, "Body")
	assert.Empty(t, storage.all())
}

func TestUpload_aHugeChunkIsTheWholeFile(t *testing.T) {
	data := uploadBytes(1, 5000)
	for name, body := range map[string]io.Reader{"ReaderAt": bytes.NewReader(data), "Reader": uploadOnce(data)} {
		t.Run(name, func(t *testing.T) {
			storage := newUploadStorage(t)
			params := uploadChunked(storage, body, 5000)
			params.ChunkSize = math.MaxInt64
			result, err := uploadClient(t).Files.Upload(t.Context(), params)
			require.NoError(t, err)
			require.NotNil(t, result)
			assert.Equal(t, data, storage.file("/dir/x.mp4"))
		})
	}
}
