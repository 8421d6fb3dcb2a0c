package riverevents

import (
	"time"

	"github.com/riverqueue/river"

	"github.com/ittybit/ittybit-go"
)

// Batches gives what holds the events of an [Enqueue] up until release is called, so that those
// that arrive meanwhile are one batch, which may take so long, and counts those that wait.
func Batches(enqueue ittybit.EventHandler, maxTime time.Duration) (waiting func() int, hold func() (release func())) {
	return held(enqueue.(*enqueuer).batches, maxTime)
}

// Loads and Marks do so for what a [Worker] reads before it calls a handler, and writes after it.
func Loads(w river.Worker[Args], maxTime time.Duration) (waiting func() int, hold func() (release func())) {
	return held(w.(*worker).loads, maxTime)
}

func Marks(w river.Worker[Args], maxTime time.Duration) (waiting func() int, hold func() (release func())) {
	return held(w.(*worker).marks, maxTime)
}

func held[T, R any](b *batcher[T, R], maxTime time.Duration) (waiting func() int, hold func() (release func())) {
	b.maxWait, b.maxTime = time.Hour, maxTime
	waiting = func() int {
		b.mu.Lock()
		defer b.mu.Unlock()
		return len(b.waiting)
	}
	return waiting, func() func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		for b.running > 0 { // those that have given their results, and have not ended yet
			b.mu.Unlock()
			time.Sleep(time.Millisecond)
			b.mu.Lock()
		}
		b.running += maxRuns
		return func() {
			for range maxRuns {
				b.next()
			}
		}
	}
}

// BatchOften leaves an [Enqueue] or [Worker] one run at a time, so that little is needed for a
// batch.
func BatchOften(h any) {
	switch h := h.(type) {
	case *enqueuer:
		h.batches.running = maxRuns - 1
	case *worker:
		h.loads.running, h.marks.running = maxRuns-1, maxRuns-1
	}
}
