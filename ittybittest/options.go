package ittybittest

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/ittybittest/internal/blobs"
)

// Option sets up a [Server]; see [NewServer].
type Option interface{ apply(*config) }

type option func(*config)

func (o option) apply(c *config) { o(c) }

type config struct {
	apiKey             string
	logger             *slog.Logger
	taskDuration       time.Duration
	progressWebhooks   bool
	backoff            Backoff
	signing            Signing
	deliveryTimeout    time.Duration
	rootCAs            *x509.CertPool
	withoutSockets     bool
	receiver           http.Handler
	asyncFiles         bool
	storageLimit       int64
	emptyUploadAnswers bool
	fixedIDs           bool
	deliveries         DeliveryStore
	webhookHosts       []string
	endpoint           string
	control            bool
	controlPassword    string

	apiListener, storageListener net.Listener
	publicURL, publicStorageURL  string
}

func newConfig(opts []Option) config {
	c := config{
		logger:          slog.New(slog.DiscardHandler),
		storageLimit:    blobs.MaxLimit,
		taskDuration:    20 * time.Millisecond,
		deliveryTimeout: 5 * time.Second,
		deliveries:      &memoryStore{},
	}
	for _, opt := range opts {
		opt.apply(&c)
	}
	if c.apiKey == "" {
		c.apiKey = randomID("ittybit")
	}
	c.backoff = c.backoff.withDefaults()
	return c
}

// newID is what makes ids.
func (c *config) newID() func(prefix string) string {
	if !c.fixedIDs {
		return randomID
	}
	var mu sync.Mutex
	last := map[string]int{}
	return func(prefix string) string {
		mu.Lock()
		defer mu.Unlock()
		last[prefix]++
		return fmt.Sprintf("%s_%016d", prefix, last[prefix])
	}
}

// randomID has 16 random characters, so that ids stay unique in a database that outlives the
// server.
func randomID(prefix string) string {
	return prefix + "_" + strings.ToLower(rand.Text()[:16])
}

func (c *config) isWebhookHost(host string) bool {
	return slices.ContainsFunc(c.webhookHosts, func(own string) bool { return strings.EqualFold(own, host) })
}

// WithAPIKey sets the key that requests must carry and that webhooks are
// signed with. The default is a random one, in Server.APIKey.
func WithAPIKey(key string) Option { return option(func(c *config) { c.apiKey = key }) }

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
func WithTaskDuration(d time.Duration) Option { return option(func(c *config) { c.taskDuration = d }) }

// WithProgressWebhooks also posts a task to its webhook_url half-way, with
// status "processing" and progress 50. Whether Ittybit does so is not
// documented, but the handler in its webhooks documentation is prepared for it.
func WithProgressWebhooks() Option { return option(func(c *config) { c.progressWebhooks = true }) }

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
func WithBackoff(b Backoff) Option { return option(func(c *config) { c.backoff = b }) }

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

// Signing says how a delivery is signed. Ittybit has not documented whether it signs a retry
// again, and a receiver should get on with both.
type Signing int

const (
	// SignEachAttempt signs every attempt with the time it is made at.
	SignEachAttempt Signing = iota
	// SignOnce sends the first attempt's signature, with its timestamp, again with every retry.
	SignOnce
	// SignBody sends the HMAC of the body alone, in hex and without a timestamp, as a guide of
	// 2026 has it. Receivers refuse it unless they have ittybit.WithUntimestampedSignatures.
	SignBody
)

func (s Signing) sign(key string, at time.Time, body []byte) string {
	if s != SignBody {
		return ittybit.SignWebhook(key, at, body)
	}
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write(body)
	return hex.EncodeToString(mac.Sum(nil))
}

// WithSigning chooses how deliveries are signed. The default is [SignEachAttempt].
func WithSigning(s Signing) Option { return option(func(c *config) { c.signing = s }) }

// WithDeliveryTimeout sets how long an attempt waits for the receiver's
// answer. The default is 5 s, as in Ittybit's webhooks documentation.
func WithDeliveryTimeout(d time.Duration) Option {
	return option(func(c *config) {
		if d > 0 {
			c.deliveryTimeout = d
		}
	})
}

