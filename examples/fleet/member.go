package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/riverevents"
)

// What a process of the fleet may be.
const (
	roleEndpoint = "endpoint"
	roleWorker   = "worker"
)

const (
	workTime    = 20 * time.Millisecond // of an event
	jobTimeout  = 5 * time.Second
	rescueAfter = 10 * time.Second // a job whose worker was killed
)

// migrate makes the tables. That of the effects has no unique key: a doubled effect would show.
func migrate(ctx context.Context, pool *pgxpool.Pool) error {
	migrator, err := rivermigrate.New(riverpgxv5.New(pool), nil)
	if err != nil {
		return err
	}
	if _, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return err
	}
	client, err := river.NewClient(riverpgxv5.New(pool), &river.Config{})
	if err != nil {
		return err
	}
	if err := riverevents.Migrate(ctx, client); err != nil {
		return err
	}
	_, err = pool.Exec(ctx, `
		CREATE TABLE IF NOT EXISTS fleet_effect (task_id TEXT NOT NULL, is_nsfw BOOLEAN NOT NULL);
		TRUNCATE fleet_effect`)
	return err
}

// serve is a member of the fleet, until its stdin or ctx ends. It writes what it does to out, a line
// of JSON each.
func serve(ctx context.Context, role string, in io.Reader, out io.Writer, getenv func(string) string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { // it ends with the process at the latest
		_, _ = io.Copy(io.Discard, in)
		cancel()
	}()
	pool, err := pgxpool.New(ctx, getenv("DATABASE_URL"))
	if err != nil {
		return err
	}
	defer pool.Close()
	reports := &reporter{out: json.NewEncoder(out)}
	if role == roleWorker {
		return work(ctx, pool, reports)
	}
	return receive(ctx, pool, getenv("ITTYBIT_API_KEY"), reports)
}

// receive is an endpoint: what it has answered 200 is in the queue.
func receive(ctx context.Context, pool *pgxpool.Pool, apiKey string, reports *reporter) error {
	client, err := river.NewClient(riverpgxv5.New(pool), &river.Config{}) // it inserts, and works nothing
	if err != nil {
		return err
	}
	webhook, err := ittybit.NewWebhookHandler(apiKey, riverevents.Enqueue(client),
		ittybit.WithObserver(func(_ context.Context, d ittybit.Delivery) { reports.write(report{Outcome: d.Outcome}) }))
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("POST /ittybit-webhook", webhook)
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	reports.write(report{Address: listener.Addr().String()})
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	// What has been begun is finished.
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	return server.Shutdown(ending)
}

// work is a worker: it takes events from the queue, in any number of processes.
func work(ctx context.Context, pool *pgxpool.Pool, reports *reporter) error {
	events := ittybit.NewEventMux()
	events.OnTaskCompleted(ittybit.TaskKindNSFW, func(ctx context.Context, e *ittybit.Event) error {
		found, err := e.Task.NSFW()
		if err != nil {
			return err
		}
		select { // work that takes its time, and holds no transaction
		case <-time.After(workTime):
		case <-ctx.Done():
			return ctx.Err()
		}
		tx, err := riverevents.Tx(ctx) // what is written here is written once
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, "INSERT INTO fleet_effect (task_id, is_nsfw) VALUES ($1, $2)", e.Task.ID, found.IsNSFW)
		return err
	})
	workers := river.NewWorkers()
	river.AddWorker(workers, riverevents.Worker(events,
		riverevents.WithObserver(func(_ context.Context, a riverevents.Attempt) { reports.write(report{Outcome: a.Outcome}) })))
	client, err := river.NewClient[pgx.Tx](riverpgxv5.New(pool), &river.Config{
		Queues:               map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 10}},
		Workers:              workers,
		JobTimeout:           jobTimeout,
		RescueStuckJobsAfter: rescueAfter,
	})
	if err != nil {
		return err
	}
	if err := client.Start(context.WithoutCancel(ctx)); err != nil { // ctx ends it below, after what it has begun
		return err
	}
	reports.write(report{Address: roleWorker})
	<-ctx.Done()
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	if err := client.Stop(ending); err != nil {
		return errors.Join(err, client.StopAndCancel(context.WithoutCancel(ctx)))
	}
	return nil
}

// reporter writes reports, one after another.
type reporter struct {
	mu  sync.Mutex
	out *json.Encoder
}

func (r *reporter) write(line report) {
	r.mu.Lock()
	defer r.mu.Unlock()
	_ = r.out.Encode(line) // nobody listens any more: the leader has gone, and so will this process
}
