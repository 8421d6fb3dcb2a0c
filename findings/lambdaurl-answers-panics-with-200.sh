#!/usr/bin/env bash
# Software: github.com/aws/aws-lambda-go v1.55.1, package lambdaurl (function URLs that stream).
# Expected: a handler that panics before it has written anything is reported to Lambda as a failed invocation, as lambda.Start
#   does it for every other function; the caller gets a 502.
# Seen: while the panic is on its way, the adapter writes its default status. The response that starts towards the caller is
#   200, and only then the process ends.
# Why it matters: a sender of webhooks looks at the status. The event whose handler panicked counts as delivered, and is not
#   sent again.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
export GOWORK=off GOFLAGS=-mod=mod
go mod init example.test/finding >/dev/null 2>&1
go get github.com/aws/aws-lambda-go@v1.55.1 2>/dev/null
cat >main.go <<'GO'
package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdaurl"
)

func main() {
	switch os.Getenv("FUNCTION") { // the function's process
	case "lambda":
		lambda.Start(func(context.Context) (any, error) { panic("the database is away") })
	case "lambdaurl":
		lambdaurl.Start(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("the database is away") }))
	}
	plain, url := invoke("lambda"), invoke("lambdaurl")
	fmt.Printf("lambda.Start:    %s\nlambdaurl.Start: %s\n", plain, url)
	if !strings.HasPrefix(plain, "error ") || !strings.HasPrefix(url, "response ") || !strings.Contains(url, `"statusCode":200`) {
		fmt.Println("CHANGED")
		os.Exit(1)
	}
}

// invoke runs a function against a Runtime API on loopback, and gives what it first sends there.
func invoke(function string) string {
	sent := make(chan string, 10)
	invoked := false
	mux := http.NewServeMux()
	mux.HandleFunc("GET /2018-06-01/runtime/invocation/next", func(w http.ResponseWriter, r *http.Request) {
		if invoked {
			<-r.Context().Done()
			return
		}
		invoked = true
		w.Header().Set("Lambda-Runtime-Aws-Request-Id", "1")
		w.Header().Set("Lambda-Runtime-Deadline-Ms", fmt.Sprint(time.Now().Add(10*time.Second).UnixMilli()))
		_, _ = io.WriteString(w, `{"version":"2.0","rawPath":"/","requestContext":{"domainName":"f.test","http":{"method":"POST"}}}`)
	})
	mux.HandleFunc("POST /2018-06-01/runtime/invocation/1/{what}", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		head, _, _ := bytes.Cut(body, make([]byte, 8))
		w.WriteHeader(http.StatusAccepted)
		sent <- r.PathValue("what") + " " + string(head[:min(len(head), 80)])
	})
	api := httptest.NewServer(mux)
	defer api.CloseClientConnections()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "FUNCTION="+function, "AWS_LAMBDA_RUNTIME_API="+strings.TrimPrefix(api.URL, "http://"))
	if err := cmd.Start(); err != nil {
		panic(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	select {
	case first := <-sent:
		return first
	case <-time.After(20 * time.Second):
		return "nothing"
	}
}
GO
echo "aws-lambda-go $(go list -m -f '{{.Version}}' github.com/aws/aws-lambda-go)"
go build -o finding . && ./finding
