package ittybit_test

import (
	"context"
	"encoding/json"
	"errors"
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
		"wrong":       {nil, ittybit.SignWebhook("stranger", time.Now(), nil), "WARN", "signature_mismatch", 401, "does not match"},
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
