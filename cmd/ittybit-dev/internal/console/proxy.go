package console

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"

	"github.com/ittybit/ittybit-go"
)

// proxy hands a request of the page on to the control or the API, with the key and the password
// that the page does not know.
func (c *Console) proxy() http.Handler {
	return &httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) {
			out := p.Out
			base, secret := c.config.API, c.config.Key
			path, raw := strings.TrimPrefix(out.URL.Path, "/api"), strings.TrimPrefix(out.URL.EscapedPath(), "/api")
			if strings.HasPrefix(path, "/_local/") {
				base, secret = c.config.Control, c.config.ControlPassword
			} else {
				out.Header.Set("Accept-Version", ittybit.APIVersion)
			}
			to, err := url.Parse(base)
			if err != nil {
				return // the transport refuses what has no host
			}
			out.URL.Scheme, out.URL.Host, out.URL.Path, out.URL.RawPath = to.Scheme, to.Host, to.Path+path, to.Path+raw
			out.Host = ""
			for _, name := range []string{"Cookie", "Origin", "Referer", header, "Sec-Fetch-Site", "Sec-Fetch-Mode", "Sec-Fetch-Dest", "Accept-Encoding"} {
				out.Header.Del(name)
			}
			out.Header.Del("Authorization")
			if secret != "" {
				out.Header.Set("Authorization", "Bearer "+secret)
			}
		},
		Transport: c,
		ErrorLog:  log.New(io.Discard, "", 0), // a stream that is cut: the page says so
		ModifyResponse: func(resp *http.Response) error {
			for name := range resp.Header { // those of the console hold
				switch http.CanonicalHeaderKey(name) {
				case "Content-Type", "Content-Length", "Content-Disposition", "Links":
				default:
					resp.Header.Del(name)
				}
			}
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			if r.Context().Err() == nil {
				fail(w, http.StatusBadGateway, "The local Ittybit does not answer: "+err.Error())
			}
		},
	}
}

// RoundTrip implements http.RoundTripper: the control has a transport of its own.
func (c *Console) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.HasPrefix(c.config.Control+"/", r.URL.Scheme+"://"+r.URL.Host+"/") {
		return c.config.Transport.RoundTrip(r)
	}
	return http.DefaultTransport.RoundTrip(r)
}

// get reads something of the control.
func (c *Console) get(ctx context.Context, path string) (content []byte, status int, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.config.Control+path, nil)
	if err != nil {
		return nil, 0, err
	}
	if c.config.ControlPassword != "" {
		req.Header.Set("Authorization", "Bearer "+c.config.ControlPassword)
	}
	resp, err := c.control.Do(req)
	if err != nil {
		return nil, 0, err
	}
	defer func() { _ = resp.Body.Close() }() // it is only read
	content, err = io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode >= http.StatusBadRequest {
		var refusal struct{ Message string }
		_ = json.Unmarshal(content, &refusal) // without a message the status says enough
		err = fmt.Errorf("%s: %s", resp.Status, refusal.Message)
	}
	return content, resp.StatusCode, err
}
