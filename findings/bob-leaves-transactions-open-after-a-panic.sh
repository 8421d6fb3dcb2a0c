#!/usr/bin/env bash
# Software: github.com/stephenafamo/bob v0.41.1, DB.RunInTx, beside github.com/uptrace/bun v1.3.0 and
#   github.com/doug-martin/goqu/v9 v9.19.0, on SQLite (modernc.org/sqlite v1.62.0).
# Expected: a function that runs another one in a transaction rolls back if that one panics, and lets the panic go on, as
#   bun's RunInTx and goqu's WithTx do.
# Seen: the transaction is left as it is, neither committed nor rolled back, and its connection never returns to the pool.
#   net/http and the workers of job queues recover the panic, and the program goes on. On SQLite nobody can write any more; on
#   PostgreSQL and MariaDB the rows stay locked. Only the end of the context that was handed in ends it: there is none in a
#   worker, or where the context was made without cancellation.
# Source: stephenafamo/bob pull request 703, closed.
# Why it matters: one event whose handler panics stops the others, and its own redelivery waits for the key that it has
#   locked itself. Recover within the function, or begin by BeginTx, with a deferred Rollback.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
export GOWORK=off GOFLAGS=-mod=mod
go mod init example.test/finding >/dev/null 2>&1
go get github.com/stephenafamo/bob@v0.41.1 github.com/uptrace/bun@v1.3.0 github.com/uptrace/bun/dialect/sqlitedialect@v1.3.0 \
	github.com/doug-martin/goqu/v9@v9.19.0 modernc.org/sqlite@v1.62.0 2>/dev/null
cat >main.go <<'GO'
package main

import (
	"context"
	"database/sql"
	"fmt"
	"os"

	"github.com/doug-martin/goqu/v9"
	_ "github.com/doug-martin/goqu/v9/dialect/sqlite3"
	"github.com/stephenafamo/bob"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/sqlitedialect"
	_ "modernc.org/sqlite"
)

const insert = "INSERT INTO events VALUES ('event_1')"

var ctx = context.Background()

func main() {
	withBun := after("bun", func(db *sql.DB) {
		bun.NewDB(db, sqlitedialect.New()).RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
			_, err := tx.ExecContext(ctx, insert)
			check(err)
			panic("in a handler")
		})
	})
	withGoqu := after("goqu", func(db *sql.DB) {
		goqu.New("sqlite3", db).WithTx(func(tx *goqu.TxDatabase) error {
			_, err := tx.ExecContext(ctx, insert)
			check(err)
			panic("in a handler")
		})
	})
	withBob := after("bob", func(db *sql.DB) {
		bob.NewDB(db).RunInTx(ctx, nil, func(ctx context.Context, tx bob.Executor) error {
			_, err := tx.ExecContext(ctx, insert)
			check(err)
			panic("in a handler")
		})
	})
	fmt.Printf("after a handler that panicked\nbun:  %s\ngoqu: %s\nbob:  %s\n", withBun, withGoqu, withBob)
	const ended = "connections in use 0, the next write: <nil>"
	if withBun != ended || withGoqu != ended || withBob != "connections in use 1, the next write: database is locked (5) (SQLITE_BUSY)" {
		fmt.Println("CHANGED")
		os.Exit(1)
	}
}

// after runs a transaction that panics, recovers, as net/http does, and says what is left of it.
func after(name string, run func(*sql.DB)) string {
	db, err := sql.Open("sqlite", "file:"+name+".db?_pragma=journal_mode(WAL)&_pragma=busy_timeout(500)")
	check(err)
	_, err = db.Exec("CREATE TABLE events (id text PRIMARY KEY)")
	check(err)
	func() {
		defer func() {
			if recover() == nil {
				fmt.Println("CHANGED:", name, "does not hand the panic on")
				os.Exit(1)
			}
		}()
		run(db)
	}()
	inUse := db.Stats().InUse
	_, err = db.Exec(insert)
	return fmt.Sprintf("connections in use %d, the next write: %v", inUse, err)
}

func check(err error) {
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}
GO
go get . 2>/dev/null
echo "bob $(go list -m -f '{{.Version}}' github.com/stephenafamo/bob), bun $(go list -m -f '{{.Version}}' github.com/uptrace/bun), goqu $(go list -m -f '{{.Version}}' github.com/doug-martin/goqu/v9)"
go run .
