#!/usr/bin/env bash
# Software: github.com/gin-gonic/gin v1.12.0, middleware Recovery (part of gin.Default).
# Expected: panic(http.ErrAbortHandler), net/http's way of breaking a response off, reaches net/http, which closes the
#   connection; or it is answered 500, as Recovery answers every other panic.
# Seen: it is taken for a connection that the sender has broken: no status is set, and the sender, who is still there, gets
#   200 with an empty body.
# Why it matters: a handler (or httputil.ReverseProxy, which panics so when a backend breaks off) that gives up in order to get
#   a webhook delivered again has it acknowledged instead.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
export GOWORK=off GOFLAGS=-mod=mod
go mod init example.test/finding >/dev/null 2>&1
go get github.com/gin-gonic/gin@v1.12.0 2>/dev/null
cat >main.go <<'GO'
package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"

	"github.com/gin-gonic/gin"
)

func main() {
	gin.SetMode(gin.ReleaseMode)
	gin.DefaultErrorWriter = io.Discard
	engine := gin.New()
	engine.Use(gin.Recovery())
	engine.POST("/panic", func(*gin.Context) { panic("a mistake") })
	engine.POST("/abort", func(*gin.Context) { panic(http.ErrAbortHandler) })
	server := httptest.NewServer(engine)
	defer server.Close()
	mistake, abort := status(server.URL+"/panic"), status(server.URL+"/abort")
	fmt.Printf("panic(\"a mistake\"):         %s\npanic(http.ErrAbortHandler): %s\n", mistake, abort)
	if mistake != "500" || abort != "200" {
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
echo "gin $(go list -m -f '{{.Version}}' github.com/gin-gonic/gin)"
go run .
