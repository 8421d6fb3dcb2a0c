package ittybit_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
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

	assert.EqualError(t, ittybit.Discard(ittybit.ErrNoResults), "ittybit: discarded: "+strings.TrimPrefix(ittybit.ErrNoResults.Error(), "ittybit: "))
	assert.EqualError(t, ittybit.RetryLater(time.Second, ittybit.ErrNotFound), "ittybit: retry in 1s: not found")
}

type webhookValueKey struct{}

func TestWebhookHandler_givesTheHandlerAContextOfItsOwn(t *testing.T) {
	const timeout = time.Hour
	contexts := make(chan context.Context, 1)
	h := webhookHandler(t, ittybit.EventHandlerFunc(func(ctx context.Context, _ *ittybit.Event) error {
		contexts <- ctx
		assert.NoError(t, ctx.Err())
		return nil
	}), ittybit.WithProcessingTimeout(timeout))
	before := time.Now()
	srv := webhookServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), webhookValueKey{}, "trace")))
	}))
	assert.Equal(t, http.StatusOK, webhookDeliver(t, srv, webhookPageBody).Status)

	ctx := webhookReceive(t, contexts)
	assert.Equal(t, "trace", ctx.Value(webhookValueKey{}))
	assert.NotNil(t, ctx.Value(http.ServerContextKey))
	deadline, ok := ctx.Deadline()
	require.True(t, ok)
	assert.WithinRange(t, deadline, before.Add(timeout), time.Now().Add(timeout))
	require.ErrorIs(t, ctx.Err(), context.Canceled, "over with the delivery")
}

func TestWebhookHandler_countsTheDeadlineFromTheRequestsStart(t *testing.T) {
	const timeout = time.Hour
	deadlines := make(chan time.Time, 1)
	h := webhookHandler(t, ittybit.EventHandlerFunc(func(ctx context.Context, _ *ittybit.Event) error {
		deadline, _ := ctx.Deadline()
		deadlines <- deadline
		return nil
	}), ittybit.WithProcessingTimeout(timeout))
	var bodyDone time.Time
	r := signedRequest("{}")
	r.Body = &webhookSlowBody{r.Body, &bodyDone}
	h.ServeHTTP(httptest.NewRecorder(), r)
	deadline := webhookReceive(t, deadlines)
	assert.Less(t, deadline.Sub(bodyDone), timeout, "the time that the body took is the sender's, too")
}

type webhookSlowBody struct {
	body interface{ Read([]byte) (int, error) }
	done *time.Time
}

func (b *webhookSlowBody) Read(p []byte) (int, error) {
	time.Sleep(2 * time.Millisecond)
	*b.done = time.Now()
	return b.body.Read(p)
}

func (b *webhookSlowBody) Close() error { return nil }

func webhookBoom(context.Context, *ittybit.Event) error { panic("boom") }

func TestWebhookHandler_takesErrAbortHandlerAsAnyPanic(t *testing.T) {
	recorder := newWebhookRecorder()
	store := new(webhookStore)
	var serverLog testLog
	srv := httptest.NewUnstartedServer(webhookHandler(t, ittybit.Deduplicate(store, ittybit.EventHandlerFunc(
		func(context.Context, *ittybit.Event) error { panic(http.ErrAbortHandler) })), ittybit.WithObserver(recorder.observe), ittybit.WithMaxInFlight(1)))
	srv.Config.ErrorLog = log.New(&serverLog, "", 0)
	srv.Start()
	t.Cleanup(srv.Close)
	for range 3 { // more often than WithMaxInFlight would let it, were it not given back
		assert.Equal(t, http.StatusInternalServerError, webhookDeliver(t, srv, webhookPageBody).Status)
		d := recorder.next(t)
		assert.Equal(t, ittybit.OutcomePanicked, d.Outcome)
		assert.Equal(t, http.StatusInternalServerError, d.StatusCode)
		require.ErrorIs(t, d.Err, http.ErrAbortHandler)
	}
	const claimed = "claim task:task_123abc:completed"
	assert.Equal(t, []string{claimed, "release", claimed, "release", claimed, "release"}, store.said())
	assert.Empty(t, serverLog.String(), "no panic reaches the server")
}

