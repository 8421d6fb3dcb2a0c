package ittybit_test

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
)

// reconcileAt is when task n was created.
func reconcileAt(n int) time.Time { return reconcileStart.Add(time.Duration(n) * time.Minute) }

func TestReconcile_looksAgainAtWhatWasCreatedAtTheEndsOfASpan(t *testing.T) {
	api := newReconcileAPI()
	for n := range 26 {
		api.set(n, "completed")
	}
	next := new(reconcileNext)
	report, err := reconcile(t, api.client(t), next, ittybit.ReconcileParams{Checkpoint: ittybit.ReconcileCheckpoint{
		Done: []ittybit.ReconcileSpan{{From: reconcileAt(5), To: reconcileAt(20)}},
	}})
	require.NoError(t, err)
	assert.Equal(t, 12, report.Handled, "others may have been created in the same second as the first and the last one that was dealt with")
	assert.ElementsMatch(t, append(reconcileIDs(5), reconcileIDs(25)[20:]...), next.handled)
}

func TestReconcile_claimsNoSpanOfAListThatIsNotSorted(t *testing.T) {
	old := []ittybit.ReconcileSpan{{From: reconcileAt(-20), To: reconcileAt(-10)}}
	api := newReconcileAPI()
	for n := range 30 {
		api.set(n, "completed")
	}
	for n, id := range reconcileIDs(29) {
		api.created[id] = reconcileAt(n * 7 % 30)
	}
	api.failPage = 2
	client, next := api.client(t), new(reconcileNext)
	cut, err := reconcile(t, client, next, ittybit.ReconcileParams{Checkpoint: ittybit.ReconcileCheckpoint{Done: old}})
	require.ErrorIs(t, err, ittybit.ErrForbidden)
	assert.Equal(t, 10, cut.Handled)
	assert.Equal(t, ittybit.ReconcileCheckpoint{Done: old}, cut.Checkpoint, "ten of thirty were seen, and their times lie everywhere")

	api.failPage = 0
	last, err := reconcile(t, client, next, ittybit.ReconcileParams{Checkpoint: reconcileStored(t, cut.Checkpoint)})
	require.NoError(t, err)
	assert.Equal(t, 20, last.Handled)
	assert.ElementsMatch(t, reconcileIDs(29), next.handled)
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

func TestReconcile_dealsWithTasksThatDoNotSayWhenTheyWereCreated(t *testing.T) {
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

func TestReconcile_doesNotClaimTheTimeAtWhichTwoSpansMeet(t *testing.T) {
	api := newReconcileAPI()
	for n := range 40 {
		api.set(n, "completed")
	}
	// A run is cut between two tasks of one second, in which the span of the run before ended.
	api.created["task_019"] = api.created["task_020"]
	api.failPage = 3
	client, next := api.client(t), new(reconcileNext)
	cut, err := reconcile(t, client, next, ittybit.ReconcileParams{Checkpoint: ittybit.ReconcileCheckpoint{
		Done: []ittybit.ReconcileSpan{{From: reconcileAt(5), To: reconcileAt(20)}},
	}})
	require.ErrorIs(t, err, ittybit.ErrForbidden)
	assert.Contains(t, next.handled, "task_020")

	api.failPage = 0
	_, err = reconcile(t, client, next, ittybit.ReconcileParams{Checkpoint: reconcileStored(t, cut.Checkpoint)})
	require.NoError(t, err)
	assert.Contains(t, next.handled, "task_019")
}

func TestReconcile_aRunThatLearnsNothingKeepsItsCheckpoint(t *testing.T) {
	api := newReconcileAPI()
	for n := range 12 {
		api.set(n, "completed")
		api.created[reconcileIDs(n)[n]] = reconcileAt(30) // all of them in one second
	}
	client := api.client(t)
	api.failPage = 2
	done := []ittybit.ReconcileSpan{{From: reconcileAt(0), To: reconcileAt(50)}}
	report, err := reconcile(t, client, new(reconcileNext), ittybit.ReconcileParams{Checkpoint: ittybit.ReconcileCheckpoint{Done: done}})
	require.ErrorIs(t, err, ittybit.ErrForbidden)
	assert.Equal(t, ittybit.ReconcileCheckpoint{Done: done}, report.Checkpoint, "half a minute before the newest task lies no span")

	api.failPage = 0
	since := ittybit.ReconcileCheckpoint{Since: reconcileAt(100)}
	report, err = reconcile(t, client, new(reconcileNext), ittybit.ReconcileParams{Checkpoint: since})
	require.NoError(t, err)
	assert.Equal(t, since, report.Checkpoint, "it does not go back")
}

func TestReconcile_checkpointsTheListBeforeItLooksAtWhatIsOpen(t *testing.T) {
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
