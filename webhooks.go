package ittybit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"runtime/debug"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/ittybit/ittybit-go/internal/bodyread"
	"github.com/ittybit/ittybit-go/internal/redact"
	"github.com/ittybit/ittybit-go/internal/signature"
)

// Defaults of a [WebhookHandler].
const (
	// DefaultReadTimeout is how long a body may take to arrive.
	DefaultReadTimeout = 5 * time.Second
	// DefaultProcessingTimeout is the deadline of the handler's context. Ittybit waits
	// 5 seconds for the answer, says its webhooks documentation.
	DefaultProcessingTimeout = 4 * time.Second
	// DefaultMaxBufferedBytes is how much all bodies together may hold.
	DefaultMaxBufferedBytes = 64 << 20
	// DefaultMaxInFlight is how many verified deliveries are handled at once.
	DefaultMaxInFlight = 1000
	// answerTimeout is how long a sender may take to accept its answer.
	answerTimeout = 5 * time.Second
	// retryAfterBusy is what a sender is asked to wait where nobody named a time.
	retryAfterBusy = time.Second
)

// Delivery describes one request to a [WebhookHandler], or one event that [Reconcile] has
// handed on, for [WithObserver].
type Delivery struct {
	Outcome    Outcome
	StatusCode int           // of the answer; 0 of Reconcile
	Duration   time.Duration // from the request's start to its answer; of Reconcile, what the handler took
	BodyBytes  int           // 0 where the body was not read whole
	Signed     time.Time     // when it was signed, by the sender's clock; zero unless that is authentic
	InFlight   int           // other verified deliveries that were being handled when this one was done
	Event      *Event        // nil unless the delivery was verified and could be read
	Err        error         // why it is not handled; nil where it is
}

// WebhookHandler receives Ittybit's webhooks: an [http.Handler] that verifies the
// signature, reads the event, calls an [EventHandler] and answers. Make one with
// [NewWebhookHandler].
//
// It answers 200 for what is dealt with: handled, handled before, without a handler, or
// ended by [Discard]. Anything else makes Ittybit deliver again: 500 after an error or
// a panic, 503 with Retry-After after [RetryLater], after the handler's deadline, and
// when too much is going on at once. It refuses other methods than POST (405), bodies
// that are too large (413), too slow (408) or broken off (400), deliveries that are not
// signed as [WebhookVerifier] wants it (401), and signed bodies that are no JSON object (400).
// A 200 has no body; that of any other answer is the status' standard text, and never repeats
// anything of the request, nor of an error.
//
// The EventHandler runs in the request's goroutine, so that [http.Server.Shutdown]
// waits for it; over HTTP/2, not where the sender has hung up, to whom nothing was
// acknowledged. Its context has a deadline, counted from the request's start, and does
// not end when the sender hangs up: work that is nearly done is finished. A success
// that comes late is a success. Mind that an answer after 5 seconds comes too late for
// Ittybit, which will deliver again: wrap handlers in [Deduplicate].
type WebhookHandler struct {
	verifier *WebhookVerifier
	next     EventHandler
	cfg      webhookConfig
	bodies   *bodyIntake
	inFlight atomic.Int64
}

// webhookConfig is what the WebhookOptions write to.
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
		if value <= 0 {
			return &ParamError{Param: name, Reason: "must be positive"}
		}
		set(c)
		return nil
	})
}

// WithReadTimeout sets how long a body may take to arrive, whatever timeouts the
// server has; a server's own shorter ReadTimeout stays in force. It must be positive;
// the default is [DefaultReadTimeout]. Where a ResponseWriter wrapped by a middleware
// has no Unwrap method, it is looked at only between two reads.
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

// WithMaxInFlight sets how many verified deliveries are handled at once; one more is
// answered 503. It must be positive; the default is [DefaultMaxInFlight]. Unsigned
// requests don't count.
func WithMaxInFlight(n int) WebhookOption {
	return positive("max in flight", n, func(c *webhookConfig) { c.maxInFlight = int64(n) })
}

// WithMaxBufferedBytes sets how many bytes the bodies may hold that are being read or
// handled; a request that needs more is answered 503. A body of more than 64 KiB counts
// twice its size, for Go lets as much garbage lie; where its length is not given up to four
// times, but never more than twice [WithMaxBodyBytes]. A smaller one counts at least 2 KiB, and
// up to three times its size while it is read. The last quarter is kept for the smaller ones:
// below 2.7 times WithMaxBodyBytes, bodies of the largest size are never read. It must be
// positive; the default is [DefaultMaxBufferedBytes].
func WithMaxBufferedBytes(n int64) WebhookOption {
	return positive("max buffered bytes", n, func(c *webhookConfig) { c.maxBuffered = n })
}

