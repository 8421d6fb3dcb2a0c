package ittybit

import (
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/ittybit/ittybit-go/internal/pipeline"
)

// ClientOption sets up a [Client].
type ClientOption interface {
	applyClient(*clientConfig) error
}

type clientOption func(*clientConfig) error

func (o clientOption) applyClient(c *clientConfig) error { return o(c) }

// LoggerOption is what [WithLogger] gives: an option for clients, for webhook handlers and
// for [Reconcile].
type LoggerOption interface {
	ClientOption
	WebhookOption
	ReconcileOption
}

// WithBaseURL replaces [DefaultBaseURL], for example with the address of a local Ittybit. It must
// be https, or http for a loopback host; a path is kept in front of the API's own.
func WithBaseURL(baseURL string) ClientOption {
	return clientOption(func(c *clientConfig) error { c.baseURL = baseURL; return nil })
}

// WithInsecureHosts names hosts of the developer's own, such as the service names of a compose
// file, that may be reached by plain http: as base URL, as the domain of uploads, and in the
// webhook URLs of tasks and workflows. Ports are not part of it. Loopback hosts may be anyway.
func WithInsecureHosts(hosts ...string) ClientOption {
	return clientOption(func(c *clientConfig) error {
		for _, host := range hosts {
			u, err := url.Parse("http://" + host)
			if err != nil || host == "" || u.Host != host || u.Port() != "" {
				return &ParamError{Param: "insecure hosts", Reason: "must be names or addresses of hosts, without scheme, port and path"}
			}
			c.insecure = append(c.insecure, strings.ToLower(u.Hostname()))
		}
		return nil
	})
}

// WithDomain is where uploads go that name no Domain: the project's delivery domain, such as
// you.ittybit.net.
func WithDomain(domain string) ClientOption {
	return clientOption(func(c *clientConfig) error { c.domain = domain; return nil })
}

// WithHTTPClient makes the client use a copy of hc: its transport, timeout (which
// bounds each attempt), cookies and redirect policy (asked for GET only). hc itself is
// never changed, and its idle connections are left alone until [Client.CloseIdleConnections].
func WithHTTPClient(hc *http.Client) ClientOption {
	return clientOption(func(c *clientConfig) error {
		if hc == nil {
			return &ParamError{Param: "HTTP client", Reason: "is nil"}
		}
		own := *hc
		c.httpClient = &own
		return nil
	})
}

// APIVersionOption is what [WithAPIVersion] gives: an option for clients and for calls.
type APIVersionOption interface {
	ClientOption
	RequestOption
}

// WithAPIVersion replaces [APIVersion] as what Accept-Version says, of a client or of one call.
// An empty version sends no Accept-Version: API versions since 2025-12-01 document none. The
// types of this SDK are those of its own version; for others there is [Client.Do].
func WithAPIVersion(version string) APIVersionOption { return apiVersionOption{version} }

type apiVersionOption struct{ version string }

func (o apiVersionOption) applyClient(c *clientConfig) error {
	c.apiVersion = o.version
	return o.check()
}

func (o apiVersionOption) applyRequest(c *requestConfig) error {
	c.apiVersion = &o.version
	return o.check()
}

func (o apiVersionOption) applyWait(c *waitConfig) error {
	c.requests = append(c.requests, o)
	return o.check()
}

func (o apiVersionOption) check() error {
	return paramErrorIf(!isHeaderValue(o.version), "API version", "is not a valid header value")
}

// WithUserAgent puts product, such as "your-app/1.2", in front of this SDK's own name
// in the User-Agent.
func WithUserAgent(product string) ClientOption {
	return clientOption(func(c *clientConfig) error {
		c.userAgent = product
		return paramErrorIf(!isHeaderValue(product), "user agent", "is not a valid header value")
	})
}

