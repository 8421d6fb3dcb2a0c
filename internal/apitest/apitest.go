// Package apitest has what tests of the client share: servers and transports that play the API.
package apitest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
)

// Key is the API key of the client tests: it must turn up nowhere but in the Authorization header.
const Key = "ittybit_test_k3y+/0a&1b"

// Task is a task as the API sends it.
const Task = `{"id":"task_1","object":"task","kind":"nsfw","status":"pending","created":"2025-01-10T12:34:56Z","updated":"2025-01-10T12:34:56Z"}`

// Quick is a retry policy whose waits take no time.
var Quick = ittybit.WithRetryPolicy(ittybit.RetryPolicy{MinWait: time.Nanosecond, MaxWait: 2 * time.Second})

// Client makes a client of the server at baseURL, whose retries wait for nothing.
func Client(t *testing.T, baseURL string, opts ...ittybit.ClientOption) *ittybit.Client {
	t.Helper()
	client, err := ittybit.NewClient(Key, append([]ittybit.ClientOption{ittybit.WithBaseURL(baseURL), Quick}, opts...)...)
	require.NoError(t, err)
	return client
}

// Request is a request as a server saw it.
type Request struct {
	Method, Path, Query string
	Header              http.Header
	Body                string
}

// Recorder notes requests. It is safe for concurrent use.
type Recorder struct {
	mu   sync.Mutex
	seen []Request
}

// Note records a request, and gives how many there are.
func (r *Recorder) Note(req *http.Request) int {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		body = []byte("unreadable: " + err.Error())
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen = append(r.seen, Request{req.Method, req.URL.EscapedPath(), req.URL.RawQuery, req.Header.Clone(), string(body)})
	return len(r.seen)
}

// All gives the requests so far.
func (r *Recorder) All() []Request {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.seen)
}

// Count gives how many requests there are.
func (r *Recorder) Count() int { return len(r.All()) }

// Server is an httptest server that records requests and responds to the nth by
// handlers[n], further ones by the last.
func Server(t *testing.T, handlers ...http.HandlerFunc) (*httptest.Server, *Recorder) {
	t.Helper()
	recorder := &Recorder{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := recorder.Note(r)
		handlers[min(n, len(handlers))-1](w, r)
	}))
	t.Cleanup(server.Close)
	return server, recorder
}

// Respond responds; header is name, value, name, value, …
func Respond(status int, body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for pair := range slices.Chunk(header, 2) {
			w.Header().Add(pair[0], pair[1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// RoundTripper is a fake transport.
type RoundTripper func(*http.Request) (*http.Response, error)

// RoundTrip implements [http.RoundTripper].
func (f RoundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// Fake is a client whose transport is respond, called with the number of the attempt.
func Fake(t *testing.T, respond func(n int, req *http.Request) (*http.Response, error), opts ...ittybit.ClientOption) (*ittybit.Client, *Recorder) {
	t.Helper()
	recorder := &Recorder{}
	transport := RoundTripper(func(req *http.Request) (*http.Response, error) {
		if req.Body == nil {
			req.Body = http.NoBody
		}
		return respond(recorder.Note(req), req)
	})
	opts = append([]ittybit.ClientOption{ittybit.WithHTTPClient(&http.Client{Transport: transport})}, opts...)
	client, err := ittybit.NewClient(Key, opts...)
	require.NoError(t, err)
	return client, recorder
}

// Response makes a response; header is name, value, name, value, …
func Response(status int, body string, header ...string) (*http.Response, error) {
	resp := &http.Response{StatusCode: status, Header: make(http.Header), Body: io.NopCloser(strings.NewReader(body))}
	for pair := range slices.Chunk(header, 2) {
		resp.Header.Add(pair[0], pair[1])
	}
	return resp, nil
}

// Always is a fake transport's response to everything.
func Always(status int, body string, header ...string) func(int, *http.Request) (*http.Response, error) {
	return func(int, *http.Request) (*http.Response, error) { return Response(status, body, header...) }
}

// RefusedURL is the address of a port that nobody listens on.
func RefusedURL(t *testing.T) string {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, listener.Close())
	return "http://" + listener.Addr().String()
}

// Fields decodes a JSON object, its numbers as they are written.
func Fields(t *testing.T, text string) map[string]any {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	var fields map[string]any
	require.NoError(t, dec.Decode(&fields), text)
	return fields
}

// RequireParamError requires err to be a *ParamError of the given parameter.
func RequireParamError(t *testing.T, err error, param string) {
	t.Helper()
	var paramError *ittybit.ParamError
	require.ErrorAs(t, err, &paramError)
	assert.Equal(t, param, paramError.Param)
	assert.NotEmpty(t, paramError.Reason)
	assert.True(t, strings.HasPrefix(err.Error(), "ittybit: "+param+" "), err.Error())
}

// NoContext is what the client must refuse.
var NoContext context.Context

// KeySpelled gives the values of a header in a spelling that net/http does not know.
func KeySpelled(header http.Header, name string) []string {
	return map[string][]string(header)[name]
}

// Log is a log at Debug that several goroutines write to and a test searches.
type Log struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// Reset empties the log.
func (l *Log) Reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.b.Reset()
}

// Logger gives a logger that writes to l.
func (l *Log) Logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// TaskIDs gives n ids, from task_0 on.
func TaskIDs(n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprintf("task_%d", i)
	}
	return ids
}

// RaceEnabled reports whether the race detector is on: under it sync.Pool drops some of what it
// is given, so that allocations can't be counted.
func RaceEnabled() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}
