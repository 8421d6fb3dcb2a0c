package ittybit_test

import (
	"context"
	"errors"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
)

type webhookValueKey struct{}

func TestWebhookHandler_givesTheHandlerAContextOfItsOwn(t *testing.T) {
	const timeout = time.Hour
	contexts := make(chan context.Context, 1)
	h := webhookHandler(t, ittybit.EventHandlerFunc(func(ctx context.Context, _ *ittybit.Event) error {
		contexts <- ctx
		assert.NoError(t, ctx.Err())
		return nil
	}), ittybit.WithProcessingTimeout(timeout))
	before := time.Now()
	srv := webhookServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), webhookValueKey{}, "trace")))
	}))
	assert.Equal(t, http.StatusOK, webhookDeliver(t, srv, webhookPageBody).Status)

	ctx := webhookReceive(t, contexts)
	assert.Equal(t, "trace", ctx.Value(webhookValueKey{}))
	assert.NotNil(t, ctx.Value(http.ServerContextKey))
	deadline, ok := ctx.Deadline()
	require.True(t, ok)
	assert.WithinRange(t, deadline, before.Add(timeout), time.Now().Add(timeout))
	require.ErrorIs(t, ctx.Err(), context.Canceled, "over with the delivery")
}

func TestWebhookHandler_countsTheDeadlineFromTheRequestsStart(t *testing.T) {
	const timeout = time.Hour
	deadlines := make(chan time.Time, 1)
	h := webhookHandler(t, ittybit.EventHandlerFunc(func(ctx context.Context, _ *ittybit.Event) error {
		deadline, _ := ctx.Deadline()
		deadlines <- deadline
		return nil
	}), ittybit.WithProcessingTimeout(timeout))
	var bodyDone time.Time
	r := signedRequest("{}")
	r.Body = &webhookSlowBody{r.Body, &bodyDone}
	h.ServeHTTP(httptest.NewRecorder(), r)
	deadline := webhookReceive(t, deadlines)
	assert.Less(t, deadline.Sub(bodyDone), timeout, "the time that the body took is the sender's, too")
}

type webhookSlowBody struct {
	body interface{ Read([]byte) (int, error) }
	done *time.Time
}

func (b *webhookSlowBody) Read(p []byte) (int, error) {
	time.Sleep(2 * time.Millisecond)
	*b.done = time.Now()
	return b.body.Read(p)
}

func (b *webhookSlowBody) Close() error { return nil }

func TestWebhookHandler_goesOnWhenTheSenderHangsUp(t *testing.T) {
	started, hungUp := make(chan struct{}), make(chan struct{})
	results := make(chan error, 1)
	recorder := newWebhookRecorder()
	h := webhookHandler(t, ittybit.EventHandlerFunc(func(ctx context.Context, _ *ittybit.Event) error {
		close(started)
		<-hungUp
		results <- ctx.Err()
		return nil
	}), ittybit.WithObserver(recorder.observe))
	srv := webhookServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		go func() {
			<-r.Context().Done() // the server has seen it
			close(hungUp)
		}()
		h.ServeHTTP(w, r)
	}))
	ctx, hangUp := context.WithCancel(t.Context())
	go func() { <-started; hangUp() }()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, srv.URL, strings.NewReader(webhookPageBody))
	require.NoError(t, err)
	r.Header.Set(ittybit.SignatureHeader, signedHeader(webhookPageBody))
	require.ErrorIs(t, webhookDo(srv.Client(), r).Err, context.Canceled)

	require.NoError(t, webhookReceive(t, results), "work that is nearly done is finished")
	assert.Equal(t, ittybit.OutcomeHandled, recorder.next(t).Outcome)
}

