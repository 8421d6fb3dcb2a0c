package blackbox

import (
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/internal/apitest"
)

// callAll makes n calls, evenly over a while of virtual time, and gives their errors.
func callAll(t *testing.T, n int, while time.Duration, call func() error) []error {
	t.Helper()
	var running sync.WaitGroup
	errs := make([]error, n)
	for i := range n {
		running.Go(func() { errs[i] = call() })
		time.Sleep(while / time.Duration(n))
	}
	running.Wait()
	return errs
}

func TestRetryBudget_anAPIThatIsDownIsNotKeptDownByRetries(t *testing.T) {
	for name, header := range map[string][]string{"": nil, "with Retry-After": {"Retry-After", "2"}} {
		synctest.Test(t, func(t *testing.T) {
			client, seen := apitest.Fake(t, apitest.Always(503, `{"message":"down"}`, header...))
			errs := callAll(t, 1000, 10*time.Second, func() error {
				_, err := client.Tasks.Get(t.Context(), "task_1")
				return err
			})
			exhausted := 0
			for _, err := range errs {
				require.ErrorIs(t, err, ittybit.ErrServer)
				require.ErrorAs(t, err, new(*ittybit.APIError))
				if strings.Contains(err.Error(), "the retry budget of this client is used up") {
					exhausted++
				}
			}
			t.Logf("%s: 1000 calls made %d requests; %d errors name the budget", name, seen.Count(), exhausted)
			assert.LessOrEqual(t, seen.Count(), 1200, name)
			assert.Greater(t, seen.Count(), 1100, "%s: it is used", name)
			assert.Greater(t, exhausted, 800, name)
		})
	}
}

func TestRetryBudget_aCallThatFailsAmongGoodOnesGetsItsAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var attempts atomic.Int64
		client, _ := apitest.Fake(t, func(_ int, req *http.Request) (*http.Response, error) {
			if strings.HasSuffix(req.URL.Path, "/task_bad") {
				attempts.Add(1)
				return apitest.Response(502, "")
			}
			return apitest.Response(200, `{"id":"task_1"}`)
		})
		const bad = 400 // more than the budget holds, were it not refilled
		for range bad {
			for range 3 {
				_, err := client.Tasks.Get(t.Context(), "task_1")
				require.NoError(t, err)
			}
			_, err := client.Tasks.Get(t.Context(), "task_bad")
			require.ErrorIs(t, err, ittybit.ErrServer)
		}
		assert.Equal(t, int64(4*bad), attempts.Load())
	})
}

// What the API asks for, and what never reached it, is no load that retries add.
func TestRetryBudget_isNotDrawnOnWhereTheAPISetsThePaceOrSawNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, seen := apitest.Fake(t, apitest.Always(429, "", "Retry-After", "1"))
		for range 100 {
			_, err := client.Tasks.Get(t.Context(), "task_1")
			require.ErrorIs(t, err, ittybit.ErrRateLimited)
		}
		assert.Equal(t, 400, seen.Count())
	})
	client := apitest.Client(t, apitest.RefusedURL(t))
	for range 60 {
		_, err := client.Tasks.Get(t.Context(), "task_1")
		require.ErrorContains(t, err, "after 4 attempts")
	}
}

func TestRetries_ofEveryStatusThatMayPass(t *testing.T) {
	once := func(status int) (attempts int, err error) {
		synctest.Test(t, func(t *testing.T) {
			client, seen := apitest.Fake(t, func(n int, _ *http.Request) (*http.Response, error) {
				if n == 1 {
					return apitest.Response(status, "<html>")
				}
				return apitest.Response(200, `{"id":"task_1"}`)
			})
			_, err = client.Tasks.Get(t.Context(), "task_1")
			attempts = seen.Count()
		})
		return attempts, err
	}
	lasting := map[int]bool{501: true, 505: true, 506: true, 507: true, 508: true, 510: true, 511: true, 525: true, 526: true}
	for status := 400; status < 600; status++ {
		transient := status == 408 || status == 425 || status == 429 || status >= 500 && !lasting[status]
		attempts, err := once(status)
		if transient {
			require.NoError(t, err, status)
			assert.Equal(t, 2, attempts, status)
		} else {
			require.Error(t, err, status)
			assert.Equal(t, 1, attempts, status)
		}
	}
}

