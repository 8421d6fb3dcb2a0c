#!/usr/bin/env bash
# Software: github.com/uptrace/bun/driver/pgdriver v1.2.18 and github.com/go-pg/pg/v10 v10.11.0, beside
#   github.com/jackc/pgx/v5 v5.13.0 (stdlib) and github.com/lib/pq v1.12.3, on PostgreSQL (seen with 15.18).
# Expected: Commit gives an error if the transaction is not committed. PostgreSQL has ended a transaction in which a statement
#   failed, and responds to its COMMIT with ROLLBACK, which pgx and lib/pq make an error.
# Seen: pgdriver and go-pg look for an error message only. Commit, and RunInTransaction, give nil, and nothing is stored.
# Why it matters: a handler that logs the error of a statement that is not so important, and returns nil, has written nothing:
#   not the event's key, not what came before. With pgx and lib/pq the receiver answers 500, and the event comes again. Here
#   it answers 200, and the event is lost without a line in any log but that one. Return each error of a statement, run it
#   within a savepoint, or use bun on pgx's stdlib.
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
go get github.com/go-pg/pg/v10@v10.11.0 github.com/uptrace/bun/driver/pgdriver@v1.2.18 github.com/jackc/pgx/v5@v5.13.0 github.com/lib/pq@v1.12.3 2>/dev/null
cat >main.go <<'GO'
package main

import (
	"context"
	"database/sql"
	"fmt"
	"os"

	"github.com/go-pg/pg/v10"
	_ "github.com/jackc/pgx/v5/stdlib"
	_ "github.com/lib/pq"
	"github.com/uptrace/bun/driver/pgdriver"
)

const (
	works = "INSERT INTO events VALUES ('event_1', 1)"
	fails = "INSERT INTO events VALUES ('event_2', 100)"
)

var (
	ctx    = context.Background()
	direct *sql.DB
)

func main() {
	url := os.Args[1] + "?sslmode=disable"
	direct = open("pgx", url)
	_, err := direct.Exec("CREATE TABLE events (id text PRIMARY KEY, attempts int CHECK (attempts < 10))")
	check(err)
	options, err := pg.ParseURL(url)
	check(err)
	goPG := pg.Connect(options)
	defer goPG.Close()

	pgx, pq := committed(direct), committed(open("postgres", url))
	bun := committed(sql.OpenDB(pgdriver.NewConnector(pgdriver.WithDSN(url))))
	err = goPG.RunInTransaction(ctx, func(tx *pg.Tx) error {
		_, err := tx.ExecContext(ctx, works)
		check(err)
		if _, err = tx.ExecContext(ctx, fails); err == nil {
			check(fmt.Errorf("the statement did not fail"))
		}
		return nil
	})
	own := outcome(err)
	fmt.Printf("an INSERT, a statement that fails, whose error is hidden, and Commit\npgx:      %s\nlib/pq:   %s\npgdriver: %s\ngo-pg:    %s\n", pgx, pq, bun, own)
	if pgx != "error true, rows 0" || pq != pgx || bun != "error false, rows 0" || own != bun {
		fmt.Println("CHANGED")
		os.Exit(1)
	}
}

func committed(db *sql.DB) string {
	tx, err := db.Begin()
	check(err)
	_, err = tx.Exec(works)
	check(err)
	if _, err = tx.Exec(fails); err == nil {
		check(fmt.Errorf("the statement did not fail"))
	}
	return outcome(tx.Commit())
}

// outcome says whether the commit gave an error, and how many rows are there.
func outcome(commit error) string {
	var rows int
	check(direct.QueryRow("SELECT count(*) FROM events").Scan(&rows))
	return fmt.Sprintf("error %v, rows %d", commit != nil, rows)
}

func open(driver, url string) *sql.DB {
	db, err := sql.Open(driver, url)
	check(err)
	return db
}

func check(err error) {
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}
GO
go get . 2>/dev/null
echo "pgdriver $(go list -m -f '{{.Version}}' github.com/uptrace/bun/driver/pgdriver), go-pg $(go list -m -f '{{.Version}}' github.com/go-pg/pg/v10), pgx $(go list -m -f '{{.Version}}' github.com/jackc/pgx/v5), lib/pq $(go list -m -f '{{.Version}}' github.com/lib/pq), $(postgres --version)"
go run . "postgres://postgres@127.0.0.1:$port/postgres"
