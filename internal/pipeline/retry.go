package pipeline

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-retryablehttp"

	"github.com/ittybit/ittybit-go/internal/redact"
)

const (
	// maxAnswerBytes bounds what is read of an answer, and maxProblemBytes of one that
	// is not 2xx.
	maxAnswerBytes  = 64 << 20
	maxProblemBytes = 1 << 20
	// maxRedirects is how many redirects of a GET are followed, as in net/http.
	maxRedirects = 10
)

var (
	errTooManyRedirects = errors.New("stopped after 10 redirects")
	errAnswerTooLarge   = fmt.Errorf("the answer is larger than %d MiB", maxAnswerBytes>>20)
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
	limited    io.LimitedReader // the last answer's body

	answer     Response      // the last answer; Attempts counts every try
	err        error         // why the last try did not succeed
	status     error         // the StatusError of the last answer that was not 2xx
	unknown    bool          // some try may have acted
	after      time.Duration // the last try's Retry-After
	afterGiven bool          // it had one
	waiting    bool          // a wait was begun and no try has followed yet
	ended      error         // the context's error, where it was the reason to stop
}

// secrets are what no log and no error must show: the key, and what the URL was signed with.
func (c *call) secrets() []string { return append(redact.Signatures(c.url), c.pipeline.cfg.Key()) }

// chain puts the steps together. A go-retryablehttp client for each call is cheap, and the
// only way to give its hooks the call's own state: they are told neither the request nor
// the context.
func (c *call) chain(base *http.Client) {
	c.traced = traced{next: transportOf(base), trace: &c.trace, creates: c.request.Creates}
	if !c.request.Anonymous {
		c.traced.authenticator = authenticator{origin: c.url, bearer: c.pipeline.bearer}
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

// run makes the tries.
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
	c.answer.Attempts++
	c.waiting, c.afterGiven = false, false
	again := c.judge(ctx, resp, err) && c.answer.Attempts < c.pipeline.cfg.Policy.MaxAttempts
	if again {
		c.ended = ctx.Err()
		again = c.ended == nil && c.plan(ctx)
	}
	return again, nil
}

// judge reads the outcome of a try and reports whether another one is allowed.
func (c *call) judge(ctx context.Context, resp *http.Response, err error) (again bool) {
	if err != nil && resp != nil { // a redirect that was refused, and would be again
		_ = resp.Body.Close() // net/http has done so; linters and other clients don't know
		c.err = withoutURL(err)
		return false
	}
	if err == nil {
		err = c.read(resp)
	}
	if err != nil {
		return c.judgeTransport(ctx, withoutURL(err))
	}
	switch code := c.answer.StatusCode; {
	case code >= 200 && code < 300:
		return c.judgeSuccess()
	case code == http.StatusNotFound && c.request.Method == http.MethodDelete && c.answer.Attempts > 1:
		c.err = nil // an earlier try has deleted it, or somebody else has: it is gone
		return false
	default:
		return c.judgeStatus(code)
	}
}

// read takes the answer's body and frees its connection.
func (c *call) read(resp *http.Response) error {
	limit, success := maxAnswerBytes, resp.StatusCode >= 200 && resp.StatusCode < 300
	if !success {
		limit = maxProblemBytes
	}
	var body []byte
	var err error
	if resp.StatusCode >= 200 { // below, the protocol was switched, and what comes has no end
		c.limited = io.LimitedReader{R: resp.Body, N: int64(limit) + 1}
		body, err = readAll(&c.limited, resp.ContentLength)
	}
	if closeErr := resp.Body.Close(); err == nil {
		err = closeErr
	}
	resp.Body = http.NoBody
	if err == nil && len(body) > limit {
		err = errAnswerTooLarge
	}
	c.answer.StatusCode, c.answer.Header, c.answer.Body = resp.StatusCode, resp.Header, body[:min(len(body), limit)]
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

// judgeTransport: the try brought no answer, or only a part of one.
func (c *call) judgeTransport(ctx context.Context, err error) bool {
	c.err = err
	trace := c.trace.Load()
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
	return errors.Is(err, errAnswerTooLarge) || errors.As(err, new(*SourceError)) || errors.As(err, &certificate) ||
		errors.As(err, &authority) || errors.As(err, &hostname) || errors.As(err, &record) ||
		errors.Is(err, http.ErrSchemeMismatch)
}

// judgeSuccess decodes a 2xx answer.
func (c *call) judgeSuccess() bool {
	c.err = nil
	if c.request.Decoder == nil {
		return false
	}
	if err := c.request.Decoder.Decode(c.answer); err != nil {
		c.err = err
		if c.request.Creates {
			c.unknown = true
			return c.pipeline.cfg.Policy.RetryAmbiguousPosts
		}
	}
	return false
}

// judgeStatus: the service answered, and said no.
func (c *call) judgeStatus(code int) bool {
	c.after, c.afterGiven = parseRetryAfter(c.answer.Header, time.Now())
	c.status = c.pipeline.cfg.StatusError(Problem{
		StatusCode: code, Header: c.answer.Header, Body: c.answer.Body,
		Method: c.request.Method, URL: redact.URL(c.url, c.secrets()...), RetryAfter: c.after,
		Secrets: c.secrets(),
	})
	c.err = c.status
	switch {
	case code == http.StatusTooManyRequests:
		return true
	case !c.request.Creates:
		switch code {
		case http.StatusRequestTimeout, http.StatusInternalServerError, http.StatusBadGateway,
			http.StatusServiceUnavailable, http.StatusGatewayTimeout:
			return true
		}
		return false
	case code == http.StatusServiceUnavailable && c.afterGiven:
		return true
	case code >= 500, code < 400:
		// A redirect of a POST may well be the answer of a service that has acted, and
		// what is below 200 is no answer.
		c.unknown = true
		return code >= 500 && c.pipeline.cfg.Policy.RetryAmbiguousPosts
	}
	return false
}

// plan decides how long to wait before the next try, and whether to wait at all.
func (c *call) plan(ctx context.Context) bool {
	policy := c.pipeline.cfg.Policy
	wait := jitter(policy, c.answer.Attempts)
	if c.afterGiven {
		if c.after > policy.MaxWait {
			return false
		}
		wait = c.after
	}
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= wait {
		c.ended = context.DeadlineExceeded
		return false
	}
	c.waiting, c.retrying.RetryWaitMin = true, wait
	if logger := c.pipeline.cfg.Logger; logger != nil {
		logger.LogAttrs(ctx, slog.LevelWarn, "ittybit: trying again",
			slog.String("method", c.request.Method),
			slog.String("url", redact.URL(c.url, c.secrets()...)),
			slog.Int("attempt", c.answer.Attempts),
			slog.Duration("wait", wait),
			slog.String("error", redact.Text(c.err.Error(), c.secrets()...)))
	}
	return true
}

// jitter is the exponential backoff with full jitter: anything from nothing to a
// limit that doubles with each try.
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

// parseRetryAfter reads the Retry-After header: seconds, or an HTTP date.
func parseRetryAfter(header http.Header, now time.Time) (time.Duration, bool) {
	value := header.Get("Retry-After")
	if value == "" {
		return 0, false
	}
	const most = 1 << 32 // seconds, more than a century: far past every limit, and no overflow
	seconds, err := strconv.ParseInt(value, 10, 64)
	if err == nil || errors.Is(err, strconv.ErrRange) { // out of range, it is the largest there is
		return time.Duration(min(max(seconds, 0), most)) * time.Second, seconds >= 0
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(at.Sub(now), 0), true
	}
	return 0, false
}
