package ittybit_test

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
)

// webhookFaultyError panics when it is asked for its text.
type webhookFaultyError struct{ text string }

func (e *webhookFaultyError) Error() string { return e.text }

// webhookEndlessError unwraps to itself.
type webhookEndlessError struct{}

func (webhookEndlessError) Error() string   { return "endless" }
func (e webhookEndlessError) Unwrap() error { return e }

func TestWebhookHandler_classifiesAnErrorByWhatStandsOutermost(t *testing.T) {
	failure, hopeless := errors.New("the database is away"), errors.New("hopeless")
	for name, tt := range map[string]struct {
		err     error
		status  int
		outcome ittybit.Outcome
	}{
		"discarded":                      {ittybit.Discard(hopeless), 200, ittybit.OutcomeDiscarded},
		"discarded, wrapped":             {fmt.Errorf("nsfw: %w", ittybit.Discard(hopeless)), 200, ittybit.OutcomeDiscarded},
		"discarded, all of them":         {errors.Join(ittybit.Discard(hopeless), ittybit.Discard(failure)), 200, ittybit.OutcomeDiscarded},
		"discarded for a retry later":    {ittybit.Discard(ittybit.RetryLater(time.Second, failure)), 200, ittybit.OutcomeDiscarded},
		"handled before":                 {ittybit.ErrAlreadyHandled, 200, ittybit.OutcomeDuplicate},
		"handled before, wrapped":        {fmt.Errorf("store: %w", ittybit.ErrAlreadyHandled), 200, ittybit.OutcomeDuplicate},
		"discarded beside a failure":     {errors.Join(ittybit.Discard(hopeless), failure), 500, ittybit.OutcomeFailed},
		"a failure beside a discarded":   {fmt.Errorf("%w, %w", failure, ittybit.Discard(hopeless)), 500, ittybit.OutcomeFailed},
		"handled before and failed":      {errors.Join(ittybit.ErrAlreadyHandled, failure), 500, ittybit.OutcomeFailed},
		"later, though discarded inside": {ittybit.RetryLater(7*time.Second, ittybit.Discard(hopeless)), 503, ittybit.OutcomeRetryLater},
		"later beside a discarded":       {errors.Join(ittybit.Discard(hopeless), ittybit.RetryLater(7*time.Second, failure)), 503, ittybit.OutcomeRetryLater},
		"a nil discard":                  {(*ittybit.DiscardError)(nil), 500, ittybit.OutcomeFailed},
		"a nil retry later":              {(*ittybit.RetryLaterError)(nil), 500, ittybit.OutcomeFailed},
		"later, the longest":             {errors.Join(ittybit.RetryLater(3*time.Second, failure), ittybit.RetryLater(7*time.Second, failure)), 503, ittybit.OutcomeRetryLater},
		"later, not the discarded time":  {errors.Join(ittybit.Discard(ittybit.RetryLater(time.Hour, failure)), ittybit.RetryLater(7*time.Second, failure)), 503, ittybit.OutcomeRetryLater},
		"an error without an end":        {webhookEndlessError{}, 500, ittybit.OutcomeFailed},
		"an error that panics":           {(*webhookFaultyError)(nil), 500, ittybit.OutcomeFailed},
	} {
		t.Run(name, func(t *testing.T) {
			outcome, after := ittybit.OutcomeOf(tt.err)
			assert.Equal(t, tt.outcome, outcome)
			if tt.status == 503 {
				assert.Equal(t, 7*time.Second, after)
			} else {
				assert.Zero(t, after)
			}

			// Alone, and behind a deduplicator, which must take the same side.
			failing := ittybit.EventHandlerFunc(func(context.Context, *ittybit.Event) error { return tt.err })
			calls := 0
			counting := ittybit.EventHandlerFunc(func(context.Context, *ittybit.Event) error {
				calls++
				return tt.err
			})
			once := ittybit.Deduplicate(ittybit.NewMemoryDeduplicator(10, time.Hour), counting)
			for _, next := range []ittybit.EventHandler{failing, once} {
				var log testLog
				recorder := newWebhookRecorder()
				h := webhookHandler(t, next, ittybit.WithLogger(log.logger()), ittybit.WithObserver(recorder.observe))
				w := httptest.NewRecorder()
				h.ServeHTTP(w, signedRequest(webhookPageBody))
				assert.Equal(t, tt.status, w.Code)
				assert.Equal(t, tt.outcome, recorder.next(t).Outcome)
				assert.Contains(t, log.String(), "outcome="+string(tt.outcome))
				if tt.status == 503 {
					assert.Equal(t, "7", w.Header().Get("Retry-After"))
				}
			}
			webhookHandler(t, once).ServeHTTP(httptest.NewRecorder(), signedRequest(webhookPageBody))
			if tt.status == 200 {
				assert.Equal(t, 1, calls, "it must not come again")
			} else {
				assert.Equal(t, 2, calls, "it is free to be handled again")
			}
		})
	}
}

