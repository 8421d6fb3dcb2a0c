package pipeline

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const testKey = "ittybit_test_k3y"

// roundTrip is a fake next step.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// script responds to one attempt after the other, and by its last step to all further ones.
type script struct {
	steps    []roundTrip
	requests []*http.Request
	bodies   []string
}

func (s *script) RoundTrip(req *http.Request) (*http.Response, error) {
	body := ""
	if req.Body != nil {
		data, err := io.ReadAll(req.Body)
		if err != nil {
			return nil, err
		}
		body = string(data)
	}
	step := s.steps[min(len(s.requests), len(s.steps)-1)]
	s.requests = append(s.requests, req)
	s.bodies = append(s.bodies, body)
	return step(req)
}

func (s *script) attempts() int { return len(s.requests) }

// response is a step that responds; header is name, value, name, value, …
func response(status int, body string, header ...string) roundTrip {
	return func(req *http.Request) (*http.Response, error) {
		traceOf(req).wrote()
		resp := &http.Response{
			StatusCode: status, Status: http.StatusText(status), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
			Header: make(http.Header), Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)), Request: req,
		}
		for i := 0; i < len(header); i += 2 {
			resp.Header.Set(header[i], header[i+1])
		}
		return resp, nil
	}
}

var errCut = errors.New("connection cut")

// refused fails before a connection is there, cut after the request was sent, and
// silent without saying anything about it.
func refused(req *http.Request) (*http.Response, error) {
	traceOf(req).asked()
	return nil, errCut
}

func cut(req *http.Request) (*http.Response, error) {
	traceOf(req).wrote()
	return nil, errCut
}

func silent(*http.Request) (*http.Response, error) { return nil, errCut }

// fakeTrace calls the hooks as net/http's Transport does.
type fakeTrace struct{ *httptrace.ClientTrace }

func traceOf(req *http.Request) fakeTrace {
	return fakeTrace{httptrace.ContextClientTrace(req.Context())}
}

func (f fakeTrace) asked() { f.GetConn("host:443") }

func (f fakeTrace) got() {
	f.asked()
	f.GotConn(httptrace.GotConnInfo{})
}

func (f fakeTrace) wrote() {
	f.got()
	if f.WroteHeaders != nil { // as net/http looks
		f.WroteHeaders()
	}
}

// cutBody is the body of a response that breaks off.
type cutBody struct{ io.Reader }

func (b cutBody) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func (cutBody) Close() error { return nil }

// statusError is what the tests' StatusError makes.
type statusError struct{ Problem }

func (e *statusError) Error() string {
	return fmt.Sprintf("ittybit: %s %s: %d: %s", e.Method, e.URL, e.StatusCode, e.Body)
}

func testConfig(t *testing.T, transport http.RoundTripper) Config {
	t.Helper()
	base, err := url.Parse("https://api.example/v1")
	require.NoError(t, err)
	return Config{
		BaseURL: base, Key: func() string { return testKey }, UserAgent: "test/1", APIVersion: "2025-08-20",
		HTTPClient:  &http.Client{Transport: transport},
		Policy:      Policy{MaxAttempts: 4, MinWait: 500 * time.Millisecond, MaxWait: 30 * time.Second},
		StatusError: func(p Problem) error { return &statusError{p} },
	}
}

// do makes a call through a pipeline whose transport is a script of steps.
func do(ctx context.Context, t *testing.T, r Request, change func(*Config), steps ...roundTrip) (*script, Response, error) {
	t.Helper()
	s := &script{steps: steps}
	cfg := testConfig(t, s)
	if change != nil {
		change(&cfg)
	}
	resp, err := New(cfg).Do(ctx, r)
	return s, resp, err
}

var (
	get    = Request{Method: http.MethodGet, Path: "/tasks/task_1"}
	remove = Request{Method: http.MethodDelete, Path: "/tasks/task_1"}
	create = Request{Method: http.MethodPost, Path: "/tasks", Body: []byte(`{"kind":"nsfw"}`), Creates: true, IdempotencyKey: "idem-1"}
)

// keyOf gives the idempotency key in the spelling that net/http does not know.
func keyOf(header http.Header) []string { return map[string][]string(header)["idempotency-key"] }

// debugLog is a logger that writes everything to a buffer.
func debugLog() (*slog.Logger, *bytes.Buffer) {
	var b bytes.Buffer
	return slog.New(slog.NewTextHandler(&b, &slog.HandlerOptions{Level: slog.LevelDebug})), &b
}
