package ittybit_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
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
)

func TestUpload_resumesWhereItWasKilled(t *testing.T) {
	client := uploadClient(t)
	kills, resumes, spared := 0, 0, 0
	for seed := range uint64(50) {
		rng := rand.New(rand.NewPCG(seed, 7))
		data := uploadBytes(seed, (5+rng.IntN(16))*uploadKiB+rng.IntN(uploadKiB))
		size := int64(len(data))
		storage := newUploadStorage(t)
		var token ittybit.UploadToken
		run := ""
		for killsLeft := 1 + rng.IntN(3); ; killsLeft-- {
			run += "I" // a request that was cut may reach the storage when the next run has begun
			confirmed := uploadConfirmed(t, token)
			missing := int(size+uploadKiB-1)/uploadKiB - len(confirmed)
			ctx, cancel := context.WithCancel(t.Context())
			before := len(storage.all())
			storage.setHook(nil)
			if killsLeft > 0 {
				fatal, keep := before+1+rng.IntN(missing), rng.IntN(2) == 0
				storage.setHook(func(put *uploadPut, _ http.ResponseWriter, r *http.Request) bool {
					if put.N != fatal {
						return false
					}
					if keep {
						storage.keep(put)
					}
					cancel()
					<-r.Context().Done() // the client has hung up
					panic(http.ErrAbortHandler)
				})
			}
			body := io.Reader(bytes.NewReader(data))
			if seed%2 == 1 {
				body = uploadOnce(data)
			}
			params := uploadChunked(storage, body, size)
			params.Concurrency = 1 + int(seed/2)%5
			params.Resume = token
			checkpoint := token
			params.OnCheckpoint = func(latest ittybit.UploadToken) { checkpoint = latest }
			result, err := client.Files.Upload(ctx, params, ittybit.WithRequestHeader("X-Run", run))
			cancel()
			for _, put := range storage.all()[before:] {
				if put.Header.Get("X-Run") == run {
					assert.NotContains(t, confirmed, put.Start, "seed %d: a confirmed chunk was sent again", seed)
				}
			}
			spared += len(confirmed)
			if killsLeft == 0 {
				require.NoError(t, err, "seed %d", seed)
				require.NotNil(t, result.File)
				assert.Equal(t, "file_1", result.File.ID)
				break
			}
			require.ErrorIs(t, err, context.Canceled, "seed %d", seed)
			kills++
			token = uploadFailure(t, err)
			require.Equal(t, checkpoint, token, "seed %d: the last checkpoint", seed)
			resumes++
		}
		assert.Equal(t, sha256.Sum256(data), sha256.Sum256(storage.file("/dir/x.mp4")), "seed %d", seed)
		storage.Close()
	}
	t.Logf("%d kills, %d resumes, %d chunks not sent again", kills, resumes, spared)
	assert.Positive(t, spared)
}

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
	assert.Equal(t, "video", result.File.Kind)
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

