package ittybit_test

import (
	"context"
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

func waitIDs(n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprintf("task_%d", i)
	}
	return ids
}

func TestWaitAll_hasNoMoreThanEightLooksOnTheirWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most = 8
		answer := make(chan struct{})
		client, seen := apiFake(t, func(_ int, req *http.Request) (*http.Response, error) {
			<-answer
			return apiResponse(200, fmt.Sprintf(`{"id":%q,"status":"completed"}`, strings.TrimPrefix(req.URL.Path, "/tasks/")))
		})
		ended := map[string]int{}
		var waiting sync.WaitGroup
		waiting.Go(func() {
			for task, err := range client.Tasks.WaitAll(t.Context(), waitIDs(20), ittybit.WithPollRate(1e6)) {
				assert.NoError(t, err)
				ended[task.ID]++
			}
		})
		for looked := most; looked <= 20; looked++ {
			time.Sleep(time.Second) // far longer than the rate asks for
			synctest.Wait()
			require.Equal(t, looked, seen.count(), "another one begins as one ends")
			answer <- struct{}{}
		}
		close(answer)
		waiting.Wait()
		assert.Len(t, ended, 20)
		assert.Equal(t, 20, seen.count())
	})
}

func TestWaitAll_looksAgainAfterGrowingIntervals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const ends = 14
		client, looks := apiTasks(t, "completed")
		for _, err := range client.Tasks.WaitAll(t.Context(), []string{fmt.Sprintf("task_%d", ends)}, ittybit.WithPollInterval(2*time.Second)) {
			require.NoError(t, err)
		}
		times := looks()
		require.Len(t, times, ends)
		interval := 2 * time.Second
		for i := 1; i < len(times); i++ {
			waited := times[i].Sub(times[i-1])
			assert.GreaterOrEqual(t, waited, interval*4/5, "look %d", i)
			assert.LessOrEqual(t, waited, interval*6/5, "look %d", i)
			interval = min(interval*3/2, 30*time.Second)
		}
		assert.Equal(t, 30*time.Second, interval)
	})
}

func TestWaitAll_looksAtTheTaskThatHasRestedLongest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var order []string
		client, _ := apiFake(t, func(n int, req *http.Request) (*http.Response, error) {
			id := strings.TrimPrefix(req.URL.Path, "/tasks/")
			order = append(order, id)
			return apiResponse(200, fmt.Sprintf(`{"id":%q,"status":%q}`, id, []string{"processing", "completed"}[n/10]))
		})
		ended := 0
		for _, err := range client.Tasks.WaitAll(t.Context(), waitIDs(3), ittybit.WithPollRate(1), ittybit.WithPollInterval(time.Millisecond)) {
			require.NoError(t, err)
			ended++
		}
		assert.Equal(t, 3, ended)
		require.Len(t, order, 12)
		for i := 0; i < len(order); i += 3 {
			assert.ElementsMatch(t, waitIDs(3), order[i:i+3], "each of them once in three looks")
		}
	})
}

func TestWaitAll_theSlowestRateIsNoOverflow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, looks := apiTasks(t, "completed")
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
		assert.Len(t, looks(), 1)

		_, err := client.Tasks.CreateAndWait(t.Context(), ittybit.TaskCreateParams{}, ittybit.WithPollRate(math.Inf(1)))
		clientParamError(t, err, "poll rate")
	})
}

func TestWaitAll_looksAtNothingMoreWhenItsContextHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, looks := apiTasks(t, "completed")
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
		assert.Len(t, looks(), 1)
	})
}

// A look that fails because the context has ended is not told of for itself.
func TestWaitAll_tellsOnceThatItsContextHasEnded(t *testing.T) {
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
			for task, err := range client.Tasks.WaitAll(ctx, waitIDs(5)) {
				if count++; count == 1 {
					require.NoError(t, err)
					cancel()
					synctest.Wait() // all looks have come back
					continue
				}
				var unfinished *ittybit.UnfinishedError
				require.ErrorAs(t, err, &unfinished)
				assert.Nil(t, task)
				assert.Equal(t, waitIDs(5)[1:], unfinished.IDs)
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

func TestWaitAll_goesOnPastAnOddMemberAndTellsOfItInTheEnd(t *testing.T) {
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

func TestCreateAndWait_waitsForNothingWhereTheTaskHasEndedAtOnce(t *testing.T) {
	for status, failed := range map[string]bool{"completed": false, "failed": true} {
		client, seen := apiFake(t, apiAlways(201, fmt.Sprintf(`{"id":"task_1","status":%q}`, status)))
		task, err := client.Tasks.CreateAndWait(t.Context(), ittybit.TaskCreateParams{Kind: ittybit.TaskKindNSFW, FileID: "file_1"})
		require.Equal(t, failed, err != nil, status)
		if failed {
			require.ErrorAs(t, err, new(*ittybit.TaskFailedError))
		}
		require.NotNil(t, task)
		assert.Equal(t, 1, seen.count(), "it is not looked at again")
	}
}

func TestCreateAndWait_waitsAlsoForATaskThatWasCreatedWithAnOddMember(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, seen := apiFake(t, func(n int, _ *http.Request) (*http.Response, error) {
			if n == 1 {
				return apiResponse(201, `{"id":"task_1","status":"pending","progress":"none"}`)
			}
			return apiResponse(200, `{"id":"task_1","status":"completed"}`)
		})
		task, err := client.Tasks.CreateAndWait(t.Context(), ittybit.TaskCreateParams{Kind: ittybit.TaskKindNSFW, FileID: "file_1"})
		require.NoError(t, err)
		assert.True(t, task.Succeeded())
		assert.Equal(t, 2, seen.count())
	})
}

func TestCreateAndWait_givesTheLastStateWhenItsContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, seen := apiFake(t, func(n int, _ *http.Request) (*http.Response, error) {
			return apiResponse(201, fmt.Sprintf(`{"id":"task_1","status":"processing","progress":%d}`, 10*n))
		})
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second) // the second look is after 1 s, the third after 2.5 s
		defer cancel()
		task, err := client.Tasks.CreateAndWait(ctx, ittybit.TaskCreateParams{Kind: ittybit.TaskKindNSFW, FileID: "file_1"})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.NotNil(t, task)
		assert.Equal(t, 2, seen.count())
		assert.Equal(t, 20, task.Progress)
	})
}
