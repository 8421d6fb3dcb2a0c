package ittybit_test

import (
	"context"
	"errors"
	"hash"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"runtime"
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
	require.NoError(t, webhookSend(srv.Client(), http.MethodPost, srv.URL, body, ittybit.SignWebhook("a key of a stranger", old, []byte(body))).Err)
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

func TestMiddleware_givesBackWhatItTakes(t *testing.T) {
	large := strings.Repeat("x", 4<<20)
	h := webhookMiddleware(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }, ittybit.WithMaxBodyBytes(8<<20))
	signature := signedHeader(large)
	for n := range 20 { // 20 × 4 MiB are more than may be held at once
		r := signedRequest(large)
		want := "status 204"
		if r.Header.Set(ittybit.SignatureHeader, signature); n%2 == 1 {
			r.Header.Set(ittybit.SignatureHeader, "junk")
			want = "status 401"
		}
		w := newWebhookWire()
		h.ServeHTTP(w, r)
		require.Contains(t, w.calls, want)
	}
}

// webhookMiddleware wraps next with the clock of real life.
func webhookMiddleware(tb testing.TB, next http.HandlerFunc, opts ...ittybit.VerifierOption) http.Handler {
	tb.Helper()
	v, err := ittybit.NewWebhookVerifier(webhookSecret, opts...)
	require.NoError(tb, err)
	return v.Middleware(next)
}

func TestMiddleware_handsOnTheVerifiedRequest(t *testing.T) {
	for name, chunked := range map[string]bool{"with a length": false, "chunked": true} {
		t.Run(name, func(t *testing.T) {
			large := `{"x":"` + strings.Repeat("x", 100_000) + `"}`
			calls := 0
			mux := http.NewServeMux()
			mux.Handle("/hooks/{name}", webhookMiddleware(t, func(w http.ResponseWriter, r *http.Request) {
				calls++
				body, err := io.ReadAll(r.Body)
				assert.NoError(t, err)
				assert.Equal(t, large, string(body))
				assert.EqualValues(t, len(large), r.ContentLength)
				assert.Empty(t, r.TransferEncoding)
				assert.Equal(t, "nsfw", r.PathValue("name"))
				assert.Equal(t, "1", r.URL.Query().Get("ref"))
				assert.NotEmpty(t, r.Header.Get(ittybit.SignatureHeader))
				assert.NoError(t, r.Context().Err())
				n, err := r.Body.Read(make([]byte, 1))
				assert.Zero(t, n)
				assert.ErrorIs(t, err, io.EOF)
				assert.NoError(t, r.Body.Close())
				_, err = r.Body.Read(make([]byte, 1))
				assert.ErrorIs(t, err, http.ErrBodyReadAfterClose)
				w.WriteHeader(http.StatusTeapot)
			}))
			srv := webhookServer(t, mux)
			var body io.Reader = strings.NewReader(large)
			if chunked {
				body = io.MultiReader(body) // net/http can't tell its length
			}
			r, err := http.NewRequest(http.MethodPut, srv.URL+"/hooks/nsfw?ref=1", body) // the method is next's business
			require.NoError(t, err)
			r.Header.Set(ittybit.SignatureHeader, signedHeader(large))
			answer := webhookDo(srv.Client(), r)
			require.NoError(t, answer.Err)
			assert.Equal(t, http.StatusTeapot, answer.Status)
			assert.Equal(t, 1, calls)
		})
	}
}

func TestMiddleware_refuses(t *testing.T) {
	const body = `{"id":"task_1"}`
	tests := map[string]struct {
		opts   []ittybit.VerifierOption
		body   string
		header string
		status int
	}{
		"missing":        {nil, body, "", 401},
		"malformed":      {nil, body, "junk", 401},
		"wrong":          {nil, body, ittybit.SignWebhook("a key of a stranger", time.Now(), []byte(body)), 401},
		"too old":        {nil, body, signedAgo(time.Hour)(body)[0], 401},
		"too large":      {[]ittybit.VerifierOption{ittybit.WithMaxBodyBytes(14)}, body, signedHeader(body), 413},
		"over the limit": {nil, strings.Repeat("x", ittybit.DefaultMaxBodyBytes+1), "", 413},
		"over budget":    {[]ittybit.VerifierOption{ittybit.WithMaxBodyBytes(1 << 30)}, strings.Repeat("x", ittybit.DefaultMaxBufferedBytes+1), "", 503},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			h := webhookMiddleware(t, func(http.ResponseWriter, *http.Request) { t.Error("next must not be reached") }, tt.opts...)
			r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(tt.body))
			r.Header.Set(ittybit.SignatureHeader, tt.header)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			assert.Equal(t, tt.status, w.Code)
			assert.Equal(t, http.StatusText(tt.status)+"\n", w.Body.String())
			assert.Equal(t, tt.status == 503, w.Header().Get("Retry-After") == "1")
		})
	}
}

