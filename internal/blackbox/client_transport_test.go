package blackbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/internal/apitest"
)

func TestRedirect_isFollowedForGetOnly(t *testing.T) {
	for _, status := range []int{301, 302, 303, 307, 308} {
		server, seen := apitest.Server(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/elsewhere" {
				apitest.Respond(200, apitest.Task)(w, r)
				return
			}
			apitest.Respond(status, "", "Location", "/elsewhere")(w, r)
		})
		client := apitest.Client(t, server.URL)
		task, err := client.Tasks.Get(t.Context(), "task_1")
		require.NoError(t, err)
		assert.Equal(t, "task_1", task.ID)
		requests := seen.All()
		require.Len(t, requests, 2)
		assert.Equal(t, "/elsewhere", requests[1].Path)
		assert.Equal(t, requests[0].Header["Authorization"], requests[1].Header["Authorization"], "it is the same host")
		assert.Equal(t, requests[0].Header["Accept-Version"], requests[1].Header["Accept-Version"])

		for _, name := range []string{"POST /tasks", "PATCH /automations/x_1", "DELETE /automations/x_1", "POST /files", "PATCH /files/x_1", "DELETE /media/x_1", "POST /signatures"} {
			before := seen.Count()
			err := everyCall(t.Context(), client)[name]()
			var apiError *ittybit.APIError
			require.ErrorAs(t, err, &apiError, name)
			assert.Equal(t, status, apiError.StatusCode, name)
			assert.Equal(t, before+1, seen.Count(), "%s must not be followed", name)
		}
	}
}

func TestRedirect_keyNeverReachesAnotherHostOrPort(t *testing.T) {
	other, atOther := apitest.Server(t, apitest.Respond(200, apitest.Task))
	server, atServer := apitest.Server(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL+"/stolen?signature=abc", http.StatusFound)
	})
	client := apitest.Client(t, server.URL)
	_, err := client.Tasks.Get(t.Context(), "task_1", ittybit.WithIdempotencyKey("mine"), ittybit.WithRequestHeader("X-Mine", "private"),
		ittybit.WithRequestHeader("X-Idempotency-Key", "private"))
	require.NoError(t, err)
	assert.Equal(t, "private", atServer.All()[0].Header.Get("X-Mine"))
	assert.NotContains(t, atOther.All()[0].Header, "X-Mine", "what the caller adds is for Ittybit, too")
	assert.NotContains(t, atOther.All()[0].Header, "X-Idempotency-Key")
	require.Equal(t, 1, atServer.Count())
	require.Equal(t, 1, atOther.Count())
	assert.Equal(t, "Bearer "+apitest.Key, atServer.All()[0].Header.Get("Authorization"))
	for name, values := range atOther.All()[0].Header {
		assert.NotContains(t, strings.Join(values, " "), apitest.Key, name)
	}
	assert.NotContains(t, atOther.All()[0].Header, "Authorization")
}

// The same of every GET there is.
func TestRedirect_ofNoGetTakesTheKeyElsewhere(t *testing.T) {
	other, atOther := apitest.Server(t, everything)
	server, atServer := apitest.Server(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL+r.URL.Path, http.StatusTemporaryRedirect)
	})
	gets := 0
	for name, call := range everyCall(t.Context(), apitest.Client(t, server.URL)) {
		if !strings.HasPrefix(name, http.MethodGet) {
			continue
		}
		gets++
		require.NoError(t, call(), name)
		require.Equal(t, []int{gets, gets}, []int{atServer.Count(), atOther.Count()}, name)
		assert.Equal(t, "Bearer "+apitest.Key, atServer.All()[gets-1].Header.Get("Authorization"), name)
		stray := atOther.All()[gets-1]
		assert.Equal(t, name, stray.Method+" "+stray.Path)
		assert.NotContains(t, stray.Header, "Authorization", name)
		assert.NotContains(t, fmt.Sprint(stray), apitest.Key, name)
	}
	assert.Equal(t, 8, gets)
}

func TestRedirect_keyIsNotSentInTheClear(t *testing.T) {
	for _, target := range []string{
		"http://api.ittybit.com/x", "https://api.ittybit.com:8443/x", "https://evil.example/x", "https://api.ittybit.com.evil.example/x",
		"https://api.ittybit.com@evil.example/x", "//evil.example/x",
	} {
		client, seen := apitest.Fake(t, func(n int, _ *http.Request) (*http.Response, error) {
			if n == 1 {
				return apitest.Response(302, "", "Location", target)
			}
			return apitest.Response(200, apitest.Task)
		})
		_, err := client.Tasks.Get(t.Context(), "task_1")
		require.NoError(t, err, target)
		requests := seen.All()
		require.Len(t, requests, 2, target)
		assert.NotEmpty(t, requests[0].Header.Get("Authorization"), target)
		assert.NotContains(t, fmt.Sprint(requests[1].Header), apitest.Key, target)
		assert.NotContains(t, fmt.Sprint(requests[1].Header), "Bearer", target)
	}
}

