package compat

import (
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/gin-contrib/gzip"
	"github.com/gin-gonic/gin"
	"github.com/go-chi/chi/v5"
	chimiddleware "github.com/go-chi/chi/v5/middleware"
	"github.com/go-chi/httplog/v3"
	"github.com/go-chi/httprate"
	echov4 "github.com/labstack/echo/v4"
	echov4middleware "github.com/labstack/echo/v4/middleware"
	echov5 "github.com/labstack/echo/v5"
	echov5middleware "github.com/labstack/echo/v5/middleware"
	sloghttp "github.com/samber/slog-http"
)

const path = "/ittybit-webhook"

func rows() []row {
	var all []row
	for _, some := range [][]row{
		standardRows(), ginRows(), echoRows(), chiRows(), serviceRows(), middlewareRows(), telemetryRows(),
		fasthttpRows(), otherRows(), lambdaRows(),
	} {
		all = append(all, some...)
	}
	return all
}

// netHTTP makes a server of a handler that has the receiver somewhere inside it.
func netHTTP(mount func(http.Handler) http.Handler) func(string, http.Handler) error {
	return func(address string, h http.Handler) error {
		return (&http.Server{Addr: address, Handler: mount(h), ReadHeaderTimeout: 5 * time.Second}).ListenAndServe()
	}
}

// netHTTPWithReadTimeout has the server's own ReadTimeout, later than the receiver's.
func netHTTPWithReadTimeout(mount func(http.Handler) http.Handler) func(string, http.Handler) error {
	return func(address string, h http.Handler) error {
		return (&http.Server{Addr: address, Handler: mount(h), ReadTimeout: 2 * readTimeout}).ListenAndServe()
	}
}

func withTimeout(h http.Handler) http.Handler {
	return http.TimeoutHandler(h, middlewareTimeout, "too late")
}

// cutByTimeout is what http.TimeoutHandler and its likes make of slow deliveries.
func cutByTimeout() map[string]difference {
	return map[string]difference{
		"late success": {
			why:  "the middleware's own 503, without Retry-After; the work is done, and a repeat is answered 200",
			wire: response{status: http.StatusServiceUnavailable},
		},
		"stalled": {
			why:  "no deadline gets through to the connection, and no response leaves before the sender goes on or goes",
			wire: response{}, ours: http.StatusBadRequest,
		},
		"Goexit": {
			why:  "the middleware runs the handler in a goroutine of its own, and waits for one that has ended",
			wire: response{status: http.StatusServiceUnavailable},
		},
	}
}

// readBeforeUs is what becomes of slow bodies where the library reads them whole before it
// calls the receiver.
func readBeforeUs() map[string]difference {
	return map[string]difference{
		"trickled": {
			why:  "the receiver is called when the body is whole, and knows nothing of the time it took",
			wire: response{status: http.StatusOK}, ours: http.StatusOK, handled: 1,
		},
		"stalled": {
			why:  "only a timeout of the server ends it",
			wire: response{}, ours: notCalled,
		},
	}
}

// with adds a difference.
func with(differs map[string]difference, name string, d difference) map[string]difference {
	differs[name] = d
	return differs
}

func standardRows() []row {
	return []row{
		{name: "net/http", server: netHTTP(func(h http.Handler) http.Handler {
			mux := http.NewServeMux()
			mux.Handle("POST "+path, h)
			return mux
		})},
		{name: "net/http, TimeoutHandler", server: netHTTP(withTimeout), differs: cutByTimeout()},
		{
			name: "net/http, TimeoutHandler, the server's ReadTimeout",
			differs: with(cutByTimeout(), "stalled", difference{
				why:  "the request's context has ended with the connection's deadline: the middleware's own 503",
				wire: response{status: http.StatusServiceUnavailable},
			}),
			server: netHTTPWithReadTimeout(withTimeout),
		},
		{name: "net/http, MaxBytesHandler", server: netHTTP(func(h http.Handler) http.Handler {
			return http.MaxBytesHandler(h, maxBodyBytes/2)
		})},
	}
}

func ginRows() []row {
	gin.SetMode(gin.ReleaseMode)
	gin.DefaultWriter, gin.DefaultErrorWriter = io.Discard, io.Discard
	modules := []string{"github.com/gin-gonic/gin@v1.12.0"}
	mount := func(use ...gin.HandlerFunc) func(http.Handler) http.Handler {
		return func(h http.Handler) http.Handler {
			engine := gin.New()
			engine.Use(use...)
			engine.POST(path, gin.WrapH(h))
			return engine
		}
	}
	return []row{
		{name: "gin, bare", modules: modules, server: netHTTP(mount())},
		{name: "gin, Default", modules: modules, server: netHTTP(mount(gin.Logger(), gin.Recovery()))},
		{
			name: "gin, gzip", modules: append(modules, "github.com/gin-contrib/gzip@v1.2.5"),
			differs: noDeadline(),
			server:  netHTTP(mount(gin.Recovery(), gzip.Gzip(gzip.DefaultCompression))),
		},
		{name: "gin in TimeoutHandler", modules: modules, differs: cutByTimeout(), server: netHTTP(func(h http.Handler) http.Handler {
			return withTimeout(mount(gin.Recovery())(h))
		})},
	}
}

