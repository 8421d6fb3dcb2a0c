package ittybit_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
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
	require.Eventually(t, func() bool { return text.String() != "" }, webhookWaitLimit, time.Millisecond)
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
		var fields map[string]any
		require.NoError(tb, json.Unmarshal([]byte(line), &fields), line)
		lines = append(lines, fields)
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
		"escaped":        string(escaped),
		"escaped, = too": fullyEscaped,
		"a field":        `{"id":"task_1","object":"task","signature":"` + signature + `"}`,
		"a spaced field": `{"id":"task_1","object":"task","Signature" : "` + signature + `"}`,
		"in the id":      `{"id":"task_?signature=` + signature + webhookSecret + `","object":"task","status":"completed"}`,
		"in the kind":    `{"id":"evt_` + webhookSecret + `","object":"event","kind":"x?signature=` + signature + `"}`,
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
