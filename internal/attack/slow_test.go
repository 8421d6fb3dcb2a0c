package attack

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
)

// shortReadTimeout is short, so that the tests of slow senders are not.
const shortReadTimeout = 80 * time.Millisecond

// recorder keeps what a handler is given, and what became of each delivery.
type recorder struct {
	mu       sync.Mutex
	handled  int
	outcomes chan ittybit.Outcome
}

func newRecorder() *recorder { return &recorder{outcomes: make(chan ittybit.Outcome, 1000)} }

func (r *recorder) HandleEvent(context.Context, *ittybit.Event) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.handled++
	return nil
}

func (r *recorder) observe(_ context.Context, d ittybit.Delivery) { r.outcomes <- d.Outcome }

func (r *recorder) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.handled
}

// receive waits for a value.
func receive[T any](t *testing.T, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(serverTimeout):
		require.FailNow(t, "nothing came")
		panic("unreachable")
	}
}

func newHandler(t *testing.T, next ittybit.EventHandler, opts ...ittybit.WebhookOption) *ittybit.WebhookHandler {
	t.Helper()
	h, err := ittybit.NewWebhookHandler(secret, next, opts...)
	require.NoError(t, err)
	return h
}

// newServer serves h on loopback, with a ReadTimeout or none.
func newServer(t *testing.T, h http.Handler, readTimeout time.Duration) *httptest.Server {
	t.Helper()
	srv := httptest.NewUnstartedServer(h)
	srv.Config.ReadTimeout = readTimeout
	srv.Start()
	t.Cleanup(srv.Close)
	return srv
}

// dialServer connects to srv.
func dialServer(t *testing.T, srv *httptest.Server) *conn {
	t.Helper()
	s := &sender{target: srv.Listener.Addr().String(), tally: newTally()}
	c, ok := s.dial()
	require.True(t, ok)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// trickle writes piece every few milliseconds until the server has hung up, or the test is over.
func (c *conn) trickle(t *testing.T, piece string) {
	t.Helper()
	stop, stopped := make(chan struct{}), make(chan struct{})
	t.Cleanup(func() { close(stop); _ = c.Close(); <-stopped })
	go func() {
		defer close(stopped)
		for c.say(piece) {
			select {
			case <-stop:
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	}()
}

// deliver posts a signed body with a client of its own, and gives the status.
func deliver(t *testing.T, srv *httptest.Server, body string) int {
	t.Helper()
	status, err := deliverTo(srv, body, sign(body))
	require.NoError(t, err)
	return status
}

func deliverTo(srv *httptest.Server, body, signature string) (int, error) {
	r, err := http.NewRequest(http.MethodPost, srv.URL, strings.NewReader(body))
	if err != nil {
		return 0, err
	}
	r.Header.Set(ittybit.SignatureHeader, signature)
	resp, err := srv.Client().Do(r)
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, errors.Join(err, resp.Body.Close())
}

func TestWebhookHandler_cutsSlowSendersOff(t *testing.T) {
	t.Parallel()
	forged := signatureField("t=1,v1=00")
	for name, tt := range map[string]struct {
		request string
		trickle string // empty: it stalls
		status  string
	}{
		"a trickled body":                     {post(forged, "Content-Length: 100000"), "x", "408"},
		"a trickled chunked body":             {post(forged, "Transfer-Encoding: chunked"), "1\r\nx\r\n", "408"},
		"a stalled body":                      {post(forged, "Content-Length: 100") + "start", "", "408"},
		"a body that never starts":            {post(forged, "Content-Length: 100"), "", "408"},
		"a stalled chunk":                     {post(forged, "Transfer-Encoding: chunked") + "10\r\nabc", "", "408"},
		"a chunk size that never ends":        {post(forged, "Transfer-Encoding: chunked") + "1", "0", "408"},
		"a trickled PUT":                      {head("PUT /", forged, "Content-Length: 100000"), "x", "405"},
		"a trickled chunked GET":              {head("GET /", forged, "Transfer-Encoding: chunked"), "1\r\nx\r\n", "405"},
		"a stalled DELETE":                    {head("DELETE /", forged, "Content-Length: 100"), "", "405"},
		"a huge claimed length, trickled":     {post(forged, "Content-Length: 999999999999"), "x", "413"},
		"a huge claimed length, stalled":      {post(forged, "Content-Length: 9223372036854775807"), "", "413"},
		"a huge claimed length of a PUT":      {head("PUT /", forged, "Content-Length: 999999999999"), "x", "405"},
		"a length just above the limit":       {post(forged, "Content-Length: 1048577"), "", "413"},
		"100-continue, and then nothing":      {post(forged, "Content-Length: 100", "Expect: 100-continue"), "", "408"},
		"100-continue, refused by its length": {post(forged, "Content-Length: 999999999999", "Expect: 100-continue"), "", "413"},
		"100-continue, refused by its method": {head("PUT /", forged, "Content-Length: 100", "Expect: 100-continue"), "", "405"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rec := newRecorder()
			srv := newServer(t, newHandler(t, rec, ittybit.WithObserver(rec.observe), ittybit.WithReadTimeout(shortReadTimeout)), 0)
			require.Zero(t, srv.Config.ReadHeaderTimeout+srv.Config.WriteTimeout+srv.Config.IdleTimeout, "the server has no timeouts of its own")
			c := dialServer(t, srv)
			require.True(t, c.say(tt.request))
			if tt.trickle != "" {
				c.trickle(t, tt.trickle)
			}
			assert.Equal(t, tt.status, c.response(), "the sender must get to see the response")
			assert.Equal(t, cut, c.response(), "and the server hangs up")
			receive(t, rec.outcomes)
			assert.Zero(t, rec.count())
		})
	}
}

func TestWebhookHandler_keepsTheConnection(t *testing.T) {
	rec := newRecorder()
	c := dialServer(t, newServer(t, newHandler(t, rec, ittybit.WithReadTimeout(shortReadTimeout)), 0))
	send := func(request, want string) {
		t.Helper()
		require.True(t, c.say(request))
		assert.Equal(t, want, c.response())
	}
	send(whole("{}", sign("{}")), "200")
	send(whole("{}", sign("{}")), "200")
	// The deadline has been put back: it does not strike a connection that is idle.
	time.Sleep(2 * shortReadTimeout)
	send(whole("{}", sign("{}")), "200")
	// Refusals of requests that were read whole keep it, too.
	send(strings.Replace(whole("{}", sign("{}")), "v1=", "v1=00", 1), "401")
	send(whole("[]", sign("[]")), "400")
	send(head("GET /"), "405")
	time.Sleep(2 * shortReadTimeout)
	send(whole("{}", sign("{}")), "200")
	assert.Equal(t, 4, rec.count())
}

type requestKey struct{}

func TestWebhookHandler_doesNotCutOffWhileItHandles(t *testing.T) {
	gone := make(chan error, 1)
	h := newHandler(t, ittybit.EventHandlerFunc(func(ctx context.Context, _ *ittybit.Event) error {
		request, ok := ctx.Value(requestKey{}).(context.Context)
		if !ok {
			return errors.New("no request context")
		}
		time.Sleep(2 * shortReadTimeout) // longer than a body may take
		gone <- request.Err()
		return nil
	}), ittybit.WithReadTimeout(shortReadTimeout))
	srv := newServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), requestKey{}, r.Context())))
	}), 0)
	assert.Equal(t, http.StatusOK, deliver(t, srv, "{}"))
	assert.NoError(t, receive(t, gone), "the read deadline must not end the request")
}

