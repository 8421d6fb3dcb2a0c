package pipeline

import (
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// preflight makes a request of its own to another server before each one, under the
// context of that, as a transport does that fetches a token.
type preflight struct {
	url  string
	next http.RoundTripper
}

func (p preflight) RoundTrip(req *http.Request) (*http.Response, error) {
	token, err := http.NewRequestWithContext(req.Context(), http.MethodGet, p.url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := p.next.RoundTrip(token)
	if err != nil {
		return nil, err
	}
	_ = resp.Body.Close()
	return p.next.RoundTrip(req)
}

func TestTraced_doesNotTakeARequestToAnotherHostForAReplay(t *testing.T) {
	var created atomic.Int32
	server := func(fn http.HandlerFunc) *httptest.Server {
		s := httptest.NewUnstartedServer(fn)
		s.EnableHTTP2 = true
		s.StartTLS()
		t.Cleanup(s.Close)
		return s
	}
	tokens := server(func(http.ResponseWriter, *http.Request) {})
	api := server(func(http.ResponseWriter, *http.Request) { created.Add(1) })
	transport, ok := api.Client().Transport.(*http.Transport)
	require.True(t, ok)
	transport.TLSClientConfig.InsecureSkipVerify = true // both are on this machine

	var c call
	step := &traced{next: preflight{tokens.URL, transport}, trace: &c.trace, creates: true}
	for range 2 {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, api.URL, strings.NewReader("{}"))
		require.NoError(t, err)
		resp, err := step.RoundTrip(req)
		require.NoError(t, err)
		assert.Equal(t, 2, resp.ProtoMajor)
		require.NoError(t, resp.Body.Close())
	}
	assert.EqualValues(t, 2, created.Load())
}

// uncomparableConn is a connection that == panics on.
type uncomparableConn struct {
	net.Conn
	_ []func()
}

func TestSameConn_bearsConnectionsThatCannotBeCompared(t *testing.T) {
	one, other := net.Pipe()
	defer func() { _, _ = one.Close(), other.Close() }()
	assert.True(t, sameConn(one, one))
	assert.False(t, sameConn(one, other))
	assert.False(t, sameConn(nil, one))
	assert.False(t, sameConn(uncomparableConn{Conn: one}, uncomparableConn{Conn: one}))
}