func TestWebhookHandler_leaksNothingWhereTheHandlerEndsItsGoroutine(t *testing.T) {
	recorder := newWebhookRecorder()
	store := ittybit.NewMemoryDeduplicator(10, time.Hour)
	var left atomic.Int64
	left.Store(3)
	srv := webhookServer(t, webhookHandler(t, ittybit.Deduplicate(store, ittybit.EventHandlerFunc(func(context.Context, *ittybit.Event) error {
		if left.Add(-1) >= 0 {
			runtime.Goexit()
		}
		return nil
	})), ittybit.WithObserver(recorder.observe), ittybit.WithMaxInFlight(1)))
	for range 3 {
		assert.Equal(t, http.StatusInternalServerError, webhookDeliver(t, srv, webhookPageBody).Status)
		d := recorder.next(t)
		assert.Equal(t, ittybit.OutcomeAborted, d.Outcome)
		assert.Equal(t, http.StatusInternalServerError, d.StatusCode)
		require.Error(t, d.Err)
	}
	// Neither the one place in flight nor the claim is lost.
	assert.Equal(t, http.StatusOK, webhookDeliver(t, srv, webhookPageBody).Status)
	assert.Equal(t, ittybit.OutcomeHandled, recorder.next(t).Outcome)
}

func TestWebhookHandler_handlesOnceWhatFailsTwice(t *testing.T) {
	recorder := newWebhookRecorder()
	var attempts, handled atomic.Int64
	events := ittybit.NewEventMux()
	events.OnTaskCompleted(ittybit.TaskKindNSFW, func(context.Context, *ittybit.Event) error {
		switch attempts.Add(1) {
		case 1:
			return errors.New("the database is away")
		case 2:
			panic("boom")
		}
		handled.Add(1)
		return nil
	})
	srv := webhookServer(t, webhookHandler(t, ittybit.Deduplicate(ittybit.NewMemoryDeduplicator(10, time.Hour), events), ittybit.WithObserver(recorder.observe)))
	for _, want := range []ittybit.Outcome{
		ittybit.OutcomeFailed, ittybit.OutcomePanicked, ittybit.OutcomeHandled, ittybit.OutcomeDuplicate, ittybit.OutcomeDuplicate,
	} {
		response := webhookDeliver(t, srv, webhookPageBody)
		d := recorder.next(t)
		assert.Equal(t, want, d.Outcome)
		assert.Equal(t, d.StatusCode, response.Status)
	}
	assert.EqualValues(t, 3, attempts.Load())
	assert.EqualValues(t, 1, handled.Load())
}

func TestWebhookHandler_makesASecondDeliveryWaitForTheFirst(t *testing.T) {
	started, finish := make(chan struct{}, 2), make(chan struct{})
	recorder := newWebhookRecorder()
	store := &webhookCountingStore{Deduplicator: ittybit.NewMemoryDeduplicator(10, time.Hour), asked: make(chan struct{}, 10)}
	srv := webhookServer(t, webhookHandler(t, ittybit.Deduplicate(store, ittybit.EventHandlerFunc(func(context.Context, *ittybit.Event) error {
		started <- struct{}{}
		<-finish
		return nil
	})), ittybit.WithObserver(recorder.observe), ittybit.WithProcessingTimeout(time.Hour)))
	first := webhookBackground(srv, webhookPageBody)
	webhookReceive(t, started)
	webhookReceive(t, store.asked)
	second := webhookBackground(srv, webhookPageBody)
	webhookReceive(t, store.asked)
	webhookStillOpen(t, second, "it must wait for the first")
	webhookStillOpen(t, started, "it must not be handled")

	close(finish)
	assert.Equal(t, http.StatusOK, webhookReceive(t, first).Status)
	assert.Equal(t, http.StatusOK, webhookReceive(t, second).Status)
	assert.ElementsMatch(t, []ittybit.Outcome{ittybit.OutcomeHandled, ittybit.OutcomeDuplicate},
		[]ittybit.Outcome{recorder.next(t).Outcome, recorder.next(t).Outcome})
	webhookStillOpen(t, started, "it must not be handled again")
}

// webhookCountingStore says when it is asked for a claim.
type webhookCountingStore struct {
	ittybit.Deduplicator
	asked chan struct{}
}

func (s *webhookCountingStore) Claim(ctx context.Context, key string) (ittybit.Claim, error) {
	s.asked <- struct{}{}
	return s.Deduplicator.Claim(ctx, key)
}

func TestWebhookHandler_asksTheSecondDeliveryToComeAgainWhereTheFirstTakesTooLong(t *testing.T) {
	recorder := newWebhookRecorder()
	store := ittybit.NewMemoryDeduplicator(10, time.Hour)
	held := webhookClaim(t, store, "task:task_123abc:completed")
	srv := webhookServer(t, webhookHandler(t, ittybit.Deduplicate(store, recorder),
		ittybit.WithObserver(recorder.observe), ittybit.WithProcessingTimeout(20*time.Millisecond)))
	response := webhookDeliver(t, srv, webhookPageBody)
	assert.Equal(t, http.StatusServiceUnavailable, response.Status)
	assert.Equal(t, "1", response.Header.Get("Retry-After"))
	assert.Equal(t, ittybit.OutcomeTimedOut, recorder.next(t).Outcome)
	assert.Empty(t, recorder.handled())

	require.NoError(t, held.Release(t.Context()))
	assert.Equal(t, http.StatusOK, webhookDeliver(t, srv, webhookPageBody).Status)
	assert.Len(t, recorder.handled(), 1)
}

