package ittybit_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
)

// reconcileStart is when the first of the listed tasks was created.
var reconcileStart = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// reconcileAPI is a list of tasks, ten to a page whatever limit is asked for, newest first
// unless ascending. Task n was created n minutes after the start.
type reconcileAPI struct {
	mu        sync.Mutex
	status    map[string]string
	created   map[string]time.Time
	ascending bool
	failPage  int // the page that is answered 403; 0: none
	failGet   string
	requests  []time.Time
	paths     []string
}

func newReconcileAPI() *reconcileAPI {
	return &reconcileAPI{status: map[string]string{}, created: map[string]time.Time{}}
}

// set gives task n a status, and makes it if it is new.
func (a *reconcileAPI) set(n int, status string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	id := fmt.Sprintf("task_%03d", n)
	a.status[id] = status
	a.created[id] = reconcileStart.Add(time.Duration(n) * time.Minute)
}

func (a *reconcileAPI) task(id string) string {
	return fmt.Sprintf(`{"id":%q,"object":"task","kind":"nsfw","status":%q,"created":%q}`, id, a.status[id], a.created[id].Format(time.RFC3339))
}

func (a *reconcileAPI) answer(_ int, req *http.Request) (*http.Response, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.requests = append(a.requests, time.Now())
	a.paths = append(a.paths, req.URL.Path)
	if id, found := strings.CutPrefix(req.URL.Path, "/tasks/"); found {
		switch {
		case id == a.failGet:
			return apiResponse(403, `{"message":"not yours"}`)
		case a.status[id] == "":
			return apiResponse(404, `{"message":"no such task"}`)
		}
		return apiResponse(200, a.task(id))
	}
	page, _ := strconv.Atoi(req.URL.Query().Get("page"))
	page = max(page, 1)
	if page == a.failPage {
		return apiResponse(403, `{"message":"not this page"}`)
	}
	ids := slices.Sorted(maps.Keys(a.status))
	if !a.ascending {
		slices.Reverse(ids)
	}
	const size = 10
	rest := ids[min((page-1)*size, len(ids)):]
	var items []string
	for _, id := range rest[:min(size, len(rest))] {
		items = append(items, a.task(id))
	}
	var links []string
	if len(rest) > size {
		links = []string{"Links", fmt.Sprintf(`<https://api.ittybit.com/tasks?page=%d>; rel="next"`, page+1)}
	}
	return apiResponse(200, "["+strings.Join(items, ",")+"]", links...)
}

func (a *reconcileAPI) client(t *testing.T) *ittybit.Client {
	t.Helper()
	client, _ := apiFake(t, a.answer)
	return client
}

// reconcileNext handles each event once, and says which it has handled.
type reconcileNext struct {
	mu      sync.Mutex
	handled []string
	calls   int
	fail    func(e *ittybit.Event) error
}

func (n *reconcileNext) HandleEvent(_ context.Context, e *ittybit.Event) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.calls++
	if slices.Contains(n.handled, e.Task.ID) {
		return ittybit.ErrAlreadyHandled
	}
	if n.fail != nil {
		if err := n.fail(e); err != nil {
			return err
		}
	}
	n.handled = append(n.handled, e.Task.ID)
	return nil
}

// reconcileIDs gives the ids of the tasks up to a number.
func reconcileIDs(last int) []string {
	var ids []string
	for n := 0; n <= last; n++ {
		ids = append(ids, fmt.Sprintf("task_%03d", n))
	}
	return ids
}

// reconcileStored is the checkpoint as it comes back from where it was stored.
func reconcileStored(t *testing.T, checkpoint ittybit.ReconcileCheckpoint) ittybit.ReconcileCheckpoint {
	t.Helper()
	text, err := json.Marshal(checkpoint)
	require.NoError(t, err)
	var stored ittybit.ReconcileCheckpoint
	require.NoError(t, json.Unmarshal(text, &stored))
	return stored
}

