package ittybittest

import (
	"crypto/x509"
	"log/slog"
	"math"
	"net/http"
	"time"
)

// Option sets up a [Server]; see [NewServer].
type Option interface{ apply(*config) }

type option func(*config)

func (o option) apply(c *config) { o(c) }

type config struct {
	apiKey           string
	logger           *slog.Logger
	taskDuration     time.Duration
	progressWebhooks bool
	backoff          Backoff
	signing          Signing
	deliveryTimeout  time.Duration
	rootCAs          *x509.CertPool
	withoutSockets   bool
	receiver         http.Handler
	asyncFiles       bool
	storageLimit     int64

	emptyUploadAnswers bool
}

func newConfig(opts []Option) config {
	c := config{
		logger:          slog.New(slog.DiscardHandler),
		storageLimit:    maxStorage,
		taskDuration:    20 * time.Millisecond,
		deliveryTimeout: 5 * time.Second,
	}
	for _, opt := range opts {
		opt.apply(&c)
	}
	if c.apiKey == "" {
		c.apiKey = newID("ittybit")
	}
	c.backoff = c.backoff.withDefaults()
	return c
}

// WithAPIKey sets the key that requests must carry and that webhooks are
// signed with. The default is a random one, in Server.APIKey.
func WithAPIKey(key string) Option {
	return option(func(c *config) { c.apiKey = key })
}

// WithLogger logs one line for each request and each delivery attempt. No
// line holds the API key or a signature. The default, and nil, is no log.
func WithLogger(logger *slog.Logger) Option {
	return option(func(c *config) {
		if logger != nil {
			c.logger = logger
		}
	})
}

// WithTaskDuration sets how long a task takes from its creation to its end.
// The first quarter is spent pending, the rest processing; half-way its progress
// is 50. The default is 20 ms; zero and less end a task at once.
func WithTaskDuration(d time.Duration) Option {
	return option(func(c *config) { c.taskDuration = d })
}

// WithProgressWebhooks also posts a task to its webhook_url half-way, with
// status "processing" and progress 50. Whether Ittybit does so is not
// documented, but the handler in its webhooks documentation is prepared for it.
func WithProgressWebhooks() Option {
	return option(func(c *config) { c.progressWebhooks = true })
}

// Backoff is the schedule of a webhook's retries: the wait before the second
// attempt is First, and each further one Factor times the last, at most Max.
// Ittybit documents exponential backoff, but no numbers.
type Backoff struct {
	First    time.Duration // default 50 ms
	Factor   float64       // default 2; less than 1 counts as 1
	Max      time.Duration // default 0: no upper bound
	Attempts int           // in all, the first one included; default 8
}

// WithBackoff sets the schedule of retries. A zero field has its default.
func WithBackoff(b Backoff) Option {
	return option(func(c *config) { c.backoff = b })
}

func (b Backoff) withDefaults() Backoff {
	if b.First <= 0 {
		b.First = 50 * time.Millisecond
	}
	if b.Factor == 0 {
		b.Factor = 2
	}
	b.Factor = max(b.Factor, 1)
	if b.Attempts <= 0 {
		b.Attempts = 8
	}
	return b
}

// wait is the time between the given attempt, counted from 1, and the next.
func (b Backoff) wait(attempt int) time.Duration {
	limit := b.Max
	if limit <= 0 {
		limit = math.MaxInt64 / 2
	}
	wait := float64(b.First) * math.Pow(b.Factor, float64(attempt-1))
	if wait >= float64(limit) {
		return limit
	}
	return time.Duration(wait)
}

// Signing says when a delivery is signed. Ittybit has not documented which of
// the two it does, and a receiver should get on with both.
type Signing int

const (
	// SignEachAttempt signs every attempt with the time it is made at.
	SignEachAttempt Signing = iota
	// SignOnce sends the first attempt's signature, with its timestamp, again
	// with every retry.
	SignOnce
)

// WithSigning chooses between [SignEachAttempt], the default, and [SignOnce].
func WithSigning(s Signing) Option {
	return option(func(c *config) { c.signing = s })
}

// WithDeliveryTimeout sets how long an attempt waits for the receiver's
// answer. The default is 5 s, as in Ittybit's webhooks documentation.
func WithDeliveryTimeout(d time.Duration) Option {
	return option(func(c *config) {
		if d > 0 {
			c.deliveryTimeout = d
		}
	})
}

// WithRootCAs trusts these certificates when a webhook is delivered to an https
// address, so that a receiver can be an httptest.NewTLSServer. The default is
// the system's certificates.
func WithRootCAs(pool *x509.CertPool) Option {
	return option(func(c *config) { c.rootCAs = pool })
}

// WithoutSockets makes a server that opens no port. The client of
// [Server.Client] and the transport of [Server.Transport] call it directly, and
// webhooks for every address, loopback or not, are served by receiver, which
// sees the path and host of the address. With a nil receiver every delivery
// fails as if nobody listened.
//
// A handler reads a request's body from the client's own; an answer is passed on
// once its handler returned, or as the client reads it where it is flushed or has
// more than 64 KiB. A panic of a handler is a dropped connection, as in net/http.
// A receiver that takes longer than the sender waits
// goes on, with its context cancelled, and Close waits for it.
func WithoutSockets(receiver http.Handler) Option {
	return option(func(c *config) {
		c.withoutSockets = true
		c.receiver = receiver
	})
}

// WithAsyncFiles lets POST /files answer 202 with an ingest task, which makes
// the file when it completes. Ittybit was seen to do both.
func WithAsyncFiles() Option {
	return option(func(c *config) { c.asyncFiles = true })
}

// WithStorageLimit sets how many bytes the storage may have, what is being
// received included: it is a full disk. An upload in chunks counts in full from
// its first one on. What replaces a file counts, together with it, as much as
// the larger of both. More is refused with status 507, before the body is read
// where its length is known. The default is 10^15 bytes, and no more can be set.
func WithStorageLimit(n int64) Option {
	return option(func(c *config) { c.storageLimit = min(n, maxStorage) })
}

// WithEmptyUploadAnswers leaves the answers to uploads without a body, and so
// without a File, whatever their status: Ittybit was seen to do so for signed
// URLs. Refusals still have their message.
func WithEmptyUploadAnswers() Option {
	return option(func(c *config) { c.emptyUploadAnswers = true })
}
