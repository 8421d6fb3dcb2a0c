package proxies

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// TestSlowSenders pins down who ends a body that comes byte by byte, for longer than the
// receiver waits for it.
func TestSlowSenders(t *testing.T) {
	const readTimeout = time.Second
	lateRefusal := []int{http.StatusRequestTimeout, http.StatusBadGateway}
	for _, proxy := range []struct {
		name     string
		with     settings
		statuses []int // what the sender gets: one of these
		received []int // what the receiver answered
	}{
		{"nginx", settings{}, []int{http.StatusOK}, []int{http.StatusOK}}, // it hands the body over whole
		{
			"nginx, proxy_request_buffering off", settings{global: "proxy_request_buffering off;"},
			[]int{http.StatusRequestTimeout}, []int{http.StatusRequestTimeout},
		},
		{"HAProxy", settings{}, []int{http.StatusRequestTimeout}, []int{http.StatusRequestTimeout}},
		{
			"HAProxy, http-buffer-request", settings{global: "option http-buffer-request\ntimeout http-request 1s"},
			[]int{http.StatusRequestTimeout}, nil, // its own: the receiver never saw it
		},
		{"Varnish", settings{}, []int{http.StatusServiceUnavailable}, []int{http.StatusRequestTimeout}},
		{
			"Varnish, cache_req_body", settings{global: "sub vcl_recv { std.cache_req_body(1MB); }"},
			[]int{http.StatusOK}, []int{http.StatusOK},
		},
		{"Apache", settings{}, []int{http.StatusOK}, []int{http.StatusOK}},
		{"Apache, RequestReadTimeout", settings{global: "RequestReadTimeout body=1"}, []int{http.StatusRequestTimeout}, nil},
		// When the body ends; 502 where the connection to the receiver has broken by then.
		{"Caddy", settings{}, lateRefusal, []int{http.StatusRequestTimeout}},
		{"ReverseProxy", settings{}, lateRefusal, []int{http.StatusRequestTimeout}},
	} {
		t.Run(proxy.name, func(t *testing.T) {
			t.Parallel()
			b := startBackend(t, backendConfig{readTimeout: readTimeout})
			address := frontOf(t, proxy.name)(t, proxy.with, b.address)
			d := good("slow")
			d.pause = 3 * readTimeout / time.Duration(len(d.body))
			ctx, cancel := context.WithTimeout(t.Context(), waitLimit)
			defer cancel()
			got := post(ctx, address, d)
			assert.Contains(t, proxy.statuses, got.status)
			assert.Equal(t, proxy.received, b.observed())
		})
	}
}
