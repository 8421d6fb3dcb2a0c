// Package signature reads the signature header of a webhook, matches it against keys, and
// diagnoses why it does not match.
package signature

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/ittybit/ittybit-go/internal/jsonx"
)

// HeaderName is the header that carries the signature.
const HeaderName = "Ittybit-Signature"

// maxHeader bounds the header, in bytes.
const maxHeader = 4 << 10

// Why a signature is not accepted. The root package exports them under longer names.
var (
	ErrMissing   = errors.New("ittybit: webhook signature is missing")
	ErrMalformed = errors.New("ittybit: webhook signature is malformed")
	ErrMismatch  = errors.New("ittybit: webhook signature does not match")
)

// Header is a parsed header. Without a timestamp it is the bare form: one signature in hex
// and nothing else.
type Header struct {
	Timestamp string    // as it was sent; empty in the bare form
	Time      time.Time // what Timestamp says

	value string // the first v1
	rest  string // what follows it, and may have more of them
}

// Join returns the header's lines as one. Adapters and proxies split a header at its commas.
func Join(header http.Header) string { return strings.Join(header[HeaderName], ",") }

// Parse reads a header without allocating. An error matches [ErrMissing] or [ErrMalformed].
func Parse(header string) (Header, error) {
	switch bare := strings.TrimSpace(header); {
	case bare == "":
		return Header{}, ErrMissing
	case len(header) > maxHeader:
		return Header{}, fmt.Errorf("%w: it is longer than %d bytes", ErrMalformed, maxHeader)
	case isHexMAC(bare):
		return Header{value: bare}, nil
	}
	var h Header
	hasValue := false
	for rest, more := header, true; more; {
		var key, value string
		key, value, rest, more = nextPart(rest)
		switch key {
		case "t":
			if h.Timestamp != "" {
				return Header{}, fmt.Errorf("%w: it has two timestamps", ErrMalformed)
			}
			at, ok := parseTimestamp(value)
			if !ok {
				return Header{}, fmt.Errorf("%w: invalid timestamp (t=)", ErrMalformed)
			}
			h.Timestamp, h.Time = value, at
		case "v1":
			if !hasValue {
				hasValue, h.value, h.rest = true, value, rest
			}
		}
	}
	switch {
	case h.Timestamp == "":
		return Header{}, fmt.Errorf("%w: it has no timestamp (t=)", ErrMalformed)
	case !hasValue:
		return Header{}, fmt.Errorf("%w: it has no signature (v1=)", ErrMalformed)
	}
	return h, nil
}

// nextPart cuts the first key=value part off header.
func nextPart(header string) (key, value, rest string, more bool) {
	part, rest, more := strings.Cut(header, ",")
	key, value, _ = strings.Cut(part, "=")
	return strings.TrimSpace(key), strings.TrimSpace(value), rest, more
}

// parseTimestamp reads t: digits for unix seconds or milliseconds, or RFC 3339.
func parseTimestamp(text string) (time.Time, bool) {
	for i := range len(text) { // not strings.Trim, which takes a tenth of a whole check's time
		if text[i] < '0' || text[i] > '9' {
			at, err := time.Parse(time.RFC3339, text)
			return at, err == nil && at.Year() < 9999
		}
	}
	number, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return time.Time{}, false
	}
	return jsonx.Unix(number)
}

func isHexMAC(text string) bool {
	return len(text) == hex.EncodedLen(sha256.Size) && strings.Trim(text, "0123456789abcdefABCDEF") == ""
}
