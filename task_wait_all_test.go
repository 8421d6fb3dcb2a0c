package ittybit_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/internal/apitest"
)

// apiTasks is a client of tasks that end after so many polls as their id says: task_3 at
// the third. polls gives the times of all polls.
func apiTasks(t *testing.T, status string) (client *ittybit.Client, polls func() []time.Time) {
	t.Helper()
	var mu sync.Mutex
	var times []time.Time
	seen := map[string]int{}
	client, _ = apiFake(t, func(_ int, req *http.Request) (*http.Response, error) {
		mu.Lock()
		defer mu.Unlock()
		times = append(times, time.Now())
		id := strings.TrimPrefix(req.URL.Path, "/tasks/")
		var ends int
		if _, err := fmt.Sscanf(id, "task_%d", &ends); err != nil {
			return apiResponse(404, `{"message":"no such task"}`)
		}
		seen[id]++
		if seen[id] < ends {
			return apiResponse(200, fmt.Sprintf(`{"id":%q,"status":"processing"}`, id))
		}
		return apiResponse(200, fmt.Sprintf(`{"id":%q,"status":%q,"error":"broken"}`, id, status))
	})
	return client, func() []time.Time {
		mu.Lock()
		defer mu.Unlock()
		return times
	}
}

func TestWaitAll_hasNoMoreThanEightPollsInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most = 8
		response := make(chan struct{})
		client, seen := apiFake(t, func(_ int, req *http.Request) (*http.Response, error) {
			<-response
			return apiResponse(200, fmt.Sprintf(`{"id":%q,"status":"completed"}`, strings.TrimPrefix(req.URL.Path, "/tasks/")))
		})
		ended := map[string]int{}
		var waiting sync.WaitGroup
		waiting.Go(func() {
			for task, err := range client.Tasks.WaitAll(t.Context(), apitest.TaskIDs(20), ittybit.WithPollRate(1e6)) {
				assert.NoError(t, err)
				ended[task.ID]++
			}
		})
		for polled := most; polled <= 20; polled++ {
			time.Sleep(time.Second) // far longer than the rate asks for
			synctest.Wait()
			require.Equal(t, polled, seen.count(), "another one begins as one ends")
			response <- struct{}{}
		}
		close(response)
		waiting.Wait()
		assert.Len(t, ended, 20)
		assert.Equal(t, 20, seen.count())
	})
}

func TestWaitAll_pollsAgainAfterGrowingIntervals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const ends = 14
		client, polls := apiTasks(t, "completed")
		for _, err := range client.Tasks.WaitAll(t.Context(), []string{fmt.Sprintf("task_%d", ends)}, ittybit.WithPollInterval(2*time.Second)) {
			require.NoError(t, err)
		}
		times := polls()
		require.Len(t, times, ends)
		interval := 2 * time.Second
		for i := 1; i < len(times); i++ {
			waited := times[i].Sub(times[i-1])
			assert.GreaterOrEqual(t, waited, interval*4/5, "poll %d", i)
			assert.LessOrEqual(t, waited, interval*6/5, "poll %d", i)
			interval = min(interval*3/2, 30*time.Second)
		}
		assert.Equal(t, 30*time.Second, interval)
	})
}

func TestWaitAll_pollsTheTaskThatHasWaitedLongest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var order []string
		client, _ := apiFake(t, func(n int, req *http.Request) (*http.Response, error) {
			id := strings.TrimPrefix(req.URL.Path, "/tasks/")
			order = append(order, id)
			return apiResponse(200, fmt.Sprintf(`{"id":%q,"status":%q}`, id, []string{"processing", "completed"}[n/10]))
		})
		ended := 0
		for _, err := range client.Tasks.WaitAll(t.Context(), apitest.TaskIDs(3), ittybit.WithPollRate(1), ittybit.WithPollInterval(time.Millisecond)) {
			require.NoError(t, err)
			ended++
		}
		assert.Equal(t, 3, ended)
		require.Len(t, order, 12)
		for i := 0; i < len(order); i += 3 {
			assert.ElementsMatch(t, apitest.TaskIDs(3), order[i:i+3], "each of them once in three polls")
		}
	})
}

func TestWaitAll_theSlowestRateIsNoOverflow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, polls := apiTasks(t, "completed")
		ctx, cancel := context.WithTimeout(t.Context(), 1000*time.Hour)
		defer cancel()
		var ids []string
		var last error
		for task, err := range client.Tasks.WaitAll(ctx, []string{"task_1", "task_1_b"}, ittybit.WithPollRate(1e-300)) {
			if last = err; err == nil {
				ids = append(ids, task.ID)
			}
		}
		require.ErrorIs(t, last, context.DeadlineExceeded)
		assert.Len(t, ids, 1)
		assert.Len(t, polls(), 1)

		_, err := client.Tasks.CreateAndWait(t.Context(), ittybit.TaskCreateParams{}, ittybit.WithPollRate(math.Inf(1)))
		clientParamError(t, err, "poll rate")
	})
}

