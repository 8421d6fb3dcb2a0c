#!/usr/bin/env bash
# Software: github.com/riverqueue/river v0.51.2 with riverpgxv5, on PostgreSQL (seen with 15.18): insert middleware and
#   InsertManyFast.
# Expected: a middleware for insertion (river.JobInsertMiddlewareDefaults, InsertMany) that returns what the inner call has
#   returned sees one *rivertype.JobInsertResult for each job; where the fast path can't know them (COPY returns no rows), an
#   empty slice.
# Seen: with InsertManyFast and InsertManyFastTx it is a slice as long as the jobs, of nil pointers, and no error. The types,
#   and the lengths, are the same as for Insert and InsertMany.
# Why it matters: a middleware that logs, traces or counts the ids of inserted jobs is well with Insert and InsertMany in
#   every test, and panics in the first call that takes the fast path; the transaction of the events is rolled back.
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
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
	"github.com/riverqueue/river/rivertype"
)

type Args struct {
	Event string `json:"event"`
}

func (Args) Kind() string { return "event" }

type observer struct {
	river.JobInsertMiddlewareDefaults
	seen string
}

func (o *observer) InsertMany(ctx context.Context, _ []*rivertype.JobInsertParams,
	inner func(context.Context) ([]*rivertype.JobInsertResult, error)) ([]*rivertype.JobInsertResult, error) {
	results, err := inner(ctx)
	missing := 0
	for _, result := range results {
		if result == nil {
			missing++
		}
	}
	o.seen = fmt.Sprintf("%d results, %d of them nil", len(results), missing)
	return results, err
}

func main() {
	ctx, quiet := context.Background(), slog.New(slog.NewTextHandler(io.Discard, nil))
	pool, err := pgxpool.New(ctx, os.Args[1])
	check(err)
	defer pool.Close()
	migrator, err := rivermigrate.New(riverpgxv5.New(pool), &rivermigrate.Config{Logger: quiet})
	check(err)
	_, err = migrator.Migrate(ctx, rivermigrate.DirectionUp, nil)
	check(err)
	o := &observer{}
	client, err := river.NewClient(riverpgxv5.New(pool), &river.Config{Logger: quiet, Middleware: []rivertype.Middleware{o}})
	check(err)

	params := []river.InsertManyParams{{Args: Args{"a"}}, {Args: Args{"b"}}}
	_, err = client.InsertMany(ctx, params)
	check(err)
	many := o.seen
	tx, err := pool.Begin(ctx)
	check(err)
	n, err := client.InsertManyFastTx(ctx, tx, params)
	check(err)
	check(tx.Commit(ctx))
	fmt.Printf("InsertMany of 2 jobs:       %s\nInsertManyFastTx of 2 jobs: %s; it returns %d\n", many, o.seen, n)
	if many != "2 results, 0 of them nil" || o.seen != "2 results, 2 of them nil" || n != 2 {
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
go get . 2>/dev/null
echo "river $(go list -m -f '{{.Version}}' github.com/riverqueue/river), $(postgres --version)"
go run . "postgres://postgres@127.0.0.1:$port/postgres"
