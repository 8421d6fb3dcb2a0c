// Package pipeline carries one API call over HTTP. A call goes through a short
// chain of steps, each in a file of its own:
//
//	build           make the HTTP request                          build.go
//	retry           decode, decide whether to retry, and when      retry.go
//	  budget        bound the retries of all calls together        budget.go
//	  log             a line for each attempt                      log.go
//	  trace           note whether an attempt reached the network  trace.go
//	    authenticate  add the key, for the call's own host only    authenticate.go
//	fail            give an error its shape and its sentinel       failure.go
//
// log and trace are http.RoundTrippers, and run for every attempt (and every redirect of a
// GET); trace has the key added at its end. The others run once for a call.
package pipeline

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/ittybit/ittybit-go/internal/redact"
)

// Config is what all calls of a client share.
type Config struct {
	BaseURL    *url.URL
	Key        Secret
	UserAgent  string
	APIVersion string
	HTTPClient *http.Client // it is copied, never changed
	// SlowHTTPClient is for calls whose response may take minutes; nil: HTTPClient.
	SlowHTTPClient *http.Client
	Logger         *slog.Logger // nil: no log
	Policy         Policy
	// StatusError makes the error of a response that is not 2xx.
	StatusError func(Problem) error
}

// Secret gives a key. It is a function because fmt prints no more of one than an
// address, whatever it is asked to print and with which verb.
type Secret func() string

// Policy says how many attempts a call gets, and when.
type Policy struct {
	MaxAttempts         int
	MinWait, MaxWait    time.Duration
	RetryAmbiguousPosts bool
}

// Request is one call.
type Request struct {
	Method string
	Path   string // below the base URL, escaped, with a leading slash
	ID     string // what Path ends with, escaped, of calls about one object
	Query  url.Values
	// URL replaces the base URL, Path and Query. The key goes to its host alone.
	URL  *url.URL
	Body []byte // nil: none
	// Stream opens a body of ContentLength bytes anew for each attempt, in place of Body. An
	// error of its reader that wraps a *SourceError ends the call.
	Stream        func() io.ReadCloser
	ContentLength int64
	Header        http.Header
	// Anonymous calls go out without the key.
	Anonymous bool
	// Slow calls use the SlowHTTPClient.
	Slow bool
	// IdempotencyKey is sent with a POST, the same one on each attempt.
	IdempotencyKey string
	// Creates says that a second run of this call may cost money, so that it is
	// tried again only where the service has not acted on the first.
	Creates bool
	// Progressing reports whether the call is part of something that has got on meanwhile, so
	// that another attempt draws on no budget; nil: it is not.
	Progressing func() bool
	// APIVersion replaces that of the client; an empty one is not sent.
	APIVersion *string
	// Decoder reads the body of a 2xx response; nil: it must be JSON or empty.
	Decoder Decoder
}

// Decoder makes something of a 2xx response. An error means that it can't be used.
type Decoder interface{ Decode(Response) error }

// DecoderFunc is a function that is a Decoder.
type DecoderFunc func(Response) error

// Decode implements Decoder.
func (f DecoderFunc) Decode(resp Response) error { return f(resp) }

// Response is the last response to a call.
type Response struct {
	StatusCode int
	Header     http.Header
	Body       []byte
	Attempts   int // attempts made, that of this response included
}

// Problem is a response that is not 2xx.
type Problem struct {
	StatusCode int
	Header     http.Header
	Body       []byte
	Method     string
	URL        string        // without signatures
	RetryAfter time.Duration // 0: none was given
	Secrets    []string      // what its error must not show
}

// Pipeline is the chain. It is safe for concurrent use.
type Pipeline struct {
	cfg    Config
	bearer Secret // what carries the key in its header

	budgets budgets
}

// New makes a pipeline.
func New(cfg Config) *Pipeline {
	bearer := "Bearer " + cfg.Key()
	return &Pipeline{cfg: cfg, bearer: func() string { return bearer }}
}

// Do makes a call and returns the last response, also together with an error where
// there was a response at all.
func (p *Pipeline) Do(ctx context.Context, r Request) (Response, error) {
	c := &call{pipeline: p, request: r}
	req, err := c.build(ctx)
	if err != nil {
		return Response{}, err
	}
	c.url = req.URL
	client := p.cfg.HTTPClient
	if r.Slow && p.cfg.SlowHTTPClient != nil {
		client = p.cfg.SlowHTTPClient
	}
	c.chain(client)
	c.run(req)
	return c.response, c.failure(ctx)
}

// CloseIdleConnections closes what no call uses just now, of the transports that can do so.
func (p *Pipeline) CloseIdleConnections() {
	p.cfg.HTTPClient.CloseIdleConnections()
	if slow := p.cfg.SlowHTTPClient; slow != nil && slow != p.cfg.HTTPClient {
		slow.CloseIdleConnections()
	}
}

// Redacted gives text without the key and without signatures.
func (p *Pipeline) Redacted(text string) string { return redact.Text(text, p.cfg.Key()) }

func transportOf(client *http.Client) http.RoundTripper {
	if t := client.Transport; t != nil {
		return t
	}
	return http.DefaultTransport
}
