#!/usr/bin/env bash
# Software: github.com/tursodatabase/go-libsql v0.0.0-20251219133454-43644db490ff, a driver of database/sql for SQLite's files.
# Expected: what DB.Exec takes, a statement from DB.Prepare takes, too.
# Seen: with a parameter that is written as $1, the prepared statement reports that it has none, so that
#   database/sql refuses every call with "expected 0 arguments, got 1". Exec with the same text works, and so does a
#   prepared statement whose parameters are plain question marks.
# Why it matters: code that prepares what it runs often, as sqlc's and most caches of statements do, works with the other
#   drivers for SQLite and fails on its first call here.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export GOWORK=off GOFLAGS=-mod=mod CGO_ENABLED=1
go mod init example.test/finding >/dev/null 2>&1
go get github.com/tursodatabase/go-libsql@v0.0.0-20251219133454-43644db490ff 2>/dev/null
cat >main.go <<'GO'
package main

import (
	"database/sql"
	"fmt"
	"os"

	_ "github.com/tursodatabase/go-libsql"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func main() {
	db := must(sql.Open("libsql", "file:"+os.Args[1]))
	defer db.Close()
	must(db.Exec("CREATE TABLE notes (note text)"))
	odd := false
	for parameter, works := range map[string]bool{"?": true, "$1": false} {
		text := "INSERT INTO notes VALUES (" + parameter + ")"
		_, direct := db.Exec(text, "by Exec")
		_, prepared := must(db.Prepare(text)).Exec("prepared")
		fmt.Printf("%-2s Exec: %v; prepared: %v\n", parameter, direct, prepared)
		odd = odd || direct != nil || (prepared == nil) != works
	}
	if odd {
		fmt.Println("not as seen before")
		os.Exit(1)
	}
}
GO
go mod tidy >/dev/null 2>&1
go run . "$work/notes.db"
