#!/usr/bin/env bash
# Software: github.com/valyala/fasthttp v1.69.0, package fasthttpadaptor (what Fiber v3's adaptor.HTTPHandler uses).
# Expected: a net/http handler behind the adaptor finds both lines of a field that came on two lines, in their order, as
#   net/http hands them over, and as its own documentation of http.Header says.
# Seen: only the last line is there. The first one is gone, without an error. v1.78.0 hands over both, but Fiber v3.1.0, the
#   newest, requires v1.69.0, and stays there unless its users raise it.
# Why it matters: a signature that is split over two lines (t=… and v1=…), or one line for each key while keys are being
#   rotated, is valid for net/http and refused, or checked against one key only, behind Fiber.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
export GOWORK=off GOFLAGS=-mod=mod
go mod init example.test/finding >/dev/null 2>&1
go get github.com/valyala/fasthttp@v1.69.0 2>/dev/null
cat >main.go <<'GO'
package main

import (
	"fmt"
	"net"
	"net/http"
	"os"

	"github.com/valyala/fasthttp"
	"github.com/valyala/fasthttp/fasthttpadaptor"
)

func main() {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, len(r.Header.Values("X-Signature")), " ", r.Header.Values("X-Signature"))
	})
	plain := serve(func(l net.Listener) { _ = http.Serve(l, handler) })
	adapted := serve(func(l net.Listener) { _ = fasthttp.Serve(l, fasthttpadaptor.NewFastHTTPHandler(handler)) })
	a, b := post(plain), post(adapted)
	fmt.Printf("net/http:        %s\nfasthttpadaptor: %s\n", a, b)
	if a != "2 [v1=old v1=new]" || b != "1 [v1=new]" {
		fmt.Println("CHANGED")
		os.Exit(1)
	}
}

func serve(run func(net.Listener)) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go run(l)
	return l.Addr().String()
}

func post(address string) string {
	req, _ := http.NewRequest(http.MethodPost, "http://"+address+"/", nil)
	req.Header["X-Signature"] = []string{"v1=old", "v1=new"} // written as two lines
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		panic(err)
	}
	defer resp.Body.Close()
	body := make([]byte, 100)
	n, _ := resp.Body.Read(body)
	return string(body[:n])
}
GO
echo "fasthttp $(go list -m -f '{{.Version}}' github.com/valyala/fasthttp)"
go run .
