package ittybit_test

import (
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
)

// webhookCanary is what no response may repeat.
const webhookCanary = "canary_9f3b"

func TestWebhookHandler_answers(t *testing.T) {
	failure := errors.New(webhookCanary)
	fails := func(err error) ittybit.EventHandlerFunc {
		return func(context.Context, *ittybit.Event) error { return err }
	}
	panics := func(reason any) ittybit.EventHandlerFunc {
		return func(context.Context, *ittybit.Event) error { panic(reason) }
	}
	body := `{"id":"` + webhookCanary + `","object":"task","kind":"nsfw","status":"completed"}`
	var handled ittybit.EventHandlerFunc = webhookNothing

	tests := map[string]struct {
		next       ittybit.EventHandler // nil: never to be reached
		opts       []ittybit.WebhookOption
		method     string // empty: POST
		body       string // empty: a task
		header     func(body string) []string
		status     int
		outcome    ittybit.Outcome
		err        error
		retryAfter string
	}{
		"handled":                   {next: handled, status: 200, outcome: ittybit.OutcomeHandled},
		"no handler for this event": {next: ittybit.NewEventMux(), status: 200, outcome: ittybit.OutcomeIgnored},
		"seen before":               {next: ittybit.Deduplicate(&webhookStore{claimErr: ittybit.ErrAlreadyHandled}, handled), status: 200, outcome: ittybit.OutcomeDuplicate},
		"seen before, it says":      {next: fails(fmt.Errorf("row: %w", ittybit.ErrAlreadyHandled)), status: 200, outcome: ittybit.OutcomeDuplicate},
		"discarded":                 {next: fails(ittybit.Discard(failure)), status: 200, outcome: ittybit.OutcomeDiscarded, err: failure},
		"discarded, wrapped":        {next: fails(fmt.Errorf("%w", ittybit.Discard(failure))), status: 200, outcome: ittybit.OutcomeDiscarded, err: failure},
		"an unknown object":         {next: handled, body: `{"x":"` + webhookCanary + `"}`, status: 200, outcome: ittybit.OutcomeHandled},
		"GET":                       {method: http.MethodGet, status: 405, outcome: ittybit.OutcomeMethodNotAllowed},
		"PUT":                       {method: http.MethodPut, status: 405, outcome: ittybit.OutcomeMethodNotAllowed},
		"DELETE":                    {method: http.MethodDelete, status: 405, outcome: ittybit.OutcomeMethodNotAllowed},
		"an unknown method":         {method: "BREW", status: 405, outcome: ittybit.OutcomeMethodNotAllowed},
		"body over the limit":       {opts: []ittybit.WebhookOption{ittybit.WithMaxBodyBytes(int64(len(body)) - 1)}, status: 413, outcome: ittybit.OutcomeBodyTooLarge},
		"body at the limit":         {next: handled, opts: []ittybit.WebhookOption{ittybit.WithMaxBodyBytes(int64(len(body)))}, status: 200, outcome: ittybit.OutcomeHandled},
		"body over the default":     {body: `{"x":"` + strings.Repeat("x", ittybit.DefaultMaxBodyBytes) + `"}`, status: 413, outcome: ittybit.OutcomeBodyTooLarge},
		"body at the default":       {next: handled, body: `{"x":"` + strings.Repeat("x", ittybit.DefaultMaxBodyBytes-8) + `"}`, status: 200, outcome: ittybit.OutcomeHandled},
		"over the budget": {
			opts: []ittybit.WebhookOption{ittybit.WithMaxBufferedBytes(1024)}, status: 503, outcome: ittybit.OutcomeOverBudget, retryAfter: "1",
		},
		"no signature":        {header: func(string) []string { return nil }, status: 401, outcome: ittybit.OutcomeSignatureMissing, err: ittybit.ErrSignatureMissing},
		"blank signature":     {header: func(string) []string { return []string{"  "} }, status: 401, outcome: ittybit.OutcomeSignatureMissing, err: ittybit.ErrSignatureMissing},
		"malformed signature": {header: func(string) []string { return []string{webhookCanary} }, status: 401, outcome: ittybit.OutcomeSignatureMalformed, err: ittybit.ErrSignatureMalformed},
		"bare signature":      {header: func(string) []string { return []string{strings.Repeat("0", 64)} }, status: 401, outcome: ittybit.OutcomeSignatureMalformed, err: ittybit.ErrSignatureMalformed},
		"wrong signature": {header: func(body string) []string {
			return []string{ittybit.SignWebhook("a key of a stranger", time.Now(), []byte(body))}
		}, status: 401, outcome: ittybit.OutcomeSignatureMismatch, err: ittybit.ErrSignatureMismatch},
		"signature of another":   {header: func(string) []string { return []string{signedHeader("{}")} }, status: 401, outcome: ittybit.OutcomeSignatureMismatch, err: ittybit.ErrSignatureMismatch},
		"signed too long ago":    {header: signedAgo(time.Hour), status: 401, outcome: ittybit.OutcomeSignatureExpired, err: ittybit.ErrSignatureExpired},
		"signed in the future":   {header: signedAgo(-time.Hour), status: 401, outcome: ittybit.OutcomeSignatureExpired, err: ittybit.ErrSignatureExpired},
		"signed for tolerance":   {next: handled, opts: []ittybit.WebhookOption{ittybit.WithTolerance(2 * time.Hour)}, header: signedAgo(time.Hour), status: 200, outcome: ittybit.OutcomeHandled},
		"two header lines":       {next: handled, header: func(body string) []string { return strings.SplitN(signedHeader(body), ",", 2) }, status: 200, outcome: ittybit.OutcomeHandled},
		"two whole header lines": {header: func(body string) []string { return []string{signedHeader(body), signedHeader(body)} }, status: 401, outcome: ittybit.OutcomeSignatureMalformed, err: ittybit.ErrSignatureMalformed},
		"two keys, one of them in use": {
			next: handled, opts: []ittybit.WebhookOption{ittybit.WithSecrets("the_old_test_key")},
			header: func(body string) []string {
				return []string{ittybit.SignWebhook("the_old_test_key", time.Now(), []byte(body))}
			}, status: 200, outcome: ittybit.OutcomeHandled,
		},
		"signed, no JSON":         {body: webhookCanary, status: 400, outcome: ittybit.OutcomeMalformedEvent, err: ittybit.ErrMalformedEvent},
		"signed, no object":       {body: `["` + webhookCanary + `"]`, status: 400, outcome: ittybit.OutcomeMalformedEvent, err: ittybit.ErrMalformedEvent},
		"signed, a BOM":           {body: "\xef\xbb\xbf{}", status: 400, outcome: ittybit.OutcomeMalformedEvent, err: ittybit.ErrMalformedEvent},
		"signed, unroutable":      {body: `{"id":"task_1","object":"task","status":["completed"]}`, status: 500, outcome: ittybit.OutcomeUnroutableEvent, err: ittybit.ErrUnroutableEvent},
		"unroutable, in its data": {body: `{"id":"evt_1","object":"event","kind":"task.failed","data":{"id":8}}`, status: 500, outcome: ittybit.OutcomeUnroutableEvent, err: ittybit.ErrUnroutableEvent},
		"unsigned, unroutable":    {body: `{"id":7}`, header: func(string) []string { return nil }, status: 401, outcome: ittybit.OutcomeSignatureMissing, err: ittybit.ErrSignatureMissing},
		"unsigned, no JSON":       {body: "[", header: func(string) []string { return nil }, status: 401, outcome: ittybit.OutcomeSignatureMissing, err: ittybit.ErrSignatureMissing},
		"failed":                  {next: fails(failure), status: 500, outcome: ittybit.OutcomeFailed, err: failure},
		"panicked with a text":    {next: panics(webhookCanary), status: 500, outcome: ittybit.OutcomePanicked},
		"panicked with an error":  {next: panics(failure), status: 500, outcome: ittybit.OutcomePanicked, err: failure},
		"panicked with a value":   {next: panics([]int{1}), status: 500, outcome: ittybit.OutcomePanicked},
		"panicked with nil":       {next: panics(nil), status: 500, outcome: ittybit.OutcomePanicked},
		"retry later":             {next: fails(ittybit.RetryLater(90*time.Second, failure)), status: 503, outcome: ittybit.OutcomeRetryLater, err: failure, retryAfter: "90"},
		"retry later, rounded up": {next: fails(ittybit.RetryLater(1001*time.Millisecond, failure)), status: 503, outcome: ittybit.OutcomeRetryLater, err: failure, retryAfter: "2"},
		"retry later, at least 1": {next: fails(ittybit.RetryLater(0, failure)), status: 503, outcome: ittybit.OutcomeRetryLater, err: failure, retryAfter: "1"},
		"retry later, negative":   {next: fails(&ittybit.RetryLaterError{After: -time.Hour, Err: failure}), status: 503, outcome: ittybit.OutcomeRetryLater, err: failure, retryAfter: "1"},
		"out of time": {
			next: ittybit.EventHandlerFunc(func(ctx context.Context, _ *ittybit.Event) error { <-ctx.Done(); return failure }),
			opts: []ittybit.WebhookOption{ittybit.WithProcessingTimeout(time.Millisecond)}, status: 503, outcome: ittybit.OutcomeTimedOut, err: failure, retryAfter: "1",
		},
		"late, but done": {
			next: ittybit.EventHandlerFunc(func(ctx context.Context, _ *ittybit.Event) error { <-ctx.Done(); return nil }),
			opts: []ittybit.WebhookOption{ittybit.WithProcessingTimeout(time.Millisecond)}, status: 200, outcome: ittybit.OutcomeHandled,
		},
		"late, and discarded": {
			next: ittybit.EventHandlerFunc(func(ctx context.Context, _ *ittybit.Event) error { <-ctx.Done(); return ittybit.Discard(failure) }),
			opts: []ittybit.WebhookOption{ittybit.WithProcessingTimeout(time.Millisecond)}, status: 200, outcome: ittybit.OutcomeDiscarded, err: failure,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			recorder := newWebhookRecorder()
			reached := false
			next := tt.next
			if next == nil {
				next = ittybit.EventHandlerFunc(func(context.Context, *ittybit.Event) error { reached = true; return nil })
			}
			opts := append([]ittybit.WebhookOption{ittybit.WithObserver(recorder.observe)}, tt.opts...)
			srv := webhookServer(t, webhookHandler(t, next, opts...))
			method, payload := http.MethodPost, body
			if tt.method != "" {
				method = tt.method
			}
			if tt.body != "" {
				payload = tt.body
			}
			signatures := []string{signedHeader(payload)}
			if tt.header != nil {
				signatures = tt.header(payload)
			}
			response := webhookSend(srv.Client(), method, srv.URL, payload, signatures...)
			require.NoError(t, response.Err)

			assert.Equal(t, tt.status, response.Status)
			assert.Equal(t, webhookResponseText(tt.status), response.Body)
			assert.Equal(t, tt.retryAfter, response.Header.Get("Retry-After"))
			assert.Equal(t, strconv.Itoa(len(webhookResponseText(tt.status))), response.Header.Get("Content-Length"))
			if tt.status != http.StatusOK {
				assert.Equal(t, "text/plain; charset=utf-8", response.Header.Get("Content-Type"))
				assert.Equal(t, "nosniff", response.Header.Get("X-Content-Type-Options"))
			}
			assert.NotContains(t, fmt.Sprint(response.Header, response.Body), webhookCanary)
			allow := ""
			if tt.status == 405 {
				allow = "POST"
			}
			assert.Equal(t, allow, response.Header.Get("Allow"))

			d := recorder.next(t)
			assert.Equal(t, tt.outcome, d.Outcome)
			assert.Equal(t, tt.status, d.StatusCode)
			assert.Positive(t, d.Duration)
			if tt.err != nil {
				assert.ErrorIs(t, d.Err, tt.err)
			}
			assert.Equal(t, tt.outcome == ittybit.OutcomeHandled || tt.outcome == ittybit.OutcomeIgnored || tt.outcome == ittybit.OutcomeDuplicate, d.Err == nil)
			assert.Equal(t, tt.next != nil, d.Event != nil)
			if d.Event != nil {
				assert.Equal(t, payload, string(d.Event.RawJSON()))
				assert.Equal(t, len(payload), d.BodyBytes)
			}
			assert.False(t, reached, "the handler must not be reached")
			assert.Empty(t, recorder.observed, "observed once")
		})
	}
}

