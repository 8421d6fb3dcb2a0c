package ittybit_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
)

// webhookReadTimeout is short, so that the tests of slow senders are not.
const webhookReadTimeout = 80 * time.Millisecond

// webhookDial connects to a server. The connection gives up when the test would hang.
func webhookDial(tb testing.TB, addr string) *net.TCPConn {
	tb.Helper()
	conn, err := net.Dial("tcp", addr)
	require.NoError(tb, err)
	tb.Cleanup(func() { _ = conn.Close() })
	require.NoError(tb, conn.SetDeadline(time.Now().Add(webhookPatience)))
	tcp, ok := conn.(*net.TCPConn)
	require.True(tb, ok)
	return tcp
}

func webhookWrite(tb testing.TB, conn net.Conn, text string) {
	tb.Helper()
	_, err := io.WriteString(conn, text)
	require.NoError(tb, err)
}

// webhookTrickle writes a byte every few milliseconds until the server has hung up, or the test is over.
func webhookTrickle(tb testing.TB, conn net.Conn, chunk string) {
	tb.Helper()
	stop, stopped := make(chan struct{}), make(chan struct{})
	tb.Cleanup(func() { close(stop); _ = conn.Close(); <-stopped })
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			case <-time.After(5 * time.Millisecond):
			}
			if _, err := io.WriteString(conn, chunk); err != nil {
				return
			}
		}
	}()
}

// webhookReadAnswer reads one answer off a raw connection.
func webhookReadAnswer(tb testing.TB, reader *bufio.Reader) webhookAnswer {
	tb.Helper()
	resp, err := http.ReadResponse(reader, nil)
	require.NoError(tb, err, "the sender must get to see the answer")
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(tb, err)
	return webhookAnswer{Status: resp.StatusCode, Header: resp.Header, Body: string(text), Close: resp.Close}
}

// webhookClosed asserts that the server hangs up.
func webhookClosed(tb testing.TB, reader *bufio.Reader) {
	tb.Helper()
	_, err := reader.ReadByte()
	var timeout net.Error
	require.Error(tb, err)
	assert.False(tb, errors.As(err, &timeout) && timeout.Timeout(), "the connection is still open: %v", err)
}

func TestWebhookHandler_cutsSlowSendersOff(t *testing.T) {
	t.Parallel()
	head := func(method, framing string) string {
		return method + " / HTTP/1.1\r\nHost: localhost\r\n" + ittybit.SignatureHeader + ": t=1,v1=00\r\n" + framing + "\r\n\r\n"
	}
	tests := map[string]struct {
		request string
		trickle string // empty: it stalls
		status  int
	}{
		"a trickled body":                     {head("POST", "Content-Length: 100000"), "x", 408},
		"a trickled chunked body":             {head("POST", "Transfer-Encoding: chunked"), "1\r\nx\r\n", 408},
		"a stalled body":                      {head("POST", "Content-Length: 100") + "start", "", 408},
		"a body that never starts":            {head("POST", "Content-Length: 100"), "", 408},
		"a stalled chunk":                     {head("POST", "Transfer-Encoding: chunked") + "10\r\nabc", "", 408},
		"a chunk size that never ends":        {head("POST", "Transfer-Encoding: chunked") + "1", "0", 408},
		"a trickled PUT":                      {head("PUT", "Content-Length: 100000"), "x", 405},
		"a trickled chunked GET":              {head("GET", "Transfer-Encoding: chunked"), "1\r\nx\r\n", 405},
		"a stalled DELETE":                    {head("DELETE", "Content-Length: 100"), "", 405},
		"a huge claimed length, trickled":     {head("POST", "Content-Length: 999999999999"), "x", 413},
		"a huge claimed length, stalled":      {head("POST", "Content-Length: 9223372036854775807"), "", 413},
		"a huge claimed length of a PUT":      {head("PUT", "Content-Length: 999999999999"), "x", 405},
		"a length just above the limit":       {head("POST", "Content-Length: 1048577"), "", 413},
		"100-continue, and then nothing":      {head("POST", "Content-Length: 100\r\nExpect: 100-continue"), "", 408},
		"100-continue, refused by its length": {head("POST", "Content-Length: 999999999999\r\nExpect: 100-continue"), "", 413},
		"100-continue, refused by its method": {head("PUT", "Content-Length: 100\r\nExpect: 100-continue"), "", 405},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			recorder := newWebhookRecorder()
			srv := webhookServer(t, webhookHandler(t, recorder, ittybit.WithObserver(recorder.observe), ittybit.WithReadTimeout(webhookReadTimeout)))
			require.Zero(t, srv.Config.ReadTimeout+srv.Config.ReadHeaderTimeout+srv.Config.WriteTimeout+srv.Config.IdleTimeout, "the server has no timeouts of its own")
			conn := webhookDial(t, srv.Listener.Addr().String())
			reader := bufio.NewReader(conn)
			webhookWrite(t, conn, tt.request)
			if tt.trickle != "" {
				webhookTrickle(t, conn, tt.trickle)
			}
			answer := webhookReadAnswer(t, reader)
			if answer.Status == http.StatusContinue {
				answer = webhookReadAnswer(t, reader)
			}
			assert.Equal(t, tt.status, answer.Status)
			assert.Equal(t, webhookAnswerText(tt.status), answer.Body)
			assert.True(t, answer.Close)
			webhookClosed(t, reader)
			assert.Equal(t, tt.status, recorder.next(t).StatusCode)
			assert.Empty(t, recorder.handled())
		})
	}
}

