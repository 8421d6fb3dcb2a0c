package ittybittest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"sync"
	"time"
)

// maxHeld is how many bytes of an answer are held back until the handler
// returns, as in the buffers of a connection. A longer one is handed over as the
// client reads it.
const maxHeld = 64 << 10

// memoryConn is the connection of one request.
type memoryConn struct {
	req      *http.Request
	trace    *httptrace.ClientTrace
	hangUp   context.CancelFunc // ends the handler's context
	answered chan memoryResult  // takes one result; further ones are dropped
	body     *memoryBody
	answer   memoryAnswer
}

func newMemoryConn(req *http.Request, trace *httptrace.ClientTrace, hangUp context.CancelFunc) *memoryConn {
	c := &memoryConn{req: req, trace: trace, hangUp: hangUp, answered: make(chan memoryResult, 1)}
	c.body = &memoryBody{conn: c, length: req.ContentLength}
	switch {
	case req.Body == nil || req.Body == http.NoBody:
		c.body.length = 0
	case req.ContentLength == 0:
		c.body.length = -1 // unknown, as in net/http
	}
	c.answer = memoryAnswer{conn: c, header: http.Header{}}
	return c
}

func (c *memoryConn) wroteHeaders() {
	if c.trace != nil && c.trace.WroteHeaders != nil {
		c.trace.WroteHeaders()
	}
	if c.body.length == 0 {
		c.body.finish(nil)
	}
}

// settle gives the client its result, unless it has one.
func (c *memoryConn) settle(result memoryResult) {
	select {
	case c.answered <- result:
	default:
	}
}

// close breaks off both bodies. What the handler does then reaches nobody.
func (c *memoryConn) close(cause error) {
	c.hangUp()
	c.body.abandon()
	c.answer.abandon(cause)
}

// end is when the handler has ended: whole, or in the middle of something.
func (c *memoryConn) end(whole bool) {
	c.body.finish(nil)
	if whole {
		c.answer.finish()
	} else {
		c.answer.abandon(io.ErrUnexpectedEOF)
	}
	c.settle(memoryResult{err: fmt.Errorf("ittybittest: connection dropped: %w", io.EOF)}) // unless there was an answer
	c.body.abandon()
	c.hangUp()
}

// memoryBody is a request's body as the handler sees it: it reads the client's.
type memoryBody struct {
	conn   *memoryConn
	length int64 // -1: unknown

	mu       sync.Mutex // not held while the client's body is read
	read     int64
	finished bool // there is nothing more to read
	broken   bool
	closed   bool
}

// Read implements io.Reader. What keeps the client from sending is the client's
// error; the handler sees no more than that the body is not whole.
func (b *memoryBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	broken, finished, left := b.broken || b.closed && !b.finished, b.finished, int64(len(p))
	if b.length >= 0 {
		left = min(left, b.length-b.read)
	}
	b.mu.Unlock()
	switch {
	case broken:
		return 0, io.ErrUnexpectedEOF
	case finished:
		return 0, io.EOF
	case len(p) == 0:
		return 0, nil
	}
	n, err := b.conn.req.Body.Read(p[:left])
	b.mu.Lock()
	b.read += int64(n)
	read := b.read
	b.mu.Unlock()
	if read == b.length && (err == nil || errors.Is(err, io.EOF)) {
		read, err = b.atEnd(read)
	}
	switch {
	case errors.Is(err, io.EOF) && (b.length < 0 || read == b.length):
		b.finish(nil)
		return n, io.EOF
	case errors.Is(err, io.EOF):
		err = fmt.Errorf("http: ContentLength=%d with Body length %d", b.length, read)
		fallthrough
	case err != nil:
		b.finish(err)
		return n, io.ErrUnexpectedEOF
	}
	return n, nil
}

// atEnd looks whether a body that should be at its end goes on, or fails.
func (b *memoryBody) atEnd(read int64) (int64, error) {
	n, err := io.ReadFull(b.conn.req.Body, make([]byte, 1))
	if n > 0 {
		err = io.EOF
	}
	return read + int64(n), err
}

// Close implements io.Closer.
func (b *memoryBody) Close() error { return nil }

