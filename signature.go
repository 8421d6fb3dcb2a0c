package ittybit

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ittybit/ittybit-go/internal/jsonx"
)

const (
	// SignatureHeader is the header that carries a webhook's signature:
	//
	//	Ittybit-Signature: t=<timestamp>,v1=<signature>
	//
	// Source: Ittybit's webhooks documentation, section Security.
	SignatureHeader = "Ittybit-Signature"

	// DefaultTolerance is how far a signature's timestamp may lie from now, into
	// the past and into the future, unless [WithTolerance] says otherwise. Ittybit
	// documents no value; five minutes is what such schemes commonly take.
	DefaultTolerance = 5 * time.Minute

	// DefaultMaxBodyBytes is the largest webhook body that is read, in bytes, unless
	// [WithMaxBodyBytes] says otherwise. Ittybit documents no limit.
	DefaultMaxBodyBytes = 1 << 20

	// maxSignatureHeader bounds the header, in bytes.
	maxSignatureHeader = 4 << 10
)

// What [WebhookVerifier.Verify] answers; tell them apart with [errors.Is].
var (
	// ErrSignatureMissing: there is no signature header, or a blank one.
	ErrSignatureMissing = errors.New("ittybit: webhook signature is missing")
	// ErrSignatureMalformed: the header can't be read as t=<timestamp>,v1=<signature>.
	ErrSignatureMalformed = errors.New("ittybit: webhook signature is malformed")
	// ErrSignatureMismatch: no signature in the header was made with any of the
	// secrets over this body.
	ErrSignatureMismatch = errors.New("ittybit: webhook signature does not match")
	// ErrSignatureExpired: the signature is authentic, but its timestamp lies outside
	// the tolerance. The error is a [*SignatureExpiredError].
	ErrSignatureExpired = errors.New("ittybit: webhook signature is authentic but outside the tolerance")
)

// SignatureExpiredError is an authentic signature whose timestamp lies too far
// from now. It matches [ErrSignatureExpired].
type SignatureExpiredError struct {
	Timestamp time.Time     // when the delivery was signed
	Age       time.Duration // how long ago that was; negative if it lies in the future
	Tolerance time.Duration // what was allowed in either direction
}

// Error implements error.
func (e *SignatureExpiredError) Error() string {
	if e.Age < 0 {
		return fmt.Sprintf("%v: signed %v in the future, allowed %v (check this machine's clock)", ErrSignatureExpired, e.Age.Abs(), e.Tolerance)
	}
	return fmt.Sprintf("%v: signed %v ago, allowed %v (with a durable deduplicator, WithTolerance may be days)", ErrSignatureExpired, e.Age, e.Tolerance)
}

// Is reports that e is an [ErrSignatureExpired].
func (e *SignatureExpiredError) Is(target error) bool { return target == ErrSignatureExpired }

// SignWebhook makes the value of a [SignatureHeader] for body as of t, in the
// reading described at [WebhookVerifier]. It is for tests and tools; Ittybit signs
// its deliveries itself.
func SignWebhook(secret string, t time.Time, body []byte) string {
	timestamp := strconv.FormatInt(t.Unix(), 10)
	mac := hmac.New(sha256.New, []byte(secret))
	defaultSignedContent(mac, timestamp, body)
	return "t=" + timestamp + ",v1=" + hex.EncodeToString(mac.Sum(nil))
}

// defaultSignedContent feeds the bytes that are taken to be signed.
func defaultSignedContent(mac hash.Hash, timestamp string, body []byte) {
	mac.Write([]byte(timestamp))
	mac.Write([]byte{'.'})
	mac.Write(body)
}

