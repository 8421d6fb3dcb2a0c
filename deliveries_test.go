package ittybit_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
)

func TestWebhookHandler_survivesAPanickingObserver(t *testing.T) {
	var log strings.Builder
	h := webhookHandler(t, ittybit.NewEventMux(), ittybit.WithLogger(slog.New(slog.NewTextHandler(&log, nil))),
		ittybit.WithObserver(func(context.Context, ittybit.Delivery) { panic("metrics are down, " + webhookSecret) }))
	w := httptest.NewRecorder()
	require.NotPanics(t, func() { h.ServeHTTP(w, signedRequest("{}")) })
	assert.Equal(t, http.StatusOK, w.Code)
	assert.Contains(t, log.String(), "the observer panicked")
	assert.Contains(t, log.String(), "metrics are down")
	assert.Contains(t, log.String(), "deliveries_test.go", "the stack")
	assert.NotContains(t, log.String(), webhookSecret)

	silent := webhookHandler(t, ittybit.NewEventMux(), ittybit.WithObserver(func(context.Context, ittybit.Delivery) { panic("metrics are down") }))
	require.NotPanics(t, func() { silent.ServeHTTP(httptest.NewRecorder(), signedRequest("{}")) })
}

func TestWebhookHandler_logsThePanicWithItsStack(t *testing.T) {
	var text testLog
	srv := webhookServer(t, webhookHandler(t, ittybit.EventHandlerFunc(webhookBoom), ittybit.WithLogger(slog.New(slog.NewTextHandler(&text, nil)))))
	assert.Equal(t, http.StatusInternalServerError, webhookDeliver(t, srv, webhookPageBody).Status)
	require.Eventually(t, func() bool { return text.String() != "" }, webhookPatience, time.Millisecond)
	assert.Contains(t, text.String(), "level=ERROR")
	assert.Contains(t, text.String(), "the event handler panicked: boom")
	assert.Contains(t, text.String(), "webhookBoom")
	assert.Equal(t, http.StatusInternalServerError, webhookDeliver(t, srv, webhookPageBody).Status, "the server lives on")
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
	const secret = "deliveries_test.go" // what stands in a stack can be anything
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

// webhookFaultyLog is a slog.Handler that panics.
type webhookFaultyLog struct{ slog.Handler }

func (webhookFaultyLog) Handle(context.Context, slog.Record) error { panic("the log is full") }

func TestWebhookHandler_answersAndObservesThoughTheLogPanics(t *testing.T) {
	recorder := newWebhookRecorder()
	h := webhookHandler(t, recorder, ittybit.WithObserver(recorder.observe),
		ittybit.WithLogger(slog.New(webhookFaultyLog{slog.DiscardHandler})))
	faulty := webhookHandler(t, recorder, ittybit.WithObserver(recorder.observe),
		ittybit.WithLogger(slog.New(webhookFaultyLog{slog.NewTextHandler(new(testLog), nil)})))
	for _, h := range []http.Handler{h, faulty} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, signedRequest(webhookPageBody))
		assert.Equal(t, http.StatusOK, w.Code)
		assert.Equal(t, ittybit.OutcomeHandled, recorder.next(t).Outcome)
	}
}

func TestWebhookLog_saysHowARefusedSignatureFits(t *testing.T) {
	var log testLog
	h := webhookHandler(t, ittybit.EventHandlerFunc(webhookNothing), ittybit.WithLogger(log.logger()))
	r := signedRequest(webhookPageBody)
	r.Header.Set(ittybit.SignatureHeader, ittybit.SignWebhook("a key of a stranger", time.Now(), []byte(webhookPageBody)))
	h.ServeHTTP(httptest.NewRecorder(), r)
	assert.Contains(t, log.String(), "No scheme matches: the key is wrong")
	assert.NotContains(t, log.String(), webhookSecret)

	var quiet testLog
	h = webhookHandler(t, ittybit.EventHandlerFunc(webhookNothing),
		ittybit.WithLogger(slog.New(slog.NewTextHandler(&quiet, nil))))
	h.ServeHTTP(httptest.NewRecorder(), r.Clone(t.Context()))
	assert.NotContains(t, quiet.String(), "explanation", "it costs more than the verification, and is for Debug")
}

