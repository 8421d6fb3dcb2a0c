package signature

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash"
	"strconv"
	"strings"
	"time"

	"github.com/ittybit/ittybit-go/internal/jsonx"
)

// whsecPrefix marks the secrets of webhook endpoints, as of API version 2025-12-01.
const whsecPrefix = "whsec_"

const customContent = "what WithSignedContent writes"

// contentScheme is a way to choose the bytes that are signed.
type contentScheme struct {
	name  string
	write Content
	fix   string // what makes Verify accept it
}

// The ways in which services like this one sign their webhooks.
var (
	contentSchemes = []contentScheme{
		{name: "t.body", write: DefaultContent},
		{
			name: "t,body",
			write: func(mac hash.Hash, timestamp string, body []byte) {
				mac.Write([]byte(timestamp + ","))
				mac.Write(body)
			},
			fix: "use WithSignedContent, and write the timestamp, a comma and the body",
		},
		{
			name:  "body alone",
			write: func(mac hash.Hash, _ string, body []byte) { mac.Write(body) },
			fix:   "use WithSignedContent, and write the body alone",
		},
	}
	encodings = []struct {
		name   string
		decode func(string) ([]byte, error)
	}{
		{"hex", hex.DecodeString},
		{"base64url", decodeBase64(base64.URLEncoding)},
		{"base64", decodeBase64(base64.StdEncoding)},
	}
)

// decodeBase64 takes values with and without padding.
func decodeBase64(enc *base64.Encoding) func(string) ([]byte, error) {
	return func(s string) ([]byte, error) {
		return enc.WithPadding(base64.NoPadding).DecodeString(strings.TrimRight(s, "="))
	}
}

// keyVariant is a byte string that a secret may stand for.
type keyVariant struct {
	name string
	fix  string // what makes Verify use it; empty: nothing needs to be done
	key  []byte
}

func keyVariants(secret []byte) []keyVariant {
	variants := []keyVariant{{"as given", "", secret}}
	bare, stripped := strings.CutPrefix(string(secret), whsecPrefix)
	if stripped {
		variants = append(variants, keyVariant{"whsec_ stripped", "give the secret without its whsec_", []byte(bare)})
	}
	for _, encoding := range encodings[1:] {
		if key, err := encoding.decode(bare); err == nil && len(key) > 0 {
			return append(variants, keyVariant{"base64-decoded", "decode the secret from base64 and give the bytes to WithSecretBytes", key})
		}
	}
	return variants
}

// Diagnosis is what a delivery is compared with.
type Diagnosis struct {
	Keys          *Keys
	Content       Content // nil: the default
	Untimestamped bool    // the bare form is accepted
	Tolerance     time.Duration
	Now           func() time.Time
	Err           error // what Verify returned
}

// Explain says, without secrets, which scheme a delivery matches, whether Verify accepts
// it, and what to do where it does not.
func (d *Diagnosis) Explain(body []byte, header string) string {
	var b strings.Builder
	if d.Err == nil {
		b.WriteString("Verify accepts this delivery.\n")
	} else {
		fmt.Fprintf(&b, "Verify refuses this delivery: %v.\n", d.Err)
	}
	fmt.Fprintf(&b, "Body: %d bytes. Header: %d bytes.\n", len(body), len(header))
	timestamp, values := parseLenient(header)
	d.explainTimestamp(&b, timestamp)
	if len(values) == 0 {
		b.WriteString("There is no signature value in the header to compare with.\n")
		return b.String()
	}
	matches := d.findMatches(body, timestamp, values)
	if len(matches) == 0 {
		b.WriteString("No scheme matches: the key is wrong, or the body was changed on its way " +
			"(parsed and encoded again, decompressed, or cut). Verify the raw bytes, as they were received.\n")
		return b.String()
	}
	for _, m := range matches {
		fmt.Fprintf(&b, "Matches: HMAC-SHA256 over %s, in %s, with secret %d %s.\n", m.content.name, m.encoding, m.secret, m.key.name)
		if fixes := d.fixes(m, timestamp, header); d.Err != nil && len(fixes) > 0 {
			fmt.Fprintf(&b, "For Verify to accept it: %s.\n", strings.Join(fixes, "; "))
		}
	}
	return b.String()
}

