#!/usr/bin/env bash
# Software: github.com/getsentry/sentry-go v0.50.0, package http (sentryhttp), with its default options.
# Expected: a handler that panics is reported to Sentry, and the sender still gets what net/http gives it: a broken
#   connection, or a 500.
# Seen: the panic is swallowed, nothing is written, and net/http answers 200 with an empty body. Only Options.Repanic
#   changes that.
# Why it matters: a sender of webhooks takes the 200 for an acknowledgement. The event whose handler panicked is never
#   delivered again; adding error reporting has turned a retry into a loss.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
export GOWORK=off GOFLAGS=-mod=mod
go mod init example.test/finding >/dev/null 2>&1
go get github.com/getsentry/sentry-go@v0.50.0 2>/dev/null
cat >main.go <<'GO'
package main

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"

	sentryhttp "github.com/getsentry/sentry-go/http"
)

func main() {
	handler := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("the database is away") })
	without := status(handler)
	with := status(sentryhttp.New(sentryhttp.Options{}).Handle(handler))
	repanic := status(sentryhttp.New(sentryhttp.Options{Repanic: true}).Handle(handler))
	fmt.Printf("net/http:             %s\nsentryhttp:           %s\nsentryhttp, Repanic:  %s\n", without, with, repanic)
	if without != "connection closed" || with != "200" || repanic != "connection closed" {
		fmt.Println("CHANGED")
		os.Exit(1)
	}
}

func status(h http.Handler) string {
	server := httptest.NewUnstartedServer(h)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.Start()
	defer server.Close()
	resp, err := http.Post(server.URL, "application/json", nil)
	if err != nil {
		return "connection closed"
	}
	defer resp.Body.Close()
	return fmt.Sprint(resp.StatusCode)
}
GO
echo "sentry-go $(go list -m -f '{{.Version}}' github.com/getsentry/sentry-go)"
go run .
