// Package inboxtest has one table of tests for the inboxes of sqlinbox and pgxinbox, to be run with
// every driver. Two drivers that register one name can't be in one program: each has tests of its
// own that call [Run] and [Crash].
package inboxtest

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/internal/pgserver"
	"github.com/ittybit/ittybit-go/ittybittest"
	"github.com/ittybit/ittybit-go/sqlinbox"
	"github.com/ittybit/ittybit-go/sqlinbox/internal/core"
	"github.com/ittybit/ittybit-go/sqlinbox/pgxinbox"
)

// Secret signs the webhooks.
const Secret = "sk_test_inboxtest"

// Inbox is what both packages have.
type Inbox interface {
	Wrap(next ittybit.EventHandler) ittybit.EventHandler
	Schema() string
	Migrate(ctx context.Context) error
	Check(ctx context.Context) error
	Replay(ctx context.Context, next ittybit.EventHandler, params sqlinbox.ReplayParams) (sqlinbox.ReplayResult, error)
	Prune(ctx context.Context, olderThan time.Duration) (int64, error)
	Reconcile(ctx context.Context, client *ittybit.Client, next ittybit.EventHandler, every time.Duration,
		params ittybit.ReconcileParams, opts ...ittybit.ReconcileOption) error
}

// Backend is a driver and a database of a test's own.
type Backend struct {
	Dialect sqlinbox.Dialect
	New     func(opts ...sqlinbox.Option) Inbox
	// Exec runs a statement in the handler's transaction.
	Exec execFunc
	// DB is the database, not necessarily by the same way or driver.
	DB *sql.DB
	// Wire is what the connections of New go through; nil where there is no wire.
	Wire *Wire
	// Pooler is what the connections of New go through, behind the Wire; nil where there is none.
	Pooler *pgserver.Pooler
	// With gives an inbox on connections with such parameters in their URL; nil where they have
	// none.
	With func(t testing.TB, parameters string) Inbox
	// JournalMode is SQLite's; empty elsewhere.
	JournalMode string
	// EndUnnoticed says that the driver commits where there is no transaction any more.
	EndUnnoticed bool
}

// OverSQL gives the inbox of a pool, for a Backend.
func OverSQL(db *sql.DB, dialect sqlinbox.Dialect) func(opts ...sqlinbox.Option) Inbox {
	return func(opts ...sqlinbox.Option) Inbox { return sqlinbox.New(db, dialect, opts...) }
}

// ExecSQL is the Exec of sqlinbox.
func ExecSQL(ctx context.Context, query string, args ...any) error {
	_, err := sqlinbox.Tx(ctx).ExecContext(ctx, query, args...)
	return err
}

// pgxPool stands for pgxinbox among the drivers.
const pgxPool = "pgxpool"

// execFunc runs a statement in the handler's transaction.
type execFunc func(ctx context.Context, query string, args ...any) error

func execPgx(ctx context.Context, query string, args ...any) error {
	_, err := pgxinbox.Tx(ctx).Exec(ctx, query, args...)
	return err
}

// Grouped makes groups of up to 16 deliveries, also of one that is alone.
func Grouped() sqlinbox.Option { return grouped{} }

type grouped struct{}

// Apply implements [core.Option].
func (grouped) Apply(c *core.Config) { c.Group, c.GroupAlways = 16, true }

// SQLite opens a database in a file, in a journal mode. The options are those of every inbox.
func SQLite(driver, journalMode string, opts ...sqlinbox.Option) func(t testing.TB) *Backend {
	return func(t testing.TB) *Backend {
		source := SQLiteSource(t, driver, journalMode)
		db, err := sql.Open(driver, source)
		require.NoError(t, err)
		t.Cleanup(func() { assert.NoError(t, db.Close()) })
		return &Backend{
			Dialect: sqlinbox.SQLite, Exec: ExecSQL, DB: db, JournalMode: journalMode,
			New: func(more ...sqlinbox.Option) Inbox {
				return sqlinbox.New(db, sqlinbox.SQLite, append(more, opts...)...)
			},
		}
	}
}

// SQLiteSource makes a database in a file, and gives its address.
func SQLiteSource(t testing.TB, driver, journalMode string) string {
	source := "file:" + filepath.ToSlash(filepath.Join(t.TempDir(), "test.db"))
	db, err := sql.Open(driver, source)
	require.NoError(t, err)
	var got string
	require.NoError(t, db.QueryRowContext(t.Context(), "PRAGMA journal_mode = "+journalMode).Scan(&got))
	require.Equal(t, journalMode, got)
	require.NoError(t, db.Close())
	return source
}

