package ittybit_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
)

func (a *reconcileAPI) remove(n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.status, fmt.Sprintf("task_%03d", n))
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
func TestReconcile_looksBackAtNumberedPagesOnly(t *testing.T) {
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

func TestReconcile_aPageThatCanNotBeLookedAtAgainCutsTheRun(t *testing.T) {
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

func TestReconcile_aRunThatIsCutGoesOnWhereTheOldestComeFirst(t *testing.T) {
	api := newReconcileAPI()
	api.ascending = true
	for n := range 100 {
		api.set(n, "completed")
	}
	client, next := api.client(t), new(reconcileNext)
	var checkpoint ittybit.ReconcileCheckpoint
	for range 5 {
		report, err := reconcileCutAfter(t, 20, client, next, checkpoint)
		require.ErrorIs(t, err, context.Canceled)
		require.Len(t, report.Checkpoint.Done, 1)
		assert.True(t, report.Checkpoint.Done[0].From.Equal(reconcileStart))
		checkpoint = report.Checkpoint
	}
	_, err := reconcile(t, client, next, ittybit.ReconcileParams{Checkpoint: reconcileStored(t, checkpoint)})
	require.NoError(t, err)
	assert.ElementsMatch(t, reconcileIDs(99), next.handled)
	assert.Less(t, next.calls, 100+5*4, "what was dealt with is handed on again only at the ends")
}

// Tasks that happen to stand that way for a while prove no order.
func TestReconcile_aListThatOnlyBeginsWithTheOldestIsNotTakenForSorted(t *testing.T) {
	for name, tt := range map[string]struct {
		order []int
		cut   int
	}{
		"too few to tell": {[]int{10, 20, 30, 40, 50, 60, 70, 80, 90, 15, 25, 35}, 9},
		"not any more":    {[]int{10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120, 15, 25, 35}, 14},
	} {
		t.Run(name, func(t *testing.T) {
			var items string
			for _, n := range tt.order {
				items += fmt.Sprintf(`,{"id":"task_%03d","status":"completed","created":%q}`, n, reconcileStart.Add(time.Duration(n)*time.Minute).Format(time.RFC3339))
			}
			client, _ := apiFake(t, apiAlways(200, "["+items[1:]+"]"))
			next := new(reconcileNext)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			left := tt.cut
			report, err := ittybit.Reconcile(ctx, client, next, ittybit.ReconcileParams{Rate: 1e6, Select: func(*ittybit.Task) bool {
				if left--; left == 0 {
					cancel()
				}
				return true
			}})
			require.ErrorIs(t, err, context.Canceled)
			assert.Empty(t, report.Checkpoint.Done)
			_, err = reconcile(t, client, next, ittybit.ReconcileParams{Checkpoint: reconcileStored(t, report.Checkpoint)})
			require.NoError(t, err)
			assert.Len(t, next.handled, len(tt.order))
		})
	}
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

// Two spans that only meet at a time say nothing of the tasks of just that time.
func TestReconcile_aTaskAtTheVeryBorderOfTwoRunsIsLookedAt(t *testing.T) {
	const border = 9
	api := newReconcileAPI()
	for n := range 40 {
		api.set(n, "completed")
	}
	for n := border; n < border+3; n++ { // three of one time, and the run ends at the first of them
		api.created[fmt.Sprintf("task_%03d", n)] = reconcileStart.Add(border * time.Minute)
	}
	done := []ittybit.ReconcileSpan{{From: reconcileStart.Add(2 * time.Minute), To: reconcileStart.Add(border * time.Minute)}}
	client, next := api.client(t), new(reconcileNext)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	report, err := ittybit.Reconcile(ctx, client, next, ittybit.ReconcileParams{
		Rate: 1e6, Checkpoint: ittybit.ReconcileCheckpoint{Done: done},
		Select: func(task *ittybit.Task) bool {
			if task.ID == "task_010" {
				cancel()
			}
			return true
		},
	})
	require.ErrorIs(t, err, context.Canceled)
	assert.NotContains(t, next.handled, "task_010")
	_, err = reconcile(t, client, next, ittybit.ReconcileParams{Checkpoint: reconcileStored(t, report.Checkpoint)})
	require.NoError(t, err)
	for n := border; n < 40; n++ {
		assert.Contains(t, next.handled, fmt.Sprintf("task_%03d", n))
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
			continue
		}
		require.ErrorIs(t, err, ittybit.ErrNotFound, body)
		assert.Zero(t, report.Gone, body)
		assert.Equal(t, []string{"task_1"}, report.Checkpoint.Open, body)
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
