package proxies

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// unseen is how long a proxy does not see that the backend has closed a connection, as where the
// network loses the packet that says so: on loopback this is too short for a request to meet it.
const unseen = 2 * time.Second

// TestKeepAlive_recommendedTimeouts sends bursts just when the proxy closes its idle connections,
// and when the Go server has closed them. With the proxy's timeout shorter than the server's no
// delivery fails; nginx's own 60 s show that the test can fail.
func TestKeepAlive_recommendedTimeouts(t *testing.T) {
	const short, idle = 8 * time.Second, 10 * time.Second
	closed := idle + unseen/2
	for _, proxy := range []struct {
		name  string
		with  settings
		gaps  []time.Duration
		keep  bool // the sender keeps its connection, to which HAProxy binds the backend's
		fails bool
	}{
		{"nginx, keepalive_timeout 8s", settings{upstream: "keepalive 64; keepalive_timeout 8s;"}, []time.Duration{short, closed}, false, false},
		{"nginx, its own keepalive_timeout", settings{upstream: "keepalive 64;"}, []time.Duration{closed}, false, true},
		{"HAProxy, http-keep-alive 8s", settings{global: "timeout http-keep-alive 8s"}, []time.Duration{closed}, true, false},
		{"HAProxy, pool-max-conn 0", settings{upstream: "pool-max-conn 0"}, []time.Duration{closed}, true, false},
		{"Varnish, backend_idle_timeout=8", settings{args: []string{"-p", "backend_idle_timeout=8"}}, []time.Duration{short, closed}, false, false},
		{"Apache, ttl=8", settings{upstream: "ttl=8"}, []time.Duration{short, closed}, false, false},
		{"Caddy, keepalive 8s", settings{global: "transport http {\n keepalive 8s\n keepalive_idle_conns_per_host 64\n}"}, []time.Duration{short, closed}, false, false},
		{"ReverseProxy, IdleConnTimeout", settings{upstream: "8s"}, []time.Duration{short, closed}, false, false},
	} {
		for _, gap := range proxy.gaps {
			t.Run(fmt.Sprint(proxy.name, ", after ", gap), func(t *testing.T) {
				t.Parallel()
				failed := burstAfter(t, frontOf(t, proxy.name), proxy.with, idle, gap, proxy.keep)
				if proxy.fails {
					assert.Positive(t, failed)
					t.Logf("%d of 20 failed", failed)
				} else {
					assert.Zero(t, failed)
				}
			})
		}
	}
}

// burstAfter sends 20 deliveries at once, which leaves as many idle connections, and as many again
// from 0.1 s before the end of a gap to 0.1 s after it. It gives how many of these failed.
func burstAfter(t *testing.T, start front, with settings, idle, gap time.Duration, keep bool) (failed int) {
	t.Helper()
	const senders = 20
	b := startBackend(t, backendConfig{idle: idle, work: 500 * time.Millisecond})
	address := start(t, with, relay(t, b.address))
	connections := make([]*sender, senders)
	ended := make([]time.Time, senders)
	var all sync.WaitGroup
	for i := range connections {
		s := &sender{address: address}
		defer s.close() //nolint:gocritic // all of them are open at once
		connections[i] = s
		all.Go(func() {
			assert.True(t, handled(t, b, s, fmt.Sprintf("task_first_%d", i), keep), "over a new connection")
			ended[i] = time.Now()
		})
	}
	all.Wait()
	var mu sync.Mutex
	for i, s := range connections {
		all.Go(func() {
			time.Sleep(time.Until(ended[i].Add(gap + time.Duration(i-senders/2)*10*time.Millisecond)))
			if !handled(t, b, s, fmt.Sprintf("task_second_%d", i), keep) {
				mu.Lock()
				defer mu.Unlock()
				failed++
			}
		})
	}
	all.Wait()
	return failed
}

// handled sends a delivery, and reports whether the response says that it was handled; the backend
// must agree.
func handled(t *testing.T, b *backend, s *sender, id string, keep bool) bool {
	t.Helper()
	d := good(id)
	d.keep = keep
	ctx, cancel := context.WithTimeout(t.Context(), waitLimit)
	defer cancel()
	got := s.post(ctx, d)
	if !keep {
		s.close()
	}
	assert.Equal(t, got.status == http.StatusOK, b.count(id) == 1, "%s: %d", id, got.status)
	return got.status == http.StatusOK
}

// relay stands between a proxy and its backend, and passes the end of the backend's bytes on late.
func relay(t *testing.T, backend string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var all sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(func() { cancel(); _ = listener.Close(); all.Wait() })
	all.Go(func() {
		for {
			proxy, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := new(net.Dialer).DialContext(ctx, "tcp", backend)
			if err != nil {
				_ = proxy.Close()
				continue
			}
			all.Go(func() {
				_, _ = io.Copy(server, proxy)
				_ = server.Close()
			})
			all.Go(func() {
				_, _ = io.Copy(proxy, server)
				select {
				case <-time.After(unseen):
				case <-ctx.Done():
				}
				_ = proxy.Close()
			})
			context.AfterFunc(ctx, func() { _ = proxy.Close(); _ = server.Close() })
		}
	})
	return listener.Addr().String()
}
