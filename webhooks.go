package ittybit

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/ittybit/ittybit-go/internal/bodyread"
	"github.com/ittybit/ittybit-go/internal/signature"
)

// Defaults of a [WebhookHandler].
const (
	// DefaultReadTimeout is how long a body may take to arrive.
	DefaultReadTimeout = 5 * time.Second
	// DefaultProcessingTimeout is the deadline of the handler's context. Ittybit waits
	// 5 seconds for the response, says its webhooks documentation.
	DefaultProcessingTimeout = 4 * time.Second
	// DefaultMaxBufferedBytes is how much all bodies together may hold.
	DefaultMaxBufferedBytes = 64 << 20
	// DefaultMaxInFlight is how many verified deliveries are handled at once.
	DefaultMaxInFlight = 1000
	// senderTimeout is how long Ittybit waits for a response, says its webhooks documentation.
	senderTimeout = 5 * time.Second
	// retryAfterBusy is what a sender is asked to wait where nobody named a time.
	retryAfterBusy = time.Second
)

// WebhookHandler receives Ittybit's webhooks: an [http.Handler] that verifies the signature, reads
// the event, calls an [EventHandler] and responds. Make one with [NewWebhookHandler].
//
// The response is 200 for an event that must not come again: handled, handled before, without a
// handler, or ended by [Discard]. With any other Ittybit delivers again; each [Outcome] says its
// status, and a 503 has Retry-After. A 200 has no body; that of any other response is the status'
// standard text, and never repeats anything of the request, nor of an error.
//
// The EventHandler runs in the request's goroutine, so that [http.Server.Shutdown] waits for it;
// over HTTP/2, not where the sender has hung up, to whom nothing was acknowledged. Its context has
// a deadline, counted from the request's start, and does not end when the sender hangs up: work
// that is nearly done is finished. A success that comes late is a success. Mind that Ittybit
// delivers again where a response takes longer than 5 seconds: wrap handlers in [Deduplicate].
//
// No failure is silent. Without [WithLogger], lines of level Warn and Error go to [slog.Default],
// as it is then: panics with their stack, errors of the handler, refusals, responses that came too
// late. Of each kind of refusal that nobody has signed, five lines are written as they come, then
// one a second at most, whose count says how many refusals it stands for. A hint says what to do.
type WebhookHandler struct {
	verifier *WebhookVerifier
	next     EventHandler
	cfg      webhookConfig
	bodies   *bodyread.Reader
	log      *deliveryLog
	inFlight atomic.Int64
}

type webhookConfig struct {
	verifier          verifierConfig
	readTimeout       time.Duration
	processingTimeout time.Duration
	maxInFlight       int64
	maxBuffered       int64
	logger            *slog.Logger
	observer          func(context.Context, Delivery)
}

// WebhookOption sets up a [WebhookHandler].
type WebhookOption interface {
	applyWebhook(*webhookConfig) error
}

type webhookOption func(*webhookConfig) error

func (o webhookOption) applyWebhook(c *webhookConfig) error { return o(c) }

func positive[T int | int64 | time.Duration](name string, value T, set func(*webhookConfig)) WebhookOption {
	return webhookOption(func(c *webhookConfig) error {
		set(c)
		return paramErrorIf(value <= 0, name, "must be positive")
	})
}

// WithReadTimeout sets how long a body may take to arrive, whatever timeouts the
// server has; a server's own shorter ReadTimeout stays in force. It must be positive;
// the default is [DefaultReadTimeout]. Where the ResponseWriter cannot set a read deadline
// (that of [http.TimeoutHandler], of a middleware without an Unwrap method, of adapters for other
// servers), the time is only checked between two reads: the server's ReadTimeout must cut a sender
// that stalls.
func WithReadTimeout(d time.Duration) WebhookOption {
	return positive("read timeout", d, func(c *webhookConfig) { c.readTimeout = d })
}

// WithProcessingTimeout sets the deadline of the handler's context, counted from the
// request's start. It must be positive; the default is [DefaultProcessingTimeout]. Where the
// request's own context has a deadline that comes sooner, such as that of a Lambda invocation, the
// handler's lies before it by a tenth of the time that is left at the start, at most 500 ms.
func WithProcessingTimeout(d time.Duration) WebhookOption {
	return positive("processing timeout", d, func(c *webhookConfig) { c.processingTimeout = d })
}

// WithMaxInFlight sets how many verified deliveries are handled at once; one more gets a 503.
// It must be positive; the default is [DefaultMaxInFlight]. Unsigned requests don't count.
func WithMaxInFlight(n int) WebhookOption {
	return positive("max in flight", n, func(c *webhookConfig) { c.maxInFlight = int64(n) })
}

// WithMaxBufferedBytes sets how many bytes the bodies may hold that are being read or
// handled; a request that needs more gets a 503. A body of more than 64 KiB counts at least
// twice, and a smaller one up to three times while it is read. The last quarter is kept for the
// smaller ones: below 2.7 times [WithMaxBodyBytes], bodies of the largest size are never read. It
// must be positive; the default is [DefaultMaxBufferedBytes].
func WithMaxBufferedBytes(n int64) WebhookOption {
	return positive("max buffered bytes", n, func(c *webhookConfig) { c.maxBuffered = n })
}

