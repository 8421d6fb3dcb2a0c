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
	for _, proxy := range []struct {
		name     string
		with     settings
		status   int   // what the sender gets
		received []int // what the receiver answered
	}{
		{"nginx", settings{}, http.StatusOK, []int{http.StatusOK}}, // it hands the body over whole
		{
			"nginx, proxy_request_buffering off", settings{global: "proxy_request_buffering off;"},
			http.StatusRequestTimeout, []int{http.StatusRequestTimeout},
		},
		{"HAProxy", settings{}, http.StatusRequestTimeout, []int{http.StatusRequestTimeout}},
		{
			"HAProxy, http-buffer-request", settings{global: "option http-buffer-request\ntimeout http-request 1s"},
			http.StatusRequestTimeout, nil, // its own: the receiver never saw it
		},
		{"Varnish", settings{}, http.StatusServiceUnavailable, []int{http.StatusRequestTimeout}},
		{
			"Varnish, cache_req_body", settings{global: "sub vcl_recv { std.cache_req_body(1MB); }"},
			http.StatusOK, []int{http.StatusOK},
		},
		{"Apache", settings{}, http.StatusOK, []int{http.StatusOK}},
		{"Apache, RequestReadTimeout", settings{global: "RequestReadTimeout body=1"}, http.StatusRequestTimeout, nil},
		{"Caddy", settings{}, http.StatusRequestTimeout, []int{http.StatusRequestTimeout}},        // when the body ends
		{"ReverseProxy", settings{}, http.StatusRequestTimeout, []int{http.StatusRequestTimeout}}, // the same
	} {
		t.Run(proxy.name, func(t *testing.T) {
			t.Parallel()
			b := startBackend(t, backendConfig{readTimeout: readTimeout})
			address := frontOf(t, proxy.name)(t, proxy.with, b.address)
			d := good("slow")
			d.pause = 3 * readTimeout / time.Duration(len(d.body))
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			got := post(ctx, address, d)
			assert.Equal(t, proxy.status, got.status)
			assert.Equal(t, proxy.received, b.observed())
		})
	}
}
