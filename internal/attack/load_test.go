package attack

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
)

// result is what a sender gets to see.
type result struct {
	status int
	err    error
}

// deliverAside delivers in a goroutine of its own.
func deliverAside(send func() (int, error)) <-chan result {
	results := make(chan result, 1)
	go func() {
		status, err := send()
		results <- result{status, err}
	}()
	return results
}

func TestWebhookHandler_goesOnWhenTheSenderHangsUp(t *testing.T) {
	started, hungUp := make(chan struct{}), make(chan struct{})
	ends := make(chan error, 1)
	rec := newRecorder()
	h := newHandler(t, ittybit.EventHandlerFunc(func(ctx context.Context, _ *ittybit.Event) error {
		close(started)
		<-hungUp
		ends <- ctx.Err()
		return nil
	}), ittybit.WithObserver(rec.observe))
	srv := newServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		go func() {
			<-r.Context().Done() // the server has seen it
			close(hungUp)
		}()
		h.ServeHTTP(w, r)
	}), 0)
	ctx, hangUp := context.WithCancel(t.Context())
	go func() { <-started; hangUp() }()
	body := task("task_1")
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, srv.URL, strings.NewReader(body))
	require.NoError(t, err)
	r.Header.Set(ittybit.SignatureHeader, sign(body))
	_, err = srv.Client().Do(r)
	require.ErrorIs(t, err, context.Canceled)

	require.NoError(t, receive(t, ends), "work that is nearly done is finished")
	assert.Equal(t, ittybit.OutcomeHandled, receive(t, rec.outcomes))
}

func TestWebhookHandler_isWaitedForByShutdown(t *testing.T) {
	started, finish := make(chan struct{}), make(chan struct{})
	rec := newRecorder()
	srv := newServer(t, newHandler(t, ittybit.EventHandlerFunc(func(context.Context, *ittybit.Event) error {
		close(started)
		<-finish
		return nil
	}), ittybit.WithObserver(rec.observe)), 0)
	results := deliverAside(func() (int, error) { return deliverTo(srv, task("task_1"), sign(task("task_1"))) })
	receive(t, started)

	down := make(chan error, 1)
	go func() { down <- srv.Config.Shutdown(context.Background()) }()
	// Once it takes no more connections, Shutdown is waiting.
	require.Eventually(t, func() bool {
		c, err := net.Dial("tcp", srv.Listener.Addr().String())
		if err == nil {
			assert.NoError(t, c.Close())
		}
		return err != nil
	}, serverTimeout, time.Millisecond)
	assert.Empty(t, down, "Shutdown must wait for the handler")
	assert.Empty(t, results, "the handler has not returned")

	close(finish)
	require.NoError(t, receive(t, down))
	assert.Equal(t, result{status: http.StatusOK}, receive(t, results))
	assert.Equal(t, ittybit.OutcomeHandled, receive(t, rec.outcomes))
}

func TestWebhookHandler_boundsWhatIsInFlight(t *testing.T) {
	const limit = 3
	started, finish := make(chan struct{}, 10), make(chan struct{})
	rec := newRecorder()
	srv := newServer(t, newHandler(t, ittybit.EventHandlerFunc(func(context.Context, *ittybit.Event) error {
		started <- struct{}{}
		<-finish
		return nil
	}), ittybit.WithMaxInFlight(limit), ittybit.WithObserver(rec.observe)), 0)
	body := task("task_1")
	var running []<-chan result
	for range limit {
		running = append(running, deliverAside(func() (int, error) { return deliverTo(srv, body, sign(body)) }))
		receive(t, started)
	}

	c := dialServer(t, srv)
	require.True(t, c.say(whole(body, sign(body))))
	resp, err := http.ReadResponse(c.reader, nil)
	require.NoError(t, err)
	assert.NoError(t, resp.Body.Close())
	assert.Equal(t, http.StatusServiceUnavailable, resp.StatusCode)
	assert.Equal(t, "1", resp.Header.Get("Retry-After"))
	assert.Equal(t, ittybit.OutcomeOverloaded, receive(t, rec.outcomes))
	status, err := deliverTo(srv, body, "junk")
	require.NoError(t, err)
	assert.Equal(t, http.StatusUnauthorized, status, "a stranger does not learn how busy it is")
	receive(t, rec.outcomes)

	close(finish)
	for _, results := range running {
		assert.Equal(t, result{status: http.StatusOK}, receive(t, results))
	}
	for range limit {
		assert.Equal(t, ittybit.OutcomeHandled, receive(t, rec.outcomes))
	}
	assert.Equal(t, http.StatusOK, deliver(t, srv, body), "there is room again")
}

// attempts counts what becomes of each task whose first two attempts fail.
type attempts struct {
	mu               sync.Mutex
	started, handled map[string]int
}

func (n *attempts) handle(_ context.Context, e *ittybit.Event) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.started[e.Task.ID]++
	switch n.started[e.Task.ID] {
	case 1:
		return errors.New("not yet")
	case 2:
		panic("nor now")
	}
	n.handled[e.Task.ID]++
	return nil
}

func TestWebhookHandler_isSharedByManyGoroutines(t *testing.T) {
	const senders, events = 200, 50
	counts := &attempts{started: map[string]int{}, handled: map[string]int{}}
	rec := newRecorder()
	store := ittybit.NewMemoryDeduplicator(0, 0)
	h := newHandler(t, ittybit.Deduplicate(store, ittybit.EventHandlerFunc(counts.handle)),
		ittybit.WithObserver(rec.observe), ittybit.WithProcessingTimeout(time.Hour))
	srv := newServer(t, h, 0)
	transport, ok := srv.Client().Transport.(*http.Transport)
	require.True(t, ok)
	transport.MaxConnsPerHost, transport.MaxIdleConnsPerHost = senders, senders

	start := make(chan struct{})
	var group sync.WaitGroup
	for i := range senders {
		group.Go(func() {
			body := task("task_" + strconv.Itoa(i%events))
			<-start
			for range 10 { // Ittybit tries again until it gets a 200
				status, err := deliverTo(srv, body, sign(body))
				if !assert.NoError(t, err) || status == http.StatusOK {
					break
				}
			}
			// Somebody else sends all the while.
			status, err := deliverTo(srv, body, ittybit.SignWebhook("stranger", time.Now(), []byte(body)))
			assert.NoError(t, err)
			assert.Equal(t, http.StatusUnauthorized, status)
		})
	}
	close(start)
	group.Wait()
	require.Len(t, counts.handled, events)
	for id, times := range counts.handled {
		assert.Equal(t, 1, times, id)
		assert.Equal(t, 3, counts.started[id], id)
	}
	outcomes := map[ittybit.Outcome]int{}
	for range senders*2 + 2*events {
		outcomes[receive(t, rec.outcomes)]++
	}
	assert.Equal(t, map[ittybit.Outcome]int{
		ittybit.OutcomeHandled: events, ittybit.OutcomeFailed: events, ittybit.OutcomePanicked: events,
		ittybit.OutcomeDuplicate: senders - events, ittybit.OutcomeSignatureMismatch: senders,
	}, outcomes)
}
