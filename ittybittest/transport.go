package ittybittest

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"runtime/debug"
	"syscall"
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
	c := newMemoryConn(req, trace, hangUp)
	incoming := serverRequest(served, req) //nolint:contextcheck // as in net/http, client and server share no context
	incoming.Body, incoming.ContentLength = c.body, c.body.length
	if !t.life.start(func() { t.serve(handler, c, incoming) }) { //nolint:contextcheck // as above
		hangUp()
		closeBody(req)
		return nil, refused()
	}
	select {
	case result := <-c.answered:
		return result.resp, result.err
	case <-ctx.Done():
		c.close(context.Cause(ctx)) // now, and not a moment later: the handler sees it
		return nil, context.Cause(ctx)
	}
}

// serve runs the handler until it ends, one way or the other. It closes the
// connection when the client's context or the server ends.
func (t *memoryTransport) serve(handler http.Handler, c *memoryConn, incoming *http.Request) {
	stopClient := context.AfterFunc(c.req.Context(), func() { c.close(context.Cause(c.req.Context())) })
	defer stopClient()
	stopServer := context.AfterFunc(t.life.ctx, func() { c.close(errClosed) })
	defer stopServer()
	c.wroteHeaders()
	whole := false
	defer func() { c.end(whole) }() // also after runtime.Goexit
	whole = t.call(handler, c, incoming)
}

// call reports whether the handler has returned, and not panicked.
func (t *memoryTransport) call(handler http.Handler, c *memoryConn, incoming *http.Request) (returned bool) {
	defer func() {
		if p := recover(); p != nil && !isAbort(p) {
			t.logger.Error("ittybittest: a handler panicked", "panic", p, "stack", string(debug.Stack()))
		}
	}()
	handler.ServeHTTP(&c.answer, incoming)
	return true
}

func isAbort(p any) bool {
	err, ok := p.(error)
	return ok && errors.Is(err, http.ErrAbortHandler)
}

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
		Header: header, Host: host,
		RemoteAddr: "127.0.0.1:1", RequestURI: req.URL.RequestURI(),
	}
	if incoming.URL.Path == "" {
		incoming.URL.Path = "/"
	}
	return incoming.WithContext(ctx)
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		_ = req.Body.Close() // nothing was read from it
	}
}

func refused() error {
	return &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
}
