#!/usr/bin/env bash
# Software: github.com/go-resty/resty/v2 v2.17.2, beside resty.dev/v3 v3.0.0-rc.4; github.com/cristalhq/hedgedhttp v0.9.2.
# Expected: a request is sent again with its body (a bytes.Reader can be rewound, and net/http does so by itself), or not at
#   all.
# Seen: resty v2 sends its second attempt without one byte, whatever reader was handed to SetBody, and gives back the 200 for
#   it. v3 gives back the 503. hedgedhttp, which sends a second request when the first one is slow, lets both read the same
#   reader: the second one of a stream is empty, is answered first, and its 200 is the result. With a length that is known
#   the second one fails, unseen, because net/http misses the bytes.
# Source: go-resty/resty pull request 1156 (for v3).
# Why it matters: a file goes to a signed URL, storage answers 503 once or is slow, and an empty file is stored with a 200.
#   Hand resty []byte, and let hedgedhttp's transport see GET and HEAD only.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
export GOWORK=off GOFLAGS=-mod=mod
go mod init example.test/finding >/dev/null 2>&1
go get github.com/go-resty/resty/v2@v2.17.2 resty.dev/v3@v3.0.0-rc.4 github.com/cristalhq/hedgedhttp@v0.9.2 2>/dev/null
cat >main.go <<'GO'
package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"time"

	"github.com/cristalhq/hedgedhttp"
	"github.com/go-resty/resty/v2"
	resty3 "resty.dev/v3"
)

const size = 300_000

func main() {
	content := make([]byte, size)
	v2 := resty.New().SetRetryCount(2).SetRetryWaitTime(time.Millisecond)
	v2.AddRetryCondition(func(r *resty.Response, _ error) bool { return r.StatusCode() == http.StatusServiceUnavailable })
	v3 := resty3.New().SetRetryCount(2).SetRetryWaitTime(time.Millisecond)
	defer v3.Close()
	hedged, err := hedgedhttp.NewClient(100*time.Millisecond, 2, nil)
	check(err)

	cases := []struct {
		name  string
		first int // the first request's status, 0 for one that is slow
		put   func(url string) (int, error)
		want  string
	}{
		{"resty v2, bytes.Reader, 503", 503, func(url string) (int, error) {
			resp, err := v2.R().SetBody(bytes.NewReader(content)).Put(url)
			return resp.StatusCode(), err
		}, "[300000 0] 200"},
		{"resty v2, []byte, 503", 503, func(url string) (int, error) {
			resp, err := v2.R().SetBody(content).Put(url)
			return resp.StatusCode(), err
		}, "[300000 300000] 200"},
		{"resty v3, bytes.Reader, 503", 503, func(url string) (int, error) {
			resp, err := v3.R().SetBody(bytes.NewReader(content)).Put(url)
			return resp.StatusCode(), err
		}, "[300000] 503"},
		{"hedgedhttp, stream, slow", 0, func(url string) (int, error) { return send(hedged, http.MethodPut, url, io.MultiReader(bytes.NewReader(content))) }, "[300000 0] 200"},
		{"hedgedhttp, bytes.Reader, slow", 0, func(url string) (int, error) { return send(hedged, http.MethodPut, url, bytes.NewReader(content)) }, "[300000] 200"},
	}
	changed := false
	fmt.Println("what was done                  bytes of each request, what the client says")
	for _, c := range cases {
		var mu sync.Mutex
		var received []int
		storage := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			mu.Lock()
			received = append(received, len(body))
			first := len(received) == 1
			mu.Unlock()
			switch {
			case first && c.first > 0:
				w.WriteHeader(c.first)
			case first:
				time.Sleep(time.Second)
			}
		}))
		status, err := c.put(storage.URL)
		check(err)
		mu.Lock()
		seen := fmt.Sprint(received, " ", status)
		mu.Unlock()
		storage.Close()
		fmt.Printf("%-30s %s\n", c.name, seen)
		changed = changed || seen != c.want
	}
	if changed {
		fmt.Println("CHANGED")
		os.Exit(1)
	}
}

func send(client *http.Client, method, url string, body io.Reader) (int, error) {
	req, err := http.NewRequest(method, url, body)
	check(err)
	resp, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, resp.Body.Close()
}

func check(err error) {
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}
GO
go get . 2>/dev/null
echo "resty $(go list -m -f '{{.Version}}' github.com/go-resty/resty/v2) and $(go list -m -f '{{.Version}}' resty.dev/v3), hedgedhttp $(go list -m -f '{{.Version}}' github.com/cristalhq/hedgedhttp)"
go run .
