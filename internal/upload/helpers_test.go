package upload_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
)

const uploadKiB = 1 << 10

// uploadPut is a PUT as the storage saw it.
type uploadPut struct {
	N                 int // the how manieth it is, from 1
	Method            string
	Path, Query       string // as they came
	Header            http.Header
	Length            int64 // Content-Length
	Chunk             bool
	Start, End, Total int64
	Body              []byte
}

func (p *uploadPut) final() bool { return p.End == p.Total-1 }

// uploadStorage is a storage that takes whole files and chunks. It is safe for
// concurrent use.
type uploadStorage struct {
	*httptest.Server

	// hook may respond to a PUT whose body has arrived; it reports whether it did.
	hook func(put *uploadPut, w http.ResponseWriter, r *http.Request) bool
	// discard keeps no bytes.
	discard bool

	mu     sync.Mutex
	puts   []*uploadPut
	chunks map[string]map[int64][]byte
	size   map[string]int64 // bytes kept, or discarded
	files  map[string][]byte
}

func newUploadStorage(t *testing.T) *uploadStorage {
	t.Helper()
	s := &uploadStorage{chunks: map[string]map[int64][]byte{}, size: map[string]int64{}, files: map[string][]byte{}}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

// ServeHTTP implements http.Handler.
func (s *uploadStorage) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	put := &uploadPut{
		Method: r.Method, Path: r.URL.EscapedPath(), Query: r.URL.RawQuery, Header: r.Header.Clone(),
		Length: r.ContentLength, End: r.ContentLength - 1, Total: r.ContentLength,
	}
	if text := r.Header.Get("Content-Range"); text != "" {
		put.Chunk = true
		if _, err := fmt.Sscanf(text, "bytes=%d-%d/%d", &put.Start, &put.End, &put.Total); err != nil {
			http.Error(w, `{"message":"bad range"}`, http.StatusBadRequest)
			return
		}
	}
	s.mu.Lock()
	s.puts = append(s.puts, put)
	put.N = len(s.puts)
	hook := s.hook
	s.mu.Unlock()
	if r.URL.Query().Get("signature") == "" && r.Header.Get("Authorization") != "Bearer "+clientKey {
		http.Error(w, `{"message":"no key"}`, http.StatusUnauthorized)
		return
	}
	var length int64
	var err error
	if s.discard {
		length, err = io.Copy(io.Discard, r.Body)
	} else {
		put.Body, err = io.ReadAll(r.Body)
		length = int64(len(put.Body))
	}
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if length != put.Length || length != put.End-put.Start+1 {
		http.Error(w, `{"message":"length and range differ"}`, http.StatusBadRequest)
		return
	}
	if hook != nil && hook(put, w, r) {
		return
	}
	if !s.keep(put) {
		w.WriteHeader(http.StatusAccepted)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusCreated)
	_, _ = io.WriteString(w, `{"id":"file_1","object":"source","kind":"video","url":`+strconv.Quote(s.URL+put.Path)+`,"created":"2024-01-01Z10:10:10.1010"}`)
}

// keep keeps what a PUT brought, and reports whether the file is complete with it.
func (s *uploadStorage) keep(put *uploadPut) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.discard {
		s.size[put.Path] += put.Length
		return put.final() && s.size[put.Path] == put.Total
	}
	if s.chunks[put.Path] == nil {
		s.chunks[put.Path] = map[int64][]byte{}
	}
	s.chunks[put.Path][put.Start] = put.Body
	if !put.final() {
		return false
	}
	var file []byte
	for int64(len(file)) < put.Total {
		chunk, ok := s.chunks[put.Path][int64(len(file))]
		if !ok {
			return false
		}
		file = append(file, chunk...)
	}
	s.files[put.Path] = file
	return true
}

func (s *uploadStorage) setHook(hook func(put *uploadPut, w http.ResponseWriter, r *http.Request) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hook = hook
}

