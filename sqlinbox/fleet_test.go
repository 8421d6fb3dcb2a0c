package sqlinbox_test

import (
	"context"
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
	"github.com/ittybit/ittybit-go/internal/pgserver/pgtest"
	"github.com/ittybit/ittybit-go/ittybittest"
	"github.com/ittybit/ittybit-go/sqlinbox"
)

// post sends one signed webhook to an address, and gives the answer's status.
func post(t *testing.T, address, body string) int {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+address+"/", strings.NewReader(body))
	if !assert.NoError(t, err) {
		return 0
	}
	request.Header.Set(ittybit.SignatureHeader, ittybit.SignWebhook(testSecret, time.Now(), []byte(body)))
	answer, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(request)
	if !assert.NoError(t, err) {
		return 0
	}
	_, err = io.Copy(io.Discard, answer.Body)
	assert.NoError(t, err)
	assert.NoError(t, answer.Body.Close())
	return answer.StatusCode
}

func TestFleet_ofSixteenDeliveriesToFourProcessesOneHasAnEffect(t *testing.T) {
	for name, open := range engines() {
		t.Run(name, func(t *testing.T) {
			e := open(t)
			b := newBench(t, e, e.open(t))
			var fleet []*receiver
			for range 4 {
				fleet = append(fleet, startReceiver(t, receiverSetup{
					Dialect: e.dialect, Driver: e.driver, Source: e.source, Address: "127.0.0.1:0", Slow: 50 * time.Millisecond,
				}))
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
						assert.Equal(t, http.StatusOK, post(t, fleet[i%len(fleet)].address, taskBody(n)))
					})
				}
				all.Wait()
			}
			assert.Equal(t, rounds, b.effects(t))
			assert.Equal(t, rounds, b.kept(t))
		})
	}
}

// gate opens when sixteen wait at it.
type gate struct{ waiting sync.WaitGroup }

func make16() *gate {
	g := new(gate)
	g.waiting.Add(16)
	return g
}

func (g *gate) wait() { g.waiting.Done(); g.waiting.Wait() }

func TestRedelivery_25HoursLaterHasNoEffect(t *testing.T) {
	onEach(t, engines(), func(t *testing.T, b *bench) {
		h := b.inbox.Wrap(ittybit.EventHandlerFunc(effect))
		now := time.Now()
		clock := func() time.Time { return now }
		var outcomes []ittybit.Outcome
		webhook, err := ittybit.NewWebhookHandler(testSecret, h, ittybit.WithTolerance(72*time.Hour), ittybit.WithClock(clock),
			ittybit.WithObserver(func(_ context.Context, d ittybit.Delivery) { outcomes = append(outcomes, d.Outcome) }))
		require.NoError(t, err)
		for _, signed := range []time.Duration{0, 0, 25 * time.Hour} { // the second redelivery is signed anew
			request := ittybittest.NewWebhookRequest(testSecret, taskBody(1))
			request.Header.Set(ittybit.SignatureHeader, ittybit.SignWebhook(testSecret, time.Now().Add(signed), []byte(taskBody(1))))
			answer := httptest.NewRecorder()
			webhook.ServeHTTP(answer, request)
			assert.Equal(t, http.StatusOK, answer.Code)
			if time.Until(now) < time.Hour { // 25 hours pass, for the verifier and for the table
				now = now.Add(25 * time.Hour)
				b.age(t, 25*time.Hour)
				_, err := b.inbox.Prune(t.Context(), 30*24*time.Hour)
				require.NoError(t, err)
			}
		}
		assert.Equal(t, []ittybit.Outcome{ittybit.OutcomeHandled, ittybit.OutcomeDuplicate, ittybit.OutcomeDuplicate}, outcomes)
		assert.Equal(t, 1, b.effects(t))
	})
}

// age makes all rows as if they had been received so much earlier, and gives when.
func (b *bench) age(t *testing.T, by time.Duration) time.Time {
	t.Helper()
	received := time.Now().UTC().Add(-by).Truncate(time.Microsecond)
	var value any = received
	if b.dialect == sqlinbox.SQLite {
		value = received.Format("2006-01-02T15:04:05.000000Z")
	}
	_, err := b.db.ExecContext(t.Context(), "UPDATE ittybit_inbox SET received_at = $1, handled_at = $1", value)
	require.NoError(t, err)
	return received
}

func TestPostgresStoppedAndStarted_losesAndDoublesNothing(t *testing.T) {
	server := pgtest.Server(t)
	e := engine{sqlinbox.Postgres, "pgx", server.URL()}
	b := newBench(t, e, e.open(t))
	var mu sync.Mutex
	answers := map[int]int{}
	stopped, whileStopped := false, map[int]int{}
	webhook, err := ittybit.NewWebhookHandler(testSecret, b.inbox.Wrap(receiverSetup{Troubled: true}.handler()))
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
	b.idle(t)
	mu.Lock()
	defer mu.Unlock()
	assert.Zero(t, whileStopped[200], "nothing can have been committed")
	t.Logf("%d events, PostgreSQL stopped %d times, %d delivery attempts, answers by status %v, those while it was stopped the last time %v",
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
