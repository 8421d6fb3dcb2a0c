package ittybit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"

	"github.com/ittybit/ittybit-go/internal/errtext"
)

// Outcome is what became of a delivery, in a word for logs and metrics.
type Outcome string

// The outcomes of deliveries, with the status of the response. Those of [Reconcile], which responds
// to nobody, are handled, ignored, duplicate, discarded, failed, panicked and retry_later.
const (
	OutcomeHandled            Outcome = "handled"             // 200
	OutcomeIgnored            Outcome = "ignored"             // 200: an EventMux had no handler for it
	OutcomeDuplicate          Outcome = "duplicate"           // 200: handled before
	OutcomeDiscarded          Outcome = "discarded"           // 200: see Discard
	OutcomeMethodNotAllowed   Outcome = "method_not_allowed"  // 405
	OutcomeBodyTooLarge       Outcome = "body_too_large"      // 413
	OutcomeBodyTimeout        Outcome = "body_timeout"        // 408
	OutcomeBodyUnreadable     Outcome = "body_unreadable"     // 400: the sender hung up, or broke the protocol
	OutcomeOverBudget         Outcome = "over_budget"         // 503: see WithMaxBufferedBytes
	OutcomeSignatureMissing   Outcome = "signature_missing"   // 401
	OutcomeSignatureMalformed Outcome = "signature_malformed" // 401
	OutcomeSignatureMismatch  Outcome = "signature_mismatch"  // 401
	OutcomeSignatureExpired   Outcome = "signature_expired"   // 401: authentic, but too old
	OutcomeNoSecrets          Outcome = "no_secrets"          // 503: see WithSecretsFunc
	OutcomeMalformedEvent     Outcome = "malformed_event"     // 400: signed, but not a JSON object
	OutcomeUnroutableEvent    Outcome = "unroutable_event"    // 500: signed; see ErrUnroutableEvent
	OutcomeFailed             Outcome = "failed"              // 500: the handler returned an error
	OutcomePanicked           Outcome = "panicked"            // 500: also with http.ErrAbortHandler
	OutcomeRetryLater         Outcome = "retry_later"         // 503: see RetryLater
	OutcomeTimedOut           Outcome = "timed_out"           // 503: see WithProcessingTimeout
	OutcomeOverloaded         Outcome = "overloaded"          // 503: see WithMaxInFlight
	OutcomeAborted            Outcome = "aborted"             // 500: the handler ended its goroutine
)

