package pipeline

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"testing"

	"github.com/hashicorp/go-retryablehttp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestBuild_setsWhatEveryRequestCarries(t *testing.T) {
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPatch, http.MethodPut, http.MethodDelete} {
		req, err := build(t, Request{Method: method, Path: "/tasks"})
		require.NoError(t, err)
		assert.Equal(t, method, req.Method)
		assert.Equal(t, "https://api.example/v1/tasks", req.URL.String())
		assert.Equal(t, "2025-08-20", req.Header.Get("Accept-Version"))
		assert.Equal(t, "application/json", req.Header.Get("Accept"))
		assert.Equal(t, "test/1", req.Header.Get("User-Agent"))
		assert.Empty(t, req.Header.Get("Content-Type"), "there is no content")
		assert.Empty(t, req.Header.Get("Authorization"), "the key comes later, for one host only")
	}
}

func TestBuild_keepsEscapedPathsAndQueries(t *testing.T) {
	req, err := build(t, Request{
		Method: http.MethodGet, Path: "/tasks/a%2Fb%3Fc", Query: url.Values{"limit": {"2"}, "kind": {"a&b"}},
	})
	require.NoError(t, err)
	assert.Equal(t, "/v1/tasks/a%2Fb%3Fc", req.URL.EscapedPath())
	assert.Equal(t, "kind=a%26b&limit=2", req.URL.RawQuery)
}

func TestBuild_sendsTheBodyWithItsLengthAndType(t *testing.T) {
	req, err := build(t, create)
	require.NoError(t, err)
	assert.Equal(t, "application/json", req.Header.Get("Content-Type"))
	assert.Equal(t, int64(len(create.Body)), req.ContentLength)
	body, err := req.GetBody()
	require.NoError(t, err)
	data, err := io.ReadAll(body)
	require.NoError(t, err)
	assert.Equal(t, create.Body, data)
}

func TestBuild_spellsTheIdempotencyKeySoThatNetHTTPDoesNotReplay(t *testing.T) {
	req, err := build(t, create)
	require.NoError(t, err)
	assert.Equal(t, []string{"idem-1"}, keyOf(req.Header))
	assert.NotContains(t, req.Header, "Idempotency-Key")
}

func TestBuild_lastWordIsTheCallers(t *testing.T) {
	r := create
	r.Header = http.Header{"Accept-Version": {"latest"}, "X-Mine": {"1"}}
	req, err := build(t, r)
	require.NoError(t, err)
	assert.Equal(t, []string{"latest"}, req.Header["Accept-Version"])
	assert.Equal(t, "1", req.Header.Get("X-Mine"))
}

func TestDo_givesTheErrorOfARequestThatCannotBeMade(t *testing.T) {
	s, resp, err := do(context.Background(), t, Request{Method: "BAD METHOD", Path: "/tasks"}, nil, response(200, "{}"))
	require.ErrorContains(t, err, "ittybit: BAD METHOD /tasks")
	assert.Zero(t, resp)
	assert.Zero(t, s.attempts())
}

// build makes the request of a call.
func build(t *testing.T, r Request) (*retryablehttp.Request, error) {
	t.Helper()
	return (&call{pipeline: New(testConfig(t, nil)), request: r}).build(t.Context())
}
