// Package redact keeps keys and signatures out of logs, errors and String methods.
package redact

import (
	"encoding/json"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// Mark stands where a secret stood.
const Mark = "REDACTED"

// signature finds the value of a signature in a URL's query (also one that is
// percent-encoded once or twice, or JSON-escaped, inside another text), in a
// webhook's signature header, and in a JSON field (also inside a JSON string). A
// value may have escapes of its own: it ends at an encoded & and not at every one.
var signature = regexp.MustCompile(`(?i)((?:signature|\bv1)[ \t]*(?:=|%3d|%253d|\\+u003d)[ \t]*)(?:[^"&\\\s<>'%,;#)]|%(?:2[0-57-9a-f]|[013-9a-f][0-9a-f]))+` +
	`|(\\*"(?:ittybit-signature|signature|v1)\\*"\s*:\s*\\*")(?:[^"\\]|\\[^"])+` +
	`|(ittybit-signature:[ \t]*)[0-9a-z+/_-]{40,}`)

// URL gives u without user info, the secrets and the values of signatures.
func URL(u *url.URL, secrets ...string) string {
	if u == nil {
		return ""
	}
	plain := *u
	plain.User = nil
	return Text(plain.String(), secrets...)
}

// Signatures gives the signatures in u's query, which are secrets wherever else they stand.
func Signatures(u *url.URL) []string {
	if u == nil || !mayHoldSignature(u.RawQuery) {
		return nil
	}
	var all []string
	for name, values := range u.Query() {
		if strings.EqualFold(name, "signature") {
			all = append(all, slices.DeleteFunc(values, func(value string) bool { return len(value) < minSecret })...)
		}
	}
	return all
}

// Text gives s without the secrets and without the values of signatures.
func Text(s string, secrets ...string) string {
	for _, secret := range spellings(secrets) {
		s = strings.ReplaceAll(s, secret, Mark)
	}
	if !mayHoldSignature(s) {
		return s
	}
	return signature.ReplaceAllString(s, "${1}${2}${3}"+Mark)
}

// Bytes is Text for bytes. It never changes b.
func Bytes(b []byte, secrets ...string) []byte {
	if b == nil {
		return nil
	}
	return []byte(Text(string(b), secrets...))
}

// mayHoldSignature rules most texts out at a tenth of the regular expression's cost.
func mayHoldSignature(text string) bool {
	for i := 0; i+1 < len(text); i++ {
		switch first, second := text[i]|0x20, text[i+1]|0x20; {
		case first == 'v' && text[i+1] == '1':
			return true
		case first == 's' && second == 'i' && len(text) >= i+len("signature") && strings.EqualFold(text[i:i+len("signature")], "signature"):
			return true
		}
	}
	return false
}

// minSecret is the length in bytes from which on a secret is searched for: shorter ones are
// placeholders of tests, and would garble words.
const minSecret = 8

// spellings gives the secrets as they are and as they stand in URLs and in JSON.
func spellings(secrets []string) []string {
	var all []string
	for _, secret := range secrets {
		if len(secret) < minSecret {
			continue
		}
		quoted, _ := json.Marshal(secret) // a string always can be
		for _, spelling := range []string{secret, url.PathEscape(secret), url.QueryEscape(secret), string(quoted[1 : len(quoted)-1])} {
			if !slices.Contains(all, spelling) {
				all = append(all, spelling)
			}
		}
	}
	return all
}
