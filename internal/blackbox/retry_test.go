package blackbox

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/internal/apitest"
)

var (
	apiNSFW      = ittybit.TaskCreateParams{Kind: ittybit.TaskKindNSFW, URL: "https://example.com/a.jpg"}
	apiAmbiguous = ittybit.WithRetryPolicy(ittybit.RetryPolicy{MinWait: time.Nanosecond, MaxWait: time.Second, RetryAmbiguousPosts: true})
	apiKeepAlive = func(conn net.Conn) bool {
		writeRaw(conn, 200, apitest.Task, "Content-Type", "application/json")
		return true
	}
	apiTaskHeader = "HTTP/1.1 201 Created\r\nContent-Length: 500\r\n\r\n"
)

func TestCreate_doesNotRepeatAPostCutAfterSending(t *testing.T) {
	for name, response := range map[string]string{
		"no response":    "",
		"half a header":  "HTTP/1.1 201 Cre",
		"half a body":    apiTaskHeader + `{"id":"task_1"`,
		"no HTTP at all": "garbage\r\n\r\n",
	} {
		base, seen := rawServer(t, func(_ int, conn net.Conn) bool {
			_, _ = io.WriteString(conn, response)
			return false
		})
		_, err := apitest.Client(t, base).Tasks.Create(t.Context(), apiNSFW)
		require.ErrorIs(t, err, ittybit.ErrOutcomeUnknown, name)
		assert.Equal(t, 1, seen.Count(), name)
	}
}

// apiReused makes a GET and then a POST, on the same connection, that is cut after the
// POST was read. It gives the requests that the server saw, and the POST's error.
func apiReused(t *testing.T, transport http.RoundTripper, opts ...ittybit.RequestOption) ([]apitest.Request, error) {
	t.Helper()
	var first atomic.Value
	base, seen := rawServer(t, func(n int, conn net.Conn) bool {
		switch n {
		case 1:
			first.Store(conn.RemoteAddr().String())
			return apiKeepAlive(conn)
		case 2:
			assert.Equal(t, first.Load(), conn.RemoteAddr().String(), "the connection was not reused")
			return false
		default:
			return apiKeepAlive(conn)
		}
	})
	client := apitest.Client(t, base, ittybit.WithHTTPClient(&http.Client{Transport: transport}))
	_, err := client.Tasks.Get(t.Context(), "task_1")
	require.NoError(t, err)
	_, err = client.Tasks.Create(t.Context(), apiNSFW, opts...)
	return seen.All(), err
}

func TestCreate_doesNotRepeatAPostCutOnAReusedConnection(t *testing.T) {
	for name, opts := range map[string][]ittybit.RequestOption{
		"random key":         nil,
		"WithIdempotencyKey": {ittybit.WithIdempotencyKey("mine")},
		"Idempotency-Key":    {ittybit.WithRequestHeader("Idempotency-Key", "mine")},
		"X-Idempotency-Key":  {ittybit.WithRequestHeader("X-Idempotency-Key", "mine")},
	} {
		transport := &http.Transport{}
		requests, err := apiReused(t, transport, opts...)
		transport.CloseIdleConnections()
		require.ErrorIs(t, err, ittybit.ErrOutcomeUnknown, name)
		require.Len(t, requests, 2, name)
		assert.Len(t, requests[1].Header["Idempotency-Key"], 1, "%s: on the wire the key is there", name)
	}
}

// The control of the test above: with the canonical spelling net/http repeats the POST
// by itself, so that the spelling is what the test rests on.
func TestCreate_netHTTPWouldRepeatAPostWithTheCanonicalSpelling(t *testing.T) {
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	requests, err := apiReused(t, apitest.RoundTripper(func(req *http.Request) (*http.Response, error) {
		req = req.Clone(req.Context())
		if key := apitest.KeySpelled(req.Header, "idempotency-key"); key != nil {
			req.Header["Idempotency-Key"] = key
		}
		return transport.RoundTrip(req)
	}))
	require.NoError(t, err)
	require.Len(t, requests, 3)
	assert.Equal(t, requests[1].Body, requests[2].Body, "the server saw the POST twice")
}

