package poll_test

import (
	"context"
	"math"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go/internal/poll"
)

func TestInterval_growsByHalfUpToItsLimitWithJitter(t *testing.T) {
	for first, want := range map[time.Duration][]time.Duration{
		8 * time.Second:       {8 * time.Second, 12 * time.Second, 18 * time.Second, 27 * time.Second, 30 * time.Second, 30 * time.Second},
		time.Minute:           {time.Minute, time.Minute},
		3 * time.Nanosecond:   {3, 4, 6}, // too short for a fifth, then for more than one
		25 * time.Millisecond: {25 * time.Millisecond, 37500 * time.Microsecond},
	} {
		seen := map[time.Duration]bool{}
		for range 50 {
			interval := poll.Interval(first)
			for i, middle := range want {
				got := interval.Next()
				assert.InDelta(t, float64(middle), float64(got), float64(middle)/5)
				if i == 0 {
					seen[got] = true
				}
			}
		}
		if first > time.Microsecond {
			assert.Greater(t, len(seen), 10, "all of the same length would meet again and again")
		}
	}
}

func TestPacer_leavesAGapBetweenSteps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pacer := poll.NewPacer(4)
		start := time.Now()
		for i := range 5 {
			require.NoError(t, pacer.Wait(t.Context()))
			assert.Equal(t, time.Duration(i)*250*time.Millisecond, time.Since(start))
		}
		time.Sleep(time.Minute) // what was not used is not made up for
		require.NoError(t, pacer.Wait(t.Context()))
		assert.Equal(t, 250*time.Millisecond, time.Until(pacer.Next()))
	})
}

func TestPacer_waitEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pacer := poll.NewPacer(math.SmallestNonzeroFloat64)
		require.NoError(t, pacer.Wait(t.Context()))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		require.ErrorIs(t, pacer.Wait(ctx), context.DeadlineExceeded)
		assert.Equal(t, time.Second, time.Since(start))
		fresh := poll.NewPacer(1)
		require.ErrorIs(t, fresh.Wait(ctx), context.DeadlineExceeded, "also where nothing is to be waited for")
		assert.True(t, fresh.Next().IsZero())
	})
}

func TestOutage_endsAtItsLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		outage := poll.Outage{Limit: time.Minute}
		time.Sleep(time.Hour) // before the first failure there is no outage
		var waits []time.Duration
		for {
			wait, ok := outage.Failed(20*time.Second, 0)
			if !ok {
				break
			}
			waits = append(waits, wait)
			time.Sleep(wait + 5*time.Second)
		}
		assert.Equal(t, []time.Duration{20 * time.Second, 20 * time.Second, 10 * time.Second}, waits, "the last one is at the limit")
		assert.Equal(t, 65*time.Second, outage.Lasts())
		assert.Equal(t, 4, outage.Failures())

		outage.Ended()
		assert.Zero(t, outage.Lasts())
		wait, ok := outage.Failed(time.Second, 0)
		assert.True(t, ok)
		assert.Equal(t, time.Second, wait)
		time.Sleep(50 * time.Second)
		wait, ok = outage.Failed(time.Second, 45*time.Second)
		assert.True(t, ok, "what is asked for may end after the limit")
		assert.Equal(t, 45*time.Second, wait)
		time.Sleep(wait)
		_, ok = outage.Failed(time.Second, time.Second)
		assert.False(t, ok)
	})
}

func TestOutage_waitsAsLongAsIsAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, tt := range []struct {
			limit, wait, retryAfter, want time.Duration
			ok                            bool
		}{
			{10 * time.Minute, time.Second, 0, time.Second, true},
			{10 * time.Minute, time.Second, 3 * time.Minute, 3 * time.Minute, true},
			{10 * time.Minute, time.Minute, time.Second, poll.MaxInterval, true},
			{10 * time.Minute, time.Second, 11 * time.Minute, 0, false},
			{0, time.Second, 0, 0, false},
		} {
			outage := poll.Outage{Limit: tt.limit}
			wait, ok := outage.Failed(tt.wait, tt.retryAfter)
			assert.Equal(t, tt.ok, ok, "%+v", tt)
			assert.Equal(t, tt.want, wait, "%+v", tt)
		}
	})
}

func TestQueue_givesWhatIsDueFirst(t *testing.T) {
	var queue poll.Queue[int]
	_, ok := queue.Due()
	assert.False(t, ok)
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range 100 {
		n := i * 37 % 100
		queue.Push(n, start.Add(time.Duration(n)*time.Second))
	}
	var got []int
	for {
		due, ok := queue.Due()
		if !ok {
			break
		}
		n := queue.Pop()
		assert.Equal(t, start.Add(time.Duration(n)*time.Second), due)
		got = append(got, n)
	}
	assert.Len(t, got, 100)
	assert.True(t, slices.IsSorted(got))
}
