package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/ittybit/ittybit-go/internal/errtext"
	"github.com/ittybit/ittybit-go/internal/redact"
)

// ErrOutcomeUnknown is matched by the error of a call that may have acted though it failed.
var ErrOutcomeUnknown = errors.New("ittybit: outcome unknown")

// SourceError is why a request's body could not be read. It is not the network's fault,
// and another attempt would fail in the same way.
type SourceError struct{ Err error }

func (e *SourceError) Error() string { return e.Err.Error() }

// Unwrap gives the reader's own error.
func (e *SourceError) Unwrap() error { return e.Err }

// Failure is the error of a call that ended in something else than a plain response.
type Failure struct {
	text    string // made at once, so that no verb of fmt finds the key in here
	err     error  // why the last attempt failed
	status  error  // the last response's error, if there was one and it is not err
	ended   error  // the context's error, if that was the reason to stop
	unknown bool
}

// failure gives the call's error its shape: nil, the plain error of a response, or a
// *Failure around it.
func (c *call) failure(ctx context.Context) error {
	if c.err == nil {
		return nil
	}
	plain := c.status != nil && errors.Is(c.err, c.status)
	ended := c.ended
	if ended == nil && !plain {
		ended = ctx.Err()
	}
	if plain && !c.unknown && ended == nil && !c.noBudget {
		return c.err
	}
	f := &Failure{err: c.err, ended: ended, unknown: c.unknown}
	if !plain {
		f.status = c.status
	}
	f.text = c.describe(f, plain)
	return f
}

func (f *Failure) Error() string { return f.text }

// describe makes f's message. That of a plain response names the request itself.
func (c *call) describe(f *Failure, plain bool) string {
	var b strings.Builder
	b.WriteString("ittybit: ")
	if !plain {
		fmt.Fprintf(&b, "%s %s: ", c.request.Method, redact.URL(c.url))
	}
	if f.unknown {
		b.WriteString("outcome unknown, it may have been carried out: ")
	}
	if errors.Is(f.err, io.EOF) || errors.Is(f.err, io.ErrUnexpectedEOF) {
		b.WriteString("the connection was closed: ")
	}
	b.WriteString(errtext.Text(f.err))
	if f.ended != nil && !errors.Is(f.err, f.ended) {
		fmt.Fprintf(&b, "; not tried again: %v", f.ended)
	}
	if c.noBudget {
		fmt.Fprintf(&b, "; %v", errNoBudget)
	}
	if f.status != nil {
		fmt.Fprintf(&b, "; last response: %s", errtext.Text(f.status))
	}
	if c.response.Attempts > 1 {
		fmt.Fprintf(&b, " (after %d attempts)", c.response.Attempts)
	}
	return redact.Text(b.String(), c.secrets()...)
}

// Unwrap gives what errors.Is and errors.As look through.
func (f *Failure) Unwrap() []error {
	var errs []error
	for _, err := range []error{f.err, f.status, f.ended} {
		if err != nil {
			errs = append(errs, err)
		}
	}
	if f.unknown {
		errs = append(errs, ErrOutcomeUnknown)
	}
	return errs
}
