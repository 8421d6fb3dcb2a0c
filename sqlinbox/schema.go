package sqlinbox

import (
	"context"
	"database/sql"
	"fmt"
	"hash/fnv"
	"strings"
)

// Schema gives the statements that make the table and its index where they are missing,
// for those who keep migrations of their own.
func (in *Inbox) Schema() string { return strings.Join(in.statements(), ";\n\n") + ";\n" }

func (in *Inbox) statements() []string {
	bytes, timestamp := "bytea", "timestamptz"
	if in.dialect == SQLite {
		bytes, timestamp = "BLOB", "TEXT"
	}
	return []string{
		fmt.Sprintf(`CREATE TABLE IF NOT EXISTS %s (
	name        text NOT NULL,
	event_key   text NOT NULL,
	event_type  text NOT NULL,
	subject_id  text NOT NULL,
	outcome     text NOT NULL,
	error       text,
	payload     %s,
	received_at %s NOT NULL,
	handled_at  %s NOT NULL,
	PRIMARY KEY (name, event_key)
)`, in.table, bytes, timestamp, timestamp),
		fmt.Sprintf(`CREATE INDEX IF NOT EXISTS %q ON %s (name, received_at)`, in.index(), in.table),
	}
}

// index names the index, which lies in the schema of its table.
func (in *Inbox) index() string {
	return in.cfg.table[strings.IndexByte(in.cfg.table, '.')+1:] + indexSuffix
}

const indexSuffix = "_received_at"

// Migrate makes the table and its index if they are missing. Each process may call it at its
// start, many of them at once. Where both are there already, it locks nothing, and needs no right to make
// them. In Postgres a table without a schema in its name is looked for, and made, by the search_path.
func (in *Inbox) Migrate(ctx context.Context) error {
	there, err := in.migrated(ctx)
	if there || err != nil && !in.dialect.wantsAgain(err) {
		return err
	}
	return in.transact(ctx, in.createTable, func(context.Context, *sql.Tx) error { return nil })
}

func (in *Inbox) createTable(ctx context.Context, tx *sql.Tx) error {
	if in.dialect == Postgres {
		// Two that make one table at the same time would fail, IF NOT EXISTS or not.
		if _, err := tx.ExecContext(ctx, "SELECT pg_advisory_xact_lock($1)", in.lockNumber()); err != nil {
			return failed("waiting for other migrations", because(ctx, err))
		}
	}
	for _, statement := range in.statements() {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return failed("making the table", because(ctx, err))
		}
	}
	return nil
}

// lockNumber is a number of this table's own among the advisory locks.
func (in *Inbox) lockNumber() int64 {
	sum := fnv.New64a()
	_, _ = sum.Write([]byte("sqlinbox " + in.cfg.table)) // never fails
	return int64(sum.Sum64())                            //nolint:gosec // any number does
}

// migrated reports whether the table and its index are there.
func (in *Inbox) migrated(ctx context.Context) (there bool, err error) {
	query, args := "SELECT to_regclass($1) IS NOT NULL AND to_regclass($2) IS NOT NULL",
		[]any{in.table, strings.TrimSuffix(in.table, `"`) + indexSuffix + `"`}
	if in.dialect == SQLite {
		query = "SELECT count(*) = 2 FROM sqlite_master WHERE type = 'table' AND name = $1 OR type = 'index' AND name = $2"
		args = []any{in.cfg.table, in.index()}
	}
	if err := in.db.QueryRowContext(ctx, query, args...).Scan(&there); err != nil {
		return false, failed("looking for the table", because(ctx, err))
	}
	return there, nil
}
