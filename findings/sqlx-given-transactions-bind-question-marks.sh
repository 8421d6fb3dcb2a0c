#!/usr/bin/env bash
# Software: github.com/jmoiron/sqlx v1.4.0, a sqlx.Tx made of a *sql.Tx that other code has begun.
# Expected: sqlx.Tx embeds *sql.Tx in an exported field, so that one can be made of a transaction that a library hands out,
#   with the Mapper of the application's sqlx.DB; named queries then get the placeholders of that database.
# Seen: the driver's name is a private field, which stays empty. Rebind and the named queries leave the ? that PostgreSQL does
#   not take; on SQLite and MySQL nobody notices. sqlx.Rebind with sqlx.BindType of the driver's name gives $1.
# Why it matters: a handler that is given the transaction of its event works in tests on SQLite, and fails with a syntax
#   error for each event on PostgreSQL.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
export GOWORK=off GOFLAGS=-mod=mod
go mod init example.test/finding >/dev/null 2>&1
go get github.com/jmoiron/sqlx@v1.4.0 2>/dev/null
cat >main.go <<'GO'
package main

import (
	"database/sql"
	"fmt"
	"os"

	"github.com/jmoiron/sqlx"
)

func main() {
	// No statement is run: the names of the drivers are enough.
	named, _, err := sqlx.Named("INSERT INTO effects (id) VALUES (:id)", map[string]any{"id": 1})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	db := sqlx.NewDb(&sql.DB{}, "pgx")
	given := &sqlx.Tx{Tx: &sql.Tx{}, Mapper: db.Mapper}
	byDB, byTx, byName := db.Rebind(named), given.Rebind(named), sqlx.Rebind(sqlx.BindType("pgx"), named)
	fmt.Printf("sqlx.DB of pgx:            %s\n", byDB)
	fmt.Printf("sqlx.Tx of a given sql.Tx: %s (driver's name: %q)\n", byTx, given.DriverName())
	fmt.Printf("sqlx.Rebind by name:       %s\n", byName)
	const dollar, mark = "INSERT INTO effects (id) VALUES ($1)", "INSERT INTO effects (id) VALUES (?)"
	if byDB != dollar || byTx != mark || byName != dollar || given.DriverName() != "" {
		fmt.Println("CHANGED")
		os.Exit(1)
	}
}
GO
echo "sqlx $(go list -m -f '{{.Version}}' github.com/jmoiron/sqlx)"
go run .
