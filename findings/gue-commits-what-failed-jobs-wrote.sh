#!/usr/bin/env bash
# Software: github.com/vgarvardt/gue/v5 v5.8.0 with pgx v5.13.0, on PostgreSQL (seen with 15.18).
# Expected: what a handler writes through Job.Tx, the transaction that its job is locked in, is committed if the handler
#   returns nil, and rolled back if it returns an error. A job whose handler has failed is delayed, and its error counted.
# Seen: Error updates the job in that same transaction, and commits it with all that the failed attempt has written. Three
#   failed attempts leave three rows.
# Why it matters: a handler that stores something, and then fails at a remote call, stores it again in each attempt. Give
#   writes of a handler a transaction of their own, or a savepoint (Exec of SAVEPOINT and ROLLBACK TO) around all of them.
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
go get github.com/vgarvardt/gue/v5@v5.8.0 github.com/jackc/pgx/v5@v5.13.0 2>/dev/null
cat >main.go <<'GO'
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/vgarvardt/gue/v5"
	"github.com/vgarvardt/gue/v5/adapter/pgxv5"
)

var ctx = context.Background()

func main() {
	pool, err := pgxpool.New(ctx, os.Args[1])
	check(err)
	defer pool.Close()
	schema, err := os.ReadFile(filepath.Join(os.Args[2], "migrations", "schema.sql"))
	check(err)
	_, err = pool.Exec(ctx, string(schema)+`; CREATE TABLE effects (event text)`)
	check(err)
	failing := errors.New("a remote call failed")
	handlers := gue.WorkMap{
		// fails after it has written, as a handler does whose later step fails.
		"writes": func(ctx context.Context, j *gue.Job) error {
			if _, err := j.Tx().Exec(ctx, "INSERT INTO effects VALUES ('event_1')"); err != nil {
				return err
			}
			return failing
		},
	}
	atOnce := gue.WithClientBackoff(func(int) time.Duration { return 0 })
	client, err := gue.NewClient(pgxv5.NewConnPool(pool), atOnce)
	check(err)
	worked := work(client, handlers, "writes", 3)
	var effects, count int
	check(pool.QueryRow(ctx, "SELECT count(*) FROM effects").Scan(&effects))
	check(pool.QueryRow(ctx, "SELECT error_count FROM gue_jobs WHERE job_type = 'writes'").Scan(&count))
	writes := fmt.Sprintf("%d attempts, error_count %d, rows of its failed attempts that are committed: %d", worked, count, effects)
	fmt.Printf("it has written, and returns an error: %s\n", writes)
	if writes != "3 attempts, error_count 3, rows of its failed attempts that are committed: 3" {
		fmt.Println("CHANGED")
		os.Exit(1)
	}
}

// work enqueues one job, has a worker look for work so many times, and says how often it found some.
func work(client *gue.Client, handlers gue.WorkMap, kind string, times int) (worked int) {
	check(client.Enqueue(ctx, &gue.Job{Type: kind, RunAt: time.Now().Add(-time.Second)}))
	worker, err := gue.NewWorker(client, handlers)
	check(err)
	for range times {
		if worker.WorkOne(ctx) {
			worked++
		}
	}
	return worked
}

func check(err error) {
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}
GO
go get . 2>/dev/null
echo "gue $(go list -m -f '{{.Version}}' github.com/vgarvardt/gue/v5), $(postgres --version)"
go run . "postgres://postgres@127.0.0.1:$port/postgres" "$(go list -m -f '{{.Dir}}' github.com/vgarvardt/gue/v5)"