func TestCreate_repeatsAPostThatWasRefusedAtConnect(t *testing.T) {
	server, seen := apitest.Server(t, apitest.Respond(201, apitest.Task))
	dials := 0
	transport := &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		if dials++; dials < 3 {
			return nil, errors.New("connection refused")
		}
		return new(net.Dialer).DialContext(ctx, network, address)
	}}
	defer transport.CloseIdleConnections()
	var info ittybit.ResponseInfo
	task, err := apitest.Client(t, server.URL, ittybit.WithHTTPClient(&http.Client{Transport: transport})).
		Tasks.Create(t.Context(), apiNSFW, ittybit.WithResponseInfo(&info))
	require.NoError(t, err)
	assert.Equal(t, "task_1", task.ID)
	assert.Equal(t, 3, dials)
	assert.Equal(t, 3, info.Attempts)
	require.Equal(t, 1, seen.Count())
	assert.JSONEq(t, `{"kind":"nsfw","url":"https://example.com/a.jpg"}`, seen.All()[0].Body)
}

func TestCreate_refusedToTheEndHasAKnownOutcome(t *testing.T) {
	_, err := apitest.Client(t, apitest.RefusedURL(t)).Tasks.Create(t.Context(), apiNSFW)
	require.ErrorContains(t, err, "refused")
	require.ErrorContains(t, err, "after 4 attempts")
	assert.NotErrorIs(t, err, ittybit.ErrOutcomeUnknown)
}

func TestCreate_repeatsWithTheSameKeyAndWholeBodyWhereNothingWasDone(t *testing.T) {
	for name, first := range map[string]http.HandlerFunc{
		"429":                    apitest.Respond(429, "", "Retry-After", "0"),
		"429 without a time":     apitest.Respond(429, ""),
		"503 with a Retry-After": apitest.Respond(503, "", "Retry-After", "0"),
	} {
		server, seen := apitest.Server(t, first, apitest.Respond(201, apitest.Task))
		_, err := apitest.Client(t, server.URL).Tasks.Create(t.Context(), apiNSFW)
		require.NoError(t, err, name)
		requests := seen.All()
		require.Len(t, requests, 2, name)
		for _, req := range requests {
			assert.NotEmpty(t, req.Header.Get("Idempotency-Key"), name)
			assert.Equal(t, requests[0].Header, req.Header, name)
			assert.JSONEq(t, `{"kind":"nsfw","url":"https://example.com/a.jpg"}`, req.Body, name)
		}
	}
}

var apiUnclear = map[string]http.HandlerFunc{
	"500":                     apitest.Respond(500, ""),
	"502":                     apitest.Respond(502, "<html>"),
	"503 without Retry-After": apitest.Respond(503, ""),
	"504":                     apitest.Respond(504, ""),
	"2xx, no JSON":            apitest.Respond(201, "<html>Created</html>"),
	"2xx, empty":              apitest.Respond(204, ""),
	"2xx without an id":       apitest.Respond(200, `{"object":"task"}`),
	"2xx, id empty":           apitest.Respond(200, `{"id":""}`),
	"2xx, id null":            apitest.Respond(200, `{"id":null}`),
	"2xx, null":               apitest.Respond(200, `null`),
	"2xx, list":               apitest.Respond(200, `[]`),
	"2xx, envelope, no id":    apitest.Respond(200, `{"meta":{},"data":{"object":"task"},"error":null}`),
	"2xx, envelope of null":   apitest.Respond(200, `{"meta":{},"data":null}`),
	"2xx, broken off":         func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	"307":                     apitest.Respond(307, "", "Location", "/elsewhere"),
}

func TestCreate_unclearOutcomesAreNeitherRepeatedNorHidden(t *testing.T) {
	for name, response := range apiUnclear {
		server, seen := apitest.Server(t, response)
		client := apitest.Client(t, server.URL)
		task, err := client.Tasks.Create(t.Context(), apiNSFW)
		require.ErrorIs(t, err, ittybit.ErrOutcomeUnknown, name)
		assert.Nil(t, task, name)
		_, err = client.Automations.Create(t.Context(), ittybit.AutomationCreateParams{
			Trigger: ittybit.OnEvent(ittybit.EventMediaCreated), Workflow: []ittybit.WorkflowStep{{Kind: "nsfw"}},
		})
		require.ErrorIs(t, err, ittybit.ErrOutcomeUnknown, name)
		_, err = client.Media.Create(t.Context(), ittybit.MediaCreateParams{})
		require.ErrorIs(t, err, ittybit.ErrOutcomeUnknown, name)
		assert.Equal(t, 3, seen.Count(), name)
	}
}

func TestCreate_transportWithoutATraceLeavesTheOutcomeOpen(t *testing.T) {
	client, seen := apitest.Fake(t, func(int, *http.Request) (*http.Response, error) { return nil, errCut }, apitest.Quick)
	_, err := client.Tasks.Create(t.Context(), apiNSFW)
	require.ErrorIs(t, err, ittybit.ErrOutcomeUnknown)
	require.ErrorIs(t, err, errCut)
	assert.Equal(t, 1, seen.Count())
}

