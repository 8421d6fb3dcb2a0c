//go:build unix

package inboxtest

import (
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Paused stops one of two receivers' processes, in the midst of deliveries, for longer than the
// deadlines of the sender and of the receivers, and has it go on. Each attempt to deliver goes to
// either of the two.
func Paused(t *testing.T, s Server) {
	events, pauses, pause := 60, 1, 6*time.Second // the sender's deadline is 5 s
	if full, kills := crashSize(t); kills > 4 {
		events, pauses, pause = full/5, 3, 11*time.Second // and that of a commit begun at the end of the handler's
	}
	b := s.bench(t)
	setup := s.setup("127.0.0.1:0")
	setup.Troubled = true
	var addresses []string
	var receivers []*receiver
	for range 2 {
		r := startReceiver(t, setup)
		<-r.ready
		require.NotEmpty(t, r.address)
		receivers, addresses = append(receivers, r), append(addresses, r.address)
	}
	proxy := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: addresses[rand.IntN(len(addresses))]})
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	})
	defer proxy.Close()
	sender := newSender(t)
	sender.address = strings.TrimPrefix(proxy.URL, "http://")
	for n := range pauses {
		before := n * events / (pauses + 1)
		sender.allow((n + 1) * events / (pauses + 1))
		sender.waitFor(t, func() bool { return len(sender.keys) > before+events/20 })
		time.Sleep(rand.N(20 * time.Millisecond)) // a random moment
		paused := receivers[n%len(receivers)].cmd.Process
		require.NoError(t, paused.Signal(syscall.SIGSTOP))
		time.Sleep(pause)
		b.holds(t, sender.acknowledged())
		require.NoError(t, paused.Signal(syscall.SIGCONT))
	}
	sender.allow(events)
	sender.wait(t, events)
	for _, r := range receivers {
		r.kill()
	}
	all, attempts, answers := sender.figures()
	assert.Len(t, all, events)
	b.holds(t, all)
	assert.Equal(t, events, b.effects(t))
	assert.Equal(t, events, b.rows(t, "handled"))
	t.Logf("%d events to two processes, one of which was stopped %d times for %v, %d delivery attempts, answers by status %v (0: no answer in time), %d effects",
		events, pauses, pause, attempts, answers, b.effects(t))
}
