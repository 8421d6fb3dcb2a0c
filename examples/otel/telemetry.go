package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/exporters/stdout/stdouttrace"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/ittybit/ittybit-go"
)

// telemetry is where spans and metrics go. It is handed on, and not set as OpenTelemetry's global.
type telemetry struct {
	traces *sdktrace.TracerProvider
	meters *sdkmetric.MeterProvider
	tracer trace.Tracer
	scrape http.Handler // responds to Prometheus

	deliveries metric.Int64Counter
	duration   metric.Float64Histogram
	inFlight   metric.Int64UpDownCounter
}

func newTelemetry(out io.Writer) (*telemetry, error) {
	spans, err := stdouttrace.New(stdouttrace.WithWriter(out))
	if err != nil {
		return nil, err
	}
	limits := sdktrace.NewSpanLimits()
	// Some come from anybody who finds the endpoint: a path, a User-Agent.
	limits.AttributeValueLengthLimit = 256
	registry := prometheus.NewRegistry()
	exporter, err := otelprometheus.New(otelprometheus.WithRegisterer(registry), otelprometheus.WithoutScopeInfo(), otelprometheus.WithoutTargetInfo())
	if err != nil {
		return nil, err
	}
	t := &telemetry{
		// An exporter that sends them wants WithBatcher.
		traces: sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans), sdktrace.WithRawSpanLimits(limits)),
		meters: sdkmetric.NewMeterProvider(sdkmetric.WithReader(exporter)),
		scrape: promhttp.HandlerFor(registry, promhttp.HandlerOpts{EnableOpenMetrics: true}),
	}
	const scope = "github.com/ittybit/ittybit-go/examples/otel"
	t.tracer = t.traces.Tracer(scope)
	meter := t.meters.Meter(scope)
	var errs [3]error
	t.deliveries, errs[0] = meter.Int64Counter("ittybit.webhook.deliveries", metric.WithUnit("{delivery}"),
		metric.WithDescription("Deliveries, by outcome."))
	t.duration, errs[1] = meter.Float64Histogram("ittybit.webhook.duration", metric.WithUnit("s"),
		metric.WithDescription("Time from a delivery's arrival to its response."),
		metric.WithExplicitBucketBoundaries(0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 2, 4, 5)) // Ittybit waits 5
	t.inFlight, errs[2] = meter.Int64UpDownCounter("ittybit.webhook.in_flight", metric.WithUnit("{delivery}"),
		metric.WithDescription("Events that are being handled."))
	return t, errors.Join(errs[:]...)
}

// shutdown exports what is left.
func (t *telemetry) shutdown(ctx context.Context) error {
	return errors.Join(t.traces.Shutdown(ctx), t.meters.Shutdown(ctx))
}

// options leave baggage out, which otelhttp would send to Ittybit.
func (t *telemetry) options() []otelhttp.Option {
	return []otelhttp.Option{
		otelhttp.WithTracerProvider(t.traces), otelhttp.WithMeterProvider(t.meters), otelhttp.WithPropagators(propagation.TraceContext{}),
	}
}

// httpClient is for [ittybit.WithHTTPClient]: a span for each attempt of a call. otelhttp passes on
// what tells the SDK whether a request was written, so that retries stay as safe as they are.
func (t *telemetry) httpClient(base http.RoundTripper) *http.Client {
	return &http.Client{Transport: otelhttp.NewTransport(withoutQuery{base}, t.options()...)}
}

// withoutQuery takes the query out of the URL that otelhttp has noted: a signed URL has its
// signature there.
type withoutQuery struct{ next http.RoundTripper }

func (t withoutQuery) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.RawQuery != "" {
		bare := url.URL{Scheme: r.URL.Scheme, Host: r.URL.Host, Path: r.URL.Path, RawPath: r.URL.RawPath}
		trace.SpanFromContext(r.Context()).SetAttributes(semconv.URLFull(bare.String()))
	}
	return t.next.RoundTrip(r)
}

// webhookURL adds the trace of ctx: Ittybit passes on no trace of its own, but calls the URL as it
// is.
func (t *telemetry) webhookURL(ctx context.Context, address string) string {
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	return address + "?" + url.Values{"traceparent": {carrier["traceparent"]}}.Encode()
}

// server puts a span around the endpoint. Anybody can send it a trace, in the URL (which is not
// signed) or in a header. So that is a link and no parent: nobody else decides what is sampled.
func (t *telemetry) server(next http.Handler) http.Handler {
	traced := otelhttp.NewHandler(next, "webhook", append(t.options(),
		otelhttp.WithPublicEndpointFn(func(*http.Request) bool { return true }),
		// In the metrics, in place of whatever Host header is sent.
		otelhttp.WithServerName("webhooks.example.com:443"),
	)...)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if parent := r.URL.Query().Get("traceparent"); parent != "" {
			r.Header.Set("Traceparent", parent)
		}
		traced.ServeHTTP(w, r)
	})
}

// traced puts a span around an event's handler, and counts what is in it.
func (t *telemetry) traced(next ittybit.EventHandler) ittybit.EventHandler {
	return ittybit.EventHandlerFunc(func(ctx context.Context, e *ittybit.Event) error {
		t.inFlight.Add(ctx, 1)
		defer t.inFlight.Add(ctx, -1)
		ctx, span := t.tracer.Start(ctx, "handle "+eventLabel(e), trace.WithAttributes(attribute.String("ittybit.event.key", e.Key())))
		defer span.End() // also after a panic, which it notes
		err := next.HandleEvent(ctx, e)
		if outcome, _ := ittybit.OutcomeOf(err); outcome != ittybit.OutcomeHandled && outcome != ittybit.OutcomeDuplicate {
			span.RecordError(err)
			span.SetStatus(codes.Error, string(outcome))
		}
		return err
	})
}

// delivered is for [ittybit.WithObserver]. Attributes have few values, whoever calls: none is an
// id, an address, or text that was received.
func (t *telemetry) delivered(ctx context.Context, d ittybit.Delivery) {
	outcome := attribute.String("outcome", string(d.Outcome))
	t.deliveries.Add(ctx, 1, metric.WithAttributes(outcome, attribute.String("event", eventLabel(d.Event)), attribute.Int("status", d.StatusCode)))
	t.duration.Record(ctx, d.Duration.Seconds(), metric.WithAttributes(outcome))
}

// eventLabel is an event's type where it is known. Types are open: a sender can make up any number
// of them, and each would be a time series for good.
func eventLabel(e *ittybit.Event) string {
	if e == nil {
		return "none"
	}
	switch e.Type {
	case ittybit.EventMediaCreated, ittybit.EventTaskCreated, ittybit.EventTaskUpdated, ittybit.EventTaskCompleted,
		ittybit.EventTaskSucceeded, ittybit.EventTaskFailed, ittybit.EventTaskCancelled, ittybit.EventJobSucceeded, ittybit.EventJobFailed:
		return string(e.Type)
	}
	return "other"
}
