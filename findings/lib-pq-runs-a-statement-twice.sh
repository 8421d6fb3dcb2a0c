#!/usr/bin/env bash
# Software: github.com/lib/pq v1.12.3, beside pgx's stdlib v5.13.0, on PostgreSQL (seen with 15.18).
# Expected: a statement whose response is lost with its connection gives an error, since it may have been committed:
#   database/sql repeats only what fails with driver.ErrBadConn, which a driver must not return after it has sent something.
# Seen: lib/pq returns that error when the connection is closed (EOF), whatever it was waiting for. DB.Exec runs the INSERT again
#   on a new connection, and gives no error: two rows. INSERT … ON CONFLICT DO NOTHING finds its own row, and says that 0 rows
#   are affected. pgx gives an error, and one row. Within a sql.Tx nothing is repeated.
#   The same was seen with github.com/go-mysql-org/go-mysql/driver v1.13.0 on MariaDB, unless its DSN says retries=off.
# Source: lib/pq issue 939, open.
# Why it matters: poolers and load balancers end connections when they are restarted. "0 rows affected" is how a receiver of
#   webhooks recognizes a duplicate: the event is answered 200, and is not handled; without the unique key it is there
#   twice. Put the key into a transaction with what it guards, as the outcome of COMMIT is never repeated.
set -euo pipefail
work=$(mktemp -d)
export PATH=$PATH:$(ls -d /usr/lib/postgresql/*/bin | tail -1)
as=()
if ((EUID == 0)); then
	as=(setpriv --reuid=postgres --regid=postgres --init-groups env -C "$work")
	chown postgres "$work" && chmod 755 "$work"
fi
end() {
	"${as[@]}" pg_ctl -D "$work/data" -m immediate stop >/dev/null 2>&1 || true
	rm -rf "$work"
}
trap end EXIT
port=$((20000 + RANDOM % 12000))
"${as[@]}" initdb -D "$work/data" -U postgres -A trust --no-sync >/dev/null
"${as[@]}" pg_ctl -w -D "$work/data" -l "$work/server.log" -o "-p $port -k '' -c listen_addresses=127.0.0.1" start >/dev/null
mkdir "$work/go" && cd "$work/go"
export GOWORK=off GOFLAGS=-mod=mod
go mod init example.test/finding >/dev/null 2>&1
go get github.com/lib/pq@v1.12.3 github.com/jackc/pgx/v5@v5.13.0 2>/dev/null
cat >main.go <<'GO'
package main

import (
	"bytes"
	"database/sql"
	"fmt"
	"net"
	"os"
	"sync/atomic"

	_ "github.com/jackc/pgx/v5/stdlib"
	_ "github.com/lib/pq"
)

const (
	insert = "INSERT INTO events (name) VALUES ($1)"
	once   = "INSERT INTO keys (name) VALUES ($1) ON CONFLICT DO NOTHING"
)

func main() {
	direct, err := sql.Open("pgx", dsn(os.Args[1]))
	check(err)
	_, err = direct.Exec("CREATE TABLE events (id serial PRIMARY KEY, name text); CREATE TABLE keys (name text PRIMARY KEY)")
	check(err)
	pq, pgx := lost("postgres", direct), lost("pgx", direct)
	within := lostWithinTx(direct)
	fmt.Printf("the response to an INSERT is lost with its connection\nlib/pq: %s\npgx:    %s\nlib/pq, within a sql.Tx: %s\n", pq, pgx, within)
	if pq != "error: false, rows 2; ON CONFLICT DO NOTHING: error: false, affected 0, rows 1" ||
		pgx != "error: true, rows 1; ON CONFLICT DO NOTHING: error: true, affected 0, rows 1" ||
		within != "error: true, rows 0" {
		fmt.Println("CHANGED")
		os.Exit(1)
	}
}

// lost runs both statements, each on a connection that breaks when its response comes, and says what came of them.
func lost(driver string, direct *sql.DB) string {
	_, err := direct.Exec("TRUNCATE events, keys")
	check(err)
	var rows [2]int
	var errs [2]error
	var affected int64
	for i, statement := range []string{insert, once} {
		db, err := sql.Open(driver, dsn(losing(os.Args[1], "event_1")))
		check(err)
		result, err := db.Exec(statement, "event_1")
		if errs[i] = err; err == nil {
			affected, err = result.RowsAffected()
			check(err)
		}
		check(direct.QueryRow("SELECT count(*) FROM " + []string{"events", "keys"}[i]).Scan(&rows[i]))
		db.Close()
	}
	return fmt.Sprintf("error: %v, rows %d; ON CONFLICT DO NOTHING: error: %v, affected %d, rows %d", errs[0] != nil, rows[0], errs[1] != nil, affected, rows[1])
}

func lostWithinTx(direct *sql.DB) string {
	_, err := direct.Exec("TRUNCATE events")
	check(err)
	db, err := sql.Open("postgres", dsn(losing(os.Args[1], "event_1")))
	check(err)
	defer db.Close()
	tx, err := db.Begin()
	check(err)
	defer tx.Rollback()
	_, failed := tx.Exec(insert, "event_1")
	var rows int
	check(direct.QueryRow("SELECT count(*) FROM events").Scan(&rows))
	return fmt.Sprintf("error: %v, rows %d", failed != nil, rows)
}

func dsn(address string) string {
	return "postgres://postgres@" + address + "/postgres?sslmode=disable"
}

// losing passes bytes on to and from the server; the response to the first statement with the text is lost with its connection.
func losing(serverAddress, text string) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	var sent atomic.Int32
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", serverAddress)
			check(err)
			var loses atomic.Bool
			go func() {
				defer server.Close()
				buffer := make([]byte, 4096)
				for {
					n, err := client.Read(buffer)
					if bytes.Contains(buffer[:n], []byte(text)) && sent.Add(1) == 1 {
						loses.Store(true)
					}
					if _, failed := server.Write(buffer[:n]); failed != nil || err != nil {
						return
					}
				}
			}()
			go func() {
				defer client.Close()
				buffer := make([]byte, 4096)
				for {
					n, err := server.Read(buffer)
					if err != nil || loses.Load() {
						return
					}
					if _, err := client.Write(buffer[:n]); err != nil {
						return
					}
				}
			}()
		}
	}()
	return l.Addr().String()
}

func check(err error) {
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}
GO
go get . 2>/dev/null
echo "lib/pq $(go list -m -f '{{.Version}}' github.com/lib/pq), pgx $(go list -m -f '{{.Version}}' github.com/jackc/pgx/v5), $(postgres --version)"
go run . "127.0.0.1:$port"