func TestWaitAll_pollsNothingMoreWhenItsContextHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, polls := apiTasks(t, "completed")
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var ended []string
		var unfinished *ittybit.UnfinishedError
		for task, err := range client.Tasks.WaitAll(ctx, []string{"task_1", "task_2_a", "task_2_b"}, ittybit.WithPollRate(100)) {
			if err == nil {
				ended = append(ended, task.ID)
				cancel()
				time.Sleep(time.Hour) // all of them are due
				continue
			}
			require.Nil(t, unfinished, "one error, and last")
			require.ErrorAs(t, err, &unfinished)
			assert.Nil(t, task)
		}
		assert.Equal(t, []string{"task_1"}, ended)
		require.NotNil(t, unfinished)
		require.ErrorIs(t, unfinished, context.Canceled)
		assert.Equal(t, []string{"task_2_a", "task_2_b"}, unfinished.IDs)
		assert.Len(t, polls(), 1)
	})
}

// A poll that fails because the context has ended is not reported for itself.
func TestWaitAll_reportsOnceThatItsContextHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, _ := apiFake(t, func(_ int, req *http.Request) (*http.Response, error) {
			if req.URL.Path == "/tasks/task_0" {
				time.Sleep(time.Second) // until the others are on their way
				return apiResponse(200, `{"id":"task_0","status":"completed"}`)
			}
			<-req.Context().Done()
			return nil, req.Context().Err()
		})
		for range 50 { // which of them is seen first is left to chance
			ctx, cancel := context.WithCancel(t.Context())
			count := 0
			for task, err := range client.Tasks.WaitAll(ctx, apitest.TaskIDs(5)) {
				if count++; count == 1 {
					require.NoError(t, err)
					cancel()
					synctest.Wait() // all polls have come back
					continue
				}
				var unfinished *ittybit.UnfinishedError
				require.ErrorAs(t, err, &unfinished)
				assert.Nil(t, task)
				assert.Equal(t, apitest.TaskIDs(5)[1:], unfinished.IDs)
			}
			assert.Equal(t, 2, count)
			cancel()
		}
	})
}

func TestWaitAll_givesTheLastStateOfATaskThatCanNotBeFetchedAnyMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, _ := apiFake(t, func(n int, _ *http.Request) (*http.Response, error) {
			if n == 1 {
				return apiResponse(200, `{"id":"task_1","status":"processing","progress":40}`)
			}
			return apiResponse(403, `{"message":"not yours"}`)
		})
		count := 0
		for task, err := range client.Tasks.WaitAll(t.Context(), []string{"task_1"}) {
			var unfinished *ittybit.UnfinishedError
			require.ErrorAs(t, err, &unfinished)
			require.ErrorIs(t, err, ittybit.ErrForbidden)
			assert.Equal(t, []string{"task_1"}, unfinished.IDs)
			require.NotNil(t, task)
			assert.Equal(t, ittybit.TaskStatusProcessing, task.Status)
			count++
		}
		assert.Equal(t, 1, count)
	})
}

func TestWaitAll_goesOnPastAFieldThatCanNotBeDecoded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, seen := apiFake(t, func(n int, _ *http.Request) (*http.Response, error) {
			return apiResponse(200, fmt.Sprintf(`{"id":"task_1","status":%q,"progress":"half"}`, []string{"processing", "completed"}[n-1]))
		})
		count, progress := 0, 0
		for task, err := range client.Tasks.WaitAll(t.Context(), []string{"task_1"}, ittybit.WithProgress(func(*ittybit.Task) { progress++ })) {
			require.NoError(t, err)
			require.ErrorContains(t, task.DecodeError(), `field "progress"`)
			assert.True(t, task.Succeeded())
			count++
		}
		assert.Equal(t, []int{1, 2, 2}, []int{count, progress, seen.count()})
	})
}

func TestWaitAll_yieldsEachTaskWhenItEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, polls := apiTasks(t, "completed")
		var order []string
		progress := 0
		ids := []string{"task_9", "task_1", "task_4", "task_1"}
		for task, err := range client.Tasks.WaitAll(t.Context(), ids, ittybit.WithProgress(func(*ittybit.Task) { progress++ })) {
			require.NoError(t, err)
			order = append(order, task.ID)
		}
		assert.Equal(t, []string{"task_1", "task_4", "task_9"}, order, "each once")
		assert.Len(t, polls(), 9+1+4)
		assert.Equal(t, 9+1+4, progress)
	})
}

