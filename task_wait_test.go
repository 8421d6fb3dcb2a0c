package ittybit_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
)

// apiStates is a client of a task that goes through states, one for each look; the
// last one stays. looks gives the times of the looks.
func apiStates(t *testing.T, states ...string) (client *ittybit.Client, looks *[]time.Time) {
	t.Helper()
	looks = new([]time.Time)
	client, _ = apiFake(t, func(n int, req *http.Request) (*http.Response, error) {
		assert.Equal(t, "/tasks/task_1", req.URL.Path)
		*looks = append(*looks, time.Now())
		return apiResponse(200, `{"id":"task_1",`+states[min(n, len(states))-1]+`}`)
	})
	return client, looks
}

func TestWait_pollsUntilTheTaskIsDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, looks := apiStates(t, `"status":"pending"`, `"status":"processing","progress":40`, `"status":"ready"`, `"status":"completed","results":{"is_nsfw":true}`)
		var seen []string
		task, err := client.Tasks.Wait(t.Context(), "task_1", ittybit.WithProgress(func(task *ittybit.Task) {
			seen = append(seen, fmt.Sprintf("%s %d", task.Status, task.Progress))
		}))
		require.NoError(t, err)
		assert.Equal(t, ittybit.TaskStatusCompleted, task.Status)
		assert.Equal(t, []string{"pending 0", "processing 40", "ready 0", "completed 0"}, seen, "the last look is told too")
		assert.Len(t, *looks, 4)
	})
}

func TestWait_intervalsGrowByHalfUpToThirtySecondsWithJitter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var differs bool
		for _, first := range []time.Duration{ittybit.DefaultPollInterval, 10 * time.Second, time.Minute} {
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			client, looks := apiStates(t, `"status":"processing"`)
			var opts []ittybit.WaitOption
			if first != ittybit.DefaultPollInterval {
				opts = append(opts, ittybit.WithPollInterval(first))
			}
			_, err := client.Tasks.Wait(ctx, "task_1", opts...)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			cancel()
			interval := first
			for i := 1; i < len(*looks); i++ {
				waited := (*looks)[i].Sub((*looks)[i-1])
				assert.GreaterOrEqual(t, waited, interval*4/5, "wait %d of %v", i, first)
				assert.LessOrEqual(t, waited, interval*6/5, "wait %d of %v", i, first)
				differs = differs || waited != interval
				if interval < 30*time.Second {
					interval = min(interval*3/2, 30*time.Second)
				}
			}
			assert.GreaterOrEqual(t, len(*looks), 45)
			assert.Equal(t, max(first, 30*time.Second), interval)
		}
		assert.True(t, differs, "jitter")
	})
}

func TestWait_tinyIntervalIsTakenAsItIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, looks := apiStates(t, `"status":"pending"`, `"status":"completed"`)
		_, err := client.Tasks.Wait(t.Context(), "task_1", ittybit.WithPollInterval(1))
		require.NoError(t, err)
		assert.Equal(t, time.Nanosecond, (*looks)[1].Sub((*looks)[0]))
	})
}

func TestWait_failedTaskComesBackWithItsError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, status := range []ittybit.TaskStatus{"failed", "error", "cancelled"} {
			client, looks := apiStates(t, `"status":"processing"`, fmt.Sprintf(`"status":%q,"error":"no video"`, status))
			task, err := client.Tasks.Wait(t.Context(), "task_1")
			var failed *ittybit.TaskFailedError
			require.ErrorAs(t, err, &failed)
			require.NotNil(t, task)
			assert.Same(t, task, failed.Task)
			assert.Equal(t, status, task.Status)
			require.EqualError(t, err, fmt.Sprintf("ittybit: task task_1 ended as %s: no video", status))
			assert.Len(t, *looks, 2)
		}
	})
}

