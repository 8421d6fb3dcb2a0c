#!/usr/bin/env bash
# Software: PgBouncer in transaction mode, seen with 1.18.0 (Debian 12, PostgreSQL 15.18), and github.com/jackc/pgx/v5 v5.13.0.
# Expected: a BEGIN whose context ends while it waits in PgBouncer's queue leaves the queue. pgx asks to cancel it and says
#   that it closes the connection; the server has never seen it.
# Seen: PgBouncer does not read from a client that waits, and ignores a cancel request for it. The client stays in the queue,
#   for up to query_wait_timeout, 120 s by default. When its turn comes it is given a server connection, the BEGIN is sent,
#   the close is read, and the server connection is closed for it. With a query_wait_timeout below the client's deadline,
#   PgBouncer answers first, and all server connections remain.
# Why it matters: a receiver of webhooks gives each delivery some seconds. If all server connections are held for longer once
#   (a lock, a paused process), the queue fills with clients that have gone, each of which costs a new connection of
#   PostgreSQL. They are opened one at a time; where that takes longer than new deliveries take to come, it never recovers.
set -euo pipefail
work=$(mktemp -d)
pooler=
bin=$(ls -d /usr/lib/postgresql/*/bin | tail -1)
export PATH=$PATH:$bin:/usr/sbin
as=()
if ((EUID == 0)); then
	as=(setpriv --reuid=postgres --regid=postgres --init-groups env -C "$work")
	chown postgres "$work" && chmod 755 "$work"
fi
end() {
	[[ -z $pooler ]] || kill "$pooler" 2>/dev/null || true
	"${as[@]}" pg_ctl -D "$work/data" -m immediate stop >/dev/null 2>&1 || true
	rm -rf "$work"
}
trap end EXIT
server=$((20000 + RANDOM % 6000)) port=$((26000 + RANDOM % 6000))
"${as[@]}" initdb -D "$work/data" -U postgres -A trust --no-sync >/dev/null
"${as[@]}" pg_ctl -w -D "$work/data" -l "$work/server.log" -o "-p $server -k '' -c listen_addresses=127.0.0.1" start >/dev/null
cat >"$work/pgbouncer.ini" <<INI
[databases]
postgres = host=127.0.0.1 port=$server user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = $port
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 1
INI
# start runs PgBouncer with a further setting, and waits until it listens.
start() {
	[[ -z $pooler ]] || { kill "$pooler"; wait "$pooler" || true; }
	{ cat "$work/pgbouncer.ini"; echo "$1"; } >"$work/now.ini"
	chmod 644 "$work/now.ini"
	"${as[@]}" pgbouncer "$work/now.ini" >"$work/pooler.log" 2>&1 &
	pooler=$!
	for _ in $(seq 100); do (: >"/dev/tcp/127.0.0.1/$port") 2>/dev/null && break; sleep 0.1; done
}
mkdir "$work/go" && cd "$work/go"
export GOWORK=off GOFLAGS=-mod=mod
go mod init example.test/finding >/dev/null 2>&1
go get github.com/jackc/pgx/v5@v5.13.0 2>/dev/null
cat >main.go <<'GO'
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func main() {
	ctx := context.Background()
	holder := must(pgx.Connect(ctx, os.Args[1]))
	tx := must(holder.Begin(ctx)) // it has the only connection to the server
	var before, after int
	must(0, tx.QueryRow(ctx, "SELECT pg_backend_pid()").Scan(&before))
	var all sync.WaitGroup
	var deadline, pooler atomic.Int64
	for range 3 {
		all.Go(func() {
			conn := must(pgx.Connect(ctx, os.Args[1]))
			short, cancel := context.WithTimeout(ctx, 4*time.Second)
			defer cancel()
			_, err := conn.Begin(short)
			switch {
			case errors.Is(err, context.DeadlineExceeded):
				deadline.Add(1)
			case err != nil && strings.Contains(err.Error(), "query_wait_timeout"):
				pooler.Add(1)
			}
		})
	}
	all.Wait() // all three have failed
	time.Sleep(time.Second)
	must(0, tx.Commit(ctx))
	time.Sleep(time.Second)
	must(0, holder.QueryRow(ctx, "SELECT pg_backend_pid()").Scan(&after))
	fmt.Printf("failed: %d by their deadline, %d by the pooler; same server connection afterwards: %t",
		deadline.Load(), pooler.Load(), before == after)
}
GO
go build -o finding .
pgbouncer --version | head -1
postgres --version
# seen runs it with a setting of PgBouncer's.
seen() {
	start "query_wait_timeout = $1"
	./finding "postgres://postgres@127.0.0.1:$port/postgres?sslmode=disable&default_query_exec_mode=exec" >"$work/go/out"
	out="$(cat "$work/go/out"), closed by their clients' end: $(grep -c 'client disconnect while server was not ready' "$work/pooler.log" || true)"
	echo "query_wait_timeout = $1: $out"
}
seen 120
[[ $out == 'failed: 3 by their deadline, 0 by the pooler; same server connection afterwards: false, closed by their clients'"'"' end: 3' ]] ||
	{ echo 'with the default it is not as it was seen'; exit 1; }
seen 2
[[ $out == 'failed: 0 by their deadline, 3 by the pooler; same server connection afterwards: true, closed by their clients'"'"' end: 0' ]] ||
	{ echo 'with a shorter query_wait_timeout it is not as it was seen'; exit 1; }
