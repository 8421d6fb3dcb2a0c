package ittybittest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/url"
	"runtime/debug"
	"syscall"
	"time"
)

// memoryTransport is HTTP without sockets: a RoundTripper that calls a handler
// in a goroutine of its own.
type memoryTransport struct {
	life    *lifecycle
	logger  *slog.Logger
	handler http.Handler            // for every host not in hosts; nil: nobody listens
	hosts   map[string]http.Handler // by URL host
}

type memoryResult struct {
	resp *http.Response
	err  error
}

// RoundTrip returns as soon as the request's context ends. The handler then
// goes on with a cancelled context, as behind a connection that was closed.
func (t *memoryTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx := req.Context()
	trace := httptrace.ContextClientTrace(ctx)
	if trace != nil && trace.GetConn != nil {
		trace.GetConn(req.URL.Host)
	}
	if ctx.Err() != nil {
		closeBody(req)
		return nil, context.Cause(ctx)
	}
	handler := t.handler
	if h, ok := t.hosts[req.URL.Host]; ok {
		handler = h
	}
	if handler == nil {
		closeBody(req)
		return nil, refused()
	}
	// A handler sees nothing of the client's context but its end.
	served, hangUp := context.WithCancel(context.Background())
	defer hangUp()
	answered := make(chan memoryResult, 1)
	incoming := serverRequest(served, req) //nolint:contextcheck // as in net/http, client and server share no context
	started := t.life.start(func() { t.serve(handler, req, incoming, trace, answered) })
	if !started {
		closeBody(req)
		return nil, refused()
	}
	select {
	case result := <-answered:
		return result.resp, result.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// serve sends the request's body to the handler, and its answer back. It sends
// exactly one result that is received, whatever the handler does.
func (t *memoryTransport) serve(handler http.Handler, req, incoming *http.Request, trace *httptrace.ClientTrace, answered chan<- memoryResult) {
	body, err := readAndClose(req)
	if err == nil && req.Context().Err() != nil {
		return
	}
	result := memoryResult{err: fmt.Errorf("ittybittest: connection dropped: %w", io.EOF)}
	incoming.Body = io.NopCloser(bytes.NewReader(body))
	if err != nil {
		answered <- memoryResult{err: err}
		incoming.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body), brokenReader{}))
	} else {
		incoming.ContentLength = int64(len(body))
		defer func() { answered <- result }()
	}
	if trace != nil && trace.WroteHeaders != nil {
		trace.WroteHeaders()
	}
	if trace != nil && trace.WroteRequest != nil {
		trace.WroteRequest(httptrace.WroteRequestInfo{Err: err})
	}
	if resp := t.call(handler, req, incoming); resp != nil { //nolint:bodyclose // the client closes it
		result = memoryResult{resp: resp}
	}
}

// call runs the handler. It returns nil if that panicked.
func (t *memoryTransport) call(handler http.Handler, req, incoming *http.Request) (resp *http.Response) {
	recorder := &memoryResponse{httptest.NewRecorder()}
	defer func() {
		if p := recover(); p != nil && !isAbort(p) {
			t.logger.Error("ittybittest: a handler panicked", "panic", p, "stack", string(debug.Stack()))
		}
	}()
	handler.ServeHTTP(recorder, incoming)
	resp = recorder.Result()
	resp.Proto, resp.ProtoMajor, resp.ProtoMinor = "HTTP/1.1", 1, 1
	resp.Request = req
	resp.ContentLength = int64(recorder.Body.Len())
	if req.Method == http.MethodHead {
		resp.Body = http.NoBody
	}
	return resp
}

func isAbort(p any) bool {
	err, ok := p.(error)
	return ok && errors.Is(err, http.ErrAbortHandler)
}

// memoryResponse takes deadlines, which nothing in memory can miss.
type memoryResponse struct{ *httptest.ResponseRecorder }

func (memoryResponse) SetReadDeadline(time.Time) error  { return nil }
func (memoryResponse) SetWriteDeadline(time.Time) error { return nil }

// serverRequest makes what a server would see of a client's request.
func serverRequest(ctx context.Context, req *http.Request) *http.Request {
	header := http.Header{}
	for name, values := range req.Header {
		name = http.CanonicalHeaderKey(name)
		header[name] = append(header[name], values...)
	}
	if _, ok := header["User-Agent"]; !ok {
		header.Set("User-Agent", "Go-http-client/1.1")
	}
	host := req.Host
	if host == "" {
		host = req.URL.Host
	}
	method := req.Method
	if method == "" {
		method = http.MethodGet
	}
	incoming := &http.Request{
		Method: method,
		URL:    &url.URL{Path: req.URL.Path, RawPath: req.URL.RawPath, RawQuery: req.URL.RawQuery},
		Proto:  "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: header, Host: host, ContentLength: req.ContentLength,
		RemoteAddr: "127.0.0.1:1", RequestURI: req.URL.RequestURI(),
	}
	if incoming.URL.Path == "" {
		incoming.URL.Path = "/"
	}
	return incoming.WithContext(ctx)
}

func readAndClose(req *http.Request) ([]byte, error) {
	if req.Body == nil {
		return nil, nil
	}
	body, err := io.ReadAll(req.Body)
	if closeErr := req.Body.Close(); err == nil {
		err = closeErr
	}
	return body, err
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		_ = req.Body.Close() // nothing was read from it
	}
}

// brokenReader is the rest of a body whose sender hung up.
type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func refused() error {
	return &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
}