func TestWebhookLog_warnsOfAnUnknownEventThatNobodyTook(t *testing.T) {
	for body, level := range map[string]string{`{"of":"tomorrow"}`: "WARN", webhookTask("task_1", "completed"): "INFO"} {
		var log testLog
		h := webhookHandler(t, ittybit.NewEventMux(), ittybit.WithLogger(log.logger()))
		w := httptest.NewRecorder()
		h.ServeHTTP(w, signedRequest(body))
		assert.Equal(t, http.StatusOK, w.Code)
		assert.Contains(t, log.String(), "level="+level)
	}
}

// webhookLogged gives the lines of a log in JSON.
func webhookLogged(tb testing.TB, log *testLog) []map[string]any {
	tb.Helper()
	var lines []map[string]any
	for line := range strings.Lines(log.String()) {
		var members map[string]any
		require.NoError(tb, json.Unmarshal([]byte(line), &members), line)
		lines = append(lines, members)
	}
	return lines
}

func webhookLoggingHandler(tb testing.TB, log *testLog, level slog.Level, next ittybit.EventHandler) *ittybit.WebhookHandler {
	tb.Helper()
	logger := slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: level}))
	return webhookHandler(tb, next, ittybit.WithLogger(logger))
}

func TestWebhookLog_writesOneLineADelivery(t *testing.T) {
	failure := errors.New("the database is away")
	fails := func(err error) ittybit.EventHandlerFunc {
		return func(context.Context, *ittybit.Event) error { return err }
	}
	tests := map[string]struct {
		next    ittybit.EventHandler
		header  string // empty: signed
		level   string
		outcome string
		status  float64
		err     string
	}{
		"handled":     {fails(nil), "", "INFO", "handled", 200, ""},
		"ignored":     {ittybit.NewEventMux(), "", "INFO", "ignored", 200, ""},
		"duplicate":   {fails(ittybit.ErrAlreadyHandled), "", "INFO", "duplicate", 200, ""},
		"discarded":   {fails(ittybit.Discard(failure)), "", "ERROR", "discarded", 200, "the database is away"},
		"failed":      {fails(failure), "", "ERROR", "failed", 500, "the database is away"},
		"retry later": {fails(ittybit.RetryLater(time.Minute, failure)), "", "WARN", "retry_later", 503, "the database is away"},
		"unsigned":    {nil, "junk", "WARN", "signature_malformed", 401, "malformed"},
		"wrong":       {nil, ittybit.SignWebhook("a key of a stranger", time.Now(), nil), "WARN", "signature_mismatch", 401, "does not match"},
		"expired":     {nil, signedAgo(time.Hour)(webhookPageBody)[0], "ERROR", "signature_expired", 401, "outside the tolerance"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			next := tt.next
			if next == nil {
				next = ittybit.NewEventMux()
			}
			var log testLog
			r := signedRequest(webhookPageBody)
			if tt.header != "" {
				r.Header.Set(ittybit.SignatureHeader, tt.header)
			}
			webhookLoggingHandler(t, &log, slog.LevelInfo, next).ServeHTTP(httptest.NewRecorder(), r)
			lines := webhookLogged(t, &log)
			require.Len(t, lines, 1)
			line := lines[0]
			assert.Equal(t, "ittybit: webhook", line["msg"])
			assert.Equal(t, tt.level, line["level"])
			assert.Equal(t, tt.outcome, line["outcome"])
			assert.InDelta(t, tt.status, line["status"], 0)
			assert.InDelta(t, len(webhookPageBody), line["body_bytes"], 0)
			assert.Contains(t, line, "duration")
			assert.NotContains(t, line, "payload")
			if tt.next != nil {
				assert.Equal(t, "task.completed", line["event"])
				assert.Equal(t, "task:task_123abc:completed", line["key"])
			} else {
				assert.NotContains(t, line, "event", "what is not verified is not repeated")
			}
			if tt.err == "" {
				assert.NotContains(t, line, "error")
			} else {
				assert.Contains(t, line["error"], tt.err)
			}
			if name == "expired" {
				assert.InDelta(t, float64(time.Hour), line["age"], float64(time.Minute))
			}
		})
	}
}

