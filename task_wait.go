package ittybit

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/ittybit/ittybit-go/internal/errtext"
	"github.com/ittybit/ittybit-go/internal/pipeline"
	"github.com/ittybit/ittybit-go/internal/poll"
)

const (
	// DefaultPollInterval is how long [TasksService.Wait] waits after its first poll.
	DefaultPollInterval = time.Second
	// DefaultPollRate is how many polls a second [TasksService.WaitAll] makes at most.
	// Ittybit documents no rate limits in numbers.
	DefaultPollRate = 10.0
	// DefaultMaxOutage is how long the API may be away before waiting ends.
	DefaultMaxOutage = 10 * time.Minute

	// maxPolls is how many polls WaitAll has in flight at once.
	maxPolls = 8
	// createLag is how long after its creation a task may not be found yet.
	createLag = 10 * time.Second
)

// WaitOption sets up [TasksService.Wait], [TasksService.CreateAndWait] and
// [TasksService.WaitAll]. Every [RequestOption] is one.
type WaitOption interface {
	applyWait(*waitConfig) error
}

type waitOption func(*waitConfig) error

func (o waitOption) applyWait(c *waitConfig) error { return o(c) }

type waitConfig struct {
	interval  time.Duration
	rate      float64 // polls a second
	maxOutage time.Duration
	progress  func(*Task)
	requests  []RequestOption
}

func newWaitConfig(opts []WaitOption) (waitConfig, error) {
	cfg := waitConfig{interval: DefaultPollInterval, rate: DefaultPollRate, maxOutage: DefaultMaxOutage}
	err := applyOptions(opts, func(o WaitOption) error { return o.applyWait(&cfg) })
	return cfg, err
}

// WithPollInterval sets the first interval between two polls; it must be positive.
// The default is [DefaultPollInterval]. Intervals grow by half each time, up to 30
// seconds unless they began above, and are jittered by up to a fifth.
func WithPollInterval(d time.Duration) WaitOption {
	return waitOption(func(c *waitConfig) error {
		c.interval = d
		return paramErrorIf(d <= 0, "poll interval", "must be positive")
	})
}

// WithPollRate bounds the polls of [TasksService.WaitAll] for all of its tasks together, in
// polls a second; it must be positive. The default is [DefaultPollRate].
func WithPollRate(perSecond float64) WaitOption {
	return waitOption(func(c *waitConfig) error {
		c.rate = perSecond
		return paramErrorIf(!(perSecond > 0 && perSecond <= math.MaxFloat64), "poll rate", "must be positive")
	})
}

// WithProgress calls fn with the task after each poll that succeeds, the last one included.
func WithProgress(fn func(*Task)) WaitOption {
	return waitOption(func(c *waitConfig) error {
		c.progress = fn
		return paramErrorIf(fn == nil, "progress function", "is nil")
	})
}

// OutageOption is what [WithMaxOutage] gives: an option for waiting and for [Reconcile].
type OutageOption interface {
	WaitOption
	ReconcileOption
}

type outageOption time.Duration

func (o outageOption) check() error {
	return paramErrorIf(o < 0, "max outage", "must not be negative")
}

func (o outageOption) applyWait(c *waitConfig) error {
	c.maxOutage = time.Duration(o)
	return o.check()
}

func (o outageOption) applyReconcile(c *reconcileConfig) error {
	c.maxOutage = time.Duration(o)
	return o.check()
}

// WithMaxOutage sets how long the API may be away, from the first poll that fails after one that
// succeeded; of [TasksService.WaitAll], for any of its tasks. The default is [DefaultMaxOutage]; 0
// ends at the first failure. Meanwhile polls go on at least every 30 seconds, or as Retry-After
// asks; one that asks for more than d ends the wait at once.
//
// Failures that another poll may mend are: no connection, 408, 425, 429, every 5xx, a response that
// can't be read, and a refusal that is not in Ittybit's own form, as a proxy's page. A wrong
// certificate or scheme, and what Ittybit itself refuses (401, 403, 404 …), end the wait at once.
func WithMaxOutage(d time.Duration) OutageOption { return outageOption(d) }

// UnfinishedError names tasks whose end was not seen, and says why.
type UnfinishedError struct {
	IDs []string
	Err error // of the context, of the poll that failed, or of an outage
}

func (e *UnfinishedError) Error() string {
	if len(e.IDs) == 1 {
		return fmt.Sprintf("ittybit: task %s was not seen to end: %s", oneLine(e.IDs[0]), errtext.Text(e.Err))
	}
	return fmt.Sprintf("ittybit: %d tasks were not seen to end: %s", len(e.IDs), errtext.Text(e.Err))
}

func (e *UnfinishedError) Unwrap() error { return e.Err }