// WithRetryPolicy replaces the default [RetryPolicy].
func WithRetryPolicy(policy RetryPolicy) ClientOption {
	return clientOption(func(c *clientConfig) error {
		if policy.MaxAttempts < 0 || policy.MinWait < 0 || policy.MaxWait < 0 {
			return &ParamError{Param: "retry policy", Reason: "has a negative value"}
		}
		c.retry = policy.withDefaults()
		return paramErrorIf(c.retry.MinWait > c.retry.MaxWait, "retry policy", "has a MinWait above its MaxWait")
	})
}

type loggerOption struct{ logger *slog.Logger }

func (o loggerOption) applyClient(c *clientConfig) error   { c.logger = o.logger; return nil }
func (o loggerOption) applyWebhook(c *webhookConfig) error { c.logger = o.logger; return nil }

func (o loggerOption) applyReconcile(c *reconcileConfig) error { c.logger = o.logger; return nil }

// WithLogger writes to logger: a client writes a line for each attempt at Debug and for each retry
// at Warn, a webhook handler a line for each delivery, and at Debug its payload, or what
// [WebhookVerifier.Explain] says of a signature that was refused; [Reconcile] a line for each event
// that it hands on, and one at its end. No line at any level holds a key or a signature. Without a
// logger, or with nil, two things go to [slog.Default]: the lines of a [WebhookHandler] at Warn and
// Error, and fields that cannot be decoded. A logger of [slog.DiscardHandler] silences these too.
func WithLogger(logger *slog.Logger) LoggerOption { return loggerOption{logger} }

// Defaults of a [RetryPolicy].
const (
	DefaultMaxAttempts = 4
	DefaultMinWait     = 500 * time.Millisecond
	DefaultMaxWait     = 30 * time.Second
)

// RetryPolicy says how a [Client] tries again. A zero field means its default.
//
// GET, PATCH, PUT and DELETE are tried again after a connection error and after 408, 425, 429
// and every 5xx that may pass (all but 501, 505 to 508, 510, 511, 525 and 526). A POST that creates
// something may cost money when it runs twice: it is tried again only where Ittybit has not acted
// on it, as far as can be known, which is when it was never written to a connection, and after 429
// or a 503 with Retry-After. [SignedURLsService.Create] creates nothing, and is treated as a GET. A
// 404 in response to a repeated DELETE is success. Waits follow Retry-After, else they grow
// exponentially, with full jitter.
//
// The retries of all calls of a client together have a budget, for each host: 150 of them,
// refilled by one for each success and by one a second, so that an API that is down is not kept
// down. What the API asks for by 429 with Retry-After, and what was never sent, does not draw on
// it. An error says where the budget is why a call was not tried again.
type RetryPolicy struct {
	// MaxAttempts is the largest number of attempts, the first one included. 1 means no retry.
	MaxAttempts int
	// MinWait is the longest wait before the second attempt; it doubles with each further one.
	MinWait time.Duration
	// MaxWait bounds every wait. A Retry-After beyond it is not waited for: the
	// [*APIError] comes back with RetryAfter set.
	MaxWait time.Duration
	// RetryAmbiguousPosts also repeats POSTs that may have been carried out, those whose error
	// matches [ErrOutcomeUnknown]. Every attempt carries the same Idempotency-Key, but API version
	// 2025-08-20 does not document that it is honoured: expect duplicates.
	RetryAmbiguousPosts bool
}

func (p RetryPolicy) withDefaults() RetryPolicy {
	if p.MaxAttempts == 0 {
		p.MaxAttempts = DefaultMaxAttempts
	}
	if p.MaxWait == 0 {
		p.MaxWait = max(DefaultMaxWait, p.MinWait)
	}
	if p.MinWait == 0 {
		p.MinWait = min(DefaultMinWait, p.MaxWait)
	}
	return p
}

// RequestOption changes one call. It stands last on every method. Given to a method that
// waits, it changes each of the calls made meanwhile.
type RequestOption interface {
	WaitOption
	applyRequest(*requestConfig) error
}

type requestOption func(*requestConfig) error

func (o requestOption) applyRequest(c *requestConfig) error { return o(c) }

