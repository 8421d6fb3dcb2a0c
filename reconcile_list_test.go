package ittybit_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/ittybittest"
)

// reconcileAt is when task n was created.
func reconcileAt(n int) time.Time { return reconcileStart.Add(time.Duration(n) * time.Minute) }

func (a *reconcileAPI) remove(n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.status, fmt.Sprintf("task_%03d", n))
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

// A task that vanishes moves those behind it up, one of them over the border of a page that was read.
func TestReconcile_aTaskThatVanishesHidesNoOther(t *testing.T) {
	for _, ascending := range []bool{false, true} {
		for _, cut := range []int{1, 2, 3, 5} { // after how many requests it vanishes, and another one after each further
			t.Run(fmt.Sprintf("ascending %t, after %d", ascending, cut), func(t *testing.T) {
				api := newReconcileAPI()
				api.ascending = ascending
				for n := range 60 {
					api.set(n, "completed")
				}
				vanished := []string{}
				next := new(reconcileNext)
				client, _ := apiFake(t, func(n int, req *http.Request) (*http.Response, error) {
					resp, err := api.answer(n, req)
					page, _ := strconv.Atoi(req.URL.Query().Get("page"))
					if n >= cut && len(vanished) < 4 {
						gone := 59 - (max(page, 1)-1)*10 - 3 // of the page that was just read
						if ascending {
							gone = 59 - gone
						}
						if id := fmt.Sprintf("task_%03d", gone); !slices.Contains(vanished, id) {
							api.remove(gone)
							vanished = append(vanished, id)
						}
					}
					return resp, err
				})
				report, err := reconcile(t, client, next, ittybit.ReconcileParams{})
				require.NoError(t, err)
				assert.Subset(t, next.handled, slices.DeleteFunc(reconcileIDs(59), func(id string) bool { return slices.Contains(vanished, id) }))
				assert.Zero(t, report.Failed+report.Unfinished)
				assert.NotEmpty(t, vanished)
				assert.Len(t, next.handled, next.calls, "each once, on whatever pages it was")
			})
		}
	}
}

func TestReconcile_handsNothingOnTwiceThatMovesUpToThePageBefore(t *testing.T) {
	api := newReconcileAPI()
	for n := range 30 {
		api.set(n, "completed")
	}
	client, _ := apiFake(t, func(n int, req *http.Request) (*http.Response, error) {
		resp, err := api.answer(n, req)
		if n == 2 { // the second page was read, and the first one is about to be looked at again
			api.remove(25)
		}
		return resp, err
	})
	next := new(reconcileNext)
	_, err := reconcile(t, client, next, ittybit.ReconcileParams{})
	require.NoError(t, err)
	assert.ElementsMatch(t, reconcileIDs(29), next.handled)
	assert.Equal(t, 30, next.calls)
}

// Lists with cursors move nothing: they are read once.
func TestReconcile_rechecksNumberedPagesOnly(t *testing.T) {
	for position, want := range map[string]int{"page": 2 + 1, "after": 2} {
		client, rec := apiFake(t, func(_ int, req *http.Request) (*http.Response, error) {
			if req.URL.Query().Has(position) {
				return apiResponse(200, `[{"id":"task_1","status":"completed","created":"2026-01-01T12:00:00Z"}]`)
			}
			return walkPage(position+"=2", "task_2")
		})
		next := new(reconcileNext)
		_, err := reconcile(t, client, next, ittybit.ReconcileParams{})
		require.NoError(t, err)
		assert.Equal(t, want, rec.count(), position)
		assert.Equal(t, []string{"task_1"}, next.handled)
	}
}

func TestReconcile_aPageThatCanNotBeReadAgainCutsTheRun(t *testing.T) {
	api := newReconcileAPI()
	for n := range 30 {
		api.set(n, "completed")
	}
	client, _ := apiFake(t, func(n int, req *http.Request) (*http.Response, error) {
		if n == 3 {
			return apiResponse(403, `{"message":"not again"}`)
		}
		return api.answer(n, req)
	})
	next := new(reconcileNext)
	report, err := reconcile(t, client, next, ittybit.ReconcileParams{})
	require.ErrorIs(t, err, ittybit.ErrForbidden)
	assert.Equal(t, 10, report.Handled, "the second page is not dealt with")
	_, err = reconcile(t, client, next, ittybit.ReconcileParams{Checkpoint: reconcileStored(t, report.Checkpoint)})
	require.NoError(t, err)
	assert.ElementsMatch(t, reconcileIDs(29), next.handled)
}