func TestWebhookLog_writesThePayloadAtDebug(t *testing.T) {
	var log testLog
	h := webhookLoggingHandler(t, &log, slog.LevelDebug, ittybit.NewEventMux())
	h.ServeHTTP(httptest.NewRecorder(), signedRequest(webhookPageBody))
	lines := webhookLogged(t, &log)
	require.Len(t, lines, 1, "one line also then")
	assert.Equal(t, webhookPageBody, lines[0]["payload"])

	unsigned := signedRequest(webhookPageBody)
	unsigned.Header.Set(ittybit.SignatureHeader, "junk")
	h.ServeHTTP(httptest.NewRecorder(), unsigned)
	lines = webhookLogged(t, &log)
	require.Len(t, lines, 2)
	assert.NotContains(t, lines[1], "payload", "a stranger can't fill the log")

	h.ServeHTTP(httptest.NewRecorder(), signedRequest("no JSON"))
	lines = webhookLogged(t, &log)
	require.Len(t, lines, 3)
	assert.Equal(t, "no JSON", lines[2]["payload"], "what is signed and can't be read is there to look at")
}

func TestWebhookLog_isSilentBelowItsLevel(t *testing.T) {
	var log testLog
	h := webhookLoggingHandler(t, &log, slog.LevelWarn, ittybit.NewEventMux())
	h.ServeHTTP(httptest.NewRecorder(), signedRequest(webhookPageBody))
	assert.Empty(t, log.String())
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
	assert.Len(t, webhookLogged(t, &log), 1)
}

func TestWebhookLog_neverHoldsASecretOrASignature(t *testing.T) {
	const signature = "c2lnbmF0dXJlX29mX2FfVVJM"
	const old = "ittybit_old_key_0987654321"
	plain := "https://you.ittybit.net/video.mp4?expiry=1735689600&method=get&signature=" + signature
	escaped, err := json.Marshal(map[string]string{"id": "task_1", "object": "task", "url": plain}) // & becomes \u0026
	require.NoError(t, err)
	require.Contains(t, string(escaped), `\u0026signature=`)
	fullyEscaped := strings.ReplaceAll(string(escaped), "signature=", `signature\u003d`)

	texts := map[string]string{
		"the secret":          "key is " + webhookSecret + " or " + old,
		"a URL":               plain,
		"a URL first":         "https://x?signature=" + signature + "&expiry=1",
		"a URL inside a URL":  "https://x?next=" + url.QueryEscape(plain),
		"twice inside":        "https://x?next=" + url.QueryEscape("https://y?next="+url.QueryEscape(plain)),
		"in upper case":       "https://x?SIGNATURE=" + signature + " X-Amz-Signature=" + signature,
		"a webhook's header":  "Ittybit-Signature: t=1736512522,v1=" + signature,
		"a header's own part": "v1=" + signature,
		"with a fragment":     plain + "#t=10",
	}
	payloads := map[string]string{
		"escaped":         string(escaped),
		"escaped, = too":  fullyEscaped,
		"a member":        `{"id":"task_1","object":"task","signature":"` + signature + `"}`,
		"a spaced member": `{"id":"task_1","object":"task","Signature" : "` + signature + `"}`,
		"in the id":       `{"id":"task_?signature=` + signature + webhookSecret + `","object":"task","status":"completed"}`,
		"in the kind":     `{"id":"evt_` + webhookSecret + `","object":"event","kind":"x?signature=` + signature + `"}`,
	}
	for name, text := range texts {
		payload, err := json.Marshal(map[string]string{"id": "task_1", "object": "task", "status": "completed", "url": text})
		require.NoError(t, err)
		payloads["payload: "+name] = string(payload)
		payloads["payload, & as it is: "+name] = strings.ReplaceAll(string(payload), `\u0026`, "&")
	}
	texts["nothing"] = ""
	for _, newHandler := range []func(log *testLog) slog.Handler{
		func(log *testLog) slog.Handler {
			return slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})
		},
		func(log *testLog) slog.Handler {
			return slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})
		},
	} {
		var log testLog
		for _, text := range texts {
			for kind, next := range map[string]ittybit.EventHandlerFunc{
				"error":   func(context.Context, *ittybit.Event) error { return errors.New(text) },
				"discard": func(context.Context, *ittybit.Event) error { return ittybit.Discard(errors.New(text)) },
				"retry":   func(context.Context, *ittybit.Event) error { return ittybit.RetryLater(time.Second, errors.New(text)) },
				"panic":   func(context.Context, *ittybit.Event) error { panic(text) },
				"panic with an error": func(context.Context, *ittybit.Event) error {
					panic(errors.New(text))
				},
			} {
				h := webhookHandler(t, next, ittybit.WithSecrets(old), ittybit.WithLogger(slog.New(newHandler(&log))),
					ittybit.WithObserver(func(context.Context, ittybit.Delivery) { panic(text) }))
				for name, payload := range payloads {
					if text != "" && name != "escaped" {
						continue // every text with one payload, every payload with one text
					}
					r := signedRequest(payload)
					header := r.Header.Get(ittybit.SignatureHeader)
					h.ServeHTTP(httptest.NewRecorder(), r)
					said := log.String()
					log.Reset()
					require.NotEmpty(t, said)
					for _, forbidden := range []string{webhookSecret, old, signature, header, header[len("t=1736512522,v1="):]} {
						require.NotContains(t, said, forbidden, "%s of %q on %s", kind, text, name)
					}
				}
			}
		}
	}
}

