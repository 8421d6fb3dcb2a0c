#!/usr/bin/env bash
# Software: Caddy v2.11.9: an error page for responses of the upstream, by handle_response in reverse_proxy, or in intercept.
# Expected: the page takes the place of the upstream's body, and the status stays, as it does in handle_errors (and with
#   nginx's proxy_intercept_errors and Apache's ProxyErrorOverride).
# Seen: respond "We are back soon" for status 5xx turns the upstream's 503 into 200. file_server makes it 200 for GET, and 405
#   for POST. The same respond in handle_errors, for an upstream that is away, keeps 502.
# Why it matters: a receiver answers 503 or 500 to what it could not handle, and the sender, behind Caddy, gets 200: the event is
#   acknowledged and lost. With a page from a file it gets 405, which many take for the end. Say the status: respond
#   "We are back soon" {rp.status_code} ({resp.status_code} in intercept); give pages to GET only, the rest copy_response.
set -euo pipefail
work=$(mktemp -d); trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$work"' EXIT; cd "$work"
export GOWORK=off GOFLAGS= GOBIN=$work
go install github.com/caddyserver/caddy/v2/cmd/caddy@v2.11.9 2>/dev/null # it takes minutes once
mkdir pages && echo "We are back soon" >pages/error.html
cat >main.go <<'GO'
package main

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"time"
)

const (
	text = `respond "We are back soon"`
	file = "root * pages\n rewrite * /error.html\n file_server"
)

func main() {
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "later", http.StatusServiceUnavailable)
	}))
	defer app.Close()
	upstream := strings.TrimPrefix(app.URL, "http://")
	inProxy := func(page string) string {
		return "reverse_proxy " + upstream + " {\n @failed status 5xx\n handle_response @failed {\n " + page + "\n }\n}"
	}
	intercept := "intercept {\n @failed status 5xx\n handle_response @failed {\n " + text + "\n }\n}\nreverse_proxy " + upstream
	away := "reverse_proxy " + unused() + "\nhandle_errors {\n " + text + "\n}"
	sites := []struct{ name, directives, want string }{
		{"no error page", "reverse_proxy " + upstream, "GET 503, POST 503"},
		{"handle_response, respond", inProxy(text), "GET 200, POST 200"},
		{"handle_response, file_server", inProxy(file), "GET 200, POST 405"},
		{"handle_response, respond, status", inProxy(text + " {rp.status_code}"), "GET 503, POST 503"},
		{"intercept, respond", intercept, "GET 200, POST 200"},
		{"handle_errors, respond", away, "GET 502, POST 502"},
	}
	config := "{\n admin off\n persist_config off\n}\n"
	var addresses []string
	for _, site := range sites {
		addresses = append(addresses, unused())
		config += "http://" + addresses[len(addresses)-1] + " {\n" + site.directives + "\n}\n"
	}
	check(os.WriteFile("Caddyfile", []byte(config), 0o600))
	caddy := exec.Command("./caddy", "run", "--adapter", "caddyfile", "--config", "Caddyfile")
	caddy.Env = append(os.Environ(), "HOME="+os.TempDir())
	check(caddy.Start())
	defer func() { _ = caddy.Process.Kill(); _ = caddy.Wait() }()

	changed := false
	for i, site := range sites {
		for range 200 {
			if conn, err := net.Dial("tcp", addresses[i]); err == nil {
				_ = conn.Close()
				break
			}
			time.Sleep(50 * time.Millisecond)
		}
		url := "http://" + addresses[i] + "/hook"
		got := "GET " + status(http.MethodGet, url) + ", POST " + status(http.MethodPost, url)
		fmt.Printf("%-34s %s\n", site.name+":", got)
		changed = changed || got != site.want
	}
	if changed {
		fmt.Println("CHANGED")
		_ = caddy.Process.Kill()
		os.Exit(1)
	}
}

func status(method, url string) string {
	req, err := http.NewRequest(method, url, strings.NewReader(`{"id":"a1"}`))
	check(err)
	resp, err := (&http.Client{Timeout: 10 * time.Second}).Do(req)
	if err != nil {
		return err.Error()
	}
	_ = resp.Body.Close()
	return fmt.Sprint(resp.StatusCode)
}

// unused gives an address that nobody listens on.
func unused() string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	defer listener.Close()
	return listener.Addr().String()
}

func check(err error) {
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}
GO
go version -m caddy | awk '$1 == "mod" { print "caddy", $3 }'
go run main.go
