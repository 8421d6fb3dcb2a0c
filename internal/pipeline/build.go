package pipeline

import (
	"context"
	"fmt"
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
	target := p.cfg.BaseURL.Scheme + "://" + p.cfg.BaseURL.Host + p.cfg.BaseURL.EscapedPath() + r.Path
	if query := r.Query.Encode(); query != "" {
		target += "?" + query
	}
	var body any // an untyped nil, where there is none
	if r.Body != nil {
		body = r.Body
	}
	req, err := retryablehttp.NewRequestWithContext(ctx, r.Method, target, body)
	if err != nil {
		return nil, fmt.Errorf("ittybit: %s %s: %w", r.Method, r.Path, err)
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Accept-Version", p.cfg.APIVersion)
	req.Header.Set("User-Agent", p.cfg.UserAgent)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	maps.Copy(req.Header, r.Header)
	if r.IdempotencyKey != "" {
		req.Header[idempotencyHeader] = []string{r.IdempotencyKey}
	}
	return req, nil
}
