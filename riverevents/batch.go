package riverevents

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/ittybit/ittybit-go"
)

const (
	// maxBatch bounds the items of a batch, and maxBatchBytes what they weigh together, though one
	// item may weigh more.
	maxBatch      = 64
	maxBatchBytes = 1 << 20
	// maxRuns is how many runs there are at once before items wait: while the commit of one is
	// written to the disk, the database has time for others.
	maxRuns = 3
	// maxWait is how long an item waits for the runs that are under way: after it, they are held
	// up by something, and those who wait go without them.
	maxWait = 25 * time.Millisecond
	// gatherTime is how long an item waits for others that are expected: less than a commit takes.
	gatherTime = 2 * time.Millisecond
	// maxBatchTime leaves an item that a batch failed the time to be run again by itself.
	maxBatchTime = ittybit.DefaultProcessingTimeout / 2
	// lockTimeout is how long a batch waits for a lock, in PostgreSQL's notation. Somebody may hold
	// it for as long as a handler takes, and only one item of the batch needs it.
	lockTimeout = "50ms"
)

// batcher runs items that arrive at the same time together. An item that finds few runs under way,
// and that nobody is expected beside, is run at once, by itself as a rule. Those that arrive
// meanwhile are the next batch.
type batcher[T, R any] struct {
	alone    func(context.Context, T) (R, error)
	together func(context.Context, []T) ([]R, error) // all or nothing; a result for each
	bytes    func(T) int
	same     func(a, b T) bool // may be in one batch

	// expected gives how many items may be about to come, those that wait included. Fewer wait for
	// the others, for gatherTime at most. Nil: nobody waits for items to come.
	expected func() int

	// failed is called for a batch whose items are run one by one. It may be nil.
	failed func(ctx context.Context, items int, err error)

	maxWait, maxTime time.Duration

	mu      sync.Mutex
	running int
	waiting []*waiter[T, R]
}

func newBatcher[T, R any](alone func(context.Context, T) (R, error), together func(context.Context, []T) ([]R, error)) *batcher[T, R] {
	return &batcher[T, R]{
		alone: alone, together: together, bytes: func(T) int { return 0 }, same: func(T, T) bool { return true },
		maxWait: maxWait, maxTime: maxBatchTime,
	}
}

// waiter is an item that waits for its turn, and then for its result.
type waiter[T, R any] struct {
	item  T
	batch *batch // nil until its turn has come
	done  chan batchResult[R]
}

type batchResult[R any] struct {
	value R
	err   error
}

// batch is a run of several items.
type batch struct {
	ctx     context.Context //nolint:containedctx // ends when nobody waits for the batch
	cancel  context.CancelFunc
	staying int
	ended   chan struct{}
}

// do runs an item, alone or together with others. One that fails with others is run again alone, so
// that an error is always the item's own. When ctx ends, the others go on, and what becomes of the
// item is not known.
func (b *batcher[T, R]) do(ctx context.Context, item T) (R, error) {
	w, wait := b.enter(item)
	if wait == 0 {
		if b.startAlone(w) {
			defer b.next()
			return b.alone(ctx, item)
		}
		wait = b.maxWait
	}
	overdue := time.NewTimer(wait)
	defer overdue.Stop()
	for {
		select {
		case result := <-w.done:
			if result.err != nil {
				return b.alone(ctx, item)
			}
			return result.value, nil
		case <-overdue.C:
			late := wait == b.maxWait
			b.startWith(w, late)
			if !late {
				wait = b.maxWait
				overdue.Reset(b.maxWait - gatherTime)
			}
		case <-ctx.Done():
			return b.leave(ctx, w)
		}
	}
}

