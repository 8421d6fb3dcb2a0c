// Package redact keeps keys and signatures out of logs, errors and String methods.
package redact

import (
	"bytes"
	"net/url"
	"regexp"
	"strings"
)

// Mark stands where a secret stood.
const Mark = "REDACTED"

// signature finds the value of a signature in a URL's query (also one that is
// percent-encoded once or twice, or JSON-escaped, inside another text), in a JSON
// member and in a webhook's signature header.
var signature = regexp.MustCompile(`(?i)((?:signature|\bv1)(?:=|%3d|%253d|\\u003d)|"signature"\s*:\s*")[^"&\\\s<>'%,;#)]+`)

// URL gives u without user info and without the values of signatures.
func URL(u *url.URL) string {
	if u == nil {
		return ""
	}
	plain := *u
	plain.User = nil
	return Text(plain.String())
}

// Text gives s without the secrets and without the values of signatures.
func Text(s string, secrets ...string) string {
	for _, secret := range secrets {
		if secret != "" {
			s = strings.ReplaceAll(s, secret, Mark)
		}
	}
	return signature.ReplaceAllString(s, "${1}"+Mark)
}

// Bytes is Text for bytes. It never changes b.
func Bytes(b []byte, secrets ...string) []byte {
	for _, secret := range secrets {
		if secret != "" && bytes.Contains(b, []byte(secret)) {
			b = bytes.ReplaceAll(b, []byte(secret), []byte(Mark))
		}
	}
	return signature.ReplaceAll(b, []byte("${1}"+Mark))
}
