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
)

// apiTasks is a client of tasks that end after so many looks as their id says: task_3 at
// the third. looks gives the times of all looks.
func apiTasks(t *testing.T, status string) (client *ittybit.Client, looks func() []time.Time) {
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

func TestWaitAll_yieldsEachTaskWhenItEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, looks := apiTasks(t, "completed")
		var order []string
		progress := 0
		ids := []string{"task_9", "task_1", "task_4", "task_1"}
		for task, err := range client.Tasks.WaitAll(t.Context(), ids, ittybit.WithProgress(func(*ittybit.Task) { progress++ })) {
			require.NoError(t, err)
			order = append(order, task.ID)
		}
		assert.Equal(t, []string{"task_1", "task_4", "task_9"}, order, "each once")
		assert.Len(t, looks(), 9+1+4)
		assert.Equal(t, 9+1+4, progress)
	})
}

func TestWaitAll_staysWithinItsRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, looks := apiTasks(t, "completed")
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
		times := looks()
		require.Len(t, times, 500*(1+2+3+4)/4)
		for i := 1; i < len(times); i++ {
			assert.GreaterOrEqual(t, times[i].Sub(times[i-1]), 20*time.Millisecond, "look %d", i)
		}
		assert.Less(t, time.Since(start), 40*time.Second, "1250 looks at 50 a second take 25 s")
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
		client, looks := apiTasks(t, "completed")
		for task, err := range client.Tasks.WaitAll(t.Context(), []string{"task_1", "task_50", "task_60"}) {
			require.NoError(t, err)
			assert.Equal(t, "task_1", task.ID)
			break
		}
		assert.LessOrEqual(t, len(looks()), 3)
	})
}

func TestWaitAll_refusesWhatCantBeMeant(t *testing.T) {
	client, looks := apiTasks(t, "completed")
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
	assert.Empty(t, looks())
}

func TestUnfinishedError_namesOneTaskAndCountsMany(t *testing.T) {
	err := &ittybit.UnfinishedError{IDs: []string{"task_1\nX"}, Err: ittybit.ErrNotFound}
	require.EqualError(t, err, "ittybit: task task_1 X was not seen to end: ittybit: not found")
	require.ErrorIs(t, err, ittybit.ErrNotFound)
	require.EqualError(t, &ittybit.UnfinishedError{IDs: []string{"task_1", "task_2"}, Err: context.Canceled}, "ittybit: 2 tasks were not seen to end: context canceled")
}

func TestCreateAndWait_refusesWhatCantBeMeantBeforeItCreates(t *testing.T) {
	client, seen := apiFake(t, apiAlways(201, apiTask))
	params := ittybit.TaskCreateParams{Kind: ittybit.TaskKindNSFW, FileID: "file_1"}
	for param, opt := range map[string]ittybit.WaitOption{
		"opts": nil, "poll interval": ittybit.WithPollInterval(0), "poll rate": ittybit.WithPollRate(-1), "progress function": ittybit.WithProgress(nil),
		"request header": ittybit.WithRequestHeader("", "x"), "idempotency key": ittybit.WithIdempotencyKey(""),
	} {
		task, err := client.Tasks.CreateAndWait(t.Context(), params, opt)
		clientParamError(t, err, param)
		assert.Nil(t, task)
	}
	for param, opt := range map[string]ittybit.WaitOption{"poll rate": ittybit.WithPollRate(math.NaN()), "poll interval": ittybit.WithPollInterval(-1)} {
		_, err := client.Tasks.CreateAndWait(t.Context(), params, opt)
		clientParamError(t, err, param)
	}
	_, err := client.Tasks.CreateAndWait(clientNoContext, params)
	clientParamError(t, err, "ctx")
	assert.Zero(t, seen.count())
}

