package pipeline

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// inBubble runs a call under a fake clock.
func inBubble(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, test)
}

func TestRetry_triesIdempotentMethodsAgain(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		for _, method := range []string{http.MethodGet, http.MethodPatch, http.MethodPut, http.MethodDelete, http.MethodPost} {
			r := Request{Method: method, Path: "/signatures", Body: []byte("{}"), IdempotencyKey: "k"} // a POST that creates nothing
			for _, failure := range []roundTrip{
				refused, cut, silent, response(408, ""), response(429, ""), response(500, ""), response(502, ""), response(503, ""), response(504, ""),
				cutOff(200),
			} {
				s, resp, err := do(t.Context(), t, r, nil, failure, response(200, "{}"))
				require.NoError(t, err)
				assert.Equal(t, 2, s.attempts())
				assert.Equal(t, 2, resp.Attempts)
				assert.Equal(t, []string{"{}", "{}"}, s.bodies)
			}
		}
	})
}

// cutOff is a response whose body breaks off.
func cutOff(status int) roundTrip {
	return func(req *http.Request) (*http.Response, error) {
		resp, err := response(status, "")(req)
		resp.Body = cutBody{strings.NewReader(`{"id":"task`)}
		return resp, err
	}
}

func TestRetry_doesNotRepeatWhatWillNotChange(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		for _, status := range []int{302, 304, 400, 401, 402, 403, 404, 405, 409, 410, 422, 501, 505} {
			for _, r := range []Request{get, create, remove} {
				s, _, err := do(t.Context(), t, r, nil, response(status, ""))
				var problem *statusError
				require.ErrorAs(t, err, &problem)
				assert.Equal(t, status, problem.StatusCode)
				assert.Equal(t, 1, s.attempts(), "%s, %d", r.Method, status)
			}
		}
	})
}

func TestRetry_creatingCallsOnlyWhereNothingHasHappened(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		for name, failure := range map[string]roundTrip{
			"refused":                  refused,
			"429":                      response(429, ""),
			"429 with Retry-After":     response(429, "", "Retry-After", "2"),
			"503 with Retry-After":     response(503, "", "Retry-After", "2"),
			"503 with Retry-After 0":   response(503, "", "Retry-After", "0"),
			"503 with a date":          response(503, "", "Retry-After", "Sat, 01 Jan 2000 00:00:02 GMT"),
			"a connection, no request": func(req *http.Request) (*http.Response, error) { traceOf(req).got(); return nil, errCut },
		} {
			s, resp, err := do(t.Context(), t, create, nil, failure, response(201, "{}"))
			require.NoError(t, err, name)
			assert.Equal(t, 2, resp.Attempts, name)
			assert.Equal(t, []string{string(create.Body), string(create.Body)}, s.bodies, name)
			for _, req := range s.requests {
				assert.Equal(t, []string{"idem-1"}, keyOf(req.Header), name)
			}
		}
	})
}

var ambiguous = map[string]roundTrip{
	"cut":                       cut,
	"no trace":                  silent,
	"500":                       response(500, ""),
	"502":                       response(502, ""),
	"503":                       response(503, ""),
	"503, Retry-After nonsense": response(503, "", "Retry-After", "soon"),
	"503, Retry-After negative": response(503, "", "Retry-After", "-1"),
	"504":                       response(504, ""),
	"507":                       response(507, ""),
	"201 breaking off":          cutOff(201),
	"201 that says nothing":     response(201, "<html>"),
}

func creating() Request {
	r := create
	r.Decoder = DecoderFunc(func(resp Response) error {
		if string(resp.Body) != "{}" {
			return errors.New("ittybit: no id")
		}
		return nil
	})
	return r
}

func TestRetry_neverRepeatsWhatMayHaveActed(t *testing.T) {
	for name, failure := range ambiguous {
		s, resp, err := do(t.Context(), t, creating(), nil, failure, response(201, "{}"))
		require.ErrorIs(t, err, ErrOutcomeUnknown, name)
		assert.Equal(t, 1, s.attempts(), name)
		assert.Equal(t, 1, resp.Attempts, name)
	}
}

func TestRetry_repeatsAmbiguousPostsWhenAskedTo(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		for name, failure := range ambiguous {
			s, _, err := do(t.Context(), t, creating(), func(c *Config) { c.Policy.RetryAmbiguousPosts = true }, failure, response(201, "{}"))
			require.NoError(t, err, name)
			assert.Equal(t, 2, s.attempts(), name)
		}
	})
}

func TestRetry_unknownOutcomeIsNotForgotten(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		for name, later := range map[string]roundTrip{"refused": refused, "429": response(429, ""), "400": response(400, "")} {
			s, _, err := do(t.Context(), t, creating(), func(c *Config) { c.Policy.RetryAmbiguousPosts = true }, cut, later)
			require.ErrorIs(t, err, ErrOutcomeUnknown, name)
			assert.Greater(t, s.attempts(), 1, name)
		}
	})
}