// WebhookVerifier checks that a webhook was signed by Ittybit. It is safe for
// concurrent use.
//
// Ittybit documents the header (t=<timestamp>,v1=<signature>) and the key (the
// project's API key), and has not published the algorithm. The reading taken here
// is HMAC-SHA256 with the key over
//
//	<t as sent> "." <raw body>
//
// with v1 in hex or unpadded base64url, and t in unix seconds, unix milliseconds or
// RFC 3339. [WithSignedContent] replaces that reading, and [WebhookVerifier.Explain]
// tells which reading a real delivery matches.
//
// A signature older than the tolerance is refused with [ErrSignatureExpired]. Nobody
// has said whether Ittybit signs a retry anew. If it does not, each retry after five
// minutes is refused, and an event can be lost in an outage: raise the tolerance to
// days with [WithTolerance] wherever a durable [Deduplicator] makes replays harmless.
type WebhookVerifier struct {
	keys          []*macPool
	secrets       func() []string // a function, which no verb of fmt looks into
	tolerance     time.Duration
	now           func() time.Time
	content       func(mac hash.Hash, timestamp string, body []byte)
	untimestamped bool
	maxBody       int64
}

// NewWebhookVerifier makes a verifier for secret: the project's API key, or the
// secret of a webhook endpoint where Ittybit gave one. A secret that is empty or has
// white space around it, such as a file's last newline, is a [*ParamError].
func NewWebhookVerifier(secret string, opts ...VerifierOption) (*WebhookVerifier, error) {
	cfg := newVerifierConfig(secret)
	if err := applyOptions(opts, func(o VerifierOption) error { return o.applyVerifier(&cfg) }); err != nil {
		return nil, err
	}
	return cfg.build()
}

// verifierConfig is what the VerifierOptions write to.
type verifierConfig struct {
	secrets       []string
	tolerance     time.Duration
	now           func() time.Time
	content       func(mac hash.Hash, timestamp string, body []byte)
	untimestamped bool
	maxBody       int64
}

func newVerifierConfig(secret string) verifierConfig {
	return verifierConfig{secrets: []string{secret}, tolerance: DefaultTolerance, now: time.Now, maxBody: DefaultMaxBodyBytes}
}

func (c *verifierConfig) build() (*WebhookVerifier, error) {
	secrets := c.secrets
	v := &WebhookVerifier{
		secrets: func() []string { return secrets }, tolerance: c.tolerance, now: c.now,
		content: c.content, untimestamped: c.untimestamped, maxBody: c.maxBody,
	}
	for _, secret := range c.secrets {
		if err := checkSecret(secret); err != nil {
			return nil, err
		}
		v.keys = append(v.keys, newMACPool(secret))
	}
	return v, nil
}

func checkSecret(secret string) error {
	switch {
	case secret == "":
		return &ParamError{Param: "secret", Reason: "is empty; an empty secret would accept anybody's webhooks"}
	case strings.TrimSpace(secret) != secret:
		return &ParamError{Param: "secret", Reason: "has white space around it; was it read from a file with a newline at its end?"}
	}
	return nil
}

// VerifierOption sets up a [WebhookVerifier]. Every VerifierOption is a
// [WebhookOption] too.
type VerifierOption interface {
	WebhookOption
	applyVerifier(*verifierConfig) error
}

type verifierOption func(*verifierConfig) error

func (o verifierOption) applyVerifier(c *verifierConfig) error { return o(c) }
func (o verifierOption) applyWebhook(c *webhookConfig) error   { return o(&c.verifier) }

// WithSecrets accepts signatures made with any of these secrets too, so that a key
// can be rotated: deploy with the old and the new one, roll the key, then drop the
// old one.
func WithSecrets(more ...string) VerifierOption {
	return verifierOption(func(c *verifierConfig) error {
		c.secrets = append(c.secrets, more...)
		return nil
	})
}

// WithTolerance sets how far a signature's timestamp may lie from now in either
// direction. It must be positive; the default is [DefaultTolerance].
func WithTolerance(d time.Duration) VerifierOption {
	return verifierOption(func(c *verifierConfig) error {
		if d <= 0 {
			return &ParamError{Param: "tolerance", Reason: "must be positive"}
		}
		c.tolerance = d
		return nil
	})
}

// WithClock replaces time.Now where a signature's age is measured.
func WithClock(now func() time.Time) VerifierOption {
	return verifierOption(func(c *verifierConfig) error {
		if now == nil {
			return &ParamError{Param: "clock", Reason: "is nil"}
		}
		c.now = now
		return nil
	})
}