// responses says what goes with each outcome but handled: the status of the response, the level of
// the log line, and what to do, where something can be done. What is well is Info, what a stranger
// can cause at will or what goes away by itself is Warn, what needs somebody is Error.
var responses = []struct {
	outcome Outcome
	status  int
	level   slog.Level
	hint    string
}{
	{OutcomeIgnored, http.StatusOK, slog.LevelInfo, ""},
	{OutcomeDuplicate, http.StatusOK, slog.LevelInfo, ""},
	{OutcomeDiscarded, http.StatusOK, slog.LevelError, ""},
	{OutcomeMethodNotAllowed, http.StatusMethodNotAllowed, slog.LevelWarn, ""},
	{OutcomeBodyTooLarge, http.StatusRequestEntityTooLarge, slog.LevelWarn, "WithMaxBodyBytes sets the limit; one of a middleware or framework counts too"},
	{OutcomeBodyTimeout, http.StatusRequestTimeout, slog.LevelWarn, "WithReadTimeout sets the limit; a shorter one of the server counts too"},
	{OutcomeBodyUnreadable, http.StatusBadRequest, slog.LevelWarn, ""},
	{OutcomeOverBudget, http.StatusServiceUnavailable, slog.LevelWarn, "Ittybit delivers it again; WithMaxBufferedBytes sets the limit"},
	{OutcomeSignatureMissing, http.StatusUnauthorized, slog.LevelWarn, ""}, // see signatureHint, also for the next two
	{OutcomeSignatureMalformed, http.StatusUnauthorized, slog.LevelWarn, ""},
	{OutcomeSignatureMismatch, http.StatusUnauthorized, slog.LevelWarn, ""},
	{OutcomeSignatureExpired, http.StatusUnauthorized, slog.LevelError, ""},
	{OutcomeNoSecrets, http.StatusServiceUnavailable, slog.LevelWarn, "Ittybit delivers it again; the function of WithSecretsFunc has given no usable secret yet"},
	{OutcomeMalformedEvent, http.StatusBadRequest, slog.LevelError, ""},
	{OutcomeUnroutableEvent, http.StatusInternalServerError, slog.LevelError,
		"Ittybit delivers it again; a newer version of this module may know its form, and the payload is logged at level Debug"},
	{OutcomeFailed, http.StatusInternalServerError, slog.LevelError, "Ittybit delivers it again; return ittybit.Discard(err) for what can never be handled"},
	{OutcomePanicked, http.StatusInternalServerError, slog.LevelError, "Ittybit delivers it again; the stack shows where it panicked"},
	{OutcomeRetryLater, http.StatusServiceUnavailable, slog.LevelWarn, ""},
	{OutcomeTimedOut, http.StatusServiceUnavailable, slog.LevelWarn, "Ittybit delivers it again; hand work that takes longer than WithProcessingTimeout to a queue"},
	{OutcomeOverloaded, http.StatusServiceUnavailable, slog.LevelWarn, "Ittybit delivers it again; WithMaxInFlight sets the limit"},
	{OutcomeAborted, http.StatusInternalServerError, slog.LevelError, "Ittybit delivers it again; the handler called runtime.Goexit, as FailNow of package testing does"},
}

func (o Outcome) about() (status int, level slog.Level, hint string) {
	if o == OutcomeHandled { // the common one is not looked up
		return http.StatusOK, slog.LevelInfo, ""
	}
	for _, row := range responses {
		if row.outcome == o {
			return row.status, row.level, row.hint
		}
	}
	return http.StatusInternalServerError, slog.LevelError, ""
}

// OutcomeOf says what the error of an [EventHandler] means to whoever called it:
// [OutcomeHandled], [OutcomeDuplicate], [OutcomeDiscarded], [OutcomeFailed], or
// [OutcomeRetryLater] with the time to wait. It is for those who write a handler around
// another one: after the first three the event must not come again.
//
// What stands outermost in the error counts. Of joined errors the worst counts: one that failed
// must not hide behind one that was discarded. Only wrapping is followed; Is and As methods are
// not asked. Of several times to wait, the longest is given.
func OutcomeOf(err error) (Outcome, time.Duration) {
	steps := maxErrorSteps
	return outcomeOf(err, &steps)
}

// maxErrorSteps bounds the walk through an error, which may wrap itself, or hold itself twice.
const maxErrorSteps = 1000

func outcomeOf(err error, steps *int) (Outcome, time.Duration) {
	if *steps == 0 {
		return OutcomeFailed, 0
	}
	*steps--
	switch e := err.(type) { //nolint:errorlint // it walks the tree by itself
	case nil:
		return OutcomeHandled, 0
	case *RetryLaterError:
		if e == nil {
			return OutcomeFailed, 0 // a mistake of the handler's
		}
		return OutcomeRetryLater, e.After
	case *DiscardError:
		if e == nil {
			return OutcomeFailed, 0 // as above
		}
		return OutcomeDiscarded, 0
	case interface{ Unwrap() error }:
		if inner := e.Unwrap(); inner != nil && err != ErrAlreadyHandled { //nolint:errorlint // as above
			return outcomeOf(inner, steps)
		}
	case interface{ Unwrap() []error }:
		worst, longest := OutcomeHandled, time.Duration(0)
		for _, inner := range e.Unwrap() {
			outcome, after := outcomeOf(inner, steps)
			if slices.Index(bySeverity, outcome) > slices.Index(bySeverity, worst) {
				worst = outcome
			}
			longest = max(longest, after)
		}
		if worst != OutcomeHandled {
			return worst, longest
		}
	}
	if err == ErrAlreadyHandled { //nolint:errorlint // as above
		return OutcomeDuplicate, 0
	}
	return OutcomeFailed, 0
}

