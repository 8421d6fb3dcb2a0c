package pipeline

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"

	"github.com/hashicorp/go-retryablehttp"
)

// idempotencyHeader is spelled in lower case on purpose. Under the canonical spelling, net/http's
// Transport takes the request for one that may be repeated, and sends it again by itself when a
// reused connection breaks, past every rule of ours. On the wire, header names know no case.
const idempotencyHeader = "idempotency-key"

const mediaType = "application/json"

func (c *call) build(ctx context.Context) (*retryablehttp.Request, error) {
	r := &c.request
	req, err := retryablehttp.NewRequestWithContext(ctx, r.Method, c.pipeline.address(r), r.body())
	if err != nil {
		return nil, fmt.Errorf("ittybit: %s %s%s: %w", r.Method, r.Path, r.ID, withoutURL(err))
	}
	if r.Stream != nil {
		req.ContentLength = r.ContentLength // which go-retryablehttp does not know
	}
	c.fill(req.Header)
	return req, nil
}

// fill sets the headers of the call, whose values share the memory of the call.
func (c *call) fill(header http.Header) {
	c.values = [...]string{mediaType, c.pipeline.cfg.APIVersion, c.pipeline.cfg.UserAgent, c.request.IdempotencyKey}
	header["Accept"], header["User-Agent"] = c.values[0:1:1], c.values[2:3:3]
	if version := c.request.APIVersion; version != nil {
		c.values[1] = *version
	}
	if c.values[1] != "" {
		header["Accept-Version"] = c.values[1:2:2]
	}
	if c.request.Body != nil {
		header["Content-Type"] = c.values[0:1:1]
	}
	maps.Copy(header, c.request.Header)
	if c.request.IdempotencyKey != "" {
		header[idempotencyHeader] = c.values[3:4:4]
	}
}

func (p *Pipeline) address(r *Request) string {
	if r.URL != nil {
		return r.URL.String()
	}
	target := p.cfg.BaseURL.Scheme + "://" + p.cfg.BaseURL.Host + p.cfg.BaseURL.EscapedPath() + r.Path + r.ID
	if query := r.Query.Encode(); query != "" {
		target += "?" + query
	}
	return target
}

// body is what go-retryablehttp takes for a body: an untyped nil, where there is none.
func (r *Request) body() any {
	switch {
	case r.Stream != nil:
		return retryablehttp.ReaderFunc(func() (io.Reader, error) { return r.Stream(), nil })
	case r.Body != nil:
		return r.Body
	}
	return nil
}
