#!/usr/bin/env bash
# Software: github.com/mattn/go-sqlite3 v1.14.53 and github.com/tursodatabase/go-libsql v0.0.0-20251219133454-43644db490ff,
#   beside modernc.org/sqlite v1.62.0 and github.com/ncruces/go-sqlite3 v0.37.0: database/sql's Exec of a statement with
#   RETURNING.
# Expected: RowsAffected is the number of rows that this statement has written, as it is without RETURNING.
# Seen: so it is with modernc and ncruces. mattn reads SQLite's count after the first row of RETURNING, before the statement
#   has ended, when the count is still that of the statement before it on this connection. go-libsql fails ("Execute returned
#   rows") for each row that is new, and has stored it all the same.
# Why it matters: INSERT … ON CONFLICT DO NOTHING RETURNING id, run by Exec, with RowsAffected == 1 for "new": on a fresh
#   connection, or after a duplicate, mattn's count makes a duplicate of a new event, whose work is left out. With go-libsql
#   the delivery fails, and the sender's next one finds the key that is there. Leave RETURNING away where Exec runs the
#   statement, or read its rows by Query.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
export GOWORK=off GOFLAGS=-mod=mod CGO_ENABLED=1
# try builds a program for one driver, since some of them can't be linked into one.
try() {
	mkdir "$work/$1" && cd "$work/$1"
	go mod init example.test/finding >/dev/null 2>&1
	go get "$2@$3" 2>/dev/null
	cat >main.go <<GO
package main

import (
	"database/sql"
	"fmt"

	_ "$4"
)

func main() {
	db, err := sql.Open("$5", "file:events.db")
	check(err)
	db.SetMaxOpenConns(1)
	_, err = db.Exec("CREATE TABLE events (id INTEGER PRIMARY KEY, key TEXT UNIQUE)")
	check(err)
	for _, key := range []string{"a", "b", "b", "c", "d"} {
		result, err := db.Exec("INSERT INTO events (key) VALUES (?) ON CONFLICT DO NOTHING RETURNING id", key)
		if err != nil {
			fmt.Print("error ")
			continue
		}
		n, err := result.RowsAffected()
		check(err)
		fmt.Print(n, " ")
	}
	var rows int
	check(db.QueryRow("SELECT count(*) FROM events").Scan(&rows))
	fmt.Println("rows", rows)
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
GO
	go get . 2>/dev/null
	seen=$(go run .)
	printf '%-42s %s\n' "$1 $3" "$seen"
	[[ $seen == "$6" ]] || { echo CHANGED; exit 1; }
}
echo 'RowsAffected for the keys a, b, b, c, d, and the rows that are there'
try modernc modernc.org/sqlite v1.62.0 modernc.org/sqlite sqlite '1 1 0 1 1 rows 4'
try ncruces github.com/ncruces/go-sqlite3 v0.37.0 github.com/ncruces/go-sqlite3/driver sqlite3 '1 1 0 1 1 rows 4'
try mattn github.com/mattn/go-sqlite3 v1.14.53 github.com/mattn/go-sqlite3 sqlite3 '0 1 0 0 1 rows 4'
try go-libsql github.com/tursodatabase/go-libsql v0.0.0-20251219133454-43644db490ff github.com/tursodatabase/go-libsql libsql 'error error 0 error error rows 4'