// reconcile runs Reconcile fast.
func reconcile(t *testing.T, client *ittybit.Client, next ittybit.EventHandler, params ittybit.ReconcileParams, opts ...ittybit.ReconcileOption) (*ittybit.ReconcileReport, error) {
	t.Helper()
	params.Rate = 1e6
	return ittybit.Reconcile(t.Context(), client, next, params, opts...)
}

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
	client, rec := apiFake(t, api.answer)
	next := new(reconcileNext)
	_, err := reconcile(t, client, next, ittybit.ReconcileParams{
		Kind: ittybit.TaskKindNSFW, Select: func(task *ittybit.Task) bool { return task.ID == "task_003" },
	})
	require.NoError(t, err)
	assert.Equal(t, []string{"task_003"}, next.handled)
	assert.Equal(t, "kind=nsfw&limit=100", rec.all()[0].Query)
}

func TestReconcile_writesLogAndCallsObserver(t *testing.T) {
	api := newReconcileAPI()
	api.set(1, "completed")
	api.set(2, "completed")
	next := new(reconcileNext)
	next.fail = func(e *ittybit.Event) error {
		if e.Task.ID == "task_002" {
			return errors.New("refused with key " + clientKey)
		}
		return nil
	}
	var log testLog
	var deliveries []ittybit.Delivery
	_, err := reconcile(t, api.client(t), next, ittybit.ReconcileParams{}, ittybit.WithLogger(log.logger()),
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
	assert.NotContains(t, log.String(), clientKey)
}

func TestReconcile_refuses(t *testing.T) {
	client, rec := apiFake(t, apiAlways(200, "[]"))
	next := new(reconcileNext)
	checkpoint := ittybit.ReconcileCheckpoint{Since: reconcileStart}
	for param, try := range map[string]func() (*ittybit.ReconcileReport, error){
		"ctx": func() (*ittybit.ReconcileReport, error) {
			return ittybit.Reconcile(clientNoContext, client, next, ittybit.ReconcileParams{Checkpoint: checkpoint})
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
		clientParamError(t, err, param)
		assert.Equal(t, checkpoint, report.Checkpoint, "a caller who stores it loses nothing")
	}
	assert.Zero(t, rec.count())
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
			client, _ := apiFake(t, func(_ int, req *http.Request) (*http.Response, error) {
				if req.URL.Path == "/tasks" {
					return apiResponse(200, `[]`)
				}
				return apiResponse(404, body)
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
					client, _ := apiFake(t, func(n int, req *http.Request) (*http.Response, error) {
						if req.URL.Path != path {
							return api.answer(n, req)
						}
						if requests++; requests == from+1 {
							start = time.Now()
						}
						if requests > from && time.Since(start) < away {
							return failure()
						}
						return api.answer(n, req)
					})
					next := new(reconcileNext)
					params := ittybit.ReconcileParams{Checkpoint: ittybit.ReconcileCheckpoint{Since: reconcileStart.Add(-time.Minute), Open: []string{"task_900"}}}
					report, err := reconcile(t, client, next, params)
					if ends {
						require.NoError(t, err, name)
						assert.Len(t, next.handled, 46, name)
						return
					}
					require.ErrorContains(t, err, "nothing has succeeded for 10m", name)
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

func TestReconcile_givesUpAStatusThatIsNotKnownAfterADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(reconcileStart.Add(2 * time.Minute)))
		api := newReconcileAPI()
		api.set(0, "expired")
		api.set(1, "completed")
		client, next := api.client(t), new(reconcileNext)
		var log testLog
		report, err := reconcile(t, client, next, ittybit.ReconcileParams{})
		require.NoError(t, err)
		assert.Equal(t, []string{"task_000"}, report.Checkpoint.Open, "it may go on")

		time.Sleep(24*time.Hour - 3*time.Minute)
		report, err = reconcile(t, client, next, ittybit.ReconcileParams{Checkpoint: report.Checkpoint}, ittybit.WithLogger(log.logger()))
		require.NoError(t, err)
		assert.Equal(t, []string{"task_000"}, report.Checkpoint.Open)
		assert.NotContains(t, log.String(), "expired")

		time.Sleep(time.Minute)
		report, err = reconcile(t, client, next, ittybit.ReconcileParams{Checkpoint: report.Checkpoint}, ittybit.WithLogger(log.logger()))
		require.NoError(t, err)
		assert.Empty(t, report.Checkpoint.Open)
		assert.Equal(t, 1, report.Unknown)
		assert.Contains(t, log.String(), "level=WARN msg=\"ittybit: a task was given up, because this version of the SDK does not know its status\" task=task_000 status=expired")
		assert.Equal(t, []string{"task_001"}, next.handled)
	})
}
