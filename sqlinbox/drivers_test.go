package sqlinbox_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/ittybit/ittybit-go/sqlinbox/internal/inboxtest"
)

// TestDrivers runs the shared table of tests. Those of further drivers are in the module
// drivertests.
func TestDrivers(t *testing.T) {
	t.Run("modernc, WAL", func(t *testing.T) { inboxtest.Run(t, inboxtest.SQLite("sqlite", "wal")) })
	t.Run("modernc, DELETE", func(t *testing.T) { inboxtest.Run(t, inboxtest.SQLite("sqlite", "delete")) })
	t.Run("pgx's stdlib", func(t *testing.T) { inboxtest.Run(t, inboxtest.Postgres("pgx", "", 0)) })
	t.Run("pgx's stdlib through PgBouncer", func(t *testing.T) {
		inboxtest.Run(t, inboxtest.Postgres("pgx", "&default_query_exec_mode=exec", 4))
	})
}

// The target is BEGIN, the key, the handler's statement and COMMIT.
func TestRoundTrips(t *testing.T) {
	assert.LessOrEqual(t, inboxtest.RoundTrips(t, inboxtest.Postgres("pgx", "", 0)), 4)
}

func TestPooler(t *testing.T) {
	t.Run("restarted under load", func(t *testing.T) {
		inboxtest.PoolerRestarted(t, inboxtest.Postgres("pgx", "&default_query_exec_mode=exec", 4))
	})
	t.Run("named statements", func(t *testing.T) {
		inboxtest.NamedStatementsRefused(t, inboxtest.Postgres("pgx", "", 4))
	})
}
