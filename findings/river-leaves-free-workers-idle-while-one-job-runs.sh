#!/usr/bin/env bash
# Software: github.com/riverqueue/river v0.51.2 with riverpgxv5, PostgreSQL 15.18.
# Expected: a queue with MaxWorkers 8 and a backlog works 8 jobs at a time, the more so where all jobs take equally long.
# Seen: when eight jobs end together, the first result has the producer fetch for the one slot that is free at that moment.
#   The results of the others are taken note of while that fetch is under way, and start no fetch of their own. So the next
#   one waits for the end of the one job that was fetched: the queue works 8, then 1, then 8 jobs at a time, until
#   FetchPollInterval (1 s by default) comes round. With an interval below a job's duration, it works about 8 all the time.
# Source: seen by running it, and in producer.go of that version: innerFetchLoop removes the jobs that end, and only
#   fetchAndRunLoop asks for the next fetch.
# Why it matters: jobs that are worked in step (a batched commit, one remote call each, a rate limit) get about half of the
#   throughput that the number of workers promises. Set FetchPollInterval below what a job takes; FetchCooldown, 100 ms by
#   default, must not be longer than it.
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
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
)

const (
	workers = 8
	jobs    = 9 * workers
	takes   = 300 * time.Millisecond
)

type nap struct{ N int }

func (nap) Kind() string { return "nap" }

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// run works all jobs, and gives how many were under way on average while there was a backlog.
func run(ctx context.Context, pool *pgxpool.Pool, poll time.Duration) float64 {
	quiet := slog.New(slog.DiscardHandler)
	var mu sync.Mutex
	var done sync.WaitGroup
	done.Add(jobs)
	started := 0
	var first, last time.Time
	all := river.NewWorkers()
	river.AddWorker(all, river.WorkFunc(func(context.Context, *river.Job[nap]) error {
		mu.Lock()
		started++
		last = time.Now()
		if started == 1 {
			first = last
		}
		mu.Unlock()
		time.Sleep(takes)
		done.Done()
		return nil
	}))
	client := must(river.NewClient(riverpgxv5.New(pool), &river.Config{
		Logger: quiet, Workers: all, FetchCooldown: 50 * time.Millisecond, FetchPollInterval: poll,
		Queues: map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: workers}},
	}))
	var params []river.InsertManyParams
	for n := range jobs {
		params = append(params, river.InsertManyParams{Args: nap{n}})
	}
	must(client.InsertManyFast(ctx, params))
	if err := client.Start(ctx); err != nil {
		panic(err)
	}
	done.Wait()
	if err := client.Stop(ctx); err != nil {
		panic(err)
	}
	return float64(jobs) * takes.Seconds() / (last.Add(takes).Sub(first)).Seconds()
}

func main() {
	ctx := context.Background()
	pool := must(pgxpool.New(ctx, os.Args[1]))
	defer pool.Close()
	migrator := must(rivermigrate.New(riverpgxv5.New(pool), &rivermigrate.Config{Logger: slog.New(slog.DiscardHandler)}))
	must(migrator.Migrate(ctx, rivermigrate.DirectionUp, nil))
	rare, often := run(ctx, pool, time.Minute), run(ctx, pool, 50*time.Millisecond)
	fmt.Printf("of %d workers, with a backlog of %d jobs that take %v, so many were busy on average:\n", workers, jobs, takes)
	fmt.Printf("FetchPollInterval 1m: %.1f; 50ms: %.1f\n", rare, often)
	if rare > 0.75*workers || often < rare*1.2 {
		fmt.Println("not as seen before")
		os.Exit(1)
	}
}
GO
go mod tidy >/dev/null 2>&1
go run . "postgres://postgres@127.0.0.1:$port/postgres?sslmode=disable"
