#!/usr/bin/env bash
# Software: github.com/gin-contrib/gzip v1.2.5 in gin v1.12.0, github.com/CAFxX/httpcompression v0.0.8,
#   github.com/NYTimes/gziphandler v1.1.1; beside them echo v4.16.4 (Gzip), chi v5.5.0 (Compress),
#   github.com/klauspost/compress/gzhttp v1.20.4 and github.com/gorilla/handlers v1.5.2.
# Expected: middleware that compresses responses leaves reading the request alone: http.ResponseController can set a read
#   deadline under all of them, since gin, whose own writer has Unwrap, lets it through.
# Seen: the first three wrap the writer without Unwrap, and only for clients that send Accept-Encoding: gzip. For those
#   SetReadDeadline is "feature not supported"; for the others it works, on the same route. In the last four it always works.
# Why it matters: a receiver of webhooks gives each body a deadline, tests it with a raw request, and loses it in production,
#   where senders' HTTP clients accept gzip by themselves. An error that is ignored there is a body without a time limit.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
export GOWORK=off GOFLAGS=-mod=mod
go mod init example.test/finding >/dev/null 2>&1
go get github.com/gin-gonic/gin@v1.12.0 github.com/gin-contrib/gzip@v1.2.5 github.com/CAFxX/httpcompression@v0.0.8 \
	github.com/NYTimes/gziphandler@v1.1.1 github.com/labstack/echo/v4@v4.16.4 github.com/go-chi/chi/v5@v5.5.0 \
	github.com/klauspost/compress@v1.20.4 github.com/gorilla/handlers@v1.5.2 2>/dev/null
cat >main.go <<'GO'
package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"time"

	"github.com/CAFxX/httpcompression"
	"github.com/NYTimes/gziphandler"
	"github.com/gin-contrib/gzip"
	"github.com/gin-gonic/gin"
	chimiddleware "github.com/go-chi/chi/v5/middleware"
	"github.com/gorilla/handlers"
	"github.com/klauspost/compress/gzhttp"
	"github.com/labstack/echo/v4"
	echomiddleware "github.com/labstack/echo/v4/middleware"
)

func main() {
	gin.SetMode(gin.ReleaseMode)
	engine := gin.New()
	engine.Use(gzip.Gzip(gzip.DefaultCompression))
	engine.POST("/", gin.WrapF(handle))
	e := echo.New()
	e.Use(echomiddleware.Gzip())
	e.POST("/", echo.WrapHandler(http.HandlerFunc(handle)))
	compress, err := httpcompression.DefaultAdapter()
	if err != nil {
		panic(err)
	}
	h := http.HandlerFunc(handle)
	changed := false
	for _, c := range []struct {
		name    string
		handler http.Handler
		want    string
	}{
		{"gin-contrib/gzip", engine, "feature not supported"},
		{"httpcompression", compress(h), "feature not supported"},
		{"gziphandler", gziphandler.GzipHandler(h), "feature not supported"},
		{"echo Gzip", e, "set"},
		{"chi Compress", chimiddleware.Compress(5)(h), "set"},
		{"gzhttp", gzhttp.GzipHandler(h), "set"},
		{"gorilla CompressHandler", handlers.CompressHandler(h), "set"},
	} {
		plain, compressed := post(c.handler, "identity"), post(c.handler, "gzip")
		fmt.Printf("%-24s read deadline: %s; for Accept-Encoding: gzip: %s\n", c.name, plain, compressed)
		changed = changed || plain != "set" || compressed != c.want
	}
	if changed {
		fmt.Println("CHANGED")
		os.Exit(1)
	}
}

// handle says what became of the read deadline in a field, which no middleware compresses.
func handle(w http.ResponseWriter, r *http.Request) {
	result := "set"
	if err := http.NewResponseController(w).SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		result = err.Error()
	}
	_, _ = io.Copy(io.Discard, r.Body)
	w.Header().Set("X-Result", result)
	w.WriteHeader(http.StatusOK)
}

func post(h http.Handler, encoding string) string {
	server := httptest.NewServer(h)
	defer server.Close()
	req, err := http.NewRequest(http.MethodPost, server.URL, http.NoBody)
	if err != nil {
		panic(err)
	}
	req.Header.Set("Accept-Encoding", encoding)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		panic(err)
	}
	defer resp.Body.Close()
	return resp.Header.Get("X-Result")
}
GO
go get . 2>/dev/null
for module in github.com/gin-contrib/gzip github.com/CAFxX/httpcompression github.com/NYTimes/gziphandler; do
	echo "$(go list -m -f '{{.Path}} {{.Version}}' "$module")"
done
go run .