// signedRaw is a whole request as it goes over the wire.
func signedRaw(body string) string {
	return fmt.Sprintf("POST / HTTP/1.1\r\nHost: localhost\r\n%s: %s\r\nContent-Length: %d\r\n\r\n%s",
		ittybit.SignatureHeader, signedHeader(body), len(body), body)
}

func TestWebhookHandler_keepsTheConnection(t *testing.T) {
	recorder := newWebhookRecorder()
	srv := webhookServer(t, webhookHandler(t, recorder, ittybit.WithReadTimeout(webhookReadTimeout)))
	conn := webhookDial(t, srv.Listener.Addr().String())
	reader := bufio.NewReader(conn)
	send := func(request string, want int) {
		t.Helper()
		webhookWrite(t, conn, request)
		answer := webhookReadAnswer(t, reader)
		assert.Equal(t, want, answer.Status)
		assert.False(t, answer.Close)
	}
	send(signedRaw("{}"), 200)
	send(signedRaw("{}"), 200)
	// The deadline has been put back: it does not strike a connection that is idle.
	time.Sleep(2 * webhookReadTimeout)
	send(signedRaw("{}"), 200)
	// Refusals of requests that were read whole keep it, too.
	send(strings.Replace(signedRaw("{}"), "v1=", "v1=00", 1), 401)
	send(signedRaw("[]"), 400)
	send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", 405)
	time.Sleep(2 * webhookReadTimeout)
	send(signedRaw("{}"), 200)
	assert.Len(t, recorder.handled(), 4)
}

func TestWebhookHandler_doesNotCutOffWhileItHandles(t *testing.T) {
	gone := make(chan error, 1)
	h := webhookHandler(t, ittybit.EventHandlerFunc(func(ctx context.Context, _ *ittybit.Event) error {
		request, ok := ctx.Value(webhookValueKey{}).(context.Context)
		if !ok {
			return errors.New("no request context")
		}
		time.Sleep(2 * webhookReadTimeout) // longer than a body may take
		gone <- request.Err()
		return nil
	}), ittybit.WithReadTimeout(webhookReadTimeout))
	srv := webhookServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), webhookValueKey{}, r.Context())))
	}))
	assert.Equal(t, http.StatusOK, webhookDeliver(t, srv, "{}").Status)
	assert.NoError(t, webhookReceive(t, gone), "the read deadline must not end the request")
}

func TestWebhookHandler_leavesAStricterServerInForce(t *testing.T) {
	recorder := newWebhookRecorder()
	srv := httptest.NewUnstartedServer(webhookHandler(t, recorder, ittybit.WithReadTimeout(time.Hour), ittybit.WithObserver(recorder.observe)))
	srv.Config.ReadTimeout = webhookReadTimeout
	srv.Start()
	t.Cleanup(srv.Close)
	conn := webhookDial(t, srv.Listener.Addr().String())
	reader := bufio.NewReader(conn)
	webhookWrite(t, conn, "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n")
	webhookTrickle(t, conn, "x")
	assert.Equal(t, http.StatusRequestTimeout, webhookReadAnswer(t, reader).Status)
	webhookClosed(t, reader)
	assert.Equal(t, ittybit.OutcomeBodyTimeout, recorder.next(t).Outcome)
	assert.Equal(t, http.StatusOK, webhookDeliver(t, srv, "{}").Status)
}