func TestWebhookLog_leavesWhatIsHandledUntouched(t *testing.T) {
	payload := `{"id":"task_1","object":"task","url":"https://x?signature=abc","key":"` + webhookSecret + `"}`
	var log testLog
	recorder := newWebhookRecorder()
	webhookLoggingHandler(t, &log, slog.LevelDebug, recorder).ServeHTTP(httptest.NewRecorder(), signedRequest(payload))
	require.Len(t, recorder.handled(), 1)
	assert.Equal(t, payload, string(recorder.handled()[0].RawJSON()))
	assert.Contains(t, webhookLogged(t, &log)[0]["payload"], "REDACTED")
}

// defaultLog makes a log the process's default one for the test.
func defaultLog(t *testing.T) *testLog {
	t.Helper()
	log, before := new(testLog), slog.Default()
	slog.SetDefault(slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	t.Cleanup(func() { slog.SetDefault(before) })
	return log
}

// unsignedRequest makes a request that is refused, from an address.
func unsignedRequest(signature, from string) *http.Request {
	r := signedRequest(webhookPageBody)
	r.Header.Del(ittybit.SignatureHeader)
	if signature != "" {
		r.Header.Set(ittybit.SignatureHeader, signature)
	}
	r.RemoteAddr = from
	return r
}

func TestWebhookLog_isNeverSilentWithoutALogger(t *testing.T) {
	late := func(ctx context.Context, _ *ittybit.Event) error { time.Sleep(6 * time.Second); return nil }
	for name, tt := range map[string]struct {
		next      ittybit.EventHandlerFunc
		signature string // empty: signed
		level     string // empty: no line
		say       []string
	}{
		"handled":      {webhookNothing, "", "", nil},
		"duplicate":    {webhookFails(ittybit.ErrAlreadyHandled), "", "", nil},
		"failed":       {webhookFails(errors.New("the database is away")), "", "ERROR", []string{"failed", "the database is away", "delivers it again"}},
		"discarded":    {webhookFails(ittybit.Discard(errors.New("hopeless"))), "", "ERROR", []string{"discarded", "hopeless"}},
		"retry later":  {webhookFails(ittybit.RetryLater(time.Second, errors.New("busy"))), "", "WARN", []string{"retry_later", "busy"}},
		"panicked":     {webhookBoom, "", "ERROR", []string{"panicked", "boom", "webhookBoom", "delivers it again"}},
		"aborted":      {webhookEnd["aborted"].next, "", "ERROR", []string{"panicked", "abort Handler", "stack"}},
		"ended":        {webhookEnd["goroutine ended"].next, "", "ERROR", []string{"aborted", "runtime.Goexit"}},
		"late success": {late, "", "WARN", []string{"handled", "later than the 5s", "Deduplicate", "6s"}},
		"wrong key":    {webhookNothing, ittybit.SignWebhook("a key of a stranger", time.Now(), []byte(webhookPageBody)), "WARN", []string{"signature_mismatch", "the key is wrong", "Explain"}},
	} {
		t.Run(name, func(t *testing.T) {
			log := defaultLog(t)
			synctest.Test(t, func(t *testing.T) {
				h := webhookHandler(t, tt.next, ittybit.WithProcessingTimeout(time.Hour), ittybit.WithTolerance(1_000_000*time.Hour))
				r := signedRequest(webhookPageBody)
				if tt.signature != "" {
					r.Header.Set(ittybit.SignatureHeader, tt.signature)
				}
				webhookServe(h, httptest.NewRecorder(), r)
			})
			lines := webhookLogged(t, log)
			if tt.level == "" {
				assert.Empty(t, lines, "what is well is for WithLogger")
				return
			}
			require.Len(t, lines, 1)
			assert.Equal(t, tt.level, lines[0]["level"])
			for _, say := range tt.say {
				assert.Contains(t, strings.ReplaceAll(log.String(), fmt.Sprint(int64(6*time.Second)), "6s"), say)
			}
			assert.NotContains(t, log.String(), webhookSecret)
		})
	}
}

func TestWebhookLog_usesTheDefaultAsItIsAtEachLine(t *testing.T) {
	h := webhookHandler(t, webhookFails(errors.New("no")))
	for range 2 {
		log := defaultLog(t)
		h.ServeHTTP(httptest.NewRecorder(), signedRequest(webhookPageBody))
		assert.Len(t, webhookLogged(t, log), 1)
	}
}

func TestWebhookLog_isSilencedByADiscardingLogger(t *testing.T) {
	log := defaultLog(t)
	h := webhookHandler(t, webhookFails(errors.New("no")), ittybit.WithLogger(slog.New(slog.DiscardHandler)),
		ittybit.WithObserver(func(context.Context, ittybit.Delivery) { panic("metrics are down") }))
	h.ServeHTTP(httptest.NewRecorder(), signedRequest(webhookPageBody))
	h.ServeHTTP(httptest.NewRecorder(), unsignedRequest("junk", "192.0.2.7:1"))
	assert.Empty(t, log.String())
}

func TestWebhookLog_writesAPanickingObserverToTheDefault(t *testing.T) {
	log := defaultLog(t)
	h := webhookHandler(t, ittybit.NewEventMux(), ittybit.WithObserver(func(context.Context, ittybit.Delivery) { panic("metrics are down") }))
	h.ServeHTTP(httptest.NewRecorder(), signedRequest(webhookPageBody))
	lines := webhookLogged(t, log)
	require.Len(t, lines, 1)
	assert.Equal(t, "ittybit: the observer panicked", lines[0]["msg"])
}

func TestWebhookLog_warnsOfResponsesThatComeTooLate(t *testing.T) {
	for took, level := range map[time.Duration]string{4900 * time.Millisecond: "INFO", 5100 * time.Millisecond: "WARN", time.Minute: "WARN"} {
		synctest.Test(t, func(t *testing.T) {
			var log testLog
			h := webhookHandler(t, ittybit.EventHandlerFunc(func(context.Context, *ittybit.Event) error {
				time.Sleep(took)
				return nil
			}), ittybit.WithLogger(slog.New(slog.NewJSONHandler(&log, nil))))
			w := httptest.NewRecorder()
			h.ServeHTTP(w, signedRequest(webhookPageBody))
			assert.Equal(t, http.StatusOK, w.Code, "a success is a success")
			lines := webhookLogged(t, &log)
			require.Len(t, lines, 1)
			assert.Equal(t, level, lines[0]["level"], took)
			assert.Equal(t, level == "WARN", strings.Contains(fmt.Sprint(lines[0]["hint"]), "delivers again"))
		})
	}
}

// webhookFlood sends forged requests, a thousand a second, and gives the lines of their outcome.
func webhookFlood(t *testing.T, h http.Handler, log *testLog, send func() *http.Request, seconds int) []map[string]any {
	t.Helper()
	for range seconds * 1000 {
		h.ServeHTTP(httptest.NewRecorder(), send())
		time.Sleep(time.Millisecond)
	}
	before := len(webhookLogged(t, log))
	time.Sleep(2 * time.Second)
	lines := webhookLogged(t, log)
	assert.LessOrEqual(t, len(lines)-before, 1, "the last sum")
	settled := len(lines)
	time.Sleep(time.Hour)
	assert.Len(t, webhookLogged(t, log), settled, "and nothing after it")
	return lines
}

func TestWebhookLog_isNotFilledByAFlood(t *testing.T) {
	const seconds = 10
	sends := map[string]func() *http.Request{
		"signature_missing":   func() *http.Request { return unsignedRequest("", "192.0.2.7:1") },
		"signature_malformed": func() *http.Request { return unsignedRequest("junk", "192.0.2.7:1") },
		"signature_mismatch":  func() *http.Request { return unsignedRequest(signedHeader("another"), "192.0.2.7:1") },
		"signature_expired":   func() *http.Request { return unsignedRequest(signedAgo(time.Hour)(webhookPageBody)[0], "192.0.2.7:1") },
		"method_not_allowed": func() *http.Request {
			r := unsignedRequest("", "192.0.2.7:1")
			r.Method = http.MethodPut
			return r
		},
		"body_too_large": func() *http.Request {
			r := unsignedRequest("", "192.0.2.7:1")
			r.ContentLength = 1 << 40
			return r
		},
		"body_unreadable": func() *http.Request {
			r := unsignedRequest("", "192.0.2.7:1")
			r.Body = io.NopCloser(webhookBrokenReader{io.ErrUnexpectedEOF})
			return r
		},
	}
	for _, logged := range []string{"WithLogger", "the default log"} {
		for outcome, send := range sends {
			t.Run(outcome+", "+logged, func(t *testing.T) {
				log := defaultLog(t)
				var opts []ittybit.WebhookOption
				if logged == "WithLogger" {
					slog.SetDefault(slog.New(slog.DiscardHandler))
					opts = append(opts, ittybit.WithLogger(slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))))
				}
				synctest.Test(t, func(t *testing.T) {
					lines := webhookFlood(t, webhookHandler(t, ittybit.NewEventMux(), opts...), log, send, seconds)
					assert.LessOrEqual(t, len(lines), 16)
					total := 0
					for _, line := range lines {
						assert.Equal(t, outcome, line["outcome"])
						assert.Equal(t, "192.0.2.7:1", line["remote_addr"])
						count, ok := line["count"].(float64)
						if !ok {
							count = 1
						}
						total += int(count)
					}
					assert.Equal(t, seconds*1000, total, "the lines stand for all of them")
				})
			})
		}
	}
}

