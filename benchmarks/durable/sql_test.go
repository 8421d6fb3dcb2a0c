package durable

import (
	"context"
	"database/sql"
	"path/filepath"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/internal/pgserver"
	"github.com/ittybit/ittybit-go/sqlinbox"
)

const (
	table  = "CREATE TABLE effects (key text NOT NULL)"
	effect = "INSERT INTO effects VALUES ($1)"
)

// grouped gives the options of an inbox that commits together what waits, where there are any.
var grouped []sqlinbox.Option

// transaction writes a row for each event in a transaction, which takes the lock first.
func transaction(db *sql.DB, lock sync.Locker) func(context.Context, *ittybit.Event) error {
	return func(ctx context.Context, e *ittybit.Event) error {
		lock.Lock()
		defer lock.Unlock()
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer tx.Rollback() //nolint:errcheck // it was committed, as a rule
		if _, err := tx.ExecContext(ctx, effect, e.Key()); err != nil {
			return err
		}
		return tx.Commit()
	}
}

// inbox writes the same row through an inbox.
func inbox(b *testing.B, db *sql.DB, dialect sqlinbox.Dialect, opts ...sqlinbox.Option) func(context.Context, *ittybit.Event) error {
	in := sqlinbox.New(db, dialect, opts...)
	require.NoError(b, in.Migrate(b.Context()))
	return in.Wrap(ittybit.EventHandlerFunc(func(ctx context.Context, e *ittybit.Event) error {
		_, err := sqlinbox.Tx(ctx).ExecContext(ctx, effect, e.Key())
		return err
	})).HandleEvent
}

func open(b *testing.B, driver, source string) *sql.DB {
	db, err := sql.Open(driver, source)
	require.NoError(b, err)
	db.SetMaxIdleConns(16)
	b.Cleanup(func() { require.NoError(b, db.Close()) })
	_, err = db.ExecContext(b.Context(), table)
	require.NoError(b, err)
	return db
}

// BenchmarkSQLite syncs each commit (WAL, synchronous FULL).
func BenchmarkSQLite(b *testing.B) {
	db := open(b, "sqlite", "file:"+filepath.Join(b.TempDir(), "benchmark.db")+
		"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=busy_timeout(10000)&_txlock=immediate")
	all := []candidate{
		{"transaction", transaction(db, new(sync.Mutex))}, // without the lock, it would wait in SQLite's pauses
		{"sqlinbox", inbox(b, db, sqlinbox.SQLite)},
	}
	if grouped != nil {
		all = append(all, candidate{"sqlinbox-in-groups", inbox(b, db, sqlinbox.SQLite, grouped...)})
	}
	compare(b, all...)
}

// nobody is a lock that everybody holds.
type nobody struct{}

func (nobody) Lock()   {}
func (nobody) Unlock() {}

// BenchmarkPostgreSQL goes through database/sql.
func BenchmarkPostgreSQL(b *testing.B) {
	db := open(b, "pgx", pgserver.Database(b))
	db.SetMaxOpenConns(16)
	compare(b, candidate{"transaction", transaction(db, nobody{})}, candidate{"sqlinbox", inbox(b, db, sqlinbox.Postgres)})
}

// BenchmarkPGX goes through pgx itself.
func BenchmarkPGX(b *testing.B) {
	pool := connect(b)
	_, err := pool.Exec(b.Context(), table)
	require.NoError(b, err)
	all := []candidate{{"transaction", func(ctx context.Context, e *ittybit.Event) error {
		return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
			_, err := tx.Exec(ctx, effect, e.Key())
			return err
		})
	}}}
	if pgxInbox != nil {
		all = append(all, candidate{"pgxinbox", pgxInbox(b, pool)})
	}
	compare(b, all...)
}

// pgxInbox writes the same row through an inbox on pgx, where there is one.
var pgxInbox func(b *testing.B, pool *pgxpool.Pool) func(context.Context, *ittybit.Event) error
