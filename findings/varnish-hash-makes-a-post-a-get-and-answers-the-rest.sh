#!/usr/bin/env bash
# Software: Varnish of the machine's packages, seen with 7.1.1, with the usual few lines of VCL that cache a path:
#   if (req.url ~ "^/api/") { unset req.http.Cookie; return (hash); }
# Expected: that is about what may be cached. A POST is passed on, as it is without the lines; or it is cached for equal bodies.
# Seen: return (hash) skips the built-in check of the method. The POST is sent on as a GET without its body. Where the server
#   behind has a response for that GET, the sender gets it, and every POST to that path after it, whatever its body, is
#   answered 200 from the cache for two minutes (default_ttl), and reaches nobody.
# Why it matters: an endpoint that also answers GET (a health check, the page of a single-page application) has all of its
#   webhooks acknowledged and none delivered. One that takes POST only answers 405 to each. Begin vcl_recv with
#   if (req.method != "GET" && req.method != "HEAD") { return (pass); }
set -euo pipefail
work=$(mktemp -d); server=
trap '[[ -z $server ]] || { kill "$server" 2>/dev/null; wait "$server" || true; }; rm -rf "$work"' EXIT; cd "$work"
export PATH=$PATH:/usr/sbin GOWORK=off
command -v varnishd >/dev/null || apt-get install -y -qq varnish >/dev/null 2>&1
port=$((20000 + RANDOM % 6000)); app=$((port + 6000))
cat >default.vcl <<VCL
vcl 4.1;
backend default { .host = "127.0.0.1"; .port = "$app"; }
sub vcl_recv {
	if (req.url ~ "^/api/") {
		unset req.http.Cookie;
		return (hash);
	}
}
VCL
chmod 755 "$work"
varnishd -F -j none -n "$work/varnish" -a "127.0.0.1:$port" -f "$work/default.vcl" -s malloc,20m >"$work/log" 2>&1 &
server=$!
for _ in $(seq 300); do (: >"/dev/tcp/127.0.0.1/$port") 2>/dev/null && break; sleep 0.1; done
cat >main.go <<'GO'
package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:"+os.Args[2])
	check(err)
	var mu sync.Mutex
	var received []string
	go http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		received = append(received, fmt.Sprintf("%s with %d bytes", r.Method, len(body)))
	}))
	changed := false
	for path, want := range map[string]string{
		"/api/webhook": "200 200 200; the server received GET with 0 bytes",
		"/webhook":     "200 200 200; the server received POST with 11 bytes, POST with 11 bytes, POST with 11 bytes",
	} {
		received = nil
		var statuses []string
		for i := range 3 {
			body := fmt.Sprintf(`{"id":"a%d"}`, i)
			client := &http.Client{Timeout: 10 * time.Second}
			resp, err := client.Post("http://127.0.0.1:"+os.Args[1]+path, "application/json", strings.NewReader(body))
			check(err)
			check(resp.Body.Close())
			statuses = append(statuses, fmt.Sprint(resp.StatusCode))
		}
		mu.Lock()
		got := strings.Join(statuses, " ") + "; the server received " + strings.Join(received, ", ")
		mu.Unlock()
		fmt.Printf("three POSTs to %-13s %s\n", path+":", got)
		changed = changed || got != want
	}
	if changed {
		fmt.Println("CHANGED")
		os.Exit(1)
	}
}

func check(err error) {
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}
GO
varnishd -V 2>&1 | head -n 1
go run main.go "$port" "$app"
