package inboxtest

import (
	"context"
	"database/sql"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/internal/mariadbserver"
	"github.com/ittybit/ittybit-go/internal/pgserver"
	"github.com/ittybit/ittybit-go/sqlinbox"
)

// post sends one signed webhook to an address, and gives the answer's status.
func post(t *testing.T, address, body string) int {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+address+"/", strings.NewReader(body))
	if !assert.NoError(t, err) {
		return 0
	}
	request.Header.Set(ittybit.SignatureHeader, ittybit.SignWebhook(Secret, time.Now(), []byte(body)))
	answer, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(request)
	if !assert.NoError(t, err) {
		return 0
	}
	_, err = io.Copy(io.Discard, answer.Body)
	assert.NoError(t, err)
	assert.NoError(t, answer.Body.Close())
	return answer.StatusCode
}

// Fleet shows that of sixteen deliveries of one event to four processes one has an effect.
func Fleet(t *testing.T, s Server) {
	b := s.bench(t)
	setup := s.setup("127.0.0.1:0")
	setup.Slow = 50 * time.Millisecond
	var fleet []*receiver
	for range 4 {
		fleet = append(fleet, startReceiver(t, setup))
	}
	for _, r := range fleet {
		<-r.ready
		require.NotEmpty(t, r.address)
	}
	const rounds = 3
	for n := range rounds {
		start := make16()
		var all sync.WaitGroup
		for i := range 16 {
			all.Go(func() {
				start.wait()
				assert.Equal(t, http.StatusOK, post(t, fleet[i%len(fleet)].address, body(n)))
			})
		}
		all.Wait()
	}
	assert.Equal(t, rounds, b.effects(t))
	assert.Equal(t, rounds, b.rows(t, "handled"))
}

// gate opens when sixteen wait at it.
type gate struct{ waiting sync.WaitGroup }

func make16() *gate {
	g := new(gate)
	g.waiting.Add(16)
	return g
}

func (g *gate) wait() { g.waiting.Done(); g.waiting.Wait() }

// server is one that can be stopped, as by a crash, and started again.
type server interface {
	Pause() error
	Resume(ctx context.Context) error
}

// PostgresStopped stops and starts PostgreSQL while events are delivered.
func PostgresStopped(t *testing.T) {
	server := pgserver.NewServer(t)
	serverStopped(t, server, sqlinbox.Postgres, openSQL(t, "pgx", server.URL()))
}

// MariaDBStopped kills MariaDB, and starts it again, while events are delivered.
func MariaDBStopped(t *testing.T) {
	server := mariadbserver.NewServer(t)
	_, err := openSQL(t, "mysql", server.DSN("")).ExecContext(t.Context(), "CREATE DATABASE test")
	require.NoError(t, err)
	serverStopped(t, server, sqlinbox.MySQL, openSQL(t, "mysql", server.DSN("test")))
}

func serverStopped(t *testing.T, server server, dialect sqlinbox.Dialect, db *sql.DB) {
	b := newBench(t, &Backend{Dialect: dialect, New: OverSQL(db, dialect), Exec: execFor(dialect), DB: db})
	var mu sync.Mutex
	answers := map[int]int{}
	stopped, whileStopped := false, map[int]int{}
	webhook, err := ittybit.NewWebhookHandler(Secret, b.inbox.Wrap(receiverSetup{Troubled: true}.handler(b.Exec)))
	require.NoError(t, err)
	s := newSender(t)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		before := stopped
		mu.Unlock()
		status := &statusWriter{ResponseWriter: w}
		webhook.ServeHTTP(status, r)
		mu.Lock()
		defer mu.Unlock()
		answers[status.code]++
		if before && stopped {
			whileStopped[status.code]++
		}
	}))
	defer srv.Close()
	s.address = strings.TrimPrefix(srv.URL, "http://")

	const events, stops = 600, 3
	for n := range stops {
		s.allow((n + 1) * events / (stops + 1))
		s.waitFor(t, func() bool { return len(s.keys) >= n*events/(stops+1)+events/20 }) // it is in full swing
		require.NoError(t, server.Pause())
		mu.Lock()
		stopped, whileStopped = true, map[int]int{200: whileStopped[200]}
		mu.Unlock()
		require.Eventually(t, func() bool { // deliveries run into it
			mu.Lock()
			defer mu.Unlock()
			return whileStopped[503] >= 20
		}, 30*time.Second, 5*time.Millisecond)
		acknowledged := s.acknowledged()
		mu.Lock()
		stopped = false
		mu.Unlock()
		require.NoError(t, server.Resume(t.Context()))
		b.holds(t, acknowledged)
	}
	s.allow(events)
	s.wait(t, events)
	acknowledged, attempts, _ := s.figures()
	assert.Len(t, acknowledged, events)
	b.holds(t, acknowledged)
	assert.Equal(t, events, b.effects(t))
	mu.Lock()
	defer mu.Unlock()
	assert.Zero(t, whileStopped[200], "nothing can have been committed")
	t.Logf("%d events, the server stopped %d times, %d delivery attempts, answers by status %v, those while it was stopped the last time %v",
		events, stops, attempts, answers, whileStopped)
}

// statusWriter remembers the status.
type statusWriter struct {
	http.ResponseWriter
	code int
}

func (w *statusWriter) WriteHeader(code int) { w.code = code; w.ResponseWriter.WriteHeader(code) }

// Unwrap is for http.ResponseController.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