func TestRetries_aFractionOfRetryAfterIsRoundedUp(t *testing.T) {
	for value, want := range map[string]time.Duration{"0.25": time.Second, "3.01": 4 * time.Second, "5.0": 5 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			client, seen := apitest.Fake(t, func(n int, _ *http.Request) (*http.Response, error) {
				if n == 1 {
					return apitest.Response(503, "", "Retry-After", value)
				}
				return apitest.Response(201, `{"id":"task_1"}`)
			})
			start := time.Now()
			_, err := client.Tasks.Create(t.Context(), ittybit.TaskCreateParams{Kind: "nsfw", FileID: "file_1"})
			require.NoError(t, err, value)
			assert.Equal(t, want, time.Since(start), value)
			assert.Equal(t, 2, seen.Count())
		})
	}
}

// A captive portal's login page has status 200 too.
func TestDelete_aPageInPlaceOfTheAPIsResponseIsAnError(t *testing.T) {
	deletes := map[string]func(*ittybit.Client) error{
		"tasks in a list": func(c *ittybit.Client) error {
			_, err := c.Tasks.List(t.Context(), ittybit.TaskListParams{})
			return err
		},
		"automation": func(c *ittybit.Client) error { return c.Automations.Delete(t.Context(), "x") },
		"media":      func(c *ittybit.Client) error { return c.Media.Delete(t.Context(), "x") },
		"file":       func(c *ittybit.Client) error { return c.Files.Delete(t.Context(), "x") },
		"do":         func(c *ittybit.Client) error { return c.Do(t.Context(), http.MethodPut, "/x", nil, nil) },
	}
	for name, call := range deletes {
		for _, body := range []string{"<!doctype html><title>Sign in to Hotel WiFi</title>", "OK", `{"message":`, "{} {}"} {
			client, seen := apitest.Fake(t, apitest.Always(200, body))
			require.Error(t, call(client), "%s: %s", name, body)
			assert.Equal(t, 1, seen.Count())
		}
		if name == "tasks in a list" {
			continue
		}
		for _, body := range []string{"", " \r\n", `{"message":"gone"}`, `null`, `true`} {
			client, _ := apitest.Fake(t, apitest.Always(202, body))
			require.NoError(t, call(client), "%s: %s", name, body)
		}
	}
}

// Each task is made at most once, unless the error of its call says that it may be.
func TestCreates_areNeverDoubledThroughAProxyThatCutsDelaysAndFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		proxy := &unreliable{made: make(map[string]int)}
		client, err := ittybit.NewClient(apitest.Key, ittybit.WithHTTPClient(&http.Client{Transport: proxy, Timeout: 20 * time.Second}))
		require.NoError(t, err)
		var n, unknown atomic.Int64
		callAll(t, 1000, time.Minute, func() error {
			ref := "ref_" + time.Duration(n.Add(1)).String()
			_, err := client.Tasks.Create(t.Context(), ittybit.TaskCreateParams{Kind: "nsfw", FileID: "file_1", Ref: ref})
			made := proxy.count(ref)
			switch {
			case errors.Is(err, ittybit.ErrOutcomeUnknown):
				unknown.Add(1)
				assert.LessOrEqual(t, made, 1, "%s: not even then is it made twice", ref)
			case err == nil:
				assert.Equal(t, 1, made, ref)
			default:
				assert.Zero(t, made, "%s: %v", ref, err)
			}
			return nil
		})
		t.Logf("%d of 1000 creates have an unknown outcome; %d requests", unknown.Load(), proxy.requests.Load())
		assert.Greater(t, unknown.Load(), int64(100), "the proxy does its worst")
		assert.Less(t, unknown.Load(), int64(900))
	})
}
