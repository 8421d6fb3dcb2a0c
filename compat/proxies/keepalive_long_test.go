//go:build long

package proxies

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// TestKeepAlive_defaultTimeouts is the same with the proxies' own timeouts, of 60 s and more, and a
// server that waits longer. It takes six minutes: for those who change the table in
// docs/deploying.md.
func TestKeepAlive_defaultTimeouts(t *testing.T) {
	for _, proxy := range []struct {
		name string
		with settings
		own  time.Duration // the proxy's timeout
		idle time.Duration // the server's
	}{
		{"nginx", settings{upstream: "keepalive 64;"}, 60 * time.Second, 75 * time.Second},
		{"Varnish", settings{}, 60 * time.Second, 75 * time.Second},
		{"ReverseProxy", settings{}, 90 * time.Second, 105 * time.Second},
		{"Caddy", settings{global: "transport http {\n keepalive_idle_conns_per_host 64\n}"}, 120 * time.Second, 135 * time.Second},
	} {
		t.Run(proxy.name, func(t *testing.T) {
			t.Parallel()
			for _, gap := range []time.Duration{proxy.own, proxy.idle + unseen/2} {
				assert.Zero(t, burstAfter(t, frontOf(t, proxy.name), proxy.with, proxy.idle, gap, false), gap)
			}
		})
	}
}