func TestWebhookHandler_followsTheStricterOfItsServerAndItself(t *testing.T) {
	for name, tt := range map[string]struct{ server, handler time.Duration }{
		"a strict server": {shortReadTimeout, time.Hour},
		"a lax server":    {time.Hour, shortReadTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			rec := newRecorder()
			srv := newServer(t, newHandler(t, rec, ittybit.WithReadTimeout(tt.handler), ittybit.WithObserver(rec.observe)), tt.server)
			c := dialServer(t, srv)
			require.True(t, c.say(post("Content-Length: 100000")))
			c.trickle(t, "x")
			assert.Equal(t, "408", c.response())
			assert.Equal(t, cut, c.response())
			assert.Equal(t, ittybit.OutcomeBodyTimeout, receive(t, rec.outcomes))
			assert.Equal(t, http.StatusOK, deliver(t, srv, "{}"))
		})
	}
}

func TestWebhookHandler_isNotDeceivedByContentLength(t *testing.T) {
	rec := newRecorder()
	srv := newServer(t, newHandler(t, rec, ittybit.WithObserver(rec.observe)), 0)
	signed := func(framing, body string) string {
		return post(signatureField(sign("{}")), framing) + body
	}
	for _, tt := range []struct {
		name, request, then, pour string // then: after half closing, or 100 Continue
		responses                 []string
		outcome                   ittybit.Outcome
	}{
		{
			name: "more is sent than claimed", request: signed("Content-Length: 2", "{}trailing\r\n\r\n"),
			responses: []string{"200", "400"}, outcome: ittybit.OutcomeHandled, // the body is what is claimed, and the rest is no request
		},
		{
			name: "less is sent than claimed", request: signed("Content-Length: 10", "{}"), then: "half closed",
			responses: []string{"400"}, outcome: ittybit.OutcomeBodyUnreadable,
		},
		{
			name: "chunked", request: signed("Transfer-Encoding: chunked", "1\r\n{\r\n1\r\n}\r\n0\r\n\r\n"),
			responses: []string{"200"}, outcome: ittybit.OutcomeHandled,
		},
		{
			name: "chunked, with a broken chunk", request: signed("Transfer-Encoding: chunked", "zz\r\n{}\r\n0\r\n\r\n"),
			responses: []string{"400"}, outcome: ittybit.OutcomeBodyUnreadable,
		},
		{
			name: "chunked, without an end", request: signed("Transfer-Encoding: chunked", ""),
			pour: "10000\r\n" + strings.Repeat("x", 0x10000) + "\r\n", responses: []string{"413"}, outcome: ittybit.OutcomeBodyTooLarge,
		},
		{
			name: "100-continue", request: signed("Content-Length: 2\r\nExpect: 100-continue", ""), then: "{}",
			responses: []string{"200"}, outcome: ittybit.OutcomeHandled,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := dialServer(t, srv)
			require.True(t, c.say(tt.request))
			switch {
			case tt.then == "half closed":
				require.NoError(t, c.CloseWrite())
			case tt.then != "":
				resp, err := http.ReadResponse(c.reader, nil)
				require.NoError(t, err)
				require.Equal(t, http.StatusContinue, resp.StatusCode)
				require.True(t, c.say(tt.then))
			case tt.pour != "":
				c.trickle(t, tt.pour)
			}
			for _, want := range tt.responses {
				assert.Equal(t, want, c.response())
			}
			assert.Equal(t, tt.outcome, receive(t, rec.outcomes))
		})
	}
	assert.Equal(t, 3, rec.count())
}

