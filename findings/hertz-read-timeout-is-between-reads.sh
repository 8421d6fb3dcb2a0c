#!/usr/bin/env bash
# Software: github.com/cloudwego/hertz v0.10.4, server.WithReadTimeout, with the standard transporter.
# Expected: what a ReadTimeout of net/http and of fasthttp is: the time in which a request must have arrived whole, after
#   which a sender that trickles its body is cut.
# Seen: it is the time between two reads. A body of which one byte comes each 200 ms is taken for as long as it lasts, and
#   the handler is called with all of it, long after the timeout.
# Why it matters: it is the only limit on slow senders there, since Hertz reads a body before it calls the handler (and a
#   net/http handler behind its adaptor can't set a deadline). A signature is checked only when the last byte is there.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
export GOWORK=off GOFLAGS=-mod=mod
go mod init example.test/finding >/dev/null 2>&1
go get github.com/cloudwego/hertz@v0.10.4 2>/dev/null
cat >main.go <<'GO'
package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/cloudwego/hertz/pkg/app"
	"github.com/cloudwego/hertz/pkg/app/server"
	"github.com/cloudwego/hertz/pkg/common/hlog"
	"github.com/cloudwego/hertz/pkg/network/standard"
)

const timeout, pieces, pause = time.Second, 15, 200 * time.Millisecond // 3 s in all

func main() {
	hlog.SetLevel(hlog.LevelFatal)
	plain, hertz := free(), free()
	go func() {
		s := &http.Server{Addr: plain, ReadTimeout: timeout, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if _, err := bufio.NewReader(r.Body).Discard(pieces); err != nil {
				w.WriteHeader(http.StatusRequestTimeout)
			}
		})}
		_ = s.ListenAndServe()
	}()
	go func() {
		s := server.New(server.WithHostPorts(hertz), server.WithReadTimeout(timeout),
			server.WithTransport(standard.NewTransporter), server.WithDisablePrintRoute(true))
		s.POST("/", func(_ context.Context, c *app.RequestContext) { c.String(http.StatusOK, "%d", len(c.Request.Body())) })
		_ = s.Run()
	}()
	a, b := trickle(plain), trickle(hertz)
	fmt.Printf("net/http, ReadTimeout 1s, body of 3 s: %s\nHertz, ReadTimeout 1s, body of 3 s:    %s\n", a, b)
	if a == "200" || b != "200" {
		fmt.Println("CHANGED")
		os.Exit(1)
	}
}

func free() string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func trickle(address string) string {
	var conn net.Conn
	var err error
	for range 100 {
		if conn, err = net.Dial("tcp", address); err == nil {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	if err != nil {
		panic(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: %d\r\n\r\n", pieces)
	go func() {
		for range pieces {
			time.Sleep(pause)
			if _, err := conn.Write([]byte("x")); err != nil {
				return
			}
		}
	}()
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return "connection closed"
	}
	return fmt.Sprint(resp.StatusCode)
}
GO
echo "hertz $(go list -m -f '{{.Version}}' github.com/cloudwego/hertz)"
go mod tidy >/dev/null 2>&1
go run .
