package ittybit

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/ittybit/ittybit-go/internal/logsum"
	"github.com/ittybit/ittybit-go/internal/redact"
	"github.com/ittybit/ittybit-go/internal/signature"
)

// Delivery describes one request to a [WebhookHandler], or one event that [Reconcile] has
// handed on, for [WithObserver].
type Delivery struct {
	Outcome    Outcome
	StatusCode int           // of the response; 0 of Reconcile
	Duration   time.Duration // from the request's start to its response; of Reconcile, what the handler took
	BodyBytes  int           // 0 where the body was not read whole
	Signed     time.Time     // when it was signed, by the sender's clock; zero unless that is authentic
	InFlight   int           // other verified deliveries that were being handled when this one was done
	Event      *Event        // nil unless the delivery was verified and could be read
	Err        error         // why it was not handled; nil where it was

	// RemoteAddr is the other end of the connection, as [http.Request] has it: often a proxy, or
	// what a middleware has put there from a header. It is cut to 200 bytes.
	RemoteAddr string
	// ForwardedFor is the X-Forwarded-For header, cut to 200 bytes. Whatever no proxy of yours has
	// written there, the sender has claimed.
	ForwardedFor string
}

// ObserverOption is what [WithObserver] gives: an option for webhook handlers and for [Reconcile].
type ObserverOption interface {
	WebhookOption
	ReconcileOption
}

type observerOption func(context.Context, Delivery)

func (o observerOption) check() error { return paramErrorIf(o == nil, "observer", "is nil") }

func (o observerOption) applyWebhook(c *webhookConfig) error     { c.observer = o; return o.check() }
func (o observerOption) applyReconcile(c *reconcileConfig) error { c.observer = o; return o.check() }

// WithObserver calls fn for each delivery, for metrics, in the request's goroutine and with its
// context. The response is decided by then, and sent when fn has returned: fn must be quick.
// [Reconcile] calls it after each event that it has handed on, with no StatusCode. A panic in fn
// is logged and goes no further.
func WithObserver(fn func(context.Context, Delivery)) ObserverOption { return observerOption(fn) }

// observe calls the observer, where there is one, and logs its panic.
func observe(ctx context.Context, observer func(context.Context, Delivery), d Delivery, logger *slog.Logger, redacted func(string) string) {
	if observer == nil {
		return
	}
	reason, stack := recoverPanic(func() { observer(ctx, d) })
	if reason == nil {
		return
	}
	recoverPanic(func() {
		loggerOrDefault(logger).LogAttrs(ctx, slog.LevelError, "ittybit: the observer panicked",
			slog.String("error", redacted(fmt.Sprint(reason))), slog.String("stack", redacted(stack)))
	})
}

func recoverPanic(fn func()) (reason any, stack string) {
	defer func() {
		if reason = recover(); reason != nil {
			stack = string(debug.Stack())
		}
	}()
	fn()
	return nil, ""
}

func loggerOrDefault(logger *slog.Logger) *slog.Logger {
	if logger == nil {
		return slog.Default()
	}
	return logger
}

// deliveryLog writes the log of a receiver: a line for each delivery, but of those that nobody has
// signed a few and then sums, so that strangers cannot fill it.
type deliveryLog struct {
	logger   *slog.Logger // nil: the default one as it is at each line, from level Warn on
	secrets  func() []string
	unsigned *logsum.Limiter[Outcome, refusal]
	fields   decodeLog // of events
}

// refusal is a delivery that nobody has signed, and what may help its sender.
type refusal struct {
	Delivery
	level slog.Level
	hint  string
}

func newDeliveryLog(logger *slog.Logger, secrets func() []string) *deliveryLog {
	l := &deliveryLog{logger: logger, secrets: secrets, fields: decodeLog{logger: logger}}
	l.unsigned = logsum.New[Outcome](func(last refusal, count int) {
		recoverPanic(func() { l.writeSum(&last, count) }) // a test's log panics once the test is over
	})
	return l
}

func (l *deliveryLog) enabled(ctx context.Context, level slog.Level) (enabled bool) {
	if l.logger == nil && level < slog.LevelWarn {
		return false
	}
	recoverPanic(func() { enabled = loggerOrDefault(l.logger).Enabled(ctx, level) })
	return enabled
}

func (l *deliveryLog) redacted(text string) string { return redact.Text(text, l.secrets()...) }

// admit gives the number of refusals that the line of this one stands for: 0, where it has none.
func (l *deliveryLog) admit(ctx context.Context, d *delivery) int {
	if !l.enabled(ctx, d.level) {
		return 0
	}
	return l.unsigned.Admit(d.Outcome, refusal{d.Delivery, d.level, d.hint})
}

