package riverevents

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/ittybit/ittybit-go"
)

// WorkerOption sets up [Worker].
type WorkerOption interface {
	applyWorker(*worker)
}

type workerOption func(*worker)

func (o workerOption) applyWorker(w *worker) { o(w) }

// WithTimeout sets how long a job may run until its context ends. Zero, the default, means the
// client's Config.JobTimeout, which is a minute if that is zero, too. Keep it below
// Config.RescueStuckJobsAfter. River takes -1 for no timeout, and never rescues such a job when
// its worker was killed.
func WithTimeout(d time.Duration) WorkerOption {
	return workerOption(func(w *worker) { w.timeout = d })
}

// WithHandlerFor sets the handler of events that were enqueued under a name, by [WithName].
// Events under other names go to the handler that [Worker] was given. A nil handler panics.
func WithHandlerFor(name string, next ittybit.EventHandler) WorkerOption {
	return workerOption(func(w *worker) {
		if next == nil {
			panic("riverevents: WithHandlerFor: nil handler")
		}
		w.named[name] = next
	})
}

// WithoutStaleCheck has events handled whatever was handled before them: for those who want
// each progress of a task, in any order. Events of one task then don't wait for each other,
// either. Give it to all workers of a database, or none.
func WithoutStaleCheck() WorkerOption {
	return workerOption(func(w *worker) { w.unordered = true })
}

// WithLogger logs a line for each attempt: at Info what is well, at Warn what is tried again,
// at Error what needs somebody: what was discarded, or has failed for the last time, or
// panicked, or could not be read. A statement for several jobs that failed, so that each goes on by
// itself, is a line at Warn, or at Debug where somebody else held a lock. Payloads are logged at
// Debug only. The signatures of signed URLs are masked in all lines; the worker knows no key. The
// default, and nil, is no log.
func WithLogger(logger *slog.Logger) WorkerOption {
	return workerOption(func(w *worker) { w.logger = logger })
}

// WithObserver calls fn after each attempt, for metrics, in the worker's goroutine. A panic in fn
// is logged and goes no further. A nil function panics.
func WithObserver(fn func(context.Context, Attempt)) WorkerOption {
	return workerOption(func(w *worker) {
		if fn == nil {
			panic("riverevents: WithObserver: nil function")
		}
		w.observer = fn
	})
}

// Attempt describes one run of a job, for [WithObserver].
type Attempt struct {
	// Outcome is handled, duplicate (another run was first), stale, discarded, failed (also
	// for good, see Last), retry_later, panicked, or malformed_event.
	Outcome  ittybit.Outcome
	Duration time.Duration
	Last     bool             // of the job's attempts; it is not tried again after an error
	Job      *river.Job[Args] // never nil
	Event    *ittybit.Event   // nil where the payload could not be read
	Err      error            // why the event is not handled; nil where it is
}

// Worker gives the worker of the jobs that [Enqueue] inserts, for river.AddWorker. It calls next
// with each event; what its errors do is in the package's overview. Next gets at the
// transaction by [Tx]. A next that is nil panics.
//
// [Enqueue] inserts no payload that can't be read. A job with one is tried again, as after any
// error: a newer version of this package, which can read it, may have inserted it while this one
// was still at work.
func Worker(next ittybit.EventHandler, opts ...WorkerOption) river.Worker[Args] {
	if next == nil {
		panic("riverevents: Worker: nil handler")
	}
	w := &worker{
		next: next, named: make(map[string]ittybit.EventHandler),
		loads: newBatcher(loadOne, loadMany), marks: newBatcher(markOne, markMany),
	}
	// A worker may be that of several clients.
	w.loads.same = func(a, b *run) bool { return a.client == b.client }
	w.marks.expected = func() int { return int(w.active.Load()) }
	w.marks.same = func(a, b mark) bool { return a.run.client == b.run.client }
	w.loads.failed, w.marks.failed = w.logBatch("load"), w.logBatch("mark")
	for _, opt := range opts {
		opt.applyWorker(w)
	}
	return w
}