func TestUpload_takesAnAnswerThatSaysNothing(t *testing.T) {
	storage := newUploadStorage(t)
	storage.setHook(uploadAnswer(0, -1, http.StatusOK, ""))
	signed, err := ittybit.SignURL(clientKey, storage.URL, "dir/x.mp4", time.Now().Add(time.Hour), ittybit.SignatureMethodPut)
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
		signed, err := ittybit.SignURL(clientKey, storage.URL, "dir/x.mp4", time.Now().Add(time.Hour), ittybit.SignatureMethodPut)
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
	storage.setHook(uploadAnswer(0, -1, http.StatusForbidden, `{"message":"signature expired"}`))
	signed, err := ittybit.SignURL(clientKey, storage.URL, "dir/x.mp4", time.Now().Add(time.Hour), ittybit.SignatureMethodPut)
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
				assert.Equal(t, want, storage.tries(), name)
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

func TestUpload_noticesABodyOfAnotherLength(t *testing.T) {
	storage := newUploadStorage(t)
	_, err := uploadClient(t).Files.Upload(t.Context(), uploadChunked(storage, uploadOnce(uploadBytes(6, 2*uploadKiB+512)), 5*uploadKiB))
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	assert.Len(t, uploadConfirmed(t, uploadFailure(t, err)), 2)
	assert.Len(t, storage.all(), 2)

	storage = newUploadStorage(t)
	_, err = uploadClient(t).Files.Upload(t.Context(), uploadChunked(storage, uploadOnce(uploadBytes(6, 3*uploadKiB)), 2*uploadKiB+512))
	require.ErrorContains(t, err, "more bytes than its Size of 2560")
	assert.Len(t, storage.all(), 2)
	assert.Nil(t, storage.file("/dir/x.mp4"))
}

func TestUpload_givesTheErrorOfItsBody(t *testing.T) {
	errDisk := errors.New("disk on fire")
	for _, threshold := range []int64{0, 1} {
		storage := newUploadStorage(t)
		broken := &uploadBroken{at: 2 * uploadKiB, err: errDisk}
		params := uploadChunked(storage, io.NewSectionReader(broken, 0, 5*uploadKiB), 0)
		params.Threshold, params.Concurrency = threshold, 1
		_, err := uploadClient(t).Files.Upload(t.Context(), params)
		require.ErrorIs(t, err, errDisk)
		uploadFailure(t, err)
		assert.Equal(t, 1, broken.count, "it is tried once")
		assert.Nil(t, storage.file("/dir/x.mp4"))
	}
}

// uploadBegun begins an upload of data that ends early, and gives the token.
func uploadBegun(t *testing.T, storage *uploadStorage, data []byte) ittybit.UploadToken {
	t.Helper()
	storage.setHook(uploadAnswer(3*uploadKiB, 1, http.StatusBadRequest, `{"message":"no"}`))
	params := uploadChunked(storage, bytes.NewReader(data), 0)
	params.Concurrency = 1
	_, err := uploadClient(t).Files.Upload(t.Context(), params)
	require.ErrorIs(t, err, ittybit.ErrBadRequest)
	token := uploadFailure(t, err)
	require.Equal(t, []int64{0, uploadKiB, 2 * uploadKiB}, uploadConfirmed(t, token))
	assert.NotContains(t, string(token), clientKey)
	storage.setHook(nil)
	return token
}

func TestUpload_noticesAChangedBodyWhenItResumes(t *testing.T) {
	data := uploadBytes(8, 6*uploadKiB+1)
	for _, at := range []int{0, 2*uploadKiB + 7} {
		for _, once := range []bool{false, true} {
			storage := newUploadStorage(t)
			token := uploadBegun(t, storage, data)
			changed := bytes.Clone(data)
			changed[at] ^= 1
			body := io.Reader(bytes.NewReader(changed))
			if once {
				body = uploadOnce(changed)
			}
			params := uploadChunked(storage, body, int64(len(changed)))
			params.Resume = token
			puts := len(storage.all())
			_, err := uploadClient(t).Files.Upload(t.Context(), params)
			require.ErrorIs(t, err, ittybit.ErrUploadChanged)
			assert.Len(t, storage.all(), puts, "nothing of another body goes out")
			var upErr *ittybit.UploadError
			require.ErrorAs(t, err, &upErr)
			assert.Equal(t, token, upErr.Token)
			assert.Nil(t, storage.file("/dir/x.mp4"))
		}
	}
}

func TestUpload_saysWhatIttybitHasNotKept(t *testing.T) {
	data := uploadBytes(9, 6*uploadKiB+1)
	storage := newUploadStorage(t)
	storage.setHook(uploadAnswer(6*uploadKiB, -1, http.StatusAccepted, ""))
	result, err := uploadClient(t).Files.Upload(t.Context(), uploadChunked(storage, bytes.NewReader(data), 0))
	require.ErrorIs(t, err, ittybit.ErrUploadIncomplete)
	assert.Nil(t, result)

	for _, status := range []int{http.StatusNotFound, http.StatusGone} {
		storage = newUploadStorage(t)
		token := uploadBegun(t, storage, data)
		storage.setHook(uploadAnswer(3*uploadKiB, -1, status, `{"message":"no such upload"}`))
		params := uploadChunked(storage, bytes.NewReader(data), 0)
		params.Resume = token
		_, err = uploadClient(t).Files.Upload(t.Context(), params)
		require.ErrorIs(t, err, ittybit.ErrUploadIncomplete)
		var answer *ittybit.APIError
		require.ErrorAs(t, err, &answer)
		assert.Equal(t, status, answer.StatusCode)
		assert.Equal(t, status == http.StatusNotFound, errors.Is(err, ittybit.ErrNotFound))
	}

	storage = newUploadStorage(t)
	storage.setHook(uploadAnswer(uploadKiB, -1, http.StatusInsufficientStorage, `{"message":"full"}`))
	_, err = uploadClient(t).Files.Upload(t.Context(), uploadChunked(storage, bytes.NewReader(data), 0))
	require.ErrorIs(t, err, ittybit.ErrServer)
	var answer *ittybit.APIError
	require.ErrorAs(t, err, &answer)
	assert.Equal(t, http.StatusInsufficientStorage, answer.StatusCode)
	assert.Equal(t, "full", answer.Message)
	assert.NotErrorIs(t, err, ittybit.ErrUploadIncomplete)
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
		var answer *ittybit.APIError
		require.ErrorAs(t, err, &answer)
		assert.Equal(t, http.StatusTemporaryRedirect, answer.StatusCode)
		assert.Len(t, storage.all(), 1)
		assert.Empty(t, other.all())
	}
}

func TestUpload_tellsItsProgress(t *testing.T) {
	data := uploadBytes(13, 6*uploadKiB+5)
	size := int64(len(data))
	for _, threshold := range []int64{0, 1} {
		storage := newUploadStorage(t)
		storage.setHook(uploadAnswer(0, 1, http.StatusServiceUnavailable, "")) // it falls back once
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
