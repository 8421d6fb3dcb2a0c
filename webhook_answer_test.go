package ittybit_test

import (
	"context"
	"fmt"
	"hash"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
)

// webhookWire is a ResponseWriter that notes what is done with the connection, in order. It adds
// nothing of its own to an answer, as a server does.
type webhookWire struct {
	header http.Header
	calls  []string
	reads  []time.Duration // read deadlines, from now; 0: none
	writes []time.Duration // write deadlines, from now; 0: none
}

func newWebhookWire() *webhookWire { return &webhookWire{header: http.Header{}} }

func (w *webhookWire) note(format string, args ...any) {
	w.calls = append(w.calls, fmt.Sprintf(format, args...))
}

func (w *webhookWire) Header() http.Header { return w.header }

func (w *webhookWire) WriteHeader(status int) { w.note("status %d", status) }

func (w *webhookWire) Write(p []byte) (int, error) {
	if len(p) > 0 {
		w.note("body %q", p)
	}
	return len(p), nil
}

func (w *webhookWire) Flush() { w.note("flush") }

func (w *webhookWire) SetReadDeadline(at time.Time) error {
	w.reads = append(w.reads, webhookFromNow(at))
	return nil
}

func (w *webhookWire) SetWriteDeadline(at time.Time) error {
	w.note("write deadline %t", !at.IsZero())
	w.writes = append(w.writes, webhookFromNow(at))
	return nil
}

func webhookFromNow(at time.Time) time.Duration {
	if at.IsZero() {
		return 0
	}
	return time.Until(at)
}

func TestWebhookHandler_hasADeadlineWhileItsAnswerIsSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWebhookWire()
		webhookHandler(t, ittybit.NewEventMux()).ServeHTTP(w, signedRequest("{}"))
		assert.Equal(t, []string{"status 200", "write deadline true"}, w.calls)
		assert.GreaterOrEqual(t, w.writes[0], time.Second, "a sender on a bad line gets its answer")
		assert.LessOrEqual(t, w.writes[0], time.Minute)
		assert.Equal(t, http.Header{"Content-Length": {"0"}}, w.header)

		w = newWebhookWire()
		webhookHandler(t, ittybit.NewEventMux()).ServeHTTP(w, signedRequest("[]"))
		assert.Equal(t, []string{"status 400", `body "Bad Request\n"`, "write deadline true"}, w.calls)
		assert.Equal(t, http.Header{
			"Content-Type": {"text/plain; charset=utf-8"}, "Content-Length": {"12"}, "X-Content-Type-Options": {"nosniff"},
		}, w.header, "it is not left to the server to say what it is")
	})
}

func TestWebhookHandler_givesARefusedSenderAMomentToSeeItsAnswer(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(r *http.Request)
		status int
		moment bool // the rest of the body is read for a moment
		close  bool
	}{
		"another method":          {func(r *http.Request) { r.Method = http.MethodPut }, 405, true, true},
		"too large":               {func(r *http.Request) { r.ContentLength = 1 << 40 }, 413, true, true},
		"a broken body":           {func(r *http.Request) { r.Body = io.NopCloser(webhookBrokenReader{io.ErrUnexpectedEOF}) }, 400, true, true},
		"too slow":                {func(r *http.Request) { r.Body = io.NopCloser(webhookLateReader{r.Body}) }, 408, false, true},
		"another method, no body": {func(r *http.Request) { r.Method, r.Body = http.MethodGet, http.NoBody }, 405, false, false},
		"another method, nil":     {func(r *http.Request) { r.Method, r.Body = http.MethodGet, nil }, 405, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWebhookWire()
				r := signedRequest("{}")
				tt.change(r)
				webhookHandler(t, ittybit.NewEventMux()).ServeHTTP(w, r)
				assert.Contains(t, w.calls, fmt.Sprintf("status %d", tt.status))
				assert.Equal(t, tt.close, w.header.Get("Connection") == "close")
				if !tt.close {
					assert.Empty(t, w.reads, "there is nothing to wait for")
					return
				}
				require.NotEmpty(t, w.reads)
				last := w.reads[len(w.reads)-1]
				if tt.moment {
					assert.GreaterOrEqual(t, last, 100*time.Millisecond, "closing a connection with unread data resets it, and the answer with it")
					assert.LessOrEqual(t, last, 5*time.Second)
				} else {
					assert.LessOrEqual(t, last, time.Duration(0), "it has had its time")
				}
			})
		})
	}
}

