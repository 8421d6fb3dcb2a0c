#!/usr/bin/env bash
# Software: github.com/labstack/echo/v4 v4.16.4, middleware Recover and TimeoutWithConfig together, a net/http handler in
#   echo.WrapHandler.
# Expected: a handler that sets 500 and flushes it through http.ResponseController gets nil or http.ErrNotSupported, and the
#   sender gets 500.
# Seen: echo's response panics in Flush where the writer below it has none, Recover takes the panic, the 500 that was set is
#   thrown away, and the sender gets 200 with an empty body. Without the flush it gets 500.
# Why it matters: a library that flushes its error responses, so that senders see them early, acknowledges what it refused:
#   webhooks that were not handled are not delivered again.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
export GOWORK=off GOFLAGS=-mod=mod
go mod init example.test/finding >/dev/null 2>&1
go get github.com/labstack/echo/v4@v4.16.4 github.com/labstack/echo/v4/middleware@v4.16.4 2>/dev/null
cat >main.go <<'GO'
package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"
)

func main() {
	handler := func(flush bool) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusInternalServerError)
			if flush {
				_ = http.NewResponseController(w).Flush()
			}
		})
	}
	e := echo.New()
	e.Logger.SetOutput(io.Discard)
	e.Use(middleware.Recover(), middleware.TimeoutWithConfig(middleware.TimeoutConfig{Timeout: 10 * time.Second}))
	e.POST("/plain", echo.WrapHandler(handler(false)))
	e.POST("/flushed", echo.WrapHandler(handler(true)))
	server := httptest.NewServer(e)
	defer server.Close()
	plain, flushed := status(server.URL+"/plain"), status(server.URL+"/flushed")
	fmt.Printf("500:             %s\n500 and a flush: %s\n", plain, flushed)
	if plain != "500" || flushed != "200" {
		fmt.Println("CHANGED")
		os.Exit(1)
	}
}

func status(url string) string {
	resp, err := http.Post(url, "application/json", nil)
	if err != nil {
		return "connection closed"
	}
	defer resp.Body.Close()
	return fmt.Sprint(resp.StatusCode)
}
GO
echo "echo $(go list -m -f '{{.Version}}' github.com/labstack/echo/v4)"
go run .