// signedAgo signs as of some time ago.
func signedAgo(ago time.Duration) func(string) []string {
	return func(body string) []string {
		return []string{ittybit.SignWebhook(webhookSecret, time.Now().Add(-ago), []byte(body))}
	}
}

func TestWebhookHandler_deliversThePayloadOfTheDocumentation(t *testing.T) {
	events := ittybit.NewEventMux()
	got := make(chan *ittybit.NSFWResults, 1)
	events.OnTaskCompleted(ittybit.TaskKindNSFW, func(_ context.Context, e *ittybit.Event) error {
		nsfw, err := e.Task.NSFW()
		got <- nsfw
		return err
	})
	response := webhookDeliver(t, webhookServer(t, webhookHandler(t, events)), webhookPageBody)
	assert.Equal(t, http.StatusOK, response.Status)
	assert.True(t, webhookReceive(t, got).IsNSFW)
}

func TestWebhookHandler_knowsOnlyVerifiedDeliveries(t *testing.T) {
	store := new(webhookStore)
	recorder := newWebhookRecorder()
	srv := webhookServer(t, webhookHandler(t, ittybit.Deduplicate(store, recorder)))
	for _, header := range []string{"", "junk", ittybit.SignWebhook("a key of a stranger", time.Now(), []byte(webhookPageBody)), signedAgo(time.Hour)("")[0]} {
		response := webhookSend(srv.Client(), http.MethodPost, srv.URL, webhookPageBody, header)
		require.NoError(t, response.Err)
		assert.Equal(t, http.StatusUnauthorized, response.Status)
	}
	assert.Empty(t, store.said(), "a stranger never touches the store")
	assert.Empty(t, recorder.handled())
	assert.Equal(t, http.StatusOK, webhookDeliver(t, srv, webhookPageBody).Status)
	assert.Len(t, recorder.handled(), 1)
}