func TestRetry_redirectOfACreatingCallLeavesItsOutcomeOpen(t *testing.T) {
	for _, status := range []int{301, 302, 303, 307, 308} {
		s, resp, err := do(t.Context(), t, create, func(c *Config) { c.Policy.RetryAmbiguousPosts = true },
			response(status, "", "Location", "https://api.example/elsewhere"))
		require.ErrorIs(t, err, ErrOutcomeUnknown)
		assert.Equal(t, 1, s.attempts(), "a redirect is not followed, and would come again")
		assert.Equal(t, status, resp.StatusCode)
	}
}

func TestRetry_permanentErrorsAreNotTriedAgain(t *testing.T) {
	for name, permanent := range map[string]error{
		"certificate": &tls.CertificateVerificationError{Err: errCut},
		"authority":   x509.UnknownAuthorityError{},
		"host name":   x509.HostnameError{Certificate: &x509.Certificate{}, Host: "x"},
		"no TLS":      tls.RecordHeaderError{Msg: "x"},
	} {
		for _, r := range []Request{get, create} {
			s, _, err := do(t.Context(), t, r, nil, func(req *http.Request) (*http.Response, error) {
				traceOf(req).asked()
				return nil, fmt.Errorf("wrapped: %w", permanent)
			})
			require.ErrorIs(t, err, permanent, name)
			require.NotErrorIs(t, err, ErrOutcomeUnknown, name)
			assert.Equal(t, 1, s.attempts(), name)
		}
	}
}

func TestRetry_deleteOfWhatIsGoneOnALaterTryIsASuccess(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		_, resp, err := do(t.Context(), t, remove, nil, cut, response(404, ""))
		require.NoError(t, err)
		assert.Equal(t, 404, resp.StatusCode)

		_, _, err = do(t.Context(), t, remove, nil, response(404, ""))
		require.Error(t, err, "on the first attempt it is an error")
		_, _, err = do(t.Context(), t, get, nil, cut, response(404, ""))
		require.Error(t, err, "and for other methods too")
	})
}

func TestRetry_triesNoMoreThanMaxAttempts(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		for _, attempts := range []int{1, 2, 7} {
			s, resp, err := do(t.Context(), t, get, func(c *Config) { c.Policy.MaxAttempts = attempts }, response(503, ""))
			var problem *statusError
			require.ErrorAs(t, err, &problem)
			assert.Equal(t, attempts, s.attempts())
			assert.Equal(t, attempts, resp.Attempts)
		}
	})
}

// waited gives how long a call of two attempts waited between them.
func waited(t *testing.T, first roundTrip) time.Duration {
	t.Helper()
	start := time.Now()
	_, _, err := do(t.Context(), t, get, nil, first, response(200, "{}"))
	require.NoError(t, err)
	return time.Since(start)
}

func TestRetry_waitsAsLongAsRetryAfterSays(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		assert.Equal(t, 7*time.Second, waited(t, response(429, "", "Retry-After", "7")))
		assert.Equal(t, 30*time.Second, waited(t, response(503, "", "Retry-After", "30")))
		assert.Zero(t, waited(t, response(503, "", "Retry-After", "0")))
		date := time.Now().Add(9 * time.Second).UTC().Format(http.TimeFormat)
		assert.Equal(t, 9*time.Second, waited(t, response(503, "", "Retry-After", date)))
		past := time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat)
		assert.Zero(t, waited(t, response(503, "", "Retry-After", past)))
	})
}

func TestRetry_oldRetryAfterDoesNotRuleALaterTry(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		start := time.Now()
		_, _, err := do(t.Context(), t, get, nil, response(503, "", "Retry-After", "7"), cut, response(200, "{}"))
		require.NoError(t, err)
		assert.GreaterOrEqual(t, time.Since(start), 7*time.Second)
		assert.Less(t, time.Since(start), 8*time.Second, "the second wait is backoff, of at most 1 s")
	})
}

func TestRetry_tooLongARetryAfterIsNotWaitedFor(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		for _, value := range []string{"31", "3600", "99999999999999", "9223372036854775807", time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)} {
			for _, r := range []Request{get, create} {
				start := time.Now()
				s, _, err := do(t.Context(), t, r, nil, response(429, "", "Retry-After", value))
				problem, ok := err.(*statusError) //nolint:errorlint // it must be the plain error
				require.True(t, ok, "%v", err)
				assert.Greater(t, problem.RetryAfter, 30*time.Second)
				assert.Equal(t, 1, s.attempts())
				assert.Zero(t, time.Since(start))
			}
		}
	})
}

func TestRetry_jitterIsFullAndGrows(t *testing.T) {
	policy := Policy{MinWait: 500 * time.Millisecond, MaxWait: 3 * time.Second}
	for attempts, limit := range map[int]time.Duration{
		1: 500 * time.Millisecond, 2: time.Second, 3: 2 * time.Second, 4: 3 * time.Second, 5: 3 * time.Second, 1000: 3 * time.Second,
	} {
		var least, most time.Duration = time.Hour, 0
		for range 2000 {
			wait := jitter(policy, attempts)
			least, most = min(least, wait), max(most, wait)
		}
		assert.GreaterOrEqual(t, least, time.Duration(0))
		assert.Less(t, least, limit/20, "full jitter begins at nothing (attempt %d)", attempts)
		assert.Less(t, most, limit)
		assert.Greater(t, most, limit*19/20, "and reaches up to the limit (attempt %d)", attempts)
	}
	assert.Zero(t, jitter(Policy{}, 3))
}

