package ittybit_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
)

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

func TestWebhookHandler_respondsToALateRequestAtOnce(t *testing.T) {
	ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	h := webhookHandler(t, ittybit.EventHandlerFunc(func(ctx context.Context, _ *ittybit.Event) error { return ctx.Err() }))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, signedRequest(webhookPageBody).WithContext(ctx))
	assert.Equal(t, http.StatusServiceUnavailable, w.Code)
}

// webhookDeadlines is a ResponseWriter that records its read deadlines.
type webhookDeadlines struct {
	*httptest.ResponseRecorder
	set []time.Time
}

func (w *webhookDeadlines) SetReadDeadline(t time.Time) error {
	w.set = append(w.set, t)
	return nil
}

func TestWebhookHandler_putsTheReadDeadlineBack(t *testing.T) {
	h := webhookHandler(t, ittybit.NewEventMux(), ittybit.WithReadTimeout(time.Hour))
	for _, status := range []int{http.StatusOK, http.StatusUnauthorized} {
		w := &webhookDeadlines{ResponseRecorder: httptest.NewRecorder()}
		r := signedRequest("{}")
		if status == http.StatusUnauthorized {
			r.Header.Del(ittybit.SignatureHeader)
		}
		before := time.Now()
		h.ServeHTTP(w, r)
		assert.Equal(t, status, w.Code)
		require.Len(t, w.set, 2)
		assert.WithinRange(t, w.set[0], before.Add(time.Hour), time.Now().Add(time.Hour))
		assert.True(t, w.set[1].IsZero())
	}
}

func TestWebhookHandler_doesNotEndTheOtherStreamsOfHTTP2(t *testing.T) {
	for major, want := range map[int]string{1: "close", 2: ""} {
		w := &webhookDeadlines{ResponseRecorder: httptest.NewRecorder()}
		r := signedRequest("{}")
		r.ProtoMajor, r.Method = major, http.MethodPut
		webhookHandler(t, ittybit.NewEventMux()).ServeHTTP(w, r)
		assert.Equal(t, http.StatusMethodNotAllowed, w.Code)
		assert.Equal(t, want, w.Header().Get("Connection"))
		require.Len(t, w.set, 1, "the rest of the body is waited for")
		assert.WithinDuration(t, time.Now(), w.set[0], 10*time.Second, "but not for long")
	}
}

// webhookWriteDeadlines is a ResponseWriter that notes its write deadlines.
type webhookWriteDeadlines struct {
	*httptest.ResponseRecorder
	set []time.Time
}

func (w *webhookWriteDeadlines) SetWriteDeadline(at time.Time) error {
	w.set = append(w.set, at)
	return nil
}

func TestWebhookHandler_doesNotWaitForASenderThatTakesNoResponse(t *testing.T) {
	h := webhookHandler(t, ittybit.EventHandlerFunc(webhookNothing))
	w := &webhookWriteDeadlines{ResponseRecorder: httptest.NewRecorder()}
	h.ServeHTTP(w, signedRequest(webhookPageBody))
	require.Len(t, w.set, 1, "net/http puts it back when the response is sent")
	assert.WithinDuration(t, time.Now(), w.set[0], time.Minute)

	// A server's own timeout stays in force.
	r := signedRequest(webhookPageBody)
	r = r.WithContext(context.WithValue(r.Context(), http.ServerContextKey, &http.Server{WriteTimeout: time.Hour}))
	w = &webhookWriteDeadlines{ResponseRecorder: httptest.NewRecorder()}
	h.ServeHTTP(w, r)
	assert.Empty(t, w.set)
}