func TestWaitAll_staysWithinItsRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, polls := apiTasks(t, "completed")
		ids := make([]string, 500)
		for i := range ids {
			ids[i] = fmt.Sprintf("task_%d_%d", i%4+1, i)
		}
		start, ended := time.Now(), 0
		for task, err := range client.Tasks.WaitAll(t.Context(), ids, ittybit.WithPollRate(50)) {
			require.NoError(t, err)
			assert.True(t, task.Succeeded())
			ended++
		}
		assert.Equal(t, 500, ended)
		times := polls()
		require.Len(t, times, 500*(1+2+3+4)/4)
		for i := 1; i < len(times); i++ {
			assert.GreaterOrEqual(t, times[i].Sub(times[i-1]), 20*time.Millisecond, "poll %d", i)
		}
		assert.Less(t, time.Since(start), 40*time.Second, "1250 polls at 50 a second take 25 s")
	})
}

func TestWaitAll_goesOnAfterATaskThatFailsOrCantBeFetched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, _ := apiTasks(t, "failed")
		var failed, lost []string
		for task, err := range client.Tasks.WaitAll(t.Context(), []string{"gone", "task_2", "task_3"}) {
			require.Error(t, err)
			var unfinished *ittybit.UnfinishedError
			switch {
			case errors.As(err, new(*ittybit.TaskFailedError)):
				failed = append(failed, task.ID)
			case errors.As(err, &unfinished):
				require.ErrorIs(t, err, ittybit.ErrNotFound)
				assert.Nil(t, task)
				lost = append(lost, unfinished.IDs...)
			}
		}
		assert.Equal(t, []string{"task_2", "task_3"}, failed)
		assert.Equal(t, []string{"gone"}, lost)
	})
}

func TestWaitAll_namesWhatIsLeftWhenItsContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, _ := apiTasks(t, "completed")
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var last error
		count := 0
		for _, err := range client.Tasks.WaitAll(ctx, []string{"task_900", "task_1", "task_800"}) {
			count++
			last = err
		}
		var unfinished *ittybit.UnfinishedError
		require.ErrorAs(t, last, &unfinished)
		require.ErrorIs(t, last, context.DeadlineExceeded)
		assert.Equal(t, []string{"task_800", "task_900"}, unfinished.IDs)
		assert.Equal(t, 2, count)
	})
}

func TestWaitAll_endsWithTheLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // a goroutine that is left would hang here
		client, polls := apiTasks(t, "completed")
		for task, err := range client.Tasks.WaitAll(t.Context(), []string{"task_1", "task_50", "task_60"}) {
			require.NoError(t, err)
			assert.Equal(t, "task_1", task.ID)
			break
		}
		assert.LessOrEqual(t, len(polls()), 3)
	})
}

func TestWaitAll_refusesInvalidParameters(t *testing.T) {
	client, polls := apiTasks(t, "completed")
	for param, next := range map[string]func(func(*ittybit.Task, error) bool){
		"ids":            client.Tasks.WaitAll(t.Context(), []string{"task_1", ""}),
		"poll rate":      client.Tasks.WaitAll(t.Context(), []string{"task_1"}, ittybit.WithPollRate(0)),
		"poll interval":  client.Tasks.WaitAll(t.Context(), []string{"task_1"}, ittybit.WithPollInterval(0)),
		"opts":           client.Tasks.WaitAll(t.Context(), []string{"task_1"}, nil),
		"response info":  client.Tasks.WaitAll(t.Context(), []string{"task_1"}, ittybit.WithResponseInfo(new(ittybit.ResponseInfo))),
		"request header": client.Tasks.WaitAll(t.Context(), []string{"task_1"}, ittybit.WithRequestHeader("", "x")),
		"ctx":            client.Tasks.WaitAll(nil, []string{"task_1"}), //nolint:staticcheck // that is what is tested
	} {
		count := 0
		for task, err := range next {
			assert.Nil(t, task)
			clientParamError(t, err, param)
			count++
		}
		assert.Equal(t, 1, count, param)
	}
	for task, err := range client.Tasks.WaitAll(t.Context(), nil) {
		t.Error("there is nothing to wait for", task, err)
	}
	assert.Empty(t, polls())
}

func TestUnfinishedError_namesOneTaskAndCountsMany(t *testing.T) {
	err := &ittybit.UnfinishedError{IDs: []string{"task_1\nX"}, Err: ittybit.ErrNotFound}
	require.EqualError(t, err, "ittybit: task task_1 X was not seen to end: not found")
	require.ErrorIs(t, err, ittybit.ErrNotFound)
	require.EqualError(t, &ittybit.UnfinishedError{IDs: []string{"task_1", "task_2"}, Err: context.Canceled}, "ittybit: 2 tasks were not seen to end: context canceled")
}
