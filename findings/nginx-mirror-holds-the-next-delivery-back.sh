#!/usr/bin/env bash
# Software: nginx of the machine's packages, seen with 1.22.1: the mirror directive, which sends a copy of each request to
#   another server.
# Expected: responses of the mirror are ignored, as its documentation says, so that a mirror that is slow, or hangs, costs the
#   senders nothing.
# Seen: the response of the real server comes at once, but nginx does not read the next request of that connection until the
#   mirror has answered (or proxy_read_timeout has passed, 60 s as it comes). The sender's next delivery on it waits,
#   unseen by the real server. On a new connection it is passed on at once.
# Why it matters: senders of webhooks keep connections. A staging system that is given a copy of the deliveries, and hangs,
#   makes every second one fail by the sender's timeout, though the receiver is well: its log shows nothing. Give the
#   mirror's location a short proxy_connect_timeout and proxy_read_timeout, or set keepalive_timeout 0 beside it.
set -euo pipefail
work=$(mktemp -d); server=
trap '[[ -z $server ]] || kill "$server" 2>/dev/null; rm -rf "$work"' EXIT; cd "$work"
export PATH=$PATH:/usr/sbin GOWORK=off
command -v nginx >/dev/null || apt-get install -y -qq nginx >/dev/null 2>&1
port=$((20000 + RANDOM % 4000)); app=$((port + 4000)); staging=$((port + 8000))
cat >nginx.conf <<CONF
daemon off; pid $work/pid; error_log stderr crit;
events {}
http {
	access_log off; client_body_temp_path $work/body; proxy_temp_path $work/proxy; fastcgi_temp_path $work/fastcgi;
	uwsgi_temp_path $work/uwsgi; scgi_temp_path $work/scgi;
	server {
		listen 127.0.0.1:$port;
		location / { mirror /copy; proxy_pass http://127.0.0.1:$app; }
		location = /copy { internal; proxy_pass http://127.0.0.1:$staging; }
	}
}
CONF
chmod 777 "$work"
nginx -p "$work" -c "$work/nginx.conf" 2>"$work/log" &
server=$!
for _ in $(seq 100); do (: >"/dev/tcp/127.0.0.1/$port") 2>/dev/null && break; sleep 0.1; done
cat >main.go <<'GO'
package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

func main() {
	arrived := make(chan string, 10)
	listen("127.0.0.1:"+os.Args[2], func(_ http.ResponseWriter, r *http.Request) { arrived <- r.Header.Get("X-Delivery") })
	release := make(chan struct{})
	listen("127.0.0.1:"+os.Args[3], func(http.ResponseWriter, *http.Request) { <-release })
	kept, fresh := &http.Client{Transport: &http.Transport{}}, &http.Client{Transport: &http.Transport{}}
	deliver := func(client *http.Client, name string) {
		req, err := http.NewRequest(http.MethodPost, "http://127.0.0.1:"+os.Args[1], strings.NewReader(`{"id":"a1"}`))
		check(err)
		req.Header.Set("X-Delivery", name)
		resp, err := client.Do(req)
		check(err)
		check(resp.Body.Close())
	}
	next := func(wait time.Duration) string {
		select {
		case name := <-arrived:
			return name
		case <-time.After(wait):
			return "nothing"
		}
	}
	deliver(kept, "first") // answered at once, while its copy is held by the mirror
	seen := []string{next(5 * time.Second)}
	go deliver(kept, "second")
	seen = append(seen, next(2*time.Second))
	go deliver(fresh, "third, on a connection of its own")
	seen = append(seen, next(5*time.Second))
	close(release)
	seen = append(seen, "(the mirror answers)", next(10*time.Second))
	got := strings.Join(seen, "; ")
	fmt.Println("the receiver sees:", got)
	if got != "first; nothing; third, on a connection of its own; (the mirror answers); second" {
		fmt.Println("CHANGED")
		os.Exit(1)
	}
}

func listen(address string, handler http.HandlerFunc) {
	listener, err := net.Listen("tcp", address)
	check(err)
	go http.Serve(listener, handler)
}

func check(err error) {
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}
GO
nginx -v 2>&1
go run main.go "$port" "$app" "$staging"