func TestWebhookHandler_handlesEachProgressAndOneCompletion(t *testing.T) {
	recorder := newWebhookRecorder()
	srv := webhookServer(t, webhookHandler(t, ittybit.Deduplicate(ittybit.NewMemoryDeduplicator(10, time.Hour), recorder)))
	for _, body := range []string{webhookProgress("task_1", 10), webhookProgress("task_1", 20), webhookTask("task_1", "completed"), webhookTask("task_1", "completed")} {
		assert.Equal(t, http.StatusOK, webhookDeliver(t, srv, body).Status)
	}
	assert.Len(t, recorder.handled(), 3)
}

func TestWebhookHandler_letsAHandlerCallSeveralMuxesAtOnce(t *testing.T) {
	recorder := newWebhookRecorder()
	a, b := ittybit.NewEventMux(), ittybit.NewEventMux()
	h := webhookHandler(t, ittybit.EventHandlerFunc(func(ctx context.Context, e *ittybit.Event) error {
		var group sync.WaitGroup
		group.Go(func() { assert.NoError(t, a.HandleEvent(ctx, e)) })
		group.Go(func() { assert.NoError(t, b.HandleEvent(ctx, e)) })
		group.Wait()
		return nil
	}), ittybit.WithObserver(recorder.observe))
	for range 20 { // the race detector has something to find
		h.ServeHTTP(httptest.NewRecorder(), signedRequest(webhookPageBody))
		assert.Equal(t, ittybit.OutcomeIgnored, recorder.next(t).Outcome)
	}
}

func TestWebhookHandler_observesAgeAndWhatIsInFlight(t *testing.T) {
	recorder := newWebhookRecorder()
	entered, leave := make(chan struct{}), make(chan struct{})
	h := webhookHandler(t, ittybit.EventHandlerFunc(func(_ context.Context, e *ittybit.Event) error {
		if e.Task.ID == "task_slow" {
			entered <- struct{}{}
			<-leave
		}
		return nil
	}), ittybit.WithObserver(recorder.observe))
	srv := webhookServer(t, h)
	slow := webhookBackground(srv, webhookTask("task_slow", "completed"))
	<-entered

	before := time.Now().Truncate(time.Second)
	body := webhookTask("task_quick", "completed")
	require.NoError(t, webhookSend(srv.Client(), http.MethodPost, srv.URL, body, signedHeader(body)).Err)
	quick := recorder.next(t)
	assert.Equal(t, 1, quick.InFlight, "the slow one")
	assert.False(t, quick.Signed.Before(before), "%v", quick.Signed)
	assert.False(t, quick.Signed.After(time.Now()), "%v", quick.Signed)

	old := time.Now().Add(-time.Hour).Truncate(time.Second)
	require.NoError(t, webhookSend(srv.Client(), http.MethodPost, srv.URL, body, ittybit.SignWebhook(webhookSecret, old, []byte(body))).Err)
	late := recorder.next(t)
	assert.Equal(t, ittybit.OutcomeSignatureExpired, late.Outcome)
	assert.True(t, old.Equal(late.Signed), "authentic, if late: %v", late.Signed)
	require.NoError(t, webhookSend(srv.Client(), http.MethodPost, srv.URL, body, ittybit.SignWebhook("a key of a stranger", old, []byte(body))).Err)
	assert.Zero(t, recorder.next(t).Signed, "a stranger's time means nothing")

	close(leave)
	require.NoError(t, webhookReceive(t, slow).Err)
	assert.Zero(t, recorder.next(t).InFlight)
}

func TestWebhookHandler_observesWhyADeliveryWasOneTooMany(t *testing.T) {
	recorder := newWebhookRecorder()
	var h *ittybit.WebhookHandler
	h = webhookHandler(t, ittybit.EventHandlerFunc(func(context.Context, *ittybit.Event) error {
		w := newWebhookWire()
		h.ServeHTTP(w, signedRequest(webhookTask("task_2", "completed")))
		assert.Contains(t, w.calls, "status 503")
		return nil
	}), ittybit.WithMaxInFlight(1), ittybit.WithObserver(recorder.observe))
	h.ServeHTTP(newWebhookWire(), signedRequest(webhookTask("task_1", "completed")))
	refused := recorder.next(t)
	assert.Equal(t, ittybit.OutcomeOverloaded, refused.Outcome)
	require.ErrorContains(t, refused.Err, "too many deliveries")
	assert.Nil(t, refused.Event)
	assert.Equal(t, ittybit.OutcomeHandled, recorder.next(t).Outcome)
}