// webhookLateReader gives a byte every minute.
type webhookLateReader struct{ r io.Reader }

func (r webhookLateReader) Read(p []byte) (int, error) {
	time.Sleep(time.Minute)
	return r.r.Read(p[:1])
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

func TestWebhookHandler_refusesAlsoWhereTheExplanationPanics(t *testing.T) {
	// The reading of somebody who has not thought of headers without a timestamp.
	reading := func(mac hash.Hash, timestamp string, body []byte) {
		mac.Write([]byte(timestamp[:10]))
		mac.Write(body)
	}
	var log testLog
	recorder := newWebhookRecorder()
	h := webhookHandler(t, recorder, ittybit.WithSignedContent(reading), ittybit.WithLogger(log.logger()), ittybit.WithObserver(recorder.observe))
	r := signedRequest("{}")
	r.Header.Set(ittybit.SignatureHeader, "v1="+strings.Repeat("0", 64))
	w := newWebhookWire()
	require.NotPanics(t, func() { h.ServeHTTP(w, r) })
	assert.Contains(t, w.calls, "status 401")
	assert.Equal(t, ittybit.OutcomeSignatureMalformed, recorder.next(t).Outcome)
	assert.Contains(t, log.String(), "outcome=signature_malformed")
}

func TestWebhookHandler_survivesAnObserverAndALogThatBothPanic(t *testing.T) {
	h := webhookHandler(t, ittybit.NewEventMux(), ittybit.WithLogger(slog.New(webhookFaultyLog{slog.NewTextHandler(new(testLog), nil)})),
		ittybit.WithObserver(func(context.Context, ittybit.Delivery) { panic("metrics are down") }))
	w := newWebhookWire()
	require.NotPanics(t, func() { h.ServeHTTP(w, signedRequest("{}")) })
	assert.Contains(t, w.calls, "status 200")
}

func TestWebhookLog_saysNothingOfAnObserverThatIsWell(t *testing.T) {
	var log testLog
	recorder := newWebhookRecorder()
	h := webhookHandler(t, ittybit.NewEventMux(), ittybit.WithLogger(log.logger()), ittybit.WithObserver(recorder.observe))
	h.ServeHTTP(newWebhookWire(), signedRequest(webhookPageBody))
	recorder.next(t)
	assert.Equal(t, 1, strings.Count(log.String(), "msg="), log.String())
}

func TestWebhookLog_takesASecretOutOfAStackToo(t *testing.T) {
	const secret = "webhook_answer_test.go" // what stands in a stack can be anything
	var log testLog
	h, err := ittybit.NewWebhookHandler(secret, ittybit.EventHandlerFunc(func(context.Context, *ittybit.Event) error { panic("boom") }),
		ittybit.WithLogger(log.logger()), ittybit.WithObserver(func(context.Context, ittybit.Delivery) { panic("metrics are down") }))
	require.NoError(t, err)
	r := signedRequest("{}")
	r.Header.Set(ittybit.SignatureHeader, ittybit.SignWebhook(secret, time.Now(), []byte("{}")))
	h.ServeHTTP(newWebhookWire(), r)
	assert.Equal(t, 2, strings.Count(log.String(), "stack="), "of the handler and of the observer")
	assert.NotContains(t, log.String(), secret)
}

func TestWebhookLog_takesASecretOutOfAnExplanationToo(t *testing.T) {
	const secret = "the key is wrong" // words of the explanation
	var log testLog
	h, err := ittybit.NewWebhookHandler(secret, ittybit.NewEventMux(), ittybit.WithLogger(log.logger()))
	require.NoError(t, err)
	h.ServeHTTP(newWebhookWire(), signedRequest("{}"))
	assert.Contains(t, log.String(), "explanation=")
	assert.NotContains(t, log.String(), secret)
}

func TestWebhookLog_takesABodyThatIsNoEventForAnError(t *testing.T) {
	var log testLog
	webhookHandler(t, ittybit.NewEventMux(), ittybit.WithLogger(log.logger())).ServeHTTP(newWebhookWire(), signedRequest("[]"))
	assert.Contains(t, log.String(), "level=ERROR msg=\"ittybit: webhook\" outcome=malformed_event")
}

// webhookBlindLog is a slog.Handler that panics when it is asked for its level.
type webhookBlindLog struct{ slog.Handler }

func (webhookBlindLog) Enabled(context.Context, slog.Level) bool { panic("no configuration") }

func TestWebhookHandler_survivesALogThatDoesNotKnowItsLevel(t *testing.T) {
	recorder := newWebhookRecorder()
	h := webhookHandler(t, ittybit.NewEventMux(), ittybit.WithLogger(slog.New(webhookBlindLog{slog.DiscardHandler})), ittybit.WithObserver(recorder.observe))
	for _, signature := range []string{signedHeader("{}"), "junk"} {
		r := signedRequest("{}")
		r.Header.Set(ittybit.SignatureHeader, signature)
		w := newWebhookWire()
		require.NotPanics(t, func() { h.ServeHTTP(w, r) })
		assert.Contains(t, w.calls, fmt.Sprintf("status %d", recorder.next(t).StatusCode))
	}
}

func TestWebhookHandler_leavesTheReadDeadlineOfAStricterServerAlone(t *testing.T) {
	h := webhookHandler(t, ittybit.NewEventMux(), ittybit.WithReadTimeout(time.Second))
	for timeout, set := range map[time.Duration]int{0: 2, time.Millisecond: 0, time.Second: 0, time.Second + 1: 2} {
		r := signedRequest("{}")
		r = r.WithContext(context.WithValue(r.Context(), http.ServerContextKey, &http.Server{ReadTimeout: timeout}))
		w := newWebhookWire()
		h.ServeHTTP(w, r)
		assert.Contains(t, w.calls, "status 200")
		assert.Len(t, w.reads, set, "%v: set before the body is read, and put back", timeout)
	}
}

func TestWebhookHandler_isNamedByItsVerifier(t *testing.T) {
	v, err := ittybit.NewWebhookVerifier(webhookSecret)
	require.NoError(t, err)
	assert.Equal(t, "ittybit.WebhookVerifier(1 secrets, tolerance 5m0s)", v.String())
	assert.Equal(t, "ittybit.WebhookHandler("+v.String()+")", webhookHandler(t, ittybit.NewEventMux()).String())
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

// What the sender gets is the same whoever sends it off: the handler at once, or the server
// when it has returned, which is where nobody waits for it and the server limits its writes.
func TestWebhookHandler_answersTheSameWhateverComesAfterwards(t *testing.T) {
	told := ittybit.WithObserver(func(context.Context, ittybit.Delivery) {})
	for name, c := range map[string]struct {
		writeTimeout time.Duration
		opts         []ittybit.WebhookOption
	}{
		"nobody is told": {0, nil},
		"nobody is told, the server limits writes":   {time.Minute, nil},
		"somebody is told":                           {0, []ittybit.WebhookOption{told}},
		"somebody is told, the server limits writes": {time.Minute, []ittybit.WebhookOption{told}},
	} {
		t.Run(name, func(t *testing.T) {
			h := webhookHandler(t, ittybit.EventHandlerFunc(webhookNothing), c.opts...)
			srv := httptest.NewUnstartedServer(h)
			srv.Config.WriteTimeout = c.writeTimeout
			srv.Start()
			t.Cleanup(srv.Close)
			for range 3 { // over one connection
				answer := webhookSend(srv.Client(), http.MethodPost, srv.URL, webhookPageBody, signedHeader(webhookPageBody))
				require.NoError(t, answer.Err)
				assert.Equal(t, http.StatusOK, answer.Status)
				assert.Empty(t, answer.Body)
				assert.Equal(t, "0", answer.Header.Get("Content-Length"))
				assert.False(t, answer.Close)
			}
			answer := webhookSend(srv.Client(), http.MethodPost, srv.URL, webhookPageBody)
			assert.Equal(t, http.StatusUnauthorized, answer.Status)
			assert.Equal(t, "Unauthorized\n", answer.Body)
		})
	}
}
