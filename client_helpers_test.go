package ittybit_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
)

// clientKey is the API key of the client tests: it must turn up nowhere but in the
// Authorization header.
const clientKey = "ittybit_test_k3y+/0a&1b"

const apiTask = `{"id":"task_1","object":"task","kind":"nsfw","status":"pending","created":"2025-01-10T12:34:56Z","updated":"2025-01-10T12:34:56Z"}`

var clientQuick = ittybit.WithRetryPolicy(ittybit.RetryPolicy{MinWait: time.Nanosecond, MaxWait: 2 * time.Second})

// clientFor makes a client of the server at baseURL, whose retries wait for nothing.
func clientFor(t *testing.T, baseURL string, opts ...ittybit.ClientOption) *ittybit.Client {
	t.Helper()
	client, err := ittybit.NewClient(clientKey, append([]ittybit.ClientOption{ittybit.WithBaseURL(baseURL), clientQuick}, opts...)...)
	require.NoError(t, err)
	return client
}

// apiRequest is a request as a server saw it.
type apiRequest struct {
	Method, Path, Query string
	Header              http.Header
	Body                string
}

// apiRecorder notes requests. It is safe for concurrent use.
type apiRecorder struct {
	mu   sync.Mutex
	seen []apiRequest
}

func (r *apiRecorder) note(req *http.Request) int {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		body = []byte("unreadable: " + err.Error())
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen = append(r.seen, apiRequest{req.Method, req.URL.EscapedPath(), req.URL.RawQuery, req.Header.Clone(), string(body)})
	return len(r.seen)
}

func (r *apiRecorder) all() []apiRequest {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]apiRequest(nil), r.seen...)
}

func (r *apiRecorder) count() int { return len(r.all()) }

// apiServer is an httptest server that records requests and answers the nth by
// handlers[n], further ones by the last.
func apiServer(t *testing.T, handlers ...http.HandlerFunc) (*httptest.Server, *apiRecorder) {
	t.Helper()
	recorder := &apiRecorder{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := recorder.note(r)
		handlers[min(n, len(handlers))-1](w, r)
	}))
	t.Cleanup(server.Close)
	return server, recorder
}

// apiAnswer answers; header is name, value, name, value, …
func apiAnswer(status int, body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Add(header[i], header[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// apiRoundTrip is a fake transport.
type apiRoundTrip func(*http.Request) (*http.Response, error)

func (f apiRoundTrip) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// apiFake is a client whose transport is answer, called with the number of the try.
func apiFake(t *testing.T, answer func(n int, req *http.Request) (*http.Response, error), opts ...ittybit.ClientOption) (*ittybit.Client, *apiRecorder) {
	t.Helper()
	recorder := &apiRecorder{}
	transport := apiRoundTrip(func(req *http.Request) (*http.Response, error) {
		if req.Body == nil {
			req.Body = http.NoBody
		}
		return answer(recorder.note(req), req)
	})
	opts = append([]ittybit.ClientOption{ittybit.WithHTTPClient(&http.Client{Transport: transport})}, opts...)
	client, err := ittybit.NewClient(clientKey, opts...)
	require.NoError(t, err)
	return client, recorder
}

// apiResponse makes an answer; header is name, value, name, value, …
func apiResponse(status int, body string, header ...string) (*http.Response, error) {
	resp := &http.Response{StatusCode: status, Header: make(http.Header), Body: io.NopCloser(strings.NewReader(body))}
	for i := 0; i < len(header); i += 2 {
		resp.Header.Add(header[i], header[i+1])
	}
	return resp, nil
}

// apiAlways is a fake transport's answer to everything.
func apiAlways(status int, body string, header ...string) func(int, *http.Request) (*http.Response, error) {
	return func(int, *http.Request) (*http.Response, error) { return apiResponse(status, body, header...) }
}

// apiRawServer is a server that may cut connections: it reads the nth request and
// calls step, which answers on conn and reports whether the connection is kept.
func apiRawServer(t *testing.T, step func(n int, conn net.Conn) (keep bool)) (baseURL string, recorder *apiRecorder) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	recorder = &apiRecorder{}
	var running sync.WaitGroup
	serve := func(conn net.Conn) {
		defer func() { _ = conn.Close() }()
		reader := bufio.NewReader(conn)
		for {
			req, err := http.ReadRequest(reader)
			if err != nil {
				return
			}
			if !step(recorder.note(req), conn) {
				return
			}
		}
	}
	running.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			running.Go(func() { serve(conn) })
		}
	})
	t.Cleanup(func() { assert.NoError(t, listener.Close()) })
	return "http://" + listener.Addr().String(), recorder
}

// apiWrite writes an answer to a raw connection.
func apiWrite(conn net.Conn, status int, body string, header ...string) {
	var b strings.Builder
	b.WriteString("HTTP/1.1 " + strconv.Itoa(status) + " " + http.StatusText(status) + "\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n")
	for i := 0; i < len(header); i += 2 {
		b.WriteString(header[i] + ": " + header[i+1] + "\r\n")
	}
	_, _ = io.WriteString(conn, b.String()+"\r\n"+body)
}

// apiRefusedURL is the address of a port that nobody listens on.
func apiRefusedURL(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, listener.Close())
	return "http://" + listener.Addr().String()
}

// apiMembers decodes a JSON object, its numbers as they are written.
func apiMembers(t *testing.T, text string) map[string]any {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	var members map[string]any
	require.NoError(t, dec.Decode(&members), text)
	return members
}

// clientParamError requires err to be a *ParamError of the given parameter.
func clientParamError(t *testing.T, err error, param string) {
	t.Helper()
	var paramError *ittybit.ParamError
	require.ErrorAs(t, err, &paramError)
	assert.Equal(t, param, paramError.Param)
	assert.NotEmpty(t, paramError.Reason)
	assert.True(t, strings.HasPrefix(err.Error(), "ittybit: "+param+" "), err.Error())
}

var errAPICut = errors.New("connection cut")

// clientNoContext is what the client must refuse.
var clientNoContext context.Context

// apiKeySpelled gives the values of a header in a spelling that net/http does not know.
func apiKeySpelled(header http.Header, name string) []string {
	return map[string][]string(header)[name]
}

func clientPtr[T any](v T) *T { return &v }

// clientCaptureStderr gives what is written to standard error, and to the standard
// logger, while run runs.
func clientCaptureStderr(t *testing.T, run func()) string {
	t.Helper()
	file, err := os.CreateTemp(t.TempDir(), "stderr")
	require.NoError(t, err)
	defer func() { assert.NoError(t, file.Close()) }()
	oldStderr, oldLog := os.Stderr, log.Writer()
	os.Stderr = file
	log.SetOutput(file)
	defer func() {
		os.Stderr = oldStderr
		log.SetOutput(oldLog)
	}()
	run()
	data, err := os.ReadFile(file.Name())
	require.NoError(t, err)
	return string(data)
}
