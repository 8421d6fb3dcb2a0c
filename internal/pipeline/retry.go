package pipeline

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-retryablehttp"

	"github.com/ittybit/ittybit-go/internal/redact"
)

const (
	// maxResponseBytes bounds what is read of a response, and maxProblemBytes of one that
	// is not 2xx.
	maxResponseBytes = 64 << 20
	maxProblemBytes  = 1 << 20
	// maxRedirects is how many redirects of a GET are followed, as in net/http.
	maxRedirects = 10
)

var (
	errTooManyRedirects = errors.New("stopped after 10 redirects")
	errResponseTooLarge = fmt.Errorf("the response is larger than %d MiB", maxResponseBytes>>20)
	errNotJSON          = errors.New("the response is neither empty nor JSON: does a proxy respond in place of Ittybit?")
	errNoBudget         = errors.New("not tried again: the retry budget of this client is used up")
)

// call is the state of one call, which the closures given to go-retryablehttp share.
// That library calls them in one goroutine, one after the other.
type call struct {
	pipeline *Pipeline
	request  Request
	url      *url.URL
	values   [4]string // of its headers
	trace    atomic.Pointer[wireTrace]

	// The chain, which stands here to be one piece of memory with the call.
	retrying   retryablehttp.Client
	httpClient http.Client
	logged     logged
	traced     traced
	limited    io.LimitedReader // the last response's body

	response      Response      // the last one; Attempts counts every attempt
	err           error         // why the last attempt did not succeed
	status        error         // the StatusError of the last response that was not 2xx
	unknown       bool          // some attempt may have acted
	retryAfter    time.Duration // of the last attempt's response
	hasRetryAfter bool          // it had one
	free          bool          // another attempt draws on no budget
	waiting       bool          // a wait was begun and no attempt has followed yet
	ended         error         // the context's error, where it was the reason to stop
	noBudget      bool          // the retry budget was the reason to stop
}

// secrets are what no log and no error must show: the key, and what the URL was signed with.
func (c *call) secrets() []string { return append(redact.Signatures(c.url), c.pipeline.cfg.Key()) }

// chain puts the steps together. A go-retryablehttp client for each call is cheap, and the only way
// to give its hooks the call's own state: they are given neither the request nor the context.
func (c *call) chain(base *http.Client) {
	c.traced = traced{next: transportOf(base), trace: &c.trace, creates: c.request.Creates}
	if !c.request.Anonymous {
		c.traced.origin, c.traced.bearer = c.url, c.pipeline.bearer
	}
	c.logged = logged{next: &c.traced, call: c}
	c.httpClient = *base
	c.httpClient.Transport = &c.logged
	c.httpClient.CheckRedirect = c.redirectPolicy(base.CheckRedirect)
	c.retrying = retryablehttp.Client{
		HTTPClient: &c.httpClient,
		RetryMax:   c.pipeline.cfg.Policy.MaxAttempts - 1,
		CheckRetry: c.check,
		Backoff:    func(wait, _ time.Duration, _ int, _ *http.Response) time.Duration { return wait }, // RetryWaitMin
		ErrorHandler: func(resp *http.Response, err error, _ int) (*http.Response, error) {
			return resp, err
		},
	}
}

// redirectPolicy follows redirects of a GET only: a POST that is redirected becomes a
// GET, or is made twice. What the caller added to the headers is for the API's host only.
func (c *call) redirectPolicy(callers func(*http.Request, []*http.Request) error) func(*http.Request, []*http.Request) error {
	return func(req *http.Request, via []*http.Request) error {
		if via[0].Method != http.MethodGet {
			return http.ErrUseLastResponse
		}
		if req.URL.Host != c.url.Host || req.URL.Scheme != c.url.Scheme {
			for name := range c.request.Header {
				delete(req.Header, name) // as it is spelled there
			}
		}
		switch {
		case callers != nil:
			return callers(req, via)
		case len(via) >= maxRedirects:
			return errTooManyRedirects
		}
		return nil
	}
}

func (c *call) run(req *retryablehttp.Request) {
	resp, err := c.retrying.Do(req)
	if resp != nil {
		_ = resp.Body.Close() // check has read it; this is http.NoBody
	}
	if err != nil && c.err == nil {
		c.err = withoutURL(err)
	}
	if c.waiting {
		c.ended = req.Context().Err()
	}
}

// check is the CheckRetry hook: everything is decided here.
func (c *call) check(ctx context.Context, resp *http.Response, err error) (bool, error) {
	c.response.Attempts++
	c.waiting, c.hasRetryAfter, c.free = false, false, false
	retry := c.classify(ctx, resp, err) && c.response.Attempts < c.pipeline.cfg.Policy.MaxAttempts
	if c.err == nil {
		c.pipeline.budgets.succeeded(c.url.Host)
	}
	if retry {
		c.ended = ctx.Err()
		retry = c.ended == nil && c.scheduleRetry(ctx)
	}
	return retry, nil
}