// WithMaxBodyBytes sets the largest body that [WebhookHandler] and
// [WebhookVerifier.Middleware] read, in bytes. It must be positive; the default is
// [DefaultMaxBodyBytes].
func WithMaxBodyBytes(n int64) VerifierOption {
	return verifierOption(func(c *verifierConfig) error {
		if n <= 0 {
			return &ParamError{Param: "max body bytes", Reason: "must be positive"}
		}
		c.maxBody = n
		return nil
	})
}

// WithSignedContent replaces the bytes that the signature is taken to cover: content
// writes them to mac. The timestamp is t as it was sent, or empty for an
// untimestamped signature. See [WebhookVerifier] for the default.
func WithSignedContent(content func(mac hash.Hash, timestamp string, body []byte)) VerifierOption {
	return verifierOption(func(c *verifierConfig) error {
		if content == nil {
			return &ParamError{Param: "signed content", Reason: "is nil"}
		}
		c.content = content
		return nil
	})
}

// WithUntimestampedSignatures also accepts a header that is nothing but the hex of
// HMAC-SHA256(body), as one of Ittybit's 2026 guides shows it. Such a signature never
// ages, so whoever has seen one delivery can repeat it for ever: use it with a
// durable [Deduplicator] only.
func WithUntimestampedSignatures() VerifierOption {
	return verifierOption(func(c *verifierConfig) error {
		c.untimestamped = true
		return nil
	})
}

// Verify checks the value of the [SignatureHeader] against the raw bytes of the
// body, just as they were received. Several header lines are to be joined with a
// comma. It returns nil, or an error that matches [ErrSignatureMissing],
// [ErrSignatureMalformed], [ErrSignatureMismatch] or [ErrSignatureExpired]. The
// signature is checked before the clock, in constant time. It does not allocate when
// it succeeds.
func (v *WebhookVerifier) Verify(body []byte, header string) error {
	_, err := v.verify(body, header)
	return err
}

// verify also gives the time of the signature, where that is authentic and has one.
func (v *WebhookVerifier) verify(body []byte, header string) (time.Time, error) {
	sig, err := parseSignature(header)
	if err != nil {
		return time.Time{}, err
	}
	if sig.timestamp == "" && !v.untimestamped {
		return time.Time{}, fmt.Errorf("%w: it has no timestamp, so a replay could not be told (see WithUntimestampedSignatures)", ErrSignatureMalformed)
	}
	if !v.authentic(body, &sig) {
		return time.Time{}, ErrSignatureMismatch
	}
	if sig.timestamp == "" {
		return time.Time{}, nil
	}
	if age := v.now().Sub(sig.time); age > v.tolerance || age < -v.tolerance {
		return sig.time, &SignatureExpiredError{Timestamp: sig.time, Age: age, Tolerance: v.tolerance}
	}
	return sig.time, nil
}

func (v *WebhookVerifier) authentic(body []byte, sig *signature) bool {
	for _, key := range v.keys {
		if key.matches(v.content, body, sig) {
			return true
		}
	}
	return false
}

// verifyRequest is Verify for the header lines of a request.
func (v *WebhookVerifier) verifyRequest(body []byte, header http.Header) (time.Time, error) {
	return v.verify(body, joinSignature(header))
}

// joinSignature gives the signature's header lines as one. Adapters and proxies split a
// header at its commas.
func joinSignature(header http.Header) string { return strings.Join(header[SignatureHeader], ",") }

// String names the verifier without its secrets.
func (v *WebhookVerifier) String() string {
	return fmt.Sprintf("ittybit.WebhookVerifier(%d secrets, tolerance %v)", len(v.keys), v.tolerance)
}

// GoString is String, so that %#v prints no secret either.
func (v *WebhookVerifier) GoString() string { return v.String() }

// signature is a header taken apart. An empty timestamp means the bare form.
type signature struct {
	timestamp string
	time      time.Time
	value     string // the first v1
	more      string // what may hold further ones
}

