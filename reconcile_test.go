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

func TestReconcile_aRunThatIsCutGoesOnWhereItEnded(t *testing.T) {
	for _, ascending := range []bool{false, true} {
		t.Run(fmt.Sprintf("ascending %t", ascending), func(t *testing.T) {
			api := newReconcileAPI()
			api.ascending = ascending
			for n := range 60 {
				api.set(n, "completed")
			}
			api.set(55, "processing")
			client, next := api.client(t), new(reconcileNext)

			// Cut again and again, with new tasks meanwhile, each time after another number of events.
			var checkpoint ittybit.ReconcileCheckpoint
			for cut := range 6 {
				ctx, cancel := context.WithCancel(t.Context())
				left := 9 + cut
				params := ittybit.ReconcileParams{
					Rate: 1e6, Checkpoint: reconcileStored(t, checkpoint),
					Select: func(*ittybit.Task) bool {
						if left--; left == 0 {
							cancel()
						}
						return true
					},
				}
				report, err := ittybit.Reconcile(ctx, client, next, params)
				cancel()
				require.ErrorIs(t, err, context.Canceled)
				checkpoint = report.Checkpoint
				api.set(60+cut, "completed")
			}
			assert.Zero(t, checkpoint.Since)
			calls := next.calls
			if !ascending {
				assert.Len(t, checkpoint.Done, 1, "each run met with the one before: %v", checkpoint.Done)
			}
			api.set(55, "completed")
			last, err := reconcile(t, client, next, ittybit.ReconcileParams{Checkpoint: reconcileStored(t, checkpoint)})
			require.NoError(t, err)
			assert.ElementsMatch(t, reconcileIDs(65), next.handled)
			assert.Empty(t, last.Checkpoint.Open)
			assert.Empty(t, last.Checkpoint.Done)
			if !ascending {
				assert.Less(t, next.calls-calls, 66-40, "what was dealt with is not handed on again")
			}
		})
	}
}

func TestReconcile_aPageThatFailsLosesNothing(t *testing.T) {
	api := newReconcileAPI()
	for n := range 45 {
		api.set(n, "completed")
	}
	api.failPage = 3
	client, next := api.client(t), new(reconcileNext)
	var saved []ittybit.ReconcileCheckpoint
	report, err := reconcile(t, client, next, ittybit.ReconcileParams{
		OnCheckpoint: func(c ittybit.ReconcileCheckpoint) { saved = append(saved, c) },
	})
	require.ErrorIs(t, err, ittybit.ErrForbidden)
	assert.Equal(t, 20, report.Handled)
	require.Len(t, saved, 2, "after each page")
	assert.Equal(t, report.Checkpoint, saved[1])
	assert.Equal(t, []ittybit.ReconcileSpan{{From: reconcileStart.Add(35 * time.Minute), To: reconcileStart.Add(43 * time.Minute)}}, saved[0].Done)

	api.failPage = 0
	report, err = reconcile(t, client, next, ittybit.ReconcileParams{Checkpoint: reconcileStored(t, saved[1])})
	require.NoError(t, err)
	assert.Equal(t, 25, report.Handled)
	assert.ElementsMatch(t, reconcileIDs(44), next.handled)
}

func TestReconcile_spansThatDoNotMeetAreKeptApart(t *testing.T) {
	api := newReconcileAPI()
	for n := range 100 {
		api.set(n, "completed")
	}
	span := func(from, to int) ittybit.ReconcileSpan {
		return ittybit.ReconcileSpan{From: reconcileStart.Add(time.Duration(from) * time.Minute), To: reconcileStart.Add(time.Duration(to) * time.Minute)}
	}
	api.failPage = 4
	client := api.client(t)
	for name, tt := range map[string]struct{ done, want []ittybit.ReconcileSpan }{
		"apart":     {[]ittybit.ReconcileSpan{span(30, 50), span(5, 10)}, []ittybit.ReconcileSpan{span(70, 98), span(30, 50), span(5, 10)}},
		"met":       {[]ittybit.ReconcileSpan{span(60, 80), span(5, 10)}, []ittybit.ReconcileSpan{span(60, 98), span(5, 10)}},
		"beyond":    {[]ittybit.ReconcileSpan{span(80, 120), span(5, 10)}, []ittybit.ReconcileSpan{span(70, 120), span(5, 10)}},
		"swallowed": {[]ittybit.ReconcileSpan{span(80, 85), span(5, 10)}, []ittybit.ReconcileSpan{span(70, 98), span(5, 10)}},
	} {
		t.Run(name, func(t *testing.T) {
			report, err := reconcile(t, client, new(reconcileNext), ittybit.ReconcileParams{Checkpoint: ittybit.ReconcileCheckpoint{Done: tt.done}})
			require.Error(t, err)
			assert.Equal(t, tt.want, reconcileUTC(report.Checkpoint.Done))
		})
	}
}

func reconcileUTC(spans []ittybit.ReconcileSpan) []ittybit.ReconcileSpan {
	for i := range spans {
		spans[i].From, spans[i].To = spans[i].From.UTC(), spans[i].To.UTC()
	}
	return spans
}

func TestReconcile_whatIsNotHandledIsTriedAgain(t *testing.T) {
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

func TestReconcile_countsWhatIsSettledOtherwise(t *testing.T) {
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

func TestReconcile_tellsLogAndObserver(t *testing.T) {
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