func TestCreateAndWait_createsOnceAndWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, recorder := apiFake(t, func(n int, req *http.Request) (*http.Response, error) {
			assert.Equal(t, []string{http.MethodPost, http.MethodGet, http.MethodGet}[n-1], req.Method)
			status := []string{"pending", "processing", "completed"}[n-1]
			return apiResponse(201, fmt.Sprintf(`{"id":"task_1","status":%q}`, status))
		})
		var seen []ittybit.TaskStatus
		task, err := client.Tasks.CreateAndWait(t.Context(), ittybit.TaskCreateParams{Kind: ittybit.TaskKindNSFW, URL: "https://example.com/cat.jpg"},
			ittybit.WithIdempotencyKey("order-7"), ittybit.WithRequestHeader("X-Trace", "abc"),
			ittybit.WithProgress(func(task *ittybit.Task) { seen = append(seen, task.Status) }))
		require.NoError(t, err)
		assert.Equal(t, ittybit.TaskStatusCompleted, task.Status)
		assert.Equal(t, []ittybit.TaskStatus{"pending", "processing", "completed"}, seen)
		requests := recorder.all()
		require.Len(t, requests, 3)
		assert.Equal(t, []string{"order-7"}, apiKeySpelled(requests[0].Header, "idempotency-key"))
		for _, request := range requests {
			assert.Equal(t, "abc", request.Header.Get("X-Trace"))
		}
	})
}

func TestCreateAndWait_keepsTheTaskWhenWaitingFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, _ := apiFake(t, func(n int, _ *http.Request) (*http.Response, error) {
			if n == 1 {
				return apiResponse(201, `{"id":"task_1","status":"pending"}`)
			}
			return apiResponse(401, `{"message":"the key was rolled"}`)
		})
		params := ittybit.TaskCreateParams{Kind: ittybit.TaskKindNSFW, URL: "https://example.com/cat.jpg"}
		task, err := client.Tasks.CreateAndWait(t.Context(), params)
		require.ErrorIs(t, err, ittybit.ErrUnauthorized)
		require.NotNil(t, task)
		assert.Equal(t, "task_1", task.ID)

		_, err = client.Tasks.CreateAndWait(t.Context(), ittybit.TaskCreateParams{Kind: ittybit.TaskKindNSFW})
		clientParamError(t, err, "URL")
	})
}

func TestWaitAll_hasFewLooksOnTheirWayAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		answered := make(chan struct{})
		inFlight, most := 0, 0
		client, _ := apiFake(t, func(_ int, req *http.Request) (*http.Response, error) {
			mu.Lock()
			inFlight++
			most = max(most, inFlight)
			mu.Unlock()
			<-answered
			mu.Lock()
			inFlight--
			mu.Unlock()
			return apiResponse(200, fmt.Sprintf(`{"id":%q,"status":"completed"}`, strings.TrimPrefix(req.URL.Path, "/tasks/")))
		})
		ids := make([]string, 30)
		for i := range ids {
			ids[i] = fmt.Sprintf("task_%d", i)
		}
		ended := make(chan int, 1)
		go func() {
			count := 0
			for _, err := range client.Tasks.WaitAll(t.Context(), ids, ittybit.WithPollRate(1000)) {
				assert.NoError(t, err)
				count++
			}
			ended <- count
		}()
		time.Sleep(time.Minute) // no answer comes
		mu.Lock()
		assert.Equal(t, 8, inFlight, "a slow Ittybit is not drowned in requests")
		mu.Unlock()
		close(answered)
		assert.Equal(t, 30, <-ended)
		assert.Equal(t, 8, most)
	})
}

func TestWaitAll_looksOnceInAnAgeWhereTheRateSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, looks := apiTasks(t, "completed")
		ctx, cancel := context.WithTimeout(t.Context(), 1000*time.Hour)
		defer cancel()
		for task, err := range client.Tasks.WaitAll(ctx, []string{"task_8", "task_9"}, ittybit.WithPollRate(math.SmallestNonzeroFloat64)) {
			assert.Nil(t, task)
			assert.ErrorIs(t, err, context.DeadlineExceeded)
		}
		assert.Len(t, looks(), 1)
	})
}

func TestWaitAll_yieldsTheLastStateOfATaskThatIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, _ := apiFake(t, func(n int, _ *http.Request) (*http.Response, error) {
			if n < 3 {
				return apiResponse(200, fmt.Sprintf(`{"id":"task_1","status":"processing","progress":%d}`, n*10))
			}
			return apiResponse(404, `{"message":"no such task"}`)
		})
		count := 0
		for task, err := range client.Tasks.WaitAll(t.Context(), []string{"task_1"}) {
			count++
			require.ErrorIs(t, err, ittybit.ErrNotFound)
			require.NotNil(t, task)
			assert.InDelta(t, 20, task.Progress, 0)
		}
		assert.Equal(t, 1, count)
	})
}
