package ittybit_test

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
)

// apiStates is a client of a task that goes through states, one for each poll; the
// last one stays. polls gives the times of the polls.
func apiStates(t *testing.T, states ...string) (client *ittybit.Client, polls *[]time.Time) {
	t.Helper()
	polls = new([]time.Time)
	client, _ = apiFake(t, func(n int, req *http.Request) (*http.Response, error) {
		assert.Equal(t, "/tasks/task_1", req.URL.Path)
		*polls = append(*polls, time.Now())
		return apiResponse(200, `{"id":"task_1",`+states[min(n, len(states))-1]+`}`)
	})
	return client, polls
}

func TestWait_pollsUntilTheTaskIsDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, polls := apiStates(t, `"status":"pending"`, `"status":"processing","progress":40`, `"status":"ready"`, `"status":"completed","results":{"is_nsfw":true}`)
		var seen []string
		task, err := client.Tasks.Wait(t.Context(), "task_1", ittybit.WithProgress(func(task *ittybit.Task) {
			seen = append(seen, fmt.Sprintf("%s %d", task.Status, task.Progress))
		}))
		require.NoError(t, err)
		assert.Equal(t, ittybit.TaskStatusCompleted, task.Status)
		assert.Equal(t, []string{"pending 0", "processing 40", "ready 0", "completed 0"}, seen, "the last poll is reported too")
		assert.Len(t, *polls, 4)
	})
}

func TestWait_intervalsGrowByHalfUpToThirtySecondsWithJitter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var differs bool
		for _, first := range []time.Duration{ittybit.DefaultPollInterval, 10 * time.Second, time.Minute} {
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			client, polls := apiStates(t, `"status":"processing"`)
			var opts []ittybit.WaitOption
			if first != ittybit.DefaultPollInterval {
				opts = append(opts, ittybit.WithPollInterval(first))
			}
			_, err := client.Tasks.Wait(ctx, "task_1", opts...)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			cancel()
			interval := first
			for i := 1; i < len(*polls); i++ {
				waited := (*polls)[i].Sub((*polls)[i-1])
				assert.GreaterOrEqual(t, waited, interval*4/5, "wait %d of %v", i, first)
				assert.LessOrEqual(t, waited, interval*6/5, "wait %d of %v", i, first)
				differs = differs || waited != interval
				if interval < 30*time.Second {
					interval = min(interval*3/2, 30*time.Second)
				}
			}
			assert.GreaterOrEqual(t, len(*polls), 45)
			assert.Equal(t, max(first, 30*time.Second), interval)
		}
		assert.True(t, differs, "jitter")
	})
}

func TestWait_tinyIntervalIsTakenAsItIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, polls := apiStates(t, `"status":"pending"`, `"status":"completed"`)
		_, err := client.Tasks.Wait(t.Context(), "task_1", ittybit.WithPollInterval(1))
		require.NoError(t, err)
		assert.Equal(t, time.Nanosecond, (*polls)[1].Sub((*polls)[0]))
	})
}

func TestWait_failedTaskComesBackWithItsError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, status := range []ittybit.TaskStatus{"failed", "error", "cancelled"} {
			client, polls := apiStates(t, `"status":"processing"`, fmt.Sprintf(`"status":%q,"error":"no video"`, status))
			task, err := client.Tasks.Wait(t.Context(), "task_1")
			var failed *ittybit.TaskFailedError
			require.ErrorAs(t, err, &failed)
			require.NotNil(t, task)
			assert.Same(t, task, failed.Task)
			assert.Equal(t, status, task.Status)
			require.EqualError(t, err, fmt.Sprintf("ittybit: task task_1 ended as %s: no video", status))
			assert.Len(t, *polls, 2)
		}
	})
}

func TestWait_readyNeedsAnOutputOrResults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, polls := apiStates(t, `"status":"ready"`, `"status":"ready","output":null`, `"status":"ready","output":{"id":"file_1"}`)
		task, err := client.Tasks.Wait(t.Context(), "task_1")
		require.NoError(t, err)
		assert.Equal(t, "file_1", task.Output.ID)
		assert.Len(t, *polls, 3)
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

func TestWait_contextEndingInAPollGivesTheLastState(t *testing.T) {
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
		return apiResponse(404, `{"message":"no such task"}`)
	})
	task, err := client.Tasks.Wait(t.Context(), "task_1", ittybit.WithPollInterval(time.Nanosecond))
	require.ErrorIs(t, err, ittybit.ErrNotFound)
	require.NotNil(t, task, "the last state is there all the same")
	assert.Equal(t, 2, seen.count())

	client, _ = apiFake(t, apiAlways(404, `{"message":"no such task"}`))
	task, err = client.Tasks.Wait(t.Context(), "task_1")
	require.ErrorIs(t, err, ittybit.ErrNotFound)
	assert.Nil(t, task)
}

func TestWait_refusesBadOptionsBeforeItPolls(t *testing.T) {
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

func TestWait_goesOnPastAFieldThatCanNotBeDecoded(t *testing.T) {
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
		assert.NotNil(t, task.Results, "a field that cannot be decoded does not cost the others")
		assert.False(t, task.Created.IsZero())
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
		assert.Equal(t, 1, seen.count(), "it is not polled at again")
	}
}

func TestCreateAndWait_waitsAlsoWhereAFieldCannotBeDecoded(t *testing.T) {
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
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second) // the second poll is after 1 s, the third after 2.5 s
		defer cancel()
		task, err := client.Tasks.CreateAndWait(ctx, ittybit.TaskCreateParams{Kind: ittybit.TaskKindNSFW, FileID: "file_1"})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.NotNil(t, task)
		assert.Equal(t, 2, seen.count())
		assert.Equal(t, 20, task.Progress)
	})
}

func TestCreateAndWait_refusesInvalidParametersBeforeItCreates(t *testing.T) {
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

func TestWait_endsWithAnErrorThatNamesAnUnknownEnd(t *testing.T) {
	for _, tt := range []struct {
		state string
		ends  bool
	}{
		{`"status":"expired","completed":"2025-01-10T12:35:22Z"`, true},
		{`"status":"timed_out","finished_at":1733011200,"error":"too late"`, true},
		{`"status":"timed_out","error":"too late"`, false},
		{`"status":"processing","completed":"2025-01-10T12:35:22Z"`, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			defer cancel()
			client, _ := apiStates(t, `"status":"processing"`, tt.state)
			task, err := client.Tasks.Wait(ctx, "task_1")
			require.NotNil(t, task)
			if !tt.ends {
				require.ErrorIs(t, err, context.DeadlineExceeded, tt.state)
				return
			}
			require.ErrorContains(t, err, fmt.Sprintf("%q", task.Status))
			require.NotErrorAs(t, err, new(*ittybit.TaskFailedError), "nobody knows whether it has")
			for _, err := range client.Tasks.WaitAll(ctx, []string{"task_1"}) {
				require.ErrorAs(t, err, new(*ittybit.UnfinishedError))
				require.ErrorContains(t, err, fmt.Sprintf("%q", task.Status))
			}
		})
	}
}
