package blackbox

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/internal/apitest"
)

// A task that vanishes moves those behind it up, one of them over the border of a page that was
// read.
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
				client, _ := apitest.Fake(t, func(n int, req *http.Request) (*http.Response, error) {
					resp, err := api.response(n, req)
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
	client, _ := apitest.Fake(t, func(n int, req *http.Request) (*http.Response, error) {
		resp, err := api.response(n, req)
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
		client, rec := apitest.Fake(t, func(_ int, req *http.Request) (*http.Response, error) {
			if req.URL.Query().Has(position) {
				return apitest.Response(200, `[{"id":"task_1","status":"completed","created":"2026-01-01T12:00:00Z"}]`)
			}
			return linkedPage(position+"=2", "task_2")
		})
		next := new(reconcileNext)
		_, err := reconcile(t, client, next, ittybit.ReconcileParams{})
		require.NoError(t, err)
		assert.Equal(t, want, rec.Count(), position)
		assert.Equal(t, []string{"task_1"}, next.handled)
	}
}

func TestReconcile_aPageThatCanNotBeReadAgainCutsTheRun(t *testing.T) {
	api := newReconcileAPI()
	for n := range 30 {
		api.set(n, "completed")
	}
	client, _ := apitest.Fake(t, func(n int, req *http.Request) (*http.Response, error) {
		if n == 3 {
			return apitest.Response(403, `{"message":"not again"}`)
		}
		return api.response(n, req)
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
	client, _ := apitest.Fake(t, func(n int, req *http.Request) (*http.Response, error) {
		resp, err := api.response(n, req)
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
	client, rec := apitest.Fake(t, func(n int, req *http.Request) (*http.Response, error) {
		resp, err := api.response(n, req)
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

	requests := rec.Count()
	_, err := reconcile(t, client, next, ittybit.ReconcileParams{Checkpoint: reconcileStored(t, checkpoint)})
	require.NoError(t, err)
	assert.Less(t, rec.Count()-requests, 15, "older pages are left alone")
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
	client, rec := apitest.Fake(t, api.response)
	next := new(reconcileNext)
	report, err := reconcile(t, client, next, ittybit.ReconcileParams{Checkpoint: ittybit.ReconcileCheckpoint{Since: reconcileAt(20)}})
	require.NoError(t, err)
	assert.Equal(t, 21, report.Handled)
	assert.Contains(t, next.handled, "task_019", "only what was created before is dealt with")
	for _, request := range rec.All() {
		assert.NotContains(t, request.Query, "page=4", "what is older is left alone")
	}
}

func TestReconcile_handlesTasksThatDoNotSayWhenTheyWereCreated(t *testing.T) {
	pages := []string{
		`[{"id":"task_4","status":"completed","created":"2026-01-01T12:04:00Z"},{"id":"task_x","status":"completed"},` +
			`{"id":"task_3","status":"completed","created":"2026-01-01T12:03:00Z"},{"id":"task_y","status":"completed","created":null}]`,
		`[{"id":"task_2","status":"completed","created":"2026-01-01T12:02:00Z"}]`,
	}
	client, _ := apitest.Fake(t, func(_ int, req *http.Request) (*http.Response, error) {
		if req.URL.Query().Get("page") != "2" {
			return apitest.Response(200, pages[0], "Links", `</tasks?page=2>; rel="next"`)
		}
		return apitest.Response(200, pages[1])
	})
	next := new(reconcileNext)
	report, err := reconcile(t, client, next, ittybit.ReconcileParams{Checkpoint: ittybit.ReconcileCheckpoint{Since: reconcileAt(1)}})
	require.NoError(t, err)
	assert.Equal(t, []string{"task_4", "task_x", "task_3", "task_y", "task_2"}, next.handled, "no time is no reason to end the list")
	assert.True(t, reconcileAt(3).Equal(report.Checkpoint.Since), "a minute before the newest: %v", report.Checkpoint.Since)
}