func TestWebhookHandler_headIsNotPost(t *testing.T) {
	srv := webhookServer(t, webhookHandler(t, ittybit.NewEventMux()))
	resp, err := srv.Client().Head(srv.URL)
	require.NoError(t, err)
	defer resp.Body.Close()
	assert.Equal(t, http.StatusMethodNotAllowed, resp.StatusCode)
	assert.False(t, resp.Close, "a request without a body leaves the connection open")
}

func TestWebhookHandler_worksWithoutAServer(t *testing.T) {
	h := webhookHandler(t, ittybit.NewEventMux())
	w := httptest.NewRecorder() // it knows no deadlines
	h.ServeHTTP(w, signedRequest(webhookPageBody))
	assert.Equal(t, http.StatusOK, w.Code)
	assert.Empty(t, w.Body.String())

	for _, method := range []string{http.MethodPost, http.MethodGet} {
		r, err := http.NewRequest(method, "/", nil)
		require.NoError(t, err)
		require.Nil(t, r.Body, "as no server leaves it")
		r.Header.Set(ittybit.SignatureHeader, signedHeader(""))
		w = httptest.NewRecorder()
		h.ServeHTTP(w, r)
		assert.Equal(t, map[string]int{http.MethodPost: 400, http.MethodGet: 405}[method], w.Code)
	}
}

