package proxies

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/ittybit/ittybit-go"
)

// TestRepeats pins down which proxies send a POST to a second process, whose deduplicator knows
// nothing of the first, when the first has failed with its work done.
func TestRepeats(t *testing.T) {
	failures := []struct {
		name string
		cfg  backendConfig
	}{
		{"dies", backendConfig{dies: true}},
		{"503", backendConfig{err: ittybit.RetryLater(30*time.Second, errWork)}},
		{"500", backendConfig{err: errWork}},
	}
	const no, yes = false, true
	for _, proxy := range []struct {
		name    string
		with    settings
		repeats [3]bool // in the order of failures
	}{
		{"nginx", settings{}, [3]bool{no, no, no}},
		{"nginx, http_503", settings{global: "proxy_next_upstream error timeout http_503;"}, [3]bool{no, no, no}},
		{
			"nginx, http_503 non_idempotent",
			settings{global: "proxy_next_upstream error timeout http_503 non_idempotent;"}, [3]bool{yes, yes, no},
		},
		{"HAProxy", settings{}, [3]bool{no, no, no}},
		{
			"HAProxy, empty-response",
			settings{global: "option redispatch 1\nretry-on conn-failure empty-response"}, [3]bool{yes, no, no},
		},
		{
			"HAProxy, all-retryable-errors",
			settings{global: "option redispatch 1\nretry-on all-retryable-errors"}, [3]bool{yes, yes, yes},
		},
		{"Varnish", settings{}, [3]bool{no, no, no}},
		{
			"Varnish, cache_req_body and retry",
			settings{global: `sub vcl_recv { std.cache_req_body(1MB); }
sub vcl_backend_response { if (beresp.status == 503) { return (retry); } }
sub vcl_backend_error { return (retry); }`}, [3]bool{yes, yes, no},
		},
		{"Apache", settings{}, [3]bool{no, no, no}},
		{"Caddy", settings{}, [3]bool{no, no, no}},
		{"Caddy, lb_try_duration", settings{global: "lb_try_duration 5s"}, [3]bool{no, no, no}},
		{
			"Caddy, lb_retry_match and request_buffers",
			settings{global: "lb_try_duration 5s\nlb_retry_match {\n method POST\n}\nrequest_buffers 1MB"}, [3]bool{yes, no, no},
		},
		{"ReverseProxy", settings{}, [3]bool{no, no, no}},
	} {
		for i, failure := range failures {
			t.Run(proxy.name+"/"+failure.name, func(t *testing.T) {
				t.Parallel()
				failing, healthy := startBackend(t, failure.cfg), startBackend(t, backendConfig{})
				address := frontOf(t, proxy.name)(t, proxy.with, failing.address, healthy.address)
				both := 0
				for n := range 6 {
					id := fmt.Sprintf("task_%d", n)
					ctx, cancel := context.WithTimeout(t.Context(), waitLimit)
					post(ctx, address, good(id))
					cancel()
					if failing.count(id) > 0 && healthy.count(id) > 0 {
						both++
					}
				}
				assert.Positive(t, failing.total(), "deliveries to the process that fails")
				assert.Equal(t, proxy.repeats[i], both > 0, "handled by both: %d", both)
			})
		}
	}
}

// TestRepeats_retryAfterComesThrough: what the receiver asks for reaches the sender.
func TestRepeats_retryAfterComesThrough(t *testing.T) {
	for _, f := range fronts {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			b := startBackend(t, backendConfig{err: ittybit.RetryLater(90*time.Second, errors.New("the queue is full"))})
			got := requireAnswer(t, f.start(t, settings{}, b.address), good("later"), http.StatusServiceUnavailable)
			assert.Equal(t, "90", got.retryAfter)
		})
	}
}
