package blackbox

import (
	"encoding/json"
	"net/http"
	"net/url"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/internal/apitest"
)

func TestDo_goesThroughWhatTypedMethodsGoThrough(t *testing.T) {
	server, seen := apitest.Server(t, apitest.Respond(429, `{"kind":"slow_down","message":"wait"}`, "Retry-After", "0"), apitest.Respond(201, `{"id":"job_1","object":"job","status":"queued","created_at":1767225600000}`))
	client := apitest.Client(t, server.URL+"/v2")
	var job ittybit.Job
	var info ittybit.ResponseInfo
	require.NoError(t, client.Do(t.Context(), http.MethodPost, "/jobs", map[string]any{"kind": "video", "input": "https://example.com/a.mp4?a=1&b=2"}, &job,
		ittybit.WithAPIVersion(""), ittybit.WithIdempotencyKey("order-7"), ittybit.WithResponseInfo(&info)))
	assert.Equal(t, "job_1", job.ID)
	assert.Equal(t, 2, info.Attempts)
	for _, req := range seen.All() {
		assert.Equal(t, []string{"POST", "/v2/jobs", `{"input":"https://example.com/a.mp4?a=1&b=2","kind":"video"}`}, []string{req.Method, req.Path, req.Body})
		assert.Equal(t, "Bearer "+apitest.Key, req.Header.Get("Authorization"))
		assert.Equal(t, "order-7", req.Header.Get("Idempotency-Key"))
		assert.NotContains(t, req.Header, "Accept-Version")
	}
}

func TestDo_paramsAreAQueryOrABody(t *testing.T) {
	type page struct {
		After string `url:"after,omitempty" json:"after"`
		Limit int    `url:"limit" json:"limit"`
	}
	for _, c := range []struct {
		method, path string
		params       any
		query, body  string
	}{
		{"GET", "/events?kind=task.failed", page{"evt_1", 5}, "after=evt_1&kind=task.failed&limit=5", ""},
		{"DELETE", "/x", url.Values{"a": {"1", "2"}}, "a=1&a=2", ""},
		{"GET", "/x%2Fy", nil, "", ""},
		{"PATCH", "/x?dry=1", page{"evt_1", 5}, "dry=1", `{"after":"evt_1","limit":5}`},
		{"PUT", "/x", nil, "", ""},
	} {
		client, seen := apitest.Fake(t, apitest.Always(200, `{"a":[1.50]}`))
		var raw json.RawMessage
		require.NoError(t, client.Do(t.Context(), c.method, c.path, c.params, &raw, ittybit.WithAPIVersion("2025-12-01")), c.path)
		assert.JSONEq(t, `{"a":[1.50]}`, string(raw))
		req := seen.All()[0]
		assert.Equal(t, []string{c.method, c.query, c.body}, []string{req.Method, req.Query, req.Body})
		assert.Equal(t, "2025-12-01", req.Header.Get("Accept-Version"))
	}
}

func TestDo_refusesWhatLeavesTheAPI(t *testing.T) {
	client, seen := apitest.Fake(t, apitest.Always(200, `{}`))
	for _, path := range []string{"", "jobs", "https://evil.example/jobs", "//evil.example/jobs", "/jobs#a", "/jobs/../tasks", "/%zz", "/jobs/%2e%2e/tasks"} {
		apitest.RequireParamError(t, client.Do(t.Context(), http.MethodGet, path, nil, nil), "path")
	}
	apitest.RequireParamError(t, client.Do(t.Context(), "get", "/jobs", nil, nil), "method")
	apitest.RequireParamError(t, client.Do(t.Context(), http.MethodGet, "/jobs", 7, nil), "params")
	apitest.RequireParamError(t, client.Do(t.Context(), http.MethodPost, "/jobs", func() {}, nil), "parameters")
	apitest.RequireParamError(t, client.Do(apitest.NoContext, http.MethodGet, "/jobs", nil, nil), "ctx")
	assert.Zero(t, seen.Count())
}

func TestDo_aResponseThatDoesNotFitIsAnErrorAndOfAPostAnUnknownOutcome(t *testing.T) {
	for _, body := range []string{``, `<html>`, `[1]`, `{"id":7}`} {
		client, seen := apitest.Fake(t, apitest.Always(201, body))
		var thing struct{ ID string }
		err := client.Do(t.Context(), http.MethodPost, "/jobs", map[string]any{}, &thing)
		require.ErrorIs(t, err, ittybit.ErrOutcomeUnknown, body)
		err = client.Do(t.Context(), http.MethodGet, "/jobs/1", nil, &thing)
		require.Error(t, err, body)
		require.NotErrorIs(t, err, ittybit.ErrOutcomeUnknown, body)
		assert.Equal(t, 2, seen.Count())
	}
	client, _ := apitest.Fake(t, apitest.Always(404, `{"kind":"job_not_found","message":"no such job"}`))
	err := client.Do(t.Context(), http.MethodGet, "/jobs/job_1", nil, nil)
	require.ErrorIs(t, err, ittybit.ErrNotFound)
	var apiError *ittybit.APIError
	require.ErrorAs(t, err, &apiError)
	assert.Equal(t, "job_not_found", apiError.Kind)
}

func TestDo_reportsFieldsOfObjectsThatCannotBeDecoded(t *testing.T) {
	var log apitest.Log
	client, _ := apitest.Fake(t, apitest.Always(200, `{"id":"job_1","finished_at":"soon"}`), ittybit.WithLogger(log.Logger()))
	var job ittybit.Job
	require.NoError(t, client.Do(t.Context(), http.MethodGet, "/jobs/job_1", nil, &job))
	require.ErrorContains(t, job.DecodeError(), `field "finished_at"`)
	assert.Contains(t, log.String(), "level=WARN")
}
