package ittybit

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

// contentReading is one reading of which bytes are signed.
type contentReading struct {
	name  string
	write func(mac hash.Hash, timestamp string, body []byte)
}

// The ways in which services like this one sign their webhooks.
var (
	contentReadings = []contentReading{
		{"t.body", defaultSignedContent},
		{"t,body", func(mac hash.Hash, timestamp string, body []byte) {
			mac.Write([]byte(timestamp + ","))
			mac.Write(body)
		}},
		{"body alone", func(mac hash.Hash, _ string, body []byte) { mac.Write(body) }},
	}
	encodingReadings = []struct {
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

// keyReading is a byte string that a secret may stand for.
type keyReading struct {
	name   string
	remedy string // what makes Verify take it; empty: nothing needs to be done
	key    []byte
}

func keyReadings(secret string) []keyReading {
	keys := []keyReading{{"as given", "", []byte(secret)}}
	bare, stripped := strings.CutPrefix(secret, whsecPrefix)
	if stripped {
		keys = append(keys, keyReading{"whsec_ stripped", "give the secret without its whsec_", []byte(bare)})
	}
	for _, encoding := range encodingReadings[1:] {
		if key, err := encoding.decode(bare); err == nil && len(key) > 0 {
			return append(keys, keyReading{"base64-decoded", "give the bytes that the secret stands for", key})
		}
	}
	return keys
}

// Explain says, without secrets, how a real delivery fits: which reading of the
// signature it matches, of those in use among such services (the signed content
// t.body, t,body or body alone; hex, base64 or base64url; the key as given, without
// its whsec_, or base64-decoded; seconds or milliseconds), or the one of
// [WithSignedContent], whether Verify takes it, and what to do where it does not. Where
// none matches, the key is wrong or the body was changed on its way. It is for finding out
// why a verification fails, not for deciding whether to trust.
func (v *WebhookVerifier) Explain(body []byte, header string) string {
	var b strings.Builder
	verdict := v.Verify(body, header)
	if verdict == nil {
		b.WriteString("Verify accepts this delivery.\n")
	} else {
		fmt.Fprintf(&b, "Verify refuses this delivery: %v.\n", verdict)
	}
	fmt.Fprintf(&b, "Body: %d bytes. Header: %d bytes.\n", len(body), len(header))
	timestamp, values := looseParts(header)
	v.explainTimestamp(&b, timestamp)
	if len(values) == 0 {
		b.WriteString("There is no signature value in the header to compare with.\n")
		return b.String()
	}
	matches := v.findReadings(body, timestamp, values)
	if len(matches) == 0 {
		b.WriteString("No reading matches: the key is wrong, or the body was changed on its way " +
			"(parsed and encoded again, decompressed, or cut). Verify the raw bytes, as they were received.\n")
		return b.String()
	}
	for _, m := range matches {
		fmt.Fprintf(&b, "Matches: HMAC-SHA256 over %s, in %s, with secret %d %s.\n", m.content, m.encoding, m.secret, m.key.name)
		if remedies := v.remedies(m, timestamp, header); verdict != nil && len(remedies) > 0 {
			fmt.Fprintf(&b, "For Verify to take it: %s.\n", strings.Join(remedies, "; "))
		}
	}
	return b.String()
}

// match is a reading that a delivery fits.
type match struct {
	content  string // the name of the reading
	encoding string
	taken    bool // Verify takes the encoding
	secret   int  // from 1
	key      keyReading
}

// remedies says what makes Verify take a delivery that matches.
func (v *WebhookVerifier) remedies(m match, timestamp, header string) []string {
	var remedies []string
	switch {
	case timestamp == "" && strings.Contains(header, "v1="):
		return nil // without a t= there is no way
	case timestamp == "" && !v.untimestamped:
		remedies = append(remedies, "use WithUntimestampedSignatures")
	case timestamp == "", m.content == customContent:
	case m.content == "t.body" && v.content != nil:
		remedies = append(remedies, "leave WithSignedContent out")
	case m.content == "t,body":
		remedies = append(remedies, "use WithSignedContent, and write the timestamp, a comma and the body")
	case m.content == "body alone":
		remedies = append(remedies, "use WithSignedContent, and write the body alone")
	}
	if m.key.remedy != "" {
		remedies = append(remedies, m.key.remedy)
	}
	if !m.taken {
		remedies = append(remedies, "put the signature into hex or unpadded base64url before it is verified")
	}
	return remedies
}

// customContent names the reading of WithSignedContent.
const customContent = "what WithSignedContent writes"

func (v *WebhookVerifier) explainTimestamp(b *strings.Builder, timestamp string) {
	at, ok := parseTimestamp(timestamp)
	number, err := strconv.ParseInt(timestamp, 10, 64)
	switch {
	case timestamp == "":
		b.WriteString("There is no timestamp (t=) in the header.\n")
		return
	case !ok:
		b.WriteString("The timestamp (t=) is no time.\n")
		return
	case err != nil:
		b.WriteString("The timestamp is RFC 3339")
	case jsonx.IsMillis(number):
		b.WriteString("The timestamp is in milliseconds")
	default:
		b.WriteString("The timestamp is in seconds")
	}
	fmt.Fprintf(b, ": %s, %v before now; allowed are %v in either direction.\n",
		at.UTC().Format(time.RFC3339), v.now().Sub(at).Round(time.Millisecond), v.tolerance)
}

// findReadings tries every reading with every secret.
func (v *WebhookVerifier) findReadings(body []byte, timestamp string, values []string) []match {
	contents := contentReadings
	if v.content != nil {
		contents = append([]contentReading{{customContent, v.content}}, contents...)
	}
	var matches []match
	for i, secret := range v.secrets() {
		for _, key := range keyReadings(secret) {
			for _, content := range contents {
				mac := hmac.New(sha256.New, key.key)
				content.write(mac, timestamp, body)
				if encoding, taken := matchingEncoding(mac.Sum(nil), values); encoding != "" {
					matches = append(matches, match{content.name, encoding, taken, i + 1, key})
					break // other readings of the content can only be the same bytes
				}
			}
		}
	}
	return matches
}

// matchingEncoding names the encoding in which a value is sum, and whether Verify takes
// it.
func matchingEncoding(sum []byte, values []string) (name string, taken bool) {
	for _, value := range values {
		for _, encoding := range encodingReadings {
			if given, err := encoding.decode(value); err == nil && hmac.Equal(sum, given) {
				return encoding.name, (&macState{}).equal(sum, value)
			}
		}
	}
	return "", false
}

// looseParts finds a timestamp and the signature values in a header of whatever
// form.
func looseParts(header string) (timestamp string, values []string) {
	if len(header) > maxSignatureHeader {
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
