package pipeline

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTrace_knowsWhatMayHaveBeenSent(t *testing.T) {
	for name, c := range map[string]struct {
		hooks         func(fakeTrace)
		givenUp, want bool
	}{
		"no connection":                      {fakeTrace.asked, false, false},
		"no connection, given up":            {fakeTrace.asked, true, false},
		"a connection, nothing written":      {fakeTrace.got, false, false},
		"given up with a connection in hand": {fakeTrace.got, true, true},
		"headers written":                    {fakeTrace.wrote, false, true},
		"no trace at all":                    {func(fakeTrace) {}, false, true},
	} {
		var trace atomic.Pointer[wireTrace]
		step := &traced{trace: &trace, creates: true, next: roundTrip(func(req *http.Request) (*http.Response, error) {
			c.hooks(traceOf(req))
			return nil, errCut
		})}
		_, err := step.RoundTrip(httptest.NewRequest(http.MethodPost, "/", http.NoBody))
		require.ErrorIs(t, err, errCut)
		assert.Equal(t, c.want, trace.Load().maySend(c.givenUp), name)
	}
}

func TestTrace_startsAnewForEachTry(t *testing.T) {
	var trace atomic.Pointer[wireTrace]
	hooks := fakeTrace.wrote
	step := &traced{trace: &trace, creates: true, next: roundTrip(func(req *http.Request) (*http.Response, error) {
		hooks(traceOf(req))
		return nil, errCut
	})}
	req := httptest.NewRequest(http.MethodPost, "/", http.NoBody)
	_, _ = step.RoundTrip(req)
	require.True(t, trace.Load().maySend(false))
	hooks = fakeTrace.asked
	_, _ = step.RoundTrip(req)
	assert.False(t, trace.Load().maySend(false))
}

func TestTrace_callsTheCallersHooksToo(t *testing.T) {
	asked := 0
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GetConn: func(string) { asked++ }})
	_, _, err := do(ctx, t, get, nil, response(200, "{}"))
	require.NoError(t, err)
	assert.Equal(t, 1, asked)
}

type closeCounter struct {
	io.Reader
	closed int
}

func (c *closeCounter) Close() error {
	c.closed++
	return nil
}

func TestTrace_sendsNothingUnderAContextThatHasEnded(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	body := &closeCounter{Reader: strings.NewReader("x")}
	req := httptest.NewRequest(http.MethodPost, "/", body).WithContext(ctx)
	req.Body = body
	var trace atomic.Pointer[wireTrace]
	step := &traced{trace: &trace, creates: true, next: roundTrip(func(*http.Request) (*http.Response, error) {
		t.Error("the next step was called")
		return nil, errCut
	})}
	_, err := step.RoundTrip(req)
	require.ErrorIs(t, err, context.Canceled)
	assert.Equal(t, 1, body.closed, "a RoundTripper closes the body also when it fails")
	assert.False(t, trace.Load().maySend(true))
}

func TestGivenUp_isTrueForTimeoutsAndEndedContexts(t *testing.T) {
	cause := errors.New("the user has left")
	ended, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	assert.True(t, givenUp(ended, cause), "a cause of the caller's own hides the context's error")
	assert.True(t, givenUp(t.Context(), &timeoutError{}))
	assert.False(t, givenUp(t.Context(), errCut))
}

type timeoutError struct{}

func (*timeoutError) Error() string { return "timeout" }
func (*timeoutError) Timeout() bool { return true }
