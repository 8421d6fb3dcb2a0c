// Package pq_test runs the tests of sqlinbox with github.com/lib/pq.
package pq_test

import (
	"testing"

	_ "github.com/lib/pq" // the driver "postgres"
	"github.com/stretchr/testify/assert"

	"github.com/ittybit/ittybit-go/sqlinbox/internal/inboxtest"
)

func TestMain(m *testing.M) { inboxtest.Main(m) }

func TestDriver(t *testing.T) {
	t.Run("direct", func(t *testing.T) { inboxtest.Run(t, inboxtest.Postgres("postgres", "", 0)) })
	t.Run("through PgBouncer", func(t *testing.T) { inboxtest.Run(t, inboxtest.Postgres("postgres", "", 4)) })
}

// It prepares each statement without a name, and then executes it.
func TestRoundTrips(t *testing.T) {
	assert.LessOrEqual(t, inboxtest.RoundTrips(t, inboxtest.Postgres("postgres", "", 0)), 6)
}

// Whichever request fails. None hangs: lib/pq then waits for the server, whatever the context says.
func TestFaults(t *testing.T) {
	inboxtest.FailingOnTheWire(t, "postgres", inboxtest.Few, inboxtest.Fails, inboxtest.Loses, inboxtest.LosesReply)
}

func TestPooler_restartedUnderLoad(t *testing.T) {
	inboxtest.PoolerRestarted(t, inboxtest.Postgres("postgres", "", 4))
}

func TestCrash(t *testing.T) {
	t.Run("direct", func(t *testing.T) { inboxtest.Crash(t, inboxtest.OnPostgres(t, "postgres", "", 0)) })
	t.Run("through PgBouncer", func(t *testing.T) { inboxtest.Crash(t, inboxtest.OnPostgres(t, "postgres", "", 4)) })
}