// ObserverOption is what [WithObserver] gives: an option for webhook handlers and for
// [Reconcile].
type ObserverOption interface {
	WebhookOption
	ReconcileOption
}

type observerOption func(context.Context, Delivery)

func (o observerOption) check() error {
	if o == nil {
		return &ParamError{Param: "observer", Reason: "is nil"}
	}
	return nil
}

func (o observerOption) applyWebhook(c *webhookConfig) error     { c.observer = o; return o.check() }
func (o observerOption) applyReconcile(c *reconcileConfig) error { c.observer = o; return o.check() }

// WithObserver calls fn for each delivery, for metrics, in the request's goroutine and with its
// context. The answer is settled by then, and sent when fn has returned: fn must be quick.
// [Reconcile] calls it after each event that it has handed on, with no StatusCode. A panic in fn
// is logged and goes no further.
func WithObserver(fn func(context.Context, Delivery)) ObserverOption { return observerOption(fn) }

// NewWebhookHandler makes a handler for deliveries signed with secret, which is the
// project's API key, or the secret of a webhook endpoint where Ittybit gave one. A secret
// that is empty or has white space around it, a nil next and an option that makes no sense are
// a [*ParamError].
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
	verifier, err := cfg.verifier.build()
	if err != nil {
		return nil, err
	}
	cfg.verifier = verifierConfig{} // the secrets are kept in one place
	return &WebhookHandler{
		verifier: verifier, next: next, cfg: cfg,
		bodies: newBodyIntake(verifier.maxBody, cfg.maxBuffered, cfg.readTimeout),
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
	d := &delivery{handler: h, start: time.Now()}
	d.end(OutcomeAborted, http.StatusInternalServerError, errAborted)
	defer d.finish(w, r) // also where the EventHandler ends the goroutine
	d.receive(w, r)
	d.returned = true
}

// finish answers, logs and calls the observer, whatever became of the delivery. It is deferred.
func (d *delivery) finish(w http.ResponseWriter, r *http.Request) {
	if reason := recover(); reason != nil {
		d.end(OutcomePanicked, http.StatusInternalServerError, &panicError{reason})
		d.stack, d.returned = debug.Stack(), true
	}
	if !d.returned && r.ProtoMajor == 1 {
		w.Header().Set("Connection", "close") // as net/http does in any case
	}
	// The status comes first: some adapters answer 200 where none is set, whatever happens next.
	answer(w, d.StatusCode, d.retryAfter)
	ending := true
	defer func() { sendAnswer(w, r, ending) }() // last, for nobody knows what a writer does when it is flushed
	d.Duration = time.Since(d.start)
	d.handler.tell(r.Context(), d)
	ending = !d.returned // and an observer that ends the goroutine ends it too
}

// delivery is one request on its way through the handler.
type delivery struct {
	Delivery
	handler     *WebhookHandler
	start       time.Time
	retryAfter  time.Duration
	payload     []byte // once it is verified
	explanation string // of a signature that was refused
	stack       []byte // of a panic
	returned    bool   // false while the goroutine may be being ended
}

func (d *delivery) end(outcome Outcome, status int, err error) {
	d.Outcome, d.StatusCode, d.Err = outcome, status, err
	if status == http.StatusServiceUnavailable && d.retryAfter == 0 {
		d.retryAfter = retryAfterBusy
	}
}

// receive takes the request as far as it goes: method, body, signature, event, handler.
func (d *delivery) receive(w http.ResponseWriter, r *http.Request) {
	h := d.handler
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		hangUp(w, r, lingerTimeout)
		d.end(OutcomeMethodNotAllowed, http.StatusMethodNotAllowed, errNotPost)
		return
	}
	body, err := h.bodies.read(w, r, d.start)
	if err != nil {
		outcome, status := bodyOutcome(err)
		d.end(outcome, status, err)
		return
	}
	defer body.Release()
	d.BodyBytes = len(body.Bytes())
	if d.Signed, err = h.verifier.verifyRequest(body.Bytes(), r.Header); err != nil {
		d.end(signatureOutcome(err), http.StatusUnauthorized, err)
		if h.logs(r.Context(), slog.LevelDebug) {
			survive(func() { d.explanation = h.verifier.Explain(body.Bytes(), signature.Join(r.Header)) })
		}
		return
	}
	defer func() { d.InFlight = int(h.inFlight.Add(-1)) }()
	if h.inFlight.Add(1) > h.cfg.maxInFlight {
		d.end(OutcomeOverloaded, http.StatusServiceUnavailable, errOverloaded)
		return
	}
	d.payload = body.Detach()
	event, err := parseEvent(d.payload)
	if err != nil {
		d.end(OutcomeMalformedEvent, http.StatusBadRequest, err)
		return
	}
	d.Event = event
	d.handle(r.Context())
}

