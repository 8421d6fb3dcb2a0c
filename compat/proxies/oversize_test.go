package proxies

import (
	"context"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
)

// TestOversize pins down what becomes of a refusal that the receiver sends before it has read the
// whole body.
func TestOversize(t *testing.T) {
	for _, proxy := range []struct {
		name   string
		with   settings
		status int
	}{
		{"nginx", settings{}, http.StatusRequestEntityTooLarge},
		{"nginx, proxy_request_buffering off", settings{global: "proxy_request_buffering off;"}, http.StatusRequestEntityTooLarge},
		{"HAProxy", settings{}, http.StatusRequestEntityTooLarge},
		{"Varnish", settings{}, http.StatusRequestEntityTooLarge},
		{"Apache", settings{}, http.StatusRequestEntityTooLarge},
		{"Caddy", settings{}, http.StatusRequestEntityTooLarge},
		{"ReverseProxy", settings{}, http.StatusRequestEntityTooLarge},
	} {
		for framing, chunked := range map[string]bool{"length": false, "chunked": true} {
			t.Run(proxy.name+"/"+framing, func(t *testing.T) {
				t.Parallel()
				b := startBackend(t, backendConfig{maxBody: 64 << 10})
				address := frontOf(t, proxy.name)(t, proxy.with, b.address)
				body := payload("large", 900<<10)
				ctx, cancel := context.WithTimeout(t.Context(), waitLimit)
				defer cancel()
				got := post(ctx, address, delivery{
					id: "large", body: body, chunked: chunked, fields: []string{"Ittybit-Signature: " + signatureOf(body)},
				})
				assert.Equal(t, proxy.status, got.status)
				assert.Zero(t, b.total())
			})
		}
	}
}
