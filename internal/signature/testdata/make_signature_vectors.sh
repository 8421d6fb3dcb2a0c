#!/usr/bin/env bash
#
# Makes signature_vectors.json with OpenSSL, so that the signatures which the tests hold against signing and verifying
# come from another tool.
#
#   testdata/make_signature_vectors.sh
#
# It needs bash, openssl, xxd, base64 and head. The output is the same on every run.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")"

work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT

readonly page_body='{
  "id": "task_123abc",
  "object": "task",
  "kind": "nsfw",
  "status": "completed",
  "results": {
    "is_nsfw": true,
    "confidence": 0.97
  },
  "project_id": "proj_xyz",
  "automation_id": "auto_456def",
  "created": "2025-01-10T12:34:56Z",
  "completed": "2025-01-10T12:35:22Z"
}'

first=1

# vector NAME SECRET TIMESTAMP FILE prints one vector: the MAC over TIMESTAMP "." FILE, in hex and in unpadded base64url,
# and the MAC over FILE alone.
vector() {
	local name=$1 secret=$2 timestamp=$3 file=$4
	{ printf '%s.' "$timestamp"; cat "$file"; } >"$work/signed"
	openssl dgst -sha256 -hmac "$secret" -binary -out "$work/mac" "$work/signed"
	openssl dgst -sha256 -hmac "$secret" -binary -out "$work/bare" "$file"
	if ((first)); then first=0; else printf ',\n'; fi
	printf '  {\n    "name": "%s",\n    "secret": "%s",\n    "timestamp": "%s",\n    "body": "%s",\n' \
		"$name" "$secret" "$timestamp" "$(base64 -w0 "$file")"
	printf '    "hex": "%s",\n    "base64url": "%s",\n    "hex_of_body_alone": "%s"\n  }' \
		"$(xxd -p -c64 "$work/mac")" \
		"$(openssl base64 -A -in "$work/mac" | tr '+/' '-_' | tr -d '=')" \
		"$(xxd -p -c64 "$work/bare")"
}

printf '%s' "$page_body" >"$work/page"
: >"$work/empty"
printf '\xef\xbb\xbf{"id":"task_1","object":"task"}' >"$work/bom"
printf '{"id":"task_1","object":"task","kind":"\xff\xfe\xc3\x28"}' >"$work/invalid"
printf '{"id":"task_1","object":"task","kind":"b\xc3\xa9b\xc3\xa9 \xf0\x9f\x8e\xac"}\n' >"$work/utf8"
head -c 65536 /dev/zero | tr '\0' 'x' >"$work/large"

{
	printf '[\n'
	vector 'the payload of the documentation, seconds' ittybit_test_key_1234567890 1736512522 "$work/page"
	vector 'the payload of the documentation, milliseconds' ittybit_test_key_1234567890 1736512522123 "$work/page"
	vector 'the payload of the documentation, RFC 3339' ittybit_test_key_1234567890 2025-01-10T12:35:22Z "$work/page"
	vector 'RFC 3339 with a fraction and an offset' ittybit_test_key_1234567890 2025-01-10T13:35:22.123+01:00 "$work/page"
	vector 'an endpoint secret' whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw 1736512522 "$work/page"
	vector 'empty body' ittybit_test_key_1234567890 1736512522 "$work/empty"
	vector 'byte-order mark' ittybit_test_key_1234567890 1736512522 "$work/bom"
	vector 'invalid UTF-8' ittybit_test_key_1234567890 1736512522 "$work/invalid"
	vector 'UTF-8 and a final newline' ittybit_test_key_1234567890 1736512522 "$work/utf8"
	vector '64 KiB body' ittybit_test_key_1234567890 1736512522 "$work/large"
	printf '\n]\n'
} >"$work/vectors.json"
mv "$work/vectors.json" signature_vectors.json
