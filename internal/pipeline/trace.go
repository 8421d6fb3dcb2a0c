package pipeline

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
)

// wireTrace notes how far a try came. The hooks may run in the transport's
// goroutines, even after the try has returned.
type wireTrace struct {
	started atomic.Bool // the transport was called at all
	asked   atomic.Bool // a connection was asked for
	got     atomic.Bool // there was one
	wrote   atomic.Bool // headers were written, at least to the connection's buffer
}

// maySend reports whether the service may have seen the try. It is false only where
// that can be known: a connection was asked for and no headers were written. Where the
// try was given up with a connection in hand, the headers may be going out just then.
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

// givenUp reports whether a try ended in err because nobody waited for it any longer.
// Where the context was ended with a cause of the caller's own, err is that.
func givenUp(ctx context.Context, err error) bool {
	var timeout interface{ Timeout() bool }
	return ctx.Err() != nil || (errors.As(err, &timeout) && timeout.Timeout())
}

// traced renews the trace for each try.
type traced struct {
	next  http.RoundTripper
	trace *atomic.Pointer[wireTrace]
}

func (t *traced) RoundTrip(req *http.Request) (*http.Response, error) {
	trace := &wireTrace{}
	t.trace.Store(trace)
	if err := req.Context().Err(); err != nil { // a transport would say so without a trace
		if req.Body != nil {
			_ = req.Body.Close()
		}
		return nil, err
	}
	trace.started.Store(true)
	ctx := httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
		GetConn:      func(string) { trace.asked.Store(true) },
		GotConn:      func(httptrace.GotConnInfo) { trace.got.Store(true) },
		WroteHeaders: func() { trace.wrote.Store(true) },
	})
	return t.next.RoundTrip(req.WithContext(ctx))
}
