#!/usr/bin/env bash
# Software: github.com/mattn/go-sqlite3 v1.14.53, beside modernc.org/sqlite v1.62.0 (ncruces/go-sqlite3 v0.37.0 ends at the deadline, too).
# Expected: ExecContext ends when its context does, also while it waits for another connection's lock.
# Seen: with mattn it waits for the whole busy_timeout (its default is 5 s), and the error is then "database is locked", in
#   which errors.Is finds no context.DeadlineExceeded. modernc ends at the deadline, with the context's error.
# Why it matters: an HTTP handler with a deadline of 4 s answers after 5 s or later, when the sender of a webhook has gone; and
#   code that tells a timeout from a failure takes it for a failure. A busy_timeout below the deadline, or 0 and pauses in Go, mend it.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
export GOWORK=off GOFLAGS=-mod=mod
go mod init example.test/finding >/dev/null 2>&1
go get github.com/mattn/go-sqlite3@v1.14.53 modernc.org/sqlite@v1.62.0 2>/dev/null
cat >main.go <<'GO'
package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"time"

	_ "github.com/mattn/go-sqlite3"
	_ "modernc.org/sqlite"
)

const deadline, busyTimeout = 200 * time.Millisecond, 3 * time.Second

func main() {
	mattn, mattnErr := wait("sqlite3", "file:mattn.db?_journal_mode=WAL&_busy_timeout=3000")
	modernc, moderncErr := wait("sqlite", "file:modernc.db?_pragma=journal_mode(WAL)&_pragma=busy_timeout(3000)")
	fmt.Printf("deadline %v, busy_timeout %v\n", deadline, busyTimeout)
	fmt.Printf("mattn    waited %v: %v\n", mattn.Round(100*time.Millisecond), mattnErr)
	fmt.Printf("modernc  waited %v: %v\n", modernc.Round(100*time.Millisecond), moderncErr)
	if mattn < busyTimeout || errors.Is(mattnErr, context.DeadlineExceeded) ||
		modernc >= busyTimeout || !errors.Is(moderncErr, context.DeadlineExceeded) {
		fmt.Println("it is not as it was seen")
		os.Exit(1)
	}
}

func wait(driver, source string) (time.Duration, error) {
	db, err := sql.Open(driver, source)
	check(err)
	defer db.Close()
	_, err = db.Exec("CREATE TABLE t (v TEXT)")
	check(err)
	tx, err := db.Begin()
	check(err)
	defer tx.Rollback()
	_, err = tx.Exec("INSERT INTO t VALUES ('it has the lock')")
	check(err)
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	start := time.Now()
	_, err = db.ExecContext(ctx, "INSERT INTO t VALUES ('it waits')")
	return time.Since(start), err
}

func check(err error) {
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}
GO
go list -m github.com/mattn/go-sqlite3 modernc.org/sqlite
go run .
