package ittybit

import (
	"context"
	"math/rand/v2"
	"time"
)

const (
	// DefaultPollInterval is how long [TasksService.Wait] waits after its first look.
	DefaultPollInterval = time.Second
	// maxPollInterval is where the interval stops growing, unless it began above.
	maxPollInterval = 30 * time.Second
)

// WaitOption sets up [TasksService.Wait], [TasksService.CreateAndWait] and
// [TasksService.WaitAll]. Every [RequestOption] is one.
type WaitOption interface {
	applyWait(*waitConfig) error
}

type waitOption func(*waitConfig) error

func (o waitOption) applyWait(c *waitConfig) error { return o(c) }

type waitConfig struct {
	interval time.Duration
	rate     float64 // looks a second
	progress func(*Task)
	requests []RequestOption
}

func newWaitConfig(opts []WaitOption) (waitConfig, error) {
	cfg := waitConfig{interval: DefaultPollInterval, rate: DefaultPollRate}
	err := applyOptions(opts, func(o WaitOption) error { return o.applyWait(&cfg) })
	return cfg, err
}

// WithPollInterval sets the first interval between two looks; it must be positive.
// The default is [DefaultPollInterval]. Intervals grow by half each time, up to 30
// seconds unless they began above, and are jittered by up to a fifth.
func WithPollInterval(d time.Duration) WaitOption {
	return waitOption(func(c *waitConfig) error {
		if d <= 0 {
			return &ParamError{Param: "poll interval", Reason: "must be positive"}
		}
		c.interval = d
		return nil
	})
}

// WithProgress calls fn with the task after each look, the last one included.
func WithProgress(fn func(*Task)) WaitOption {
	return waitOption(func(c *waitConfig) error {
		if fn == nil {
			return &ParamError{Param: "progress function", Reason: "is nil"}
		}
		c.progress = fn
		return nil
	})
}

// Wait polls a task until it has ended, ctx ends, or it can't be fetched. A task that
// ended without success comes back together with a [*TaskFailedError]. Where ctx ends,
// the last state that was seen comes back with its error. Polling counts against
// Ittybit's rate limits: where you can, receive webhooks instead.
func (s *TasksService) Wait(ctx context.Context, id string, opts ...WaitOption) (*Task, error) {
	cfg, err := newWaitConfig(opts)
	if err != nil {
		return nil, err
	}
	task, err := s.Get(ctx, id, cfg.requests...)
	return s.wait(ctx, cfg, task, err)
}

// CreateAndWait is Create and Wait. A task that was created comes back also together
// with an error, as far as it was seen, so that its id is not lost.
func (s *TasksService) CreateAndWait(ctx context.Context, params TaskCreateParams, opts ...WaitOption) (*Task, error) {
	cfg, err := newWaitConfig(opts)
	if err != nil {
		return nil, err
	}
	task, err := s.Create(ctx, params, cfg.requests...)
	return s.wait(ctx, cfg, task, err)
}

// wait goes on from the first look, which gave task and err.
func (s *TasksService) wait(ctx context.Context, cfg waitConfig, task *Task, err error) (*Task, error) {
	var last *Task
	for interval := cfg.interval; ; interval = grow(interval) {
		if task != nil {
			last = task
		}
		if err != nil {
			return last, err
		}
		if cfg.progress != nil {
			cfg.progress(task)
		}
		if task.Terminal() {
			return ended(task, err)
		}
		timer := time.NewTimer(jittered(interval))
		select {
		case <-ctx.Done():
			timer.Stop()
			return last, ctx.Err()
		case <-timer.C:
		}
		task, err = s.Get(ctx, last.ID, cfg.requests...)
	}
}

// ended gives a task that has ended with the error that its end means; else with that of
// a member that can't be read, if there is one.
func ended(task *Task, err error) (*Task, error) {
	if !task.Succeeded() {
		return task, &TaskFailedError{Task: task}
	}
	return task, err
}

func grow(interval time.Duration) time.Duration {
	if interval >= maxPollInterval {
		return interval
	}
	return min(interval+interval/2, maxPollInterval)
}

// jittered gives interval, give or take a fifth.
func jittered(interval time.Duration) time.Duration {
	spread := interval / 5
	if spread <= 0 {
		return interval
	}
	return interval - spread + rand.N(2*spread) //nolint:gosec // jitter needs no secret
}
