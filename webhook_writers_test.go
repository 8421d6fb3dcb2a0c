package ittybit_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"
	"testing/synctest"
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

func TestWebhookHandler_followsTheRequestsOwnDeadline(t *testing.T) {
	for name, tt := range map[string]struct {
		request, processing, want time.Duration // 0: none, the default; counted from the start
	}{
		"none":                                {0, 0, ittybit.DefaultProcessingTimeout},
		"later":                               {time.Minute, 0, ittybit.DefaultProcessingTimeout},
		"nearer, a Lambda function's default": {3 * time.Second, 0, 2700 * time.Millisecond},
		"nearer, a middleware's":              {time.Second, 0, 900 * time.Millisecond},
		"nearer, of very little time":         {60 * time.Millisecond, 0, 54 * time.Millisecond},
		"nearer, and the margin ends at half a second": {20 * time.Second, time.Minute, 19500 * time.Millisecond},
		"nearer only by the margin":                    {4200 * time.Millisecond, 0, 3780 * time.Millisecond},
		"later, though not by the margin":              {4 * time.Second, 3 * time.Second, 3 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var opts []ittybit.WebhookOption
				if tt.processing > 0 {
					opts = append(opts, ittybit.WithProcessingTimeout(tt.processing))
				}
				recorder := newWebhookRecorder()
				opts = append(opts, ittybit.WithObserver(recorder.observe))
				var took time.Duration
				start := time.Now()
				h := webhookHandler(t, ittybit.EventHandlerFunc(func(ctx context.Context, _ *ittybit.Event) error {
					<-ctx.Done()
					took = time.Since(start)
					return ctx.Err()
				}), opts...)
				r := signedRequest(webhookPageBody)
				if tt.request > 0 {
					ctx, cancel := context.WithTimeout(r.Context(), tt.request)
					defer cancel()
					r = r.WithContext(ctx)
				}
				w := httptest.NewRecorder()
				h.ServeHTTP(w, r)
				assert.Equal(t, tt.want, took)
				assert.Equal(t, http.StatusServiceUnavailable, w.Code)
				d := recorder.next(t)
				assert.Equal(t, ittybit.OutcomeTimedOut, d.Outcome)
				assert.ErrorIs(t, d.Err, context.DeadlineExceeded)
			})
		})
	}
}

func TestWebhookHandler_followsNoCancellationOfTheRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		h := webhookHandler(t, ittybit.EventHandlerFunc(func(ctx context.Context, _ *ittybit.Event) error {
			cancel() // the sender hangs up
			synctest.Wait()
			assert.NoError(t, ctx.Err())
			deadline, _ := ctx.Deadline()
			assert.Equal(t, 1800*time.Millisecond, time.Until(deadline))
			return nil
		}))
		w := httptest.NewRecorder()
		h.ServeHTTP(w, signedRequest(webhookPageBody).WithContext(ctx))
		assert.Equal(t, http.StatusOK, w.Code)
	})
}

func TestWebhookHandler_answersALateRequestAtOnce(t *testing.T) {
	ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	h := webhookHandler(t, ittybit.EventHandlerFunc(func(ctx context.Context, _ *ittybit.Event) error { return ctx.Err() }))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, signedRequest(webhookPageBody).WithContext(ctx))
	assert.Equal(t, http.StatusServiceUnavailable, w.Code)
}
