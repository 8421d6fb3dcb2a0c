package blackbox

import (
	"fmt"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/internal/apitest"
)

// walkAll gives how many tasks there were, and the error at the end.
func walkAll(t *testing.T, client *ittybit.Client) (tasks int, last error) {
	t.Helper()
	for task, err := range client.Tasks.All(t.Context(), ittybit.TaskListParams{}) {
		if last = err; err == nil {
			require.NotNil(t, task)
			tasks++
		}
	}
	return tasks, last
}

func TestAll_linksThatGoInCirclesEnd(t *testing.T) {
	for _, length := range []int{1, 2, 3, 7, 100} {
		for _, lead := range []int{0, 1, 5, 150} { // pages before the circle begins
			t.Run(fmt.Sprintf("%d after %d", length, lead), func(t *testing.T) {
				client, rec := apitest.Fake(t, func(n int, req *http.Request) (*http.Response, error) {
					page, _ := strconv.Atoi(req.URL.Query().Get("page"))
					next := page + 1
					if next == lead+length {
						next = lead
					}
					return linkedPage(fmt.Sprintf("page=%d", next), fmt.Sprintf("task_%d", n)) // items that are always new
				})
				tasks, err := walkAll(t, client)
				require.ErrorContains(t, err, "ittybit: the list repeats itself: ")
				assert.Equal(t, rec.Count(), tasks, "all that was read is yielded")
				assert.GreaterOrEqual(t, tasks, lead+length, "not before they are known to go in circles")
				assert.LessOrEqual(t, tasks, 4*(lead+length)+4)
			})
		}
	}
}

func TestAll_itemsThatGoInCirclesEnd(t *testing.T) {
	for _, length := range []int{1, 2, 3, 7, 100} {
		for _, lead := range []int{0, 1, 5, 150} {
			t.Run(fmt.Sprintf("%d after %d", length, lead), func(t *testing.T) {
				client, rec := apitest.Fake(t, func(n int, _ *http.Request) (*http.Response, error) {
					page := n
					if n > lead {
						page = lead + (n-lead)%length
					}
					return linkedPage(fmt.Sprintf("after=%d", n), fmt.Sprintf("task_%d", page)) // positions that are always new
				})
				_, err := walkAll(t, client)
				require.ErrorContains(t, err, "ittybit: the list repeats itself: ")
				assert.LessOrEqual(t, rec.Count(), 4*(lead+length)+25*length+4)
			})
		}
	}
}

func TestAll_itemsThatComeBackNowAndThenAreNoCircle(t *testing.T) {
	const pages = 3000
	client, _ := apitest.Fake(t, func(n int, _ *http.Request) (*http.Response, error) {
		next := ""
		if n < pages {
			next = fmt.Sprintf("page=%d", n+1)
		}
		return linkedPage(next, fmt.Sprintf("task_%d", n-n%4)) // four times in a row
	})
	tasks, err := walkAll(t, client)
	require.NoError(t, err)
	assert.Equal(t, pages, tasks)
}

func TestAll_emptyPagesWithoutEndAreAnError(t *testing.T) {
	client, rec := apitest.Fake(t, func(n int, _ *http.Request) (*http.Response, error) {
		return linkedPage(fmt.Sprintf("after=%d", n))
	})
	_, err := walkAll(t, client)
	require.ErrorContains(t, err, "ittybit: the list repeats itself: page after page has no items")
	assert.Equal(t, 1000, rec.Count())
}

func TestAll_emptyPagesBeforeAFullOneAreLeftByAFilter(t *testing.T) {
	const pages = 999*3 + 3
	client, _ := apitest.Fake(t, func(n int, _ *http.Request) (*http.Response, error) {
		switch {
		case n == pages:
			return linkedPage("", "task_last")
		case n%1000 == 0:
			return linkedPage(fmt.Sprintf("page=%d", n+1), fmt.Sprintf("task_%d", n))
		}
		return linkedPage(fmt.Sprintf("page=%d", n+1))
	})
	tasks, err := walkAll(t, client)
	require.NoError(t, err)
	assert.Equal(t, 3, tasks)
}

// A walk keeps nothing of the pages behind it.
func TestAll_takesNoMoreMemoryTheLongerItIs(t *testing.T) {
	tasks := 100_000
	if apitest.RaceEnabled() {
		tasks = 10_000 // ten times slower
	}
	for _, limit := range []int{1, 10, 100} {
		t.Run(strconv.Itoa(limit), func(t *testing.T) {
			var b strings.Builder
			transport := apitest.RoundTripper(func(req *http.Request) (*http.Response, error) { // notes no requests
				page, _ := strconv.Atoi(req.URL.Query().Get("page"))
				page = max(page, 1)
				b.Reset()
				for i := range limit {
					if i > 0 {
						b.WriteByte(',')
					}
					fmt.Fprintf(&b, `{"id":"task_%08d","kind":"nsfw","status":"completed","created":"2025-01-10T12:34:56Z"}`, (page-1)*limit+i)
				}
				var links []string
				if page*limit < tasks {
					links = []string{"Links", fmt.Sprintf(`<https://api.ittybit.com/tasks?page=%d>; rel="next"`, page+1)}
				}
				return apitest.Response(200, "["+b.String()+"]", links...)
			})
			client, err := ittybit.NewClient(apitest.Key, ittybit.WithHTTPClient(&http.Client{Transport: transport}))
			require.NoError(t, err)
			heap := func() int64 {
				runtime.GC()
				runtime.GC() // what a pool holds goes with the second
				var stats runtime.MemStats
				runtime.ReadMemStats(&stats)
				return int64(stats.HeapAlloc)
			}
			var early, late int64
			seen := 0
			for task, err := range client.Tasks.All(t.Context(), ittybit.TaskListParams{Limit: limit}) {
				require.NoError(t, err)
				if seen++; seen == tasks/10 {
					early = heap()
				}
				if seen == tasks {
					late = heap()
					assert.Equal(t, fmt.Sprintf("task_%08d", tasks-1), task.ID)
				}
			}
			assert.Equal(t, tasks, seen)
			t.Logf("%d tasks, %d a page: the heap has %d bytes after a tenth, and %d more at the end", tasks, limit, early, late-early)
			assert.Less(t, late-early, int64(64<<10))
		})
	}
}
