#!/usr/bin/env bash
# Software: github.com/go-chi/httplog/v3 v3.3.0 (chi's request logger), with LogRequestBody, and LogBodyMaxLen left at its
#   default of 1,024 bytes.
# Expected: the first bytes of what the handler reads are copied for the log; what the handler does not read is not read.
# Seen: after a handler that has answered 413 and read nothing, the middleware reads the request's body to its end, and keeps
#   all of it in memory until the line is written, of which it prints the first 1,024 bytes.
# Why it matters: a receiver of webhooks refuses what is unsigned or too large without reading it. With this logger around it
#   each of those costs the bytes, the time and the memory of its whole body all the same. A limit in front of the logger
#   (chi's RequestSize) ends that; one behind it does not.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
export GOWORK=off GOFLAGS=-mod=mod
go mod init example.test/finding >/dev/null 2>&1
go get github.com/go-chi/httplog/v3@v3.3.0 github.com/go-chi/chi/v5@v5.5.0 2>/dev/null
cat >main.go <<'GO'
package main

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"

	"github.com/go-chi/chi/v5/middleware"
	"github.com/go-chi/httplog/v3"
)

const size = 8 << 20

// counted is a body that notes how much of it was read.
type counted struct {
	io.Reader
	n int
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n += n
	return n, err
}

func (*counted) Close() error { return nil }

func main() {
	refuses := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusRequestEntityTooLarge) })
	logs := httplog.RequestLogger(slog.New(slog.NewTextHandler(io.Discard, nil)),
		&httplog.Options{LogRequestBody: func(*http.Request) bool { return true }})
	alone, logged := read(refuses), read(logs(refuses))
	behind := read(logs(middleware.RequestSize(1 << 20)(refuses)))
	before := read(middleware.RequestSize(1 << 20)(logs(refuses)))
	fmt.Printf("of 8 MiB that the handler refused were read\n")
	fmt.Printf("  by the handler alone:           %d\n  with httplog:                   %d\n", alone, logged)
	fmt.Printf("  httplog, RequestSize behind it: %d\n  RequestSize, httplog behind it: %d\n", behind, before)
	if alone != 0 || logged != size || behind != size || before > 2<<20 {
		fmt.Println("CHANGED")
		os.Exit(1)
	}
}

func read(h http.Handler) int {
	body := &counted{Reader: bytes.NewReader(make([]byte, size))}
	request := httptest.NewRequest(http.MethodPost, "/", body)
	request.Header.Set("Content-Type", "application/json")
	response := httptest.NewRecorder()
	h.ServeHTTP(response, request)
	if response.Code != http.StatusRequestEntityTooLarge {
		fmt.Println("status", response.Code)
		os.Exit(1)
	}
	return body.n
}
GO
echo "httplog $(go list -m -f '{{.Version}}' github.com/go-chi/httplog/v3)"
go run .
