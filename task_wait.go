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

// WaitOption sets up one [TasksService.Wait].
type WaitOption interface {
	applyWait(*waitConfig) error
}

type waitOption func(*waitConfig) error

func (o waitOption) applyWait(c *waitConfig) error { return o(c) }

type waitConfig struct {
	interval time.Duration
	progress func(*Task)
}

// WithPollInterval sets the first interval between two looks; it must be positive.
// The default is [DefaultPollInterval]. Intervals grow by half each time, up to 30
// seconds, and are jittered by up to a fifth.
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
	cfg := waitConfig{interval: DefaultPollInterval}
	if err := applyOptions(opts, func(o WaitOption) error { return o.applyWait(&cfg) }); err != nil {
		return nil, err
	}
	var last *Task
	for interval := cfg.interval; ; interval = grow(interval) {
		task, err := s.Get(ctx, id)
		if task != nil { // also with a member that can't be read
			last = task
		}
		if err != nil && (task == nil || !isOddAnswer(err)) {
			return last, err
		}
		if cfg.progress != nil {
			cfg.progress(task)
		}
		switch {
		case task.Succeeded():
			return task, err // of a member that can't be read, if there is one
		case task.Failed():
			return task, &TaskFailedError{Task: task}
		}
		timer := time.NewTimer(jittered(interval))
		select {
		case <-ctx.Done():
			timer.Stop()
			return last, ctx.Err()
		case <-timer.C:
		}
	}
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