var (
	errNotPost    = errors.New("ittybit: webhooks are POST requests")
	errOverloaded = errors.New("ittybit: too many deliveries are being handled at once")
	errAborted    = errors.New("ittybit: the event handler ended its goroutine")
)

// handle calls the EventHandler and judges what it returns.
func (d *delivery) handle(parent context.Context) {
	ctx, cancel := context.WithDeadline(context.WithoutCancel(parent), d.deadline(parent))
	defer cancel()
	run := eventRun{outcome: OutcomeAborted}
	defer func() { d.settle(&run, ctx.Err() != nil) }()
	run.call(ctx, d.handler.next, d.Event)
}

// maxAnswerMargin is the most that is kept of the time that a request has, to answer in.
const maxAnswerMargin = 500 * time.Millisecond

// deadline gives the handler's: after the processing timeout, or, where that is sooner, a little
// before the request itself is over, such as an invocation of AWS Lambda.
func (d *delivery) deadline(parent context.Context) time.Time {
	own := d.start.Add(d.handler.cfg.processingTimeout)
	end, ok := parent.Deadline()
	if !ok {
		return own
	}
	end = end.Add(-min(end.Sub(d.start)/10, maxAnswerMargin))
	if own.Before(end) {
		return own
	}
	return end
}

// settle gives the delivery the answer that its run asks for.
func (d *delivery) settle(run *eventRun, late bool) {
	d.stack, d.retryAfter = run.stack, run.retryAfter
	switch run.outcome {
	case OutcomeAborted: // which it is already
	case OutcomeFailed:
		if late {
			d.end(OutcomeTimedOut, http.StatusServiceUnavailable, run.err)
			return
		}
		d.end(OutcomeFailed, http.StatusInternalServerError, run.err)
	case OutcomePanicked:
		d.end(OutcomePanicked, http.StatusInternalServerError, run.err)
	case OutcomeRetryLater:
		d.end(OutcomeRetryLater, http.StatusServiceUnavailable, run.err)
	default:
		d.end(run.outcome, http.StatusOK, run.err)
	}
}

func signatureOutcome(err error) Outcome {
	switch {
	case errors.Is(err, ErrSignatureMissing):
		return OutcomeSignatureMissing
	case errors.Is(err, ErrSignatureMismatch):
		return OutcomeSignatureMismatch
	case errors.Is(err, ErrSignatureExpired):
		return OutcomeSignatureExpired
	default:
		return OutcomeSignatureMalformed
	}
}

func bodyOutcome(err error) (Outcome, int) {
	switch {
	case errors.Is(err, bodyread.ErrTooLarge):
		return OutcomeBodyTooLarge, http.StatusRequestEntityTooLarge
	case errors.Is(err, bodyread.ErrOverBudget):
		return OutcomeOverBudget, http.StatusServiceUnavailable
	case errors.Is(err, bodyread.ErrTooSlow):
		return OutcomeBodyTimeout, http.StatusRequestTimeout
	default:
		return OutcomeBodyUnreadable, http.StatusBadRequest
	}
}

// answer sets a status, a refusal with its standard text, and nothing else. The server sends it
// when the handler has returned.
func answer(w http.ResponseWriter, status int, retryAfter time.Duration) {
	header, text := w.Header(), ""
	if status != http.StatusOK { // which is what counts, and all that Ittybit looks at
		text = http.StatusText(status) + "\n"
		header.Set("Content-Type", "text/plain; charset=utf-8")
		header.Set("X-Content-Type-Options", "nosniff")
	}
	if status == http.StatusServiceUnavailable {
		seconds := max(1, int64(math.Ceil(retryAfter.Seconds())))
		header.Set("Retry-After", strconv.FormatInt(seconds, 10))
	}
	header.Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text) // a sender that has gone needs no answer
}

