package ittybit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/ittybit/ittybit-go/internal/bodyread"
	"github.com/ittybit/ittybit-go/internal/redact"
	"github.com/ittybit/ittybit-go/internal/signature"
)

const (
	// SignatureHeader is the header that carries a webhook's signature:
	//
	//	Ittybit-Signature: t=<timestamp>,v1=<signature>
	//
	// Source: Ittybit's webhooks documentation, section Security.
	SignatureHeader = signature.HeaderName

	// DefaultTolerance is how far a signature's timestamp may lie from now, into the past and into
	// the future, unless [WithTolerance] says otherwise. Ittybit documents no value; five minutes
	// is what such schemes commonly take.
	DefaultTolerance = 5 * time.Minute

	// DefaultMaxBodyBytes is the largest webhook body that is read, in bytes, unless
	// [WithMaxBodyBytes] says otherwise. Ittybit documents no limit.
	DefaultMaxBodyBytes = 1 << 20
)

// The errors of [WebhookVerifier.Verify], for [errors.Is].
var (
	// ErrSignatureMissing: there is no signature header, or a blank one.
	ErrSignatureMissing = signature.ErrMissing
	// ErrSignatureMalformed: the header can't be read as t=<timestamp>,v1=<signature>, or is longer
	// than 4 KiB.
	ErrSignatureMalformed = signature.ErrMalformed
	// ErrSignatureMismatch: no signature in the header was made with any of the secrets over this
	// body.
	ErrSignatureMismatch = signature.ErrMismatch
	// ErrNoSecrets: the function of [WithSecretsFunc] has not given a usable secret yet.
	ErrNoSecrets = signature.ErrNoSecrets
	// ErrSignatureExpired: the signature is authentic, but its timestamp lies outside the
	// tolerance. The error is a [*SignatureExpiredError].
	ErrSignatureExpired = errors.New("ittybit: webhook signature is authentic but outside the tolerance")
)

// WebhookVerifier checks that a webhook was signed by Ittybit. It is safe for concurrent use.
//
// Ittybit documents the header (t=<timestamp>,v1=<signature>) and the key (the project's API key),
// and has not published the algorithm. The scheme assumed here is HMAC-SHA256 with the key over
//
//	<t as sent> "." <raw body>
//
// with v1 in hex or unpadded base64url, and t in unix seconds, unix milliseconds or RFC 3339.
// [WithSignedContent] replaces that scheme, and [WebhookVerifier.Explain] says which scheme a real
// delivery matches.
//
// A signature older than the tolerance is refused with [ErrSignatureExpired]. Nobody has said
// whether Ittybit signs a retry anew. If it does not, each retry after five minutes is refused, and
// an event can be lost in an outage: raise the tolerance to days with [WithTolerance] wherever a
// durable [Deduplicator] makes replays harmless.
type WebhookVerifier struct {
	keys          *signature.Keys
	source        *signature.Source // of WithSecretsFunc, in place of keys
	tolerance     time.Duration
	now           func() time.Time
	content       signature.Content
	untimestamped bool
	maxBody       int64
}

// NewWebhookVerifier makes a verifier for secret: the project's API key, or the secret of a webhook
// endpoint where Ittybit gave one. A secret that has white space around it, such as a file's last
// newline, is a [*ParamError], and so is an empty one without [WithSecretsFunc]: it matches
// [ErrMissingAPIKey].
func NewWebhookVerifier(secret string, opts ...VerifierOption) (*WebhookVerifier, error) {
	cfg := newVerifierConfig(secret)
	if err := applyOptions(opts, func(o VerifierOption) error { return o.applyVerifier(&cfg) }); err != nil {
		return nil, err
	}
	return cfg.build()
}

// Verify checks the value of the [SignatureHeader] against the raw bytes of the body, just as they
// were received. Several header lines are to be joined with a comma. It returns nil, or an error
// that matches [ErrSignatureMissing], [ErrSignatureMalformed], [ErrSignatureMismatch] or
// [ErrSignatureExpired], or with [WithSecretsFunc] [ErrNoSecrets]. The signature is checked before
// the clock, in constant time. It does not allocate when it succeeds.
func (v *WebhookVerifier) Verify(body []byte, header string) error {
	_, err := v.verify(context.Background(), body, header)
	return err
}

