package core

import (
	"fmt"
	"strings"
	"time"
)

// SQLite is SQLite, whatever the driver.
var SQLite = &Dialect{
	Name:         "SQLite",
	SingleWriter: true,
	quote:        `"`,
	statements:   sqliteStatements,
	retryable:    sqliteRetryable,
	fix:          sqliteFix,
	time:         func(t time.Time) any { return t.UTC().Format(sqliteTime) },
	scanTime:     func(t *time.Time) any { return &textTime{t, sqliteTime} },
	check:        checkSQLite,
}

// sqliteTime is how times look in SQLite: as texts that sort.
const sqliteTime = "2006-01-02T15:04:05.000000Z"

func sqliteStatements(t Table) statements {
	reconcile := newReconcileStatements(t, "CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)")
	return statements{
		create:    append(createStatements(t, "text", "BLOB", "TEXT", "INTEGER NOT NULL DEFAULT 0"), reconcile.table),
		reconcile: reconcile,
		upgrade:   []string{"ALTER TABLE " + t.Quoted + " ADD COLUMN seq INTEGER NOT NULL DEFAULT 0"},
		layout: `SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = $1),
			EXISTS (SELECT 1 FROM pragma_table_info($1) WHERE name = 'seq'),
			(SELECT count(*) = 3 FROM sqlite_master WHERE name IN ($2, $3, $4))`,
		layoutArgs: []any{t.Name, t.index(receivedSuffix), t.index(replaySuffix), t.index(reconcileSuffix)},
		lock:       "DELETE FROM " + t.Quoted + " WHERE false",
		// seq grows with every row: it is computed while the statement has the lock to write. It
		// begins with the time, so that it goes on growing after every row was pruned.
		seq: true,
		insert: `INSERT INTO ` + t.Quoted + ` (name, event_key, event_type, subject_id, outcome, error, payload, received_at, handled_at, seq)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8,
				max($9, coalesce((SELECT max(seq) + 1 FROM ` + t.Quoted + ` WHERE name = $1 AND payload IS NOT NULL), 0)))
			ON CONFLICT (name, event_key) DO NOTHING`,
		mark: `UPDATE ` + t.Quoted + ` SET outcome = 'handled', error = NULL, handled_at = $1
			WHERE name = $2 AND event_key = $3 AND payload IS NOT NULL AND ($4 = '' OR outcome = $4) RETURNING payload`,
		prune: `DELETE FROM ` + t.Quoted + ` WHERE rowid IN (SELECT rowid FROM ` + t.Quoted +
			` WHERE name = $1 AND received_at < $2 ORDER BY received_at LIMIT $3)`,
		// go-libsql makes a time of every text that looks like one.
		keyColumn:      "CAST(event_key AS BLOB)",
		receivedColumn: "received_at",
	}
}

// textTime reads a time from a text, or from what a driver has made of it.
type textTime struct {
	time   *time.Time
	layout string
}

// Scan implements [database/sql.Scanner].
func (t *textTime) Scan(value any) error {
	var text string
	switch v := value.(type) {
	case time.Time:
		*t.time = v.UTC()
		return nil
	case string:
		text = v
	case []byte:
		text = string(v)
	default:
		return fmt.Errorf("%T is not a time", value)
	}
	parsed, err := time.Parse(t.layout, text)
	*t.time = parsed
	return err
}

// SQLite's primary result codes.
const (
	sqliteBusy   = 5
	sqliteLocked = 6
)

func sqliteRetryable(err error) bool {
	return find(err, func(err error) bool {
		if coded, ok := err.(interface{ Code() int }); ok { // modernc.org/sqlite
			code := coded.Code() & 0xff
			return code == sqliteBusy || code == sqliteLocked
		}
		// mattn/go-sqlite3, ncruces/go-sqlite3 and go-libsql have no such method; a type of each is
		// not to be had here.
		switch err.(type) { //nolint:errorlint // find walks the tree
		case interface{ Unwrap() error }, interface{ Unwrap() []error }:
			return false // what it wraps is asked
		}
		text := err.Error()
		return strings.Contains(text, "database is locked") || strings.Contains(text, "database table is locked")
	}) != nil
}

// beyondTxFix is for a handler that waits for itself.
const beyondTxFix = "SQLite has one writer: a handler that writes with db waits for its own transaction; write with Tx(ctx)"

func sqliteFix(err error, table Table) string {
	text := err.Error()
	switch {
	case strings.Contains(text, "no such table: "+table.Name):
		return migrateFix
	case strings.Contains(text, "no such column: seq"), strings.Contains(text, "no column named seq"):
		return upgradeFix
	case strings.Contains(text, "readonly database"):
		return "the database's file and its folder must be writable, and the connection not read-only"
	case strings.Contains(text, "no transaction is active"):
		return "SQLite rolled the transaction back by itself, as it does when the disk is full: return the error of a statement"
	}
	return ""
}
