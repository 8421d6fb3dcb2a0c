package blackbox

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/internal/apitest"
)

// waitFailures are what an API that is away responds, or something in front of it.
var waitFailures = map[string]func() (*http.Response, error){
	"no connection": func() (*http.Response, error) { return nil, errCut },
	"503":           func() (*http.Response, error) { return apitest.Response(503, `{"message":"we are moving"}`) },
	"520":           func() (*http.Response, error) { return apitest.Response(520, "") },
	"408":           func() (*http.Response, error) { return apitest.Response(408, `{"message":"too slow"}`) },
	"425":           func() (*http.Response, error) { return apitest.Response(425, `{"message":"too early"}`) },
	"429": func() (*http.Response, error) {
		return apitest.Response(429, `{"message":"slow down"}`, "Retry-After", "45")
	},
	"a proxy's 404": func() (*http.Response, error) { return apitest.Response(404, "404 page not found") },
	"a proxy's 403": func() (*http.Response, error) { return apitest.Response(403, "<html><h1>Forbidden</h1></html>") },
	"a proxy's page": func() (*http.Response, error) {
		return apitest.Response(200, "<html>Sign in to the airport's network</html>")
	},
	"an empty 401": func() (*http.Response, error) { return apitest.Response(401, "") },
	"a cut body":   func() (*http.Response, error) { return apitest.Response(200, `{"id":"task_1","stat`) },
}

// waitAway is a client of tasks that take 40 minutes, whose API is away from the fifteenth minute
// on.
func waitAway(t *testing.T, away time.Duration, failure func() (*http.Response, error)) (*ittybit.Client, *apitest.Recorder) {
	t.Helper()
	start := time.Now()
	return apitest.Fake(t, func(_ int, req *http.Request) (*http.Response, error) {
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
		return apitest.Response(200, fmt.Sprintf(`{"id":%q,"status":%q,"progress":%d}`, id, status, int(time.Since(start).Minutes())))
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
					away := 11 * time.Minute
					if name == "429" {
						away += time.Minute // its 45 s are waited for past the limit, too
					}
					client, seen := waitAway(t, away, failure)
					start := time.Now()
					task, err := wait(client)
					require.ErrorContains(t, err, "no request has succeeded for 10m")
					require.NotNil(t, task)
					assert.InDelta(t, 14, task.Progress, 1, "the last state")
					assert.GreaterOrEqual(t, time.Since(start), 25*time.Minute)
					assert.Less(t, time.Since(start), 15*time.Minute+away)
					assert.Less(t, seen.Count(), 180, "of four attempts a poll, as a rule")
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
		client, seen := apitest.Fake(t, func(n int, _ *http.Request) (*http.Response, error) {
			switch {
			case n == 1:
				return apitest.Response(200, `{"id":"task_1","status":"pending"}`)
			case n < 20:
				return nil, errCut
			}
			return apitest.Response(200, `{"id":"task_1","status":"completed"}`)
		})
		_, err := client.Tasks.Wait(t.Context(), "task_1", ittybit.WithPollInterval(time.Hour))
		require.NoError(t, err, "an interval of an hour is no outage, and failures are polled again sooner")
		assert.Equal(t, 20, seen.Count())
	})
}

func TestWait_waitsAsRetryAfterAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, seen := apitest.Fake(t, func(n int, _ *http.Request) (*http.Response, error) {
			if n == 1 { // more than MaxWait of the policy
				return apitest.Response(503, `{"message":"we are moving"}`, "Retry-After", "400")
			}
			return apitest.Response(200, `{"id":"task_1","status":"completed"}`)
		})
		start := time.Now()
		_, err := client.Tasks.Wait(t.Context(), "task_1")
		require.NoError(t, err)
		assert.Equal(t, 2, seen.Count())
		assert.Equal(t, 400*time.Second, time.Since(start))

		client, seen = apitest.Fake(t, apitest.Always(503, `{"message":"we are moving"}`, "Retry-After", "601"))
		start = time.Now()
		_, err = client.Tasks.Wait(t.Context(), "task_1")
		require.ErrorIs(t, err, ittybit.ErrServer)
		assert.Equal(t, 1, seen.Count())
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
		"400":                 func() (*http.Response, error) { return apitest.Response(400, `{"message":"no id of a task"}`) },
		"401": func() (*http.Response, error) {
			return apitest.Response(401, `{"kind":"token_invalid","message":"rolled"}`)
		},
		"403": func() (*http.Response, error) { return apitest.Response(403, `{"message":"not yours"}`) },
		"404 of the G2 version": func() (*http.Response, error) {
			return apitest.Response(404, `{"meta":{},"data":null,"error":{"message":"no such task"}}`)
		},
		"410": func() (*http.Response, error) { return apitest.Response(410, `{"message":"long gone"}`) },
	} {
		synctest.Test(t, func(t *testing.T) {
			client, seen := apitest.Fake(t, func(n int, _ *http.Request) (*http.Response, error) {
				if n == 1 {
					return apitest.Response(200, `{"id":"task_1","status":"pending"}`)
				}
				return failure()
			})
			task, err := client.Tasks.Wait(t.Context(), "task_1")
			require.Error(t, err, name)
			require.NotNil(t, task, name)
			assert.Equal(t, 2, seen.Count(), name)
			assert.NotContains(t, err.Error(), "WithMaxOutage", name)
		})
	}
}

