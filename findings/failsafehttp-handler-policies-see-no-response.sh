#!/usr/bin/env bash
# Software: github.com/failsafe-go/failsafe-go v0.9.8, package failsafehttp, NewHandler: policies around an http.Handler.
# Expected: "the policies are composed around responses", as its documentation says and as the RoundTripper of the same package
#   does it: a circuit breaker counts the handler's 5xx; a Timeout answers 503 in the place of a handler that is late.
# Seen: the handler writes to the sender itself, and the policies get a nil *http.Response and no error, whatever it wrote. The
#   breaker never opens, or, with a HandleIf that takes nil for a failure, opens on successes. A late handler's 200 goes
#   out at its own time, with "timeout exceeded" appended to its body.
# Why it matters: a breaker that was to spare a database does nothing, and no test with a mock transport shows it. An event whose
#   handler was late counts as failed inside, and as delivered with the sender. Use http.TimeoutHandler, and put the breaker
#   around the call of the database.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
export GOWORK=off GOFLAGS=-mod=mod
go mod init example.test/finding >/dev/null 2>&1
go get github.com/failsafe-go/failsafe-go@v0.9.8 2>/dev/null
cat >main.go <<'GO'
package main

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/failsafe-go/failsafe-go/failsafehttp"
	"github.com/failsafe-go/failsafe-go/timeout"
)

func main() {
	log.SetOutput(io.Discard) // net/http notes the second WriteHeader
	fails := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "the database is away", 500) })
	counts5xx := func(resp *http.Response, err error) bool { return err != nil || resp != nil && resp.StatusCode >= 500 }
	breaker := func() circuitbreaker.CircuitBreaker[*http.Response] {
		return circuitbreaker.NewBuilder[*http.Response]().HandleIf(counts5xx).WithFailureThreshold(2).Build()
	}
	handlerSide, clientSide := breaker(), breaker()
	post(failsafehttp.NewHandler(fails, handlerSide), http.DefaultTransport, 5)
	post(fails, failsafehttp.NewRoundTripper(nil, clientSide), 5)
	states := fmt.Sprintf("%v, %v", handlerSide.State(), clientSide.State())
	fmt.Println("after five times 500, the breaker in NewHandler, in NewRoundTripper:", states)

	late := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(time.Second) // work that does not look at its context
		fmt.Fprint(w, `{"handled":true}`)
	})
	seen := post(failsafehttp.NewHandler(late, timeout.New[*http.Response](100*time.Millisecond)), http.DefaultTransport, 1)
	fmt.Printf("Timeout of 100 ms, handler of 1 s: %q\n", seen)
	if states != "closed, open" || seen != "200 {\"handled\":true}timeout exceeded\n" {
		fmt.Println("CHANGED")
		os.Exit(1)
	}
}

// post gives the last of n responses.
func post(h http.Handler, transport http.RoundTripper, n int) (last string) {
	server := httptest.NewServer(h)
	defer server.Close()
	client := &http.Client{Transport: transport, Timeout: 10 * time.Second}
	for range n {
		resp, err := client.Post(server.URL, "application/json", strings.NewReader("{}"))
		if err != nil {
			last = err.Error()
			continue
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		last = fmt.Sprint(resp.StatusCode, " ", string(body))
	}
	return last
}
GO
echo "failsafe-go $(go list -m -f '{{.Version}}' github.com/failsafe-go/failsafe-go)"
go run .
