#!/usr/bin/env bash
# Software: github.com/tursodatabase/go-libsql v0.0.0-20251219133454-43644db490ff, beside modernc.org/sqlite v1.62.0.
# Expected: a TEXT column read into a string gives the text that was stored, as it does with every other driver.
# Seen: a text that looks like a time is made a time.Time, whatever the column is for, and comes back in another form:
#   "2025-01-10" is read as "2025-01-10T00:00:00Z", "2025-01-10 12:34:56" as "2025-01-10T12:34:56Z". The database has what was
#   stored: only reading changes it, so that WHERE v = what-was-read finds no row.
# Why it matters: an idempotency key, an id or a date that is read and then looked up again is not found. CAST(v AS BLOB)
#   reads what is there.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
export GOWORK=off GOFLAGS=-mod=mod
go mod init example.test/finding >/dev/null 2>&1
go get github.com/tursodatabase/go-libsql@v0.0.0-20251219133454-43644db490ff modernc.org/sqlite@v1.62.0 2>/dev/null
cat >main.go <<'GO'
package main

import (
	"database/sql"
	"fmt"
	"os"

	_ "github.com/tursodatabase/go-libsql"
	_ "modernc.org/sqlite"
)

func main() {
	changed := 0
	for _, driver := range []string{"sqlite", "libsql"} {
		db, err := sql.Open(driver, "file:"+driver+".db")
		check(err)
		_, err = db.Exec("CREATE TABLE t (v TEXT)")
		check(err)
		for _, stored := range []string{"2025-01-10", "2025-01-10 12:34:56", "order 2025-01-10"} {
			_, err := db.Exec("INSERT INTO t VALUES (?)", stored)
			check(err)
			var read string
			var bytes []byte
			var found int
			check(db.QueryRow("SELECT v FROM t WHERE v = ?", stored).Scan(&read))
			check(db.QueryRow("SELECT CAST(v AS BLOB) FROM t WHERE v = ?", stored).Scan(&bytes))
			check(db.QueryRow("SELECT count(*) FROM t WHERE v = ?", read).Scan(&found))
			fmt.Printf("%-6s stored %-21q read %-24q found again %d, as a BLOB %q\n", driver, stored, read, found, bytes)
			if (read != stored) != (driver == "libsql" && stored[0] == '2') || string(bytes) != stored {
				fmt.Println("it is not as it was seen")
				os.Exit(1)
			}
			if read != stored && found == 0 {
				changed++
			}
		}
		check(db.Close())
	}
	if changed != 2 {
		fmt.Println("it is not as it was seen")
		os.Exit(1)
	}
}

func check(err error) {
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}
GO
go list -m github.com/tursodatabase/go-libsql modernc.org/sqlite
go run .
