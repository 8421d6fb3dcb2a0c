package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/internal/pgserver/pgtest"
)

func TestWithRiver(t *testing.T) {
	databaseURL := pgtest.Database(t)
	t.Run("run tells the whole story", func(t *testing.T) {
		var out strings.Builder
		require.NoError(t, run(t.Context(), &out, func(name string) string {
			return map[string]string{"DATABASE_URL": databaseURL}[name]
		}))
		text := out.String()
		assert.Contains(t, text, "are handled by a River worker on PostgreSQL.")
		assert.Regexp(t, `(?m)^ +\S+  POST /ittybit-webhook +200\n +\S+    enqueue task\.completed +handled\n +\S+      work task\.completed +handled$`, text)
		assert.Regexp(t, `(?m)^ +\S+    enqueue task\.completed +duplicate$`, text)
		assert.Contains(t, text, `ittybit_event_attempts_total{event="task.completed",last="false",outcome="handled"} 1`)
		assertCounted(t, text)
	})
	t.Run("one trace goes from the request to the worker", func(t *testing.T) { oneTrace(t, databaseURL) })
	t.Run("a queue that is away is counted, and so is an event that is given up", func(t *testing.T) { troubles(t, databaseURL) })
}

func oneTrace(t *testing.T, databaseURL string) {
	tel := testTelemetry(t)
	worked := make(chan trace.SpanContext, 1)
	webhook, r := testReceiver(t, tel, databaseURL, func(ctx context.Context, _ *ittybit.Event) error {
		worked <- trace.SpanContextFromContext(ctx)
		return nil
	})
	ctx, asking := tel.tracer.Start(t.Context(), "asking")
	address := tel.webhookURL(ctx, "/ittybit-webhook")
	asking.End()
	require.Equal(t, http.StatusOK, deliver(webhook, completed("task_1"), func(req *http.Request) {
		_, req.URL.RawQuery, _ = strings.Cut(address, "?")
	}))
	inWorker := <-worked
	require.NoError(t, r.queue.client.Stop(t.Context()))

	delivery, enqueue, work := one(t, tel, "POST /ittybit-webhook"), one(t, tel, "enqueue task.completed"), one(t, tel, "work task.completed")
	assert.Equal(t, work.SpanContext, inWorker, "the handler's own spans are below it")
	assert.Equal(t, delivery.SpanContext.TraceID(), enqueue.SpanContext.TraceID())
	assert.Equal(t, delivery.SpanContext.TraceID(), work.SpanContext.TraceID())
	assert.Equal(t, delivery.SpanContext.SpanID(), enqueue.Parent.SpanID())
	assert.Equal(t, enqueue.SpanContext.SpanID(), work.Parent.SpanID())
	assert.True(t, work.Parent.IsRemote(), "it came by the job's row")
	assert.Equal(t, []trace.SpanKind{trace.SpanKindServer, trace.SpanKindProducer, trace.SpanKindConsumer},
		[]trace.SpanKind{delivery.SpanKind, enqueue.SpanKind, work.SpanKind})

	// Who asked for the webhook is a link.
	assert.False(t, delivery.Parent.IsValid())
	require.Len(t, delivery.Links, 1)
	assert.Equal(t, asking.SpanContext().TraceID(), delivery.Links[0].SpanContext.TraceID())
	assert.Equal(t, asking.SpanContext().SpanID(), delivery.Links[0].SpanContext.SpanID())
	assert.NotEqual(t, asking.SpanContext().TraceID(), delivery.SpanContext.TraceID())
}

func troubles(t *testing.T, databaseURL string) {
	tel := testTelemetry(t)
	worked := make(chan struct{}, 1)
	webhook, r := testReceiver(t, tel, databaseURL, func(context.Context, *ittybit.Event) error {
		worked <- struct{}{}
		return ittybit.Discard(errors.New("no such upload"))
	})
	require.Equal(t, http.StatusOK, deliver(webhook, completed("task_1")))
	<-worked
	require.NoError(t, r.queue.client.Stop(t.Context()))
	require.NoError(t, r.queue.remove(t.Context())) // the database loses River's tables
	assert.Equal(t, http.StatusServiceUnavailable, deliver(webhook, completed("task_2")))

	text := metricsOf(t, tel, "")
	assert.Contains(t, text, `ittybit_event_attempts_total{event="task.completed",last="false",outcome="discarded"} 1`)
	assert.Contains(t, text, `ittybit_webhook_deliveries_total{event="task.completed",outcome="retry_later",status="503"} 1`)
	assert.Equal(t, codes.Error, one(t, tel, "work task.completed").Status.Code)
	assert.Len(t, named(tel, "enqueue task.completed"), 2)
	r.queue = nil // it has been stopped
}