func TestWebhookHandler_readsTheBodyOnlyOnce(t *testing.T) {
	const text = `{"a":1}`
	tests := map[string]struct {
		body   io.Reader
		status int
	}{
		"a byte at a time":        {webhookOneByte{strings.NewReader(text)}, 200},
		"an error in between":     {io.MultiReader(strings.NewReader(text), webhookBrokenReader{errors.New(webhookCanary)}), 400},
		"a middleware's limit":    {webhookBrokenReader{&http.MaxBytesError{Limit: 1}}, 413},
		"a deadline of the proxy": {webhookBrokenReader{fmt.Errorf("read: %w", context.DeadlineExceeded)}, 400},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r := signedRequest(text)
			r.Body = io.NopCloser(tt.body)
			w := httptest.NewRecorder()
			webhookHandler(t, ittybit.NewEventMux()).ServeHTTP(w, r)
			assert.Equal(t, tt.status, w.Code)
			assert.NotContains(t, w.Body.String(), webhookCanary)
		})
	}
}

type webhookOneByte struct{ r io.Reader }

func (r webhookOneByte) Read(p []byte) (int, error) { return r.r.Read(p[:min(1, len(p))]) }

type webhookBrokenReader struct{ err error }

func (r webhookBrokenReader) Read([]byte) (int, error) { return 0, r.err }

