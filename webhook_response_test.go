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
