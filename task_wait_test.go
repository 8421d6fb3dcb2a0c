package ittybit_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math"
	"net/http"
	"strings"
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
		assert.Equal(t, []string{"pending 0", "processing 40", "ready 0", "completed 0"}, seen, "the last poll is told too")
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
		assert.NotNil(t, task.Results, "an odd member does not cost the others")
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

// waitFailures are what an API that is away answers, or something in front of it.
var waitFailures = map[string]func() (*http.Response, error){
	"no connection": func() (*http.Response, error) { return nil, errAPICut },
	"503":           func() (*http.Response, error) { return apiResponse(503, `{"message":"we are moving"}`) },
	"520":           func() (*http.Response, error) { return apiResponse(520, "") },
	"408":           func() (*http.Response, error) { return apiResponse(408, `{"message":"too slow"}`) },
	"425":           func() (*http.Response, error) { return apiResponse(425, `{"message":"too early"}`) },
	"429": func() (*http.Response, error) {
		return apiResponse(429, `{"message":"slow down"}`, "Retry-After", "45")
	},
	"a proxy's 404": func() (*http.Response, error) { return apiResponse(404, "404 page not found") },
	"a proxy's 403": func() (*http.Response, error) { return apiResponse(403, "<html><h1>Forbidden</h1></html>") },
	"a proxy's page": func() (*http.Response, error) {
		return apiResponse(200, "<html>Sign in to the airport's network</html>")
	},
	"an empty 401": func() (*http.Response, error) { return apiResponse(401, "") },
	"a cut body":   func() (*http.Response, error) { return apiResponse(200, `{"id":"task_1","stat`) },
}

// waitAway is a client of tasks that take 40 minutes, whose API is away from the fifteenth minute on.
func waitAway(t *testing.T, away time.Duration, failure func() (*http.Response, error)) (*ittybit.Client, apiRecorder) {
	t.Helper()
	start := time.Now()
	return apiFake(t, func(_ int, req *http.Request) (*http.Response, error) {
		id, status := strings.TrimPrefix(req.URL.Path, "/tasks/"), "processing"
		switch minute := time.Since(start); {
		case minute >= 15*time.Minute && minute < 15*time.Minute+away:
			return failure()
		case minute >= 40*time.Minute:
			status = "completed"
		}
		if req.Method == http.MethodPost {
			id = "task_1"
		}
		return apiResponse(200, fmt.Sprintf(`{"id":%q,"status":%q,"progress":%d}`, id, status, int(time.Since(start).Minutes())))
	})
}

func TestWait_outlivesAnOutage(t *testing.T) {
	for name, failure := range waitFailures {
		for method, wait := range map[string]func(*ittybit.Client, ...ittybit.WaitOption) (*ittybit.Task, error){
			"Wait": func(c *ittybit.Client, opts ...ittybit.WaitOption) (*ittybit.Task, error) {
				return c.Tasks.Wait(context.Background(), "task_1", opts...)
			},
			"CreateAndWait": func(c *ittybit.Client, opts ...ittybit.WaitOption) (*ittybit.Task, error) {
				return c.Tasks.CreateAndWait(context.Background(), ittybit.TaskCreateParams{Kind: ittybit.TaskKindVideo, FileID: "file_1"}, opts...)
			},
		} {
			t.Run(method+", "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					client, _ := waitAway(t, 9*time.Minute, failure)
					task, err := wait(client)
					require.NoError(t, err)
					assert.True(t, task.Succeeded())
				})
				synctest.Test(t, func(t *testing.T) {
					client, seen := waitAway(t, 11*time.Minute, failure)
					start := time.Now()
					task, err := wait(client)
					require.ErrorContains(t, err, "nothing has succeeded for 10m")
					require.NotNil(t, task)
					assert.InDelta(t, 14, task.Progress, 1, "the last state")
					assert.GreaterOrEqual(t, time.Since(start), 25*time.Minute)
					assert.Less(t, time.Since(start), 26*time.Minute)
					assert.Less(t, seen.count(), 180, "of four attempts a poll, as a rule")
				})
				synctest.Test(t, func(t *testing.T) {
					client, _ := waitAway(t, 11*time.Minute, failure)
					task, err := wait(client, ittybit.WithMaxOutage(12*time.Minute))
					require.NoError(t, err)
					assert.True(t, task.Succeeded())
				})
			})
		}
	}
}

func TestWait_countsAnOutageFromItsFirstFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, seen := apiFake(t, func(n int, _ *http.Request) (*http.Response, error) {
			switch {
			case n == 1:
				return apiResponse(200, `{"id":"task_1","status":"pending"}`)
			case n < 20:
				return nil, errAPICut
			}
			return apiResponse(200, `{"id":"task_1","status":"completed"}`)
		})
		_, err := client.Tasks.Wait(t.Context(), "task_1", ittybit.WithPollInterval(time.Hour))
		require.NoError(t, err, "an interval of an hour is no outage, and failures are polled again sooner")
		assert.Equal(t, 20, seen.count())
	})
}

