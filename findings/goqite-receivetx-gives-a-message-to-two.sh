#!/usr/bin/env bash
# Software: maragu.dev/goqite v0.4.0 with SQLFlavorPostgreSQL and pgx's stdlib v5.13.0, on PostgreSQL (seen with 15.18).
# Expected: a message is not received again before its timeout, as the README guarantees; ReceiveTx is Receive within a
#   transaction of one's own, as its documentation says.
# Seen: with transactions of the usual isolation, two receivers that come at the same time get the same message. The query
#   chooses a message without locking it; the second receiver waits for the first one's row, and then takes it, too. Both
#   count: after two such meetings MaxReceive, 3 by default, is passed, and nobody gets the message again. Receive uses
#   serializable transactions of its own: it gives each message once, and an error (SQLSTATE 40001) to the others, for which
#   the package's job runner pauses a second.
# Why it matters: each event's work is done twice as soon as a second worker runs, in a process of its own or not, and a
#   message of which both attempts fail is left lying after two rounds instead of three. Begin the transaction of ReceiveTx
#   with sql.LevelSerializable, and repeat it after 40001.
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
go get maragu.dev/goqite@v0.4.0 github.com/jackc/pgx/v5@v5.13.0 2>/dev/null
cat >main.go <<'GO'
package main

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
	"maragu.dev/goqite"
)

var ctx = context.Background()

func main() {
	db, err := sql.Open("pgx", os.Args[1])
	check(err)
	schema, err := os.ReadFile(filepath.Join(os.Args[2], "schema_postgres.sql"))
	check(err)
	_, err = db.Exec(string(schema))
	check(err)
	readCommitted := receive(db, "a", func(q *goqite.Queue) (*goqite.Message, error) { return inTx(db, q, sql.LevelDefault) })
	serializable := receive(db, "b", func(q *goqite.Queue) (*goqite.Message, error) { return inTx(db, q, sql.LevelSerializable) })
	own := receive(db, "c", func(q *goqite.Queue) (*goqite.Message, error) { return q.Receive(ctx) })
	fmt.Printf("40 messages, four receivers\n")
	for _, r := range []struct {
		name string
		result
	}{{"ReceiveTx, default isolation", readCommitted}, {"ReceiveTx, serializable", serializable}, {"Receive", own}} {
		fmt.Printf("%-29s %d messages came once, %d more than once; %d errors\n", r.name+":", r.once, r.more, r.errors)
	}
	if readCommitted.more == 0 || readCommitted.errors != 0 || serializable.more != 0 || own.more != 0 {
		fmt.Println("CHANGED")
		os.Exit(1)
	}
}

type result struct{ once, more, errors int }

// receive sends 40 messages, and has four receivers receive them, none of which deletes any.
func receive(db *sql.DB, name string, one func(*goqite.Queue) (*goqite.Message, error)) (r result) {
	q := goqite.New(goqite.NewOpts{DB: db, Name: name, Timeout: time.Hour, SQLFlavor: goqite.SQLFlavorPostgreSQL})
	for range 40 {
		check(q.Send(ctx, goqite.Message{Body: []byte("event")}))
	}
	var (
		mu       sync.Mutex
		received = map[goqite.ID]int{}
		wg       sync.WaitGroup
	)
	for range 4 {
		wg.Go(func() {
			for range 40 {
				m, err := one(q)
				mu.Lock()
				if err != nil {
					r.errors++
				} else if m != nil {
					received[m.ID]++
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	for _, times := range received {
		if times == 1 {
			r.once++
		} else {
			r.more++
		}
	}
	return r
}

func inTx(db *sql.DB, q *goqite.Queue, isolation sql.IsolationLevel) (*goqite.Message, error) {
	tx, err := db.BeginTx(ctx, &sql.TxOptions{Isolation: isolation})
	check(err)
	defer tx.Rollback()
	m, err := q.ReceiveTx(ctx, tx)
	if err != nil {
		return nil, err
	}
	return m, tx.Commit()
}

func check(err error) {
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}
GO
go get . 2>/dev/null
echo "goqite $(go list -m -f '{{.Version}}' maragu.dev/goqite), $(postgres --version)"
go run . "postgres://postgres@127.0.0.1:$port/postgres" "$(go list -m -f '{{.Dir}}' maragu.dev/goqite)"
