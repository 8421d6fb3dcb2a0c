#!/usr/bin/env bash
# Software: github.com/riverqueue/river v0.51.2 with riverpgxv5, on PostgreSQL (seen with 15.18): InsertMany and unique jobs.
# Expected: InsertMany handles unique conflicts, as its documentation says in contrast to InsertManyFast: a job whose equal
#   is there is skipped, and its result has UniqueSkippedAsDuplicate. Two equal jobs in one call: the second one is skipped.
# Seen: a job that was there before the call is skipped. Two equal ones in one call fail it as a whole, whether or not the
#   job was there before: "ON CONFLICT DO UPDATE command cannot affect row a second time" (SQLSTATE 21000). None of the
#   others is inserted, and a transaction that was handed in (InsertManyTx) is aborted.
# Why it matters: who collects deliveries of webhooks for a few milliseconds and enqueues them together meets a delivery and
#   its repeat in one batch, which then fails for all of them, again each time. Remove equal ones before the call, by the
#   fields that the uniqueness counts.
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
go get github.com/riverqueue/river@v0.51.2 github.com/riverqueue/river/riverdriver/riverpgxv5@v0.51.2 github.com/jackc/pgx/v5@v5.13.0 2>/dev/null
cat >main.go <<'GO'
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
)

type Args struct {
	Event string `json:"event"`
}

func (Args) Kind() string { return "event" }

var (
	ctx    = context.Background()
	quiet  = slog.New(slog.NewTextHandler(io.Discard, nil))
	client *river.Client[pgx.Tx]
)

func main() {
	pool, err := pgxpool.New(ctx, os.Args[1])
	check(err)
	defer pool.Close()
	migrator, err := rivermigrate.New(riverpgxv5.New(pool), &rivermigrate.Config{Logger: quiet})
	check(err)
	_, err = migrator.Migrate(ctx, rivermigrate.DirectionUp, nil)
	check(err)
	client, err = river.NewClient(riverpgxv5.New(pool), &river.Config{Logger: quiet})
	check(err)

	before := insert("a")
	known := insert("a", "b")
	twice := insert("c", "c", "d")
	var jobs int
	check(pool.QueryRow(ctx, "SELECT count(*) FROM river_job").Scan(&jobs))
	fmt.Printf("a:                 %s\na (known) and b:   %s\nc, c again, and d: %s\njobs in the table: %d\n", before, known, twice, jobs)
	if before != "inserted" || known != "skipped, inserted" || twice != "SQLSTATE 21000" || jobs != 2 {
		fmt.Println("CHANGED")
		os.Exit(1)
	}
}

// insert inserts a unique job for each event by one InsertMany, and says what became of them.
func insert(events ...string) string {
	var params []river.InsertManyParams
	for _, event := range events {
		unique := &river.InsertOpts{UniqueOpts: river.UniqueOpts{ByArgs: true}}
		params = append(params, river.InsertManyParams{Args: Args{event}, InsertOpts: unique})
	}
	results, err := client.InsertMany(ctx, params)
	if fromServer, ok := errors.AsType[*pgconn.PgError](err); ok {
		return "SQLSTATE " + fromServer.Code
	}
	check(err)
	var became string
	for i, result := range results {
		if i > 0 {
			became += ", "
		}
		if result.UniqueSkippedAsDuplicate {
			became += "skipped"
		} else {
			became += "inserted"
		}
	}
	return became
}

func check(err error) {
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}
GO
go get . 2>/dev/null
echo "river $(go list -m -f '{{.Version}}' github.com/riverqueue/river), $(postgres --version)"
go run . "postgres://postgres@127.0.0.1:$port/postgres"
