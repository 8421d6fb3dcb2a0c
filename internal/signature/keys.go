package signature

import (
	"crypto/fips140"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"hash"
	"strconv"
	"sync"
	"time"
	"unicode/utf8"
)

// Content writes the bytes that are signed to mac. The timestamp is empty in the bare form.
type Content func(mac hash.Hash, timestamp string, body []byte)

// DefaultContent writes <timestamp> "." <body>.
func DefaultContent(mac hash.Hash, timestamp string, body []byte) {
	mac.Write([]byte(timestamp))
	mac.Write([]byte{'.'})
	mac.Write(body)
}

// Sign makes the header for body as of t: unix seconds, hex, [DefaultContent].
func Sign(secret []byte, t time.Time, body []byte) string {
	timestamp := strconv.FormatInt(t.Unix(), 10)
	mac := hmac.New(sha256.New, secret)
	DefaultContent(mac, timestamp, body)
	return "t=" + timestamp + ",v1=" + hex.EncodeToString(mac.Sum(nil))
}

// MinFIPSKey is the length of the shortest key, in bytes, that crypto/hmac takes under
// GODEBUG=fips140=only. With a shorter one it panics.
const MinFIPSKey = 14

// KeyAllowed reports whether a key of this length can be used.
func KeyAllowed(length int) bool { return length >= MinFIPSKey || !fips140.Enforced() }

// Keys are the keys that a signature may have been made with. A nil one matches nothing.
type Keys struct {
	pools []*macPool
	// Functions, because no verb of fmt prints what one returns.
	secrets func() [][]byte
	texts   func() []string
}

// NewKeys makes Keys of secrets, which must not change afterwards.
func NewKeys(secrets [][]byte) *Keys {
	var texts []string
	k := &Keys{secrets: func() [][]byte { return secrets }, texts: func() []string { return texts }}
	for _, secret := range secrets {
		k.pools = append(k.pools, &macPool{sync.Pool{New: func() any { return &macState{mac: hmac.New(sha256.New, secret)} }}})
		texts = append(texts, string(secret))
		if !utf8.Valid(secret) { // elsewhere it stands as text, such as in a whsec_ secret
			texts = append(texts, base64.RawStdEncoding.EncodeToString(secret), base64.RawURLEncoding.EncodeToString(secret))
		}
	}
	return k
}

// Len returns the number of keys.
func (k *Keys) Len() int {
	if k == nil {
		return 0
	}
	return len(k.pools)
}

// Secrets returns the secrets, which must not be changed.
func (k *Keys) Secrets() [][]byte {
	if k == nil {
		return nil
	}
	return k.secrets()
}

// Texts returns what must not appear in a log. It must not be changed.
func (k *Keys) Texts() []string {
	if k == nil {
		return nil
	}
	return k.texts()
}

// Match reports whether any signature in h was made with any key over body. A nil content
// is the default: the body alone in the bare form, else [DefaultContent]. It compares in
// constant time and does not allocate.
func (k *Keys) Match(content Content, body []byte, h *Header) bool {
	if k == nil {
		return false
	}
	for _, pool := range k.pools {
		if pool.match(content, body, h) {
			return true
		}
	}
	return false
}

// macPool hands out hash states that are keyed once and reused, with the scratch space that
// a check needs, so that a check allocates nothing.
type macPool struct{ pool sync.Pool }

type macState struct {
	mac     hash.Hash
	sum     [sha256.Size]byte
	given   [sha256.Size]byte
	scratch [64]byte
}

func (p *macPool) match(content Content, body []byte, h *Header) bool {
	state := p.pool.Get().(*macState) //nolint:forcetypeassert,errcheck // New makes nothing else
	defer p.pool.Put(state)
	state.mac.Reset()
	switch {
	case content != nil:
		content(state.mac, h.Timestamp, body)
	case h.Timestamp == "":
		state.mac.Write(body)
	default:
		state.writeDefault(h.Timestamp, body)
	}
	sum := state.mac.Sum(state.sum[:0])
	found := state.equal(sum, h.value)
	for rest := h.rest; rest != ""; {
		var key, value string
		key, value, rest, _ = nextPart(rest)
		if key == "v1" && state.equal(sum, value) {
			found = true
		}
	}
	return found
}

// writeDefault is DefaultContent, by way of the scratch space.
func (s *macState) writeDefault(timestamp string, body []byte) {
	for len(timestamp) >= len(s.scratch) { // RFC 3339 allows any number of digits
		n := copy(s.scratch[:], timestamp)
		s.mac.Write(s.scratch[:n])
		timestamp = timestamp[n:]
	}
	n := copy(s.scratch[:], timestamp)
	s.scratch[n] = '.'
	s.mac.Write(s.scratch[:n+1])
	s.mac.Write(body)
}

// equal compares a signature, in hex or base64url, with sum in constant time.
func (s *macState) equal(sum []byte, value string) bool {
	n := copy(s.scratch[:], value)
	if n != len(value) {
		return false
	}
	var err error
	switch n {
	case hex.EncodedLen(sha256.Size):
		n, err = hex.Decode(s.given[:], s.scratch[:n])
	case base64.RawURLEncoding.EncodedLen(sha256.Size):
		n, err = strictBase64URL.Decode(s.given[:], s.scratch[:n])
	default:
		return false
	}
	return err == nil && hmac.Equal(sum, s.given[:n])
}

// strictBase64URL refuses a second spelling of the same bytes.
var strictBase64URL = base64.RawURLEncoding.Strict()