func TestReconcile_handsNothingOnTwiceThatNewTasksPushToOtherPages(t *testing.T) {
	api := newReconcileAPI()
	for n := range 60 {
		api.set(n, "completed")
	}
	tasks := 60
	client, _ := apiFake(t, func(n int, req *http.Request) (*http.Response, error) {
		resp, err := api.answer(n, req)
		if n <= 8 {
			api.set(tasks, "completed")
			tasks++
		}
		return resp, err
	})
	next := new(reconcileNext)
	_, err := reconcile(t, client, next, ittybit.ReconcileParams{})
	require.NoError(t, err)
	assert.Subset(t, next.handled, reconcileIDs(59))
	assert.Len(t, next.handled, next.calls)
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

func TestReconcile_readsOnWhereAPageEndsWithATaskOfTheVeryTimeOfItsCheckpoint(t *testing.T) {
	api := newReconcileAPI()
	for n := range 40 {
		api.set(n, "completed")
	}
	// The second page ends with task 20, and the third begins with one of the same time.
	api.created["task_019"] = api.created["task_020"]
	client, rec := apiFake(t, api.answer)
	next := new(reconcileNext)
	report, err := reconcile(t, client, next, ittybit.ReconcileParams{Checkpoint: ittybit.ReconcileCheckpoint{Since: reconcileAt(20)}})
	require.NoError(t, err)
	assert.Equal(t, 21, report.Handled)
	assert.Contains(t, next.handled, "task_019", "only what was created before is dealt with")
	for _, request := range rec.all() {
		assert.NotContains(t, request.Query, "page=4", "what is older is left alone")
	}
}

func TestReconcile_handlesTasksThatDoNotSayWhenTheyWereCreated(t *testing.T) {
	pages := []string{
		`[{"id":"task_4","status":"completed","created":"2026-01-01T12:04:00Z"},{"id":"task_x","status":"completed"},` +
			`{"id":"task_3","status":"completed","created":"2026-01-01T12:03:00Z"},{"id":"task_y","status":"completed","created":null}]`,
		`[{"id":"task_2","status":"completed","created":"2026-01-01T12:02:00Z"}]`,
	}
	client, _ := apiFake(t, func(_ int, req *http.Request) (*http.Response, error) {
		if req.URL.Query().Get("page") != "2" {
			return apiResponse(200, pages[0], "Links", `</tasks?page=2>; rel="next"`)
		}
		return apiResponse(200, pages[1])
	})
	next := new(reconcileNext)
	report, err := reconcile(t, client, next, ittybit.ReconcileParams{Checkpoint: ittybit.ReconcileCheckpoint{Since: reconcileAt(1)}})
	require.NoError(t, err)
	assert.Equal(t, []string{"task_4", "task_x", "task_3", "task_y", "task_2"}, next.handled, "no time is no reason to end the list")
	assert.True(t, reconcileAt(3).Equal(report.Checkpoint.Since), "a minute before the newest: %v", report.Checkpoint.Since)
}

func TestReconcile_checkpointsTheListBeforeItPollsWhatIsOpen(t *testing.T) {
	api := newReconcileAPI()
	for n := range 25 {
		api.set(n, "completed")
	}
	api.set(900, "processing")
	api.failGet = "task_900"
	api.created["task_900"] = reconcileAt(-900)
	var saved []ittybit.ReconcileCheckpoint
	_, err := reconcile(t, api.client(t), new(reconcileNext), ittybit.ReconcileParams{
		Checkpoint:   ittybit.ReconcileCheckpoint{Since: reconcileAt(-1), Open: []string{"task_900"}},
		OnCheckpoint: func(c ittybit.ReconcileCheckpoint) { saved = append(saved, c) },
	})
	require.ErrorIs(t, err, ittybit.ErrForbidden)
	require.NotEmpty(t, saved)
	last := saved[len(saved)-1]
	assert.True(t, reconcileAt(23).Equal(last.Since), "the list was read whole: %v", last.Since)
	assert.Equal(t, []string{"task_900"}, last.Open)
}

// A run that is cut goes on where it was cut, however many tasks there are, and whatever comes and
// goes meanwhile.
func TestReconcile_goesThroughManyTasksInShortRuns(t *testing.T) {
	const tasks, size = 50_000, 100
	var ids []int // newest first
	for n := tasks - 1; n >= 0; n-- {
		ids = append(ids, n)
	}
	newest, requests := tasks-1, 0
	client, _ := apiFake(t, func(_ int, req *http.Request) (*http.Response, error) {
		requests++
		page, _ := strconv.Atoi(req.URL.Query().Get("page"))
		page = max(page, 1)
		rest := ids[min((page-1)*size, len(ids)):]
		var items strings.Builder
		for i, n := range rest[:min(size, len(rest))] {
			if i > 0 {
				items.WriteByte(',')
			}
			fmt.Fprintf(&items, `{"id":"task_%d","kind":"nsfw","status":"completed","created":%q}`, n, reconcileAt(n).Format(time.RFC3339))
		}
		var links []string
		if len(rest) > size {
			links = []string{"Links", fmt.Sprintf(`</tasks?page=%d>; rel="next"`, page+1)}
		}
		return apiResponse(200, "["+items.String()+"]", links...)
	})
	handled := make(map[string]int, tasks)
	var checkpoint ittybit.ReconcileCheckpoint
	runs, vanished := 0, map[string]bool{}
	for ; runs < 60; runs++ {
		ctx, cancel := context.WithCancel(t.Context())
		left := 1000
		report, err := ittybit.Reconcile(ctx, client, ittybit.EventHandlerFunc(func(_ context.Context, e *ittybit.Event) error {
			handled[e.Task.ID]++
			if left--; left == 0 {
				cancel()
			}
			return nil
		}), ittybit.ReconcileParams{Rate: 1e9, Checkpoint: reconcileStored(t, checkpoint)})
		cancel()
		checkpoint = report.Checkpoint
		if err == nil {
			break
		}
		require.ErrorIs(t, err, context.Canceled)
		require.NotNil(t, checkpoint.Cut)
		// Three new ones come, or up to 150 vanish, some of them that were not handled.
		if runs%2 == 0 {
			ids = slices.Insert(ids, 0, newest+3, newest+2, newest+1)
			newest += 3
			continue
		}
		for range 150 {
			i := (runs * 7919) % len(ids)
			vanished[fmt.Sprintf("task_%d", ids[i])] = true
			ids = slices.Delete(ids, i, i+1)
		}
	}
	assert.Empty(t, checkpoint.Cut)
	most := 0
	for n := range newest + 1 {
		id := fmt.Sprintf("task_%d", n)
		if handled[id] == 0 && !vanished[id] {
			t.Errorf("%s was not handled", id)
		}
		most = max(most, handled[id])
	}
	t.Logf("%d runs, %d requests for %d tasks, %d of which vanished", runs+1, requests, newest+1, len(vanished))
	assert.LessOrEqual(t, most, 2)
	assert.LessOrEqual(t, requests, 4*tasks/size, "a run does not read again what the ones before have read")
}

func TestReconcile_aRunThatIsCutGoesOnWhereItEnded(t *testing.T) {
	for _, ascending := range []bool{false, true} {
		t.Run(fmt.Sprintf("ascending %t", ascending), func(t *testing.T) {
			api := newReconcileAPI()
			api.ascending = ascending
			for n := range 90 {
				api.set(n, "completed")
			}
			api.set(85, "processing")
			client, next := api.client(t), new(reconcileNext)

			// Cut again and again, with new tasks meanwhile, each time after another number of events.
			var checkpoint ittybit.ReconcileCheckpoint
			for cut := range 6 {
				report, err := reconcileCutAfter(t, 9+cut, client, next, checkpoint)
				require.ErrorIs(t, err, context.Canceled)
				checkpoint = report.Checkpoint
				api.set(90+cut, "completed")
			}
			assert.Zero(t, checkpoint.Since)
			assert.Equal(t, ascending, checkpoint.Cut == nil, "a list that is not newest first is resumed nowhere")
			calls := next.calls
			api.set(85, "completed")
			last, err := reconcile(t, client, next, ittybit.ReconcileParams{Checkpoint: reconcileStored(t, checkpoint)})
			require.NoError(t, err)
			assert.ElementsMatch(t, reconcileIDs(95), next.handled)
			assert.Empty(t, last.Checkpoint.Open)
			assert.Nil(t, last.Checkpoint.Cut)
			assert.True(t, reconcileAt(94).Equal(last.Checkpoint.Since), "%v", last.Checkpoint.Since)
			if !ascending {
				assert.Less(t, next.calls-calls, 96-50, "what was handled is not handed on again")
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
	require.NotNil(t, saved[0].Cut)
	assert.True(t, reconcileAt(35).Equal(saved[0].Cut.At))
	assert.True(t, reconcileAt(43).Equal(saved[0].Cut.Top), "a minute before the newest")
	assert.Equal(t, "task_035", saved[0].Cut.ID)
	assert.Equal(t, 1, saved[0].Cut.Page)

	api.failPage = 0
	report, err = reconcile(t, client, next, ittybit.ReconcileParams{Checkpoint: reconcileStored(t, saved[1])})
	require.NoError(t, err)
	assert.Equal(t, 25, report.Handled)
	assert.ElementsMatch(t, reconcileIDs(44), next.handled)
}

func TestReconcile_resumesNowhereInAListThatIsNotSorted(t *testing.T) {
	api := newReconcileAPI()
	for n := range 30 {
		api.set(n, "completed")
	}
	for n, id := range reconcileIDs(29) {
		api.created[id] = reconcileAt(n * 7 % 30)
	}
	api.failPage = 2
	client, next := api.client(t), new(reconcileNext)
	cut, err := reconcile(t, client, next, ittybit.ReconcileParams{})
	require.ErrorIs(t, err, ittybit.ErrForbidden)
	assert.Equal(t, 10, cut.Handled)
	assert.Equal(t, ittybit.ReconcileCheckpoint{}, cut.Checkpoint, "ten of thirty were seen, and their times lie everywhere")

	api.failPage = 0
	last, err := reconcile(t, client, next, ittybit.ReconcileParams{Checkpoint: reconcileStored(t, cut.Checkpoint)})
	require.NoError(t, err)
	assert.Equal(t, 20, last.Handled)
	assert.ElementsMatch(t, reconcileIDs(29), next.handled)
}

// The newest came first as far as a run came, and not any more behind that.
func TestReconcile_beginsAnewWhereAListThatWasCutIsNotSortedAfterAll(t *testing.T) {
	api := newReconcileAPI()
	for n := range 60 {
		api.set(n, "completed")
	}
	api.created["task_003"] = reconcileAt(55)
	client, next := api.client(t), new(reconcileNext)
	cut, err := reconcileCutAfter(t, 25, client, next, ittybit.ReconcileCheckpoint{})
	require.ErrorIs(t, err, context.Canceled)
	require.NotNil(t, cut.Checkpoint.Cut)
	last, err := reconcile(t, client, next, ittybit.ReconcileParams{Checkpoint: reconcileStored(t, cut.Checkpoint)})
	require.NoError(t, err)
	assert.ElementsMatch(t, reconcileIDs(59), next.handled, "task_003 too, which seems to stand before the cut")
	assert.Nil(t, last.Checkpoint.Cut)
}

func TestReconcile_aCutBetweenTasksOfOneSecondLosesNone(t *testing.T) {
	for _, vanish := range []int{0, 1, 14} {
		api := newReconcileAPI()
		for n := range 60 {
			api.set(n, "completed")
			if n >= 20 && n < 50 { // more than two pages of one second
				api.created[fmt.Sprintf("task_%03d", n)] = reconcileAt(30)
			}
		}
		client, next := api.client(t), new(reconcileNext)
		var checkpoint ittybit.ReconcileCheckpoint
		gone := map[string]bool{}
		for {
			report, err := reconcileCutAfter(t, 13, client, next, checkpoint)
			checkpoint = report.Checkpoint
			if err == nil {
				break
			}
			require.ErrorIs(t, err, context.Canceled)
			require.Less(t, next.calls, 200, "it comes to an end")
			for range vanish { // of those that were handled, so that the others move up
				if i := 59 - len(gone); i > 30 {
					api.remove(i)
					gone[fmt.Sprintf("task_%03d", i)] = true
				}
			}
		}
		for _, id := range reconcileIDs(59) {
			if !gone[id] {
				assert.Contains(t, next.handled, id, "%d vanish after each run", vanish)
			}
		}
	}
}

func TestReconcile_aRunThatLearnsNothingKeepsItsCheckpoint(t *testing.T) {
	api := newReconcileAPI()
	for n := range 12 {
		api.set(n, "completed")
		api.created[reconcileIDs(n)[n]] = reconcileAt(30) // all of them in one second
	}
	api.failPage = 2
	client := api.client(t)
	since := ittybit.ReconcileCheckpoint{Since: reconcileAt(10)}
	report, err := reconcile(t, client, new(reconcileNext), ittybit.ReconcileParams{Checkpoint: since})
	require.ErrorIs(t, err, ittybit.ErrForbidden)
	assert.Equal(t, since, report.Checkpoint, "times that are all the same say nothing of the order")

	api.failPage = 1
	cut := ittybit.ReconcileCheckpoint{Cut: &ittybit.ReconcileCut{At: reconcileAt(40), ID: "task_900", Page: 1, Top: reconcileAt(50)}}
	report, err = reconcile(t, client, new(reconcileNext), ittybit.ReconcileParams{Checkpoint: cut})
	require.ErrorIs(t, err, ittybit.ErrForbidden)
	assert.Equal(t, cut, report.Checkpoint, "nothing was read")

	api.failPage = 0
	since = ittybit.ReconcileCheckpoint{Since: reconcileAt(100)}
	report, err = reconcile(t, client, new(reconcileNext), ittybit.ReconcileParams{Checkpoint: since})
	require.NoError(t, err)
	assert.Equal(t, since, report.Checkpoint, "it does not go back")
}

// Lists with cursors have no page to go back to: they are read from their beginning, and what was
// handled is not handed on again.
func TestReconcile_goesOnInAListWithCursors(t *testing.T) {
	client, _ := apiFake(t, func(_ int, req *http.Request) (*http.Response, error) {
		next := 39
		if after := req.URL.Query().Get("after"); after != "" {
			_, err := fmt.Sscanf(after, "task_%d", &next)
			require.NoError(t, err)
			next--
		}
		var items []string
		last := max(next-9, 0)
		for n := next; n >= last; n-- {
			items = append(items, fmt.Sprintf(`{"id":"task_%03d","status":"completed","created":%q}`, n, reconcileAt(n).Format(time.RFC3339)))
		}
		var links []string
		if last > 0 {
			links = []string{"Link", fmt.Sprintf(`</tasks?after=task_%03d>; rel="next"`, last)}
		}
		return apiResponse(200, "["+strings.Join(items, ",")+"]", links...)
	})
	next := new(reconcileNext)
	report, err := reconcileCutAfter(t, 25, client, next, ittybit.ReconcileCheckpoint{})
	require.ErrorIs(t, err, context.Canceled)
	require.NotNil(t, report.Checkpoint.Cut)
	assert.Zero(t, report.Checkpoint.Cut.Page)
	calls := next.calls
	_, err = reconcile(t, client, next, ittybit.ReconcileParams{Checkpoint: reconcileStored(t, report.Checkpoint)})
	require.NoError(t, err)
	assert.ElementsMatch(t, reconcileIDs(39), next.handled)
	assert.LessOrEqual(t, next.calls-calls, 40-24+3)
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