// classify reads the outcome of an attempt and reports whether another one is allowed.
func (c *call) classify(ctx context.Context, resp *http.Response, err error) (retry bool) {
	if err != nil && resp != nil { // a redirect that was refused, and would be again
		_ = resp.Body.Close() // net/http has done so; linters and other clients don't know
		c.err = withoutURL(err)
		return false
	}
	if err == nil {
		err = c.read(resp)
	}
	if err != nil {
		return c.classifyTransport(ctx, withoutURL(err))
	}
	switch code := c.response.StatusCode; {
	case code >= 200 && code < 300:
		return c.classifySuccess()
	case code == http.StatusNotFound && c.request.Method == http.MethodDelete && c.response.Attempts > 1:
		c.err = nil // an earlier attempt has deleted it, or somebody else has: it is gone
		return false
	default:
		return c.classifyStatus(code)
	}
}

// read takes the response's body and frees its connection.
func (c *call) read(resp *http.Response) error {
	limit, success := maxResponseBytes, resp.StatusCode >= 200 && resp.StatusCode < 300
	if !success {
		limit = maxProblemBytes
	}
	var body []byte
	var err error
	if resp.StatusCode >= 200 { // below, the protocol was switched, and what comes has no end
		c.limited = io.LimitedReader{R: resp.Body, N: int64(limit) + 1}
		if isGzip(resp.Header) {
			body, err = readGzip(&c.limited)
		} else {
			body, err = readAll(&c.limited, resp.ContentLength)
		}
	}
	if closeErr := resp.Body.Close(); err == nil {
		err = closeErr
	}
	resp.Body = http.NoBody
	if err == nil && len(body) > limit {
		err = errResponseTooLarge
	}
	c.response.StatusCode, c.response.Header, c.response.Body = resp.StatusCode, resp.Header, body[:min(len(body), limit)]
	if !success {
		return nil // the status says enough, whatever became of the explanation
	}
	return err
}

// readAll reads src to its end. What it is said to hold saves growing, and is not believed
// beyond a size that does no harm.
func readAll(src io.Reader, claimed int64) ([]byte, error) {
	const most = 64 << 10
	buffer := bytes.NewBuffer(make([]byte, 0, bytes.MinRead+int(min(max(claimed, 0), most))))
	_, err := buffer.ReadFrom(src)
	return buffer.Bytes(), err
}

// isGzip reports whether a body is compressed though nobody asked for it: where net/http did, it
// has taken the header away.
func isGzip(header http.Header) bool {
	encoding := strings.ToLower(strings.TrimSpace(header.Get("Content-Encoding")))
	return encoding == "gzip" || encoding == "x-gzip"
}

// readGzip reads no more than limited allows, also of what that expands to.
func readGzip(limited *io.LimitedReader) ([]byte, error) {
	limit := limited.N
	plain, err := gzip.NewReader(limited)
	if errors.Is(err, io.EOF) {
		return nil, nil // an empty body is no gzip
	}
	if err != nil {
		return nil, err
	}
	return readAll(io.LimitReader(plain, limit), -1)
}

// classifyTransport: the attempt brought no response, or only a part of one.
func (c *call) classifyTransport(ctx context.Context, err error) bool {
	c.err = err
	trace := c.trace.Load()
	c.free = trace != nil && trace.asked.Load() && !trace.got.Load() // there was no connection
	if c.request.Creates && trace != nil && trace.maySend(givenUp(ctx, err)) {
		c.unknown = true
		return c.pipeline.cfg.Policy.RetryAmbiguousPosts && !IsPermanent(err)
	}
	return !IsPermanent(err)
}

// IsPermanent reports whether another attempt would fail in the same way: the certificate is wrong,
// the scheme is, or the body can not be read.
func IsPermanent(err error) bool {
	var (
		certificate *tls.CertificateVerificationError
		authority   x509.UnknownAuthorityError
		hostname    x509.HostnameError
		record      tls.RecordHeaderError
	)
	return errors.Is(err, errResponseTooLarge) || errors.As(err, new(*SourceError)) || errors.As(err, &certificate) ||
		errors.As(err, &authority) || errors.As(err, &hostname) || errors.As(err, &record) ||
		errors.Is(err, http.ErrSchemeMismatch)
}

// classifySuccess decodes a 2xx response.
func (c *call) classifySuccess() bool {
	if c.err = c.decode(); c.err != nil && c.request.Creates {
		c.unknown = true
		return c.pipeline.cfg.Policy.RetryAmbiguousPosts
	}
	return false
}

