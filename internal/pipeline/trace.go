package pipeline

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
)

// wireTrace notes how far an attempt came. The hooks may run in the transport's
// goroutines, even after the attempt has returned.
type wireTrace struct {
	started atomic.Bool // the transport was called at all
	asked   atomic.Bool // a connection was asked for
	got     atomic.Bool // there was one
	wrote   atomic.Bool // headers were written, at least to the connection's buffer
	stopped atomic.Bool // the transport was about to send the request again, and must not

	mu    sync.Mutex
	there route // to the host that a connection was last asked for
}

// route is how a request got to one host. A caller's RoundTripper may make requests of
// its own to other hosts, for a token for example, under the context of the one it is given.
type route struct {
	host  string
	conn  net.Conn // the latest one
	conns int      // how many there were, one after the other
	http2 bool
	wrote bool
}

// maxConnections is how many connections an HTTP/2 transport may use in one attempt.
const maxConnections = 4

// errSentAgain ends an attempt in which net/http was about to repeat the request by itself.
var errSentAgain = errors.New("the HTTP/2 connection failed before the response came")

// mustStop reports whether the transport goes too far when it takes conn. Over HTTP/2,
// net/http sends a request again, whatever its method, when the server has reset its
// stream with REFUSED_STREAM or PROTOCOL_ERROR or has gone away without it; and after
// PROTOCOL_ERROR, where the server may have acted, without bound and without a wait. It
// does not say which of these it was. A refused stream goes out again on the same
// connection; on another one, what creates something is not sent twice.
func (t *wireTrace) mustStop(conn net.Conn, creates bool) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := &t.there
	if !sameConn(r.conn, conn) {
		r.conn = conn
		r.conns++
	}
	stop := r.http2 && (r.conns > maxConnections || creates && r.conns > 1 && r.wrote)
	if secured, ok := conn.(*tls.Conn); ok && secured.ConnectionState().NegotiatedProtocol == "h2" {
		r.http2 = true
	}
	return stop
}

// sameConn is a == b, also for connections of a caller's own that can't be compared.
func sameConn(a, b net.Conn) bool {
	return a != nil && b != nil && reflect.TypeOf(a).Comparable() && reflect.TypeOf(b).Comparable() && a == b
}

// heads notes for which host a connection is asked.
func (t *wireTrace) heads(host string) {
	t.asked.Store(true)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.there.host != host {
		t.there = route{host: host}
	}
}

func (t *wireTrace) wroteHeaders() {
	t.wrote.Store(true)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.there.wrote = true
}

// wroteField notes whether a header shows that this is HTTP/2: it has pseudo-headers.
func (t *wireTrace) wroteField(name string, _ []string) {
	if strings.HasPrefix(name, ":") {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.there.http2 = true
	}
}

// maySend reports whether the service may have seen the attempt. It is false only where
// that can be known: a connection was asked for and no headers were written. Where the
// attempt was given up with a connection in hand, the headers may be going out just then.
// A transport that gives no trace leaves everything open.
func (t *wireTrace) maySend(givenUp bool) bool {
	switch {
	case !t.started.Load():
		return false
	case t.wrote.Load() || !t.asked.Load():
		return true
	default:
		return t.got.Load() && givenUp
	}
}

// givenUp reports whether an attempt ended in err because nobody waited for it any longer.
// Where the context was ended with a cause of the caller's own, err is that.
func givenUp(ctx context.Context, err error) bool {
	var timeout interface{ Timeout() bool }
	return ctx.Err() != nil || (errors.As(err, &timeout) && timeout.Timeout())
}

// traced renews the trace for each attempt, and adds the key.
type traced struct {
	next    http.RoundTripper
	trace   *atomic.Pointer[wireTrace]
	creates bool
	origin  *url.URL // nil: the call is anonymous
	bearer  Secret   // what carries the key in its header
}

// attempt is one on its way through the transport. What it needs is one piece of memory.
type attempt struct {
	wireTrace
	hooks   httptrace.ClientTrace
	creates bool
	cancel  context.CancelCauseFunc
	key     [1]string
	url     url.URL
	body    io.ReadCloser // of the response
}

func (t *traced) RoundTrip(req *http.Request) (*http.Response, error) {
	a := &attempt{creates: t.creates}
	t.trace.Store(&a.wireTrace)
	if err := req.Context().Err(); err != nil { // a transport would say so without a trace
		if req.Body != nil {
			_ = req.Body.Close()
		}
		return nil, err
	}
	a.started.Store(true)
	ctx, cancel := context.WithCancelCause(req.Context())
	a.cancel = cancel
	a.hooks.GetConn, a.hooks.GotConn = a.heads, a.gotConn
	if t.creates { // of other calls nobody asks
		a.hooks.WroteHeaders = a.wroteHeaders
	}
	if req.URL.Scheme == "http" && (t.creates || maySpeakHTTP2(t.next)) { // which shows by its pseudo-headers only
		a.hooks.WroteHeaderField = a.wroteField
	}
	ctx = httptrace.WithClientTrace(ctx, &a.hooks)
	req = req.WithContext(ctx)
	guard(req, &a.wireTrace)
	// A caller's transport may change its request in place, though it must not.
	a.url, req.Header = *req.URL, req.Header.Clone()
	req.URL = &a.url
	t.authenticate(req, &a.key)
	resp, err := t.next.RoundTrip(req)
	if err != nil || resp == nil || resp.Body == nil {
		cancel(nil)
		if a.stopped.Load() && err != nil {
			err = errSentAgain
		}
		return resp, err
	}
	a.body, resp.Body = resp.Body, a
	return resp, nil
}

// maySpeakHTTP2 reports whether a transport may use HTTP/2 without TLS. Go's own does so only
// where it is told to, if not by RegisterProtocol; of others nothing is known.
func maySpeakHTTP2(transport http.RoundTripper) bool {
	known, ok := transport.(*http.Transport)
	return !ok || known.Protocols != nil && known.Protocols.UnencryptedHTTP2()
}

func (a *attempt) gotConn(info httptrace.GotConnInfo) {
	a.got.Store(true)
	if a.mustStop(info.Conn, a.creates) {
		a.stopped.Store(true)
		a.cancel(errSentAgain)
	}
}

func (a *attempt) Read(p []byte) (int, error) { return a.body.Read(p) }

// Close ends the context too: the response has been read.
func (a *attempt) Close() error {
	err := a.body.Close()
	a.cancel(nil)
	return err
}

// guard makes a body that is read once more fail where the request must not be sent again: its
// headers may go out before the end of the context is seen, but never all of it.
func guard(req *http.Request, trace *wireTrace) {
	if rewind := req.GetBody; rewind != nil && req.Body != nil {
		req.GetBody = func() (io.ReadCloser, error) {
			body, err := rewind()
			return &guardedBody{body, trace}, err
		}
	}
}

type guardedBody struct {
	io.ReadCloser
	trace *wireTrace
}

func (b *guardedBody) Read(p []byte) (int, error) {
	if b.trace.stopped.Load() {
		return 0, errSentAgain
	}
	return b.ReadCloser.Read(p)
}
