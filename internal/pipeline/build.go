package pipeline

import (
	"context"
	"fmt"
	"io"
	"maps"

	"github.com/hashicorp/go-retryablehttp"
)

// idempotencyHeader is spelled in lower case on purpose. Under the canonical
// spelling, net/http's Transport takes the request for one that may be repeated, and
// sends it again by itself when a reused connection breaks, past every rule of ours.
// On the wire, header names know no case.
const idempotencyHeader = "idempotency-key"

// build makes the HTTP request of a call.
func (p *Pipeline) build(ctx context.Context, r Request) (*retryablehttp.Request, error) {
	req, err := retryablehttp.NewRequestWithContext(ctx, r.Method, p.address(r), r.body())
	if err != nil {
		return nil, fmt.Errorf("ittybit: %s %s: %w", r.Method, r.Path, withoutURL(err))
	}
	if r.Stream != nil {
		req.ContentLength = r.ContentLength // which go-retryablehttp can't tell
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Accept-Version", p.cfg.APIVersion)
	req.Header.Set("User-Agent", p.cfg.UserAgent)
	if r.Body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	maps.Copy(req.Header, r.Header)
	if r.IdempotencyKey != "" {
		req.Header[idempotencyHeader] = []string{r.IdempotencyKey}
	}
	return req, nil
}

// address is the URL of a call.
func (p *Pipeline) address(r Request) string {
	if r.URL != nil {
		return r.URL.String()
	}
	target := p.cfg.BaseURL.Scheme + "://" + p.cfg.BaseURL.Host + p.cfg.BaseURL.EscapedPath() + r.Path
	if query := r.Query.Encode(); query != "" {
		target += "?" + query
	}
	return target
}

// body is what go-retryablehttp takes for a body: an untyped nil, where there is none.
func (r Request) body() any {
	switch {
	case r.Stream != nil:
		return retryablehttp.ReaderFunc(func() (io.Reader, error) { return r.Stream(), nil })
	case r.Body != nil:
		return r.Body
	}
	return nil
}