func TestWebhookHandler_isWaitedForByShutdown(t *testing.T) {
	started, finish := make(chan struct{}), make(chan struct{})
	recorder := newWebhookRecorder()
	h := webhookHandler(t, ittybit.EventHandlerFunc(func(context.Context, *ittybit.Event) error {
		close(started)
		<-finish
		return nil
	}), ittybit.WithObserver(recorder.observe))
	srv := webhookServer(t, h)
	answers := webhookBackground(srv, webhookPageBody)
	webhookReceive(t, started)

	down := make(chan error, 1)
	go func() { down <- srv.Config.Shutdown(context.Background()) }()
	// Once it takes no more connections, Shutdown is waiting.
	require.Eventually(t, func() bool {
		conn, err := net.Dial("tcp", srv.Listener.Addr().String())
		if err == nil {
			assert.NoError(t, conn.Close())
		}
		return err != nil
	}, webhookPatience, time.Millisecond)
	webhookStillOpen(t, down, "Shutdown must wait for the handler")
	webhookStillOpen(t, answers, "the handler has not returned")

	close(finish)
	require.NoError(t, webhookReceive(t, down))
	answer := webhookReceive(t, answers)
	require.NoError(t, answer.Err)
	assert.Equal(t, http.StatusOK, answer.Status)
	assert.Equal(t, ittybit.OutcomeHandled, recorder.next(t).Outcome)
}

func webhookBoom(context.Context, *ittybit.Event) error { panic("boom") }

func TestWebhookHandler_takesErrAbortHandlerAsAnyPanic(t *testing.T) {
	recorder := newWebhookRecorder()
	store := new(webhookStore)
	var serverLog testLog
	srv := httptest.NewUnstartedServer(webhookHandler(t, ittybit.Deduplicate(store, ittybit.EventHandlerFunc(
		func(context.Context, *ittybit.Event) error { panic(http.ErrAbortHandler) })), ittybit.WithObserver(recorder.observe), ittybit.WithMaxInFlight(1)))
	srv.Config.ErrorLog = log.New(&serverLog, "", 0)
	srv.Start()
	t.Cleanup(srv.Close)
	for range 3 { // more often than WithMaxInFlight would let it, were it not given back
		assert.Equal(t, http.StatusInternalServerError, webhookDeliver(t, srv, webhookPageBody).Status)
		d := recorder.next(t)
		assert.Equal(t, ittybit.OutcomePanicked, d.Outcome)
		assert.Equal(t, http.StatusInternalServerError, d.StatusCode)
		require.ErrorIs(t, d.Err, http.ErrAbortHandler)
	}
	const claimed = "claim task:task_123abc:completed"
	assert.Equal(t, []string{claimed, "release", claimed, "release", claimed, "release"}, store.said())
	assert.Empty(t, serverLog.String(), "no panic reaches the server")
}

func TestWebhookHandler_leaksNothingWhereTheHandlerEndsItsGoroutine(t *testing.T) {
	recorder := newWebhookRecorder()
	store := ittybit.NewMemoryDeduplicator(10, time.Hour)
	var left atomic.Int64
	left.Store(3)
	srv := webhookServer(t, webhookHandler(t, ittybit.Deduplicate(store, ittybit.EventHandlerFunc(func(context.Context, *ittybit.Event) error {
		if left.Add(-1) >= 0 {
			runtime.Goexit()
		}
		return nil
	})), ittybit.WithObserver(recorder.observe), ittybit.WithMaxInFlight(1)))
	for range 3 {
		assert.Equal(t, http.StatusInternalServerError, webhookDeliver(t, srv, webhookPageBody).Status)
		d := recorder.next(t)
		assert.Equal(t, ittybit.OutcomeAborted, d.Outcome)
		assert.Equal(t, http.StatusInternalServerError, d.StatusCode)
		require.Error(t, d.Err)
	}
	// Neither the one place in flight nor the claim is lost.
	assert.Equal(t, http.StatusOK, webhookDeliver(t, srv, webhookPageBody).Status)
	assert.Equal(t, ittybit.OutcomeHandled, recorder.next(t).Outcome)
}

func TestWebhookHandler_boundsWhatIsInFlight(t *testing.T) {
	const limit = 3
	started, finish := make(chan struct{}, 10), make(chan struct{})
	recorder := newWebhookRecorder()
	srv := webhookServer(t, webhookHandler(t, ittybit.EventHandlerFunc(func(context.Context, *ittybit.Event) error {
		started <- struct{}{}
		<-finish
		return nil
	}), ittybit.WithMaxInFlight(limit), ittybit.WithObserver(recorder.observe)))
	var running []<-chan webhookAnswer
	for range limit {
		running = append(running, webhookBackground(srv, webhookPageBody))
		webhookReceive(t, started)
	}

	answer := webhookDeliver(t, srv, webhookPageBody)
	assert.Equal(t, http.StatusServiceUnavailable, answer.Status)
	assert.Equal(t, "1", answer.Header.Get("Retry-After"))
	assert.Equal(t, ittybit.OutcomeOverloaded, recorder.next(t).Outcome)
	unsigned := webhookSend(srv.Client(), http.MethodPost, srv.URL, webhookPageBody, "junk")
	assert.Equal(t, http.StatusUnauthorized, unsigned.Status, "a stranger does not learn how busy it is")
	recorder.next(t)

	close(finish)
	for _, answers := range running {
		assert.Equal(t, http.StatusOK, webhookReceive(t, answers).Status)
	}
	for range limit {
		recorder.next(t)
	}
	assert.Equal(t, http.StatusOK, webhookDeliver(t, srv, webhookPageBody).Status, "there is room again")
}