func echoRows() []row {
	v4, v5 := []string{"github.com/labstack/echo/v4@v4.16.4"}, []string{"github.com/labstack/echo/v5@v5.4.5"}
	mountV4 := func(use ...echov4.MiddlewareFunc) func(http.Handler) http.Handler {
		return func(h http.Handler) http.Handler {
			e := echov4.New()
			e.Logger.SetOutput(io.Discard)
			e.Use(use...)
			e.POST(path, echov4.WrapHandler(h))
			return e
		}
	}
	mountV5 := func(use ...echov5.MiddlewareFunc) func(http.Handler) http.Handler {
		return func(h http.Handler) http.Handler {
			e := echov5.New()
			e.Use(use...)
			e.POST(path, echov5.WrapHandler(h))
			return e
		}
	}
	timeoutV4 := func() echov4.MiddlewareFunc {
		return echov4middleware.TimeoutWithConfig(echov4middleware.TimeoutConfig{Timeout: middlewareTimeout})
	}
	return []row{
		{name: "echo v4, bare", modules: v4, server: netHTTP(mountV4())},
		{name: "echo v4, Recover", modules: v4, server: netHTTP(mountV4(echov4middleware.Recover()))},
		{
			name: "echo v4, Gzip", modules: v4, differs: map[string]difference{"Goexit": cutAfterGoexit},
			server: netHTTP(mountV4(echov4middleware.Gzip())),
		},
		{name: "echo v4, Timeout", modules: v4, differs: cutByTimeout(), server: netHTTP(mountV4(timeoutV4()))},
		{
			name: "echo v4, Recover and Timeout", modules: v4, differs: cutByTimeout(),
			server: netHTTP(mountV4(echov4middleware.Recover(), timeoutV4())),
		},
		{name: "echo v4 in TimeoutHandler", modules: v4, differs: cutByTimeout(), server: netHTTP(func(h http.Handler) http.Handler {
			return withTimeout(mountV4()(h))
		})},
		{
			name: "echo v4, BodyDump and BodyLimit", modules: v4,
			differs: with(with(readBeforeUs(), "oversize", refusedBeforeUs), "oversize, chunked", refusedBeforeUs),
			server: netHTTP(mountV4(echov4middleware.BodyLimit("32K"),
				echov4middleware.BodyDump(func(echov4.Context, []byte, []byte) {}))),
		},
		{name: "echo v5, bare", modules: v5, server: netHTTP(mountV5())},
		{
			name: "echo v5, Gzip", modules: v5, differs: map[string]difference{"Goexit": cutAfterGoexit},
			server: netHTTP(mountV5(echov5middleware.Gzip())),
		},
		{
			name: "echo v5, Recover, ContextTimeout and BodyLimit", modules: v5, deadline: contextTimeout,
			differs: map[string]difference{"oversize": refusedBeforeUs},
			server: netHTTP(mountV5(echov5middleware.Recover(), echov5middleware.ContextTimeout(contextTimeout),
				echov5middleware.BodyLimit(maxBodyBytes/2))),
		},
		{name: "echo v5 in TimeoutHandler", modules: v5, differs: cutByTimeout(), server: netHTTP(func(h http.Handler) http.Handler {
			return withTimeout(mountV5()(h))
		})},
	}
}

// refusedBeforeUs is a limit of the library's own.
var refusedBeforeUs = difference{
	why: "the library's own limit, which is lower", wire: response{status: http.StatusRequestEntityTooLarge}, ours: notCalled,
}

func chiRows() []row {
	modules := []string{"github.com/go-chi/chi/v5@v5.5.0"}
	mount := func(use ...func(http.Handler) http.Handler) func(http.Handler) http.Handler {
		return func(h http.Handler) http.Handler {
			r := chi.NewRouter()
			r.Use(use...)
			r.Method(http.MethodPost, path, h)
			return r
		}
	}
	discard := &chimiddleware.DefaultLogFormatter{Logger: discardPrinter{}, NoColor: true}
	return []row{
		{name: "chi, bare", modules: modules, server: netHTTP(mount())},
		{
			name: "chi, its middleware", modules: append(modules, "github.com/go-chi/httprate@v0.16.1"), deadline: contextTimeout,
			differs: map[string]difference{"Goexit": cutAfterGoexit},
			server: netHTTP(mount(chimiddleware.RequestID, chimiddleware.RealIP, chimiddleware.RequestLogger(discard),
				chimiddleware.Recoverer, chimiddleware.Timeout(contextTimeout), chimiddleware.Compress(5),
				chimiddleware.ThrottleBacklog(50, 50, waitLimit), httprate.LimitByIP(1000, time.Minute))),
		},
		{name: "chi, RequestSize", modules: modules, server: netHTTP(mount(chimiddleware.RequestSize(maxBodyBytes / 2)))},
		{
			name: "chi, httplog with bodies", modules: append(modules, "github.com/go-chi/httplog/v3@v3.3.0"),
			server: netHTTP(mount(httplog.RequestLogger(discardLogger, &httplog.Options{
				RecoverPanics: true, LogRequestBody: always, LogResponseBody: always,
			}))),
		},
		{
			name: "slog-http with bodies", modules: []string{"github.com/samber/slog-http@v1.12.1"},
			server: netHTTP(func(h http.Handler) http.Handler {
				return sloghttp.NewWithConfig(discardLogger, sloghttp.Config{WithRequestBody: true, WithResponseBody: true})(h)
			}),
		},
	}
}

var discardLogger = slog.New(slog.DiscardHandler)

func always(*http.Request) bool { return true }

type discardPrinter struct{}

func (discardPrinter) Print(...any) {}
