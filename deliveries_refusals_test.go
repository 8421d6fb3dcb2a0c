package ittybit_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
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
	seconds := 10
	if raceEnabled {
		seconds = 3 // of which each takes as long as ten
	}
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
					assert.LessOrEqual(t, len(lines), seconds+6)
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
		h := webhookHandler(t, ittybit.NewEventMux(), ittybit.WithLogger(slog.New(endedTestLog{slog.DiscardHandler})))
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
