package pgxinbox_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/ittybit/ittybit-go/sqlinbox/internal/inboxtest"
)

func TestMain(m *testing.M) { inboxtest.Main(m) }

func TestDrivers(t *testing.T) {
	t.Run("direct", func(t *testing.T) { inboxtest.Run(t, inboxtest.Pgx("", 0)) })
	t.Run("through PgBouncer", func(t *testing.T) {
		inboxtest.Run(t, inboxtest.Pgx("&default_query_exec_mode=exec", 4))
	})
}

// The target is BEGIN with the key, the handler's statement and COMMIT.
func TestRoundTrips(t *testing.T) {
	assert.LessOrEqual(t, inboxtest.RoundTrips(t, inboxtest.Pgx("", 0)), 3)
}

// Whichever request fails, and however.
func TestFaults(t *testing.T) {
	inboxtest.FailingOnTheWire(t, "pgxpool", inboxtest.Sampled, inboxtest.Faults...)
}

func TestPooler(t *testing.T) {
	t.Run("restarted under load", func(t *testing.T) {
		inboxtest.PoolerRestarted(t, inboxtest.Pgx("&default_query_exec_mode=exec", 4))
	})
	t.Run("named statements of handlers", func(t *testing.T) {
		inboxtest.NamedStatementsRefused(t, inboxtest.Pgx("", 4))
	})
}

func TestCrash(t *testing.T) {
	t.Run("direct", func(t *testing.T) { inboxtest.Crash(t, inboxtest.OnPostgres(t, "pgxpool", "", 0)) })
	t.Run("through PgBouncer", func(t *testing.T) {
		inboxtest.Crash(t, inboxtest.OnPostgres(t, "pgxpool", "&default_query_exec_mode=exec", 4))
	})
}

func TestPostgresFailsOver(t *testing.T) {
	t.Parallel() // it has servers of its own, and waits for them
	inboxtest.FailedOver(t, "pgxpool")
}
