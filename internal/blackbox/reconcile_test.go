package blackbox

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/internal/apitest"
	"github.com/ittybit/ittybit-go/ittybittest"
)

func TestReconcile_handsOnWhatHasEndedAndGoesOnFromItsCheckpoint(t *testing.T) {
	for _, ascending := range []bool{false, true} {
		t.Run(fmt.Sprintf("ascending %t", ascending), func(t *testing.T) {
			api := newReconcileAPI()
			api.ascending = ascending
			for n := range 35 {
				api.set(n, "completed")
			}
			api.set(7, "processing")
			api.set(20, "failed")
			client, next := api.client(t), new(reconcileNext)

			first, err := reconcile(t, client, next, ittybit.ReconcileParams{})
			require.NoError(t, err)
			assert.Equal(t, 34, first.Handled)
			assert.Equal(t, 1, first.Unfinished)
			assert.Equal(t, []string{"task_007"}, first.Checkpoint.Open)
			assert.True(t, reconcileStart.Add(33*time.Minute).Equal(first.Checkpoint.Since), "a minute before the newest: %v", first.Checkpoint.Since)
			assert.ElementsMatch(t, slices.DeleteFunc(reconcileIDs(34), func(id string) bool { return id == "task_007" }), next.handled)

			api.set(7, "completed")
			api.set(35, "completed")
			api.set(36, "pending")
			api.paths = nil
			second, err := reconcile(t, client, next, ittybit.ReconcileParams{Checkpoint: reconcileStored(t, first.Checkpoint)})
			require.NoError(t, err)
			assert.Equal(t, ittybit.ReconcileReport{
				Checkpoint: second.Checkpoint, Handled: 2, Duplicates: 2, Unfinished: 1, // again: the minute before the newest
			}, *second)
			assert.Equal(t, []string{"task_036"}, second.Checkpoint.Open)
			assert.Len(t, next.handled, 36)
			if !ascending {
				assert.Equal(t, []string{"/tasks", "/tasks/task_007"}, api.paths, "older pages are left alone")
			}
		})
	}
}

func TestReconcile_anEmptyListKeepsTheCheckpoint(t *testing.T) {
	since := reconcileStart.Add(time.Hour)
	report, err := reconcile(t, newReconcileAPI().client(t), new(reconcileNext), ittybit.ReconcileParams{
		Checkpoint: ittybit.ReconcileCheckpoint{Since: since},
	})
	require.NoError(t, err)
	assert.Equal(t, ittybit.ReconcileReport{Checkpoint: ittybit.ReconcileCheckpoint{Since: since}}, *report)
}

func TestReconcile_whatIsNotHandledIsHandedOnAgain(t *testing.T) {
	for name, fail := range map[string]func(*ittybit.Event) error{
		"an error":    func(*ittybit.Event) error { return errors.New("the database is away") },
		"later":       func(*ittybit.Event) error { return ittybit.RetryLater(time.Hour, nil) },
		"a panic":     func(*ittybit.Event) error { panic("boom") },
		"an abortion": func(*ittybit.Event) error { panic(http.ErrAbortHandler) },
	} {
		t.Run(name, func(t *testing.T) {
			api := newReconcileAPI()
			for n := range 3 {
				api.set(n, "completed")
			}
			client, next := api.client(t), new(reconcileNext)
			next.fail = func(e *ittybit.Event) error {
				if e.Task.ID == "task_001" {
					return fail(e)
				}
				return nil
			}
			for range 2 {
				report, err := reconcile(t, client, next, ittybit.ReconcileParams{Checkpoint: ittybit.ReconcileCheckpoint{Open: []string{"task_001"}}})
				require.NoError(t, err)
				assert.Equal(t, 1, report.Failed)
				assert.Equal(t, []string{"task_001"}, report.Checkpoint.Open)
				assert.ElementsMatch(t, []string{"task_000", "task_002"}, next.handled, "it holds nothing up")
			}
			next.fail = nil
			report, err := reconcile(t, client, next, ittybit.ReconcileParams{Checkpoint: ittybit.ReconcileCheckpoint{Open: []string{"task_001"}}})
			require.NoError(t, err)
			assert.Equal(t, 1, report.Handled)
			assert.Empty(t, report.Checkpoint.Open)
		})
	}
}

