package ittybit_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
)

// webhookUnflushable is a ResponseWriter that can't be flushed, and panics where it is asked to, as
// those of some frameworks do around a writer without a Flush method.
type webhookUnflushable struct{ *httptest.ResponseRecorder }

func (webhookUnflushable) Flush() { panic("interface conversion: not an http.Flusher") }

// webhookEnd is every way in which an EventHandler can end, by name.
var webhookEnd = map[string]struct {
	next    ittybit.EventHandlerFunc
	status  int
	outcome ittybit.Outcome
}{
	"handled":   {webhookNothing, 200, ittybit.OutcomeHandled},
	"discarded": {webhookFails(ittybit.Discard(errors.New("hopeless"))), 200, ittybit.OutcomeDiscarded},
	"failed":    {webhookFails(errors.New("the database is away")), 500, ittybit.OutcomeFailed},
	"later":     {webhookFails(ittybit.RetryLater(7*time.Second, nil)), 503, ittybit.OutcomeRetryLater},
	"panicked":  {webhookBoom, 500, ittybit.OutcomePanicked},
	"aborted": {
		func(context.Context, *ittybit.Event) error { panic(http.ErrAbortHandler) }, 500, ittybit.OutcomePanicked,
	},
	"goroutine ended": {
		func(context.Context, *ittybit.Event) error { runtime.Goexit(); return nil }, 500, ittybit.OutcomeAborted,
	},
}

func webhookFails(err error) ittybit.EventHandlerFunc {
	return func(context.Context, *ittybit.Event) error { return err }
}

// webhookServe calls h in a goroutine of its own, which it may end, and gives what it panicked with.
func webhookServe(h http.Handler, w http.ResponseWriter, r *http.Request) (reason any) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() { reason = recover() }()
		h.ServeHTTP(w, r)
	}()
	<-done
	return reason
}

func TestWebhookHandler_answersInWritersThatPanicWhenFlushed(t *testing.T) {
	for name, tt := range webhookEnd {
		t.Run(name, func(t *testing.T) {
			recorder := newWebhookRecorder()
			h := webhookHandler(t, tt.next, ittybit.WithObserver(recorder.observe))
			w := webhookUnflushable{httptest.NewRecorder()}
			assert.Nil(t, webhookServe(h, w, signedRequest(webhookPageBody)))
			assert.Equal(t, tt.status, w.Code)
			d := recorder.next(t)
			assert.Equal(t, tt.outcome, d.Outcome)
			assert.Equal(t, tt.status, d.StatusCode)
		})
	}
	for name, change := range map[string]func(r *http.Request){
		"unsigned": func(r *http.Request) { r.Header.Del(ittybit.SignatureHeader) },
		"forged":   func(r *http.Request) { r.Header.Set(ittybit.SignatureHeader, signedHeader("another body")) },
	} {
		t.Run(name, func(t *testing.T) {
			v, err := ittybit.NewWebhookVerifier(webhookSecret)
			require.NoError(t, err)
			for _, h := range []http.Handler{webhookHandler(t, ittybit.NewEventMux()), v.Middleware(http.NotFoundHandler())} {
				w := webhookUnflushable{httptest.NewRecorder()}
				r := signedRequest(webhookPageBody)
				change(r)
				assert.Nil(t, webhookServe(h, w, r))
				assert.Equal(t, http.StatusUnauthorized, w.Code)
			}
		})
	}
}

// webhookAdapter stands for adapters that answer 200 where no status was set, whatever became of the
// handler, and for recovering middlewares that do.
func webhookAdapter(h http.Handler, r *http.Request) (status int) {
	w := httptest.NewRecorder()
	webhookServe(h, w, r)
	return w.Code // 200, unless it was set
}

func TestWebhookHandler_isNotAcknowledgedByAnAdapterWhatNobodyHandled(t *testing.T) {
	for name, tt := range webhookEnd {
		t.Run(name, func(t *testing.T) {
			h := webhookHandler(t, tt.next)
			assert.Equal(t, tt.status, webhookAdapter(h, signedRequest(webhookPageBody)))
			once := webhookHandler(t, ittybit.Deduplicate(ittybit.NewMemoryDeduplicator(10, time.Hour), tt.next))
			for range 2 {
				assert.Equal(t, tt.status, webhookAdapter(once, signedRequest(webhookPageBody)))
			}
		})
	}
}

func TestWebhookHandler_flushesOnlyWhereItsGoroutineIsEnded(t *testing.T) {
	for name, tt := range webhookEnd {
		t.Run(name, func(t *testing.T) {
			w := newWebhookWire()
			observed := false
			h := webhookHandler(t, tt.next, ittybit.WithObserver(func(context.Context, ittybit.Delivery) {
				observed = true
				assert.NotContains(t, w.calls, "flush", "nobody knows what a flush does: the observer comes first")
			}))
			webhookServe(h, w, signedRequest(webhookPageBody))
			assert.True(t, observed)
			if tt.outcome == ittybit.OutcomeAborted {
				assert.Equal(t, "flush", w.calls[len(w.calls)-1], "net/http sends nothing else then")
				assert.Equal(t, "close", w.header.Get("Connection"), "and hangs up")
			} else {
				assert.NotContains(t, w.calls, "flush")
				assert.Empty(t, w.header.Get("Connection"))
			}
		})
	}
	w := newWebhookWire()
	webhookServe(webhookHandler(t, ittybit.NewEventMux(), ittybit.WithObserver(func(context.Context, ittybit.Delivery) {
		runtime.Goexit()
	})), w, signedRequest(webhookPageBody))
	assert.Equal(t, []string{"status 200", "write deadline true", "flush"}, w.calls, "also where the observer ends it")
}