func TestRedirect_endsAfterTen(t *testing.T) {
	server, seen := apitest.Server(t, apitest.Respond(302, "", "Location", "/again"))
	_, err := apitest.Client(t, server.URL).Tasks.Get(t.Context(), "task_1")
	require.ErrorContains(t, err, "stopped after 10 redirects")
	assert.Equal(t, 10, seen.Count(), "another try would go in the same circle")
}

func TestRedirect_callersCheckRedirectIsAsked(t *testing.T) {
	errNoRedirects := errors.New("no redirects here")
	server, seen := apitest.Server(t, apitest.Respond(302, "", "Location", "/elsewhere"))
	asked := 0
	client := apitest.Client(t, server.URL, ittybit.WithHTTPClient(&http.Client{CheckRedirect: func(req *http.Request, via []*http.Request) error {
		asked++
		assert.Equal(t, "/elsewhere", req.URL.Path)
		assert.Len(t, via, 1)
		for _, r := range append(via, req) {
			assert.Empty(t, r.Header.Get("Authorization"))
		}
		return errNoRedirects
	}}))
	_, err := client.Tasks.Get(t.Context(), "task_1")
	require.ErrorIs(t, err, errNoRedirects)
	assert.Equal(t, 1, asked, "what was refused would be refused again")
	assert.Equal(t, 1, seen.Count())
	require.Error(t, client.Automations.Delete(t.Context(), "auto_1"))
	assert.Equal(t, 1, asked, "of a DELETE no redirect is followed, whatever the caller says")

	client = apitest.Client(t, server.URL, ittybit.WithHTTPClient(&http.Client{CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}))
	_, err = client.Tasks.Get(t.Context(), "task_1")
	var apiError *ittybit.APIError
	require.ErrorAs(t, err, &apiError)
	assert.Equal(t, 302, apiError.StatusCode)
}

// onWarning is a log that calls a function for each line at Warn.
type onWarning func()

func (f onWarning) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelWarn }

func (f onWarning) Handle(context.Context, slog.Record) error {
	f()
	return nil
}

func (f onWarning) WithAttrs([]slog.Attr) slog.Handler { return f }

func (f onWarning) WithGroup(string) slog.Handler { return f }

// A pool that the caller shares with the client outlives everything that makes
// go-retryablehttp close idle connections.
func TestClient_failingRequestsLeaveTheCallersPoolOpen(t *testing.T) {
	var opened, closed atomic.Int32
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/tasks/busy":
			apitest.Respond(429, "", "Retry-After", "2")(w, r)
		case "/tasks/broken":
			apitest.Respond(500, "")(w, r)
		default:
			apitest.Respond(200, apitest.Task)(w, r)
		}
	}))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			opened.Add(1)
		case http.StateClosed:
			closed.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	shared := &http.Client{Transport: transport}
	client := apitest.Client(t, server.URL, ittybit.WithHTTPClient(shared))
	refused := apitest.Client(t, apitest.RefusedURL(t), ittybit.WithHTTPClient(shared))

	_, err := client.Tasks.Get(t.Context(), "task_1")
	require.NoError(t, err)
	for name, fail := range map[string]func() error{
		"refused":      func() error { _, err := refused.Tasks.Get(t.Context(), "task_1"); return err },
		"refused POST": func() error { _, err := refused.Tasks.Create(t.Context(), apiNSFW); return err },
		"5xx":          func() error { _, err := client.Tasks.Get(t.Context(), "broken"); return err },
		"context ended in a wait": func() error {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_, err := client.Tasks.Get(ctx, "busy") // which asks for more, and is not waited for
			return err
		},
		"context cancelled in a wait": func() error {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			log := ittybit.WithLogger(slog.New(onWarning(cancel))) // there is a line when a wait begins
			_, err := apitest.Client(t, server.URL, ittybit.WithHTTPClient(shared), log).Tasks.Get(ctx, "busy")
			return err
		},
	} {
		require.Error(t, fail(), name)
		reused := false
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) { reused = info.Reused }})
		_, err := client.Tasks.Get(ctx, "task_1")
		require.NoError(t, err, name)
		assert.True(t, reused, name)
	}
	assert.Equal(t, int32(1), opened.Load())
	assert.Zero(t, closed.Load())
}