func TestWait_maxOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, seen := apitest.Fake(t, apitest.Always(503, ""))
		_, err := client.Tasks.Wait(t.Context(), "task_1", ittybit.WithMaxOutage(0))
		require.ErrorIs(t, err, ittybit.ErrServer)
		assert.Equal(t, ittybit.DefaultMaxAttempts, seen.Count(), "one poll")
		_, err = client.Tasks.Wait(t.Context(), "task_1", ittybit.WithMaxOutage(-1))
		apitest.RequireParamError(t, err, "max outage")
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
		client, _ := apitest.Fake(t, func(_ int, req *http.Request) (*http.Response, error) {
			switch {
			case req.Method == http.MethodPost:
				return apitest.Response(201, `{"id":"task_7","status":"pending"}`)
			case time.Since(start) < visible:
				return apitest.Response(404, `{"message":"The requested task was not found."}`)
			}
			return apitest.Response(200, `{"id":"task_7","status":"completed"}`)
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

func TestWaitAll_outlivesAnOutage(t *testing.T) {
	const tasks = 200
	for _, name := range []string{"no connection", "503", "429", "a proxy's 404"} {
		t.Run(name, func(t *testing.T) {
			failure := waitFailures[name]
			synctest.Test(t, func(t *testing.T) {
				client, _ := waitAway(t, 9*time.Minute, failure)
				ended := 0
				for task, err := range client.Tasks.WaitAll(t.Context(), apitest.TaskIDs(tasks)) {
					require.NoError(t, err)
					assert.True(t, task.Succeeded())
					ended++
				}
				assert.Equal(t, tasks, ended)
			})
			synctest.Test(t, func(t *testing.T) {
				failures := 0
				client, _ := waitAway(t, 11*time.Minute, func() (*http.Response, error) {
					failures++
					return failure()
				})
				start := time.Now()
				var ids []string
				for task, err := range client.Tasks.WaitAll(t.Context(), apitest.TaskIDs(tasks)) {
					var unfinished *ittybit.UnfinishedError
					require.ErrorAs(t, err, &unfinished)
					require.ErrorContains(t, err, "no request has succeeded for 10m")
					ids = append(ids, unfinished.IDs...)
					require.NotNil(t, task)
					assert.Equal(t, task.ID, unfinished.IDs[0])
					assert.InDelta(t, 14, task.Progress, 1, "its last state")
				}
				assert.ElementsMatch(t, apitest.TaskIDs(tasks), ids)
				assert.GreaterOrEqual(t, time.Since(start), 25*time.Minute)
				assert.Less(t, time.Since(start), 26*time.Minute)
				assert.Less(t, failures, 10*60, "an API that is away is not flooded: fewer than one request a second")
			})
		})
	}
}

func TestWaitAll_oneTaskThatFailsForEverHoldsNoOthersUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		client, _ := apitest.Fake(t, func(_ int, req *http.Request) (*http.Response, error) {
			id := strings.TrimPrefix(req.URL.Path, "/tasks/")
			switch {
			case id == "task_3":
				return apitest.Response(500, `{"message":"corrupted"}`)
			case time.Since(start) < 30*time.Minute:
				return apitest.Response(200, fmt.Sprintf(`{"id":%q,"status":"processing"}`, id))
			}
			return apitest.Response(200, fmt.Sprintf(`{"id":%q,"status":"completed"}`, id))
		})
		var ended, lost []string
		for task, err := range client.Tasks.WaitAll(t.Context(), apitest.TaskIDs(20)) {
			var unfinished *ittybit.UnfinishedError
			if errors.As(err, &unfinished) {
				require.ErrorIs(t, err, ittybit.ErrServer)
				lost = append(lost, unfinished.IDs...)
				continue
			}
			require.NoError(t, err)
			ended = append(ended, task.ID)
			assert.Less(t, time.Since(start), 31*time.Minute)
		}
		assert.Len(t, ended, 19)
		assert.Equal(t, []string{"task_3"}, lost)
		assert.Less(t, time.Since(start), 42*time.Minute, "ten minutes after the others")
	})
}

func TestWaitAll_pollsNothingBeforeRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		client, seen := apitest.Fake(t, func(n int, req *http.Request) (*http.Response, error) {
			if n == 1 {
				return apitest.Response(429, `{"message":"slow down"}`, "Retry-After", "120")
			}
			assert.GreaterOrEqual(t, time.Since(start), 120*time.Second)
			return apitest.Response(200, fmt.Sprintf(`{"id":%q,"status":"completed"}`, strings.TrimPrefix(req.URL.Path, "/tasks/")))
		})
		for _, err := range client.Tasks.WaitAll(t.Context(), apitest.TaskIDs(30), ittybit.WithPollRate(1e6)) {
			require.NoError(t, err)
		}
		assert.Equal(t, 31, seen.Count())
	})
}