func TestWebhookHandler_checksTheClockWhereAWriterHasNoDeadlines(t *testing.T) {
	recorder := newWebhookRecorder()
	h := webhookHandler(t, recorder, ittybit.WithReadTimeout(time.Nanosecond), ittybit.WithObserver(recorder.observe))
	w := httptest.NewRecorder()
	r := signedRequest("{}")
	r.Body = io.NopCloser(webhookOneByte{r.Body})
	h.ServeHTTP(w, r)
	assert.Equal(t, http.StatusRequestTimeout, w.Code)
	assert.Equal(t, "close", w.Header().Get("Connection"))
	assert.Equal(t, ittybit.OutcomeBodyTimeout, recorder.next(t).Outcome)
	assert.Empty(t, recorder.handled())
}

func TestWebhookHandler_answersWhereTheSignedContentPanics(t *testing.T) {
	recorder := newWebhookRecorder()
	h := webhookHandler(t, recorder, ittybit.WithObserver(recorder.observe), ittybit.WithMaxBufferedBytes(8<<10),
		ittybit.WithSignedContent(func(hash.Hash, string, []byte) { panic(http.ErrAbortHandler) }))
	for range 100 { // what a stranger can cause must not use the budget up
		w := httptest.NewRecorder()
		h.ServeHTTP(w, signedRequest("{}"))
		assert.Equal(t, http.StatusInternalServerError, w.Code)
		d := recorder.next(t)
		require.Equal(t, ittybit.OutcomePanicked, d.Outcome)
		require.ErrorIs(t, d.Err, http.ErrAbortHandler)
	}
}

func TestNewWebhookHandler_refusesWhatMakesNoSense(t *testing.T) {
	tests := map[string]struct {
		opt   ittybit.WebhookOption
		param string
	}{
		"no read timeout":         {ittybit.WithReadTimeout(0), "read timeout"},
		"negative read timeout":   {ittybit.WithReadTimeout(-1), "read timeout"},
		"no processing timeout":   {ittybit.WithProcessingTimeout(0), "processing timeout"},
		"none in flight":          {ittybit.WithMaxInFlight(0), "max in flight"},
		"fewer than none":         {ittybit.WithMaxInFlight(-1), "max in flight"},
		"no buffer":               {ittybit.WithMaxBufferedBytes(0), "max buffered bytes"},
		"a nil observer":          {ittybit.WithObserver(nil), "observer"},
		"a nil option":            {nil, "opts"},
		"a verifier's bad option": {ittybit.WithTolerance(0), "tolerance"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			h, err := ittybit.NewWebhookHandler(webhookSecret, ittybit.NewEventMux(), tt.opt)
			assert.Nil(t, h)
			var refused *ittybit.ParamError
			require.ErrorAs(t, err, &refused)
			assert.Equal(t, tt.param, refused.Param)
		})
	}
	_, err := ittybit.NewWebhookHandler(webhookSecret, nil)
	var refused *ittybit.ParamError
	require.ErrorAs(t, err, &refused)
	assert.Equal(t, "next", refused.Param)

	h, err := ittybit.NewWebhookHandler(webhookSecret, ittybit.NewEventMux(), ittybit.WithLogger(nil))
	require.NoError(t, err, "no logger is no log")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, signedRequest("{}"))
	assert.Equal(t, http.StatusOK, w.Code)
}

func TestWebhookHandler_isNamedByItsVerifier(t *testing.T) {
	v, err := ittybit.NewWebhookVerifier(webhookSecret)
	require.NoError(t, err)
	assert.Equal(t, "ittybit.WebhookVerifier(1 secrets, tolerance 5m0s)", v.String())
	assert.Equal(t, "ittybit.WebhookHandler("+v.String()+")", webhookHandler(t, ittybit.NewEventMux()).String())
}