func TestWebhookHandler_handlesOnceWhatFailsTwice(t *testing.T) {
	recorder := newWebhookRecorder()
	var tries, handled atomic.Int64
	events := ittybit.NewEventMux()
	events.OnTaskCompleted(ittybit.TaskKindNSFW, func(context.Context, *ittybit.Event) error {
		switch tries.Add(1) {
		case 1:
			return errors.New("the database is away")
		case 2:
			panic("boom")
		}
		handled.Add(1)
		return nil
	})
	srv := webhookServer(t, webhookHandler(t, ittybit.Deduplicate(ittybit.NewMemoryDeduplicator(10, time.Hour), events), ittybit.WithObserver(recorder.observe)))
	for _, want := range []ittybit.Outcome{
		ittybit.OutcomeFailed, ittybit.OutcomePanicked, ittybit.OutcomeHandled, ittybit.OutcomeDuplicate, ittybit.OutcomeDuplicate,
	} {
		answer := webhookDeliver(t, srv, webhookPageBody)
		d := recorder.next(t)
		assert.Equal(t, want, d.Outcome)
		assert.Equal(t, d.StatusCode, answer.Status)
	}
	assert.EqualValues(t, 3, tries.Load())
	assert.EqualValues(t, 1, handled.Load())
}

func TestWebhookHandler_makesASecondDeliveryWaitForTheFirst(t *testing.T) {
	started, finish := make(chan struct{}, 2), make(chan struct{})
	recorder := newWebhookRecorder()
	store := &webhookCountingStore{Deduplicator: ittybit.NewMemoryDeduplicator(10, time.Hour), asked: make(chan struct{}, 10)}
	srv := webhookServer(t, webhookHandler(t, ittybit.Deduplicate(store, ittybit.EventHandlerFunc(func(context.Context, *ittybit.Event) error {
		started <- struct{}{}
		<-finish
		return nil
	})), ittybit.WithObserver(recorder.observe), ittybit.WithProcessingTimeout(time.Hour)))
	first := webhookBackground(srv, webhookPageBody)
	webhookReceive(t, started)
	webhookReceive(t, store.asked)
	second := webhookBackground(srv, webhookPageBody)
	webhookReceive(t, store.asked)
	webhookStillOpen(t, second, "it must wait for the first")
	webhookStillOpen(t, started, "it must not be handled")

	close(finish)
	assert.Equal(t, http.StatusOK, webhookReceive(t, first).Status)
	assert.Equal(t, http.StatusOK, webhookReceive(t, second).Status)
	assert.ElementsMatch(t, []ittybit.Outcome{ittybit.OutcomeHandled, ittybit.OutcomeDuplicate},
		[]ittybit.Outcome{recorder.next(t).Outcome, recorder.next(t).Outcome})
	webhookStillOpen(t, started, "it must not be handled again")
}

// webhookCountingStore says when it is asked for a claim.
type webhookCountingStore struct {
	ittybit.Deduplicator
	asked chan struct{}
}

func (s *webhookCountingStore) Claim(ctx context.Context, key string) (ittybit.Claim, error) {
	s.asked <- struct{}{}
	return s.Deduplicator.Claim(ctx, key)
}