// finish is the end of the body, or of the client's attempt to send it.
func (b *memoryBody) finish(err error) {
	b.mu.Lock()
	first := !b.finished && !b.broken
	b.finished, b.broken = b.finished || first && err == nil, b.broken || first && err != nil
	b.mu.Unlock()
	if !first {
		return
	}
	if err != nil {
		b.conn.settle(memoryResult{err: err})
	}
	if trace := b.conn.trace; trace != nil && trace.WroteRequest != nil {
		trace.WroteRequest(httptrace.WroteRequestInfo{Err: err})
	}
}

// abandon closes the client's body, which ends a read that waits for it.
func (b *memoryBody) abandon() {
	b.mu.Lock()
	first := !b.closed
	b.closed = true
	b.mu.Unlock()
	if first {
		closeBody(b.conn.req)
	}
}

// memoryAnswer is where the handler writes. It takes deadlines: one that is over
// does nothing that the end of the server does not do by itself.
type memoryAnswer struct {
	conn   *memoryConn
	header http.Header
	status int // 0 until the header was written
	sent   http.Header
	held   bytes.Buffer

	mu     sync.Mutex
	stream *io.PipeWriter // nil until the client has the answer
	gone   error          // nobody will
}

// Header implements http.ResponseWriter.
func (a *memoryAnswer) Header() http.Header { return a.header }

// SetReadDeadline is for http.ResponseController.
func (a *memoryAnswer) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline is for http.ResponseController.
func (a *memoryAnswer) SetWriteDeadline(time.Time) error { return nil }

// WriteHeader implements http.ResponseWriter.
func (a *memoryAnswer) WriteHeader(status int) {
	if a.status == 0 && status >= http.StatusOK {
		a.status, a.sent = status, a.header.Clone()
	}
}

// Write implements http.ResponseWriter.
func (a *memoryAnswer) Write(p []byte) (int, error) {
	if a.status == 0 {
		if a.header.Get("Content-Type") == "" {
			a.header.Set("Content-Type", http.DetectContentType(p))
		}
		a.WriteHeader(http.StatusOK)
	}
	a.mu.Lock()
	stream, gone := a.stream, a.gone
	a.mu.Unlock()
	switch {
	case gone != nil:
		return 0, gone
	case a.conn.req.Method == http.MethodHead:
		return len(p), nil
	case stream != nil:
		return stream.Write(p)
	}
	n, err := a.held.Write(p)
	if a.held.Len() > maxHeld {
		a.begin()
		err = a.pass()
	}
	return n, err
}

// FlushError is for http.ResponseController.
func (a *memoryAnswer) FlushError() error {
	a.WriteHeader(http.StatusOK)
	a.begin()
	return a.pass()
}

// begin hands the client an answer whose body is yet to come.
func (a *memoryAnswer) begin() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.stream != nil || a.gone != nil {
		return
	}
	reader, writer := io.Pipe()
	a.stream = writer
	a.conn.settle(memoryResult{resp: a.response(reader, -1)}) //nolint:bodyclose // the client closes it
}

// pass writes what was held back.
func (a *memoryAnswer) pass() error {
	a.mu.Lock()
	stream, gone := a.stream, a.gone
	a.mu.Unlock()
	if gone != nil {
		return gone
	}
	_, err := a.held.WriteTo(stream)
	return err
}

// finish hands the client the answer, or the end of it.
func (a *memoryAnswer) finish() {
	a.WriteHeader(http.StatusOK)
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.stream != nil:
		_ = a.stream.Close() // it has no error
	case a.gone == nil:
		a.conn.settle(memoryResult{resp: a.response(io.NopCloser(&a.held), int64(a.held.Len()))}) //nolint:bodyclose // the client closes it
	}
	a.gone = errors.Join(a.gone, errAborted) // it is over
}

// abandon breaks the answer off.
func (a *memoryAnswer) abandon(cause error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.gone != nil {
		return
	}
	a.gone = cause
	if a.stream != nil {
		_ = a.stream.CloseWithError(cause) // it has no error
	}
}

func (a *memoryAnswer) response(body io.ReadCloser, length int64) *http.Response {
	if given, err := strconv.ParseInt(a.sent.Get("Content-Length"), 10, 64); err == nil && length < 0 {
		length = given
	}
	if a.conn.req.Method == http.MethodHead {
		body = http.NoBody
	}
	return &http.Response{
		Status:     fmt.Sprintf("%03d %s", a.status, http.StatusText(a.status)),
		StatusCode: a.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: a.sent, Body: body, ContentLength: length, Request: a.conn.req,
	}
}
