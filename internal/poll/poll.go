// Package poll has what polling an API takes: a pace, an interval that grows, a queue of what is
// due, and a limit to how long the API may be away.
package poll

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"sort"
	"time"
)

// MaxInterval is where an [Interval] stops growing, unless it began above, and the longest wait
// after a failed poll of an API that does not say how long to wait.
const MaxInterval = 30 * time.Second

// Interval is the time between two polls.
type Interval time.Duration

// Next gives the time until the next poll, give or take a fifth. The one after that is longer
// by half.
func (i *Interval) Next() time.Duration {
	wait := time.Duration(*i)
	if wait < MaxInterval {
		*i = Interval(min(wait+wait/2, MaxInterval))
	}
	spread := wait / 5
	if spread <= 0 {
		return wait
	}
	return wait - spread + rand.N(2*spread) //nolint:gosec // jitter needs no secret
}

// Pacer leaves a gap between two steps.
type Pacer struct {
	gap  time.Duration
	next time.Time
}

// NewPacer makes a Pacer for so many steps a second, which must be positive.
func NewPacer(perSecond float64) Pacer {
	gap := float64(time.Second) / perSecond
	if gap >= float64(math.MaxInt64) { // the slowest rates must not overflow
		return Pacer{gap: math.MaxInt64}
	}
	return Pacer{gap: time.Duration(gap)}
}

// Next gives when the next step may be made.
func (p *Pacer) Next() time.Time { return p.next }

// Step notes that a step is made now.
func (p *Pacer) Step() { p.next = time.Now().Add(p.gap) }

// Wait waits until the next step may be made, and makes it. It gives the error of a context that
// ends before.
func (p *Pacer) Wait(ctx context.Context) error {
	if err := Sleep(ctx, time.Until(p.next)); err != nil {
		return err
	}
	p.Step()
	return nil
}

// Sleep waits for d, or for the end of ctx, whose error it gives.
func Sleep(ctx context.Context, d time.Duration) error {
	if err := ctx.Err(); err != nil || d <= 0 {
		return err
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// Outage bounds how long an API may be away: from the first failed call after the last good one.
type Outage struct {
	Limit time.Duration

	since    time.Time
	failures int
}

// Failed notes that a call has failed, and gives how long to wait before the next one: wait or
// [MaxInterval], if that is shorter, or as long as the API asks for. It is false where the outage
// has lasted too long, or the API asks for more than is borne.
func (o *Outage) Failed(wait, retryAfter time.Duration) (time.Duration, bool) {
	if o.failures++; o.failures == 1 {
		o.since = time.Now()
	}
	left := o.Limit - o.Lasts()
	if left <= 0 || retryAfter > o.Limit {
		return 0, false
	}
	return max(min(wait, MaxInterval, left), retryAfter), true
}

// Ended notes that a call has succeeded.
func (o *Outage) Ended() { o.failures = 0 }

// Failures is how many calls have failed since the last good one.
func (o *Outage) Failures() int { return o.failures }

// Lasts gives how long the outage has lasted.
func (o *Outage) Lasts() time.Duration {
	if o.failures == 0 {
		return 0
	}
	return time.Since(o.since)
}

// Queue holds values until they are due. The zero Queue is empty.
type Queue[T any] struct{ entries []entry[T] } // the one that is due first comes first

type entry[T any] struct {
	value T
	due   time.Time
}

// Push adds a value, behind those that are due at the same time.
func (q *Queue[T]) Push(value T, due time.Time) {
	i := sort.Search(len(q.entries), func(i int) bool { return q.entries[i].due.After(due) })
	q.entries = slices.Insert(q.entries, i, entry[T]{value, due})
}

// Pop takes the value that is due first out of a queue that is not empty.
func (q *Queue[T]) Pop() T {
	first := q.entries[0].value
	q.entries = slices.Delete(q.entries, 0, 1)
	return first
}

// Due gives when the first value is due; false where the queue is empty.
func (q *Queue[T]) Due() (time.Time, bool) {
	if len(q.entries) == 0 {
		return time.Time{}, false
	}
	return q.entries[0].due, true
}
