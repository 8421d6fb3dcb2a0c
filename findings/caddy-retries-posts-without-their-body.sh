#!/usr/bin/env bash
# Software: Caddy v2.11.9, reverse_proxy with lb_try_duration and lb_retry_match { method POST }.
# Expected: a POST whose upstream broke off is sent to the next upstream with its body, as the option asks for; or, where
#   the body has been read already and was not buffered, it is not sent again.
# Seen: the next upstream gets the head, with the old Content-Length, and not one byte of the body.
# Why it matters: the option looks like the way to keep webhooks during a restart. The healthy upstream sees broken requests,
#   refuses them (400, or 401 for a signature that can't match), and the sender gets a 502 after lb_try_duration. With
#   request_buffers the body is there, and the POST is truly repeated.
set -euo pipefail
work=$(mktemp -d); trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$work"' EXIT; cd "$work"
export GOWORK=off GOFLAGS= GOBIN=$work
go install github.com/caddyserver/caddy/v2/cmd/caddy@v2.11.9 2>/dev/null # it takes minutes once
go mod init example.test/finding >/dev/null 2>&1
cat >main.go <<'GO'
package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"
)

var (
	mu   sync.Mutex
	seen []string // of the healthy upstream
)

func main() {
	breaks := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		panic(http.ErrAbortHandler) // closes the connection
	}))
	healthy := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, fmt.Sprintf("%d of %d bytes", len(body), r.ContentLength))
	}))
	plain, buffered := run(breaks, healthy, ""), run(breaks, healthy, "request_buffers 1MB")
	fmt.Printf("lb_retry_match:                     the next upstream gets %s\n", plain)
	fmt.Printf("lb_retry_match and request_buffers: the next upstream gets %s\n", buffered)
	if plain != "0 of 11 bytes, 11 of 11 bytes" || buffered != "11 of 11 bytes" {
		fmt.Println("CHANGED")
		os.Exit(1)
	}
}

// run sends POSTs through Caddy, and gives what the healthy upstream saw of them.
func run(breaks, healthy *httptest.Server, option string) string {
	mu.Lock()
	seen = nil
	mu.Unlock()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	address := l.Addr().String()
	_ = l.Close()
	file := "Caddyfile." + fmt.Sprint(len(option))
	config := fmt.Sprintf("{\n admin off\n persist_config off\n}\nhttp://%s {\n reverse_proxy %s %s {\n  lb_policy round_robin\n  lb_try_duration 2s\n  lb_retry_match {\n   method POST\n  }\n  %s\n }\n}\n",
		address, strings.TrimPrefix(breaks.URL, "http://"), strings.TrimPrefix(healthy.URL, "http://"), option)
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		panic(err)
	}
	caddy := exec.Command("./caddy", "run", "--adapter", "caddyfile", "--config", file)
	caddy.Env = append(os.Environ(), "HOME="+os.TempDir())
	if err := caddy.Start(); err != nil {
		panic(err)
	}
	defer func() { _ = caddy.Process.Kill(); _ = caddy.Wait() }()
	for range 200 {
		if conn, err := net.Dial("tcp", address); err == nil {
			_ = conn.Close()
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	for range 6 { // of which every other one is first sent to the upstream that breaks off
		if resp, err := http.Post("http://"+address+"/", "application/json", strings.NewReader(`{"id":"a1"}`)); err == nil {
			_ = resp.Body.Close()
		}
	}
	mu.Lock()
	defer mu.Unlock()
	slices.Sort(seen)
	return strings.Join(slices.Compact(seen), ", ")
}
GO
go version -m caddy | awk '$1 == "mod" { print "caddy", $3 }'
go run .