// sendAnswer is the last thing that is done with a request. A sender that does not take its answer
// must not hold the connection: net/http takes the deadline back when the answer is sent. It is not
// flushed, which panics in some writers and splits the answer in others, unless the goroutine is
// being ended: net/http then sends nothing by itself.
func sendAnswer(w http.ResponseWriter, r *http.Request, ending bool) {
	control := http.NewResponseController(w)
	if !serverLimitsWrites(r) {
		_ = control.SetWriteDeadline(time.Now().Add(answerTimeout)) // where that can be had
	}
	if ending {
		survive(func() { _ = control.Flush() })
	}
}

// tell writes the log line and calls the observer. Neither has a say in what becomes of
// the delivery, nor in whether the other one gets its turn.
func (h *WebhookHandler) tell(ctx context.Context, d *delivery) {
	survive(func() { h.log(ctx, d) })
	observe(ctx, h.cfg.observer, d.Delivery, h.cfg.logger, h.redacted)
}

// observe calls the observer, where there is one, and logs its panic.
func observe(ctx context.Context, observer func(context.Context, Delivery), d Delivery, logger *slog.Logger, redacted func(string) string) {
	if observer == nil {
		return
	}
	reason, stack := survive(func() { observer(ctx, d) })
	if reason == nil || logger == nil {
		return
	}
	survive(func() {
		logger.LogAttrs(ctx, slog.LevelError, "ittybit: the observer panicked",
			slog.String("error", redacted(fmt.Sprint(reason))), slog.String("stack", redacted(stack)))
	})
}

// survive calls fn and gives what it panicked with.
func survive(fn func()) (reason any, stack string) {
	defer func() {
		if reason = recover(); reason != nil {
			stack = string(debug.Stack())
		}
	}()
	fn()
	return nil, ""
}

// redacted takes secrets and signatures out of a text.
func (h *WebhookHandler) redacted(text string) string {
	return redact.Text(text, h.verifier.secrets()...)
}

// log writes one line for a delivery, at Debug with the payload, or with the explanation
// of a signature that was refused.
func (h *WebhookHandler) log(ctx context.Context, d *delivery) {
	level := levelOf(d.Outcome)
	if d.Outcome == OutcomeIgnored && d.Event.Type == EventUnknown {
		level = slog.LevelWarn // it does not come again, and somebody may have wanted it
	}
	if !h.logs(ctx, level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("outcome", string(d.Outcome)),
		slog.Int("status", d.StatusCode),
		slog.Duration("duration", d.Duration),
		slog.Int("body_bytes", d.BodyBytes),
	}
	if e := d.Event; e != nil {
		attrs = append(attrs, slog.String("event", h.redacted(string(e.Type))), slog.String("key", h.redacted(e.Key())))
	}
	if d.payload != nil && h.logs(ctx, slog.LevelDebug) {
		attrs = append(attrs, slog.String("payload", string(redact.Bytes(d.payload, h.verifier.secrets()...))))
	}
	if expired := (*SignatureExpiredError)(nil); d.Outcome == OutcomeSignatureExpired && errors.As(d.Err, &expired) {
		attrs = append(attrs, slog.Duration("age", expired.Age))
	}
	if d.Err != nil {
		attrs = append(attrs, slog.String("error", h.redacted(fmt.Sprint(d.Err)))) // fmt bears an error that panics
	}
	if d.stack != nil {
		attrs = append(attrs, slog.String("stack", h.redacted(string(d.stack))))
	}
	if d.explanation != "" {
		attrs = append(attrs, slog.String("explanation", h.redacted(d.explanation)))
	}
	h.cfg.logger.LogAttrs(ctx, level, "ittybit: webhook", attrs...)
}

// logs reports whether there is a log at level.
func (h *WebhookHandler) logs(ctx context.Context, level slog.Level) (enabled bool) {
	survive(func() { enabled = h.cfg.logger != nil && h.cfg.logger.Enabled(ctx, level) })
	return enabled
}

// levelOf: what is well is Info, what a stranger can cause at will or what goes away by
// itself is Warn, what needs somebody is Error.
func levelOf(outcome Outcome) slog.Level {
	switch outcome {
	case OutcomeHandled, OutcomeIgnored, OutcomeDuplicate:
		return slog.LevelInfo
	case OutcomeFailed, OutcomePanicked, OutcomeDiscarded, OutcomeSignatureExpired, OutcomeMalformedEvent:
		return slog.LevelError
	default:
		return slog.LevelWarn
	}
}