// Wait polls a task until it has ended, ctx ends, or it can't be fetched. It outlives an API that
// is away for a while ([WithMaxOutage]). A task that ended without success comes back together with
// a [*TaskFailedError]; with any other error, the last state that was seen comes back, if there is
// one. A status that this version does not know ends it once the task has a time of completion.
// Polling counts against Ittybit's rate limits: where you can, receive webhooks instead.
func (s *TasksService) Wait(ctx context.Context, id string, opts ...WaitOption) (*Task, error) {
	cfg, err := newWaitConfig(opts)
	if err != nil {
		return nil, err
	}
	task, err := s.Get(ctx, id, cfg.requests...)
	return s.wait(ctx, cfg, &target{id: id}, task, err)
}

// CreateAndWait is Create and Wait. A task that was created comes back also together
// with an error, as far as it was seen, so that its id is not lost. A task that is not found in
// the first ten seconds after it was created is polled again.
func (s *TasksService) CreateAndWait(ctx context.Context, params TaskCreateParams, opts ...WaitOption) (*Task, error) {
	cfg, err := newWaitConfig(opts)
	if err != nil {
		return nil, err
	}
	task, err := s.Create(ctx, params, cfg.requests...)
	if err != nil {
		return nil, err
	}
	return s.wait(ctx, cfg, &target{id: task.ID, created: time.Now()}, task, nil)
}

// wait goes on from a first poll, which gave task and err.
func (s *TasksService) wait(ctx context.Context, cfg waitConfig, t *target, task *Task, err error) (*Task, error) {
	t.interval = poll.Interval(cfg.interval)
	outage := poll.Outage{Limit: cfg.maxOutage}
	for {
		pause, end := cfg.handlePoll(ctx, t, &outage, task, err)
		if end != nil {
			return t.last, end.err
		}
		if ctxErr := poll.Sleep(ctx, pause); ctxErr != nil {
			return t.last, withLastFailure(ctxErr, err)
		}
		task, err = s.Get(ctx, t.id, cfg.requests...)
	}
}

type target struct {
	id       string
	created  time.Time // when this process has created it; zero where it has not
	interval poll.Interval
	last     *Task
}

// waitEnd is why nothing is waited for any more: err is nil for a task that has succeeded.
type waitEnd struct {
	err    error
	outage bool // it ends the wait for every task
}

// handlePoll takes the result of a poll: it gives how long to wait before the next one, or why
// there is none.
func (c *waitConfig) handlePoll(ctx context.Context, t *target, outage *poll.Outage, task *Task, err error) (time.Duration, *waitEnd) {
	if err != nil {
		return handlePollFailure(ctx, t, outage, err)
	}
	outage.Ended()
	t.last = task
	if c.progress != nil {
		c.progress(task)
	}
	switch {
	case task.Succeeded():
		return 0, &waitEnd{}
	case task.Terminal():
		return 0, &waitEnd{err: &TaskFailedError{Task: task}}
	case task.hasUnknownEnd():
		return 0, &waitEnd{err: fmt.Errorf("ittybit: task %s has ended with a status that version %s of this SDK does not know: %q",
			task.ID, Version, oneLine(string(task.Status)))}
	}
	return t.interval.Next(), nil
}

func handlePollFailure(ctx context.Context, t *target, outage *poll.Outage, err error) (time.Duration, *waitEnd) {
	lag := !t.created.IsZero() && time.Since(t.created) < createLag && errors.Is(err, ErrNotFound)
	if !lag && !mayRecover(err) || ctx.Err() != nil {
		return 0, &waitEnd{err: err}
	}
	wait, ok := outage.Failed(t.interval.Next(), retryAfterOf(err))
	if !ok {
		return 0, &waitEnd{err: outageError(outage, err), outage: true}
	}
	return wait, nil
}

func outageError(outage *poll.Outage, err error) error {
	return fmt.Errorf("ittybit: no request has succeeded for %v (WithMaxOutage sets the limit): %w", outage.Lasts().Round(time.Second), errtext.Bare(err))
}

// withLastFailure adds to the error of a context why the last poll had failed, if it had.
func withLastFailure(ctxErr, err error) error {
	if err == nil {
		return ctxErr
	}
	return fmt.Errorf("%w; the last poll had failed: %w", ctxErr, errtext.Bare(err))
}

// mayRecover reports whether a call that failed with err may succeed a while later.
func mayRecover(err error) bool {
	apiErr, ok := errors.AsType[*APIError](err)
	if !ok {
		return !errors.As(err, new(*ParamError)) && !pipeline.IsPermanent(err)
	}
	switch code := apiErr.StatusCode; code {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return true
	default:
		return code >= 500 || !isFromIttybit(apiErr)
	}
}

// isFromIttybit reports whether the API itself has refused something, in one of its own forms, and
// not a proxy, or a server that is just being replaced: these have other words, or none.
func isFromIttybit(apiErr *APIError) bool {
	kind, message := decodeErrorBody(apiErr.Body)
	return kind != "" || message != ""
}

