//go:build long

package proxies

import (
	"context"
	"errors"
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

// distance is how far the backend is from the proxy, each way: on loopback alone the window, in
// which a connection is closed and used at once, is too short to be met.
const distance = 10 * time.Millisecond

// TestKeepAlive_recommendedTimeouts sends bursts just when the proxy, and then the Go server,
// closes its idle connections. With the proxy's shorter than the server's none fails.
func TestKeepAlive_recommendedTimeouts(t *testing.T) {
	const short, idle = 8 * time.Second, 10 * time.Second
	for _, proxy := range []struct {
		name string
		with settings
		gaps []time.Duration
		keep bool // the sender keeps its connection, to which HAProxy binds the backend's
	}{
		{"nginx, keepalive_timeout 8s", settings{upstream: "keepalive 64; keepalive_timeout 8s;"}, []time.Duration{short, idle}, false},
		{"HAProxy, http-keep-alive 8s", settings{global: "timeout http-keep-alive 8s"}, []time.Duration{idle}, true},
		{"HAProxy, pool-max-conn 0", settings{upstream: "pool-max-conn 0"}, []time.Duration{idle}, true},
		{"Varnish, backend_idle_timeout=8", settings{args: []string{"-p", "backend_idle_timeout=8"}}, []time.Duration{short, idle}, false},
		{"Apache, ttl=8", settings{upstream: "ttl=8"}, []time.Duration{short, idle}, false},
		{"Caddy, keepalive 8s", settings{global: "transport http {\n keepalive 8s\n keepalive_idle_conns_per_host 64\n}"}, []time.Duration{short, idle}, false},
		{"ReverseProxy, IdleConnTimeout", settings{upstream: "8s"}, []time.Duration{short, idle}, false},
	} {
		t.Run(proxy.name, func(t *testing.T) {
			t.Parallel()
			failed, _ := bursts(t, frontOf(t, proxy.name), proxy.with, idle, proxy.gaps, proxy.keep)
			assert.Zero(t, failed)
		})
	}
}

// TestKeepAlive_seesTheRace shows that the test above can fail: nginx keeps connections for 60 s,
// and the server closes them after 10.
func TestKeepAlive_seesTheRace(t *testing.T) {
	t.Parallel()
	const idle = 10 * time.Second
	failed, sent := bursts(t, nginx, settings{upstream: "keepalive 64;"}, idle, []time.Duration{idle, idle}, false)
	assert.Positive(t, failed)
	t.Logf("%d of %d failed", failed, sent)
}

// bursts sends 20 deliveries at once, which leaves as many idle connections, and after each gap
// as many again, spread from 30 ms before it to 10 ms after it.
func bursts(t *testing.T, start front, with settings, idle time.Duration, gaps []time.Duration, keep bool) (failed, sent int) {
	t.Helper()
	const senders = 20
	b := startBackend(t, backendConfig{idle: idle, work: 50 * time.Millisecond})
	address := start(t, with, relay(t, b.address))
	connections := make([]*sender, senders)
	for i := range connections {
		connections[i] = &sender{address: address}
		defer connections[i].close() //nolint:gocritic // all of them are open at once
	}
	ended := make([]time.Time, senders)
	burst := func(round int, gap time.Duration) {
		var all sync.WaitGroup
		var mu sync.Mutex
		for i, s := range connections {
			all.Go(func() {
				if gap > 0 {
					time.Sleep(time.Until(ended[i].Add(gap + time.Duration(2*i-30)*time.Millisecond)))
				}
				d := good(fmt.Sprintf("task_%d_%d", round, i))
				d.keep = keep
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				got := s.post(ctx, d)
				if !keep {
					s.close()
				}
				ended[i] = time.Now()
				mu.Lock()
				defer mu.Unlock()
				sent++
				if got.status != http.StatusOK {
					failed++
				}
				assert.Equal(t, got.status == http.StatusOK, b.count(d.id) == 1, "%s: %d", d.id, got.status)
			})
		}
		all.Wait()
	}
	burst(0, 0)
	require.Zero(t, failed, "of the first ones, over new connections")
	for round, gap := range gaps {
		burst(round+1, gap)
	}
	return failed, sent
}

// relay stands between a proxy and its backend, distance away from both.
func relay(t *testing.T, backend string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var all sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(func() { cancel(); _ = listener.Close(); all.Wait() })
	all.Go(func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			far, err := new(net.Dialer).DialContext(ctx, "tcp", backend)
			if err != nil {
				_ = near.Close()
				continue
			}
			stop := context.AfterFunc(ctx, func() { _ = near.Close(); _ = far.Close() })
			var both sync.WaitGroup
			both.Go(func() { delay(far, near) })
			both.Go(func() { delay(near, far) })
			all.Go(func() {
				both.Wait()
				stop()
				_ = near.Close()
				_ = far.Close()
			})
		}
	})
	return listener.Addr().String()
}

// delay copies what it reads, and the end, when it is distance old.
func delay(to, from net.Conn) {
	type piece struct {
		at   time.Time
		data []byte
		err  error
	}
	pieces := make(chan piece, 1024)
	go func() {
		defer close(pieces)
		for {
			buffer := make([]byte, 32<<10)
			n, err := from.Read(buffer)
			pieces <- piece{time.Now().Add(distance), buffer[:n], err}
			if err != nil {
				return
			}
		}
	}()
	broken := false
	for p := range pieces {
		if broken {
			continue
		}
		time.Sleep(time.Until(p.at))
		if len(p.data) > 0 {
			if _, err := to.Write(p.data); err != nil {
				broken = true
				_ = from.Close()
			}
		}
		if p.err != nil {
			if tcp, ok := to.(*net.TCPConn); ok && errors.Is(p.err, io.EOF) {
				_ = tcp.CloseWrite()
			} else {
				_ = to.Close()
			}
		}
	}
}
