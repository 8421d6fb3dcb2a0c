package ittybit_test

import (
	"context"
	"errors"
	"fmt"
	"math"
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

// webhookClaim takes a claim that must be free.
func webhookClaim(tb testing.TB, d ittybit.Deduplicator, key string) ittybit.Claim {
	tb.Helper()
	claim, err := d.Claim(context.Background(), key)
	require.NoError(tb, err, key)
	require.NotNil(tb, claim)
	return claim
}

// webhookRemembers reports whether key was handled. A key that was not is left free.
func webhookRemembers(tb testing.TB, d ittybit.Deduplicator, key string) bool {
	tb.Helper()
	claim, err := d.Claim(context.Background(), key)
	if err != nil {
		require.ErrorIs(tb, err, ittybit.ErrAlreadyHandled)
		return true
	}
	require.NoError(tb, claim.Release(context.Background()))
	return false
}

func webhookComplete(tb testing.TB, d ittybit.Deduplicator, key string) {
	tb.Helper()
	require.NoError(tb, webhookClaim(tb, d, key).Complete(context.Background()))
}

func TestMemoryDeduplicator_handlesAKeyOnce(t *testing.T) {
	d := ittybit.NewMemoryDeduplicator(10, time.Hour)
	claim := webhookClaim(t, d, "a")
	require.NoError(t, claim.Release(t.Context()))
	assert.False(t, webhookRemembers(t, d, "a"), "a released key is free again")
	webhookComplete(t, d, "a")
	assert.True(t, webhookRemembers(t, d, "a"))
	assert.True(t, webhookRemembers(t, d, "a"))
	assert.False(t, webhookRemembers(t, d, "b"))
	assert.False(t, webhookRemembers(t, d, ""))
}

func TestMemoryDeduplicator_isBounded(t *testing.T) {
	d := ittybit.NewMemoryDeduplicator(3, time.Hour)
	for i := range 5 {
		webhookComplete(t, d, fmt.Sprint(i))
	}
	for i, want := range []bool{false, false, true, true, true} {
		assert.Equal(t, want, webhookRemembers(t, d, fmt.Sprint(i)), "%d: the latest three are remembered", i)
	}
	// It goes round, also where what is forgotten comes again.
	for i := range 20 {
		webhookComplete(t, d, fmt.Sprintf("again %d", i))
		for back := range 6 {
			if i-back >= 0 {
				assert.Equal(t, back < 3, webhookRemembers(t, d, fmt.Sprintf("again %d", i-back)), "%d after %d", i-back, i)
			}
		}
	}
}

func TestMemoryDeduplicator_ofOneEntry(t *testing.T) {
	d := ittybit.NewMemoryDeduplicator(1, time.Hour)
	for i := range 5 {
		webhookComplete(t, d, fmt.Sprint(i))
		assert.True(t, webhookRemembers(t, d, fmt.Sprint(i)))
		assert.False(t, webhookRemembers(t, d, fmt.Sprint(i-1)))
	}
}

func TestMemoryDeduplicator_neverForgetsAClaimInProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := ittybit.NewMemoryDeduplicator(2, time.Hour)
		held := webhookClaim(t, d, "held")
		for i := range 100 {
			webhookComplete(t, d, fmt.Sprint(i))
		}
		time.Sleep(365 * 24 * time.Hour) // nor does the ttl end a claim
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := d.Claim(ctx, "held")
		require.ErrorIs(t, err, context.DeadlineExceeded, "somebody has it")
		require.NoError(t, held.Complete(t.Context()))
		assert.True(t, webhookRemembers(t, d, "held"))
	})
}

func TestMemoryDeduplicator_forgetsAfterTheTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := ittybit.NewMemoryDeduplicator(2, time.Hour)
		webhookComplete(t, d, "a")
		time.Sleep(30 * time.Minute)
		webhookComplete(t, d, "b")
		time.Sleep(30*time.Minute - 1)
		assert.True(t, webhookRemembers(t, d, "a"), "a nanosecond before")
		time.Sleep(time.Nanosecond)
		assert.False(t, webhookRemembers(t, d, "a"), "after an hour")
		assert.True(t, webhookRemembers(t, d, "b"))

		webhookComplete(t, d, "a") // handled anew: its own hour begins
		assert.True(t, webhookRemembers(t, d, "a"))
		webhookComplete(t, d, "c") // takes the place of b, the oldest one, and not of a
		assert.False(t, webhookRemembers(t, d, "b"))
		assert.True(t, webhookRemembers(t, d, "a"))
		assert.True(t, webhookRemembers(t, d, "c"))
		time.Sleep(time.Hour)
		assert.False(t, webhookRemembers(t, d, "a"))
		assert.False(t, webhookRemembers(t, d, "c"))
	})
}

func TestMemoryDeduplicator_isNotConfusedByAKeyThatIsHandledAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := ittybit.NewMemoryDeduplicator(3, time.Hour)
		webhookComplete(t, d, "a")
		time.Sleep(time.Hour)
		webhookComplete(t, d, "a") // twice in the ring now; only the second one counts
		webhookComplete(t, d, "b")
		webhookComplete(t, d, "c") // takes the place of the first a
		assert.True(t, webhookRemembers(t, d, "a"))
		assert.True(t, webhookRemembers(t, d, "b"))
		assert.True(t, webhookRemembers(t, d, "c"))
		webhookComplete(t, d, "d") // takes the place of the second a
		assert.False(t, webhookRemembers(t, d, "a"))
		assert.True(t, webhookRemembers(t, d, "b"))
	})
}