func (d *Diagnosis) explainTimestamp(b *strings.Builder, timestamp string) {
	at, ok := parseTimestamp(timestamp)
	number, err := strconv.ParseInt(timestamp, 10, 64)
	switch {
	case timestamp == "":
		b.WriteString("There is no timestamp (t=) in the header.\n")
		return
	case !ok:
		b.WriteString("The timestamp (t=) is invalid.\n")
		return
	case err != nil:
		b.WriteString("The timestamp is RFC 3339")
	case jsonx.IsMillis(number):
		b.WriteString("The timestamp is in milliseconds")
	default:
		b.WriteString("The timestamp is in seconds")
	}
	fmt.Fprintf(b, ": %s, %v before now; allowed are %v in either direction.\n",
		at.UTC().Format(time.RFC3339), d.Now().Sub(at).Round(time.Millisecond), d.Tolerance)
}

type match struct {
	content  contentScheme
	encoding string
	accepted bool // Verify accepts the encoding
	secret   int  // from 1
	key      keyVariant
}

func (d *Diagnosis) findMatches(body []byte, timestamp string, values []string) []match {
	schemes := contentSchemes
	if d.Content != nil {
		schemes = append([]contentScheme{{name: customContent, write: d.Content}}, schemes...)
	}
	var matches []match
	for i, secret := range d.Keys.Secrets() {
		for _, variant := range keyVariants(secret) {
			if !KeyAllowed(len(variant.key)) {
				continue
			}
			for _, content := range schemes {
				mac := hmac.New(sha256.New, variant.key)
				content.write(mac, timestamp, body)
				if encoding, accepted := matchEncoding(mac.Sum(nil), values); encoding != "" {
					matches = append(matches, match{content, encoding, accepted, i + 1, variant})
					break // another scheme can only match with the same bytes
				}
			}
		}
	}
	return matches
}

func matchEncoding(sum []byte, values []string) (name string, accepted bool) {
	for _, value := range values {
		for _, encoding := range encodings {
			if given, err := encoding.decode(value); err == nil && hmac.Equal(sum, given) {
				return encoding.name, new(macState).equal(sum, value)
			}
		}
	}
	return "", false
}

// fixes says what makes Verify accept a delivery that matches.
func (d *Diagnosis) fixes(m match, timestamp, header string) []string {
	var fixes []string
	switch {
	case timestamp == "" && strings.Contains(header, "v1="):
		return nil // without a t= there is no way
	case timestamp == "" && !d.Untimestamped:
		fixes = append(fixes, "use WithUntimestampedSignatures")
	case timestamp == "":
	case m.content.name == "t.body" && d.Content != nil:
		fixes = append(fixes, "leave WithSignedContent out")
	case m.content.fix != "":
		fixes = append(fixes, m.content.fix)
	}
	if m.key.fix != "" {
		fixes = append(fixes, m.key.fix)
	}
	if !m.accepted {
		fixes = append(fixes, "convert the signature to hex or unpadded base64url before it is verified")
	}
	return fixes
}

// parseLenient finds a timestamp and the signature values in a header of whatever form.
func parseLenient(header string) (timestamp string, values []string) {
	if len(header) > maxHeader {
		return "", nil
	}
	for rest, more := header, true; more; {
		var key, value string
		key, value, rest, more = nextPart(rest)
		switch {
		case key == "t" && timestamp == "":
			timestamp = value
		case key == "v1":
			values = append(values, value)
		}
	}
	if bare := strings.TrimSpace(header); timestamp == "" && len(values) == 0 && bare != "" {
		values = []string{bare}
	}
	return timestamp, values
}
