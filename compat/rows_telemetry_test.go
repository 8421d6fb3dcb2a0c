package compat

import (
	"net/http"

	sentryhttp "github.com/getsentry/sentry-go/http"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
)

func telemetryRows() []row {
	return []row{
		{
			name:    "otelhttp",
			modules: []string{"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp@v0.72.0"},
			server: netHTTP(func(h http.Handler) http.Handler {
				return otelhttp.NewHandler(h, "ittybit-webhook", otelhttp.WithMessageEvents(otelhttp.ReadEvents, otelhttp.WriteEvents))
			}),
		},
		{
			name:    "sentryhttp",
			modules: []string{"github.com/getsentry/sentry-go@v0.50.0"},
			server:  netHTTP(sentryhttp.New(sentryhttp.Options{}).Handle),
		},
		{
			name:    "sentryhttp, Repanic",
			modules: []string{"github.com/getsentry/sentry-go@v0.50.0"},
			server:  netHTTP(sentryhttp.New(sentryhttp.Options{Repanic: true}).Handle),
		},
		{
			name:    "promhttp",
			modules: []string{"github.com/prometheus/client_golang@v1.25.0"},
			server:  netHTTP(withMetrics),
		},
	}
}

func withMetrics(h http.Handler) http.Handler {
	histogram := func(name string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: name}, []string{"code", "method"})
	}
	h = promhttp.InstrumentHandlerDuration(histogram("duration"), h)
	h = promhttp.InstrumentHandlerTimeToWriteHeader(histogram("header"), h)
	h = promhttp.InstrumentHandlerRequestSize(histogram("request"), h)
	h = promhttp.InstrumentHandlerResponseSize(histogram("response"), h)
	counter := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "n", Help: "n"}, []string{"code"})
	h = promhttp.InstrumentHandlerCounter(counter, h)
	return promhttp.InstrumentHandlerInFlight(prometheus.NewGauge(prometheus.GaugeOpts{Name: "g", Help: "g"}), h)
}