func TestMiddleware_logsWhatItRefuses(t *testing.T) {
	log := defaultLog(t)
	synctest.Test(t, func(t *testing.T) {
		h := webhookMiddleware(t, func(http.ResponseWriter, *http.Request) { t.Error("next must not be reached") })
		lines := webhookFlood(t, h, log, func() *http.Request { return unsignedRequest("junk", "192.0.2.7:1") }, 3)
		assert.LessOrEqual(t, len(lines), 9)
		assert.Equal(t, "signature_malformed", lines[0]["outcome"])
		assert.Equal(t, "192.0.2.7:1", lines[0]["remote_addr"])
	})
}

func TestWebhookLog_leavesGoodDeliveriesTheirLinesInAFlood(t *testing.T) {
	var log testLog
	synctest.Test(t, func(t *testing.T) {
		h := webhookHandler(t, ittybit.NewEventMux(), ittybit.WithLogger(slog.New(slog.NewJSONHandler(&log, nil))))
		for range 100 {
			h.ServeHTTP(httptest.NewRecorder(), unsignedRequest("junk", "192.0.2.7:1"))
			h.ServeHTTP(httptest.NewRecorder(), signedRequest(webhookPageBody))
			h.ServeHTTP(httptest.NewRecorder(), signedRequest("[]"))
		}
		time.Sleep(time.Minute)
	})
	outcomes := map[any]int{}
	for _, line := range webhookLogged(t, &log) {
		outcomes[line["outcome"]]++
	}
	assert.Equal(t, map[any]int{"ignored": 100, "malformed_event": 100, "signature_malformed": 6}, outcomes)
}

