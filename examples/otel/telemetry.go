package main

import (
	"context"
	"errors"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/propagation"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
)

// scope names the instrumentation that is written by hand here.
const scope = "github.com/ittybit/ittybit-go/examples/otel"

// maxAttribute is how many bytes of text an attribute of a span may have. Some of it comes from
// anybody who finds the endpoint: a path, a User-Agent.
const maxAttribute = 256

// telemetry is where spans and metrics go. It is handed on, not set as OpenTelemetry's global.
type telemetry struct {
	traces  *sdktrace.TracerProvider
	tracer  trace.Tracer
	spans   *tracetest.InMemoryExporter // for printing; a service has an OTLP exporter here
	meters  *sdkmetric.MeterProvider
	metrics *instruments
	scrape  http.Handler // answers Prometheus
	// propagator carries trace contexts and no baggage, which otelhttp would send to Ittybit.
	propagator propagation.TextMapPropagator
}

func newTelemetry() (*telemetry, error) {
	t := &telemetry{spans: tracetest.NewInMemoryExporter(), propagator: propagation.TraceContext{}}
	limits := sdktrace.NewSpanLimits()
	limits.AttributeValueLengthLimit = maxAttribute
	t.traces = sdktrace.NewTracerProvider(
		sdktrace.WithSyncer(t.spans), // WithBatcher, for an exporter that sends
		sdktrace.WithRawSpanLimits(limits),
	)
	t.tracer = t.traces.Tracer(scope)

	registry := prometheus.NewRegistry()
	exporter, err := otelprometheus.New(otelprometheus.WithRegisterer(registry),
		otelprometheus.WithoutScopeInfo(), otelprometheus.WithoutTargetInfo())
	if err != nil {
		return nil, err
	}
	t.scrape = promhttp.HandlerFor(registry, promhttp.HandlerOpts{EnableOpenMetrics: true}) // with exemplars: the traces behind a number
	t.meters = sdkmetric.NewMeterProvider(sdkmetric.WithReader(exporter))
	if t.metrics, err = newInstruments(t.meters.Meter(scope)); err != nil {
		return nil, err
	}
	return t, nil
}

// shutdown exports what is left.
func (t *telemetry) shutdown(ctx context.Context) error {
	return errors.Join(t.traces.Shutdown(ctx), t.meters.Shutdown(ctx))
}