func TestWebhookHandler_asksTheSecondDeliveryToComeAgainWhereTheFirstTakesTooLong(t *testing.T) {
	recorder := newWebhookRecorder()
	store := ittybit.NewMemoryDeduplicator(10, time.Hour)
	held := webhookClaim(t, store, "task:task_123abc:completed")
	srv := webhookServer(t, webhookHandler(t, ittybit.Deduplicate(store, recorder),
		ittybit.WithObserver(recorder.observe), ittybit.WithProcessingTimeout(20*time.Millisecond)))
	answer := webhookDeliver(t, srv, webhookPageBody)
	assert.Equal(t, http.StatusServiceUnavailable, answer.Status)
	assert.Equal(t, "1", answer.Header.Get("Retry-After"))
	assert.Equal(t, ittybit.OutcomeTimedOut, recorder.next(t).Outcome)
	assert.Empty(t, recorder.handled())

	require.NoError(t, held.Release(t.Context()))
	assert.Equal(t, http.StatusOK, webhookDeliver(t, srv, webhookPageBody).Status)
	assert.Len(t, recorder.handled(), 1)
}

func TestWebhookHandler_handlesEachProgressAndOneCompletion(t *testing.T) {
	recorder := newWebhookRecorder()
	srv := webhookServer(t, webhookHandler(t, ittybit.Deduplicate(ittybit.NewMemoryDeduplicator(10, time.Hour), recorder)))
	for _, body := range []string{webhookProgress("task_1", 10), webhookProgress("task_1", 20), webhookTask("task_1", "completed"), webhookTask("task_1", "completed")} {
		assert.Equal(t, http.StatusOK, webhookDeliver(t, srv, body).Status)
	}
	assert.Len(t, recorder.handled(), 3)
}

func TestWebhookHandler_letsAHandlerCallSeveralMuxesAtOnce(t *testing.T) {
	recorder := newWebhookRecorder()
	a, b := ittybit.NewEventMux(), ittybit.NewEventMux()
	h := webhookHandler(t, ittybit.EventHandlerFunc(func(ctx context.Context, e *ittybit.Event) error {
		var group sync.WaitGroup
		group.Go(func() { assert.NoError(t, a.HandleEvent(ctx, e)) })
		group.Go(func() { assert.NoError(t, b.HandleEvent(ctx, e)) })
		group.Wait()
		return nil
	}), ittybit.WithObserver(recorder.observe))
	for range 20 { // the race detector has something to find
		h.ServeHTTP(httptest.NewRecorder(), signedRequest(webhookPageBody))
		assert.Equal(t, ittybit.OutcomeIgnored, recorder.next(t).Outcome)
	}
}

func TestWebhookHandler_isSharedByManyGoroutines(t *testing.T) {
	const senders, events = 200, 50
	var mu sync.Mutex
	tries, handled := map[string]int{}, map[string]int{}
	mux := ittybit.NewEventMux()
	mux.OnTaskCompleted(ittybit.TaskKindNSFW, func(_ context.Context, e *ittybit.Event) error {
		mu.Lock()
		defer mu.Unlock()
		tries[e.Task.ID]++
		switch tries[e.Task.ID] {
		case 1:
			return errors.New("not yet")
		case 2:
			panic("nor now")
		}
		handled[e.Task.ID]++
		return nil
	})
	recorder := newWebhookRecorder()
	store := ittybit.NewMemoryDeduplicator(0, 0)
	h := webhookHandler(t, ittybit.Deduplicate(store, mux), ittybit.WithObserver(recorder.observe), ittybit.WithProcessingTimeout(time.Hour))
	srv := webhookServer(t, h)
	transport, ok := srv.Client().Transport.(*http.Transport)
	require.True(t, ok)
	transport.MaxConnsPerHost, transport.MaxIdleConnsPerHost = senders, senders

	start := make(chan struct{})
	failures := make(chan string, senders*10)
	var group sync.WaitGroup
	for i := range senders {
		group.Go(func() {
			body := webhookTask("task_"+strconv.Itoa(i%events), "completed")
			<-start
			for range 10 { // Ittybit tries again until it gets a 200
				answer := webhookSend(srv.Client(), http.MethodPost, srv.URL, body, signedHeader(body))
				if answer.Err != nil {
					failures <- answer.Err.Error()
					return
				}
				if answer.Status == http.StatusOK {
					break
				}
			}
			// Somebody else is knocking all the while.
			if got := webhookSend(srv.Client(), http.MethodPost, srv.URL, body, ittybit.SignWebhook("stranger", time.Now(), []byte(body))); got.Status != http.StatusUnauthorized {
				failures <- "a stranger got " + strconv.Itoa(got.Status)
			}
		})
	}
	close(start)
	group.Wait()
	close(failures)
	for failure := range failures {
		assert.Fail(t, failure)
	}
	mu.Lock()
	defer mu.Unlock()
	require.Len(t, handled, events)
	for id, times := range handled {
		assert.Equal(t, 1, times, id)
		assert.Equal(t, 3, tries[id], id)
	}
	outcomes := map[ittybit.Outcome]int{}
	for range senders*2 + 2*events {
		outcomes[recorder.next(t).Outcome]++
	}
	assert.Equal(t, map[ittybit.Outcome]int{
		ittybit.OutcomeHandled: events, ittybit.OutcomeFailed: events, ittybit.OutcomePanicked: events,
		ittybit.OutcomeDuplicate: senders - events, ittybit.OutcomeSignatureMismatch: senders,
	}, outcomes)
}