// endedTestLog panics, as the log of a test does when the test is over.
type endedTestLog struct{ slog.Handler }

func (endedTestLog) Handle(context.Context, slog.Record) error {
	panic("Log in goroutine after Test has completed")
}

func TestWebhookLog_ofATestThatIsOverEndsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := webhookHandler(t, ittybit.NewEventMux(), ittybit.WithLogger(slog.New(endedTestLog{slog.NewTextHandler(io.Discard, nil)})))
		for range 20 {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, unsignedRequest("junk", "192.0.2.7:1"))
			assert.Equal(t, http.StatusUnauthorized, w.Code)
		}
		time.Sleep(time.Minute) // the timer has its turn
	})
}

func TestDelivery_hasTheSendersAddress(t *testing.T) {
	for name, tt := range map[string]struct {
		headers []string
		want    string
	}{
		"none":           {nil, ""},
		"one":            {[]string{"203.0.113.9, 192.0.2.1"}, "203.0.113.9, 192.0.2.1"},
		"several lines":  {[]string{"203.0.113.9", "192.0.2.1"}, "203.0.113.9, 192.0.2.1"},
		"cut":            {[]string{strings.Repeat("x", 10_000)}, strings.Repeat("x", 200)},
		"cut, no halves": {[]string{"x" + strings.Repeat("é", 10_000)}, "x" + strings.Repeat("é", 99)},
	} {
		t.Run(name, func(t *testing.T) {
			var log testLog
			recorder := newWebhookRecorder()
			h := webhookHandler(t, ittybit.NewEventMux(), ittybit.WithObserver(recorder.observe), ittybit.WithLogger(slog.New(slog.NewJSONHandler(&log, nil))))
			for _, r := range []*http.Request{signedRequest(webhookPageBody), unsignedRequest("junk", "")} {
				r.RemoteAddr = "192.0.2.7:4711"
				for _, value := range tt.headers {
					r.Header.Add("X-Forwarded-For", value)
				}
				h.ServeHTTP(httptest.NewRecorder(), r)
				d := recorder.next(t)
				assert.Equal(t, "192.0.2.7:4711", d.RemoteAddr)
				assert.Equal(t, tt.want, d.ForwardedFor)
			}
			lines := webhookLogged(t, &log)
			require.Len(t, lines, 2)
			assert.NotContains(t, lines[0], "remote_addr", "for refusals")
			assert.Equal(t, "192.0.2.7:4711", lines[1]["remote_addr"])
			if tt.want == "" {
				assert.NotContains(t, lines[1], "forwarded_for")
			} else {
				assert.Equal(t, tt.want, lines[1]["forwarded_for"])
			}
		})
	}
}