func TestReconcile_countsWhatIsNotHandledAgain(t *testing.T) {
	api := newReconcileAPI()
	for n := range 3 {
		api.set(n, "completed")
	}
	report, err := reconcile(t, api.client(t), ittybit.EventHandlerFunc(func(context.Context, *ittybit.Event) error {
		return ittybit.Discard(errors.New("hopeless"))
	}), ittybit.ReconcileParams{})
	require.NoError(t, err)
	assert.Equal(t, 3, report.Discarded)
	assert.Empty(t, report.Checkpoint.Open)

	report, err = reconcile(t, api.client(t), ittybit.NewEventMux(), ittybit.ReconcileParams{})
	require.NoError(t, err)
	assert.Equal(t, 3, report.Ignored)
}

func TestReconcile_keepsToItsRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := newReconcileAPI()
		for n := range 25 {
			api.set(n, "completed")
		}
		var steps []time.Time
		next := ittybit.EventHandlerFunc(func(context.Context, *ittybit.Event) error {
			steps = append(steps, time.Now())
			return nil
		})
		start := time.Now()
		_, err := ittybit.Reconcile(t.Context(), api.client(t), next, ittybit.ReconcileParams{Rate: 4})
		require.NoError(t, err)
		steps = append(steps, api.requests...)
		slices.SortFunc(steps, time.Time.Compare)
		require.Len(t, steps, 25+3+2, "two of the pages are looked at twice")
		for i, at := range steps {
			assert.Equal(t, time.Duration(i)*250*time.Millisecond, at.Sub(start))
		}

		// A wait ends with the context.
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		before := time.Now()
		_, err = ittybit.Reconcile(ctx, api.client(t), next, ittybit.ReconcileParams{Rate: 0.001})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, time.Second, time.Since(before))
	})
}

func TestReconcile_leavesTheYoungestToTheirWebhooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(reconcileStart.Add(10*time.Minute + 30*time.Second)))
		api := newReconcileAPI()
		for n := range 11 {
			api.set(n, "completed")
		}
		report, err := reconcile(t, api.client(t), new(reconcileNext), ittybit.ReconcileParams{MinAge: 2 * time.Minute})
		require.NoError(t, err)
		assert.Equal(t, 9, report.Handled)
		assert.Equal(t, []string{"task_010", "task_009"}, report.Checkpoint.Open)
	})
}

func TestReconcile_bounds(t *testing.T) {
	api := newReconcileAPI()
	for n := range 5 {
		api.set(n, "completed")
	}
	client, rec := apitest.Fake(t, api.response)
	next := new(reconcileNext)
	_, err := reconcile(t, client, next, ittybit.ReconcileParams{
		Kind: ittybit.TaskKindNSFW, Select: func(task *ittybit.Task) bool { return task.ID == "task_003" },
	})
	require.NoError(t, err)
	assert.Equal(t, []string{"task_003"}, next.handled)
	assert.Equal(t, "kind=nsfw&limit=100", rec.All()[0].Query)
}

func TestReconcile_writesLogAndCallsObserver(t *testing.T) {
	api := newReconcileAPI()
	api.set(1, "completed")
	api.set(2, "completed")
	next := new(reconcileNext)
	next.fail = func(e *ittybit.Event) error {
		if e.Task.ID == "task_002" {
			return errors.New("refused with key " + apitest.Key)
		}
		return nil
	}
	var log apitest.Log
	var deliveries []ittybit.Delivery
	_, err := reconcile(t, api.client(t), next, ittybit.ReconcileParams{}, ittybit.WithLogger(log.Logger()),
		ittybit.WithObserver(func(_ context.Context, d ittybit.Delivery) {
			deliveries = append(deliveries, d)
			panic("the metrics are away")
		}))
	require.NoError(t, err)
	require.Len(t, deliveries, 2)
	assert.Equal(t, ittybit.OutcomeFailed, deliveries[0].Outcome)
	require.Error(t, deliveries[0].Err)
	assert.Equal(t, "task:task_001:completed", deliveries[1].Event.Key())
	assert.Zero(t, deliveries[1].StatusCode)
	assert.Contains(t, log.String(), "level=ERROR msg=\"ittybit: reconciled\" outcome=failed")
	assert.Contains(t, log.String(), "level=WARN msg=\"ittybit: reconciliation\" handled=1")
	assert.Contains(t, log.String(), "the observer panicked")
	assert.NotContains(t, log.String(), apitest.Key)
}

