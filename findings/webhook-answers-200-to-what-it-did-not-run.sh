#!/usr/bin/env bash
# Software: webhook (adnanh/webhook, a server that runs a command for each webhook), Debian's package, seen with 2.8.0-4+b6.
# Expected: a delivery that is refused because its signature is missing is answered 4xx, like one whose signature is wrong;
#   one whose command can't be started is answered 5xx.
# Seen: with the rule payload-hmac-sha256, a delivery without the header is answered 200 ("Hook rules were not satisfied."),
#   one with a wrong signature 500. A hook whose command does not exist, or fails, is answered 200 with an empty body, and so
#   is a body of Content-Type application/json that is not JSON. include-command-output-in-response makes a command that
#   fails 500, and waits for it; trigger-rule-mismatch-http-response-code sets what is answered without the header.
# Why it matters: a sender takes 200 for an acknowledgement. With the header's name misspelled in hooks.json, or a script
#   renamed, every event is acknowledged and none is handled, and nothing on the sender's side shows it.
set -euo pipefail
work=$(mktemp -d); server=
trap '[[ -z $server ]] || kill "$server" 2>/dev/null; rm -rf "$work"' EXIT; cd "$work"
program=$(command -v webhook || true)
if [[ -z $program ]]; then
	apt-get download -q webhook >/dev/null 2>&1
	dpkg -x webhook_*.deb .
	program=$work/usr/bin/webhook
fi
cat >hooks.json <<'JSON'
[
	{"id": "signed", "execute-command": "/bin/true", "trigger-rule": {"match":
		{"type": "payload-hmac-sha256", "secret": "secret", "parameter": {"source": "header", "name": "X-Signature"}}}},
	{"id": "missing", "execute-command": "/nonexistent/handle-event"},
	{"id": "fails", "execute-command": "/bin/false"},
	{"id": "fails-and-waits", "execute-command": "/bin/false", "include-command-output-in-response": true}
]
JSON
port=$((20000 + RANDOM % 12000))
"$program" -hooks hooks.json -ip 127.0.0.1 -port "$port" >log 2>&1 &
server=$!
for _ in $(seq 100); do (: >"/dev/tcp/127.0.0.1/$port") 2>/dev/null && break; sleep 0.1; done
changed=
# post sends a delivery to a hook, prints the status, and compares it.
post() {
	local name=$1 want=$2 hook=$3 body=$4
	shift 4
	local status
	status=$(curl -s -m 10 -o response -w '%{http_code}' -H 'Content-Type: application/json' --data-binary "$body" "$@" "http://127.0.0.1:$port/hooks/$hook")
	printf '%-34s %s %s\n' "$name" "$status" "$(head -c 60 response)"
	[[ $status == "$want" ]] || changed=yes
}
"$program" -version
good=$(printf '{"a": 1}' | openssl dgst -sha256 -hmac secret | sed 's/.* //')
post 'signed' 200 signed '{"a": 1}' -H "X-Signature: $good"
post 'a wrong signature' 500 signed '{"a": 1}' -H "X-Signature: ${good//[0-9]/0}"
post 'no signature' 200 signed '{"a": 1}'
post 'the command does not exist' 200 missing '{"a": 1}'
post 'the command fails' 200 fails '{"a": 1}'
post 'the command fails, with its output' 500 fails-and-waits '{"a": 1}'
post 'not JSON' 200 fails '{"a": '
[[ -z $changed ]] || { echo CHANGED; exit 1; }