type worker struct {
	river.WorkerDefaults[Args]

	next      ittybit.EventHandler
	named     map[string]ittybit.EventHandler
	timeout   time.Duration
	unordered bool
	logger    *slog.Logger
	observer  func(context.Context, Attempt)
	active    atomic.Int64 // jobs under way, whose marks may be about to come
	loads     *batcher[*run, loaded]
	marks     *batcher[mark, bool]
}

// Timeout implements river.Worker.
func (w *worker) Timeout(*river.Job[Args]) time.Duration { return w.timeout }

// Work implements river.Worker.
func (w *worker) Work(ctx context.Context, job *river.Job[Args]) error {
	start := time.Now()
	w.active.Add(1)
	defer w.active.Add(-1)
	// Unless something else is said of it below, the handler panicked or ended its goroutine.
	attempt := Attempt{Outcome: ittybit.OutcomePanicked, Job: job, Last: job.Attempt >= job.MaxAttempts, Err: errPanicked}
	defer func() {
		attempt.Duration = time.Since(start)
		w.notify(ctx, &attempt)
	}()
	return w.work(ctx, &attempt)
}

var errPanicked = errors.New("riverevents: the event handler panicked")

func (w *worker) work(ctx context.Context, a *Attempt) error {
	client, err := river.ClientFromContextSafely[pgx.Tx](ctx)
	if err != nil {
		return a.end(ittybit.OutcomeFailed, fmt.Errorf("riverevents: Worker works only in a client with the driver riverpgxv5: %w", err))
	}
	if a.Event, err = ittybit.ParseEvent(a.Job.Args.Payload); err != nil {
		return a.end(ittybit.OutcomeMalformedEvent, err) // not cancelled: a newer version may have written it, and read it
	}
	r := &run{worker: w, client: client, tables: tablesOf(client), job: a.Job, key: keyOf(a.Job)}
	if !w.unordered {
		r.subject, r.state = subjectOf(a.Event)
	}
	if err := r.loadState(ctx); err != nil {
		return a.end(ittybit.OutcomeFailed, explain(fmt.Errorf("riverevents: reading the event's state: %w", err)))
	}
	if r.skipped() != nil {
		return r.finish(ctx, a, nil)
	}
	defer r.abandon(ctx) // after an error or a panic
	next, ok := w.named[a.Job.Args.Name]
	if !ok {
		next = w.next
	}
	err = next.HandleEvent(context.WithValue(ctx, runKey{}, r), a.Event)
	return r.finish(ctx, a, err)
}

// keyOf gives the key of a job's event. A job that somebody inserted without one must not be taken
// for a repeat of another.
func keyOf(job *river.Job[Args]) string {
	if job.Args.Key == "" {
		return "job:" + strconv.FormatInt(job.ID, 10)
	}
	return storable(job.Args.Key)
}

// finish does what a handler's error asks for, and gives River its form of it.
func (r *run) finish(ctx context.Context, a *Attempt, err error) error {
	outcome, after := r.outcomeOf(err)
	switch outcome {
	case ittybit.OutcomeRetryLater:
		_ = a.end(outcome, err)
		return river.JobSnooze(after)
	case ittybit.OutcomeFailed:
		return a.end(outcome, explain(err))
	case ittybit.OutcomeDiscarded:
		r.abandon(ctx)
	}
	if !isDuplicate(r.skipped()) { // else another run wrote the mark
		mark := outcome
		if outcome == ittybit.OutcomeDuplicate { // the handler says so, and what it wrote stays
			mark = ittybit.OutcomeHandled
		}
		if markErr := r.settle(ctx, mark); markErr != nil {
			return a.end(ittybit.OutcomeFailed,
				explain(fmt.Errorf("riverevents: committing the event as %s: %w", mark, errors.Join(markErr, err))))
		}
	}
	switch {
	case isDuplicate(r.skipped()): // another run was first
		return a.end(ittybit.OutcomeDuplicate, nil)
	case outcome == ittybit.OutcomeDiscarded:
		_ = a.end(outcome, err)
		if cancelled := (*river.JobCancelError)(nil); errors.As(err, &cancelled) {
			return err
		}
		return river.JobCancel(err)
	default:
		return a.end(outcome, nil)
	}
}

