package ittybit_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/ittybittest"
)

func TestReconcile_bringsWhatTheWebhooksDidNot(t *testing.T) {
	const tasks = 60
	local := ittybittest.NewServer(
		ittybittest.WithTaskDuration(time.Millisecond),
		ittybittest.WithBackoff(ittybittest.Backoff{First: time.Millisecond, Attempts: 2}))
	t.Cleanup(local.Close)
	local.SetFaults(ittybittest.Faults{Duplicates: 1})
	client, err := local.Client()
	require.NoError(t, err)

	var mu sync.Mutex
	effects := map[string]int{}
	once := ittybit.Deduplicate(ittybit.NewMemoryDeduplicator(1000, time.Hour),
		ittybit.EventHandlerFunc(func(_ context.Context, e *ittybit.Event) error {
			mu.Lock()
			defer mu.Unlock()
			effects[e.Task.ID]++
			return nil
		}))
	webhook, err := ittybit.NewWebhookHandler(local.APIKey, once)
	require.NoError(t, err)
	// A third of the tasks have an endpoint that is never up.
	down := func(number int) bool { return number%3 == 0 }
	endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/down" {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		webhook.ServeHTTP(w, r)
	}))
	t.Cleanup(endpoint.Close)

	// Reconcile runs beside the deliveries, too.
	var checkpoint ittybit.ReconcileCheckpoint
	step := func() *ittybit.ReconcileReport {
		report, err := ittybit.Reconcile(t.Context(), client, once, ittybit.ReconcileParams{Checkpoint: reconcileStored(t, checkpoint), Rate: 1e6})
		require.NoError(t, err)
		checkpoint = report.Checkpoint
		return report
	}
	handled := 0
	for n := range tasks {
		path := "/up"
		if down(n) {
			path = "/down"
		}
		_, err := client.Tasks.Create(t.Context(), ittybit.TaskCreateParams{
			Kind: ittybit.TaskKindNSFW, URL: fmt.Sprintf("https://example.com/%d.jpg", n), WebhookURL: endpoint.URL + path,
		})
		require.NoError(t, err)
		if n%20 == 19 {
			handled += step().Handled
		}
	}
	final := 0
	_, err = local.WaitForDelivery(t.Context(), func(d ittybittest.Delivery) bool {
		if d.Final {
			final++
		}
		return final == 2*tasks // each with its copy
	})
	require.NoError(t, err)
	handled += step().Handled

	mu.Lock()
	defer mu.Unlock()
	assert.Len(t, effects, tasks)
	for id, times := range effects {
		assert.Equal(t, 1, times, id)
	}
	assert.GreaterOrEqual(t, handled, tasks/3)
	assert.Empty(t, checkpoint.Open)
}

func TestReconcile_equalTimesSayNothingOfTheOrder(t *testing.T) {
	api := newReconcileAPI()
	api.ascending = true
	for n := range 12 {
		api.set(n, "completed")
		api.created[fmt.Sprintf("task_%03d", n)] = reconcileStart // more than a page, in one second
	}
	api.set(20, "completed")
	client, next := api.client(t), new(reconcileNext)
	first, err := reconcile(t, client, next, ittybit.ReconcileParams{})
	require.NoError(t, err)
	for n := 30; n < 60; n++ {
		api.set(n, "completed")
	}
	second, err := reconcile(t, client, next, ittybit.ReconcileParams{Checkpoint: reconcileStored(t, first.Checkpoint)})
	require.NoError(t, err)
	assert.Equal(t, 30, second.Handled)
}

func TestReconcile_newTasksThatPushOthersToTheNextPageChangeNothing(t *testing.T) {
	api := newReconcileAPI()
	for n := range 200 {
		api.set(n, "completed")
	}
	tasks := 200
	client, rec := apiFake(t, func(n int, req *http.Request) (*http.Response, error) {
		resp, err := api.answer(n, req)
		for range 2 {
			if tasks < 300 {
				api.set(tasks, "completed")
				tasks++
			}
		}
		return resp, err
	})
	next := new(reconcileNext)
	var checkpoint ittybit.ReconcileCheckpoint
	for range 30 { // each run is cut after forty events
		report, err := reconcileCutAfter(t, 40, client, next, checkpoint)
		checkpoint = report.Checkpoint
		if err == nil {
			break
		}
		require.ErrorIs(t, err, context.Canceled)
	}
	assert.NotZero(t, checkpoint.Since, "it has come to the end")
	assert.ElementsMatch(t, reconcileIDs(299), next.handled)
	assert.Less(t, next.calls, 2*300, "what was dealt with is handed on again only where two runs meet")

	requests := rec.count()
	_, err := reconcile(t, client, next, ittybit.ReconcileParams{Checkpoint: reconcileStored(t, checkpoint)})
	require.NoError(t, err)
	assert.Less(t, rec.count()-requests, 15, "older pages are left alone")
}

func TestReconcile_aTaskFromTheFutureHidesNoOthers(t *testing.T) {
	api := newReconcileAPI()
	api.set(1, "completed")
	api.set(900, "completed")
	api.created["task_900"] = time.Now().Add(1000 * time.Hour)
	client, next := api.client(t), new(reconcileNext)
	report, err := reconcile(t, client, next, ittybit.ReconcileParams{})
	require.NoError(t, err)
	assert.False(t, report.Checkpoint.Since.After(time.Now()), "%v", report.Checkpoint.Since)
	assert.Len(t, next.handled, 2)
}

func TestReconcile_selectIsAskedWhenATaskHasEnded(t *testing.T) {
	api := newReconcileAPI()
	api.set(1, "processing")
	api.set(50, "completed")
	client, next := api.client(t), new(reconcileNext)
	params := ittybit.ReconcileParams{Select: func(task *ittybit.Task) bool { return task.Succeeded() }}
	report, err := reconcile(t, client, next, params)
	require.NoError(t, err)
	api.set(1, "completed")
	params.Checkpoint = reconcileStored(t, report.Checkpoint)
	_, err = reconcile(t, client, next, params)
	require.NoError(t, err)
	assert.Contains(t, next.handled, "task_001")
}

// reconcileCutAfter goes on from a checkpoint, and is cut after so many tasks.
func reconcileCutAfter(
	t *testing.T, tasks int, client *ittybit.Client, next ittybit.EventHandler, from ittybit.ReconcileCheckpoint,
) (*ittybit.ReconcileReport, error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	return ittybit.Reconcile(ctx, client, next, ittybit.ReconcileParams{
		Rate: 1e6, Checkpoint: reconcileStored(t, from),
		Select: func(*ittybit.Task) bool {
			if tasks--; tasks == 0 {
				cancel()
			}
			return true
		},
	})
}