func TestServer_aStrangersTraceIsNoParent(t *testing.T) {
	tel := testTelemetry(t)
	webhook, _ := testReceiver(t, tel, "", func(context.Context, *ittybit.Event) error { return nil })
	const theirs = "0af7651916cd43dd8448eb211c80319c"
	deliver(webhook, completed("task_1"), unsigned, func(req *http.Request) {
		req.Header.Set("traceparent", "00-"+theirs+"-b7ad6b7169203331-01")
	})
	span := one(t, tel, "POST /ittybit-webhook")
	assert.NotEqual(t, theirs, span.SpanContext.TraceID().String())
	assert.False(t, span.Parent.IsValid())
	require.Len(t, span.Links, 1)
	assert.Equal(t, theirs, span.Links[0].SpanContext.TraceID().String())
}

func TestServer_stillEndsABodyThatStalls(t *testing.T) {
	// The SDK sets deadlines through the ResponseWriter, which otelhttp wraps.
	tel := testTelemetry(t)
	outcomes := make(chan ittybit.Outcome, 1)
	webhook, err := ittybit.NewWebhookHandler(apiKey, ittybit.NewEventMux(), ittybit.WithReadTimeout(50*time.Millisecond),
		ittybit.WithObserver(func(_ context.Context, d ittybit.Delivery) { outcomes <- d.Outcome }))
	require.NoError(t, err)
	s, err := serve(tel.server(webhook))
	require.NoError(t, err)
	defer func() { assert.NoError(t, s.stop(context.WithoutCancel(t.Context()))) }()

	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	stalled, never := io.Pipe()
	defer func() { assert.NoError(t, never.Close()) }()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, stalled)
	require.NoError(t, err)
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	resp, err := transport.RoundTrip(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	assert.Equal(t, http.StatusRequestTimeout, resp.StatusCode)
	assert.Equal(t, ittybit.OutcomeBodyTimeout, <-outcomes)
}

func TestTraced_tellsWhatBecameOfTheEvent(t *testing.T) {
	event, err := ittybit.ParseEvent([]byte(completed("task_1")))
	require.NoError(t, err)
	for name, c := range map[string]struct {
		err     error
		outcome string
		status  codes.Code
	}{
		"nil":       {nil, "handled", codes.Unset},
		"duplicate": {ittybit.ErrAlreadyHandled, "duplicate", codes.Unset},
		"error":     {errors.New("broken"), "failed", codes.Error},
		"discard":   {ittybit.Discard(errors.New("broken")), "discarded", codes.Error},
		"later":     {ittybit.RetryLater(time.Second, errors.New("broken")), "retry_later", codes.Error},
	} {
		t.Run(name, func(t *testing.T) {
			tel := testTelemetry(t)
			handler := tel.traced("work", trace.SpanKindConsumer, ittybit.EventHandlerFunc(func(context.Context, *ittybit.Event) error { return c.err }))
			require.Equal(t, c.err, handler.HandleEvent(t.Context(), event))
			span := one(t, tel, "work task.completed")
			assert.Equal(t, c.status, span.Status.Code)
			values := map[string]string{}
			for _, a := range span.Attributes {
				values[string(a.Key)] = a.Value.String()
			}
			assert.Equal(t, map[string]string{
				"ittybit.event.type": "task.completed", "ittybit.event.key": "task:task_1:completed", "ittybit.outcome": c.outcome,
			}, values)
		})
	}
}

func TestTraced_endsItsSpanWhenTheHandlerPanics(t *testing.T) {
	tel := testTelemetry(t)
	webhook, _ := testReceiver(t, tel, "", func(context.Context, *ittybit.Event) error { panic("oops") })
	assert.Equal(t, http.StatusInternalServerError, deliver(webhook, completed("task_1")))
	span := one(t, tel, "work task.completed")
	require.Len(t, span.Events, 1)
	assert.Equal(t, "exception", span.Events[0].Name)
	assert.Contains(t, metricsOf(t, tel, ""), `ittybit_webhook_in_flight 0`)
}