func TestVerify_isSharedByManyGoroutines(t *testing.T) {
	v := webhookVerifier(t, ittybit.WithSecrets("old"))
	var group sync.WaitGroup
	for i := range 200 {
		group.Go(func() {
			body := []byte("body " + strconv.Itoa(i))
			for _, secret := range []string{webhookSecret, "old"} {
				header := ittybit.SignWebhook(secret, signedAt, body)
				assert.NoError(t, v.Verify(body, header))
				assert.ErrorIs(t, v.Verify([]byte("another"), header), ittybit.ErrSignatureMismatch)
			}
		})
	}
	group.Wait()
}

func TestWebhookHandler_observesAgeAndWhatIsInFlight(t *testing.T) {
	recorder := newWebhookRecorder()
	entered, leave := make(chan struct{}), make(chan struct{})
	h := webhookHandler(t, ittybit.EventHandlerFunc(func(_ context.Context, e *ittybit.Event) error {
		if e.Task.ID == "task_slow" {
			entered <- struct{}{}
			<-leave
		}
		return nil
	}), ittybit.WithObserver(recorder.observe))
	srv := webhookServer(t, h)
	slow := webhookBackground(srv, webhookTask("task_slow", "completed"))
	<-entered

	before := time.Now().Truncate(time.Second)
	body := webhookTask("task_quick", "completed")
	require.NoError(t, webhookSend(srv.Client(), http.MethodPost, srv.URL, body, signedHeader(body)).Err)
	quick := recorder.next(t)
	assert.Equal(t, 1, quick.InFlight, "the slow one")
	assert.False(t, quick.Signed.Before(before), "%v", quick.Signed)
	assert.False(t, quick.Signed.After(time.Now()), "%v", quick.Signed)

	old := time.Now().Add(-time.Hour).Truncate(time.Second)
	require.NoError(t, webhookSend(srv.Client(), http.MethodPost, srv.URL, body, ittybit.SignWebhook(webhookSecret, old, []byte(body))).Err)
	late := recorder.next(t)
	assert.Equal(t, ittybit.OutcomeSignatureExpired, late.Outcome)
	assert.True(t, old.Equal(late.Signed), "authentic, if late: %v", late.Signed)
	require.NoError(t, webhookSend(srv.Client(), http.MethodPost, srv.URL, body, ittybit.SignWebhook("stranger", old, []byte(body))).Err)
	assert.Zero(t, recorder.next(t).Signed, "a stranger's time means nothing")

	close(leave)
	require.NoError(t, webhookReceive(t, slow).Err)
	assert.Zero(t, recorder.next(t).InFlight)
}

func TestWebhookHandler_observesWhyADeliveryWasOneTooMany(t *testing.T) {
	recorder := newWebhookRecorder()
	var h *ittybit.WebhookHandler
	h = webhookHandler(t, ittybit.EventHandlerFunc(func(context.Context, *ittybit.Event) error {
		w := newWebhookWire()
		h.ServeHTTP(w, signedRequest(webhookTask("task_2", "completed")))
		assert.Contains(t, w.calls, "status 503")
		return nil
	}), ittybit.WithMaxInFlight(1), ittybit.WithObserver(recorder.observe))
	h.ServeHTTP(newWebhookWire(), signedRequest(webhookTask("task_1", "completed")))
	refused := recorder.next(t)
	assert.Equal(t, ittybit.OutcomeOverloaded, refused.Outcome)
	require.ErrorContains(t, refused.Err, "too many deliveries")
	assert.Nil(t, refused.Event)
	assert.Equal(t, ittybit.OutcomeHandled, recorder.next(t).Outcome)
}
