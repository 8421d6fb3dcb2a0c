#!/usr/bin/env bash
# Software: github.com/zeromicro/go-zero v1.10.3, package rest, with the configuration that it fills in by itself.
# Expected: a server's middleware passes every request on to the handler, unless the server is overloaded (Shedding, by CPU)
#   or a limit is configured; a breaker is for clients, and is no more sensitive to 503 than its name says.
# Seen: each route has a breaker, on by default, that counts the handler's own 500 and 503 as failures. Of a hundred
#   deliveries, one after the other, which the handler answers 503 with Retry-After, about twenty reach it. The others are
#   answered 503 by the breaker, without Retry-After, and so are many good ones that come next, on the same path.
# Why it matters: a receiver of webhooks asks for a later delivery with 503 while one kind of event can't be handled. Events
#   that it could handle are then refused unseen, and count as failed attempts with the sender. Switch it off for such a
#   service: Middlewares.Breaker: false.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
export GOWORK=off GOFLAGS=-mod=mod
go mod init example.test/finding >/dev/null 2>&1
go get github.com/zeromicro/go-zero@v1.10.3 2>/dev/null
cat >main.go <<'GO'
package main

import (
	"fmt"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"github.com/zeromicro/go-zero/core/conf"
	"github.com/zeromicro/go-zero/core/logx"
	"github.com/zeromicro/go-zero/rest"
)

const deliveries = 100

func main() {
	on, withoutRetryAfter, refused := calls("", "18471")
	off, _, none := calls("Middlewares: {Breaker: false}\n", "18472")
	fmt.Printf("as it comes:      %d of %d deliveries answered 503, more than half by the breaker: %t, each of those without Retry-After: %t\n",
		deliveries, deliveries, on < deliveries/2, withoutRetryAfter == deliveries-on)
	fmt.Printf("                  good ones after that are refused, too: %t\n", refused > 0)
	fmt.Printf("Breaker is false: %d of %d reach the handler, %d good ones are refused\n", off, deliveries, none)
	if on >= deliveries/2 || withoutRetryAfter != deliveries-on || refused == 0 || off != deliveries || none != 0 {
		fmt.Println("CHANGED")
		os.Exit(1)
	}
}

// calls sends deliveries that the handler answers 503, and counts those that reach it, and the responses without
// Retry-After; then it sends good ones, and counts those that are refused.
func calls(config, port string) (reached, withoutRetryAfter, refused int) {
	var c rest.RestConf
	check(conf.LoadFromYamlBytes([]byte("Name: finding\nHost: 127.0.0.1\nPort: "+port+"\nLog: {Level: severe, Stat: false}\n"+config), &c))
	server := rest.MustNewServer(c)
	logx.Disable()
	var handled atomic.Int64
	server.AddRoute(rest.Route{Method: http.MethodPost, Path: "/webhook", Handler: func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("good") {
			return
		}
		handled.Add(1)
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(http.StatusServiceUnavailable)
	}})
	go server.Start()
	defer server.Stop()
	url := "http://127.0.0.1:" + port + "/webhook"
	for range 100 {
		if resp, err := http.Get(url); err == nil { // 405: it listens
			_ = resp.Body.Close()
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	for range deliveries {
		resp, err := http.Post(url, "application/json", nil)
		check(err)
		check(resp.Body.Close())
		if resp.StatusCode != http.StatusServiceUnavailable {
			panic(resp.Status)
		}
		if resp.Header.Get("Retry-After") == "" {
			withoutRetryAfter++
		}
	}
	for range deliveries {
		resp, err := http.Post(url+"?good", "application/json", nil)
		check(err)
		check(resp.Body.Close())
		if resp.StatusCode != http.StatusOK {
			refused++
		}
	}
	return int(handled.Load()), withoutRetryAfter, refused
}

func check(err error) {
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}
GO
go get . 2>/dev/null
echo "go-zero $(go list -m -f '{{.Version}}' github.com/zeromicro/go-zero)"
go run . 2>"$work/log" || { tail -5 "$work/log"; exit 1; }
