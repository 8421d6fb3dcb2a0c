package riverevents_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/riverqueue/river"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/internal/pgserver"
	"github.com/ittybit/ittybit-go/ittybittest"
	"github.com/ittybit/ittybit-go/riverevents"
)

// A local Ittybit delivers events while PostgreSQL is stopped, as by a crash, and started again.
func TestOutage_nothingIsAcknowledgedWithoutAJobAndEverythingIsHandledAfterIt(t *testing.T) {
	const perPhase = 50
	server := pgserver.NewServer(t)
	q := openQueue(t, server.URL(), "")
	q.workWith(&river.Config{JobTimeout: crashRescueAfter, RescueStuckJobsAfter: crashRescueAfter}, ittybit.EventHandlerFunc(write))

	var mu sync.Mutex
	outcomes := map[ittybit.Outcome]int{}
	webhook, err := ittybit.NewWebhookHandler(apiKey, riverevents.Enqueue(q.client), ittybit.WithProcessingTimeout(time.Second),
		ittybit.WithObserver(func(_ context.Context, d ittybit.Delivery) {
			mu.Lock()
			defer mu.Unlock()
			outcomes[d.Outcome]++
		}))
	require.NoError(t, err)
	receiver := httptest.NewServer(webhook)
	defer receiver.Close()
	local := ittybittest.NewServer(ittybittest.WithAPIKey(apiKey),
		ittybittest.WithBackoff(ittybittest.Backoff{First: 50 * time.Millisecond, Max: 500 * time.Millisecond, Attempts: 1000}))
	defer local.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 2*waitLimit)
	defer cancel()
	create := func() { require.NoError(t, createTasks(ctx, local, receiver.URL, perPhase)) }

	create()
	acknowledged := map[string]bool{}
	_, err = local.WaitForDelivery(ctx, func(d ittybittest.Delivery) bool { return d.Delivered() })
	require.NoError(t, err)

	require.NoError(t, server.Pause())
	paused := time.Now()
	create()
	refused := 0
	_, err = local.WaitForDelivery(ctx, func(d ittybittest.Delivery) bool {
		if d.Time.After(paused) {
			assert.Equal(t, http.StatusServiceUnavailable, d.StatusCode, "%v", d.Err)
			refused++
		}
		return refused >= perPhase
	})
	require.NoError(t, err)
	require.NoError(t, server.Resume(ctx))
	create()

	_, err = local.WaitForDelivery(ctx, func(d ittybittest.Delivery) bool {
		if d.Delivered() {
			var task struct{ ID string }
			assert.NoError(t, json.Unmarshal(d.Body, &task))
			acknowledged[task.ID] = true
		}
		return len(acknowledged) == 3*perPhase
	})
	require.NoError(t, err)
	local.Close()
	for value[int](q, "SELECT count(*) FROM effects") < 3*perPhase {
		select {
		case <-ctx.Done():
			require.Fail(t, "acknowledged events were not handled", states(q))
		case <-time.After(50 * time.Millisecond):
		}
	}
	for id := range acknowledged {
		assert.Equal(t, 1, q.effects("task:"+id+":completed"), id)
	}
	assert.Equal(t, 3*perPhase, value[int](q, "SELECT count(*) FROM ittybit_river_event"))
	mu.Lock()
	defer mu.Unlock()
	t.Logf("%d events; outcomes of deliveries: %v", 3*perPhase, outcomes)
}

// River completes jobs from its memory when the server is back after a crash. What it completes was
// marked before, and the mark must have been on the disk: with synchronous_commit off it is lost.
func TestOutage_noJobIsCompletedWhoseMarkIsLost(t *testing.T) {
	t.Parallel() // it has a server of its own
	const events, crashes = 200, 2
	server := pgserver.NewServer(t)
	q := openQueue(t, server.URL(), "")
	var called atomic.Int64
	q.workWith(&river.Config{JobTimeout: crashRescueAfter, RescueStuckJobsAfter: crashRescueAfter},
		ittybit.EventHandlerFunc(func(context.Context, *ittybit.Event) error {
			called.Add(1)
			return nil
		}))
	enqueue := riverevents.Enqueue(q.client)
	var all sync.WaitGroup
	ctx, cancel := context.WithTimeout(t.Context(), 2*waitLimit)
	defer cancel()
	for worker := range 8 {
		all.Go(func() {
			for n := worker; n < events; n += 8 {
				e := taskEvent(t, fmt.Sprintf("task_%d", n), "completed")
				for ctx.Err() == nil { // until it is acknowledged
					if err := enqueue.HandleEvent(ctx, e); err == nil || errors.Is(err, ittybit.ErrAlreadyHandled) {
						break
					}
					time.Sleep(10 * time.Millisecond)
				}
			}
		})
	}
	const lost = "SELECT count(*) FROM river_job j JOIN ittybit_river_event e ON e.key = j.args->>'key' " +
		"WHERE j.state = 'completed' AND e.outcome IS NULL"
	for n := range crashes {
		for called.Load() < int64(events*(n+1)/(crashes+2)) {
			require.NoError(t, ctx.Err(), "the handlers were not called")
			time.Sleep(time.Millisecond)
		}
		require.NoError(t, server.Pause())
		require.NoError(t, server.Resume(ctx))
		assert.Zero(t, value[int](q, lost))
	}
	all.Wait()
	const completed = "SELECT count(*) FROM river_job WHERE state = 'completed'"
	for value[int](q, completed) < events/2 { // what was running at a crash is rescued after a while
		require.NoError(t, ctx.Err(), "acknowledged events were not handled: %v", states(q))
		time.Sleep(50 * time.Millisecond)
	}
	assert.Zero(t, value[int](q, lost))
	t.Logf("%d events, %d crashes of PostgreSQL, %d calls", events, crashes, called.Load())
}
