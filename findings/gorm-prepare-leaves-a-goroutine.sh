#!/usr/bin/env bash
# Software: gorm.io/gorm v1.31.2 with gorm.io/driver/sqlite v1.6.0, Config.PrepareStmt.
# Expected: a *gorm.DB is a thin thing around a pool: one may be opened for each unit of work, and what it holds ends with
#   the pool, or with the Close of its statement cache (PreparedStmtDB).
# Seen: each Open with PrepareStmt starts a goroutine that cleans the cache by time. It is there after PreparedStmtDB.Close,
#   after sql.DB.Close and after a garbage collection; nothing that is exported ends it. Without PrepareStmt there is none.
# Why it matters: a webhook handler that opens gorm on its event's connection or transaction leaves a goroutine behind for
#   every event. Open it once, and make a session for each event.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
export GOWORK=off GOFLAGS=-mod=mod CGO_ENABLED=1
go mod init example.test/finding >/dev/null 2>&1
go get gorm.io/gorm@v1.31.2 gorm.io/driver/sqlite@v1.6.0 2>/dev/null
cat >main.go <<'GO'
package main

import (
	"database/sql"
	"fmt"
	"os"
	"runtime"
	"time"

	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
)

const opens = 20

func main() {
	without, with := left(false), left(true)
	fmt.Printf("goroutines left by %d times Open and Close: %d without PrepareStmt, %d with it\n", opens, without, with)
	if without != 0 || with != opens {
		fmt.Println("CHANGED")
		os.Exit(1)
	}
}

func left(prepare bool) int {
	before := runtime.NumGoroutine()
	for range opens {
		db, err := sql.Open("sqlite3", "rows.db")
		check(err)
		g, err := gorm.Open(&sqlite.Dialector{Conn: db}, &gorm.Config{PrepareStmt: prepare})
		check(err)
		check(g.Exec("SELECT 1").Error)
		if cache, ok := g.ConnPool.(*gorm.PreparedStmtDB); ok {
			cache.Close()
		}
		check(db.Close())
	}
	for range 20 { // time for goroutines that are ending
		runtime.GC()
		time.Sleep(100 * time.Millisecond)
	}
	return runtime.NumGoroutine() - before
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