func TestWait_readyNeedsAnOutputOrResults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, looks := apiStates(t, `"status":"ready"`, `"status":"ready","output":null`, `"status":"ready","output":{"id":"file_1"}`)
		task, err := client.Tasks.Wait(t.Context(), "task_1")
		require.NoError(t, err)
		assert.Equal(t, "file_1", task.Output.ID)
		assert.Len(t, *looks, 3)
	})
}

func TestWait_contextEndingGivesTheLastState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, _ := apiStates(t, `"status":"pending"`, `"status":"processing","progress":7`)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(2*time.Second, cancel)
		start := time.Now()
		task, err := client.Tasks.Wait(ctx, "task_1")
		require.ErrorIs(t, err, context.Canceled)
		require.NotNil(t, task)
		assert.Equal(t, 7, task.Progress)
		assert.Equal(t, 2*time.Second, time.Since(start), "at once")
	})
}

func TestWait_contextEndingInALookGivesTheLastState(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	client, _ := apiFake(t, func(n int, req *http.Request) (*http.Response, error) {
		if n == 1 {
			return apiResponse(200, apiTask)
		}
		cancel()
		return nil, req.Context().Err()
	})
	task, err := client.Tasks.Wait(ctx, "task_1", ittybit.WithPollInterval(time.Nanosecond))
	require.ErrorIs(t, err, context.Canceled)
	require.NotNil(t, task)
	assert.Equal(t, ittybit.TaskStatusPending, task.Status)
}

func TestWait_taskThatCannotBeFetchedEndsIt(t *testing.T) {
	client, seen := apiFake(t, func(n int, _ *http.Request) (*http.Response, error) {
		if n == 1 {
			return apiResponse(200, apiTask)
		}
		return apiResponse(404, "")
	})
	task, err := client.Tasks.Wait(t.Context(), "task_1", ittybit.WithPollInterval(time.Nanosecond))
	require.ErrorIs(t, err, ittybit.ErrNotFound)
	require.NotNil(t, task, "the last state is there all the same")
	assert.Equal(t, 2, seen.count())

	client, _ = apiFake(t, apiAlways(404, ""))
	task, err = client.Tasks.Wait(t.Context(), "task_1")
	require.ErrorIs(t, err, ittybit.ErrNotFound)
	assert.Nil(t, task)
}

func TestWait_refusesBadOptionsBeforeItLooks(t *testing.T) {
	client, seen := apiFake(t, apiAlways(200, apiTask))
	for param, opt := range map[string]ittybit.WaitOption{
		"opts": nil, "poll interval": ittybit.WithPollInterval(0), "progress function": ittybit.WithProgress(nil),
	} {
		_, err := client.Tasks.Wait(t.Context(), "task_1", opt)
		clientParamError(t, err, param)
	}
	_, err := client.Tasks.Wait(t.Context(), "task_1", ittybit.WithPollInterval(-time.Second))
	clientParamError(t, err, "poll interval")
	_, err = client.Tasks.Wait(clientNoContext, "task_1")
	clientParamError(t, err, "ctx")
	assert.Zero(t, seen.count())
}

func TestWait_goesOnPastAnOddMemberAndTellsOfItInTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, seen := apiFake(t, func(n int, _ *http.Request) (*http.Response, error) {
			if n == 1 {
				return apiResponse(200, `{"id":"task_1","status":"processing","progress":"half"}`)
			}
			return apiResponse(200, `{"id":"task_1","status":"completed","results":{"is_nsfw":true},"created_by":{"id":"key_1"},"created":"2025-01-10T12:34:56Z"}`)
		})
		task, err := client.Tasks.Wait(t.Context(), "task_1")
		require.NoError(t, err)
		require.ErrorContains(t, task.DecodeError(), `field "created_by"`)
		assert.Len(t, seen.all(), 2)
		assert.True(t, task.Succeeded())
		assert.NotNil(t, task.Results, "an odd member does not cost the others")
		assert.False(t, task.Created.IsZero())
	})
}
