package main

import (
	"context"
	"net/http"
	"net/url"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/riverevents"
)

// traceParameter is where a webhook's URL holds the trace of who asked for it.
const traceParameter = "traceparent"

// httpClient is for [ittybit.WithHTTPClient]: a span for each try of a call. The SDK adds the API key and the trace of what
// reached the wire further out; otelhttp passes both on, so that retries stay as safe as they are.
func (t *telemetry) httpClient(base http.RoundTripper) *http.Client {
	return &http.Client{Transport: otelhttp.NewTransport(withoutQuery{base}, t.options()...)}
}

func (t *telemetry) options() []otelhttp.Option {
	return []otelhttp.Option{
		otelhttp.WithTracerProvider(t.traces), otelhttp.WithMeterProvider(t.meters), otelhttp.WithPropagators(t.propagator),
	}
}

// withoutQuery takes the query out of the URL that otelhttp has noted in the span: a signed URL has its signature there.
type withoutQuery struct{ next http.RoundTripper }

func (t withoutQuery) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.RawQuery != "" {
		bare := url.URL{Scheme: req.URL.Scheme, Host: req.URL.Host, Path: req.URL.Path, RawPath: req.URL.RawPath}
		trace.SpanFromContext(req.Context()).SetAttributes(semconv.URLFull(bare.String()))
	}
	return t.next.RoundTrip(req)
}

// webhookURL adds the trace of ctx to the URL of a webhook. Ittybit hands on no trace of its own, but calls the URL as it is.
func (t *telemetry) webhookURL(ctx context.Context, address string) string {
	carrier := propagation.MapCarrier{}
	t.propagator.Inject(ctx, carrier)
	return address + "?" + url.Values{traceParameter: {carrier["traceparent"]}}.Encode()
}

// server puts a span around the endpoint. Everybody can send it a trace, in the URL (which is not signed) or a header. So
// that is a link, no parent: nobody else decides which spans are sampled, or puts theirs among those of another trace.
func (t *telemetry) server(next http.Handler) http.Handler {
	traced := otelhttp.NewHandler(next, "webhook", append(t.options(),
		otelhttp.WithPublicEndpointFn(func(*http.Request) bool { return true }),
		otelhttp.WithServerName("webhooks.example.com:443"), // in the metrics, in place of whatever Host header is sent
	)...)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if parent := r.URL.Query().Get(traceParameter); parent != "" {
			r.Header.Set("traceparent", parent)
		}
		traced.ServeHTTP(w, r)
	})
}

// traced puts a span around an event's handler. In a worker it continues the trace of the request that brought the event.
func (t *telemetry) traced(step string, kind trace.SpanKind, next ittybit.EventHandler) ittybit.EventHandler {
	return ittybit.EventHandlerFunc(func(ctx context.Context, e *ittybit.Event) error {
		attributes := []attribute.KeyValue{attribute.String("ittybit.event.type", string(e.Type)), attribute.String("ittybit.event.key", e.Key())}
		if job, ok := riverevents.JobFromContext(ctx); ok {
			ctx = t.propagator.Extract(ctx, propagation.MapCarrier(job.Args.Metadata))
			attributes = append(attributes, attribute.Int("river.attempt", job.Attempt))
		}
		ctx, span := t.tracer.Start(ctx, step+" "+eventLabel(e).Value.AsString(), trace.WithSpanKind(kind), trace.WithAttributes(attributes...))
		defer span.End() // also after a panic, which it notes
		err := next.HandleEvent(ctx, e)
		outcome, _ := ittybit.OutcomeOf(err)
		span.SetAttributes(attribute.String("ittybit.outcome", string(outcome)))
		if outcome != ittybit.OutcomeHandled && outcome != ittybit.OutcomeDuplicate {
			span.RecordError(err)
			span.SetStatus(codes.Error, string(outcome))
		}
		return err
	})
}

// metadata is for [riverevents.WithMetadata]: what [telemetry.traced] finds in the worker.
func (t *telemetry) metadata(ctx context.Context, _ *ittybit.Event) map[string]string {
	carrier := propagation.MapCarrier{}
	t.propagator.Inject(ctx, carrier)
	return carrier
}
