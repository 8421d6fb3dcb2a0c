// Package pgdriver_test runs the tests of sqlinbox with bun's driver for PostgreSQL.
package pgdriver_test

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	_ "github.com/uptrace/bun/driver/pgdriver" // the driver "pg"

	"github.com/ittybit/ittybit-go/sqlinbox/internal/inboxtest"
)

func TestMain(m *testing.M) { inboxtest.Main(m) }

// Where it differs from pgx: its Commit gives no error for what was rolled back, its errors have no
// SQLState, a zero time is NULL, and a deadline ends the connection. ITTYBIT_TEST_CRASH=full runs
// the whole table, also through PgBouncer.
func TestDriver(t *testing.T) {
	if os.Getenv("ITTYBIT_TEST_CRASH") == "full" {
		t.Run("direct", func(t *testing.T) { inboxtest.Run(t, inboxtest.Postgres("pg", "", 0)) })
		t.Run("through PgBouncer", func(t *testing.T) { inboxtest.Run(t, inboxtest.Postgres("pg", "", 4)) })
		return
	}
	inboxtest.Run(t, inboxtest.Postgres("pg", "", 0), "an SQL error swallowed", "ended by SQL", "no table",
		"replayed with the cursor", "context ended while it waits")
}

// One of them asks whether there is a transaction to commit, because Commit does not say so.
func TestRoundTrips(t *testing.T) {
	assert.LessOrEqual(t, inboxtest.RoundTrips(t, inboxtest.Postgres("pg", "", 0)), 5)
}