func TestWait_waitsAsRetryAfterAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, seen := apiFake(t, func(n int, _ *http.Request) (*http.Response, error) {
			if n == 1 { // more than MaxWait of the policy
				return apiResponse(503, `{"message":"we are moving"}`, "Retry-After", "400")
			}
			return apiResponse(200, `{"id":"task_1","status":"completed"}`)
		})
		start := time.Now()
		_, err := client.Tasks.Wait(t.Context(), "task_1")
		require.NoError(t, err)
		assert.Equal(t, 2, seen.count())
		assert.Equal(t, 400*time.Second, time.Since(start))

		client, seen = apiFake(t, apiAlways(503, `{"message":"we are moving"}`, "Retry-After", "601"))
		start = time.Now()
		_, err = client.Tasks.Wait(t.Context(), "task_1")
		require.ErrorIs(t, err, ittybit.ErrServer)
		assert.Equal(t, 1, seen.count())
		assert.Zero(t, time.Since(start), "it would be too late")
	})
}

func TestWait_endsAtOnceWhereNoPollCanMendIt(t *testing.T) {
	for name, failure := range map[string]func() (*http.Response, error){
		"a certificate": func() (*http.Response, error) {
			return nil, &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}
		},
		"another host's": func() (*http.Response, error) {
			return nil, x509.HostnameError{Certificate: new(x509.Certificate), Host: "api.ittybit.com"}
		},
		"no TLS": func() (*http.Response, error) {
			return nil, tls.RecordHeaderError{Msg: "first record does not poll like a TLS handshake"}
		},
		"HTTP in place of it": func() (*http.Response, error) { return nil, http.ErrSchemeMismatch },
		"400":                 func() (*http.Response, error) { return apiResponse(400, `{"message":"no id of a task"}`) },
		"401":                 func() (*http.Response, error) { return apiResponse(401, `{"kind":"token_invalid","message":"rolled"}`) },
		"403":                 func() (*http.Response, error) { return apiResponse(403, `{"message":"not yours"}`) },
		"404 of the G2 version": func() (*http.Response, error) {
			return apiResponse(404, `{"meta":{},"data":null,"error":{"message":"no such task"}}`)
		},
		"410": func() (*http.Response, error) { return apiResponse(410, `{"message":"long gone"}`) },
	} {
		synctest.Test(t, func(t *testing.T) {
			client, seen := apiFake(t, func(n int, _ *http.Request) (*http.Response, error) {
				if n == 1 {
					return apiResponse(200, `{"id":"task_1","status":"pending"}`)
				}
				return failure()
			})
			task, err := client.Tasks.Wait(t.Context(), "task_1")
			require.Error(t, err, name)
			require.NotNil(t, task, name)
			assert.Equal(t, 2, seen.count(), name)
			assert.NotContains(t, err.Error(), "WithMaxOutage", name)
		})
	}
}

func TestWait_maxOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, seen := apiFake(t, apiAlways(503, ""))
		_, err := client.Tasks.Wait(t.Context(), "task_1", ittybit.WithMaxOutage(0))
		require.ErrorIs(t, err, ittybit.ErrServer)
		assert.Equal(t, ittybit.DefaultMaxAttempts, seen.count(), "one poll")
		_, err = client.Tasks.Wait(t.Context(), "task_1", ittybit.WithMaxOutage(-1))
		clientParamError(t, err, "max outage")
	})
}

func TestWait_namesTheFailureWhereItsContextEndsInAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, _ := waitAway(t, time.Hour, waitFailures["503"])
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
		defer cancel()
		task, err := client.Tasks.Wait(ctx, "task_1")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorIs(t, err, ittybit.ErrServer)
		require.NotNil(t, task)
		assert.Equal(t, 20*time.Minute, func() time.Duration { d, _ := ctx.Deadline(); return time.Until(d) + 20*time.Minute }())
	})
}

func TestCreateAndWait_outlivesTheLagAfterTheCreate(t *testing.T) {
	run := func(t *testing.T, visible time.Duration) (*ittybit.Task, time.Duration, error) {
		t.Helper()
		start := time.Now()
		client, _ := apiFake(t, func(_ int, req *http.Request) (*http.Response, error) {
			switch {
			case req.Method == http.MethodPost:
				return apiResponse(201, `{"id":"task_7","status":"pending"}`)
			case time.Since(start) < visible:
				return apiResponse(404, `{"message":"The requested task was not found."}`)
			}
			return apiResponse(200, `{"id":"task_7","status":"completed"}`)
		})
		task, err := client.Tasks.CreateAndWait(t.Context(), ittybit.TaskCreateParams{Kind: ittybit.TaskKindSpeech, FileID: "file_1"})
		return task, time.Since(start), err
	}
	synctest.Test(t, func(t *testing.T) {
		task, _, err := run(t, 8*time.Second)
		require.NoError(t, err)
		assert.True(t, task.Succeeded())
	})
	synctest.Test(t, func(t *testing.T) {
		task, took, err := run(t, time.Minute)
		require.ErrorIs(t, err, ittybit.ErrNotFound)
		assert.Equal(t, "task_7", task.ID, "its id is not lost")
		assert.GreaterOrEqual(t, took, 10*time.Second)
		assert.Less(t, took, 20*time.Second)
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
