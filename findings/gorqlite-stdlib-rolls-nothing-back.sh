#!/usr/bin/env bash
# Software: github.com/rqlite/gorqlite v0.0.0-20261020015727-7224ce2bd419, package stdlib (the database/sql driver for
#   rqlite). A small HTTP server stands for rqlite: it runs what /db/execute gets on SQLite (modernc.org/sqlite v1.62.0), as
#   rqlite does.
# Expected: Begin fails where a database has no transactions over its API, as database/sql's drivers do for what they can't
#   do (isolation levels, read-only); or statements are kept until Commit, and sent as one request, which rqlite runs as one
#   transaction.
# Seen: Begin, Commit and Rollback succeed and do nothing. Each statement is sent, and kept, at once. After Rollback the rows
#   are there.
# Why it matters: code that puts an event's key and its handler's writes into one sql.Tx compiles, and passes tests that only
#   commit. A handler that fails leaves its key behind: the sender's repeat is taken for a duplicate, and the event is lost.
#   WriteParameterized of gorqlite itself sends several statements as one transaction.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
export GOWORK=off GOFLAGS=-mod=mod
go mod init example.test/finding >/dev/null 2>&1
go get github.com/rqlite/gorqlite@v0.0.0-20261020015727-7224ce2bd419 modernc.org/sqlite@v1.62.0 2>/dev/null
cat >main.go <<'GO'
package main

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"

	_ "github.com/rqlite/gorqlite/stdlib"
	_ "modernc.org/sqlite"
)

func main() {
	node, err := sql.Open("sqlite", "file:node.db")
	check(err)
	_, err = node.Exec("CREATE TABLE events (key TEXT PRIMARY KEY)")
	check(err)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/db/execute" {
			fmt.Fprint(w, "{}")
			return
		}
		var statements [][]any
		check(json.NewDecoder(r.Body).Decode(&statements))
		for _, statement := range statements {
			_, err := node.Exec(statement[0].(string), statement[1:]...)
			check(err)
		}
		fmt.Fprint(w, `{"results":[{"last_insert_id":1,"rows_affected":1}]}`)
	}))
	defer server.Close()

	db, err := sql.Open("rqlite", server.URL+"?disableClusterDiscovery=true")
	check(err)
	rqlite := rolledBack(db, node)
	other, err := sql.Open("sqlite", "file:other.db")
	check(err)
	_, err = other.Exec("CREATE TABLE events (key TEXT PRIMARY KEY)")
	check(err)
	modernc := rolledBack(other, other)
	fmt.Printf("rows after Begin, an insert and Rollback\nmodernc.org/sqlite: %s\ngorqlite's stdlib:  %s\n", modernc, rqlite)
	if modernc != "0, error <nil>" || rqlite != "1, error <nil>" {
		fmt.Println("CHANGED")
		os.Exit(1)
	}
}

func rolledBack(db, stored *sql.DB) string {
	tx, err := db.Begin()
	check(err)
	_, err = tx.Exec("INSERT INTO events (key) VALUES (?)", "event_1")
	check(err)
	rollback := tx.Rollback()
	var rows int
	check(stored.QueryRow("SELECT count(*) FROM events").Scan(&rows))
	return fmt.Sprintf("%d, error %v", rows, rollback)
}

func check(err error) {
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}
GO
go get . 2>/dev/null
echo "gorqlite $(go list -m -f '{{.Version}}' github.com/rqlite/gorqlite)"
go run .
