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