// all gives the PUTs so far, in the order in which they came.
func (s *uploadStorage) all() []*uploadPut {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*uploadPut(nil), s.puts...)
}

// file gives a complete file, or nil.
func (s *uploadStorage) file(path string) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.files[path]
}

// attempts counts the PUTs by where their chunk begins.
func (s *uploadStorage) attempts() map[int64]int {
	counts := map[int64]int{}
	for _, put := range s.all() {
		counts[put.Start]++
	}
	return counts
}

// uploadResponse is a hook that responds to the chunk that begins at start, at most times times.
func uploadResponse(start int64, times, status int, body string) func(*uploadPut, http.ResponseWriter, *http.Request) bool {
	var mu sync.Mutex
	return func(put *uploadPut, w http.ResponseWriter, _ *http.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		if put.Start != start || times == 0 {
			return false
		}
		times--
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
		return true
	}
}

var uploadQuick = ittybit.WithRetryPolicy(ittybit.RetryPolicy{MinWait: time.Millisecond, MaxWait: 5 * time.Millisecond})

func uploadClient(t *testing.T) *ittybit.Client {
	t.Helper()
	client, err := ittybit.NewClient(clientKey, uploadQuick)
	require.NoError(t, err)
	return client
}

// uploadBytes are n bytes that depend on seed.
func uploadBytes(seed uint64, n int) []byte {
	var key [32]byte
	key[0], key[1] = byte(seed), byte(seed>>8)
	data := make([]byte, n)
	_, _ = rand.NewChaCha8(key).Read(data)
	return data
}

// uploadChunked are parameters that make chunks of 1 KiB.
func uploadChunked(s *uploadStorage, body io.Reader, size int64) ittybit.UploadParams {
	return ittybit.UploadParams{
		Domain: s.URL, Folder: "dir", Filename: "x.mp4", Body: body, Size: size,
		Threshold: 1, ChunkSize: uploadKiB,
	}
}

// uploadOnce hides all that a reader can do but Read.
func uploadOnce(data []byte) io.Reader { return struct{ io.Reader }{bytes.NewReader(data)} }

// uploadConfirmed gives where the chunks begin that a token says are confirmed.
func uploadConfirmed(t *testing.T, token ittybit.UploadToken) []int64 {
	t.Helper()
	if token == "" {
		return nil
	}
	var state struct {
		Chunk  int64  `json:"chunk"`
		Chunks string `json:"chunks"`
	}
	require.NoError(t, json.Unmarshal([]byte(token), &state))
	chunks, err := base64.StdEncoding.DecodeString(state.Chunks)
	require.NoError(t, err)
	var starts []int64
	for i := 0; i < len(chunks); i += 5 {
		if chunks[i] == 1 {
			starts = append(starts, int64(i/5)*state.Chunk)
		}
	}
	return starts
}

// uploadFailure requires err to be an *UploadError and gives its token.
func uploadFailure(t *testing.T, err error) ittybit.UploadToken {
	t.Helper()
	var failure *ittybit.UploadError
	require.ErrorAs(t, err, &failure)
	assert.NotContains(t, err.Error(), clientKey)
	return failure.Token
}

// uploadPattern is a file of any length that costs next to nothing to read.
type uploadPattern struct{ block []byte }

// ReadAt implements io.ReaderAt.
func (g uploadPattern) ReadAt(p []byte, off int64) (int, error) {
	for n := 0; n < len(p); {
		n += copy(p[n:], g.block[(off+int64(n))%int64(len(g.block)):])
	}
	return len(p), nil
}

// uploadBroken fails from an offset on, and counts how often.
type uploadBroken struct {
	at    int64
	err   error
	mu    sync.Mutex
	count int
}

// ReadAt implements io.ReaderAt.
func (b *uploadBroken) ReadAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) <= b.at {
		clear(p)
		return len(p), nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.count++
	return 0, b.err
}
