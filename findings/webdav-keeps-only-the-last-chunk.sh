#!/usr/bin/env bash
# Software: golang.org/x/net v0.62.0, package webdav (also what WebDAV servers in Go are made of); beside it nginx with its
#   dav module, of the machine's packages, seen with 1.22.1.
# Expected: a PUT with Content-Range, a part of a file, writes that part, or is refused: RFC 9110, section 14.5, wants 400
#   from servers that can't do it. nginx answers 501.
# Seen: webdav takes each part for the whole file, and answers 201. After a file was sent in two parts, the second one is the
#   file. If-None-Match: * (do not overwrite) is not looked at either.
# Why it matters: uploads in chunks by PUT with Content-Range are what signed URLs of many services take. Who tries a client,
#   or a resumed upload, against such a server sees nothing but success, and the file is its own end. Compare its size.
set -euo pipefail
work=$(mktemp -d); server=
trap '[[ -z $server ]] || kill "$server" 2>/dev/null; rm -rf "$work"' EXIT; cd "$work"
export PATH=$PATH:/usr/sbin GOWORK=off GOFLAGS=-mod=mod
port=$((20000 + RANDOM % 12000))
cat >nginx.conf <<CONF
daemon off; pid $work/pid; error_log stderr crit;
events {}
http {
	access_log off; client_body_temp_path $work/body; proxy_temp_path $work/proxy; fastcgi_temp_path $work/fastcgi;
	uwsgi_temp_path $work/uwsgi; scgi_temp_path $work/scgi;
	server { listen 127.0.0.1:$port; root $work/files; dav_methods PUT; }
}
CONF
mkdir files && chmod 777 "$work" files
nginx -p "$work" -c "$work/nginx.conf" 2>"$work/log" &
server=$!
for _ in $(seq 100); do (: >"/dev/tcp/127.0.0.1/$port") 2>/dev/null && break; sleep 0.1; done
go mod init example.test/finding >/dev/null 2>&1
go get golang.org/x/net@v0.62.0 2>/dev/null
cat >main.go <<'GO'
package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"

	"golang.org/x/net/webdav"
)

func main() {
	server := httptest.NewServer(&webdav.Handler{FileSystem: webdav.NewMemFS(), LockSystem: webdav.NewMemLS()})
	defer server.Close()
	seen := make(map[string]string)
	for name, url := range map[string]string{"webdav": server.URL, "nginx": os.Args[1]} {
		seen[name] = fmt.Sprint(put(url+"/file", "01234", "Content-Range", "bytes 0-4/10"), " ",
			put(url+"/file", "56789", "Content-Range", "bytes 5-9/10"), " ", get(url+"/file"))
	}
	again := fmt.Sprint(put(server.URL+"/file", "again", "If-None-Match", "*"), " ", get(server.URL+"/file"))
	fmt.Printf("PUT of 01234 and of 56789, GET\nwebdav: %s\nnginx:  %s\nPUT with If-None-Match: *, GET\nwebdav: %s\n", seen["webdav"], seen["nginx"], again)
	if seen["webdav"] != "201 201 56789" || seen["nginx"] != "501 501 -" || again != "201 again" {
		fmt.Println("CHANGED")
		os.Exit(1)
	}
}

func put(url, body, field, value string) int {
	req, err := http.NewRequest(http.MethodPut, url, strings.NewReader(body))
	check(err)
	req.Header.Set(field, value)
	resp, err := http.DefaultClient.Do(req)
	check(err)
	check(resp.Body.Close())
	return resp.StatusCode
}

func get(url string) string {
	resp, err := http.Get(url)
	check(err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	check(err)
	if resp.StatusCode != http.StatusOK {
		return "-"
	}
	return string(body)
}

func check(err error) {
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}
GO
echo "golang.org/x/net $(go list -m -f '{{.Version}}' golang.org/x/net), $(nginx -v 2>&1)"
go run . "http://127.0.0.1:$port"