// verify also gives the time of the signature, where that is authentic and has one.
func (v *WebhookVerifier) verify(ctx context.Context, body []byte, header string) (time.Time, error) {
	sig, err := signature.Parse(header)
	if err != nil {
		return time.Time{}, err
	}
	if sig.Timestamp == "" && !v.untimestamped {
		return time.Time{}, errUntimestamped
	}
	if err := v.match(ctx, body, &sig); err != nil {
		return time.Time{}, err
	}
	if sig.Timestamp == "" {
		return time.Time{}, nil
	}
	if age := v.now().Sub(sig.Time); age > v.tolerance || age < -v.tolerance {
		return sig.Time, &SignatureExpiredError{Timestamp: sig.Time, Age: age, Tolerance: v.tolerance}
	}
	return sig.Time, nil
}

var errUntimestamped = fmt.Errorf("%w: it has no timestamp, so a replay cannot be detected (see WithUntimestampedSignatures)", ErrSignatureMalformed)

// match compares the signature with the keys, and with newer ones where none of them fits.
func (v *WebhookVerifier) match(ctx context.Context, body []byte, sig *signature.Header) error {
	keys := v.keys
	if v.source != nil {
		var err error
		if keys, err = v.source.Keys(ctx); err != nil {
			return err
		}
	}
	if keys.Match(v.content, body, sig) {
		return nil
	}
	if v.source != nil && v.source.Renew(ctx, keys).Match(v.content, body, sig) {
		return nil
	}
	return ErrSignatureMismatch
}

// latest gives the keys in use, without a call.
func (v *WebhookVerifier) latest() *signature.Keys {
	if v.source != nil {
		return v.source.Latest()
	}
	return v.keys
}

// Explain says, without secrets, which signing scheme a real delivery matches, of those in use
// among such services (the signed content t.body, t,body or body alone; hex, base64 or base64url;
// the key as given, without its whsec_, or base64-decoded; seconds or milliseconds), or the one of
// [WithSignedContent], whether Verify accepts it, and what to do where it does not. Where none
// matches, the key is wrong or the body was changed on its way. It is for finding out why a
// verification fails, not for deciding whether to trust.
func (v *WebhookVerifier) Explain(body []byte, header string) string {
	err := v.Verify(body, header) // first, because it may ask for newer keys
	d := signature.Diagnosis{
		Keys: v.latest(), Content: v.content, Untimestamped: v.untimestamped,
		Tolerance: v.tolerance, Now: v.now, Err: err,
	}
	return d.Explain(body, header)
}

// secrets are what must not appear in a log.
func (v *WebhookVerifier) secrets() []string {
	if v.source != nil {
		return v.source.Texts()
	}
	return v.keys.Texts()
}

// String names the verifier without its secrets.
func (v *WebhookVerifier) String() string {
	return fmt.Sprintf("ittybit.WebhookVerifier(%d secrets, tolerance %v)", v.latest().Len(), v.tolerance)
}

// GoString is String, so that %#v prints no secret either.
func (v *WebhookVerifier) GoString() string { return v.String() }

// Middleware gives a handler that calls next with verified requests only, their bodies readable
// again, for frameworks and for handlers of one's own. It refuses the others as [WebhookHandler]
// does: 400, 401, 408, 413 and 503, logged to [slog.Default]. It reads bodies of up to
// [WithMaxBodyBytes], within [DefaultReadTimeout] and [DefaultMaxBufferedBytes]. next must not use
// the body after it has returned.
//
// Where next panics or ends its goroutine and has written nothing, the status is set to 500: some
// adapters and middlewares respond with 200 otherwise. The panic goes on.
func (v *WebhookVerifier) Middleware(next http.Handler) http.Handler {
	bodies := bodyread.NewReader(v.maxBody, bodyread.NewBudget(DefaultMaxBufferedBytes))
	log := newDeliveryLog(nil, v.secrets)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		returned := false
		defer func() {
			if !returned {
				w.WriteHeader(http.StatusInternalServerError) // without effect, where there is a status
			}
		}()
		d := newDelivery(log, r)
		if body := d.readVerified(w, r, v, bodies, DefaultReadTimeout); body != nil {
			defer body.Release()
			bodyread.ServeReplayed(next, w, r, body.Bytes())
		} else {
			bodyread.Respond(w, d.StatusCode, d.retryAfter)
			d.Duration = time.Since(d.start)
			recoverPanic(func() { log.write(r.Context(), d) }) //nolint:contextcheck // it is the request's
			bodyread.LimitSending(w, r)
		}
		returned = true
	})
}

// SignWebhook makes the value of a [SignatureHeader] for body as of t, in the scheme described at
// [WebhookVerifier]. It is for tests and tools; Ittybit signs its deliveries itself.
func SignWebhook(secret string, t time.Time, body []byte) string {
	return signature.Sign([]byte(secret), t, body)
}

