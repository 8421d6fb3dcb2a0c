#!/usr/bin/env bash
# Software: github.com/awslabs/aws-lambda-go-api-proxy v0.16.2, httpadapter.NewV2 (HTTP APIs and function URLs).
# Expected: a field of the event is one value of the request's header, as it is in the event and on the wire.
# Seen: each value is cut at its commas, and every piece becomes a value of its own. Header.Get gives the first piece only.
# Why it matters: signature fields of the form "t=…,v1=…" have a comma. A handler that verifies what Header.Get gives,
#   as the libraries of several webhook senders tell people to, refuses every delivery on Lambda; the same code passes
#   behind a REST API (payload 1.0) and in every test without Lambda.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
export GOWORK=off GOFLAGS=-mod=mod
go mod init example.test/finding >/dev/null 2>&1
go get github.com/awslabs/aws-lambda-go-api-proxy@v0.16.2 github.com/aws/aws-lambda-go@v1.55.1 2>/dev/null
cat >main.go <<'GO'
package main

import (
	"context"
	"fmt"
	"net/http"
	"os"

	"github.com/aws/aws-lambda-go/events"
	"github.com/awslabs/aws-lambda-go-api-proxy/httpadapter"
)

func main() {
	const signature = "t=1700000000,v1=abcdef"
	var got []string
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = append(got, r.Header.Get("X-Signature"))
		w.WriteHeader(http.StatusOK)
	})
	v1 := events.APIGatewayProxyRequest{HTTPMethod: "POST", Path: "/", Headers: map[string]string{"X-Signature": signature}}
	if _, err := httpadapter.New(handler).ProxyWithContext(context.Background(), v1); err != nil {
		panic(err)
	}
	v2 := events.APIGatewayV2HTTPRequest{RawPath: "/", Headers: map[string]string{"x-signature": signature}}
	v2.RequestContext.HTTP.Method, v2.RequestContext.DomainName = "POST", "function.test"
	if _, err := httpadapter.NewV2(handler).ProxyWithContext(context.Background(), v2); err != nil {
		panic(err)
	}
	fmt.Printf("payload 1.0: %q\npayload 2.0: %q\n", got[0], got[1])
	if got[0] != signature || got[1] != "t=1700000000" {
		fmt.Println("CHANGED")
		os.Exit(1)
	}
}
GO
echo "aws-lambda-go-api-proxy $(go list -m -f '{{.Version}}' github.com/awslabs/aws-lambda-go-api-proxy)"
go run .
