package ittybit_test

import (
	"context"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
)

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

func TestMemoryDeduplicator_holdsExactlyALargeCapacity(t *testing.T) {
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
