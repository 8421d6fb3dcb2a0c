package upload_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"

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
	storage.setHook(uploadResponse(3*uploadKiB, 1, http.StatusBadRequest, `{"message":"no"}`))
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
	storage.setHook(uploadResponse(6*uploadKiB, -1, http.StatusAccepted, ""))
	result, err := uploadClient(t).Files.Upload(t.Context(), uploadChunked(storage, bytes.NewReader(data), 0))
	require.ErrorIs(t, err, ittybit.ErrUploadIncomplete)
	assert.Nil(t, result)

	for _, status := range []int{http.StatusNotFound, http.StatusGone} {
		storage = newUploadStorage(t)
		token := uploadBegun(t, storage, data)
		storage.setHook(uploadResponse(3*uploadKiB, -1, status, `{"message":"no such upload"}`))
		params := uploadChunked(storage, bytes.NewReader(data), 0)
		params.Resume = token
		_, err = uploadClient(t).Files.Upload(t.Context(), params)
		require.ErrorIs(t, err, ittybit.ErrUploadIncomplete)
		var response *ittybit.APIError
		require.ErrorAs(t, err, &response)
		assert.Equal(t, status, response.StatusCode)
		assert.Equal(t, status == http.StatusNotFound, errors.Is(err, ittybit.ErrNotFound))
	}

	storage = newUploadStorage(t)
	storage.setHook(uploadResponse(uploadKiB, -1, http.StatusInsufficientStorage, `{"message":"full"}`))
	_, err = uploadClient(t).Files.Upload(t.Context(), uploadChunked(storage, bytes.NewReader(data), 0))
	require.ErrorIs(t, err, ittybit.ErrServer)
	var response *ittybit.APIError
	require.ErrorAs(t, err, &response)
	assert.Equal(t, http.StatusInsufficientStorage, response.StatusCode)
	assert.Equal(t, "full", response.Message)
	assert.NotErrorIs(t, err, ittybit.ErrUploadIncomplete)
}

func TestUpload_noticesAServerThatTakesAChunkForTheFile(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusCreated)
		_, _ = fmt.Fprintf(w, `{"id":"file_1","object":"source","filesize":%d}`, n)
	}))
	t.Cleanup(server.Close)
	result, err := uploadClient(t).Files.Upload(t.Context(), ittybit.UploadParams{
		Domain: server.URL, Filename: "x.mp4", Body: bytes.NewReader(uploadBytes(1, 5000)), Threshold: 1, ChunkSize: uploadKiB,
	})
	require.ErrorIs(t, err, ittybit.ErrUploadIncomplete)
	require.ErrorContains(t, err, "904 bytes, not 5000")
	assert.Empty(t, uploadFailure(t, err), "there is nothing to go on from")
	assert.Equal(t, "file_1", result.File.ID, "it is there, and somebody may have to delete it")
}

func TestUpload_givesNoTokenToGoOnWhereThatCannotHelp(t *testing.T) {
	storage := newUploadStorage(t)
	storage.setHook(func(put *uploadPut, w http.ResponseWriter, _ *http.Request) bool {
		if put.final() {
			w.WriteHeader(http.StatusNotFound)
		}
		return put.final()
	})
	_, err := uploadClient(t).Files.Upload(t.Context(), uploadChunked(storage, bytes.NewReader(uploadBytes(1, 3000)), 0))
	require.ErrorIs(t, err, ittybit.ErrUploadIncomplete)
	assert.Empty(t, uploadFailure(t, err))
}

func TestUpload_noticesABodyThatGrowsOrShrinksMeanwhile(t *testing.T) {
	const size = 3*uploadKiB + 100
	for name, change := range map[string]func(*os.File) error{
		"appended to": func(f *os.File) error { _, err := f.WriteAt([]byte("more"), size); return err },
		"longer":      func(f *os.File) error { return f.Truncate(10 * size) },
		"shorter":     func(f *os.File) error { return f.Truncate(size - 1) },
		"emptied":     func(f *os.File) error { return f.Truncate(0) },
	} {
		for at, threshold := range map[int64]int64{0: 0, uploadKiB: 1, 3 * uploadKiB: 1} { // while it is sent whole, or that chunk
			for _, start := range []int64{0, 50} {
				t.Run(fmt.Sprintf("%s, at %d, from %d", name, at, start), func(t *testing.T) {
					file, err := os.Create(filepath.Join(t.TempDir(), "x.mp4"))
					require.NoError(t, err)
					defer func() { assert.NoError(t, file.Close()) }()
					_, err = file.Write(uploadBytes(11, size))
					require.NoError(t, err)
					_, err = file.Seek(start, io.SeekStart)
					require.NoError(t, err)
					storage := newUploadStorage(t)
					storage.setHook(func(put *uploadPut, _ http.ResponseWriter, _ *http.Request) bool {
						if put.Start == at {
							assert.NoError(t, change(file))
						}
						return false
					})
					params := uploadChunked(storage, file, 0)
					params.Threshold, params.Concurrency = threshold, 1
					if threshold == 0 {
						params.Threshold = size
					}
					result, err := uploadClient(t).Files.Upload(t.Context(), params)
					if !errors.Is(err, io.ErrUnexpectedEOF) { // what was cut away was still to be sent
						require.ErrorIs(t, err, ittybit.ErrUploadChanged)
						uploadFailure(t, err)
					}
					assert.Nil(t, result)
					at, err := file.Seek(0, io.SeekCurrent)
					require.NoError(t, err)
					assert.Equal(t, start, at, "it stands where it stood")
				})
			}
		}
	}
}

