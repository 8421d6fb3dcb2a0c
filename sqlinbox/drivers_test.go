package sqlinbox_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/ittybit/ittybit-go/internal/pgserver"
	"github.com/ittybit/ittybit-go/sqlinbox"
	"github.com/ittybit/ittybit-go/sqlinbox/internal/inboxtest"
)

// TestDrivers runs the shared table of tests. Those of further drivers are in the module
// drivertests.
func TestDrivers(t *testing.T) {
	t.Run("modernc, WAL", func(t *testing.T) { inboxtest.Run(t, inboxtest.SQLite("sqlite", "wal")) })
	t.Run("modernc, DELETE", func(t *testing.T) { inboxtest.Run(t, inboxtest.SQLite("sqlite", "delete")) })
	t.Run("modernc, WAL, groups", func(t *testing.T) { inboxtest.Run(t, inboxtest.SQLite("sqlite", "wal", inboxtest.Grouped())) })
	t.Run("modernc, DELETE, groups", func(t *testing.T) {
		inboxtest.Run(t, inboxtest.SQLite("sqlite", "delete", inboxtest.Grouped()))
	})
	t.Run("pgx's stdlib", func(t *testing.T) { inboxtest.Run(t, inboxtest.Postgres("pgx", "", 0)) })
	t.Run("go-sql-driver", func(t *testing.T) { inboxtest.Run(t, inboxtest.MariaDB("")) })
	t.Run("go-sql-driver, other parameters", func(t *testing.T) { inboxtest.Run(t, inboxtest.MariaDB(otherParameters)) })
	t.Run("pgx's stdlib through PgBouncer", func(t *testing.T) {
		inboxtest.Run(t, inboxtest.Postgres("pgx", "&default_query_exec_mode=exec", 4))
	})
}

// otherParameters are those of a DSN that change how times are read, rows are counted and
// statements are sent.
const otherParameters = "?parseTime=true&loc=Asia%2FTokyo&clientFoundRows=true&interpolateParams=true&time_zone=%27-05:00%27"

// The target is BEGIN, the key, the handler's statement and COMMIT.
func TestRoundTrips(t *testing.T) {
	assert.LessOrEqual(t, inboxtest.RoundTrips(t, inboxtest.Postgres("pgx", "", 0)), 4)
}

// Whichever call fails, and however: see also TestWithGroupCommit_whicheverCallOfTheDriverFails.
func TestFaults(t *testing.T) {
	t.Run("driver", func(t *testing.T) {
		inboxtest.Failing(t, sqlinbox.Postgres, "pgx", pgserver.Database(t), inboxtest.Sampled)
	})
	t.Run("wire", func(t *testing.T) { inboxtest.FailingOnTheWire(t, "pgx", inboxtest.Sampled, inboxtest.Faults...) })
	t.Run("wire to MariaDB", func(t *testing.T) { inboxtest.FailingOnTheWire(t, "mysql", inboxtest.Sampled, inboxtest.Faults...) })
}

// They are SET, START TRANSACTION, the key, the handler's statement, the outcome, COMMIT and SET.
// Without interpolateParams the handler's is prepared first.
func TestRoundTrips_MariaDB(t *testing.T) {
	assert.Equal(t, 8, inboxtest.RoundTrips(t, inboxtest.MariaDB("")))
	assert.Equal(t, 7, inboxtest.RoundTrips(t, inboxtest.MariaDB("?interpolateParams=true")))
}

func TestPooler(t *testing.T) {
	t.Run("restarted under load", func(t *testing.T) {
		inboxtest.PoolerRestarted(t, inboxtest.Postgres("pgx", "&default_query_exec_mode=exec", 4))
	})
	t.Run("busy", func(t *testing.T) {
		inboxtest.PoolerBusy(t, inboxtest.Postgres("pgx", "&default_query_exec_mode=exec", 4))
	})
	t.Run("named statements", func(t *testing.T) {
		inboxtest.NamedStatementsRefused(t, inboxtest.Postgres("pgx", "", 4))
	})
}

// servers are the databases that processes of their own open.
var servers = map[string]func(t testing.TB) inboxtest.Server{
	"SQLite":         func(t testing.TB) inboxtest.Server { return inboxtest.OnSQLite(t, "sqlite", "wal", 0) },
	"SQLite, groups": func(t testing.TB) inboxtest.Server { return inboxtest.OnSQLite(t, "sqlite", "wal", 32) },
	"PostgreSQL":     func(t testing.TB) inboxtest.Server { return inboxtest.OnPostgres(t, "pgx", "", 0) },
	"MariaDB":        func(t testing.TB) inboxtest.Server { return inboxtest.OnMariaDB(t, "") },
	"PostgreSQL through PgBouncer": func(t testing.TB) inboxtest.Server {
		return inboxtest.OnPostgres(t, "pgx", "&default_query_exec_mode=exec", 4)
	},
}

func TestCrash(t *testing.T) {
	for name, open := range servers {
		t.Run(name, func(t *testing.T) { inboxtest.Crash(t, open(t)) })
	}
}

func TestFleet_ofSixteenDeliveriesToFourProcessesOneHasAnEffect(t *testing.T) {
	for name, open := range servers {
		t.Run(name, func(t *testing.T) { inboxtest.Fleet(t, open(t)) })
	}
}

func TestPostgresStoppedAndStarted_losesAndDoublesNothing(t *testing.T) {
	t.Parallel() // it has servers of its own, and waits for them
	inboxtest.PostgresStopped(t)
}

func TestMariaDBKilledAndStarted_losesAndDoublesNothing(t *testing.T) {
	t.Parallel() // it has servers of its own, and waits for them
	inboxtest.MariaDBStopped(t)
}

func TestPostgresFailsOver(t *testing.T) {
	t.Parallel() // it has servers of its own, and waits for them
	inboxtest.FailedOver(t, "pgx")
}

func TestDiskFull(t *testing.T) { inboxtest.DiskFull(t, "sqlite") }
