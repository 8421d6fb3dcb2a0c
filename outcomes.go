package ittybit

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync/atomic"
	"time"
)

// Outcome is what became of a delivery, in a word for logs and metrics.
type Outcome string

// The outcomes of deliveries, with the status that each is answered with. Those of
// [Reconcile], which answers nobody, are handled, ignored, duplicate, discarded, failed,
// panicked, retry_later and aborted.
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
	OutcomeMalformedEvent     Outcome = "malformed_event"     // 400: signed, but not a JSON object
	OutcomeFailed             Outcome = "failed"              // 500: the handler returned an error
	OutcomePanicked           Outcome = "panicked"            // 500: also with http.ErrAbortHandler
	OutcomeRetryLater         Outcome = "retry_later"         // 503: see RetryLater
	OutcomeTimedOut           Outcome = "timed_out"           // 503: see WithProcessingTimeout
	OutcomeOverloaded         Outcome = "overloaded"          // 503: see WithMaxInFlight
	OutcomeAborted            Outcome = "aborted"             // 500: the handler ended its goroutine
)

// OutcomeOf says what the error of an [EventHandler] means to whoever called it:
// [OutcomeHandled], [OutcomeDuplicate], [OutcomeDiscarded], [OutcomeFailed], or
// [OutcomeRetryLater] with the time to wait. It is for those who write a handler around
// another one: the first three settle the event, which is then not to come again.
//
// What stands outermost in the error counts. Joined errors settle an event only where each
// of them does: one that failed must not hide behind one that was discarded. Only wrapping
// is followed; Is and As methods are not asked. Of several times to wait, the longest is given.
func OutcomeOf(err error) (Outcome, time.Duration) {
	verdict, after := judge(err)
	switch verdict {
	case verdictHandled:
		return OutcomeHandled, 0
	case verdictDuplicate:
		return OutcomeDuplicate, 0
	case verdictDiscarded:
		return OutcomeDiscarded, 0
	case verdictRetryLater:
		return OutcomeRetryLater, after
	default:
		return OutcomeFailed, 0
	}
}

// eventRun is one call of an EventHandler, and what became of it.
type eventRun struct {
	outcome    Outcome // aborted, unless the handler has returned or panicked
	err        error
	retryAfter time.Duration
	stack      []byte // of a panic
}

// call calls next, judges its error, and catches the panics of both.
func (r *eventRun) call(ctx context.Context, next EventHandler, e *Event) {
	defer func() {
		if reason := recover(); reason != nil {
			r.outcome, r.err, r.stack = OutcomePanicked, &panicError{reason}, debug.Stack()
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

// reportKey is the context key under which a handler deep in the chain can say what
// became of an event that is dealt with.
type reportKey struct{}

// report says what became of an event, where somebody listens. A handler may call
// others at the same time, and leave some behind.
func report(ctx context.Context, outcome Outcome) {
	if reported, ok := ctx.Value(reportKey{}).(*atomic.Value); ok {
		reported.Store(outcome)
	}
}

// panicError is what the EventHandler panicked with.
type panicError struct{ reason any }

func (e *panicError) Error() string {
	return fmt.Sprintf("ittybit: the event handler panicked: %v", e.reason) // fmt bears a reason that panics itself
}

// Unwrap gives the error it panicked with, if it was one.
func (e *panicError) Unwrap() error {
	err, _ := e.reason.(error)
	return err
}

// verdict is what a handler's error says of the event.
type verdict int

const (
	verdictHandled verdict = iota
	verdictDuplicate
	verdictDiscarded
	verdictFailed
	verdictRetryLater
)

// settled reports whether the event does not have to come again.
func (v verdict) settled() bool { return v <= verdictDiscarded }

// judge judges an error as [OutcomeOf] says.
func judge(err error) (verdict, time.Duration) {
	steps := maxErrorSteps
	return judgeIn(&steps, err)
}

// maxErrorSteps bounds the walk through an error, which may have been made to turn in a
// circle, or to hold itself twice.
const maxErrorSteps = 1000

func judgeIn(steps *int, err error) (verdict, time.Duration) {
	if *steps == 0 {
		return verdictFailed, 0
	}
	*steps--
	switch e := err.(type) { //nolint:errorlint // it walks the tree by itself
	case nil:
		return verdictHandled, 0
	case *RetryLaterError:
		if e == nil {
			return verdictFailed, 0 // a mistake of the handler's, not its word
		}
		return verdictRetryLater, e.After
	case *DiscardError:
		if e == nil {
			return verdictFailed, 0 // as above
		}
		return verdictDiscarded, 0
	case interface{ Unwrap() error }:
		if inner := e.Unwrap(); inner != nil && err != ErrAlreadyHandled { //nolint:errorlint // as above
			return judgeIn(steps, inner)
		}
	case interface{ Unwrap() []error }:
		worst, longest := verdictHandled, time.Duration(0)
		for _, inner := range e.Unwrap() {
			verdict, after := judgeIn(steps, inner)
			worst, longest = max(worst, verdict), max(longest, after)
		}
		if worst != verdictHandled {
			return worst, longest
		}
	}
	if err == ErrAlreadyHandled { //nolint:errorlint // as above
		return verdictDuplicate, 0
	}
	return verdictFailed, 0
}

// DiscardError is what [Discard] makes.
type DiscardError struct{ Err error }

// Error implements error.
func (e *DiscardError) Error() string {
	if e == nil {
		return "ittybit: discarded"
	}
	return fmt.Sprintf("ittybit: discarded: %v", e.Err)
}

// Unwrap gives the reason.
func (e *DiscardError) Unwrap() error {
	if e == nil {
		return nil
	}
	return e.Err
}

// Discard makes an error that ends an event: it is answered 200 and does not come
// again, for it would fail the same way for ever. The error is logged and shown to the
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

// Error implements error.
func (e *RetryLaterError) Error() string {
	if e == nil {
		return "ittybit: to be tried again"
	}
	return fmt.Sprintf("ittybit: to be tried again in %v: %v", e.After, e.Err)
}

// Unwrap gives the reason.
func (e *RetryLaterError) Unwrap() error {
	if e == nil {
		return nil
	}
	return e.Err
}

// RetryLater makes an error that asks for the event to come again in d at the
// earliest: a webhook is answered 503 with Retry-After, in whole seconds and at least
// one. Ittybit documents that it retries with exponential backoff, not that it follows
// Retry-After; a queue's worker can.
func RetryLater(d time.Duration, err error) error {
	if err == nil {
		err = errors.New("not now")
	}
	return &RetryLaterError{After: max(d, 0), Err: err}
}