func TestWebhookHandler_isNotFilledByUnsignedTraffic(t *testing.T) {
	srv := newServer(t, newHandler(t, ittybit.NewEventMux(), ittybit.WithMaxInFlight(1)), 0)
	// Three unsigned senders that hold back the end of their bodies, and so are being read.
	for range 3 {
		require.True(t, dialServer(t, srv).say(post("Content-Length: 10")+"12345"))
	}
	for range 20 {
		status, err := deliverTo(srv, "{}", "junk")
		require.NoError(t, err)
		require.Equal(t, http.StatusUnauthorized, status)
	}
	assert.Equal(t, http.StatusOK, deliver(t, srv, "{}"))
}

func TestMiddleware_cutsSlowSendersOffAndKeepsTheConnectionOfOthers(t *testing.T) {
	v, err := ittybit.NewWebhookVerifier(secret)
	require.NoError(t, err)
	srv := newServer(t, v.Middleware(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })), time.Second)
	c := dialServer(t, srv)
	for _, want := range []string{"204", "401", "204"} {
		request := whole("{}", sign("{}"))
		if want == "401" {
			request = strings.Replace(request, "v1=", "v1=00", 1)
		}
		require.True(t, c.say(request))
		assert.Equal(t, want, c.response())
	}
	slow := dialServer(t, srv)
	require.True(t, slow.say(post("Content-Length: 100000")))
	slow.trickle(t, "x")
	assert.Equal(t, "408", slow.response())
	assert.Equal(t, cut, slow.response())
}

func TestWebhookHandler_cutsAStreamOfHTTP2OffAndNoOther(t *testing.T) {
	blocked, release := make(chan struct{}), make(chan struct{})
	rec := newRecorder()
	events := ittybit.NewEventMux()
	events.OnUnhandled(rec.HandleEvent)
	events.OnMediaCreated(func(context.Context, *ittybit.Event) error {
		close(blocked)
		<-release
		return nil
	})
	srv := httptest.NewUnstartedServer(newHandler(t, events, ittybit.WithReadTimeout(shortReadTimeout)))
	srv.EnableHTTP2 = true
	srv.StartTLS()
	t.Cleanup(srv.Close)
	post2 := func(body io.Reader) int {
		r, err := http.NewRequest(http.MethodPost, srv.URL, body)
		require.NoError(t, err)
		resp, err := srv.Client().Do(r)
		require.NoError(t, err)
		assert.Equal(t, 2, resp.ProtoMajor)
		assert.NoError(t, resp.Body.Close())
		return resp.StatusCode
	}

	// One delivery is being handled all the while, in the same connection.
	const media = `{"id":"med_1","object":"media"}`
	other := deliverAside(func() (int, error) { return deliverTo(srv, media, sign(media)) })
	receive(t, blocked)
	assert.Equal(t, http.StatusUnauthorized, post2(http.NoBody))
	assert.Equal(t, http.StatusOK, deliver(t, srv, task("task_1")))

	// A sender that stalls is cut off, and the other stream is not.
	body, stall := io.Pipe()
	t.Cleanup(func() { assert.NoError(t, stall.Close()) })
	go func() { _, _ = io.WriteString(stall, "start") }()
	assert.Equal(t, http.StatusRequestTimeout, post2(body))
	assert.Empty(t, other, "it is still being handled")
	assert.Equal(t, http.StatusOK, deliver(t, srv, task("task_2")))

	close(release)
	assert.Equal(t, result{status: http.StatusOK}, receive(t, other))
	assert.Equal(t, 2, rec.count())
}
