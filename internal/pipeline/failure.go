package pipeline

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/ittybit/ittybit-go/internal/redact"
)

// ErrOutcomeUnknown is matched by the error of a call that may have acted though it
// failed.
var ErrOutcomeUnknown = errors.New("ittybit: outcome unknown")

// Failure is the error of a call that ended in something else than a plain answer.
type Failure struct {
	method, url string
	key         string
	attempts    int
	err         error // why the last try failed
	status      error // the last answer's error, if there was one and it is not err
	ended       error // the context's error, if that was the reason to stop
	unknown     bool
}

// failure gives the call's error its shape: nil, the plain error of an answer, or a
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
	if plain && !c.unknown && ended == nil {
		return c.err
	}
	f := &Failure{
		method: c.request.Method, url: redact.URL(c.url), key: c.cfg.Key, attempts: c.answer.Attempts,
		err: c.err, ended: ended, unknown: c.unknown,
	}
	if !plain {
		f.status = c.status
	}
	return f
}

// Error implements error.
func (f *Failure) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "ittybit: %s %s: ", f.method, f.url)
	if f.unknown {
		b.WriteString("outcome unknown, it may have been carried out: ")
	}
	b.WriteString(inner(f.err))
	if f.ended != nil && !errors.Is(f.err, f.ended) {
		fmt.Fprintf(&b, "; not tried again: %v", f.ended)
	}
	if f.status != nil {
		fmt.Fprintf(&b, "; last answer: %s", inner(f.status))
	}
	if f.attempts > 1 {
		fmt.Fprintf(&b, " (after %d attempts)", f.attempts)
	}
	return redact.Text(b.String(), f.key)
}

// inner is an error's text without the prefix that the outer one has already.
func inner(err error) string { return strings.TrimPrefix(err.Error(), "ittybit: ") }

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
