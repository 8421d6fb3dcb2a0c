package compat

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/GoogleCloudPlatform/functions-framework-go/funcframework"
	"github.com/cloudwego/hertz/pkg/app"
	"github.com/cloudwego/hertz/pkg/app/middlewares/server/recovery"
	hertz "github.com/cloudwego/hertz/pkg/app/server"
	"github.com/cloudwego/hertz/pkg/common/adaptor"
	"github.com/cloudwego/hertz/pkg/common/hlog"
	"github.com/cloudwego/hertz/pkg/network/standard"
	"github.com/gofiber/fiber/v3"
	fiberadaptor "github.com/gofiber/fiber/v3/middleware/adaptor"
	fibercompress "github.com/gofiber/fiber/v3/middleware/compress"
	fiberrecover "github.com/gofiber/fiber/v3/middleware/recover"
	"github.com/lesismal/nbio/nbhttp"
	"github.com/quic-go/quic-go/http3"
)

func fasthttpRows() []row {
	modules := []string{"github.com/gofiber/fiber/v3@v3.1.0", "github.com/valyala/fasthttp@v1.69.0"}
	mount := func(cfg fiber.Config, use ...any) func(string, http.Handler) error {
		return func(address string, h http.Handler) error {
			fiberApp := fiber.New(cfg)
			for _, middleware := range use {
				fiberApp.Use(middleware)
			}
			fiberApp.Post(path, fiberadaptor.HTTPHandler(h))
			return fiberApp.Listen(address, fiber.ListenConfig{DisableStartupMessage: true})
		}
	}
	twoLines := difference{
		why:  "fasthttp's adaptor keeps the last line of a field only",
		wire: response{status: http.StatusUnauthorized}, ours: http.StatusUnauthorized, handled: -1,
	}
	cut := difference{
		why:  "Fiber's ReadTimeout, before the receiver is called",
		wire: response{status: http.StatusRequestTimeout}, ours: notCalled,
	}
	return []row{
		{
			name: "Fiber v3, bare", modules: modules, server: mount(fiber.Config{}),
			differs: with(readBeforeUs(), "header in two lines", twoLines),
		},
		{
			name: "Fiber v3, recover, compress and ReadTimeout", modules: modules,
			server:  mount(fiber.Config{ReadTimeout: readTimeout}, fiberrecover.New(), fibercompress.New()),
			differs: map[string]difference{"header in two lines": twoLines, "trickled": cut, "stalled": cut},
		},
	}
}

func otherRows() []row {
	hertzModules := []string{"github.com/cloudwego/hertz@v0.10.4"}
	mountHertz := func(timeout time.Duration, use ...app.HandlerFunc) func(string, http.Handler) error {
		return func(address string, h http.Handler) error {
			hlog.SetLevel(hlog.LevelFatal)
			s := hertz.New(hertz.WithHostPorts(address), hertz.WithTransport(standard.NewTransporter),
				hertz.WithDisablePrintRoute(true), hertz.WithReadTimeout(timeout))
			s.Use(use...)
			s.POST(path, adaptor.HertzHandler(h))
			return s.Run()
		}
	}
	inHertz := func() map[string]difference {
		return with(readBeforeUs(), "Goexit", difference{
			why:  "no deadline gets through, so that nothing is flushed; Hertz closes the connection, without a response",
			wire: response{},
		})
	}
	return []row{
		{name: "Hertz, bare", modules: hertzModules, server: mountHertz(time.Minute), differs: inHertz()},
		{name: "Hertz, recovery", modules: hertzModules, server: mountHertz(time.Minute, recovery.Recovery()), differs: inHertz()},
		{
			name: "Hertz, ReadTimeout", modules: hertzModules, server: mountHertz(readTimeout),
			differs: inHertz(), // its timeout is between two reads: it closes the stalled connection, without a response
		},
		{
			name: "Functions Framework", modules: []string{"github.com/GoogleCloudPlatform/functions-framework-go@v1.9.2"},
			server: func(address string, h http.Handler) error {
				host, port, err := net.SplitHostPort(address)
				if err != nil {
					return err
				}
				if err := os.Setenv("FUNCTION_TARGET", "webhook"); err != nil {
					return err
				}
				if err := funcframework.RegisterHTTPFunctionContext(context.Background(), path, h.ServeHTTP); err != nil {
					return err
				}
				return funcframework.StartHostPort(host, port)
			},
		},
		{
			name: "nbio", modules: []string{"github.com/lesismal/nbio@v1.6.8"},
			differs: with(readBeforeUs(), "Goexit", difference{
				why:  "the connection's goroutine has ended, and the connection stays: the sender's timeout ends it",
				wire: response{},
			}),
			server: func(address string, h http.Handler) error {
				engine := nbhttp.NewEngine(nbhttp.Config{Network: "tcp", Addrs: []string{address}, Handler: h})
				if err := engine.Start(); err != nil {
					return err
				}
				select {}
			},
		},
		{
			name: "HTTP/3", modules: []string{"github.com/quic-go/quic-go@v0.65.0"}, http3: true,
			differs: map[string]difference{"Goexit": {
				why:  "the stream's goroutine ends the stream, and is gone: the sender's timeout does",
				wire: response{status: http.StatusInternalServerError, cut: true},
			}},
			server: func(address string, h http.Handler) error {
				certificate, err := selfSigned()
				if err != nil {
					return err
				}
				mux := http.NewServeMux()
				mux.Handle("POST "+path, h)
				server := &http3.Server{Addr: address, Handler: mux, TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate}}}
				return server.ListenAndServe()
			},
		},
	}
}

// selfSigned makes a certificate for loopback.
func selfSigned() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}