// parseSignature reads a header without allocating.
func parseSignature(header string) (signature, error) {
	if strings.TrimSpace(header) == "" {
		return signature{}, ErrSignatureMissing
	}
	if len(header) > maxSignatureHeader {
		return signature{}, fmt.Errorf("%w: it is longer than %d bytes", ErrSignatureMalformed, maxSignatureHeader)
	}
	if bare := strings.TrimSpace(header); isHexMAC(bare) {
		return signature{value: bare}, nil
	}
	var sig signature
	hasValue := false
	for rest, more := header, true; more; {
		var key, value string
		key, value, rest, more = nextPart(rest)
		switch key {
		case "t":
			if sig.timestamp != "" {
				return signature{}, fmt.Errorf("%w: it has two timestamps", ErrSignatureMalformed)
			}
			at, ok := parseTimestamp(value)
			if !ok {
				return signature{}, fmt.Errorf("%w: its timestamp is no time", ErrSignatureMalformed)
			}
			sig.timestamp, sig.time = value, at
		case "v1":
			if !hasValue {
				hasValue, sig.value, sig.more = true, value, rest
			}
		}
	}
	switch {
	case sig.timestamp == "":
		return signature{}, fmt.Errorf("%w: it has no timestamp (t=)", ErrSignatureMalformed)
	case !hasValue:
		return signature{}, fmt.Errorf("%w: it has no signature (v1=)", ErrSignatureMalformed)
	}
	return sig, nil
}

// nextPart cuts the first key=value part off header.
func nextPart(header string) (key, value, rest string, more bool) {
	part, rest, more := strings.Cut(header, ",")
	key, value, _ = strings.Cut(part, "=")
	return strings.TrimSpace(key), strings.TrimSpace(value), rest, more
}

// parseTimestamp reads t: digits for unix seconds or milliseconds, or RFC 3339.
func parseTimestamp(text string) (time.Time, bool) {
	for i := range len(text) {
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

// macPool hands out hash states that are keyed once and used again, with the
// scratch space a check needs, so that a check allocates nothing.
type macPool struct{ pool sync.Pool }

type macState struct {
	mac     hash.Hash
	sum     [sha256.Size]byte
	given   [sha256.Size]byte
	scratch [64]byte
}

func newMACPool(secret string) *macPool {
	key := []byte(secret)
	return &macPool{sync.Pool{New: func() any { return &macState{mac: hmac.New(sha256.New, key)} }}}
}

// matches reports whether any value in sig is the MAC of the signed content.
func (p *macPool) matches(content func(hash.Hash, string, []byte), body []byte, sig *signature) bool {
	state, ok := p.pool.Get().(*macState)
	if !ok {
		return false // can't be: New makes nothing else
	}
	defer p.pool.Put(state)
	state.mac.Reset()
	switch {
	case content != nil:
		content(state.mac, sig.timestamp, body)
	case sig.timestamp == "":
		state.mac.Write(body)
	default:
		state.writeSigned(sig.timestamp, body)
	}
	sum := state.mac.Sum(state.sum[:0])
	found := state.equal(sum, sig.value)
	for rest := sig.more; rest != ""; {
		var key, value string
		key, value, rest, _ = nextPart(rest)
		if key == "v1" && state.equal(sum, value) {
			found = true
		}
	}
	return found
}

// writeSigned is defaultSignedContent, by way of the scratch space.
func (s *macState) writeSigned(timestamp string, body []byte) {
	for len(timestamp) >= len(s.scratch) { // RFC 3339 bears any number of digits
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

// isHexMAC reports whether text has the form of a SHA-256 MAC in hex.
func isHexMAC(text string) bool {
	if len(text) != hex.EncodedLen(sha256.Size) {
		return false
	}
	for i := range len(text) {
		switch c := text[i]; {
		case c >= '0' && c <= '9', c >= 'a' && c <= 'f', c >= 'A' && c <= 'F':
		default:
			return false
		}
	}
	return true
}
