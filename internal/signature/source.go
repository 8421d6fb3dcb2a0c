package signature

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ittybit/ittybit-go/internal/errtext"
)

// How often a [Source] asks for the secrets, and how long it waits for them.
const (
	refreshInterval  = time.Minute      // how old the secrets may become
	mismatchInterval = 10 * time.Second // between two calls, where the secrets may be outdated or there are none
	waitTimeout      = 2 * time.Second  // how long a delivery waits for a call: its sender waits 5s
	fetchTimeout     = 30 * time.Second // the deadline of a call
)

// ErrNoSecrets is what a [Source] gives that has never been given a usable secret.
var ErrNoSecrets = errors.New("ittybit: there are no webhook secrets to verify with")

var (
	errSlow   = fmt.Errorf("no secrets came within %v; the call goes on", waitTimeout)
	errGoexit = errors.New("the function ended its goroutine")
)

// Source asks a function for the secrets, such as one that asks a secret manager: one call at a
// time, at most once in refreshInterval, or in mismatchInterval where a signature matches no
// key. What the function gives replaces the keys only if it can be used; otherwise the last good
// ones stay.
type Source struct {
	fetch func(context.Context) ([][]byte, error) // also checks
	fail  func(error)                             // is given why the last good ones stay in use

	current atomic.Pointer[fetched] // never nil
	mu      sync.Mutex
	started time.Time // of the last call
	call    *call     // nil: none is in flight
}

// fetched is what the calls have given so far.
type fetched struct {
	keys     *Keys // nil: none yet
	previous *Keys // whose deliveries may still be logged
	due      time.Time
	err      error // of the last call
}

type call struct {
	done chan struct{}
	slow sync.Once
}

// NewSource makes a Source that has not asked yet. fail is called for each call that gave
// nothing usable, and for one that is slow.
func NewSource(fetch func(context.Context) ([][]byte, error), fail func(error)) *Source {
	s := &Source{fetch: fetch, fail: fail}
	s.current.Store(new(fetched))
	return s
}

// Keys gives the keys, not older than refreshInterval unless no newer ones could be had. An
// error matches [ErrNoSecrets]: no call has given any yet.
func (s *Source) Keys(ctx context.Context) (*Keys, error) {
	now := s.current.Load()
	switch {
	case now.keys == nil:
		s.wait(ctx, s.begin(ctx, mismatchInterval, true))
	case time.Now().Before(now.due):
		return now.keys, nil
	default:
		s.wait(ctx, s.begin(ctx, refreshInterval, false))
	}
	now = s.current.Load()
	switch {
	case now.keys != nil:
		return now.keys, nil
	case now.err != nil:
		return nil, fmt.Errorf("%w: %w", ErrNoSecrets, errtext.Bare(now.err))
	default: // the first call has not ended
		return nil, ErrNoSecrets
	}
}

// Renew gives keys that are newer than tried, which a signature did not match, or nil. It asks
// for them unless that was done within mismatchInterval.
func (s *Source) Renew(ctx context.Context, tried *Keys) *Keys {
	if s.Latest() == tried {
		s.wait(ctx, s.begin(ctx, mismatchInterval, true))
	}
	if now := s.Latest(); now != tried {
		return now
	}
	return nil
}

// Latest gives the keys as they are, nil if there are none, and asks nobody.
func (s *Source) Latest() *Keys { return s.current.Load().keys }

// Texts returns what must not appear in a log: the secrets in use, and those before them.
func (s *Source) Texts() []string {
	now := s.current.Load()
	return append(slices.Clone(now.keys.Texts()), now.previous.Texts()...)
}

// begin starts a call, unless one is in flight or the last was started less than interval ago.
// It gives the call to wait for: its own, or with join the one in flight.
func (s *Source) begin(ctx context.Context, interval time.Duration, join bool) *call {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.call != nil {
		if join {
			return s.call
		}
		return nil
	}
	if !s.started.IsZero() && time.Since(s.started) < interval {
		return nil
	}
	c := &call{done: make(chan struct{})}
	s.call, s.started = c, time.Now()
	// The call outlives the delivery that began it: others wait for it, and a slow manager must
	// not have to begin anew each time. There is one at most, and it has a deadline.
	go s.run(context.WithoutCancel(ctx), c)
	return c
}

func (s *Source) run(ctx context.Context, c *call) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	var secrets [][]byte
	err := errGoexit
	defer func() {
		if reason := recover(); reason != nil {
			err = fmt.Errorf("the function panicked: %v", reason)
		}
		s.keep(secrets, err)
		close(c.done)
		if err != nil {
			s.fail(err)
		}
	}()
	secrets, err = s.fetch(ctx)
}

func (s *Source) keep(secrets [][]byte, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.current.Load()
	next := fetched{keys: now.keys, previous: now.previous, due: s.started.Add(refreshInterval), err: err}
	if err == nil && !slices.EqualFunc(secrets, next.keys.Secrets(), slices.Equal) {
		next.keys, next.previous = NewKeys(secrets), next.keys
	}
	s.current.Store(&next)
	s.call = nil
}

// wait waits for a call, but not for long.
func (s *Source) wait(ctx context.Context, c *call) {
	if c == nil {
		return
	}
	timer := time.NewTimer(waitTimeout)
	defer timer.Stop()
	select {
	case <-c.done:
	case <-ctx.Done():
	case <-timer.C:
		c.slow.Do(func() { s.fail(errSlow) })
	}
}
