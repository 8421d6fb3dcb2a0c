#!/usr/bin/env bash
# Software: nginx of the machine's packages, seen with 1.22.1: error_page with a named location that gives a static page, as most
#   instructions for a maintenance page have it.
# Expected: while the page is shown, a POST is answered 503 (or 502, where the upstream is away), like a GET; error_page keeps
#   the code that it stands for.
# Seen: GET 503 and 502, POST 405. A named location keeps the method of the request, and static files take no POST: that is an
#   error of its own, whose code replaces the first one. With a path in place of the name (error_page 503 /page.html) the
#   page is fetched by GET, and the POST is answered 503.
# Why it matters: nobody sees it in a browser. Senders of webhooks that read 4xx as "wrong address" end their attempts, or
#   switch the endpoint off, for a maintenance of a minute. A Retry-After that the page was given stands beside 405.
set -euo pipefail
work=$(mktemp -d); server=
trap '[[ -z $server ]] || kill "$server" 2>/dev/null; rm -rf "$work"' EXIT; cd "$work"
export PATH=$PATH:/usr/sbin GOWORK=off
command -v nginx >/dev/null || apt-get install -y -qq nginx >/dev/null 2>&1
named=$((20000 + RANDOM % 4000)); path=$((named + 4000)) # a port that nobody listens on stands for the upstream
cat >nginx.conf <<CONF
daemon off; pid $work/pid; error_log stderr crit;
events {}
http {
	access_log off; client_body_temp_path $work/body; proxy_temp_path $work/proxy; fastcgi_temp_path $work/fastcgi;
	uwsgi_temp_path $work/uwsgi; scgi_temp_path $work/scgi;
	server {
		listen 127.0.0.1:$named;
		root $work/files;
		error_page 502 503 @maintenance;
		location = /maintained { return 503; }
		location = /away { proxy_pass http://127.0.0.1:$((named + 8000)); }
		location @maintenance {
			add_header Retry-After 60 always;
			rewrite ^ /maintenance.html break;
		}
	}
	server {
		listen 127.0.0.1:$path;
		root $work/files;
		error_page 502 503 /maintenance.html;
		location = /maintained { return 503; }
		location = /away { proxy_pass http://127.0.0.1:$((named + 8000)); }
		location = /maintenance.html { internal; add_header Retry-After 60 always; }
	}
}
CONF
mkdir files && echo "back soon" >files/maintenance.html && chmod -R a+rX "$work"
nginx -p "$work" -c "$work/nginx.conf" 2>"$work/log" &
server=$!
for _ in $(seq 100); do (: >"/dev/tcp/127.0.0.1/$path") 2>/dev/null && break; sleep 0.1; done
cat >main.go <<'GO'
package main

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"
)

func main() {
	changed := false
	for i, name := range []string{"named location", "path"} {
		var seen []string
		for _, page := range []string{"/maintained", "/away"} {
			for _, method := range []string{http.MethodGet, http.MethodPost} {
				seen = append(seen, method+" "+status(method, "http://127.0.0.1:"+os.Args[1+i]+page))
			}
		}
		line := strings.Join(seen, ", ")
		fmt.Printf("%-15s under maintenance, then upstream away: %s\n", name+":", line)
		changed = changed || line != []string{
			"GET 503 after 60, POST 405 after 60, GET 502 after 60, POST 405 after 60",
			"GET 503 after 60, POST 503 after 60, GET 502 after 60, POST 502 after 60",
		}[i]
	}
	if changed {
		fmt.Println("CHANGED")
		os.Exit(1)
	}
}

func status(method, url string) string {
	req, err := http.NewRequest(method, url, strings.NewReader(`{"id":"a1"}`))
	if err != nil {
		return err.Error()
	}
	resp, err := (&http.Client{Timeout: 10 * time.Second}).Do(req)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	if after := resp.Header.Get("Retry-After"); after != "" {
		return fmt.Sprint(resp.StatusCode, " after ", after)
	}
	return fmt.Sprint(resp.StatusCode)
}
GO
nginx -v 2>&1
go run main.go "$named" "$path"
