#!/usr/bin/env bash
# Software: ModSecurity for Apache, Debian's packages libapache2-mod-security2 (seen with 2.9.7-1+deb12u2) and apache2-bin
#   (2.4.71), with modsecurity.conf-recommended of the package, of which only the paths of two files are changed.
# Expected: SecRuleEngine DetectionOnly, as that file has it, changes no response: its documentation says that rules are
#   processed, and disruptive actions never executed.
# Seen: a JSON or form body of more than 128 KiB (SecRequestBodyNoFilesLimit) is answered 413, and never reaches the server
#   behind. Only the rules know DetectionOnly; this limit does not.
# Why it matters: the package is switched on to watch for a while, and all is well, since most webhooks are small. The few with
#   a transcript or a list of objects in them are refused, each attempt again. Raise SecRequestBodyNoFilesLimit to what
#   the receiver takes.
set -euo pipefail
work=$(mktemp -d); server=
trap '[[ -z $server ]] || { kill "$server" 2>/dev/null; wait "$server" || true; }; rm -rf "$work"' EXIT; cd "$work"
export PATH=$PATH:/usr/sbin GOWORK=off
port=$((20000 + RANDOM % 6000)); app=$((port + 6000))
modules=/usr/lib/apache2/modules
[[ -e $modules/mod_security2.so ]] || apt-get install -y -qq libapache2-mod-security2 >/dev/null 2>&1
sed "s#^SecAuditLog .*#SecAuditLog $work/audit.log#; s#^SecUnicodeMapFile #&/etc/modsecurity/#" \
	/etc/modsecurity/modsecurity.conf-recommended >modsecurity.conf
cat >apache.conf <<CONF
ServerRoot $work
ServerName localhost
PidFile $work/pid
ErrorLog $work/error.log
Listen 127.0.0.1:$port
LoadModule mpm_event_module $modules/mod_mpm_event.so
LoadModule authz_core_module $modules/mod_authz_core.so
LoadModule proxy_module $modules/mod_proxy.so
LoadModule proxy_http_module $modules/mod_proxy_http.so
LoadModule unique_id_module $modules/mod_unique_id.so
LoadFile libxml2.so.2
LoadModule security2_module $modules/mod_security2.so
Include $work/modsecurity.conf
ProxyPass / http://127.0.0.1:$app/
CONF
chmod 755 "$work"
apache2 -f "$work/apache.conf" -D FOREGROUND >"$work/log" 2>&1 &
server=$!
for _ in $(seq 100); do (: >"/dev/tcp/127.0.0.1/$port") 2>/dev/null && break; sleep 0.1; done
cat >main.go <<'GO'
package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:"+os.Args[2])
	check(err)
	reached := 0
	go http.Serve(listener, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		reached++
	}))
	client := &http.Client{Timeout: 20 * time.Second}
	changed := false
	for _, c := range []struct {
		contentType string
		size        int
		want        string
	}{
		{"application/json", 100 << 10, "200, reached"},
		{"application/json", 200 << 10, "413, not reached"},
		{"application/x-www-form-urlencoded", 200 << 10, "413, not reached"},
	} {
		reached = 0
		body := `{"text":"` + strings.Repeat("a", c.size) + `"}`
		resp, err := client.Post("http://127.0.0.1:"+os.Args[1]+"/hook", c.contentType, strings.NewReader(body))
		check(err)
		check(resp.Body.Close())
		got := fmt.Sprint(resp.StatusCode, map[bool]string{true: ", reached", false: ", not reached"}[reached > 0])
		fmt.Printf("%-33s %8d bytes: %s\n", c.contentType, len(body), got)
		changed = changed || got != c.want
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
dpkg-query -W -f '${Package} ${Version}\n' libapache2-mod-security2 apache2-bin
grep -E '^SecRuleEngine|^SecRequestBody.*Limit' modsecurity.conf
go run main.go "$port" "$app"