func retryAfterOf(err error) time.Duration {
	if apiErr, ok := errors.AsType[*APIError](err); ok {
		return apiErr.RetryAfter
	}
	return 0
}

// WaitAll waits for many tasks at once, within a rate ([WithPollRate]), and yields each one
// as soon as its end was seen; one that ended without success together with a
// [*TaskFailedError]. For a task that can't be fetched it yields its last state, or nil, with
// an [*UnfinishedError], and goes on with the others. Where the API is away for too long
// ([WithMaxOutage]), it does so for each task that is left, and ends. Where ctx ends, it yields
// nil with an UnfinishedError of all that are left, as the last element. Ids that are named twice
// are waited for once. Functions given with [WithProgress] are never called twice at once.
func (s *TasksService) WaitAll(ctx context.Context, ids []string, opts ...WaitOption) iter.Seq2[*Task, error] {
	return func(yield func(*Task, error) bool) {
		w, err := s.newWaiter(ctx, ids, opts)
		if err != nil {
			yield(nil, err)
			return
		}
		w.run(ctx, yield)
	}
}

type waiter struct {
	service   *TasksService
	cfg       waitConfig
	pace      poll.Pacer
	outage    poll.Outage
	waiting   poll.Queue[*target] // targets that are not being polled
	remaining map[string]*target
	inFlight  int
	failure   error     // of the last poll
	hold      time.Time // no poll before: the API is away, or has sent a Retry-After
}

type pollResult struct {
	target *target
	task   *Task
	err    error
}

func (s *TasksService) newWaiter(ctx context.Context, ids []string, opts []WaitOption) (*waiter, error) {
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
		return nil, &ParamError{Param: "response info", Reason: "cannot describe the calls of WaitAll: it has room for one response"}
	}
	w := &waiter{
		service: s, cfg: cfg, pace: poll.NewPacer(cfg.rate), outage: poll.Outage{Limit: cfg.maxOutage}, remaining: make(map[string]*target),
	}
	for _, id := range ids {
		if id == "" {
			return nil, &ParamError{Param: "ids", Reason: "contain an empty id"}
		}
		if w.remaining[id] == nil {
			w.remaining[id] = &target{id: id, interval: poll.Interval(cfg.interval)}
			w.waiting.Push(w.remaining[id], time.Time{})
		}
	}
	return w, nil
}

func (w *waiter) run(ctx context.Context, yield func(*Task, error) bool) {
	inner, cancel := context.WithCancel(ctx)
	var polls sync.WaitGroup
	defer polls.Wait()
	defer cancel()
	results := make(chan pollResult, maxPolls)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for len(w.remaining) > 0 {
		wait := w.untilNext()
		if wait <= 0 && ctx.Err() == nil {
			next := w.waiting.Pop()
			w.inFlight++
			w.pace.Step()
			polls.Go(func() {
				task, err := w.service.Get(inner, next.id, w.cfg.requests...)
				results <- pollResult{next, task, err}
			})
			continue
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			yield(nil, &UnfinishedError{IDs: w.left(), Err: withLastFailure(ctx.Err(), w.failure)})
			return
		case result := <-results:
			if w.inFlight--; ctx.Err() == nil && !w.handle(ctx, result, yield) {
				return
			}
		case <-timer.C:
		}
	}
}

// untilNext says how long to wait until the next poll. Where the API seems to be away, one poll
// at a time finds out.
func (w *waiter) untilNext() time.Duration {
	limit := maxPolls
	if w.outage.Failures() >= maxPolls {
		limit = 1
	}
	due, ok := w.waiting.Due()
	if !ok || w.inFlight >= limit {
		return math.MaxInt64 // until a result comes
	}
	return max(time.Until(due), time.Until(w.pace.Next()), time.Until(w.hold))
}

// handle takes the result of a poll, and reports whether to go on.
func (w *waiter) handle(ctx context.Context, result pollResult, yield func(*Task, error) bool) bool {
	t := result.target
	w.failure = result.err
	pause, end := w.cfg.handlePoll(ctx, t, &w.outage, result.task, result.err)
	switch {
	case end == nil:
		next := time.Now().Add(pause)
		if result.task == nil && (w.outage.Failures() >= maxPolls || retryAfterOf(result.err) > 0) {
			w.hold = next
		}
		w.waiting.Push(t, next)
		return true
	case end.outage:
		for _, id := range w.left() {
			if !yield(w.remaining[id].last, &UnfinishedError{IDs: []string{id}, Err: end.err}) {
				break
			}
		}
		return false
	case end.err != nil && (t.last == nil || !t.last.Terminal()):
		end.err = &UnfinishedError{IDs: []string{t.id}, Err: end.err}
	}
	delete(w.remaining, t.id)
	return yield(t.last, end.err)
}

func (w *waiter) left() []string { return slices.Sorted(maps.Keys(w.remaining)) }
