package pipeline

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// pool is a transport that counts how often its idle connections are closed.
type pool struct {
	script
	closed int
}

func (p *pool) CloseIdleConnections() { p.closed++ }

func TestShield_keepsIdleConnectionsOpen(t *testing.T) {
	p := &pool{script: script{steps: []roundTrip{answer(200, "")}}}
	(&http.Client{Transport: p}).CloseIdleConnections()
	require.Equal(t, 1, p.closed, "unshielded, they are closed")
	(&http.Client{Transport: shield{p}}).CloseIdleConnections()
	assert.Equal(t, 1, p.closed)
}

func TestDo_keepsIdleConnectionsOpenWhenACallFails(t *testing.T) {
	p := &pool{script: script{steps: []roundTrip{cut}}}
	_, err := New(testConfig(t, p)).Do(t.Context(), create)
	require.ErrorIs(t, err, errCut)
	assert.Equal(t, 1, p.tries())
	assert.Zero(t, p.closed)
}
