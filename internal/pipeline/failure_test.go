package pipeline

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestFailure_plainResponseIsNotWrapped(t *testing.T) {
	_, _, err := do(t.Context(), t, get, nil, response(404, "gone"))
	_, plain := err.(*statusError) //nolint:errorlint // it must be the plain error
	assert.True(t, plain, "%T", err)
}

func TestFailure_namesRequestReasonAndAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, _, err := do(t.Context(), t, get, nil, cut)
		require.EqualError(t, err, "ittybit: GET https://api.example/v1/tasks/task_1: connection cut (after 4 attempts)")
		require.ErrorIs(t, err, errCut)

		_, _, err = do(t.Context(), t, create, nil, cut)
		require.EqualError(t, err, "ittybit: POST https://api.example/v1/tasks: outcome unknown, it may have been carried out: connection cut")

		_, _, err = do(t.Context(), t, create, nil, response(500, "oops"))
		require.EqualError(t, err, "ittybit: outcome unknown, it may have been carried out: POST https://api.example/v1/tasks: 500: oops")

		_, _, err = do(t.Context(), t, get, nil, response(503, "busy"), refused)
		require.EqualError(t, err, "ittybit: GET https://api.example/v1/tasks/task_1: connection cut; last response: GET https://api.example/v1/tasks/task_1: 503: busy (after 4 attempts)")

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, _, err = do(ctx, t, get, nil, response(503, "busy", "Retry-After", "9"))
		require.EqualError(t, err, "ittybit: GET https://api.example/v1/tasks/task_1: 503: busy; not tried again: context deadline exceeded")
	})
}

func TestFailure_matchesWhatItHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		_, _, err := do(ctx, t, create, func(c *Config) { c.Policy.RetryAmbiguousPosts = true }, response(500, "oops"),
			func(req *http.Request) (*http.Response, error) {
				traceOf(req).wrote()
				cancel()
				return nil, errCut
			})
		var problem *statusError
		require.ErrorAs(t, err, &problem)
		assert.Equal(t, 500, problem.StatusCode)
		require.ErrorIs(t, err, errCut)
		require.ErrorIs(t, err, context.Canceled)
		require.ErrorIs(t, err, ErrOutcomeUnknown)
		assert.NotErrorIs(t, err, context.DeadlineExceeded)
	})
}

func TestFailure_noVerbOfFmtPrintsTheKey(t *testing.T) {
	r := create
	r.Path = "/tasks/" + testKey
	_, _, err := do(t.Context(), t, r, nil, func(req *http.Request) (*http.Response, error) {
		traceOf(req).wrote()
		return nil, errors.New("bad header " + testKey + " signature=s3cret")
	})
	require.ErrorIs(t, err, ErrOutcomeUnknown)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%T"} {
		printed := fmt.Sprintf(verb, err)
		assert.NotContains(t, printed, testKey, verb)
		assert.NotContains(t, printed, fmt.Sprintf("%x", testKey), verb)
		assert.NotContains(t, printed, "s3cret", verb)
	}
	assert.NotContains(t, err.Error(), "\n")
}
