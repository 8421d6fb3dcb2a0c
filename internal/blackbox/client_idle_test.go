package blackbox

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/internal/apitest"
)

// idleServer tells of each connection that it sees opened and closed.
func idleServer(t *testing.T, handler http.HandlerFunc) (server *httptest.Server, opened *atomic.Int64, closed chan struct{}) {
	t.Helper()
	opened, closed = new(atomic.Int64), make(chan struct{}, 16)
	server = httptest.NewUnstartedServer(handler)
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			opened.Add(1)
		case http.StateClosed:
			closed <- struct{}{}
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	return server, opened, closed
}

func idleClosed(t *testing.T, closed <-chan struct{}) {
	t.Helper()
	select {
	case <-closed:
	case <-time.After(10 * time.Second):
		require.Fail(t, "the connection is still there")
	}
}

func TestClient_closesItsIdleConnections(t *testing.T) {
	server, opened, closed := idleServer(t, apitest.Respond(200, apitest.Task))
	client := apitest.Client(t, server.URL)
	client.CloseIdleConnections() // there is none
	for range 2 {
		_, err := client.Tasks.Get(t.Context(), "task_1")
		require.NoError(t, err)
		_, err = client.Files.Get(t.Context(), "file_1") // the responses have an id
		require.NoError(t, err)
		// Creating a file may take its time, and has a transport of its own.
		_, err = client.Files.Create(t.Context(), ittybit.FileCreateParams{URL: "https://example.com/a.mp4"})
		require.ErrorAs(t, err, new(*ittybit.AcceptedError))
		assert.Empty(t, closed, "they are kept")
		client.CloseIdleConnections()
		idleClosed(t, closed)
		idleClosed(t, closed)
	}
	assert.Equal(t, int64(2*2), opened.Load())
}

func TestUploader_closesItsIdleConnections(t *testing.T) {
	server, _, closed := idleServer(t, func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
	uploader, err := ittybit.NewUploader()
	require.NoError(t, err)
	signed, err := ittybit.SignURL(apitest.Key, ittybit.SignURLParams{Domain: server.URL, Path: "x.mp4", Expiry: time.Now().Add(time.Hour), Method: ittybit.SignedURLMethodPut})
	require.NoError(t, err)
	_, err = uploader.Upload(t.Context(), ittybit.UploadParams{SignedURL: signed.URL, Body: strings.NewReader("x")})
	require.NoError(t, err)
	assert.Empty(t, closed)
	uploader.CloseIdleConnections()
	idleClosed(t, closed)
}

// idleTransport counts how often it is asked to close its idle connections.
type idleTransport struct {
	http.RoundTripper
	asked int
}

func (t *idleTransport) CloseIdleConnections() { t.asked++ }

func TestClient_closesIdleConnectionsOfACallersTransportAsNetHTTPDoes(t *testing.T) {
	able := &idleTransport{}
	client, err := ittybit.NewClient(apitest.Key, ittybit.WithHTTPClient(&http.Client{Transport: able}))
	require.NoError(t, err)
	client.CloseIdleConnections()
	assert.Equal(t, 1, able.asked)

	unable, seen := apitest.Fake(t, apitest.Always(200, apitest.Task))
	unable.CloseIdleConnections()
	_, err = unable.Tasks.Get(t.Context(), "task_1")
	require.NoError(t, err)
	assert.Equal(t, 1, seen.Count(), "it can be used afterwards")
}