// write writes the line of a delivery, at Debug with the payload, or with the explanation of a
// signature that was refused.
func (l *deliveryLog) write(ctx context.Context, d *delivery) {
	level, hint := d.level, d.hint
	if d.Event != nil {
		l.fields.report(ctx, &d.Event.decoded)
	}
	switch {
	case d.StatusCode == http.StatusOK && d.Duration > senderTimeout:
		level, hint = max(level, slog.LevelWarn), hintLate
	case d.Outcome == OutcomeIgnored && lacksObject(d.Event):
		level, hint = slog.LevelWarn, hintUnknown // it does not come again, and somebody may have wanted it
	}
	if d.lines == 0 || !l.enabled(ctx, level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("outcome", string(d.Outcome)),
		slog.Int("status", d.StatusCode),
		slog.Duration("duration", d.Duration),
		slog.Int("body_bytes", d.BodyBytes),
	}
	if e := d.Event; e != nil {
		attrs = append(attrs, slog.String("event", l.redacted(string(e.Type))), slog.String("key", l.redacted(e.Key())))
	}
	if !d.verified {
		attrs = l.appendSender(attrs, &d.Delivery)
	} else if d.payload != nil && l.enabled(ctx, slog.LevelDebug) {
		attrs = append(attrs, slog.String("payload", string(redact.Bytes(d.payload, l.secrets()...))))
	}
	if expired := (*SignatureExpiredError)(nil); d.Outcome == OutcomeSignatureExpired && errors.As(d.Err, &expired) {
		attrs = append(attrs, slog.Duration("age", expired.Age))
	}
	attrs = l.appendReason(attrs, d.Err, hint, d.lines)
	attrs = appendText(attrs, "stack", string(d.stack), l.redacted)
	attrs = appendText(attrs, "explanation", d.explanation, l.redacted)
	loggerOrDefault(l.logger).LogAttrs(ctx, level, "ittybit: webhook", attrs...)
}

// writeSum writes one line for several refusals, with what is known of the last.
func (l *deliveryLog) writeSum(last *refusal, count int) {
	attrs := []slog.Attr{slog.String("outcome", string(last.Outcome)), slog.Int("status", last.StatusCode)}
	attrs = l.appendReason(l.appendSender(attrs, &last.Delivery), last.Err, last.hint, count)
	loggerOrDefault(l.logger).LogAttrs(context.Background(), last.level, "ittybit: webhook", attrs...)
}

func (l *deliveryLog) appendSender(attrs []slog.Attr, d *Delivery) []slog.Attr {
	attrs = append(attrs, slog.String("remote_addr", l.redacted(d.RemoteAddr)))
	return appendText(attrs, "forwarded_for", d.ForwardedFor, l.redacted)
}

func (l *deliveryLog) appendReason(attrs []slog.Attr, err error, hint string, count int) []slog.Attr {
	attrs = appendError(attrs, err, l.redacted)
	attrs = appendText(attrs, "hint", hint, l.redacted)
	if count > 1 {
		attrs = append(attrs, slog.Int("count", count))
	}
	return attrs
}

func appendText(attrs []slog.Attr, name, text string, redacted func(string) string) []slog.Attr {
	if text == "" {
		return attrs
	}
	return append(attrs, slog.String(name, redacted(text)))
}

func appendError(attrs []slog.Attr, err error, redacted func(string) string) []slog.Attr {
	if err == nil {
		return attrs
	}
	return append(attrs, slog.String("error", redacted(fmt.Sprint(err)))) // fmt bears one that panics
}

// lacksObject reports whether the payload of e does not have the object that its type is about, or
// has a form that is not known.
func lacksObject(e *Event) bool {
	switch about, _, _ := strings.Cut(string(e.Type), "."); about {
	case "task":
		return e.Task == nil
	case "media":
		return e.Media == nil
	case "job":
		return e.Job == nil
	}
	return e.Type == EventUnknown
}

// Hints that do not go with an outcome.
const (
	hintLate = "the response came later than the 5s that Ittybit waits, so it delivers again: " +
		"wrap the handler in ittybit.Deduplicate, and hand long work to a queue"
	hintUnknown = "this version does not know the payload's form; EventMux.OnUnhandled takes such events"
)

