package pipeline

import (
	"net/http"
	"net/url"
)

// authenticate adds the key to requests for the API's own scheme and host. It
// stands behind the http.Client, so that a redirect to another host goes out
// without it.
type authenticate struct {
	next http.RoundTripper
	base *url.URL
	key  Secret
}

func (a *authenticate) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Scheme == a.base.Scheme && req.URL.Host == a.base.Host {
		req = req.Clone(req.Context()) // a RoundTripper must not change its request
		req.Header.Set("Authorization", "Bearer "+a.key())
	}
	return a.next.RoundTrip(req)
}
