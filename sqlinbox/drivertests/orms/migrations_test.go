package orms_test

import (
	"context"
	"database/sql"
	"testing"
	"testing/fstest"

	"github.com/golang-migrate/migrate/v4"
	migratedatabase "github.com/golang-migrate/migrate/v4/database"
	migratepgx "github.com/golang-migrate/migrate/v4/database/pgx/v5"
	migratesqlite "github.com/golang-migrate/migrate/v4/database/sqlite"
	"github.com/golang-migrate/migrate/v4/source/iofs"
	"github.com/pressly/goose/v3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go/sqlinbox"
)

// TestMigrations makes the table by what Schema gives, as one migration of a tool.
func TestMigrations(t *testing.T) {
	for _, d := range databases {
		for tool, up := range map[string]func(context.Context, database, *sql.DB, string) error{"goose": gooseUp, "golang-migrate": migrateUp} {
			t.Run(d.name+", "+tool, func(t *testing.T) {
				source := d.source(t)
				db, err := sql.Open(d.driver, source)
				require.NoError(t, err)
				inbox := sqlinbox.New(db, d.dialect)
				require.Error(t, inbox.Check(t.Context()), "there is no table yet")
				require.NoError(t, up(t.Context(), d, db, inbox.Schema()))
				_ = db.Close() // golang-migrate has closed it

				db, err = sql.Open(d.driver, source)
				require.NoError(t, err)
				defer func() { assert.NoError(t, db.Close()) }()
				inbox = sqlinbox.New(db, d.dialect)
				require.NoError(t, inbox.Check(t.Context()))
				require.NoError(t, inbox.Migrate(t.Context()), "after another tool")
			})
		}
	}
}

func gooseUp(ctx context.Context, d database, db *sql.DB, statements string) error {
	dialect := goose.DialectPostgres
	if d.dialect == sqlinbox.SQLite {
		dialect = goose.DialectSQLite3
	}
	provider, err := goose.NewProvider(dialect, db, fstest.MapFS{
		"00001_inbox.sql": {Data: []byte("-- +goose Up\n" + statements)},
	})
	if err != nil {
		return err
	}
	_, err = provider.Up(ctx)
	return err
}

func migrateUp(_ context.Context, d database, db *sql.DB, statements string) error {
	files, err := iofs.New(fstest.MapFS{"1_inbox.up.sql": {Data: []byte(statements)}}, ".")
	if err != nil {
		return err
	}
	var driver migratedatabase.Driver
	if d.dialect == sqlinbox.SQLite {
		driver, err = migratesqlite.WithInstance(db, &migratesqlite.Config{})
	} else {
		driver, err = migratepgx.WithInstance(db, &migratepgx.Config{})
	}
	if err != nil {
		return err
	}
	m, err := migrate.NewWithInstance("iofs", files, d.name, driver)
	if err != nil {
		return err
	}
	return m.Up()
}