// signatureHint says what is cheap to see of a signature that was refused, and common.
func signatureHint(err error, body []byte, header http.Header) string {
	value := strings.TrimSpace(signature.Join(header))
	encoding := header.Get("Content-Encoding")
	switch {
	case errors.Is(err, ErrSignatureExpired), errors.Is(err, ErrNoSecrets): // not the sender's mistake
		return ""
	case len(body) == 0:
		return "the body is empty: if a middleware has read it, mount the webhook handler in front of that middleware"
	case encoding != "" && !strings.EqualFold(encoding, "identity"):
		return "Content-Encoding is set: the bytes that Ittybit sent are signed, so nothing on the way may compress or decompress them"
	case isBase64JSON(body):
		return "the body is base64: decode it in front of the webhook handler, as AWS Lambda's isBase64Encoded asks for"
	case strings.HasPrefix(value, `"`), strings.HasPrefix(value, "'"):
		return "the header's value is in quotes: whatever sends or forwards it must leave them out"
	case strings.HasPrefix(value, "sha"), strings.HasPrefix(value, "v1,"):
		return "the header has the form of another service's scheme, want t=<timestamp>,v1=<signature>; ittybit.SignWebhook makes one"
	case errors.Is(err, ErrSignatureMismatch):
		return "the key is wrong, or the body was changed on its way: a log at level Debug says more, and so does WebhookVerifier.Explain"
	case errors.Is(err, ErrSignatureMalformed):
		return "want t=<timestamp>,v1=<signature>"
	}
	for _, other := range []string{"X-Hub-Signature-256", "Stripe-Signature", "Webhook-Signature", "Svix-Signature"} {
		if header.Get(other) != "" {
			return "the request has a " + other + " header: it is another service's webhook"
		}
	}
	return "Ittybit signs every webhook: if this is one, something on the way has removed the " + SignatureHeader + " header"
}

func isBase64JSON(body []byte) bool {
	start := bytes.TrimSpace(body[:min(len(body), 64)])
	decoded, err := base64.StdEncoding.DecodeString(string(start[:len(start)/4*4]))
	return err == nil && bytes.HasPrefix(decoded, []byte("{"))
}

// maxClaim is how much is repeated of what a stranger claims, in bytes.
const maxClaim = 200

func cutClaim(text string) string {
	if len(text) <= maxClaim {
		return text
	}
	end := maxClaim
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end]
}

func forwardedFor(header http.Header) string {
	lines := header["X-Forwarded-For"]
	if len(lines) == 1 { // as a rule, and without an allocation
		return cutClaim(lines[0])
	}
	return cutClaim(strings.Join(lines, ", "))
}

// notify writes the log line of an event that [Reconcile] has handed on, and calls the observer.
// What was handled before is of interest only at Debug.
func (r *reconciliation) notify(ctx context.Context, d Delivery, stack []byte) {
	_, level, _ := d.Outcome.about()
	if d.Outcome == OutcomeDuplicate || d.Outcome == OutcomeIgnored {
		level = slog.LevelDebug
	}
	attrs := []slog.Attr{
		slog.String("outcome", string(d.Outcome)), slog.Duration("duration", d.Duration),
		slog.String("event", r.redacted(string(d.Event.Type))), slog.String("key", r.redacted(d.Event.Key())),
	}
	attrs = appendError(attrs, d.Err, r.redacted)
	attrs = appendText(attrs, "stack", string(stack), r.redacted)
	r.log(ctx, level, "ittybit: reconciled", attrs...)
	observe(ctx, r.cfg.observer, d, r.cfg.logger, r.redacted)
}

func (r *reconciliation) logReport(ctx context.Context, err error) {
	level := slog.LevelInfo
	if err != nil || r.report.Failed > 0 {
		level = slog.LevelWarn
	}
	attrs := []slog.Attr{
		slog.Int("handled", r.report.Handled), slog.Int("duplicates", r.report.Duplicates),
		slog.Int("ignored", r.report.Ignored), slog.Int("discarded", r.report.Discarded), slog.Int("failed", r.report.Failed),
		slog.Int("unfinished", r.report.Unfinished), slog.Int("gone", r.report.Gone), slog.Int("unknown", r.report.Unknown),
	}
	attrs = appendError(attrs, err, r.redacted)
	r.log(ctx, level, "ittybit: reconciliation", attrs...)
}

func (r *reconciliation) log(ctx context.Context, level slog.Level, message string, attrs ...slog.Attr) {
	if logger := r.cfg.logger; logger != nil {
		recoverPanic(func() { logger.LogAttrs(ctx, level, message, attrs...) }) //nolint:sloglint // each caller's is constant
	}
}

func (r *reconciliation) redacted(text string) string { return r.client.pipeline.Redacted(text) }
