package inboxtest

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
)

// RoundTrips counts the round trips of a warm delivery, whose handler inserts a row.
func RoundTrips(t *testing.T, open func(t testing.TB) *Backend) int {
	t.Helper()
	b := newBench(t, open(t))
	h := b.inbox.Wrap(b.effect(nil))
	for n := range 3 {
		require.NoError(t, h.HandleEvent(t.Context(), task(t, n)))
	}
	trips := b.Wire.RoundTrips(func() { require.NoError(t, h.HandleEvent(t.Context(), task(t, 3))) })
	assert.Equal(t, 4, b.effects(t))
	return trips
}

// deliverAll delivers events by eight, each until it is acknowledged, and gives the errors of those
// that were not.
func (b *bench) deliverAll(t *testing.T, events int, acknowledged func(n int), refused func()) []error {
	t.Helper()
	var mu sync.Mutex
	var failures []error
	h := b.inbox.Wrap(b.effect(nil))
	next := atomic.Int64{}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for {
				n := int(next.Add(1))
				if n > events {
					return
				}
				for attempt := 0; ; attempt++ {
					status, seen := deliver(t, h, n)
					if status == 200 {
						acknowledged(n)
						break
					}
					mu.Lock()
					failures = append(failures, seen.Err)
					mu.Unlock()
					refused()
					if attempt > 1000 {
						assert.NoError(t, seen.Err)
						return
					}
					time.Sleep(5 * time.Millisecond) // as a sender does, more patiently
				}
			}
		})
	}
	all.Wait()
	return failures
}

// PoolerRestarted restarts the pooler three times while events are delivered by eight.
func PoolerRestarted(t *testing.T, open func(t testing.TB) *Backend) {
	b := newBench(t, open(t))
	require.NoError(t, b.inbox.Check(t.Context()))
	const events, restarts = 400, 3
	reached := map[int]chan struct{}{}
	for n := range restarts {
		reached[(n+1)*events/(restarts+1)] = make(chan struct{})
	}
	var restarting sync.WaitGroup
	restarting.Go(func() {
		for n := range restarts {
			<-reached[(n+1)*events/(restarts+1)]
			assert.NoError(t, b.Pooler.Pause())
			assert.NoError(t, b.Pooler.Resume(t.Context()))
		}
	})
	done := atomic.Int64{}
	failures := b.deliverAll(t, events, func(int) {
		if at, ok := reached[int(done.Add(1))]; ok {
			close(at)
		}
	}, func() {})
	restarting.Wait()
	assert.Equal(t, events, b.effects(t))
	assert.Equal(t, events, b.rows(t, "handled"))
	assert.Equal(t, events, b.count(t, "SELECT count(DISTINCT event_key) FROM effects"))
	t.Logf("%d events by 8 through a pooler with 4 connections, restarted %d times: each effect once, %d deliveries to be repeated",
		events, restarts, len(failures))
}

// PoolerBusy has deliveries wait for the pooler's connections to the server, all four of which are
// in use, for longer than the pooler lets them. It refuses them, and keeps its connections: where
// the deliveries' deadlines end such a wait, it closes one for each.
func PoolerBusy(t *testing.T, open func(t testing.TB) *Backend) {
	const connections, waiting = 4, 8
	b := newBench(t, open(t))
	patient := ittybit.WithProcessingTimeout(time.Minute)
	holding, release := make(chan struct{}, connections), make(chan struct{})
	hold := b.inbox.Wrap(ittybit.EventHandlerFunc(func(ctx context.Context, _ *ittybit.Event) error {
		err := b.Exec(ctx, "INSERT INTO effects (event_key) VALUES (pg_backend_pid()::text)")
		holding <- struct{}{}
		<-release
		return err
	}))
	var holders, waiters sync.WaitGroup
	for n := range connections {
		holders.Go(func() {
			status, seen := deliver(t, hold, n, patient)
			assert.Equal(t, 200, status, "%v", seen.Err)
		})
	}
	for range connections {
		<-holding
	}
	h := b.inbox.Wrap(b.effect(nil))
	for n := range waiting {
		waiters.Go(func() {
			status, seen := deliver(t, h, connections+n, patient)
			assert.Equal(t, 503, status)
			assert.ErrorContains(t, seen.Err, "query_wait_timeout")
			assert.ErrorContains(t, seen.Err, "default_pool_size")
		})
	}
	waiters.Wait()
	close(release)
	holders.Wait()
	assert.Equal(t, connections, b.count(t, "SELECT count(*) FROM pg_stat_activity WHERE pid::text IN (SELECT event_key FROM effects)"))
	for n := range waiting {
		status, seen := deliver(t, h, connections+n)
		assert.Equal(t, 200, status, "%v", seen.Err)
	}
	assert.Equal(t, connections+waiting, b.effects(t))
}

// NamedStatementsRefused shows what a pooler in transaction mode does to a driver with named
// statements, and that Check and the errors of deliveries say what to do.
func NamedStatementsRefused(t *testing.T, open func(t testing.TB) *Backend) {
	const cure = "default_query_exec_mode=exec"
	b := open(t)
	inbox := b.New()
	assert.ErrorContains(t, inbox.Check(t.Context()), cure)
	_, err := b.DB.ExecContext(t.Context(), inbox.Schema())
	require.NoError(t, err)
	_, err = b.DB.ExecContext(t.Context(), "CREATE TABLE effects (event_key text NOT NULL)")
	require.NoError(t, err)
	all := &bench{b, inbox}
	var all8 sync.WaitGroup
	var refused, handled atomic.Int64
	h := inbox.Wrap(all.effect(nil))
	for worker := range 8 {
		all8.Go(func() {
			for n := range 20 {
				status, seen := deliver(t, h, worker*20+n)
				if status == 200 {
					handled.Add(1)
					continue
				}
				refused.Add(1)
				assert.ErrorContains(t, seen.Err, cure)
			}
		})
	}
	all8.Wait()
	assert.NotZero(t, refused.Load())
	assert.Equal(t, int(handled.Load()), all.effects(t), "what was acknowledged is there")
	t.Logf("%d of 160 deliveries refused", refused.Load())
}
