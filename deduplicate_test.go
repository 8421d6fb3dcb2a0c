package ittybit_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
)

// webhookStore is a Deduplicator that records what it is asked, and fails where it is told to.
type webhookStore struct {
	mu                                sync.Mutex
	log                               []string
	claimErr, completeErr, releaseErr error
	ctx                               context.Context // of the last end of a claim
}

func (s *webhookStore) Claim(_ context.Context, key string) (ittybit.Claim, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log = append(s.log, "claim "+key)
	if s.claimErr != nil {
		return nil, s.claimErr
	}
	return s, nil
}

func (s *webhookStore) Complete(ctx context.Context) error {
	s.record(ctx, "complete")
	return s.completeErr
}

func (s *webhookStore) Release(ctx context.Context) error {
	s.record(ctx, "release")
	return s.releaseErr
}

func (s *webhookStore) record(ctx context.Context, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log = append(s.log, text)
	s.ctx = ctx
	if ctx.Err() != nil {
		s.log = append(s.log, "too late")
	}
}

func (s *webhookStore) said() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.log...)
}

func TestDeduplicate_endsTheClaimAsTheHandlerEnds(t *testing.T) {
	failure := errors.New("no")
	const claimed = "claim task:task_123abc:completed"
	tests := map[string]struct {
		result error
		log    []string
	}{
		"success":            {nil, []string{claimed, "complete"}},
		"discard":            {ittybit.Discard(failure), []string{claimed, "complete"}},
		"a wrapped discard":  {fmt.Errorf("more: %w", ittybit.Discard(failure)), []string{claimed, "complete"}},
		"handled before":     {ittybit.ErrAlreadyHandled, []string{claimed, "complete"}},
		"failure":            {failure, []string{claimed, "release"}},
		"retry later":        {ittybit.RetryLater(time.Minute, failure), []string{claimed, "release"}},
		"out of time":        {context.DeadlineExceeded, []string{claimed, "release"}},
		"retry, then nil":    {ittybit.RetryLater(time.Minute, nil), []string{claimed, "release"}},
		"discard of nothing": {ittybit.Discard(nil), []string{claimed, "complete"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			store := new(webhookStore)
			h := ittybit.Deduplicate(store, ittybit.EventHandlerFunc(func(context.Context, *ittybit.Event) error { return tt.result }))
			assert.Equal(t, tt.result, h.HandleEvent(t.Context(), webhookParse(t, webhookPageBody)))
			assert.Equal(t, tt.log, store.said())
		})
	}
}

func TestDeduplicate_releasesTheClaimOfAHandlerThatDoesNotReturn(t *testing.T) {
	store := new(webhookStore)
	do := func(end func()) {
		h := ittybit.Deduplicate(store, ittybit.EventHandlerFunc(func(context.Context, *ittybit.Event) error { end(); return nil }))
		_ = h.HandleEvent(t.Context(), webhookParse(t, webhookPageBody))
	}
	assert.PanicsWithValue(t, "boom", func() { do(func() { panic("boom") }) })
	assert.PanicsWithValue(t, http.ErrAbortHandler, func() { do(func() { panic(http.ErrAbortHandler) }) })
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		do(runtime.Goexit)
	}()
	webhookReceive(t, gone)
	const claimed = "claim task:task_123abc:completed"
	assert.Equal(t, []string{claimed, "release", claimed, "release", claimed, "release"}, store.said())
}

func TestDeduplicate_endsTheClaimAlsoWhenTheDeadlineIsOver(t *testing.T) {
	for name, result := range map[string]error{"success": nil, "failure": errors.New("no")} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				type key struct{}
				store := new(webhookStore)
				h := ittybit.Deduplicate(store, ittybit.EventHandlerFunc(func(ctx context.Context, _ *ittybit.Event) error {
					<-ctx.Done()
					return result
				}))
				ctx, cancel := context.WithTimeout(context.WithValue(t.Context(), key{}, "value"), time.Second)
				defer cancel()
				assert.Equal(t, result, h.HandleEvent(ctx, webhookParse(t, webhookPageBody)))
				assert.NotContains(t, store.said(), "too late")
				require.NotNil(t, store.ctx)
				assert.Equal(t, "value", store.ctx.Value(key{}), "the values are carried")
				_, bounded := store.ctx.Deadline()
				assert.True(t, bounded, "a store that hangs does not hang the delivery")
			})
		})
	}
}

func TestDeduplicate_doesNotHandleWhatWasHandled(t *testing.T) {
	store := &webhookStore{claimErr: fmt.Errorf("store: %w", ittybit.ErrAlreadyHandled)}
	recorder := newWebhookRecorder()
	require.NoError(t, ittybit.Deduplicate(store, recorder).HandleEvent(t.Context(), webhookParse(t, webhookPageBody)))
	assert.Empty(t, recorder.handled())
}