// enter has an item wait. It gives how long at most, or 0 where few runs are under way and nothing
// else is expected, so that the item is to start one.
func (b *batcher[T, R]) enter(item T) (w *waiter[T, R], wait time.Duration) {
	w = &waiter[T, R]{item: item, done: make(chan batchResult[R], 1)}
	b.mu.Lock()
	b.waiting = append(b.waiting, w)
	others := b.running > 0
	switch {
	case b.running >= maxRuns:
		wait = b.maxWait
	case b.expected != nil && len(b.waiting) < b.expected():
		wait = gatherTime
	default:
		b.running++
	}
	b.mu.Unlock()
	if wait == 0 && others {
		runtime.Gosched() // to those who are about to enter, too
	}
	return w, wait
}

// startAlone starts what w has entered for. It reports whether w is alone, and to be run by its
// caller, or otherwise starts a batch.
func (b *batcher[T, R]) startAlone(w *waiter[T, R]) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.waiting) == 1 && b.waiting[0] == w {
		b.waiting = nil
		return true
	}
	b.running--
	if len(b.waiting) > 0 {
		b.start()
	}
	return false
}

// next ends a run, and starts one of those who wait.
func (b *batcher[T, R]) next() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.running--
	if len(b.waiting) > 0 {
		b.start()
	}
}

// startWith starts a batch, if the turn of w has still not come: beside many others only if it is
// late.
func (b *batcher[T, R]) startWith(w *waiter[T, R], late bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for w.batch == nil && (late || b.running < maxRuns) {
		b.start()
	}
}

// start starts a batch of the first of those who wait, and of others as far as they fit. The caller
// holds the lock.
func (b *batcher[T, R]) start() {
	run := &batch{ended: make(chan struct{})}
	run.ctx, run.cancel = context.WithTimeout(context.Background(), b.maxTime)
	first, bytes := b.waiting[0], 0
	var members, rest []*waiter[T, R]
	for _, w := range b.waiting {
		more := b.bytes(w.item)
		if w != first && (len(members) == maxBatch || bytes+more > maxBatchBytes || !b.same(first.item, w.item)) {
			rest = append(rest, w)
			continue
		}
		bytes += more
		w.batch = run
		members = append(members, w)
	}
	run.staying, b.waiting = len(members), rest
	b.running++
	go b.run(run, members)
}

func (b *batcher[T, R]) run(run *batch, members []*waiter[T, R]) {
	defer b.next()
	defer run.cancel()
	items := make([]T, len(members))
	for i, w := range members {
		items[i] = w.item
	}
	var results []R
	err := errors.New("riverevents: the batch ended its goroutine")
	defer func() {
		// A panic is the one that had it: it panics again, where its caller expects it.
		if reason := recover(); reason != nil {
			err = fmt.Errorf("riverevents: the batch panicked: %v", reason)
		}
		defer close(run.ended)
		if err != nil && b.failed != nil && !errors.Is(run.ctx.Err(), context.Canceled) { // else nobody waits any more
			b.failed(run.ctx, len(members), err)
		}
		for i, w := range members {
			result := batchResult[R]{err: err}
			if err == nil {
				result.value = results[i]
			}
			w.done <- result
		}
	}()
	results, err = b.together(run.ctx, items)
}

// leave gives up waiting, because ctx has ended. The last to leave a batch stops it, and sees it
// end.
func (b *batcher[T, R]) leave(ctx context.Context, w *waiter[T, R]) (R, error) {
	b.mu.Lock()
	run := w.batch
	if run == nil {
		b.waiting = slices.DeleteFunc(b.waiting, func(other *waiter[T, R]) bool { return other == w })
		b.mu.Unlock()
		var none R
		return none, fmt.Errorf("waiting for other transactions: %w", ctx.Err())
	}
	run.staying--
	last := run.staying == 0
	b.mu.Unlock()
	if last {
		run.cancel()
		<-run.ended
	}
	select {
	case result := <-w.done: // just in time
		if result.err == nil {
			return result.value, nil
		}
	default:
	}
	var none R
	return none, fmt.Errorf("waiting for a transaction with other events: %w", ctx.Err())
}
