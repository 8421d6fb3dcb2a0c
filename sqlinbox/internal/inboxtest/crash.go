package inboxtest

import (
	"database/sql"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go/internal/pgserver"
	"github.com/ittybit/ittybit-go/sqlinbox"
)

// crashVariable makes the crash test longer: ITTYBIT_TEST_CRASH=full, or long for ten times that.
const crashVariable = "ITTYBIT_TEST_CRASH"

// Server is a database that a receiver's process opens by itself.
type Server struct {
	Dialect sqlinbox.Dialect
	Driver  string // of database/sql, or "pgxpool" for pgxinbox
	Source  string
	DB      *sql.DB // the same database, for looking at it
	Group   int     // how many deliveries are committed together; 0: each by itself
}

// OnPostgres makes a database of PostgreSQL, by way of a PgBouncer where connections is not zero.
func OnPostgres(t testing.TB, driver, parameters string, connections int) Server {
	direct := pgserver.Database(t)
	source := direct
	if connections > 0 {
		source = pgserver.NewPooler(t, direct, connections).URL(direct)
	}
	return Server{Dialect: sqlinbox.Postgres, Driver: driver, Source: source + parameters, DB: openSQL(t, "pgx", direct)}
}

// OnSQLite makes a database in a file, with groups of so many deliveries; 0: each by itself.
func OnSQLite(t testing.TB, driver, journalMode string, group int) Server {
	source := SQLiteSource(t, driver, journalMode)
	return Server{Dialect: sqlinbox.SQLite, Driver: driver, Source: source, DB: openSQL(t, driver, source), Group: group}
}

func (s Server) bench(t testing.TB) *bench {
	b := &Backend{Dialect: s.Dialect, DB: s.DB}
	all := &bench{b, sqlinbox.New(s.DB, s.Dialect)}
	all.prepare(t)
	return all
}

func (s Server) setup(address string) receiverSetup {
	return receiverSetup{Dialect: s.Dialect, Driver: s.Driver, Source: s.Source, Address: address, Group: s.Group}
}

// CrashOnSQLite runs Crash with a driver of SQLite, with groups and without.
func CrashOnSQLite(t *testing.T, driver string) {
	t.Run("each by itself", func(t *testing.T) { Crash(t, OnSQLite(t, driver, "wal", 0)) })
	t.Run("groups", func(t *testing.T) { Crash(t, OnSQLite(t, driver, "wal", 32)) })
}

// Crash kills a receiver's process at random moments, while a local Ittybit delivers to it with
// duplicates, out of order, and with dropped connections. What was answered 200 must be in the
// database after each kill, and at the end each event's effect once.
func Crash(t *testing.T, s Server) {
	events, kills := crashSize(t)
	b := s.bench(t)
	start := time.Now()
	sender := newSender(t)
	setup := s.setup(sender.address)
	setup.Troubled = true
	receiver := startReceiver(t, setup)
	for kill := range kills {
		sender.allow((kill + 1) * events / (kills + 1)) // so that some are under way in every life
		if rand.IntN(4) > 0 {
			<-receiver.ready // or else it may die while it starts
		}
		time.Sleep(rand.N(200 * time.Millisecond)) // a random moment
		receiver.kill()
		b.holds(t, sender.acknowledged())
		receiver = startReceiver(t, setup)
	}
	sender.allow(events)
	sender.wait(t, events)
	receiver.kill()

	acknowledged, attempts, answers := sender.figures()
	assert.Len(t, acknowledged, events)
	b.holds(t, acknowledged)
	assert.Equal(t, events, b.effects(t))
	assert.Equal(t, events, b.rows(t, "handled"))
	t.Logf("%d events, %d kills, %d delivery attempts, answers by status %v (0: connection refused, cut or dropped), "+
		"%d duplicates answered 200, %d effects, %.1f s", events, kills, attempts, answers,
		answers[200]-events, b.effects(t), time.Since(start).Seconds())
}

func crashSize(t *testing.T) (events, kills int) {
	t.Helper()
	switch size := os.Getenv(crashVariable); size {
	case "":
		return 200, 4
	case "full":
		return 2000, 30
	case "long":
		return 20_000, 300
	default:
		t.Fatalf("%s is %q: want full, long or nothing", crashVariable, size)
		return 0, 0
	}
}

// holds asserts that the effects of these events are there, and no effect twice.
func (b *bench) holds(t *testing.T, acknowledged map[string]bool) {
	t.Helper()
	rows, err := b.DB.QueryContext(t.Context(), "SELECT event_key, count(*) FROM effects GROUP BY event_key")
	require.NoError(t, err)
	defer func() { require.NoError(t, rows.Close()) }()
	there := 0
	for rows.Next() {
		var key string
		var n int
		require.NoError(t, rows.Scan(&key, &n))
		require.Equal(t, 1, n, "effects of %s", key)
		if acknowledged[key] {
			there++
		}
	}
	require.NoError(t, rows.Err())
	require.Equal(t, len(acknowledged), there, "acknowledged events whose effect is there")
}