func TestRetry_contextEndingDuringAWaitReturnsAtOnce(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		for _, r := range []Request{get, create} {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(3*time.Second, cancel)
			start := time.Now()
			s, _, err := do(ctx, t, r, nil, response(429, "busy", "Retry-After", "20"))
			require.ErrorIs(t, err, context.Canceled)
			var problem *statusError
			require.ErrorAs(t, err, &problem, "the last response is there too")
			assert.Equal(t, 20*time.Second, problem.RetryAfter)
			require.NotErrorIs(t, err, ErrOutcomeUnknown)
			assert.Equal(t, 3*time.Second, time.Since(start))
			assert.Equal(t, 1, s.attempts())
		}
	})
}

func TestRetry_doesNotBeginAWaitThatOutlastsTheDeadline(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		start := time.Now()
		s, _, err := do(ctx, t, get, nil, response(503, "", "Retry-After", "5"))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		var problem *statusError
		require.ErrorAs(t, err, &problem)
		assert.Zero(t, time.Since(start))
		assert.Equal(t, 1, s.attempts())

		s, _, err = do(ctx, t, get, nil, response(503, "", "Retry-After", "4"), response(200, "{}"))
		require.NoError(t, err, "a shorter one is")
		assert.Equal(t, 2, s.attempts())
	})
}

func TestRetry_contextThatHasEndedSendsNothing(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, r := range []Request{get, create} {
		s, _, err := do(ctx, t, r, nil, response(200, "{}"))
		require.ErrorIs(t, err, context.Canceled)
		require.NotErrorIs(t, err, ErrOutcomeUnknown)
		assert.Zero(t, s.attempts())
	}
}

func TestRetry_contextEndingInATryIsFinal(t *testing.T) {
	cause := errors.New("the user has left")
	for _, hooks := range []func(fakeTrace){fakeTrace.wrote, fakeTrace.got} {
		ctx, cancel := context.WithCancelCause(t.Context())
		s, _, err := do(ctx, t, create, nil, func(req *http.Request) (*http.Response, error) {
			hooks(traceOf(req))
			cancel(cause)
			return nil, cause
		})
		require.ErrorIs(t, err, context.Canceled)
		require.ErrorIs(t, err, cause)
		require.ErrorIs(t, err, ErrOutcomeUnknown)
		assert.Equal(t, 1, s.attempts())
	}
	ctx, cancel := context.WithCancel(t.Context())
	s, _, err := do(ctx, t, get, nil, func(*http.Request) (*http.Response, error) {
		cancel()
		return nil, context.Canceled
	})
	require.ErrorIs(t, err, context.Canceled)
	assert.Equal(t, 1, s.attempts())
}

// zeros is an endless body.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }
func (zeros) Close() error               { return nil }

func TestRetry_boundsWhatIsReadOfAResponse(t *testing.T) {
	endless := func(status int) roundTrip {
		return func(req *http.Request) (*http.Response, error) {
			resp, err := response(status, "")(req)
			resp.Body = io.NopCloser(zeros{})
			return resp, err
		}
	}
	s, _, err := do(t.Context(), t, get, nil, endless(200))
	require.ErrorIs(t, err, errResponseTooLarge)
	assert.Equal(t, 1, s.attempts(), "it would be as large again")

	_, resp, err := do(t.Context(), t, get, nil, endless(400))
	var problem *statusError
	require.ErrorAs(t, err, &problem, "the status says enough")
	assert.Len(t, problem.Body, maxProblemBytes)
	assert.Len(t, resp.Body, maxProblemBytes)
}

func TestRetry_usesTheDefaultTransportWhereThereIsNone(t *testing.T) {
	cfg := testConfig(t, nil)
	assert.Equal(t, http.DefaultTransport, transportOf(cfg.HTTPClient))
}

func TestParseRetryAfter_readsSecondsAndDates(t *testing.T) {
	now := time.Date(2025, 1, 10, 12, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"0": 0, "120": 2 * time.Minute, "Fri, 10 Jan 2025 12:01:00 GMT": time.Minute, "Fri, 10 Jan 2025 11:00:00 GMT": 0,
		"Friday, 10-Jan-25 12:00:05 GMT": 5 * time.Second, "99999999999999999999": 1 << 32 * time.Second,
		"1.5": 2 * time.Second, "0.2": time.Second, "7.000": 7 * time.Second, "99999999999999999999.5": 1 << 32 * time.Second,
	} {
		got, given := parseRetryAfter(http.Header{"Retry-After": {value}}, now)
		assert.True(t, given, value)
		assert.Equal(t, want, got, value)
	}
	for _, value := range []string{"", "-5", "soon", ".5", "1e3", "1.2.3", "+1", "0x10", "1_000", "-1.5", "-99999999999999999999"} {
		_, given := parseRetryAfter(http.Header{"Retry-After": {value}}, now)
		assert.False(t, given, value)
	}
}
