#!/usr/bin/env bash
# Software: github.com/mattn/go-sqlite3 v1.14.53, beside modernc.org/sqlite v1.62.0: Exec of a statement with RETURNING.
# Expected: RowsAffected is the number of rows that this statement has written.
# Seen: mattn reads SQLite's count after the first row of RETURNING, before the statement has ended, when the count is still
#   that of the statement before it on this connection. The rows are written. modernc reads it at the end.
# Why it matters: INSERT … ON CONFLICT DO NOTHING RETURNING id, run by Exec, with RowsAffected == 1 for "new": after a duplicate,
#   or on a fresh connection, a new event counts as a duplicate, and its work is left out; an UPDATE … RETURNING of four rows says 0.
#   Leave RETURNING away where Exec runs the statement, or read its rows by Query.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
export GOWORK=off GOFLAGS=-mod=mod CGO_ENABLED=1
go mod init example.test/finding >/dev/null 2>&1
go get github.com/mattn/go-sqlite3@v1.14.53 modernc.org/sqlite@v1.62.0 2>/dev/null
cat >main.go <<'GO'
package main

import (
	"database/sql"
	"fmt"
	"os"

	_ "github.com/mattn/go-sqlite3"
	_ "modernc.org/sqlite"
)

const insert = "INSERT INTO events (key) VALUES (?) ON CONFLICT DO NOTHING"

func main() {
	mattn, modernc := counts("sqlite3", insert+" RETURNING id"), counts("sqlite", insert+" RETURNING id")
	without := counts("sqlite3", insert)
	fmt.Printf("keys a, b, b, c, d             rows affected\nmattn, RETURNING:   %v\nmodernc, RETURNING: %v\nmattn, without:     %v\n", mattn, modernc, without)
	if fmt.Sprint(mattn) != "[0 1 0 0 1]" || fmt.Sprint(modernc) != "[1 1 0 1 1]" || fmt.Sprint(without) != "[1 1 0 1 1]" {
		fmt.Println("CHANGED")
		os.Exit(1)
	}
}

func counts(driver, query string) (affected []int64) {
	db, err := sql.Open(driver, ":memory:")
	check(err)
	defer db.Close()
	db.SetMaxOpenConns(1)
	_, err = db.Exec("CREATE TABLE events (id INTEGER PRIMARY KEY, key TEXT UNIQUE)")
	check(err)
	for _, key := range []string{"a", "b", "b", "c", "d"} {
		result, err := db.Exec(query, key)
		check(err)
		n, err := result.RowsAffected()
		check(err)
		affected = append(affected, n)
	}
	var rows int
	check(db.QueryRow("SELECT count(*) FROM events").Scan(&rows))
	if rows != 4 {
		fmt.Println("rows in the table:", rows)
		os.Exit(1)
	}
	return affected
}

func check(err error) {
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}
GO
echo "mattn/go-sqlite3 $(go list -m -f '{{.Version}}' github.com/mattn/go-sqlite3), modernc.org/sqlite $(go list -m -f '{{.Version}}' modernc.org/sqlite)"
go run .