// VerifierOption sets up a [WebhookVerifier]. Every VerifierOption is a [WebhookOption] too.
type VerifierOption interface {
	WebhookOption
	applyVerifier(*verifierConfig) error
}

type verifierOption func(*verifierConfig) error

func (o verifierOption) applyVerifier(c *verifierConfig) error { return o(c) }
func (o verifierOption) applyWebhook(c *webhookConfig) error   { return o(&c.verifier) }

// WithSecrets accepts signatures made with any of these secrets too, so that a key can be rotated:
// deploy with the old and the new one, roll the key, then drop the old one.
func WithSecrets(more ...string) VerifierOption {
	return verifierOption(func(c *verifierConfig) error {
		for _, secret := range more {
			if err := checkTextSecret(secret); err != nil {
				return err
			}
			c.secrets = append(c.secrets, []byte(secret))
		}
		return nil
	})
}

// WithSecretBytes is [WithSecrets] for secrets that are not text, such as what the base64 after
// whsec_ stands for. They may begin or end with white space, and are copied.
func WithSecretBytes(more ...[]byte) VerifierOption {
	return verifierOption(func(c *verifierConfig) error {
		for _, secret := range more {
			if err := checkSecret(secret); err != nil {
				return err
			}
			c.secrets = append(c.secrets, bytes.Clone(secret))
		}
		return nil
	})
}

// WithSecretsFunc asks fn for the secrets, in place of fixed ones: the constructor's secret must be
// empty, and [WithSecrets] and [WithSecretBytes] must not be given. It is for keys that change
// while the process runs, such as those in a secret manager.
//
// fn is called when a delivery comes and the secrets are older than a minute, and after a mismatch
// if the last call began ten seconds ago or more; by one caller at a time, with a deadline of 30
// seconds. A delivery waits for it for two seconds at most. What fn gives replaces the secrets in
// use if it is at least one secret, and all of them are such as the constructor takes. Otherwise,
// and after an error, the last good ones stay in use, which is logged at Warn. While there are none
// at all, deliveries get a 503 and come again, and Verify gives [ErrNoSecrets].
func WithSecretsFunc(fn func(context.Context) ([]string, error)) VerifierOption {
	return verifierOption(func(c *verifierConfig) error {
		c.fetch = fn
		return paramErrorIf(fn == nil, "secrets func", "is nil")
	})
}

// WithTolerance sets how far a signature's timestamp may lie from now in either direction. It must
// be positive; the default is [DefaultTolerance].
func WithTolerance(d time.Duration) VerifierOption {
	return verifierOption(func(c *verifierConfig) error {
		c.tolerance = d
		return paramErrorIf(d <= 0, "tolerance", "must be positive")
	})
}

// WithClock replaces time.Now where a signature's age is measured.
func WithClock(now func() time.Time) VerifierOption {
	return verifierOption(func(c *verifierConfig) error {
		c.now = now
		return paramErrorIf(now == nil, "clock", "is nil")
	})
}

// WithMaxBodyBytes sets the largest body that [WebhookHandler] and [WebhookVerifier.Middleware]
// read, in bytes. It must be positive; the default is [DefaultMaxBodyBytes].
func WithMaxBodyBytes(n int64) VerifierOption {
	return verifierOption(func(c *verifierConfig) error {
		c.maxBody = n
		return paramErrorIf(n <= 0, "max body bytes", "must be positive")
	})
}

// WithSignedContent replaces the bytes that the signature is taken to cover: content writes them to
// mac. The timestamp is t as it was sent, or empty for an untimestamped signature. See
// [WebhookVerifier] for the default.
func WithSignedContent(content func(mac hash.Hash, timestamp string, body []byte)) VerifierOption {
	return verifierOption(func(c *verifierConfig) error {
		c.content = content
		return paramErrorIf(content == nil, "signed content", "is nil")
	})
}

// WithUntimestampedSignatures also accepts a header that is nothing but the hex of
// HMAC-SHA256(body), as one of Ittybit's 2026 guides shows it. Such a signature never ages, so
// whoever has seen one delivery can repeat it for ever: use it with a durable [Deduplicator] only.
func WithUntimestampedSignatures() VerifierOption {
	return verifierOption(func(c *verifierConfig) error { c.untimestamped = true; return nil })
}

func paramErrorIf(wrong bool, param, reason string) error {
	if wrong {
		return &ParamError{Param: param, Reason: reason}
	}
	return nil
}