func TestMemoryDeduplicator_hasDefaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, d := range []*ittybit.MemoryDeduplicator{ittybit.NewMemoryDeduplicator(0, 0), ittybit.NewMemoryDeduplicator(-1, -1)} {
			webhookComplete(t, d, "a")
			time.Sleep(ittybit.DefaultDeduplicatorTTL - 1)
			assert.True(t, webhookRemembers(t, d, "a"))
			time.Sleep(time.Nanosecond)
			assert.False(t, webhookRemembers(t, d, "a"))
		}
	})
}

func TestMemoryDeduplicator_takesTheLargestValues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := ittybit.NewMemoryDeduplicator(math.MaxInt, math.MaxInt64)
		webhookComplete(t, d, "a")
		assert.True(t, webhookRemembers(t, d, "a"), "for ever is not over already")
		time.Sleep(100 * 365 * 24 * time.Hour)
		assert.True(t, webhookRemembers(t, d, "a"))
	})
}

func TestMemoryDeduplicator_sharesALargeCapacityAmongItsShards(t *testing.T) {
	const capacity = 16 * 1024
	d := ittybit.NewMemoryDeduplicator(capacity, time.Hour)
	for i := range 3 * capacity {
		webhookComplete(t, d, fmt.Sprint(i))
	}
	remembered := 0
	for i := range 3 * capacity {
		if webhookRemembers(t, d, fmt.Sprint(i)) {
			remembered++
		}
	}
	assert.Equal(t, capacity, remembered, "full, and no fuller")
	for i := 3*capacity - 1000; i < 3*capacity; i++ {
		require.True(t, webhookRemembers(t, d, fmt.Sprint(i)), "the latest ones are there")
	}
}

func TestMemoryDeduplicator_waitsForTheHolder(t *testing.T) {
	for name, complete := range map[string]bool{"who completes": true, "who releases": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := ittybit.NewMemoryDeduplicator(10, time.Hour)
				held := webhookClaim(t, d, "a")
				var errs [5]error
				var waited [5]time.Duration
				var group sync.WaitGroup
				var at atomic.Int64
				start := time.Now()
				for i := range errs {
					group.Go(func() {
						claim, err := d.Claim(t.Context(), "a")
						waited[i], errs[i] = time.Since(start), err
						if err == nil {
							assert.EqualValues(t, 1, at.Add(1), "one at a time")
							time.Sleep(time.Second)
							at.Add(-1)
							assert.NoError(t, claim.Release(t.Context()))
						}
					})
				}
				synctest.Wait() // all of them are blocked now
				time.Sleep(time.Minute)
				if complete {
					require.NoError(t, held.Complete(t.Context()))
				} else {
					require.NoError(t, held.Release(t.Context()))
				}
				group.Wait()
				for i, err := range errs {
					assert.GreaterOrEqual(t, waited[i], time.Minute)
					if complete {
						assert.ErrorIs(t, err, ittybit.ErrAlreadyHandled)
						assert.Equal(t, time.Minute, waited[i])
					} else {
						assert.NoError(t, err)
					}
				}
				if !complete {
					assert.Equal(t, time.Minute+5*time.Second, time.Since(start), "one after the other")
				}
			})
		})
	}
}

func TestMemoryDeduplicator_waitsNoLongerThanTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := ittybit.NewMemoryDeduplicator(10, time.Hour)
		held := webhookClaim(t, d, "a")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		claim, err := d.Claim(ctx, "a")
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Nil(t, claim)
		assert.Equal(t, time.Second, time.Since(start))

		_, err = d.Claim(ctx, "free")
		assert.ErrorIs(t, err, context.DeadlineExceeded, "nothing is begun with no time left")
		assert.False(t, webhookRemembers(t, d, "free"))

		require.NoError(t, held.Release(t.Context()))
		assert.False(t, webhookRemembers(t, d, "a"), "who gave up waiting holds nothing")
	})
}

func TestMemoryDeduplicator_endsAClaimOnce(t *testing.T) {
	d := ittybit.NewMemoryDeduplicator(10, time.Hour)
	first := webhookClaim(t, d, "a")
	require.NoError(t, first.Release(t.Context()))
	require.NoError(t, first.Release(t.Context()))
	second := webhookClaim(t, d, "a")
	require.NoError(t, first.Release(t.Context()), "must not free what somebody else holds")
	require.NoError(t, first.Complete(t.Context()), "nor complete it")
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	_, err := d.Claim(ctx, "a")
	require.ErrorIs(t, err, context.DeadlineExceeded)

	require.NoError(t, second.Complete(t.Context()))
	require.NoError(t, second.Complete(t.Context()))
	require.NoError(t, second.Release(t.Context()), "what is completed stays so")
	assert.True(t, webhookRemembers(t, d, "a"))
}

func TestMemoryDeduplicator_endsAClaimWhoseContextIsOver(t *testing.T) {
	d := ittybit.NewMemoryDeduplicator(10, time.Hour)
	ctx, cancel := context.WithCancel(t.Context())
	a, err := d.Claim(ctx, "a")
	require.NoError(t, err)
	b, err := d.Claim(ctx, "b")
	require.NoError(t, err)
	cancel()
	require.NoError(t, a.Complete(ctx))
	require.NoError(t, b.Release(ctx))
	assert.True(t, webhookRemembers(t, d, "a"))
	assert.False(t, webhookRemembers(t, d, "b"))
}
