package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver that pgtest makes databases with
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.uber.org/goleak"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/ittybittest"
)

const apiKey = "ittybit_test_k3y"

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func testTelemetry(t *testing.T) *telemetry {
	t.Helper()
	tel, err := newTelemetry()
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, tel.shutdown(context.WithoutCancel(t.Context()))) })
	return tel
}

// testReceiver is one whose endpoint is called without a socket.
func testReceiver(t *testing.T, tel *telemetry, databaseURL string, work ittybit.EventHandlerFunc) (http.Handler, *receiver) {
	t.Helper()
	r, err := startReceiver(t.Context(), tel, apiKey, databaseURL, work)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, r.stop(t.Context())) })
	return r.server.http.Handler, r
}

// deliver gives the answer to a webhook.
func deliver(webhook http.Handler, payload string, change ...func(*http.Request)) int {
	req := ittybittest.NewWebhookRequest(apiKey, payload)
	for _, f := range change {
		f(req)
	}
	recorder := httptest.NewRecorder()
	webhook.ServeHTTP(recorder, req)
	return recorder.Code
}

func unsigned(req *http.Request) { req.Header.Del(ittybit.SignatureHeader) }

func completed(id string) string {
	return `{"id":"` + id + `","object":"task","kind":"nsfw","status":"completed","completed":"2025-10-01T12:00:00Z"}`
}

// named gives the spans of a name.
func named(tel *telemetry, name string) tracetest.SpanStubs {
	var found tracetest.SpanStubs
	for _, span := range tel.spans.GetSpans() {
		if span.Name == name {
			found = append(found, span)
		}
	}
	return found
}

// one gives the only span of a name.
func one(t *testing.T, tel *telemetry, name string) tracetest.SpanStub {
	t.Helper()
	found := named(tel, name)
	require.Len(t, found, 1, name)
	return found[0]
}

// metricsOf gives what Prometheus reads; with exemplars, if it takes OpenMetrics.
func metricsOf(t *testing.T, tel *telemetry, accept string) string {
	t.Helper()
	req := httptest.NewRequest(http.MethodGet, "/metrics", nil)
	req.Header.Set("Accept", accept)
	recorder := httptest.NewRecorder()
	tel.scrape.ServeHTTP(recorder, req)
	require.Equal(t, http.StatusOK, recorder.Code)
	return recorder.Body.String()
}

func TestDemonstrate_handlesTheEventInTheRequestWithoutADatabase(t *testing.T) {
	var out strings.Builder
	require.NoError(t, demonstrate(t.Context(), &out, ""))
	text := out.String()
	assert.Contains(t, text, "are handled in the request.")
	assert.Regexp(t, `(?m)^ +\S+  POST /ittybit-webhook +200\n +\S+    work task\.completed +handled$`, text)
	assert.NotContains(t, text, "enqueue")
	assertCounted(t, text)
}

// assertCounted looks for the demonstration's three deliveries.
func assertCounted(t *testing.T, text string) {
	t.Helper()
	assert.Regexp(t, `(?m)^Trace \w{32}\n +\S+  check image\n +\S+    HTTP POST +201$`, text)
	assert.Equal(t, 2, strings.Count(text, ", linked to it\n"), text)
	for _, line := range []string{
		`ittybit_webhook_deliveries_total{event="task.completed",outcome="handled",status="200"} 1`,
		`ittybit_webhook_deliveries_total{event="task.completed",outcome="duplicate",status="200"} 1`,
		`ittybit_webhook_deliveries_total{event="none",outcome="signature_missing",status="401"} 1`,
		`ittybit_webhook_age_seconds_count{since="event"} 2`,
		`ittybit_webhook_in_flight 0`,
	} {
		assert.Contains(t, text, line)
	}
}

func TestDemonstrate_removesWhatItStartedWhenTheDatabaseIsAway(t *testing.T) {
	var out strings.Builder
	err := demonstrate(t.Context(), &out, "postgres://nobody@127.0.0.1:1/none?sslmode=disable")
	require.ErrorContains(t, err, "PostgreSQL:")
	assert.Empty(t, out.String())
}