func TestReconcile_refuses(t *testing.T) {
	client, rec := apitest.Fake(t, apitest.Always(200, "[]"))
	next := new(reconcileNext)
	checkpoint := ittybit.ReconcileCheckpoint{Since: reconcileStart}
	for param, try := range map[string]func() (*ittybit.ReconcileReport, error){
		"ctx": func() (*ittybit.ReconcileReport, error) {
			return ittybit.Reconcile(apitest.NoContext, client, next, ittybit.ReconcileParams{Checkpoint: checkpoint})
		},
		"client": func() (*ittybit.ReconcileReport, error) {
			return ittybit.Reconcile(t.Context(), nil, next, ittybit.ReconcileParams{Checkpoint: checkpoint})
		},
		"next": func() (*ittybit.ReconcileReport, error) {
			return ittybit.Reconcile(t.Context(), client, nil, ittybit.ReconcileParams{Checkpoint: checkpoint})
		},
		"MinAge": func() (*ittybit.ReconcileReport, error) {
			return ittybit.Reconcile(t.Context(), client, next, ittybit.ReconcileParams{Checkpoint: checkpoint, MinAge: -1})
		},
		"Rate": func() (*ittybit.ReconcileReport, error) {
			return ittybit.Reconcile(t.Context(), client, next, ittybit.ReconcileParams{Checkpoint: checkpoint, Rate: -1})
		},
		"observer": func() (*ittybit.ReconcileReport, error) {
			return ittybit.Reconcile(t.Context(), client, next, ittybit.ReconcileParams{Checkpoint: checkpoint}, ittybit.WithObserver(nil))
		},
	} {
		report, err := try()
		apitest.RequireParamError(t, err, param)
		assert.Equal(t, checkpoint, report.Checkpoint, "a caller who stores it loses nothing")
	}
	assert.Zero(t, rec.Count())
}

func TestReconcile_takesATaskThatIsJustOldEnough(t *testing.T) {
	for age, handled := range map[time.Duration]int{2*time.Minute - 1: 0, 2 * time.Minute: 1} {
		synctest.Test(t, func(t *testing.T) {
			api := newReconcileAPI()
			api.set(8, "completed")
			time.Sleep(time.Until(reconcileAt(8).Add(age)))
			report, err := reconcile(t, api.client(t), new(reconcileNext), ittybit.ReconcileParams{MinAge: 2 * time.Minute})
			require.NoError(t, err)
			assert.Equal(t, handled, report.Handled, "%v", age)
		})
	}
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

func TestReconcile_outlivesAnOutage(t *testing.T) {
	for name, failure := range waitFailures {
		for away, ends := range map[time.Duration]bool{9 * time.Minute: true, 11 * time.Minute: false} {
			for path, from := range map[string]int{"/tasks": 3, "/tasks/task_900": 0} { // in the list, and of an open task
				synctest.Test(t, func(t *testing.T) {
					api := newReconcileAPI()
					for n := range 45 {
						api.set(n, "completed")
					}
					api.set(900, "completed")
					api.created["task_900"] = reconcileStart.Add(-time.Hour)
					requests, start := 0, time.Time{}
					client, _ := apitest.Fake(t, func(n int, req *http.Request) (*http.Response, error) {
						if req.URL.Path != path {
							return api.response(n, req)
						}
						if requests++; requests == from+1 {
							start = time.Now()
						}
						if requests > from && time.Since(start) < away {
							return failure()
						}
						return api.response(n, req)
					})
					next := new(reconcileNext)
					params := ittybit.ReconcileParams{Checkpoint: ittybit.ReconcileCheckpoint{Since: reconcileStart.Add(-time.Minute), Open: []string{"task_900"}}}
					report, err := reconcile(t, client, next, params)
					if ends {
						require.NoError(t, err, name)
						assert.Len(t, next.handled, 46, name)
						return
					}
					require.ErrorContains(t, err, "no request has succeeded for 10m", name)
					assert.Equal(t, []string{"task_900"}, report.Checkpoint.Open, name)
					report, err = reconcile(t, client, next, ittybit.ReconcileParams{Checkpoint: reconcileStored(t, report.Checkpoint)}, ittybit.WithMaxOutage(2*time.Minute))
					require.NoError(t, err, name)
					assert.Len(t, next.handled, 46, name)
					assert.Empty(t, report.Checkpoint.Open, name)
				})
			}
		}
	}
}

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
