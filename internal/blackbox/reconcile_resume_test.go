package blackbox

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/internal/apitest"
)

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
	const size = 100
	tasks, each := 50_000, 1000 // how many each run handles
	if apitest.RaceEnabled() {  // it is one goroutine, and ten times slower
		tasks, each = 5_000, 100
	}
	var ids []int // newest first
	for n := tasks - 1; n >= 0; n-- {
		ids = append(ids, n)
	}
	newest, requests := tasks-1, 0
	client, _ := apitest.Fake(t, func(_ int, req *http.Request) (*http.Response, error) {
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
		return apitest.Response(200, "["+items.String()+"]", links...)
	})
	handled := make(map[string]int, tasks)
	var checkpoint ittybit.ReconcileCheckpoint
	runs, vanished := 0, map[string]bool{}
	for ; runs < 60; runs++ {
		ctx, cancel := context.WithCancel(t.Context())
		left := each
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
		// Three new ones come, or some vanish, also such as were not handled.
		if runs%2 == 0 {
			ids = slices.Insert(ids, 0, newest+3, newest+2, newest+1)
			newest += 3
			continue
		}
		for range 15 * each / 100 {
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

			// Cut again and again, with new tasks meanwhile, each time after another number of
			// events.
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
	client, _ := apitest.Fake(t, func(_ int, req *http.Request) (*http.Response, error) {
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
		return apitest.Response(200, "["+strings.Join(items, ",")+"]", links...)
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
