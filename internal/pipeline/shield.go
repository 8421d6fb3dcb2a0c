package pipeline

import "net/http"

// shield hides the transport's CloseIdleConnections. go-retryablehttp calls it
// whenever a request fails, which would close the idle connections of everybody who
// shares the caller's http.Client.
type shield struct{ next http.RoundTripper }

func (s shield) RoundTrip(req *http.Request) (*http.Response, error) { return s.next.RoundTrip(req) }
