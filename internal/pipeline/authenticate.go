package pipeline

import "net/http"

// authenticate adds the key to req, which must be the attempt's own, if it goes to the scheme and
// host of the call. It runs behind the http.Client, so that a redirect to another host goes out
// without the key. value is where the header's value is kept.
func (t *traced) authenticate(req *http.Request, value *[1]string) {
	if t.origin == nil || req.URL.Scheme != t.origin.Scheme || req.URL.Host != t.origin.Host {
		return
	}
	value[0] = t.bearer()
	req.Header["Authorization"] = value[:]
}