// outcomeOf says what an attempt comes to, whose handler returned err if it was called.
func (r *run) outcomeOf(err error) (outcome ittybit.Outcome, after time.Duration) {
	switch skip := r.skipped(); {
	case errors.Is(skip, ErrStale):
		return OutcomeStale, 0
	case skip != nil:
		return ittybit.OutcomeDuplicate, 0
	}
	if snoozed := (*river.JobSnoozeError)(nil); errors.As(err, &snoozed) {
		return ittybit.OutcomeRetryLater, snoozed.Duration
	}
	if cancelled := (*river.JobCancelError)(nil); errors.As(err, &cancelled) {
		return ittybit.OutcomeDiscarded, 0
	}
	return ittybit.OutcomeOf(err)
}

// end notes what became of the attempt, and gives the error back.
func (a *Attempt) end(outcome ittybit.Outcome, err error) error {
	a.Outcome, a.Err = outcome, err
	return err
}

// notify logs the attempt, and calls the observer. A panic of either must not decide what becomes
// of the job.
func (w *worker) notify(ctx context.Context, a *Attempt) {
	ctx = context.WithoutCancel(ctx)
	recoverPanic(func() { w.log(ctx, a) })
	if w.observer == nil {
		return
	}
	reason, stack := recoverPanic(func() { w.observer(ctx, *a) })
	if reason == nil || w.logger == nil {
		return
	}
	recoverPanic(func() {
		w.logger.LogAttrs(ctx, slog.LevelError, "ittybit: the observer panicked", slog.Int64("job", a.Job.ID),
			slog.String("error", redacted(fmt.Sprint(reason))), slog.String("stack", redacted(stack)))
	})
}

// recoverPanic calls fn and gives what it panicked with.
func recoverPanic(fn func()) (reason any, stack string) {
	defer func() {
		if reason = recover(); reason != nil {
			stack = string(debug.Stack())
		}
	}()
	fn()
	return nil, ""
}

// log writes a line for the attempt, where there is a log.
func (w *worker) log(ctx context.Context, a *Attempt) {
	level := a.level()
	if w.logger == nil || !w.logger.Enabled(ctx, level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("outcome", string(a.Outcome)),
		slog.Duration("duration", a.Duration),
		slog.String("key", redacted(a.Job.Args.Key)),
		slog.Int64("job", a.Job.ID),
		slog.Int("attempt", a.Job.Attempt),
		slog.Int("max_attempts", a.Job.MaxAttempts),
	}
	if a.Job.Args.Name != "" {
		attrs = append(attrs, slog.String("name", a.Job.Args.Name))
	}
	if a.Event != nil {
		attrs = append(attrs, slog.String("event", redacted(string(a.Event.Type))))
	}
	if a.Err != nil {
		attrs = append(attrs, slog.String("error", redacted(fmt.Sprint(a.Err)))) // fmt bears an error that panics
	}
	if w.logger.Enabled(ctx, slog.LevelDebug) {
		attrs = append(attrs, slog.String("payload", redacted(string(a.Job.Args.Payload))))
	}
	w.logger.LogAttrs(ctx, level, "ittybit: event worked", attrs...)
}

// logBatch gives what writes a line for a batch that failed. Its jobs go on one by one, which may
// be well, and is slow. That somebody else holds a lock is to be expected now and then.
func (w *worker) logBatch(statement string) func(context.Context, int, error) {
	return func(ctx context.Context, jobs int, err error) {
		if w.logger == nil {
			return
		}
		level := slog.LevelWarn
		if isLockTimeout(err) {
			level = slog.LevelDebug
		}
		recoverPanic(func() {
			w.logger.LogAttrs(ctx, level, "ittybit: a statement for several jobs failed; each goes on alone",
				slog.String("statement", statement), slog.Int("jobs", jobs), slog.String("error", redacted(explain(err).Error())))
		})
	}
}

func (a *Attempt) level() slog.Level {
	switch a.Outcome {
	case ittybit.OutcomeHandled, ittybit.OutcomeDuplicate, OutcomeStale:
		return slog.LevelInfo
	case ittybit.OutcomeRetryLater:
		return slog.LevelWarn
	case ittybit.OutcomeFailed:
		if !a.Last {
			return slog.LevelWarn
		}
	}
	return slog.LevelError
}
