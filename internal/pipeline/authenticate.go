package pipeline

import (
	"net/http"
	"net/url"
)

// authenticator adds the key to requests for the scheme and host of the call. It stands
// behind the http.Client, so that a redirect to another host goes out without the key.
type authenticator struct {
	origin *url.URL // nil: the call is anonymous
	bearer Secret   // what carries the key in its header
}

// authenticate adds the key to req, which must be the attempt's own. value is where the header's
// value is kept.
func (a *authenticator) authenticate(req *http.Request, value *[1]string) {
	if a.origin == nil || req.URL.Scheme != a.origin.Scheme || req.URL.Host != a.origin.Host {
		return
	}
	value[0] = a.bearer()
	req.Header["Authorization"] = value[:]
}
