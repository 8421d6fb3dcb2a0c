#!/usr/bin/env bash
# Software: github.com/kataras/iris/v12 v12.2.11, iris.Compression in front of iris.FromStd; beside it chi v5.5.0, Compress.
# Expected: middleware that compresses a response takes the handler's Content-Length away, which is that of the plain body.
# Seen: iris.Compression keeps it. A client that accepts gzip gets that many bytes of something else: of a short response
#   the beginning of the gzip stream, which then breaks off; of a long one fewer bytes than it waits for ("unexpected EOF").
#   After an empty 200 the connection is closed, because the gzip header is more than the 0 bytes that were promised.
# Why it matters: handlers that set the length are usual (http.ServeContent, httputil.ReverseProxy, receivers of webhooks).
#   A sender of webhooks that keeps its connection loses it at each delivery, and cannot read why one was refused.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
export GOWORK=off GOFLAGS=-mod=mod
go mod init example.test/finding >/dev/null 2>&1
go get github.com/kataras/iris/v12@v12.2.11 github.com/go-chi/chi/v5@v5.5.0 2>/dev/null
cat >main.go <<'GO'
package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"

	chimiddleware "github.com/go-chi/chi/v5/middleware"
	"github.com/kataras/iris/v12"
)

var bodies = map[string]string{"/short": "Service Unavailable\n", "/long": strings.Repeat("a line of text\n", 1000)}

// handle responds with a body whose length it declares, as http.ServeContent does.
func handle(w http.ResponseWriter, r *http.Request) {
	body := bodies[r.URL.Path]
	w.Header().Set("Content-Type", "text/plain")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(http.StatusOK)
	_, _ = io.WriteString(w, body)
}

func main() {
	app := iris.New()
	app.Logger().SetOutput(io.Discard)
	app.Use(iris.Compression)
	app.Get("/{name}", iris.FromStd(handle))
	if err := app.Build(); err != nil {
		panic(err)
	}
	whole := show("chi Compress", chimiddleware.Compress(5)(http.HandlerFunc(handle)))
	cut := show("iris.Compression", app)
	if whole != 2 || cut != 0 {
		fmt.Println("CHANGED")
		os.Exit(1)
	}
}

// show gets both bodies with Go's own client, which asks for gzip and decompresses, and counts those that came whole.
func show(name string, h http.Handler) (whole int) {
	server := httptest.NewServer(h)
	defer server.Close()
	for _, path := range []string{"/short", "/long"} {
		resp, err := http.Get(server.URL + path)
		if err != nil {
			fmt.Println(name, path, err)
			continue
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		fmt.Printf("%-17s %-6s %s, %d of %d bytes, error: %v\n", name, path, resp.Status, len(body), len(bodies[path]), err)
		if err == nil && string(body) == bodies[path] {
			whole++
		}
	}
	return whole
}
GO
go get . 2>/dev/null
echo "iris $(go list -m -f '{{.Version}}' github.com/kataras/iris/v12)"
go run . 2>"$work/log" || { tail -5 "$work/log"; exit 1; }