type verifierConfig struct {
	secret        string // of the constructor
	secrets       [][]byte
	fetch         func(context.Context) ([]string, error)
	logger        *slog.Logger // nil: the default one
	tolerance     time.Duration
	now           func() time.Time
	content       signature.Content
	untimestamped bool
	maxBody       int64
}

func newVerifierConfig(secret string) verifierConfig {
	return verifierConfig{secret: secret, tolerance: DefaultTolerance, now: time.Now, maxBody: DefaultMaxBodyBytes}
}

func (c *verifierConfig) build() (*WebhookVerifier, error) {
	v := &WebhookVerifier{
		tolerance: c.tolerance, now: c.now, content: c.content, untimestamped: c.untimestamped, maxBody: c.maxBody,
	}
	switch {
	case c.fetch != nil && (c.secret != "" || len(c.secrets) > 0):
		return nil, &ParamError{Param: "secrets func", Reason: "and fixed secrets are mutually exclusive: give the constructor an empty secret"}
	case c.fetch != nil:
		logger := c.logger // c is cleared once the verifier is built
		v.source = signature.NewSource(checkedSecrets(c.fetch), func(err error) {
			recoverPanic(func() { v.logUnusable(logger, err) })
		})
		return v, nil
	case c.secret == "":
		return nil, missingAPIKey()
	}
	if err := checkTextSecret(c.secret); err != nil {
		return nil, err
	}
	v.keys = signature.NewKeys(append([][]byte{[]byte(c.secret)}, c.secrets...))
	return v, nil
}

// checkedSecrets is fetch, held to what the constructor takes.
func checkedSecrets(fetch func(context.Context) ([]string, error)) func(context.Context) ([][]byte, error) {
	return func(ctx context.Context) ([][]byte, error) {
		texts, err := fetch(ctx)
		if err != nil {
			return nil, err
		}
		var checked verifierConfig
		if err := WithSecrets(texts...).applyVerifier(&checked); err != nil {
			return nil, err
		}
		if len(checked.secrets) == 0 {
			return nil, errors.New("the function returned no secrets")
		}
		return checked.secrets, nil
	}
}

// logUnusable logs why a call of the function of WithSecretsFunc changed nothing.
func (v *WebhookVerifier) logUnusable(logger *slog.Logger, err error) {
	message, level := "ittybit: no new webhook secrets; the last good ones stay in use", slog.LevelWarn
	if v.source.Latest() == nil {
		message, level = "ittybit: there are no webhook secrets; deliveries get a 503 and come again", slog.LevelError
	}
	reason := slog.String("error", redact.Text(err.Error(), v.secrets()...))
	loggerOrDefault(logger).Log(context.Background(), level, message, reason) //nolint:sloglint // one of the two above
}

// checkTextSecret refuses a secret that is text and was probably not meant as it is.
func checkTextSecret(secret string) error {
	if strings.TrimSpace(secret) != secret {
		return &ParamError{Param: "secret", Reason: "has white space around it; was it read from a file with a newline at its end? " +
			"(WithSecretBytes takes any bytes)"}
	}
	return checkSecret([]byte(secret))
}

// fipsReason is what is wrong with a key that crypto/hmac would panic for.
const fipsReason = "is shorter than 14 bytes, which FIPS 140-3 mode (GODEBUG=fips140=only) refuses"

func checkSecret(secret []byte) error {
	switch {
	case len(secret) == 0:
		return &ParamError{Param: "secret", Reason: "is empty; an empty secret would accept anybody's webhooks"}
	case !signature.KeyAllowed(len(secret)):
		return &ParamError{Param: "secret", Reason: fipsReason}
	}
	return nil
}

// SignatureExpiredError is an authentic signature whose timestamp lies too far from now. It matches
// [ErrSignatureExpired].
type SignatureExpiredError struct {
	Timestamp time.Time     // when the delivery was signed
	Age       time.Duration // how long ago that was; negative if it lies in the future
	Tolerance time.Duration // what was allowed in either direction
}

func (e *SignatureExpiredError) Error() string {
	if e.Age < 0 {
		return fmt.Sprintf("%v: signed %v in the future, allowed %v (check this machine's clock)", ErrSignatureExpired, e.Age.Abs(), e.Tolerance)
	}
	return fmt.Sprintf("%v: signed %v ago, allowed %v (with a durable deduplicator, WithTolerance may be days)", ErrSignatureExpired, e.Age, e.Tolerance)
}

// Is reports that e is an [ErrSignatureExpired].
func (e *SignatureExpiredError) Is(target error) bool { return target == ErrSignatureExpired }