func TestCreate_repeatsUnclearOutcomesWhereThePolicySaysSo(t *testing.T) {
	for name, response := range apiUnclear {
		if name == "307" {
			continue // it would come again
		}
		server, seen := apitest.Server(t, response, apitest.Respond(201, apitest.Task))
		_, err := apitest.Client(t, server.URL, apiAmbiguous).Tasks.Create(t.Context(), apiNSFW)
		require.NoError(t, err, name)
		requests := seen.All()
		require.Len(t, requests, 2, name)
		assert.Equal(t, requests[0].Header.Get("Idempotency-Key"), requests[1].Header.Get("Idempotency-Key"), name)
	}
}

func TestCreate_unclearOutcomeIsNotForgottenWhenALaterTryFailsHarmlessly(t *testing.T) {
	server, seen := apitest.Server(t, apitest.Respond(500, ""), apitest.Respond(402, `{"message":"pay first"}`))
	_, err := apitest.Client(t, server.URL, apiAmbiguous).Tasks.Create(t.Context(), apiNSFW)
	require.ErrorIs(t, err, ittybit.ErrOutcomeUnknown)
	require.ErrorIs(t, err, ittybit.ErrPaymentRequired)
	assert.Equal(t, 2, seen.Count())
}

func TestCreate_refusalsHaveAKnownOutcome(t *testing.T) {
	for _, status := range []int{400, 401, 402, 403, 404, 405, 408, 409, 422, 429} {
		server, _ := apitest.Server(t, apitest.Respond(status, ""))
		_, err := apitest.Client(t, server.URL).Tasks.Create(t.Context(), apiNSFW)
		require.Error(t, err)
		require.NotErrorIs(t, err, ittybit.ErrOutcomeUnknown, status)
	}
}

func TestCreate_contextEndingAfterSendingLeavesTheOutcomeOpen(t *testing.T) {
	cause := errors.New("the user has left")
	ctx, cancel := context.WithCancelCause(t.Context())
	base, seen := rawServer(t, func(_ int, conn net.Conn) bool {
		cancel(cause)
		_, _ = io.Copy(io.Discard, conn) // until the client hangs up
		return false
	})
	_, err := apitest.Client(t, base).Tasks.Create(ctx, apiNSFW)
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorIs(t, err, ittybit.ErrOutcomeUnknown)
	assert.Equal(t, 1, seen.Count())
}

func TestCreate_contextThatHasEndedSendsNothing(t *testing.T) {
	server, seen := apitest.Server(t, apitest.Respond(201, apitest.Task))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := apitest.Client(t, server.URL).Tasks.Create(ctx, apiNSFW)
	require.ErrorIs(t, err, context.Canceled)
	require.NotErrorIs(t, err, ittybit.ErrOutcomeUnknown)
	assert.Zero(t, seen.Count())
}

func TestRetry_idempotentCallsAreRepeatedAfterEveryPassingFailure(t *testing.T) {
	failures := map[string]http.HandlerFunc{
		"cut":        func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"broken off": apitest.Respond(200, `{"id":`, "Content-Length", "100"),
	}
	for _, status := range []string{"408", "429", "500", "502", "503", "504"} {
		failures[status] = apitest.Respond(map[string]int{"408": 408, "429": 429, "500": 500, "502": 502, "503": 503, "504": 504}[status], "")
	}
	for failure, first := range failures {
		for _, name := range []string{"GET /tasks", "GET /tasks/x_1", "PATCH /automations/x_1", "DELETE /automations/x_1"} {
			if failure == "broken off" && name == "DELETE /automations/x_1" {
				continue // it is read in the same way, but nothing of it matters
			}
			server, seen := apitest.Server(t, first, everything)
			require.NoError(t, everyCall(t.Context(), apitest.Client(t, server.URL))[name](), "%s, %s", name, failure)
			requests := seen.All()
			require.Len(t, requests, 2, "%s, %s", name, failure)
			assert.Equal(t, requests[0], requests[1], "%s, %s", name, failure)
		}
	}
}

func TestRetry_undecodableResponsesToGetAreNotRepeated(t *testing.T) {
	server, seen := apitest.Server(t, apitest.Respond(200, `<html>`))
	_, err := apitest.Client(t, server.URL).Tasks.Get(t.Context(), "task_1")
	require.ErrorContains(t, err, "cannot use the response (status 200)")
	require.NotErrorIs(t, err, ittybit.ErrOutcomeUnknown)
	assert.Equal(t, 1, seen.Count())
}