// WithRootCAs trusts these certificates when a webhook is delivered to an https address, so that a
// receiver can be an httptest.NewTLSServer. The default is the system's certificates.
func WithRootCAs(pool *x509.CertPool) Option { return option(func(c *config) { c.rootCAs = pool }) }

// WithoutSockets makes a server that opens no port, for a test under testing/synctest: real HTTP
// servers and clients talk in memory. The client of [Server.Client] and the transport of
// [Server.Transport] reach it, and webhooks for every address, loopback or not, are served by
// receiver. With a nil receiver every delivery fails as if nobody listened. As with sockets, a
// client does not return while the body that it sends stalls, whatever its context says.
//
// Time comes only from package time, so that a test inside a bubble sees hours of retries in
// milliseconds. Make the server, use it and close it inside the bubble. A receiver that takes
// longer than the sender waits goes on, with its context cancelled, and Close waits for it.
func WithoutSockets(receiver http.Handler) Option {
	return option(func(c *config) {
		c.withoutSockets = true
		c.receiver = receiver
	})
}

// WithAsyncFiles lets POST /files answer 202 with an ingest task, which makes
// the file when it completes. Ittybit was seen to do both.
func WithAsyncFiles() Option { return option(func(c *config) { c.asyncFiles = true }) }

// WithStorageLimit sets how many bytes the storage may have: it is a full disk. An
// upload in chunks counts in full from its first one on. What replaces a file counts,
// together with it, as much as the larger of both. More is refused with status 507,
// before the body is read where its length is known, or once it is there if others
// came first. The default is 10^15 bytes, and no more can be set.
func WithStorageLimit(n int64) Option {
	return option(func(c *config) { c.storageLimit = min(n, blobs.MaxLimit) })
}

// WithEmptyUploadAnswers leaves the answers to uploads without a body, and so
// without a File, whatever their status: Ittybit was seen to do so for signed
// URLs. Refusals still have their message.
func WithEmptyUploadAnswers() Option { return option(func(c *config) { c.emptyUploadAnswers = true }) }

// WithFixedIDs numbers ids in the order in which they are made, such as task_0000000000000001,
// so that a test can compare whole responses. By default they are random.
func WithFixedIDs() Option { return option(func(c *config) { c.fixedIDs = true }) }

// WithListeners serves the API and the storage on these listeners, which the server closes. Nil
// is a port of its own on the loopback interface.
func WithListeners(api, storage net.Listener) Option {
	return option(func(c *config) { c.apiListener, c.storageListener = api, storage })
}

// WithPublicURLs sets the addresses at which others reach the API and the storage, such as
// "http://ittybit:8080" in docker compose: [Server].URL and StorageURL, links, and the urls of
// files have them, and the API takes requests to that name. They have no trailing slash.
// [Server.Client] connects directly all the same.
func WithPublicURLs(api, storage string) Option {
	return option(func(c *config) {
		c.publicURL, c.publicStorageURL = strings.TrimSuffix(api, "/"), strings.TrimSuffix(storage, "/")
	})
}

// WithWebhookHosts names hosts besides those of the loopback interface that webhooks are
// delivered to, also by plain http, such as "app" of docker compose. The API takes requests to
// these names, too. A port is no part of it.
func WithWebhookHosts(hosts ...string) Option {
	return option(func(c *config) { c.webhookHosts = append(c.webhookHosts, hosts...) })
}

// WithEndpoint also posts every task's end, and every new media object, to this address, as an
// endpoint that is registered for a whole project would get them.
func WithEndpoint(url string) Option { return option(func(c *config) { c.endpoint = url }) }

// WithDeliveryStore keeps the records of deliveries in a store of the caller's. The default one
// is in memory, and keeps the latest 10,000 records, or fewer when they have more than 64 MiB.
func WithDeliveryStore(store DeliveryStore) Option {
	return option(func(c *config) { c.deliveries = store })
}

// WithControl lets programs in any language drive the server over HTTP, under /_local/: see
// docs/local-server.md. A request from another machine, or through a proxy, must carry the
// password (basic authentication, with any user, or a bearer token); if that is empty there is
// no way in from elsewhere. Pages of other sites are refused.
func WithControl(password string) Option {
	return option(func(c *config) { c.control, c.controlPassword = true, password })
}
