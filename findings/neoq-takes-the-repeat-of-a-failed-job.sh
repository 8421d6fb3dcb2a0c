#!/usr/bin/env bash
# Software: github.com/acaloiaro/neoq v0.72.2 with its backend postgres, on PostgreSQL (seen with 15.18).
# Expected: two jobs of a queue with the same fingerprint, which by default is made of the payload, are duplicates as long as
#   one of them is not processed, as the code's comments say: Enqueue refuses the second one.
# Seen: the unique index is on the fingerprint and the status, so that it is one per status. While a job is new, or its
#   handler runs, its repeat is refused. Once an attempt has failed, and the job waits for its retry, the repeat is taken,
#   and both are worked. If the repeat fails, too, its state can't be stored beside the other's ("duplicate key"): no
#   attempt is counted, and no backoff is kept.
# Why it matters: deliveries are repeated when something is wrong, which is when jobs fail. The repeat of an event whose job
#   failed once is handled twice. Keep the event's key in a table of one's own, in the transaction that enqueues.
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
go get github.com/acaloiaro/neoq@v0.72.2 github.com/jackc/pgx/v5@v5.13.0 2>/dev/null
cat >main.go <<'GO'
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/acaloiaro/neoq"
	"github.com/acaloiaro/neoq/backends/postgres"
	"github.com/acaloiaro/neoq/handler"
	"github.com/acaloiaro/neoq/jobs"
	"github.com/jackc/pgx/v5"
)

var (
	ctx   = context.Background()
	queue neoq.Neoq
	db    *pgx.Conn
)

func main() {
	var err error
	queue, err = neoq.New(ctx, neoq.WithBackend(postgres.Backend), postgres.WithConnectionString(os.Args[1]))
	check(err)
	db, err = pgx.Connect(ctx, os.Args[1])
	check(err)
	var handled, failing atomic.Int32
	failing.Store(1)
	running := make(chan struct{})
	check(queue.Start(ctx, handler.New("events", func(context.Context) error {
		if failing.Add(-1) == 0 {
			<-running
			return errors.New("the database is busy")
		}
		handled.Add(1)
		return nil
	})))

	first, whileItRuns := enqueue(), enqueue()
	close(running)
	wait("status = 'failed'", 1)
	whileItWaits := enqueue()
	wait("status = 'processed'", 2)
	fmt.Printf("the event:                               %s\nits repeat, while the handler runs:      %s\n", first, whileItRuns)
	fmt.Printf("its repeat, after an attempt has failed: %s\nevents of one id that were handled: %d\n", whileItWaits, handled.Load())
	if first != "enqueued" || whileItRuns != "duplicate job" || whileItWaits != "enqueued" || handled.Load() != 2 {
		fmt.Println("CHANGED")
		os.Exit(1)
	}
}

func enqueue() string {
	_, err := queue.Enqueue(ctx, &jobs.Job{Queue: "events", Payload: map[string]any{"event": "event_1"}})
	if err != nil {
		return err.Error()
	}
	return "enqueued"
}

// wait waits until so many jobs are in a state.
func wait(state string, jobs int) {
	for range 450 {
		var n int
		check(db.QueryRow(ctx, "SELECT count(*) FROM neoq_jobs WHERE "+state).Scan(&n))
		if n >= jobs {
			return
		}
		time.Sleep(200 * time.Millisecond)
	}
	fmt.Println("CHANGED: no", state)
	os.Exit(1)
}

func check(err error) {
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}
GO
go get . 2>/dev/null
echo "neoq $(go list -m -f '{{.Version}}' github.com/acaloiaro/neoq), $(postgres --version)"
go run . "postgres://postgres@127.0.0.1:$port/postgres" 2>"$work/log"