// Postgres opens a database of PostgreSQL through database/sql, by way of a Wire and, where
// connections is not zero, of a PgBouncer with so many connections to the server. The parameters
// are for the driver.
func Postgres(driver, parameters string, connections int) func(t testing.TB) *Backend {
	return func(t testing.TB) *Backend {
		direct := pgserver.Database(t)
		b := &Backend{Dialect: sqlinbox.Postgres, Exec: ExecSQL, DB: openSQL(t, "pgx", direct), EndUnnoticed: driver == "pgx"}
		var address string
		b.Pooler, b.Wire, address = route(t, direct, connections)
		b.New = OverSQL(openSQL(t, driver, address+parameters), sqlinbox.Postgres)
		if connections == 0 {
			b.With = func(t testing.TB, more string) Inbox {
				return sqlinbox.New(openSQL(t, driver, address+parameters+"&"+more), sqlinbox.Postgres)
			}
		}
		return b
	}
}

// route leads to a database by way of a Wire and perhaps a pooler.
func route(t testing.TB, address string, connections int) (pooler *pgserver.Pooler, wire *Wire, by string) {
	if connections > 0 {
		pooler = pgserver.NewPooler(t, address, connections)
		address = pooler.URL(address)
	}
	wire, by = NewWire(t, address)
	return pooler, wire, by
}

func openSQL(t testing.TB, driver, source string) *sql.DB {
	db, err := sql.Open(driver, source)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, db.Close()) })
	return db
}

// Pgx opens a database of PostgreSQL through pgxinbox, as [Postgres] does.
func Pgx(parameters string, connections int) func(t testing.TB) *Backend {
	return func(t testing.TB) *Backend {
		direct := pgserver.Database(t)
		pooler, wire, address := route(t, direct, connections)
		pool := openPool(t, address+parameters)
		b := &Backend{
			Dialect: sqlinbox.Postgres, DB: openSQL(t, "pgx", direct), Wire: wire, Pooler: pooler,
			New:  func(opts ...sqlinbox.Option) Inbox { return pgxinbox.New(pool, opts...) },
			Exec: execPgx,
		}
		if connections == 0 {
			b.With = func(t testing.TB, more string) Inbox { return pgxinbox.New(openPool(t, address+parameters+"&"+more)) }
		}
		return b
	}
}

func openPool(t testing.TB, source string) *pgxpool.Pool {
	pool, err := pgxpool.New(t.Context(), source+"&pool_max_conns=20")
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool
}

// bench is a Backend with its tables.
type bench struct {
	*Backend

	inbox Inbox
}

func newBench(t testing.TB, b *Backend) *bench {
	t.Helper()
	all := &bench{b, b.New(sqlinbox.WithPayloads())}
	all.prepare(t)
	return all
}

func (b *bench) prepare(t testing.TB) {
	t.Helper()
	require.NoError(t, b.inbox.Migrate(t.Context()))
	b.exec(t, "CREATE TABLE IF NOT EXISTS effects (event_key text NOT NULL)")
}

func (b *bench) count(t testing.TB, query string, args ...any) (n int) {
	t.Helper()
	query, args = Bind(b.Dialect, query, args)
	require.NoError(t, b.DB.QueryRowContext(context.WithoutCancel(t.Context()), query, args...).Scan(&n))
	return n
}

func (b *bench) exec(t testing.TB, query string, args ...any) {
	t.Helper()
	query, args = Bind(b.Dialect, query, args)
	_, err := b.DB.ExecContext(t.Context(), query, args...)
	require.NoError(t, err)
}

func (b *bench) effects(t testing.TB) int { return b.count(t, "SELECT count(*) FROM effects") }

// rows counts the rows of an outcome.
func (b *bench) rows(t testing.TB, outcome string) int {
	t.Helper()
	return b.count(t, "SELECT count(*) FROM ittybit_inbox WHERE outcome = $1", outcome)
}

// effect is a handler that writes one row, and then ends as then says.
func (b *bench) effect(then func(ctx context.Context) error) ittybit.EventHandler {
	return ittybit.EventHandlerFunc(func(ctx context.Context, e *ittybit.Event) error {
		err := b.Exec(ctx, "INSERT INTO effects (event_key) VALUES ($1)", e.Key())
		if err == nil && then != nil {
			err = then(ctx)
		}
		return err
	})
}

func body(n int) string {
	return `{"id":"task_` + strconv.Itoa(n) + `","object":"task","kind":"nsfw","status":"completed"}`
}

func task(t testing.TB, n int) *ittybit.Event {
	t.Helper()
	e, err := ittybit.ParseEvent([]byte(body(n)))
	require.NoError(t, err)
	return e
}

// deliver posts a signed webhook to a handler, and gives the response's status and the outcome.
func deliver(t testing.TB, h ittybit.EventHandler, n int, opts ...ittybit.WebhookOption) (int, ittybit.Delivery) {
	t.Helper()
	var seen ittybit.Delivery
	webhook, err := ittybit.NewWebhookHandler(Secret, h,
		append(opts, ittybit.WithLogger(slog.New(slog.DiscardHandler)),
			ittybit.WithObserver(func(_ context.Context, d ittybit.Delivery) { seen = d }))...)
	if !assert.NoError(t, err) {
		return 0, seen
	}
	response := httptest.NewRecorder()
	webhook.ServeHTTP(response, ittybittest.NewWebhookRequest(Secret, body(n)))
	return response.Code, seen
}

var errNo = errors.New("no")
