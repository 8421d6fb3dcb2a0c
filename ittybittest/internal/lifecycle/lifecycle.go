// Package lifecycle starts goroutines until it is stopped, and waits for them.
package lifecycle

import (
	"context"
	"sync"
	"time"
)

// Life is the time in which a server's goroutines run. Make one with [New].
type Life struct {
	ctx    context.Context //nolint:containedctx // it is the life itself
	cancel context.CancelFunc

	mu      sync.Mutex
	stopped bool
	wg      sync.WaitGroup
}

// New begins a life.
func New() *Life {
	ctx, cancel := context.WithCancel(context.Background())
	return &Life{ctx: ctx, cancel: cancel}
}

// Context ends with the life.
func (l *Life) Context() context.Context { return l.ctx }

// Over reports whether the life has ended.
func (l *Life) Over() bool { return l.ctx.Err() != nil }

// Go runs f in a goroutine, or reports false if the life is over.
func (l *Life) Go(f func()) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.stopped {
		l.wg.Go(f)
	}
	return !l.stopped
}

// Enter counts the calling goroutine among those that Wait waits for, until Leave. It reports
// false if the life is over.
func (l *Life) Enter() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.stopped {
		l.wg.Add(1)
	}
	return !l.stopped
}

// Leave ends what Enter began.
func (l *Life) Leave() { l.wg.Done() }

// Stop ends the life.
func (l *Life) Stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stopped = true
	l.cancel()
}

// Wait returns when all goroutines ended.
func (l *Life) Wait() { l.wg.Wait() }

// Pause waits, and reports false if ctx or the life ended first.
func (l *Life) Pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil && !l.Over()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
	case <-l.ctx.Done():
	}
	return false
}