func TestDelivery_cutsAnAddressThatAMiddlewareHasTakenFromAHeader(t *testing.T) {
	log, recorder := defaultLog(t), newWebhookRecorder()
	h := webhookHandler(t, ittybit.NewEventMux(), ittybit.WithObserver(recorder.observe))
	h.ServeHTTP(httptest.NewRecorder(), unsignedRequest("junk", strings.Repeat("z", 50_000)))
	want := strings.Repeat("z", 200)
	assert.Equal(t, want, recorder.next(t).RemoteAddr)
	lines := webhookLogged(t, log)
	require.Len(t, lines, 1)
	assert.Equal(t, want, lines[0]["remote_addr"])
}

func TestWebhookLog_warnsOfAnIgnoredEventWithoutItsObject(t *testing.T) {
	for name, tt := range map[string]struct {
		body  string
		warns bool
	}{
		"a form that is not known":  {`{"hello":"world"}`, true},
		"no data":                   {`{"id":"evt_1","object":"event","kind":"task.completed"}`, true},
		"a task without an id":      {`{"id":"evt_2","object":"event","kind":"task.succeeded","data":{"status":"succeeded"}}`, true},
		"data that is a list":       {`{"id":"evt_3","object":"event","kind":"task.failed","data":[]}`, true},
		"no media":                  {`{"id":"evt_4","object":"event","kind":"media.created","data":null}`, true},
		"no job":                    {`{"id":"evt_5","object":"event","kind":"job.failed"}`, true},
		"a task of another kind":    {webhookTask("task_1", "completed"), false},
		"media that nobody takes":   {`{"id":"med_1","object":"media"}`, false},
		"a job that nobody takes":   {`{"id":"job_1","object":"job","status":"failed"}`, false},
		"a type about other things": {`{"id":"evt_6","object":"event","kind":"run.created"}`, false},
	} {
		t.Run(name, func(t *testing.T) {
			log := defaultLog(t)
			w := httptest.NewRecorder()
			webhookHandler(t, ittybit.NewEventMux()).ServeHTTP(w, signedRequest(tt.body))
			assert.Equal(t, http.StatusOK, w.Code)
			var warned bool
			for _, line := range webhookLogged(t, log) {
				warned = warned || line["outcome"] == "ignored" && line["level"] == "WARN" && strings.Contains(line["hint"].(string), "OnUnhandled")
			}
			assert.Equal(t, tt.warns, warned)
		})
	}
}