func TestWebhookHandler_isStricterThanALaxServer(t *testing.T) {
	recorder := newWebhookRecorder()
	srv := httptest.NewUnstartedServer(webhookHandler(t, recorder, ittybit.WithReadTimeout(webhookReadTimeout)))
	srv.Config.ReadTimeout = time.Hour
	srv.Start()
	t.Cleanup(srv.Close)
	conn := webhookDial(t, srv.Listener.Addr().String())
	reader := bufio.NewReader(conn)
	webhookWrite(t, conn, "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\nx")
	assert.Equal(t, http.StatusRequestTimeout, webhookReadAnswer(t, reader).Status)
	webhookClosed(t, reader)
}

func TestWebhookHandler_isNotDeceivedByContentLength(t *testing.T) {
	recorder := newWebhookRecorder()
	srv := webhookServer(t, webhookHandler(t, recorder, ittybit.WithObserver(recorder.observe)))
	signed := func(framing, body string) string {
		return "POST / HTTP/1.1\r\nHost: localhost\r\n" + ittybit.SignatureHeader + ": " + signedHeader("{}") + "\r\n" + framing + "\r\n\r\n" + body
	}
	t.Run("more is sent than claimed", func(t *testing.T) {
		conn := webhookDial(t, srv.Listener.Addr().String())
		reader := bufio.NewReader(conn)
		webhookWrite(t, conn, signed("Content-Length: 2", "{}trailing\r\n\r\n"))
		assert.Equal(t, http.StatusOK, webhookReadAnswer(t, reader).Status, "the body is what is claimed")
		assert.Equal(t, ittybit.OutcomeHandled, recorder.next(t).Outcome)
		assert.Equal(t, http.StatusBadRequest, webhookReadAnswer(t, reader).Status, "and the rest is no request")
	})
	t.Run("less is sent than claimed", func(t *testing.T) {
		conn := webhookDial(t, srv.Listener.Addr().String())
		webhookWrite(t, conn, signed("Content-Length: 10", "{}"))
		require.NoError(t, conn.CloseWrite())
		assert.Equal(t, http.StatusBadRequest, webhookReadAnswer(t, bufio.NewReader(conn)).Status)
		d := recorder.next(t)
		assert.Equal(t, ittybit.OutcomeBodyUnreadable, d.Outcome)
		assert.Zero(t, d.BodyBytes)
	})
	t.Run("chunked", func(t *testing.T) {
		conn := webhookDial(t, srv.Listener.Addr().String())
		webhookWrite(t, conn, signed("Transfer-Encoding: chunked", "1\r\n{\r\n1\r\n}\r\n0\r\n\r\n"))
		assert.Equal(t, http.StatusOK, webhookReadAnswer(t, bufio.NewReader(conn)).Status)
		assert.Equal(t, ittybit.OutcomeHandled, recorder.next(t).Outcome)
	})
	t.Run("chunked, with a broken chunk", func(t *testing.T) {
		conn := webhookDial(t, srv.Listener.Addr().String())
		webhookWrite(t, conn, signed("Transfer-Encoding: chunked", "zz\r\n{}\r\n0\r\n\r\n"))
		assert.Equal(t, http.StatusBadRequest, webhookReadAnswer(t, bufio.NewReader(conn)).Status)
		assert.Equal(t, ittybit.OutcomeBodyUnreadable, recorder.next(t).Outcome)
	})
	t.Run("chunked, without an end", func(t *testing.T) {
		conn := webhookDial(t, srv.Listener.Addr().String())
		reader := bufio.NewReader(conn)
		webhookWrite(t, conn, signed("Transfer-Encoding: chunked", ""))
		webhookTrickle(t, conn, "10000\r\n"+strings.Repeat("x", 0x10000)+"\r\n")
		assert.Equal(t, http.StatusRequestEntityTooLarge, webhookReadAnswer(t, reader).Status)
		assert.Equal(t, ittybit.OutcomeBodyTooLarge, recorder.next(t).Outcome)
	})
	t.Run("100-continue", func(t *testing.T) {
		conn := webhookDial(t, srv.Listener.Addr().String())
		reader := bufio.NewReader(conn)
		webhookWrite(t, conn, signed("Content-Length: 2\r\nExpect: 100-continue", ""))
		assert.Equal(t, http.StatusContinue, webhookReadAnswer(t, reader).Status)
		webhookWrite(t, conn, "{}")
		assert.Equal(t, http.StatusOK, webhookReadAnswer(t, reader).Status)
		assert.Equal(t, ittybit.OutcomeHandled, recorder.next(t).Outcome)
	})
	assert.Len(t, recorder.handled(), 3)
}
