package compat

import (
	"io"
	"net/http"
	"time"

	"github.com/CAFxX/httpcompression"
	"github.com/NYTimes/gziphandler"
	"github.com/gorilla/handlers"
	"github.com/klauspost/compress/gzhttp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	zerologhlog "github.com/rs/zerolog/hlog"
	slokmetrics "github.com/slok/go-http-metrics/metrics/prometheus"
	slok "github.com/slok/go-http-metrics/middleware"
	slokstd "github.com/slok/go-http-metrics/middleware/std"
	"github.com/urfave/negroni/v3"
)

// noDeadline is what becomes of deliveries where the middleware's writer has no Unwrap.
func noDeadline() map[string]difference {
	return map[string]difference{
		"stalled": {
			why:  "no deadline gets through to the connection: the receiver waits until the sender goes on or goes",
			wire: response{}, ours: http.StatusBadRequest,
		},
		"Goexit": {
			why:  "nor is anything flushed: net/http closes the connection, without a response",
			wire: response{},
		},
	}
}

// cutAfterGoexit is what compressing middleware makes of a response that is flushed by Goexit.
var cutAfterGoexit = difference{
	why:  "what was compressed until then is flushed, and its end is not",
	wire: response{status: http.StatusInternalServerError, cut: true},
}

// middlewareRows are middleware of no framework: compression, metrics, logs and recovery.
func middlewareRows() []row {
	return []row{
		{
			name: "httpcompression", modules: []string{"github.com/CAFxX/httpcompression@v0.0.8"},
			differs: noDeadline(),
			server: netHTTP(func(h http.Handler) http.Handler {
				compress, err := httpcompression.DefaultAdapter()
				if err != nil {
					panic(err)
				}
				return compress(h)
			}),
		},
		{
			name: "gziphandler", modules: []string{"github.com/NYTimes/gziphandler@v1.1.1"},
			differs: noDeadline(),
			server:  netHTTP(gziphandler.GzipHandler),
		},
		{
			name: "gzhttp", modules: []string{"github.com/klauspost/compress@v1.20.4"},
			server: netHTTP(func(h http.Handler) http.Handler { return gzhttp.GzipHandler(h) }),
		},
		{
			name: "gorilla's handlers", modules: []string{"github.com/gorilla/handlers@v1.5.2"},
			differs: map[string]difference{"Goexit": cutAfterGoexit},
			server: netHTTP(func(h http.Handler) http.Handler {
				return handlers.CombinedLoggingHandler(io.Discard, handlers.RecoveryHandler()(handlers.CompressHandler(h)))
			}),
		},
		{
			name: "go-http-metrics", modules: []string{"github.com/slok/go-http-metrics@v0.13.0"},
			differs: noDeadline(),
			server:  netHTTP(withSlokMetrics),
		},
		{
			name: "go-http-metrics, the server's ReadTimeout", modules: []string{"github.com/slok/go-http-metrics@v0.13.0"},
			differs: map[string]difference{"Goexit": noDeadline()["Goexit"]},
			server:  netHTTPWithReadTimeout(withSlokMetrics),
		},
		{
			name: "negroni", modules: []string{"github.com/urfave/negroni/v3@v3.1.2"},
			server: netHTTP(func(h http.Handler) http.Handler {
				return negroni.New(negroni.NewRecovery(), negroni.NewLogger(), negroni.Wrap(h))
			}),
		},
		{
			name: "zerolog", modules: []string{"github.com/rs/zerolog@v1.35.1"},
			server: netHTTP(func(h http.Handler) http.Handler {
				h = zerologhlog.AccessHandler(logAccess)(zerologhlog.RequestIDHandler("id", "Request-Id")(h))
				return zerologhlog.NewHandler(zerolog.New(io.Discard))(h)
			}),
		},
	}
}

func withSlokMetrics(h http.Handler) http.Handler {
	recorder := slokmetrics.NewRecorder(slokmetrics.Config{Registry: prometheus.NewRegistry()})
	return slokstd.Handler("", slok.New(slok.Config{Recorder: recorder}), h)
}

func logAccess(r *http.Request, status, size int, took time.Duration) {
	zerologhlog.FromRequest(r).Info().Int("status", status).Int("size", size).Dur("took", took).Send()
}