func TestUpload_takesAPartOfAFileThatGrows(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "live.mp4"))
	require.NoError(t, err)
	defer func() { assert.NoError(t, file.Close()) }()
	data := uploadBytes(12, 3*uploadKiB)
	_, err = file.Write(data)
	require.NoError(t, err)
	storage := newUploadStorage(t)
	storage.setHook(func(*uploadPut, http.ResponseWriter, *http.Request) bool {
		_, err := file.WriteAt(data, 3*uploadKiB)
		assert.NoError(t, err)
		return false
	})
	_, err = uploadClient(t).Files.Upload(t.Context(), uploadChunked(storage, io.NewSectionReader(file, 0, 3*uploadKiB), 0))
	require.NoError(t, err)
	assert.Equal(t, data, storage.file("/dir/x.mp4"))
}

// A server may respond by the headers alone and cut the connection, whatever the client's transport
// is.
func TestUpload_givesTheRefusalOfAnyTransport(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer func() { _ = conn.Close() }()
				if _, err := http.ReadRequest(bufio.NewReaderSize(conn, 16)); err == nil {
					_, _ = io.WriteString(conn, "HTTP/1.1 413 Too Large\r\nContent-Length: 26\r\nConnection: close\r\n\r\n{\"message\":\"4 GB at most\"}")
				}
			})
		}
	})
	defer serving.Wait()
	defer func() { assert.NoError(t, listener.Close()) }()
	users := &http.Transport{}
	client, err := ittybit.NewClient(clientKey, uploadQuick, ittybit.WithHTTPClient(&http.Client{Transport: users}))
	require.NoError(t, err)
	defer client.CloseIdleConnections()
	for _, threshold := range []int64{0, 1} {
		for range 10 {
			sent := int64(0)
			_, err := client.Files.Upload(t.Context(), ittybit.UploadParams{
				OnProgress: func(p ittybit.UploadProgress) { sent = max(sent, p.Sent) },
				Domain:     "http://" + listener.Addr().String(), Filename: "x.mp4", Body: bytes.NewReader(uploadBytes(13, 4<<20)), Threshold: threshold, ChunkSize: 1 << 20,
			})
			var refusal *ittybit.APIError
			require.ErrorAs(t, err, &refusal)
			assert.Equal(t, http.StatusRequestEntityTooLarge, refusal.StatusCode)
			assert.Equal(t, "4 GB at most", refusal.Message)
			assert.Zero(t, sent, "what is not sent can't cost the response")
		}
	}
	assert.Zero(t, users.ExpectContinueTimeout, "the user's own is not changed")
}

// 300 chunks, each of which gets a 503 three times: more retries than a client has for a host
// that is down, and all of them were worth it.
func TestUpload_drawsOnNoRetryBudgetWhileItMakesProgress(t *testing.T) {
	const chunks = 300
	for _, concurrency := range []int{1, 4} {
		data := uploadBytes(21, chunks*uploadKiB)
		storage := newUploadStorage(t)
		var mu sync.Mutex
		failures := map[int64]int{}
		storage.setHook(func(put *uploadPut, w http.ResponseWriter, _ *http.Request) bool {
			mu.Lock()
			defer mu.Unlock()
			if failures[put.Start] == 3 {
				return false
			}
			failures[put.Start]++
			w.WriteHeader(http.StatusServiceUnavailable)
			return true
		})
		params := uploadChunked(storage, bytes.NewReader(data), 0)
		params.Concurrency = concurrency
		_, err := uploadClient(t).Files.Upload(t.Context(), params)
		require.NoError(t, err)
		assert.Len(t, storage.all(), 4*chunks)
		assert.Equal(t, data, storage.file("/dir/x.mp4"))
	}
}

func TestUpload_drawsOnTheRetryBudgetWhereNothingIsConfirmed(t *testing.T) {
	storage := newUploadStorage(t)
	storage.setHook(uploadResponse(0, -1, http.StatusServiceUnavailable, ""))
	client := uploadClient(t)
	for range 100 {
		_, err := client.Files.Upload(t.Context(), uploadChunked(storage, bytes.NewReader(uploadBytes(22, 2*uploadKiB)), 0))
		require.ErrorIs(t, err, ittybit.ErrServer)
	}
	assert.Less(t, len(storage.all()), 100+200, "of 300 retries about 150")
}