func TestMiddleware_takesTheBodyBackWhenNextHasReturned(t *testing.T) {
	var kept io.ReadCloser
	read := make(chan error, 1)
	var group sync.WaitGroup
	h := webhookMiddleware(t, func(_ http.ResponseWriter, r *http.Request) {
		kept = r.Body
		group.Go(func() { // one who goes on reading all the while, for the race detector
			for {
				if _, err := r.Body.Read(make([]byte, 1)); err == http.ErrBodyReadAfterClose { //nolint:errorlint // as net/http gives it
					read <- err
					return
				}
			}
		})
	})
	large := strings.Repeat("x", 1000)
	h.ServeHTTP(httptest.NewRecorder(), signedRequest(large))
	// The buffer is used again meanwhile.
	for range 20 {
		other := webhookMiddleware(t, func(_ http.ResponseWriter, r *http.Request) { _, _ = io.ReadAll(r.Body) })
		other.ServeHTTP(httptest.NewRecorder(), signedRequest(large))
	}
	require.ErrorIs(t, webhookReceive(t, read), http.ErrBodyReadAfterClose)
	group.Wait()
	n, err := kept.Read(make([]byte, 10))
	assert.Zero(t, n)
	require.ErrorIs(t, err, http.ErrBodyReadAfterClose)
	assert.NoError(t, kept.Close())
}

func TestMiddleware_isNotAcknowledgedByAnAdapterWhatNextDidNotFinish(t *testing.T) {
	for name, end := range map[string]func(){
		"a panic":                func() { panic("boom") },
		"http.ErrAbortHandler":   func() { panic(http.ErrAbortHandler) },
		"the end of a goroutine": runtime.Goexit,
	} {
		t.Run(name, func(t *testing.T) {
			w := httptest.NewRecorder()
			reason := webhookServe(webhookMiddleware(t, func(http.ResponseWriter, *http.Request) { end() }), w, signedRequest("{}"))
			assert.Equal(t, http.StatusInternalServerError, w.Code)
			assert.Equal(t, name != "the end of a goroutine", reason != nil, "it goes on to whoever is around")

			w = httptest.NewRecorder()
			webhookServe(webhookMiddleware(t, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(http.StatusAccepted)
				end()
			}), w, signedRequest("{}"))
			assert.Equal(t, http.StatusAccepted, w.Code, "what next has written stands")
		})
	}
	w := httptest.NewRecorder()
	h := webhookMiddleware(t, func(http.ResponseWriter, *http.Request) { t.Error("next must not be reached") },
		ittybit.WithSignedContent(func(hash.Hash, string, []byte) { panic("boom") }))
	webhookServe(h, w, signedRequest("{}"))
	assert.Equal(t, http.StatusInternalServerError, w.Code)
	large := strings.Repeat("x", 60_000)
	for range 2 * ittybit.DefaultMaxBufferedBytes / len(large) { // what a stranger can cause must not use the budget up
		w = httptest.NewRecorder()
		webhookServe(h, w, signedRequest(large))
		require.Equal(t, http.StatusInternalServerError, w.Code)
	}
}

func TestMiddleware_takesTheBodyBackAlsoAfterAPanic(t *testing.T) {
	var kept io.Reader
	h := webhookMiddleware(t, func(_ http.ResponseWriter, r *http.Request) {
		kept = r.Body
		panic(http.ErrAbortHandler)
	})
	assert.PanicsWithValue(t, http.ErrAbortHandler, func() { h.ServeHTTP(httptest.NewRecorder(), signedRequest("{}")) })
	_, err := kept.Read(make([]byte, 10))
	assert.ErrorIs(t, err, http.ErrBodyReadAfterClose)
}

func TestMiddleware_canStandInFrontOfAHandler(t *testing.T) {
	recorder := newWebhookRecorder()
	v, err := ittybit.NewWebhookVerifier(webhookSecret)
	require.NoError(t, err)
	srv := webhookServer(t, v.Middleware(webhookHandler(t, recorder)))
	assert.Equal(t, http.StatusOK, webhookDeliver(t, srv, webhookPageBody).Status)
	assert.Len(t, recorder.handled(), 1)
}

func TestMiddleware_leavesTheRequestItWasGivenAlone(t *testing.T) {
	r := signedRequest("{}")
	r = r.WithContext(context.WithValue(r.Context(), webhookValueKey{}, "trace"))
	before := r.Body
	h := webhookMiddleware(t, func(_ http.ResponseWriter, inner *http.Request) {
		assert.NotSame(t, r, inner)
		assert.Equal(t, "trace", inner.Context().Value(webhookValueKey{}))
	})
	h.ServeHTTP(httptest.NewRecorder(), r)
	assert.Equal(t, before, r.Body)
}
