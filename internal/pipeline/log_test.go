package pipeline

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestLog_writesALineForEachTry(t *testing.T) {
	logger, lines := debugLog()
	_, _, err := do(t.Context(), t, get, func(c *Config) { c.Logger = logger; c.Policy.MinWait, c.Policy.MaxWait = 1, 1 },
		refused, response(500, "x"), response(200, "{}"))
	require.NoError(t, err)
	assert.Equal(t, 3, strings.Count(lines.String(), `level=DEBUG msg="ittybit: request"`))
	assert.Equal(t, 2, strings.Count(lines.String(), `level=WARN msg="ittybit: retrying the request"`))
	for _, want := range []string{
		"method=GET url=https://api.example/v1/tasks/task_1 attempt=1", `error="connection cut"`,
		"attempt=2", "status=500", "attempt=3", "status=200", "duration=", "wait=",
	} {
		assert.Contains(t, lines.String(), want)
	}
}

func TestLog_isSilentBelowItsLevelAndWithoutALogger(t *testing.T) {
	_, lines := debugLog()
	quiet := slog.New(slog.NewTextHandler(lines, &slog.HandlerOptions{Level: slog.LevelError}))
	_, _, err := do(t.Context(), t, get, func(c *Config) { c.Logger = quiet }, response(200, "{}"))
	require.NoError(t, err)
	assert.Empty(t, lines.String())

	_, _, err = do(t.Context(), t, get, nil, response(200, "{}"))
	require.NoError(t, err)
}

func TestLog_neverHoldsAKeyOrASignature(t *testing.T) {
	logger, lines := debugLog()
	leak := func(req *http.Request) (*http.Response, error) {
		traceOf(req).asked()
		return nil, &url.Error{Op: "Get", URL: "https://x.example/?signature=s3cret", Err: fmt.Errorf("dial %s: signature=s3cret", testKey)}
	}
	r := get
	r.Path, r.Query = "/tasks/"+testKey, url.Values{"signature": {"s3cret"}}
	_, _, err := do(t.Context(), t, r, func(c *Config) { c.Logger = logger; c.Policy.MinWait, c.Policy.MaxWait = 1, 1 }, leak,
		response(500, testKey+" signature=s3cret"), response(404, testKey))
	require.Error(t, err)
	require.Equal(t, 5, strings.Count(lines.String(), "\n"))
	assert.NotContains(t, lines.String(), testKey)
	assert.NotContains(t, lines.String(), "s3cret")
}

func TestWithoutURL_takesAwayOnlyWhatHTTPClientPutAround(t *testing.T) {
	assert.Equal(t, errCut, withoutURL(errCut))
	assert.Equal(t, errCut, withoutURL(&url.Error{Err: &url.Error{Err: errCut}}))
	own := fmt.Errorf("mine: %w", &url.Error{Op: "Get", Err: errCut})
	assert.Equal(t, own, withoutURL(own))
	empty := &url.Error{Op: "Get"}
	assert.True(t, errors.Is(withoutURL(empty), empty)) //nolint:testifylint // it has no error to print
}
