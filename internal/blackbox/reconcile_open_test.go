package blackbox

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/internal/apitest"
)

func TestReconcile_openTasksThatAreGoneOrOutOfReach(t *testing.T) {
	api := newReconcileAPI()
	api.set(1, "completed")
	api.failGet = "task_900"
	open := []string{"task_901", "task_900", "task_001"}
	client, next := api.client(t), new(reconcileNext)
	since := ittybit.ReconcileCheckpoint{Since: reconcileStart.Add(time.Hour), Open: open}

	report, err := reconcile(t, client, next, ittybit.ReconcileParams{Checkpoint: since})
	require.ErrorIs(t, err, ittybit.ErrForbidden)
	assert.Equal(t, 1, report.Gone)
	assert.Equal(t, []string{"task_001", "task_900"}, report.Checkpoint.Open, "the others go first the next time")

	report, err = reconcile(t, client, next, ittybit.ReconcileParams{Checkpoint: report.Checkpoint})
	require.ErrorIs(t, err, ittybit.ErrForbidden)
	assert.Equal(t, 1, report.Handled)
	assert.Equal(t, []string{"task_900"}, report.Checkpoint.Open)
}

func TestReconcile_keepsTheOpenTaskWhoseHandlerWasCut(t *testing.T) {
	for name, fail := range map[string]func(context.CancelFunc) ittybit.EventHandlerFunc{
		"while it was handled": func(cancel context.CancelFunc) ittybit.EventHandlerFunc {
			return func(ctx context.Context, _ *ittybit.Event) error { cancel(); return ctx.Err() }
		},
		"by a panic": func(cancel context.CancelFunc) ittybit.EventHandlerFunc {
			return func(context.Context, *ittybit.Event) error { cancel(); panic("boom") }
		},
	} {
		t.Run(name, func(t *testing.T) {
			api := newReconcileAPI()
			for n := range 4 {
				api.set(n, "completed")
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			client := api.client(t)
			params := ittybit.ReconcileParams{Rate: 1e6, Checkpoint: ittybit.ReconcileCheckpoint{
				Since: reconcileAt(100), Open: []string{"task_002", "task_001", "task_000"},
			}}
			report, err := ittybit.Reconcile(ctx, client, fail(cancel), params)
			require.ErrorIs(t, err, context.Canceled)
			assert.Zero(t, report.Failed, "the run was cut; the task has not failed")
			assert.ElementsMatch(t, []string{"task_000", "task_001", "task_002"}, report.Checkpoint.Open)

			next := new(reconcileNext)
			report, err = reconcile(t, client, next, ittybit.ReconcileParams{Checkpoint: reconcileStored(t, report.Checkpoint)})
			require.NoError(t, err)
			assert.ElementsMatch(t, []string{"task_000", "task_001", "task_002"}, next.handled)
			assert.Empty(t, report.Checkpoint.Open)
		})
	}
}

func TestReconcile_takesACheckpointThatNamesTasksTwiceOrNone(t *testing.T) {
	api := newReconcileAPI()
	api.set(1, "processing")
	api.set(2, "processing")
	since := reconcileAt(100)
	report, err := reconcile(t, api.client(t), new(reconcileNext), ittybit.ReconcileParams{
		Checkpoint: ittybit.ReconcileCheckpoint{Since: since, Open: []string{"", "task_001", "task_002", "task_001", ""}},
	})
	require.NoError(t, err)
	assert.Equal(t, 2, report.Unfinished)
	assert.Equal(t, []string{"task_001", "task_002"}, report.Checkpoint.Open, "in the order of their turns")
	assert.Equal(t, []string{"/tasks", "/tasks/task_001", "/tasks/task_002"}, api.paths)
}

func TestReconcile_onlyIttybitItselfSaysThatATaskIsGone(t *testing.T) {
	for body, gone := range map[string]bool{
		`{"message":"The requested task was not found."}`:       true,
		`{"kind":"task_not_found","message":"no such task"}`:    true,
		`{"meta":{},"data":null,"error":{"message":"no such"}}`: true,
		``:                                    false,
		`<html><h1>404 Not Found</h1></html>`: false,
		`404 page not found`:                  false,
		`{}`:                                  false,
		`{"status":404}`:                      false,
	} {
		synctest.Test(t, func(t *testing.T) {
			client, _ := apitest.Fake(t, func(_ int, req *http.Request) (*http.Response, error) {
				if req.URL.Path == "/tasks" {
					return apitest.Response(200, `[]`)
				}
				return apitest.Response(404, body)
			})
			report, err := reconcile(t, client, new(reconcileNext), ittybit.ReconcileParams{Checkpoint: ittybit.ReconcileCheckpoint{Open: []string{"task_1"}}})
			if gone {
				require.NoError(t, err, body)
				assert.Equal(t, 1, report.Gone, body)
				assert.Empty(t, report.Checkpoint.Open, body)
				return
			}
			require.ErrorIs(t, err, ittybit.ErrNotFound, body)
			assert.Zero(t, report.Gone, body)
			assert.Equal(t, []string{"task_1"}, report.Checkpoint.Open, body)
		})
	}
}

func TestReconcile_keepsTheOrderOfManyOpenTasks(t *testing.T) {
	api := newReconcileAPI()
	var open, want []string
	for n := range 300 {
		id := fmt.Sprintf("task_%03d", n)
		open = append(open, id)
		switch n % 3 {
		case 0:
			api.set(n, "completed")
		case 1:
			api.set(n, "processing")
			want = append(want, id)
		}
	}
	params := ittybit.ReconcileParams{Checkpoint: ittybit.ReconcileCheckpoint{Since: reconcileStart.Add(24 * time.Hour), Open: open}}
	var saved [][]byte
	params.OnCheckpoint = func(c ittybit.ReconcileCheckpoint) {
		text, err := json.Marshal(c.Open)
		require.NoError(t, err)
		saved = append(saved, text)
		clear(c.Open) // it is the caller's
	}
	report, err := reconcile(t, api.client(t), new(reconcileNext), params)
	require.NoError(t, err)
	assert.Equal(t, want, report.Checkpoint.Open)
	assert.Equal(t, 100, report.Gone)
	assert.Equal(t, 100, report.Handled)
	first, err := json.Marshal(open)
	require.NoError(t, err)
	for _, text := range saved {
		assert.Equal(t, string(first), string(text), "none has been looked at by then")
	}
}

func TestReconcile_givesUpAStatusThatIsNotKnownAfterADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(reconcileStart.Add(2 * time.Minute)))
		api := newReconcileAPI()
		api.set(0, "expired")
		api.set(1, "completed")
		client, next := api.client(t), new(reconcileNext)
		var log apitest.Log
		report, err := reconcile(t, client, next, ittybit.ReconcileParams{})
		require.NoError(t, err)
		assert.Equal(t, []string{"task_000"}, report.Checkpoint.Open, "it may go on")

		time.Sleep(24*time.Hour - 3*time.Minute)
		report, err = reconcile(t, client, next, ittybit.ReconcileParams{Checkpoint: report.Checkpoint}, ittybit.WithLogger(log.Logger()))
		require.NoError(t, err)
		assert.Equal(t, []string{"task_000"}, report.Checkpoint.Open)
		assert.NotContains(t, log.String(), "expired")

		time.Sleep(time.Minute)
		report, err = reconcile(t, client, next, ittybit.ReconcileParams{Checkpoint: report.Checkpoint}, ittybit.WithLogger(log.Logger()))
		require.NoError(t, err)
		assert.Empty(t, report.Checkpoint.Open)
		assert.Equal(t, 1, report.Unknown)
		assert.Contains(t, log.String(), "level=WARN msg=\"ittybit: a task was given up, because this version of the SDK does not know its status\" task=task_000 status=expired")
		assert.Equal(t, []string{"task_001"}, next.handled)
	})
}
