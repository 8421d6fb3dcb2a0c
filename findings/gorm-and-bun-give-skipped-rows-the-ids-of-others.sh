#!/usr/bin/env bash
# Software: gorm.io/gorm v1.31.2 with gorm.io/driver/sqlite v1.6.0, and github.com/uptrace/bun v1.3.0 with sqlitedialect; the
#   same was seen on PostgreSQL 15 by gorm.io/driver/postgres v1.6.3, pgdialect and pgx v5.13.0.
# Expected: a slice of rows that is inserted with ON CONFLICT DO NOTHING has the id of each row that was inserted, and none
#   in those that were skipped; or, where the library can't know which is which, no ids at all.
# Seen: RETURNING gives the ids of the rows that were inserted, and both hand them out from the beginning of the slice. A row
#   that was skipped gets the id of another one's; with gorm the last ones, though inserted, have 0. bun cuts the slice to as
#   many as there were ids. No error, and RowsAffected is right.
# Why it matters: who stores a batch of events so, and then writes what belongs to them by their ids (jobs, tags, an outbox),
#   ties it to the wrong events as soon as one of the batch was delivered before. Ask for the key as well (RETURNING id, key
#   into a slice of its own), or insert one at a time.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
export GOWORK=off GOFLAGS=-mod=mod CGO_ENABLED=1
go mod init example.test/finding >/dev/null 2>&1
go get gorm.io/gorm@v1.31.2 gorm.io/driver/sqlite@v1.6.0 github.com/uptrace/bun@v1.3.0 github.com/uptrace/bun/dialect/sqlitedialect@v1.3.0 2>/dev/null
cat >main.go <<'GO'
package main

import (
	"context"
	"database/sql"
	"fmt"
	"os"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/sqlitedialect"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/logger"
)

type Event struct {
	bun.BaseModel `bun:"table:events" gorm:"-"`
	ID            int64  `bun:",pk,autoincrement" gorm:"primaryKey"`
	Key           string `gorm:"uniqueIndex"`
}

var db *sql.DB

func main() {
	var err error
	db, err = sql.Open("sqlite3", "file:events.db")
	check(err)
	byGorm := stored(func(events *[]Event) {
		g, err := gorm.Open(&sqlite.Dialector{Conn: db}, &gorm.Config{Logger: logger.Discard})
		check(err)
		check(g.Clauses(clause.OnConflict{DoNothing: true}).Create(events).Error)
	})
	byBun := stored(func(events *[]Event) {
		_, err := bun.NewDB(db, sqlitedialect.New()).NewInsert().Model(events).On("CONFLICT (key) DO NOTHING").Exec(context.Background())
		check(err)
	})
	fmt.Printf("key: its id in the slice, in the table\ngorm: %s\nbun:  %s\n", byGorm, byBun)
	if byGorm != "old 2 1, new 0 2" || byBun != "old 2 1" {
		fmt.Println("CHANGED")
		os.Exit(1)
	}
}

// stored inserts an event that is there already, and a new one, and compares their ids with those of the table.
func stored(insert func(*[]Event)) (result string) {
	_, err := db.Exec("DROP TABLE IF EXISTS events; CREATE TABLE events (id INTEGER PRIMARY KEY, key TEXT UNIQUE); INSERT INTO events (key) VALUES ('old')")
	check(err)
	events := []Event{{Key: "old"}, {Key: "new"}}
	insert(&events)
	for i, event := range events {
		var id int64
		check(db.QueryRow("SELECT id FROM events WHERE key = ?", event.Key).Scan(&id))
		if i > 0 {
			result += ", "
		}
		result += fmt.Sprintf("%s %d %d", event.Key, event.ID, id)
	}
	return result
}

func check(err error) {
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}
GO
go get . 2>/dev/null
echo "gorm $(go list -m -f '{{.Version}}' gorm.io/gorm), bun $(go list -m -f '{{.Version}}' github.com/uptrace/bun)"
go run .
