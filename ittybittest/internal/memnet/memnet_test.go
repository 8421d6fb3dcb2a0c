package memnet

import (
	"context"
	"io"
	"net"
	"net/http"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func serve(n *Network, host, text string) *http.Server {
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, text+r.Host)
	})}
	go func() { _ = srv.Serve(n.Listen(host)) }()
	return srv
}

func TestNetwork_leadsEachHostToItsListener(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n Network
		one, rest := serve(&n, "api.test", "one "), serve(&n, "", "rest ")
		synctest.Wait()
		client := &http.Client{Transport: n.Transport()}
		for url, want := range map[string]string{
			"http://api.test/": "one api.test", "https://api.test/": "one api.test",
			"https://api.test:8443/": "one api.test:8443", "http://other.test/": "rest other.test",
		} {
			resp, err := client.Get(url)
			require.NoError(t, err)
			body, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close())
			assert.Equal(t, want, string(body))
		}
		client.CloseIdleConnections()
		require.NoError(t, one.Close())
		require.NoError(t, rest.Close())
		_, err := client.Get("http://other.test/")
		assert.ErrorIs(t, err, syscall.ECONNREFUSED)
	})
}

func TestDial_fails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n Network
		_, err := n.Dial(t.Context(), "tcp", "api.test:80")
		require.ErrorIs(t, err, syscall.ECONNREFUSED)
		l := n.Listen("api.test") // and nobody accepts
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err = n.Dial(ctx, "tcp", "api.test:80")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.NoError(t, l.Close())
		require.NoError(t, l.Close())
		_, err = l.Accept()
		require.ErrorIs(t, err, net.ErrClosed)
		_, err = n.Dial(t.Context(), "tcp", "api.test")
		assert.Error(t, err, "an address has a port")
	})
}

func TestConn_hasTheAddressesAndErrorsOfTCP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n Network
		l := n.Listen("")
		accepted := make(chan net.Conn, 1)
		go func() {
			c, err := l.Accept()
			assert.NoError(t, err)
			accepted <- c
		}()
		client, err := n.Dial(t.Context(), "tcp", "a.test:80")
		require.NoError(t, err)
		server := <-accepted
		host, _, err := net.SplitHostPort(server.RemoteAddr().String())
		require.NoError(t, err)
		assert.True(t, net.ParseIP(host).IsLoopback())
		require.NoError(t, server.Close())
		_, err = client.Write([]byte("x"))
		require.ErrorIs(t, err, syscall.EPIPE)
		var op *net.OpError
		assert.ErrorAs(t, err, &op)
	})
}