// decode gives a success to the decoder. Where nobody asks what it says, it must all the same
// be one: a captive portal and a proxy's login page respond 200 too.
func (c *call) decode() error {
	if c.request.Decoder != nil {
		return c.request.Decoder.Decode(c.response)
	}
	if len(bytes.TrimSpace(c.response.Body)) > 0 && !json.Valid(c.response.Body) {
		return errNotJSON
	}
	return nil
}

// classifyStatus: the service has responded, and said no.
func (c *call) classifyStatus(code int) bool {
	c.retryAfter, c.hasRetryAfter = parseRetryAfter(c.response.Header, time.Now())
	c.free = code == http.StatusTooManyRequests && c.hasRetryAfter
	c.status = c.pipeline.cfg.StatusError(Problem{
		StatusCode: code, Header: c.response.Header, Body: c.response.Body,
		Method: c.request.Method, URL: redact.URL(c.url, c.secrets()...), RetryAfter: c.retryAfter,
		Secrets: c.secrets(),
	})
	c.err = c.status
	switch {
	case code == http.StatusTooManyRequests:
		return true
	case !c.request.Creates:
		return isTransient(code)
	case code == http.StatusServiceUnavailable && c.hasRetryAfter:
		return true
	case code >= 500, code < 400:
		// A redirect of a POST may well be the response of a service that has acted, and
		// what is below 200 is no response.
		c.unknown = true
		return code >= 500 && c.pipeline.cfg.Policy.RetryAmbiguousPosts
	}
	return false
}

// permanentStatuses are the 5xx that another attempt would meet again: the request, the account
// or the certificate is what is wrong. All others, those of edges and CDNs too, may pass.
var permanentStatuses = []int{501, 505, 506, 507, 508, 510, 511, 525, 526}

// isTransient reports whether another attempt may get another status.
func isTransient(code int) bool {
	switch code {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return true
	default:
		return code >= 500 && !slices.Contains(permanentStatuses, code)
	}
}

// scheduleRetry decides how long to wait before the next attempt, and whether to wait at all.
func (c *call) scheduleRetry(ctx context.Context) bool {
	policy := c.pipeline.cfg.Policy
	wait := jitter(policy, c.response.Attempts)
	if c.hasRetryAfter {
		if c.retryAfter > policy.MaxWait {
			return false
		}
		wait = c.retryAfter
	}
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= wait {
		c.ended = context.DeadlineExceeded
		return false
	}
	free := c.free || c.request.Progressing != nil && c.request.Progressing()
	if !free && !c.pipeline.budgets.of(c.url.Host).take(time.Now()) {
		c.noBudget = true
		return false
	}
	c.waiting, c.retrying.RetryWaitMin = true, wait
	if logger := c.pipeline.cfg.Logger; logger != nil {
		logger.LogAttrs(ctx, slog.LevelWarn, "ittybit: retrying the request",
			slog.String("method", c.request.Method),
			slog.String("url", redact.URL(c.url, c.secrets()...)),
			slog.Int("attempt", c.response.Attempts),
			slog.Duration("wait", wait),
			slog.String("error", redact.Text(c.err.Error(), c.secrets()...)))
	}
	return true
}

// jitter is the exponential backoff with full jitter: anything from nothing to a
// limit that doubles with each attempt.
func jitter(policy Policy, attempts int) time.Duration {
	limit := policy.MinWait
	for range attempts - 1 {
		if limit >= policy.MaxWait {
			break
		}
		limit *= 2
	}
	limit = min(limit, policy.MaxWait)
	if limit <= 0 {
		return 0
	}
	return rand.N(limit) //nolint:gosec // jitter needs no secret
}

// parseSeconds reads digits, which may have a fraction.
func parseSeconds(value string) (float64, bool) {
	if strings.Trim(value, "0123456789.") != "" || value[0] == '.' {
		return 0, false // no sign, no exponent, no other spelling that strconv knows
	}
	seconds, err := strconv.ParseFloat(value, 64)
	return seconds, err == nil || errors.Is(err, strconv.ErrRange)
}

// parseRetryAfter reads the Retry-After header: seconds, also with a fraction, which is rounded
// up; or an HTTP date.
func parseRetryAfter(header http.Header, now time.Time) (time.Duration, bool) {
	value := header.Get("Retry-After")
	if value == "" {
		return 0, false
	}
	const most = 1 << 32 // seconds, more than a century: far past every limit, and no overflow
	if seconds, ok := parseSeconds(value); ok {
		return time.Duration(math.Ceil(min(seconds, most))) * time.Second, true
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(at.Sub(now), 0), true
	}
	return 0, false
}