func (o requestOption) applyWait(c *waitConfig) error {
	c.requests = append(c.requests, o)
	return nil
}

type requestConfig struct {
	header     http.Header
	key        string
	info       *ResponseInfo
	apiVersion *string // nil: the client's
}

func newRequestConfig(opts []RequestOption) (requestConfig, error) {
	if len(opts) == 0 {
		return requestConfig{}, nil
	}
	return optionalRequestConfig(opts)
}

func optionalRequestConfig(opts []RequestOption) (requestConfig, error) {
	var cfg requestConfig
	err := applyOptions(opts, func(o RequestOption) error { return o.applyRequest(&cfg) })
	return cfg, err
}

func applyOptions[O any](opts []O, apply func(O) error) error {
	for _, opt := range opts {
		if any(opt) == nil {
			return &ParamError{Param: "opts", Reason: "contain a nil option"}
		}
		if err := apply(opt); err != nil {
			return err
		}
	}
	return nil
}

// WithIdempotencyKey sends key instead of a random one with a POST, so that a call can be repeated
// by another process: 1 to 255 printable ASCII characters. It has no effect on other methods.
func WithIdempotencyKey(key string) RequestOption {
	return requestOption(func(c *requestConfig) error {
		c.key = key
		return paramErrorIf(key == "" || len(key) > 255 || strings.ContainsFunc(key, func(r rune) bool { return r < '!' || r > '~' }),
			"idempotency key", "must be 1 to 255 printable ASCII characters without spaces")
	})
}

// WithRequestHeader sends a header with one call, in place of the one that the client
// would send. Authorization, Host, Content-Length, Transfer-Encoding, Connection and
// Accept-Encoding are refused, with a [*ParamError].
func WithRequestHeader(name, value string) RequestOption {
	return requestOption(func(c *requestConfig) error {
		canonical := http.CanonicalHeaderKey(name)
		switch {
		case !isToken(name) || !isHeaderValue(value):
			return &ParamError{Param: "request header", Reason: "has an invalid name or value"}
		case canonical == "Idempotency-Key":
			return WithIdempotencyKey(value).applyRequest(c)
		case canonical == "X-Idempotency-Key":
			// net/http would repeat the request by itself under the canonical spelling.
			canonical = strings.ToLower(canonical)
		}
		switch canonical {
		case "Authorization", "Host", "Content-Length", "Transfer-Encoding", "Connection", "Accept-Encoding":
			return &ParamError{Param: "request header", Reason: canonical + " cannot be set here"}
		}
		if c.header == nil {
			c.header = make(http.Header)
		}
		c.header[canonical] = []string{value}
		return nil
	})
}

// WithResponseInfo writes to info what the last response to the call looked like, also
// when the call fails. Use one info for each call.
func WithResponseInfo(info *ResponseInfo) RequestOption {
	return requestOption(func(c *requestConfig) error {
		c.info = info
		return paramErrorIf(info == nil, "response info", "is nil")
	})
}

// ResponseInfo describes the response to a call. It never holds the request, which holds the key.
type ResponseInfo struct {
	StatusCode int         // 0: there was no response
	Header     http.Header // the response's headers
	RequestID  string      // to name in a support request; empty where the response has none
	Attempts   int         // how often the call was tried
}

func newResponseInfo(resp pipeline.Response) ResponseInfo {
	return ResponseInfo{
		StatusCode: resp.StatusCode, Header: resp.Header,
		RequestID: requestID(resp.Header, resp.Body), Attempts: resp.Attempts,
	}
}

// isToken reports whether name is a header name (RFC 9110, section 5.6.2).
func isToken(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("!#$%&'*+-.^_`|~", r)
	})
}

// isHeaderValue reports whether value can stand in a header as it is.
func isHeaderValue(value string) bool {
	return strings.TrimSpace(value) == value && !strings.ContainsFunc(value, func(r rune) bool {
		return (r < ' ' && r != '\t') || r > '~'
	})
}