// bySeverity are the outcomes that OutcomeOf gives, the worst last.
var bySeverity = []Outcome{OutcomeHandled, OutcomeDuplicate, OutcomeDiscarded, OutcomeFailed, OutcomeRetryLater}

// isFinal reports whether an event with this outcome must not come again.
func isFinal(outcome Outcome) bool { return slices.Contains(bySeverity[:3], outcome) }

// eventRun is one call of an EventHandler, and what became of it.
type eventRun struct {
	outcome    Outcome // aborted, unless the handler has returned or panicked
	err        error
	retryAfter time.Duration
	stack      []byte // of a panic
}

// call calls next, sets what its error means, and recovers from the panics of both.
func (r *eventRun) call(ctx context.Context, next EventHandler, e *Event) {
	defer func() {
		if reason := recover(); reason != nil {
			r.outcome, r.err, r.stack = OutcomePanicked, &panicError{"the event handler", reason}, debug.Stack()
		}
	}()
	var reported atomic.Value
	err := next.HandleEvent(context.WithValue(ctx, reportKey{}, &reported), e)
	outcome, after := OutcomeOf(err)
	switch outcome {
	case OutcomeHandled:
		if other, ok := reported.Load().(Outcome); ok {
			outcome = other
		}
	case OutcomeDuplicate:
		err = nil
	}
	r.outcome, r.err, r.retryAfter = outcome, err, after
}

// reportKey is the context key under which a handler deep in the chain can say that an event
// needed no handling.
type reportKey struct{}

// report says what became of an event, where a caller has asked. A handler may call others at the
// same time, and leave some running.
func report(ctx context.Context, outcome Outcome) {
	if reported, ok := ctx.Value(reportKey{}).(*atomic.Value); ok {
		reported.Store(outcome)
	}
}

// panicError is what the EventHandler panicked with, or something else that is not ours.
type panicError struct {
	who    string
	reason any
}

func (e *panicError) Error() string {
	return fmt.Sprintf("ittybit: %s panicked: %v", e.who, e.reason) // fmt recovers where reason panics
}

func (e *panicError) Unwrap() error {
	err, _ := e.reason.(error)
	return err
}

// DiscardError is what [Discard] makes.
type DiscardError struct{ Err error }

func (e *DiscardError) Error() string {
	if e == nil {
		return "ittybit: discarded"
	}
	return "ittybit: discarded: " + errtext.Text(e.Err)
}

func (e *DiscardError) Unwrap() error {
	if e == nil {
		return nil
	}
	return e.Err
}

// Discard makes an error that ends an event: the response is 200 and the event does not come
// again, because it would fail the same way for ever. The error is logged and reported to the
// observer. It may be wrapped; joined with others, it ends the event only where all of
// them do. Discard(nil) is nil.
func Discard(err error) error {
	if err == nil {
		return nil
	}
	return &DiscardError{Err: err}
}

// RetryLaterError is what [RetryLater] makes.
type RetryLaterError struct {
	After time.Duration // how long to wait at least
	Err   error
}

func (e *RetryLaterError) Error() string {
	if e == nil {
		return "ittybit: retry later"
	}
	return fmt.Sprintf("ittybit: retry in %v: %s", e.After, errtext.Text(e.Err))
}

func (e *RetryLaterError) Unwrap() error {
	if e == nil {
		return nil
	}
	return e.Err
}

// RetryLater makes an error that asks for the event to come again in d at the
// earliest: the response to a webhook is 503 with Retry-After, in whole seconds and at least
// one. Ittybit documents that it retries with exponential backoff, not that it follows
// Retry-After; a queue's worker can.
func RetryLater(d time.Duration, err error) error {
	if err == nil {
		err = errors.New("not now")
	}
	return &RetryLaterError{After: max(d, 0), Err: err}
}