func TestDeduplicate_reportsTheStoresErrors(t *testing.T) {
	broken, failure := errors.New("store is down"), errors.New("no")
	recorder := newWebhookRecorder()
	e := webhookParse(t, webhookPageBody)

	err := ittybit.Deduplicate(&webhookStore{claimErr: broken}, recorder).HandleEvent(t.Context(), e)
	require.ErrorIs(t, err, broken)
	assert.Empty(t, recorder.handled(), "nothing is handled without a claim")

	err = ittybit.Deduplicate(&webhookStore{completeErr: broken}, recorder).HandleEvent(t.Context(), e)
	require.ErrorIs(t, err, broken)
	assert.ErrorContains(t, err, "could not record it")
	assert.Len(t, recorder.handled(), 1)

	failing := ittybit.EventHandlerFunc(func(context.Context, *ittybit.Event) error { return failure })
	err = ittybit.Deduplicate(&webhookStore{releaseErr: broken}, failing).HandleEvent(t.Context(), e)
	require.ErrorIs(t, err, broken)
	require.ErrorIs(t, err, failure)
}

func TestDeduplicate_takesNamesAndOtherKeys(t *testing.T) {
	store := new(webhookStore)
	e := webhookParse(t, webhookPageBody)
	byKind := func(e *ittybit.Event) string { return string(e.Task.Kind) }
	for _, opts := range [][]ittybit.DeduplicateOption{
		{ittybit.DeduplicateName("billing")},
		{ittybit.DeduplicateBy(byKind)},
		{ittybit.DeduplicateBy(byKind), ittybit.DeduplicateName("billing")},
		{ittybit.DeduplicateBy(func(*ittybit.Event) string { return "" }), ittybit.DeduplicateName("billing")},
	} {
		require.NoError(t, ittybit.Deduplicate(store, ittybit.NewEventMux(), opts...).HandleEvent(t.Context(), e))
	}
	assert.Equal(t, []string{
		"claim billing/task:task_123abc:completed", "complete", "claim nsfw", "complete", "claim billing/nsfw", "complete",
	}, store.said(), "an empty key names no event, and is not claimed")
}

func TestDeduplicate_withNamesSharesAStore(t *testing.T) {
	store := ittybit.NewMemoryDeduplicator(10, time.Hour)
	billing, search := newWebhookRecorder(), newWebhookRecorder()
	e := webhookParse(t, webhookPageBody)
	for range 2 {
		require.NoError(t, ittybit.Deduplicate(store, billing, ittybit.DeduplicateName("billing")).HandleEvent(t.Context(), e))
		require.NoError(t, ittybit.Deduplicate(store, search, ittybit.DeduplicateName("search")).HandleEvent(t.Context(), e))
	}
	assert.Len(t, billing.handled(), 1)
	assert.Len(t, search.handled(), 1)
}

func TestDeduplicate_handlesProgressTwiceAndCompletionOnce(t *testing.T) {
	recorder := newWebhookRecorder()
	h := ittybit.Deduplicate(ittybit.NewMemoryDeduplicator(10, time.Hour), recorder)
	for _, body := range []string{
		webhookProgress("task_1", 40), webhookProgress("task_1", 80), webhookProgress("task_1", 40),
		webhookTask("task_1", "completed"), webhookTask("task_1", "completed"),
	} {
		require.NoError(t, h.HandleEvent(t.Context(), webhookParse(t, body)))
	}
	var progress []int
	for _, e := range recorder.handled() {
		progress = append(progress, e.Task.Progress)
	}
	assert.Equal(t, []int{40, 80, 0}, progress)
}

func TestDeduplicate_handlesAnEventOnceHoweverManyComeTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var handled, failing atomic.Int64
		failing.Store(2) // the first two fail
		h := ittybit.Deduplicate(ittybit.NewMemoryDeduplicator(10, time.Hour), ittybit.EventHandlerFunc(func(context.Context, *ittybit.Event) error {
			time.Sleep(time.Second)
			if failing.Add(-1) >= 0 {
				return errors.New("no")
			}
			handled.Add(1)
			return nil
		}))
		var failed atomic.Int64
		var group sync.WaitGroup
		for range 20 {
			group.Go(func() {
				if h.HandleEvent(t.Context(), webhookParse(t, webhookPageBody)) != nil {
					failed.Add(1)
				}
			})
		}
		group.Wait()
		assert.EqualValues(t, 1, handled.Load())
		assert.EqualValues(t, 2, failed.Load())
	})
}

func TestDeduplicate_panicsOnMistakesAtStartUp(t *testing.T) {
	store := ittybit.NewMemoryDeduplicator(1, time.Hour)
	assert.PanicsWithValue(t, "ittybit: Deduplicate: nil store or handler", func() { ittybit.Deduplicate(nil, ittybit.NewEventMux()) })
	assert.PanicsWithValue(t, "ittybit: Deduplicate: nil store or handler", func() { ittybit.Deduplicate(store, nil) })
	assert.PanicsWithValue(t, "ittybit: DeduplicateBy: nil function", func() {
		ittybit.Deduplicate(store, ittybit.NewEventMux(), ittybit.DeduplicateBy(nil))
	})
}

// webhookNoStore gives neither a claim nor an error.
type webhookNoStore struct{}

func (webhookNoStore) Claim(context.Context, string) (ittybit.Claim, error) { return nil, nil }

func TestDeduplicate_handlesNothingWithoutAClaim(t *testing.T) {
	once := ittybit.Deduplicate(webhookNoStore{}, ittybit.EventHandlerFunc(func(context.Context, *ittybit.Event) error {
		t.Error("it was handled")
		return nil
	}))
	require.ErrorContains(t, once.HandleEvent(t.Context(), webhookParse(t, webhookPageBody)), "neither a claim nor an error")
}
