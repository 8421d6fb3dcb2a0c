package pgserver_test

import (
	"context"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go/internal/pgserver"
)

// reachable reports whether something listens at the server's address.
func reachable(t *testing.T, server *pgserver.Server) bool {
	t.Helper()
	address, err := url.Parse(server.URL())
	require.NoError(t, err)
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", address.Host)
	if err != nil {
		return false
	}
	require.NoError(t, conn.Close())
	return true
}

func TestServer_stopsAndStartsAtTheSameAddress(t *testing.T) {
	server := pgserver.NewServer(t)
	address := server.URL()
	assert.True(t, reachable(t, server))

	require.NoError(t, server.Pause())
	assert.False(t, reachable(t, server))
	require.NoError(t, server.Pause(), "it is stopped already")

	require.NoError(t, server.Resume(t.Context()))
	assert.Equal(t, address, server.URL())
	assert.True(t, reachable(t, server))
	require.NoError(t, server.Resume(t.Context()), "it runs already")

	require.NoError(t, server.Close())
	assert.False(t, reachable(t, server))
}

func TestStart_leavesNothingWhenItFails(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := pgserver.Start(ctx)
	require.Error(t, err)
	left, err := filepath.Glob(filepath.Join(os.TempDir(), "*"))
	require.NoError(t, err)
	assert.Empty(t, left)
}