// webhookKinds is every way a request can go, of which some are a stranger's to choose.
func webhookKinds() map[string]func() *http.Request {
	large := `{"x":"` + strings.Repeat("x", 50_000) + `"}`
	broken := func(last func() (int, error)) func() *http.Request {
		return func() *http.Request {
			r := signedRequest(large)
			r.Body = io.NopCloser(io.MultiReader(strings.NewReader("{}"), webhookReader(last)))
			return r
		}
	}
	changed := func(body string, change func(r *http.Request)) func() *http.Request {
		return func() *http.Request {
			r := signedRequest(body)
			change(r)
			return r
		}
	}
	nothing := func(*http.Request) {}
	return map[string]func() *http.Request{
		"handled":         changed(large, nothing),
		"empty":           changed("", nothing),
		"failed":          changed(webhookTask("task_1", "failed"), nothing),
		"panicked":        changed(webhookTask("task_1", "cancelled"), nothing),
		"aborted":         changed(`{"id":"med_1","object":"media"}`, nothing),
		"ended":           changed(webhookTask("task_1", "processing"), nothing),
		"malformed":       changed("[]", nothing),
		"unsigned":        changed(large, func(r *http.Request) { r.Header.Set(ittybit.SignatureHeader, signedHeader("another")) }),
		"method":          changed(large, func(r *http.Request) { r.Method = http.MethodPut }),
		"too large":       changed(large+large, nothing),
		"lies":            changed(large+large, func(r *http.Request) { r.ContentLength = 1 }),
		"a length of one": changed(large, func(r *http.Request) { r.ContentLength = 1 }),
		"no body":         changed("", func(r *http.Request) { r.Body = nil }),
		"broken":          broken(func() (int, error) { return 0, errors.New("no") }),
		"a body panics":   broken(func() (int, error) { panic(http.ErrAbortHandler) }),
	}
}

type webhookReader func() (int, error)

func (r webhookReader) Read([]byte) (int, error) { return r() }

func TestWebhookHandler_givesBackWhatItTakes(t *testing.T) {
	const rounds = 60 // if each gave back all but its smallest buffer, the budget would not last
	h := webhookHandler(t, ittybit.EventHandlerFunc(func(_ context.Context, e *ittybit.Event) error {
		switch e.Type {
		case ittybit.EventTaskFailed:
			return errors.New("no")
		case ittybit.EventTaskCancelled:
			panic("boom")
		case ittybit.EventMediaCreated:
			panic(http.ErrAbortHandler)
		case ittybit.EventTaskUpdated:
			runtime.Goexit()
		}
		return nil
	}), ittybit.WithMaxBodyBytes(100_000), ittybit.WithMaxInFlight(4), ittybit.WithMaxBufferedBytes(200_000))
	for name, request := range webhookKinds() {
		var group sync.WaitGroup
		for range rounds {
			group.Go(func() { webhookServe(h, httptest.NewRecorder(), request()) })
		}
		group.Wait()
		for range 10 {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, webhookKinds()["handled"]())
			require.Equal(t, http.StatusOK, w.Code, name)
		}
	}
}

func TestWebhookHandler_holdsNoMoreThanItsOwnCopyWhileItHandles(t *testing.T) {
	const (
		size   = 5000               // bytes, read into buffers of 2, 4 and 8 KiB
		toRead = (4 + 8) << 10      // held at most, while one buffer is moved into the next
		budget = size + toRead + 64 // not enough for somebody who keeps the buffer of 8 KiB
	)
	body := `{"x":"` + strings.Repeat("x", size-len(`{"x":""}`)) + `"}`
	inner := 0
	var h *ittybit.WebhookHandler
	h = webhookHandler(t, ittybit.EventHandlerFunc(func(ctx context.Context, _ *ittybit.Event) error {
		if ctx.Value(webhookValueKey{}) == nil {
			w, r := httptest.NewRecorder(), signedRequest(body)
			h.ServeHTTP(w, r.WithContext(context.WithValue(ctx, webhookValueKey{}, "inner")))
			inner = w.Code
		}
		return nil
	}), ittybit.WithMaxBufferedBytes(budget))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, signedRequest(body))
	assert.Equal(t, http.StatusOK, w.Code)
	assert.Equal(t, http.StatusOK, inner)
}

func TestWebhookHandler_logsWhatItCannotDecode(t *testing.T) {
	var log testLog
	h := webhookHandler(t, ittybit.NewEventMux(), ittybit.WithLogger(log.logger()))
	for range 3 {
		h.ServeHTTP(httptest.NewRecorder(), signedRequest(`{"id":"task_1","object":"task","status":"completed","created":"soon"}`))
	}
	assert.Equal(t, 1, strings.Count(log.String(), "level=WARN"), "once for a field: %s", log.String())
	assert.Contains(t, log.String(), "object=task field=created")
	h.ServeHTTP(httptest.NewRecorder(), signedRequest(`{"id":"task_1","object":"task","status":12}`))
	assert.Equal(t, 1, strings.Count(log.String(), "level=ERROR"), log.String())
	assert.Contains(t, log.String(), `outcome=unroutable_event status=500`)
	assert.Contains(t, log.String(), `field \"status\": is not a string`)
}