func TestWebhookLog_hintsAtCommonMistakes(t *testing.T) {
	var compressed bytes.Buffer
	zip := gzip.NewWriter(&compressed)
	_, _ = zip.Write([]byte(webhookPageBody))
	require.NoError(t, zip.Close())
	header := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	body := func(text string) func(*http.Request) {
		return func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader(text)) }
	}
	base64Of := func(text string) func(*http.Request) { return body(base64.StdEncoding.EncodeToString([]byte(text))) }
	unsigned := func(r *http.Request) { r.Header.Del(ittybit.SignatureHeader) }
	for name, tt := range map[string]struct {
		change []func(*http.Request)
		want   string
	}{
		"a body that a middleware has read": {[]func(*http.Request){body("")}, "the body is empty: if a middleware has read it"},
		"a body that was compressed":        {[]func(*http.Request){header("Content-Encoding", "gzip"), body(compressed.String())}, "Content-Encoding is set"},
		"a body that was decompressed":      {[]func(*http.Request){header("Content-Encoding", "br"), body("{}")}, "Content-Encoding is set"},
		"no encoding":                       {[]func(*http.Request){header("Content-Encoding", "identity"), body("{}")}, "the key is wrong"},
		"base64":                            {[]func(*http.Request){base64Of(webhookPageBody)}, "the body is base64"},
		"base64, of a line":                 {[]func(*http.Request){base64Of(`{"id":"task_1"}`)}, "the body is base64"},
		"base64, of nothing":                {[]func(*http.Request){base64Of("{}")}, "the body is base64"},
		"base64, in lines":                  {[]func(*http.Request){base64Of("{\r\n\t\"id\":1}\n")}, "the body is base64"},
		"not base64":                        {[]func(*http.Request){body("eyes and ears")}, "the key is wrong"},
		"GitHub's scheme":                   {[]func(*http.Request){header(ittybit.SignatureHeader, "sha256="+strings.Repeat("0", 64))}, "another service's scheme"},
		"an older one":                      {[]func(*http.Request){header(ittybit.SignatureHeader, "sha1=00")}, "another service's scheme"},
		"Standard Webhooks":                 {[]func(*http.Request){header(ittybit.SignatureHeader, "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=")}, "another service's scheme"},
		"in quotes":                         {[]func(*http.Request){header(ittybit.SignatureHeader, `"t=1,v1=00"`)}, "in quotes"},
		"in single quotes":                  {[]func(*http.Request){header(ittybit.SignatureHeader, ` 't=1,v1=00'`)}, "in quotes"},
		"another service's webhook":         {[]func(*http.Request){unsigned, header("Stripe-Signature", "t=1,v1=00")}, "the request has a Stripe-Signature header"},
		"no signature":                      {[]func(*http.Request){unsigned}, "has removed the Ittybit-Signature header"},
		"half a signature":                  {[]func(*http.Request){header(ittybit.SignatureHeader, "t=1")}, "want t=<timestamp>,v1=<signature>"},
		"changed on its way":                {[]func(*http.Request){body("{}")}, "the key is wrong, or the body was changed"},
	} {
		t.Run(name, func(t *testing.T) {
			log := defaultLog(t) // whatever the level
			r := signedRequest(webhookPageBody)
			for _, change := range tt.change {
				change(r)
			}
			webhookHandler(t, ittybit.NewEventMux()).ServeHTTP(httptest.NewRecorder(), r)
			lines := webhookLogged(t, log)
			require.Len(t, lines, 1)
			assert.Equal(t, "WARN", lines[0]["level"])
			assert.Contains(t, lines[0]["hint"], tt.want)
		})
	}
}

func TestWebhookLog_leavesWhatAnExpiredSignatureSays(t *testing.T) {
	log := defaultLog(t)
	webhookHandler(t, ittybit.NewEventMux()).ServeHTTP(httptest.NewRecorder(), unsignedRequest(signedAgo(time.Hour)(webhookPageBody)[0], "192.0.2.7:1"))
	lines := webhookLogged(t, log)
	require.Len(t, lines, 1)
	assert.Contains(t, lines[0]["error"], "WithTolerance")
	assert.NotContains(t, lines[0], "hint")
}
