#!/usr/bin/env bash
# Software: gorm.io/gorm v1.31.2 with gorm.io/driver/sqlite v1.6.0, Config.PrepareStmt, and a *sql.Tx that other code has begun.
# Expected: gorm.Open takes a transaction as its connection (ConnPool is an interface that *sql.Tx fulfils), with the
#   options that the application uses everywhere, PrepareStmt among them.
# Seen: without PrepareStmt it does. With PrepareStmt, Open fails with "invalid db", which names neither the option nor the
#   transaction. A session of a *gorm.DB that was opened on the pool, with Statement.ConnPool set to the transaction, works in
#   both cases, and its writes are undone with the transaction.
# Why it matters: code that receives webhooks puts an event's key and the handler's writes into one transaction, which the
#   handler is given. Who opens gorm on it, with the configuration that works elsewhere, gets that error for every event.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
export GOWORK=off GOFLAGS=-mod=mod CGO_ENABLED=1
go mod init example.test/finding >/dev/null 2>&1
go get gorm.io/gorm@v1.31.2 gorm.io/driver/sqlite@v1.6.0 2>/dev/null
cat >main.go <<'GO'
package main

import (
	"context"
	"database/sql"
	"fmt"
	"os"

	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

type Row struct{ ID int64 }

func main() {
	db, err := sql.Open("sqlite3", "rows.db")
	check(err)
	_, err = db.Exec("CREATE TABLE rows (id INTEGER PRIMARY KEY)")
	check(err)
	var opened, session [2]string
	for i, prepare := range []bool{false, true} {
		config := &gorm.Config{PrepareStmt: prepare, Logger: logger.Discard}

		tx, err := db.Begin()
		check(err)
		_, err = gorm.Open(&sqlite.Dialector{Conn: tx}, config)
		opened[i] = fmt.Sprint(err)
		check(tx.Rollback())

		base, err := gorm.Open(&sqlite.Dialector{Conn: db}, config)
		check(err)
		tx, err = db.Begin()
		check(err)
		s := base.Session(&gorm.Session{NewDB: true, Context: context.Background()})
		s.Statement.ConnPool = tx
		err = s.Create(&Row{}).Error
		check(tx.Rollback())
		var n int
		check(db.QueryRow("SELECT count(*) FROM rows").Scan(&n))
		session[i] = fmt.Sprintf("%v, %d rows after the rollback", err, n)
	}
	fmt.Printf("Open on a transaction:                %s\n", opened[0])
	fmt.Printf("Open on a transaction, PrepareStmt:   %s\n", opened[1])
	fmt.Printf("session on a transaction:             %s\n", session[0])
	fmt.Printf("session on a transaction, PrepareStmt: %s\n", session[1])
	const good = "<nil>, 0 rows after the rollback"
	if opened != [2]string{"<nil>", "invalid db"} || session != [2]string{good, good} {
		fmt.Println("CHANGED")
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
echo "gorm $(go list -m -f '{{.Version}}' gorm.io/gorm)"
go run .
