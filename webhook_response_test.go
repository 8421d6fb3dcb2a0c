package ittybit_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
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

func TestWebhookHandler_decidesTheResponseBeforeItIsObserved(t *testing.T) {
	w := newWebhookWire()
	webhookHandler(t, ittybit.NewEventMux(), ittybit.WithObserver(func(context.Context, ittybit.Delivery) {
		assert.Equal(t, []string{"status 200"}, w.calls)
	})).ServeHTTP(w, signedRequest("{}"))
	assert.Equal(t, []string{"status 200", "write deadline true"}, w.calls,
		"an observer does not use up the time in which the sender can take its response")
}

// webhookWire is a ResponseWriter that notes what is done with the connection, in order. It adds
// nothing of its own to a response, as a server does.
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

func (w *webhookWire) Header() http.Header    { return w.header }
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

func TestWebhookHandler_hasADeadlineWhileItsResponseIsSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWebhookWire()
		webhookHandler(t, ittybit.NewEventMux()).ServeHTTP(w, signedRequest("{}"))
		assert.Equal(t, []string{"status 200", "write deadline true"}, w.calls)
		assert.GreaterOrEqual(t, w.writes[0], time.Second, "a sender on a bad line gets its response")
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

func TestWebhookHandler_givesARefusedSenderAMomentToSeeItsResponse(t *testing.T) {
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
					assert.GreaterOrEqual(t, last, 100*time.Millisecond, "closing a connection with unread data resets it, and the response with it")
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

// What the sender gets is the same whoever sends it off: the handler at once, or the server
// when it has returned, which is where nobody waits for it and the server limits its writes.
func TestWebhookHandler_respondsTheSameWhateverComesAfterwards(t *testing.T) {
	observed := ittybit.WithObserver(func(context.Context, ittybit.Delivery) {})
	for name, c := range map[string]struct {
		writeTimeout time.Duration
		opts         []ittybit.WebhookOption
	}{
		"no observer":                           {0, nil},
		"no observer, the server limits writes": {time.Minute, nil},
		"an observer":                           {0, []ittybit.WebhookOption{observed}},
		"an observer, the server limits writes": {time.Minute, []ittybit.WebhookOption{observed}},
	} {
		t.Run(name, func(t *testing.T) {
			h := webhookHandler(t, ittybit.EventHandlerFunc(webhookNothing), c.opts...)
			srv := httptest.NewUnstartedServer(h)
			srv.Config.WriteTimeout = c.writeTimeout
			srv.Start()
			t.Cleanup(srv.Close)
			for range 3 { // over one connection
				response := webhookSend(srv.Client(), http.MethodPost, srv.URL, webhookPageBody, signedHeader(webhookPageBody))
				require.NoError(t, response.Err)
				assert.Equal(t, http.StatusOK, response.Status)
				assert.Empty(t, response.Body)
				assert.Equal(t, "0", response.Header.Get("Content-Length"))
				assert.False(t, response.Close)
			}
			response := webhookSend(srv.Client(), http.MethodPost, srv.URL, webhookPageBody)
			assert.Equal(t, http.StatusUnauthorized, response.Status)
			assert.Equal(t, "Unauthorized\n", response.Body)
		})
	}
}

// webhookUnflushable is a ResponseWriter that can't be flushed, and panics where it is asked to, as
// those of some frameworks do around a writer without a Flush method.
type webhookUnflushable struct{ *httptest.ResponseRecorder }

func (webhookUnflushable) Flush() { panic("interface conversion: not an http.Flusher") }

func (webhookUnflushable) SetReadDeadline(time.Time) error { return nil }

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

// webhookServe calls h in a goroutine of its own, which it may end, and gives what it panicked
// with.
func webhookServe(h http.Handler, w http.ResponseWriter, r *http.Request) (reason any) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() { reason = recover() }() //nolint:revive // it is read when done is closed
		h.ServeHTTP(w, r)
	}()
	<-done
	return reason
}

func TestWebhookHandler_respondsInWritersThatPanicWhenFlushed(t *testing.T) {
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

// webhookAdapter stands for adapters that respond with 200 where no status was set, whatever became
// of the handler, and for recovering middlewares that do.
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

// webhookHeldBack is the ResponseWriter of a time limit: it keeps the response until the handler
// returns. A flush sends the body that it has, without the status, as go-zero's does.
type webhookHeldBack struct {
	header  http.Header
	body    bytes.Buffer
	limited http.ResponseWriter
}

func (w *webhookHeldBack) Header() http.Header         { return w.header }
func (w *webhookHeldBack) WriteHeader(int)             {}
func (w *webhookHeldBack) Write(p []byte) (int, error) { return w.body.Write(p) }

func (w *webhookHeldBack) Flush() {
	maps.Copy(w.limited.Header(), w.header)
	_, _ = w.limited.Write(w.body.Bytes())
	w.limited.(http.Flusher).Flush()
}

func TestWebhookHandler_doesNotFlushAResponseThatIsHeldBack(t *testing.T) {
	for name, tt := range webhookEnd {
		t.Run(name, func(t *testing.T) {
			recorder := newWebhookRecorder()
			h := webhookHandler(t, tt.next, ittybit.WithObserver(recorder.observe))
			sender := httptest.NewRecorder()
			w := &webhookHeldBack{header: http.Header{}, limited: sender}
			webhookServe(h, w, signedRequest(webhookPageBody))
			assert.Equal(t, tt.outcome, recorder.next(t).Outcome)
			assert.False(t, sender.Flushed, "the sender would see 200, whatever became of the event")
			assert.Empty(t, sender.Body)
		})
	}
}