// NewWebhookHandler makes a handler for deliveries signed with secret, which is the project's API
// key, or the secret of a webhook endpoint where Ittybit gave one. A secret that is empty or has
// white space around it, a nil next and an option that makes no sense are a [*ParamError].
func NewWebhookHandler(secret string, next EventHandler, opts ...WebhookOption) (*WebhookHandler, error) {
	if next == nil {
		return nil, &ParamError{Param: "next", Reason: "is nil"}
	}
	cfg := webhookConfig{
		verifier:          newVerifierConfig(secret),
		readTimeout:       DefaultReadTimeout,
		processingTimeout: DefaultProcessingTimeout,
		maxInFlight:       DefaultMaxInFlight,
		maxBuffered:       DefaultMaxBufferedBytes,
	}
	if err := applyOptions(opts, func(o WebhookOption) error { return o.applyWebhook(&cfg) }); err != nil {
		return nil, err
	}
	cfg.verifier.logger = cfg.logger
	verifier, err := cfg.verifier.build()
	if err != nil {
		return nil, err
	}
	cfg.verifier = verifierConfig{} // the secrets are kept in one place
	return &WebhookHandler{
		verifier: verifier, next: next, cfg: cfg,
		bodies: bodyread.NewReader(verifier.maxBody, bodyread.NewBudget(cfg.maxBuffered)),
		log:    newDeliveryLog(cfg.logger, verifier.secrets),
	}, nil
}

// String names the handler without its secrets.
func (h *WebhookHandler) String() string {
	return "ittybit.WebhookHandler(" + h.verifier.String() + ")"
}

// GoString is String, so that %#v prints no secret either.
func (h *WebhookHandler) GoString() string { return h.String() }

// ServeHTTP implements [http.Handler].
func (h *WebhookHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d := newDelivery(h.log, r)
	d.setResult(OutcomeAborted, errAborted)
	defer h.finish(w, r, d) // also where the EventHandler ends the goroutine
	h.receive(w, r, d)
	d.returned = true
}

// finish responds, logs and calls the observer, however the delivery ended. It is deferred.
func (h *WebhookHandler) finish(w http.ResponseWriter, r *http.Request, d *delivery) {
	if reason := recover(); reason != nil { //nolint:revive // finish is the deferred function
		d.returned, d.stack = true, debug.Stack()
		err := &panicError{"the request's body or WithSignedContent", reason}
		d.refuse(r.Context(), OutcomePanicked, err, "")
		bodyread.CloseAfterReply(w, r) // of which the rest may be unread
	}
	if !d.returned && r.ProtoMajor == 1 {
		w.Header().Set("Connection", "close") // as net/http does in any case
	}
	// The status comes first: some adapters respond with 200 where none is set, whatever happens
	// next.
	bodyread.Respond(w, d.StatusCode, d.retryAfter)
	ending := true
	defer func() { // last, because nobody knows what a writer does when it is flushed
		bodyread.LimitSending(w, r)
		if ending { // net/http sends the response only so; otherwise a flush splits it, or panics in some writers
			recoverPanic(func() { bodyread.SendNow(w) })
		}
	}()
	d.Duration = time.Since(d.start)
	h.notify(r.Context(), d)
	ending = !d.returned // an observer may end the goroutine too
}

// receive takes the request as far as it goes: method, body, signature, event, handler.
func (h *WebhookHandler) receive(w http.ResponseWriter, r *http.Request, d *delivery) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		bodyread.CloseAfterReply(w, r)
		d.refuse(r.Context(), OutcomeMethodNotAllowed, errNotPost, "")
		return
	}
	body := d.readVerified(w, r, h.verifier, h.bodies, h.cfg.readTimeout)
	if body == nil {
		return
	}
	defer body.Release()
	defer func() { d.InFlight = int(h.inFlight.Add(-1)) }()
	if h.inFlight.Add(1) > h.cfg.maxInFlight {
		d.setResult(OutcomeOverloaded, errOverloaded)
		return
	}
	d.payload = body.Detach()
	event, err := parseEvent(d.payload)
	switch {
	case errors.Is(err, ErrUnroutableEvent):
		d.setResult(OutcomeUnroutableEvent, err)
		return
	case err != nil:
		d.setResult(OutcomeMalformedEvent, err)
		return
	}
	d.Event = event
	h.handle(r.Context(), d)
}

var (
	errNotPost    = errors.New("ittybit: webhooks are POST requests")
	errOverloaded = errors.New("ittybit: too many deliveries are being handled at once")
	errAborted    = errors.New("ittybit: the event handler ended its goroutine")
)

func (h *WebhookHandler) handle(parent context.Context, d *delivery) {
	ctx, cancel := context.WithDeadline(context.WithoutCancel(parent), deadline(parent, d.start, h.cfg.processingTimeout))
	defer cancel()
	run := eventRun{outcome: OutcomeAborted}
	defer func() { d.applyRun(&run, ctx.Err() != nil) }()
	run.call(ctx, h.next, d.Event)
}

