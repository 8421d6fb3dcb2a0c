package ittybit

import (
	"container/heap"
	"context"
	"fmt"
	"iter"
	"math"
	"slices"
	"sync"
	"time"
)

const (
	// DefaultPollRate is how many looks a second [TasksService.WaitAll] makes at most.
	// Ittybit documents no rate limits in numbers.
	DefaultPollRate = 10.0
	// maxLooks is how many looks are on their way at once.
	maxLooks = 8
)

// WithPollRate bounds the looks of [TasksService.WaitAll] at all of its tasks together, in
// looks a second; it must be positive. The default is [DefaultPollRate].
func WithPollRate(perSecond float64) WaitOption {
	return waitOption(func(c *waitConfig) error {
		if !(perSecond > 0 && perSecond <= math.MaxFloat64) {
			return &ParamError{Param: "poll rate", Reason: "must be positive"}
		}
		c.rate = perSecond
		return nil
	})
}

// UnfinishedError names tasks whose end was not seen, and says why.
type UnfinishedError struct {
	IDs []string
	Err error // of the context, or of the look that failed
}

// Error implements error.
func (e *UnfinishedError) Error() string {
	if len(e.IDs) == 1 {
		return fmt.Sprintf("ittybit: task %s was not seen to end: %v", oneLine(e.IDs[0]), e.Err)
	}
	return fmt.Sprintf("ittybit: %d tasks were not seen to end: %v", len(e.IDs), e.Err)
}

// Unwrap gives the reason.
func (e *UnfinishedError) Unwrap() error { return e.Err }

// WaitAll waits for many tasks at once, within a rate ([WithPollRate]), and yields each one
// as soon as its end was seen; one that ended without success together with a
// [*TaskFailedError]. For a task that can't be fetched it yields its last state, or nil, with
// an [*UnfinishedError], and goes on with the others. Where ctx ends, it yields nil with an
// UnfinishedError of all that are left, as the last element. Ids that are named twice are
// waited for once. Functions given with [WithProgress] are never called twice at once.
func (s *TasksService) WaitAll(ctx context.Context, ids []string, opts ...WaitOption) iter.Seq2[*Task, error] {
	return func(yield func(*Task, error) bool) {
		w, err := s.newWatch(ctx, ids, opts)
		if err != nil {
			yield(nil, err)
			return
		}
		w.run(ctx, yield)
	}
}

// watched is a task that is waited for.
type watched struct {
	id       string
	next     time.Time // when to look
	interval time.Duration
	last     *Task
}

// look is what was seen of a task.
type look struct {
	of   *watched
	task *Task
	err  error
}

// watch is one WaitAll.
type watch struct {
	service  *TasksService
	cfg      waitConfig
	gap      time.Duration // between two looks
	slot     time.Time     // not to look before
	resting  queue         // tasks that nobody looks at just now
	unended  map[string]bool
	inFlight int
}

func (s *TasksService) newWatch(ctx context.Context, ids []string, opts []WaitOption) (*watch, error) {
	if ctx == nil {
		return nil, &ParamError{Param: "ctx", Reason: "is nil"}
	}
	cfg, err := newWaitConfig(opts)
	if err != nil {
		return nil, err
	}
	request, err := newRequestConfig(cfg.requests)
	if err != nil {
		return nil, err
	}
	if request.info != nil {
		return nil, &ParamError{Param: "response info", Reason: "can't hold the answers about many tasks"}
	}
	w := &watch{service: s, cfg: cfg, gap: rateGap(cfg.rate), unended: make(map[string]bool)}
	for _, id := range ids {
		if id == "" {
			return nil, &ParamError{Param: "ids", Reason: "hold an empty one"}
		}
		if !w.unended[id] {
			w.unended[id] = true
			w.resting = append(w.resting, &watched{id: id, interval: cfg.interval})
		}
	}
	return w, nil
}

// rateGap is the time between two of so many a second, without overflow for the slowest rates.
func rateGap(rate float64) time.Duration {
	gap := float64(time.Second) / rate
	if gap >= float64(math.MaxInt64) {
		return math.MaxInt64
	}
	return time.Duration(gap)
}

func (w *watch) run(ctx context.Context, yield func(*Task, error) bool) {
	inner, cancel := context.WithCancel(ctx)
	var lookers sync.WaitGroup
	defer lookers.Wait()
	defer cancel()
	looks := make(chan look, maxLooks)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for len(w.unended) > 0 {
		wait, due := w.due()
		if due && wait <= 0 && ctx.Err() == nil {
			target := w.begin()
			lookers.Go(func() {
				task, err := w.service.Get(inner, target.id, w.cfg.requests...)
				looks <- look{target, task, err}
			})
			continue
		}
		if !due {
			wait = math.MaxInt64 // until a look comes back
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			yield(nil, &UnfinishedError{IDs: w.left(), Err: ctx.Err()})
			return
		case seen := <-looks:
			if w.inFlight--; ctx.Err() == nil && !w.judge(seen, yield) {
				return
			}
		case <-timer.C:
		}
	}
}

// due says how long to wait until the next look; false: none may begin.
func (w *watch) due() (time.Duration, bool) {
	if len(w.resting) == 0 || w.inFlight == maxLooks {
		return 0, false
	}
	at := w.resting[0].next
	if at.Before(w.slot) {
		at = w.slot
	}
	return time.Until(at), true
}

// begin takes the task that is next.
func (w *watch) begin() *watched {
	target, _ := heap.Pop(&w.resting).(*watched)
	w.inFlight++
	w.slot = time.Now().Add(w.gap)
	return target
}

// judge takes what was seen, and reports whether to go on.
func (w *watch) judge(seen look, yield func(*Task, error) bool) bool {
	target := seen.of
	if seen.task != nil {
		target.last = seen.task
	}
	if seen.err != nil {
		delete(w.unended, target.id)
		return yield(target.last, &UnfinishedError{IDs: []string{target.id}, Err: seen.err})
	}
	if w.cfg.progress != nil {
		w.cfg.progress(seen.task)
	}
	if seen.task.Terminal() {
		delete(w.unended, target.id)
		return yield(ended(seen.task, seen.err))
	}
	target.next = time.Now().Add(jittered(target.interval))
	target.interval = grow(target.interval)
	heap.Push(&w.resting, target)
	return true
}

// left gives the ids of the tasks that have not ended, in order.
func (w *watch) left() []string {
	ids := make([]string, 0, len(w.unended))
	for id := range w.unended {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// queue is a heap of tasks, the one to look at first on top.
type queue []*watched

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].next.Before(q[j].next) }
func (q queue) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }

// Push implements [heap.Interface].
func (q *queue) Push(x any) {
	if target, ok := x.(*watched); ok {
		*q = append(*q, target)
	}
}

// Pop implements [heap.Interface].
func (q *queue) Pop() any {
	all := *q
	last := all[len(all)-1]
	*q = all[:len(all)-1]
	return last
}