// errorOfNone wraps a list of errors in which there is none.
type errorOfNone struct{ errs []error }

func (errorOfNone) Error() string     { return "something went wrong" }
func (e errorOfNone) Unwrap() []error { return e.errs }

// errorOfNil wraps nothing.
type errorOfNil struct{}

func (errorOfNil) Error() string { return "something went wrong" }
func (errorOfNil) Unwrap() error { return nil }

func TestOutcomeOf_takesNoErrorAsHandled(t *testing.T) {
	for _, err := range []error{errorOfNone{}, errorOfNone{[]error{nil, nil}}, errorOfNil{}, fmt.Errorf("db: %w", errorOfNone{})} {
		outcome, after := ittybit.OutcomeOf(err)
		assert.Equal(t, ittybit.OutcomeFailed, outcome, "%#v", err)
		assert.Zero(t, after)
	}
	outcome, after := ittybit.OutcomeOf(nil)
	assert.Equal(t, ittybit.OutcomeHandled, outcome)
	assert.Zero(t, after)
}

func TestOutcomeOf_givesTheLongestTimeToWaitWhereverItStands(t *testing.T) {
	short, long := ittybit.RetryLater(3*time.Second, nil), ittybit.RetryLater(7*time.Second, nil)
	for _, err := range []error{errors.Join(short, long), errors.Join(long, short), errors.Join(errors.Join(long), short, errors.New("no"))} {
		outcome, after := ittybit.OutcomeOf(err)
		assert.Equal(t, ittybit.OutcomeRetryLater, outcome)
		assert.Equal(t, 7*time.Second, after)
	}
}

func TestOutcomeOf_findsADiscardAsDeepAsAnErrorIsWrapped(t *testing.T) {
	err := ittybit.Discard(errors.New("hopeless"))
	for range 50 {
		err = fmt.Errorf("layer: %w", err)
	}
	outcome, _ := ittybit.OutcomeOf(err)
	assert.Equal(t, ittybit.OutcomeDiscarded, outcome)
}

// errorOfItself joins itself.
type errorOfItself struct{}

func (errorOfItself) Error() string     { return "in a circle" }
func (e errorOfItself) Unwrap() []error { return []error{e} }

func TestOutcomeOf_comesToAnEndWhereAnErrorJoinsItself(t *testing.T) {
	outcome, _ := ittybit.OutcomeOf(errorOfItself{})
	assert.Equal(t, ittybit.OutcomeFailed, outcome)
}

// errorTwice holds itself twice: a walk that only minds its depth takes 2 to the power of it.
type errorTwice struct{}

func (errorTwice) Error() string     { return "twice" }
func (e errorTwice) Unwrap() []error { return []error{e, e} }

func TestOutcomeOf_anErrorThatHoldsItselfTwiceComesToAnEnd(t *testing.T) {
	outcome, _ := ittybit.OutcomeOf(errorTwice{})
	assert.Equal(t, ittybit.OutcomeFailed, outcome)
}

func TestDiscardAndRetryLater(t *testing.T) {
	reason := errors.New("no such upload")
	assert.NoError(t, ittybit.Discard(nil))

	discarded := ittybit.Discard(reason)
	require.ErrorIs(t, discarded, reason)
	assert.EqualError(t, discarded, "ittybit: discarded: no such upload")
	assert.NotPanics(t, func() { _ = new(ittybit.DiscardError).Error() })

	later := ittybit.RetryLater(time.Minute, reason)
	require.ErrorIs(t, later, reason)
	assert.EqualError(t, later, "ittybit: retry in 1m0s: no such upload")
	var retry *ittybit.RetryLaterError
	require.ErrorAs(t, ittybit.RetryLater(-time.Minute, nil), &retry)
	assert.Zero(t, retry.After)
	assert.EqualError(t, retry, "ittybit: retry in 0s: not now")
}
