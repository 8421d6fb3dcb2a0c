// Package orms_test runs handlers that write through an ORM or a query builder inside the inbox's
// transaction, and makes the inbox's table with migration tools. docs/stores.md has what it shows.
package orms_test

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"testing"

	"github.com/XSAM/otelsql"
	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"
	"github.com/uptrace/bun/dialect/sqlitedialect"
	"github.com/uptrace/bun/schema"
	gormpostgres "gorm.io/driver/postgres"
	gormsqlite "gorm.io/driver/sqlite"
	"gorm.io/gorm"
	gormlogger "gorm.io/gorm/logger"
	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/internal/daemon"
	"github.com/ittybit/ittybit-go/internal/pgserver"
	"github.com/ittybit/ittybit-go/sqlinbox"
	"github.com/ittybit/ittybit-go/sqlinbox/internal/inboxtest"
)

// Goroutines are not counted here: gorm 1.31.2 with PrepareStmt leaves one for each Open.
func TestMain(m *testing.M) { os.Exit(daemon.RunTests(m.Run, pgserver.ServerForAll)) }

// database is one that an application might have.
type database struct {
	name    string
	dialect sqlinbox.Dialect
	driver  string
	source  func(testing.TB) string
}

var databases = []database{
	{"PostgreSQL", sqlinbox.Postgres, "pgx", pgserver.Database},
	{"SQLite", sqlinbox.SQLite, "sqlite", func(t testing.TB) string { return inboxtest.SQLiteSource(t, "sqlite", "wal") }},
}

// effect is what a handler writes, as both ORMs take it.
type effect struct {
	bun.BaseModel `bun:"table:effects" gorm:"-"`

	ID string `bun:"id,pk" gorm:"primaryKey"`
}

// TableName is for gorm.
func (effect) TableName() string { return "effects" }

// writer writes a row by a library, in the transaction that sqlinbox.Tx gives.
type writer func(ctx context.Context, id string) error

func TestWriters(t *testing.T) {
	for _, d := range databases {
		t.Run(d.name, func(t *testing.T) {
			db := open(t, d, sql.Open)
			for name, write := range writers(t, d, db) {
				t.Run(name, func(t *testing.T) { writesWithItsEvent(t, d, db, write) })
			}
		})
	}
}

// The driver is wrapped, as telemetry does it.
func TestWriters_throughAWrappedDriver(t *testing.T) {
	for _, d := range databases {
		t.Run(d.name, func(t *testing.T) {
			db := open(t, d, func(driver, source string) (*sql.DB, error) { return otelsql.Open(driver, source) })
			writesWithItsEvent(t, d, db, func(ctx context.Context, id string) error {
				_, err := sqlinbox.Tx(ctx).ExecContext(ctx, "INSERT INTO effects (id) VALUES ($1)", id)
				return err
			})
		})
	}
}

func open(t *testing.T, d database, openSQL func(driver, source string) (*sql.DB, error)) *sql.DB {
	db, err := openSQL(d.driver, d.source(t))
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, db.Close()) })
	_, err = db.ExecContext(t.Context(), "CREATE TABLE effects (id text PRIMARY KEY)")
	require.NoError(t, err)
	return db
}

func writers(t *testing.T, d database, db *sql.DB) map[string]writer {
	dialector := gormpostgres.New(gormpostgres.Config{Conn: db})
	var dialect schema.Dialect = pgdialect.New()
	if d.dialect == sqlinbox.SQLite {
		dialector, dialect = &gormsqlite.Dialector{Conn: db}, sqlitedialect.New()
	}
	all := map[string]writer{
		"sqlx": func(ctx context.Context, id string) error {
			query, args, err := sqlx.Named("INSERT INTO effects (id) VALUES (:id)", map[string]any{"id": id})
			if err != nil {
				return err
			}
			_, err = sqlinbox.Tx(ctx).ExecContext(ctx, sqlx.Rebind(sqlx.BindType(d.driver), query), args...)
			return err
		},
		"bun": func(ctx context.Context, id string) error {
			_, err := bun.NewDB(db, dialect).NewInsert().Model(&effect{ID: id}).Conn(sqlinbox.Tx(ctx)).Exec(ctx)
			return err
		},
	}
	for name, prepare := range map[string]bool{"gorm": false, "gorm, PrepareStmt": true} {
		pool, err := gorm.Open(dialector, &gorm.Config{PrepareStmt: prepare, Logger: gormlogger.Discard})
		require.NoError(t, err)
		all[name] = func(ctx context.Context, id string) error { return onGorm(ctx, pool).Create(&effect{ID: id}).Error }
		all[name+", in a transaction of its own"] = func(ctx context.Context, id string) error {
			return onGorm(ctx, pool).Transaction(func(tx *gorm.DB) error {
				if err := tx.Create(&effect{ID: id}).Error; err != nil {
					return err
				}
				undo := errors.New("undo")
				if err := tx.Transaction(func(tx *gorm.DB) error {
					return errors.Join(undo, tx.Create(&effect{ID: id + ", undone"}).Error)
				}); !errors.Is(err, undo) {
					return errors.New("the inner transaction was not undone")
				}
				return nil
			})
		}
	}
	return all
}

// onGorm is a session of the application's gorm on the transaction of the event.
func onGorm(ctx context.Context, pool *gorm.DB) *gorm.DB {
	session := pool.Session(&gorm.Session{NewDB: true, Context: ctx})
	session.Statement.ConnPool = sqlinbox.Tx(ctx)
	return session
}

// writesWithItsEvent checks that what is written is committed with its event, once, and undone with
// it.
func writesWithItsEvent(t *testing.T, d database, db *sql.DB, write writer) {
	ctx := t.Context()
	inbox := sqlinbox.New(db, d.dialect)
	require.NoError(t, inbox.Migrate(ctx))
	require.NoError(t, inbox.Check(ctx))
	id := t.Name()
	event, err := ittybit.ParseEvent([]byte(`{"id":"task_` + id + `","object":"task","kind":"nsfw","status":"completed"}`))
	require.NoError(t, err)
	away := errors.New("another service is away")
	handler := func(err error) ittybit.EventHandler {
		return inbox.Wrap(ittybit.EventHandlerFunc(func(ctx context.Context, _ *ittybit.Event) error {
			return errors.Join(write(ctx, id), err)
		}))
	}
	require.ErrorIs(t, handler(away).HandleEvent(ctx, event), away)
	assert.Zero(t, rows(t, db, id), "a row is there, whose event was not handled")
	require.NoError(t, handler(nil).HandleEvent(ctx, event))
	require.ErrorIs(t, handler(nil).HandleEvent(ctx, event), ittybit.ErrAlreadyHandled)
	assert.Equal(t, 1, rows(t, db, id))
	assert.Zero(t, rows(t, db, id+", undone"))
}

func rows(t *testing.T, db *sql.DB, id string) (n int) {
	require.NoError(t, db.QueryRowContext(t.Context(), "SELECT count(*) FROM effects WHERE id = $1", id).Scan(&n))
	return n
}