// maxResponseMargin is the most that is kept of the time that a request has, to respond in.
const maxResponseMargin = 500 * time.Millisecond

// deadline gives the handler's: after the processing timeout, or, where that is sooner, a little
// before the request itself is over, such as an invocation of AWS Lambda.
func deadline(parent context.Context, start time.Time, timeout time.Duration) time.Time {
	own := start.Add(timeout)
	end, ok := parent.Deadline()
	if !ok {
		return own
	}
	end = end.Add(-min(end.Sub(start)/10, maxResponseMargin))
	if own.Before(end) {
		return own
	}
	return end
}

// notify writes the log line and calls the observer. Neither affects the response, nor whether the
// other one gets its turn.
func (h *WebhookHandler) notify(ctx context.Context, d *delivery) {
	recoverPanic(func() { h.log.write(ctx, d) })
	observe(ctx, h.cfg.observer, d.Delivery, h.cfg.logger, h.log.redacted)
}

// delivery is one request on its way through a receiver.
type delivery struct {
	Delivery
	log         *deliveryLog
	start       time.Time
	retryAfter  time.Duration
	verified    bool
	payload     []byte // of a verified one
	level       slog.Level
	hint        string // what to do
	explanation string // of a signature that was refused
	stack       []byte // of a panic
	lines       int    // how many deliveries its log line stands for; 0: it has none
	returned    bool   // false while the goroutine may be about to end
}

func newDelivery(log *deliveryLog, r *http.Request) *delivery {
	d := &delivery{log: log, start: time.Now(), lines: 1}
	d.RemoteAddr, d.ForwardedFor = cutClaim(r.RemoteAddr), forwardedFor(r.Header)
	return d
}

func (d *delivery) setResult(outcome Outcome, err error) {
	d.Outcome, d.Err = outcome, err
	d.StatusCode, d.level, d.hint = outcome.about()
	if d.StatusCode == http.StatusServiceUnavailable && d.retryAfter == 0 {
		d.retryAfter = retryAfterBusy
	}
}

// refuse sets the result of a delivery that nobody has signed, of which not each has a log line. An
// empty hint is the outcome's own.
func (d *delivery) refuse(ctx context.Context, outcome Outcome, err error, hint string) {
	d.setResult(outcome, err)
	d.hint = cmp.Or(hint, d.hint)
	d.lines = d.log.admit(ctx, d)
}

// readVerified gives the body, if it arrives within the limits and was signed. Otherwise it gives
// nil, and the result is set.
func (d *delivery) readVerified(w http.ResponseWriter, r *http.Request, v *WebhookVerifier, bodies *bodyread.Reader, timeout time.Duration) *bodyread.Body {
	body, err := bodies.ReadRequest(w, r, d.start, timeout)
	if err != nil {
		d.refuse(r.Context(), outcomeOfRefusal(err, OutcomeBodyUnreadable), err, "")
		return nil
	}
	defer func() {
		if !d.verified { // nor where WithSignedContent panics
			body.Release()
		}
	}()
	d.BodyBytes = len(body.Bytes())
	if d.Signed, err = v.verify(r.Context(), body.Bytes(), signature.Join(r.Header)); err != nil {
		hint := signatureHint(err, body.Bytes(), r.Header)
		d.refuse(r.Context(), outcomeOfRefusal(err, OutcomeSignatureMalformed), err, hint)
		if d.StatusCode == http.StatusUnauthorized && d.lines > 0 && d.log.enabled(r.Context(), slog.LevelDebug) {
			recoverPanic(func() { //nolint:contextcheck // Explain has none
				d.explanation = v.Explain(body.Bytes(), signature.Join(r.Header))
			})
		}
		return nil
	}
	d.verified = true
	return body
}

func (d *delivery) applyRun(run *eventRun, late bool) {
	d.stack, d.retryAfter = run.stack, run.retryAfter
	switch {
	case run.outcome == OutcomeAborted: // the result is set
	case run.outcome == OutcomeFailed && late:
		d.setResult(OutcomeTimedOut, run.err)
	default:
		d.setResult(run.outcome, run.err)
	}
}

func outcomeOfRefusal(err error, otherwise Outcome) Outcome {
	for _, known := range []struct {
		err     error
		outcome Outcome
	}{
		{bodyread.ErrTooLarge, OutcomeBodyTooLarge},
		{bodyread.ErrOverBudget, OutcomeOverBudget},
		{bodyread.ErrTooSlow, OutcomeBodyTimeout},
		{ErrNoSecrets, OutcomeNoSecrets},
		{ErrSignatureMissing, OutcomeSignatureMissing},
		{ErrSignatureMismatch, OutcomeSignatureMismatch},
		{ErrSignatureExpired, OutcomeSignatureExpired},
	} {
		if errors.Is(err, known.err) {
			return known.outcome
		}
	}
	return otherwise
}