func TestDelete_goneOnTheSecondTryIsASuccess(t *testing.T) {
	server, seen := apitest.Server(t, apitest.Respond(502, ""), apitest.Respond(404, `{"message":"not found"}`))
	require.NoError(t, apitest.Client(t, server.URL).Automations.Delete(t.Context(), "auto_1"))
	assert.Equal(t, 2, seen.Count())

	server, _ = apitest.Server(t, apitest.Respond(404, `{"message":"not found"}`))
	require.ErrorIs(t, apitest.Client(t, server.URL).Automations.Delete(t.Context(), "auto_1"), ittybit.ErrNotFound)
}

func TestRetry_contextEndingDuringAWaitReturnsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, seen := apitest.Fake(t, apitest.Always(429, `{"message":"slow down"}`, "Retry-After", "25"))
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(10*time.Second, cancel)
		start := time.Now()
		_, err := client.Tasks.Create(ctx, apiNSFW)
		require.ErrorIs(t, err, context.Canceled)
		require.ErrorIs(t, err, ittybit.ErrRateLimited)
		require.NotErrorIs(t, err, ittybit.ErrOutcomeUnknown)
		var apiError *ittybit.APIError
		require.ErrorAs(t, err, &apiError)
		assert.Equal(t, "slow down", apiError.Message)
		assert.Equal(t, 10*time.Second, time.Since(start))
		assert.Equal(t, 1, seen.Count())
	})
}

func TestRetry_waitThatWouldOutlastTheDeadlineIsNotBegun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, seen := apitest.Fake(t, apitest.Always(503, "", "Retry-After", "25"))
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		start := time.Now()
		_, err := client.Tasks.Get(ctx, "task_1")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		var apiError *ittybit.APIError
		require.ErrorAs(t, err, &apiError)
		assert.Equal(t, 25*time.Second, apiError.RetryAfter)
		assert.Zero(t, time.Since(start))
		assert.Equal(t, 1, seen.Count())
	})
}

func TestRetry_retryAfterIsFollowedUpToMaxWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		client, seen := apitest.Fake(t, func(n int, _ *http.Request) (*http.Response, error) {
			switch n {
			case 1:
				return apitest.Response(429, "", "Retry-After", "30")
			case 2:
				return apitest.Response(503, "", "Retry-After", time.Now().Add(20*time.Second).UTC().Format(http.TimeFormat))
			default:
				return apitest.Response(429, "", "Retry-After", "31")
			}
		})
		_, err := client.Tasks.Create(t.Context(), apiNSFW)
		apiError, plain := err.(*ittybit.APIError) //nolint:errorlint // it must be the plain error
		require.True(t, plain, "%T", err)
		assert.Equal(t, 31*time.Second, apiError.RetryAfter)
		assert.Equal(t, 50*time.Second, time.Since(start))
		assert.Equal(t, 3, seen.Count())
	})
}

func TestWithHTTPClient_timeoutBoundsEachTry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		recorder := &apitest.Recorder{}
		hang := apitest.RoundTripper(func(req *http.Request) (*http.Response, error) {
			if trace := httptrace.ContextClientTrace(req.Context()); trace != nil {
				trace.GetConn("host")
			}
			if recorder.Note(&http.Request{Method: req.Method, URL: req.URL, Body: http.NoBody}) > 2 {
				return apitest.Response(200, apitest.Task)
			}
			<-req.Context().Done()
			return nil, req.Context().Err()
		})
		client, err := ittybit.NewClient(apitest.Key, apitest.Quick, ittybit.WithHTTPClient(&http.Client{Transport: hang, Timeout: 5 * time.Second}))
		require.NoError(t, err)
		start := time.Now()
		_, err = client.Tasks.Create(t.Context(), apiNSFW)
		require.NoError(t, err, "while connecting, nothing was sent")
		assert.Equal(t, 3, recorder.Count())
		assert.Equal(t, 10*time.Second, time.Since(start).Truncate(time.Second))
	})
}

func TestCreate_givesTheIDOfATaskWithAFieldThatCannotBeDecoded(t *testing.T) {
	client, seen := apitest.Fake(t, apitest.Always(201, `{"id":"task_1","kind":"nsfw","created":"yesterday"}`),
		ittybit.WithRetryPolicy(ittybit.RetryPolicy{RetryAmbiguousPosts: true}))
	task, err := client.Tasks.Create(t.Context(), apiNSFW)
	require.NoError(t, err, "it is known that the task exists")
	require.ErrorContains(t, task.DecodeError(), `field "created"`)
	assert.Equal(t, "task_1", task.ID)
	assert.Len(t, seen.All(), 1, "another try would make another task")
}
