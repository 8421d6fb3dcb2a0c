#!/usr/bin/env bash
# Software: github.com/go-sql-driver/mysql v1.10.1, on mariadb-server of the machine's packages, seen with 10.11.19:
#   database/sql's Exec of a statement with RETURNING, which MariaDB has for INSERT, REPLACE and DELETE.
# Expected: RowsAffected and LastInsertId are those of the statement, as they are without RETURNING; or Exec fails, since it
#   can't give rows.
# Seen: both are 0, and there is no error. The rows are written, or deleted. interpolateParams and clientFoundRows change
#   nothing.
# Why it matters: INSERT IGNORE … RETURNING id, run by Exec, with RowsAffected for "new": every event counts as a duplicate,
#   is answered 200, and its work is never done. The same statement by lib/pq and pgx on PostgreSQL gives 1. Leave RETURNING
#   away where Exec runs the statement, or read its rows by Query.
set -euo pipefail
work=$(mktemp -d)
server=
trap '[[ -z $server ]] || kill -9 "$server"; rm -rf "$work"' EXIT
export PATH=$PATH:/usr/sbin GOWORK=off GOFLAGS=-mod=mod
as=()
if ((EUID == 0)); then
	chown mysql "$work"
	as=(--user=mysql)
fi
mariadb-install-db --no-defaults "${as[@]}" --datadir="$work/data" --auth-root-authentication-method=normal --skip-test-db >"$work/install.log" 2>&1
mariadbd --no-defaults "${as[@]}" --datadir="$work/data" --skip-networking --socket="$work/socket" --pid-file="$work/pid" \
	--innodb-buffer-pool-size=64M >"$work/log" 2>&1 &
server=$!
mkdir "$work/go" && cd "$work/go"
go mod init example.test/finding >/dev/null 2>&1
go get github.com/go-sql-driver/mysql@v1.10.1 2>/dev/null
cat >main.go <<'GO'
package main

import (
	"database/sql"
	"fmt"
	"os"
	"time"

	_ "github.com/go-sql-driver/mysql"
)

func main() {
	db, err := sql.Open("mysql", "root@unix("+os.Args[1]+")/")
	check(err)
	db.SetMaxOpenConns(1)
	for range 300 { // until the server is there
		if err = db.Ping(); err == nil {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	var version string
	check(db.QueryRow("SELECT version()").Scan(&version))
	for _, statement := range []string{"CREATE DATABASE d", "USE d", "CREATE TABLE events (id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(20) UNIQUE)"} {
		_, err := db.Exec(statement)
		check(err)
	}
	const insert = "INSERT IGNORE INTO events (name) VALUES (?)"
	without := exec(db, insert, "a") + exec(db, insert, "a")
	returning := exec(db, insert+" RETURNING id", "b") + exec(db, insert+" RETURNING id", "b")
	var rows int
	check(db.QueryRow("SELECT count(*) FROM events").Scan(&rows))
	fmt.Printf("MariaDB %s, a new event and its repeat:\nwithout RETURNING: %s\nwith RETURNING:    %s\nrows in the table: %d\n", version, without, returning, rows)
	if without != "1 affected, id 1; 0 affected, id 0; " || returning != "0 affected, id 0; 0 affected, id 0; " || rows != 2 {
		fmt.Println("CHANGED")
		os.Exit(1)
	}
}

func exec(db *sql.DB, query, name string) string {
	result, err := db.Exec(query, name)
	check(err)
	affected, err := result.RowsAffected()
	check(err)
	id, err := result.LastInsertId()
	check(err)
	return fmt.Sprintf("%d affected, id %d; ", affected, id)
}

func check(err error) {
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}
GO
go get . 2>/dev/null
echo "go-sql-driver/mysql $(go list -m -f '{{.Version}}' github.com/go-sql-driver/mysql)"
go run . "$work/socket"
