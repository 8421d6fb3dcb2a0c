// River puts a queue between the endpoint and the work: the endpoint commits each event as a River
// job and responds, and workers handle it, in as many processes as the load takes. Jobs outlive a
// crash, and are handled once.
//
//	go run ./examples/river migrate    # once a release: makes the tables
//	ITTYBIT_API_KEY=… go run ./examples/river endpoint
//	go run ./examples/river worker
//
// All of them need DATABASE_URL, of a PostgreSQL; the endpoint listens at ADDR.
package main

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/riverevents"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	roles := map[string]func(context.Context, *pgxpool.Pool) error{"migrate": migrate, "endpoint": endpoint, "worker": worker}
	role := roles[append(os.Args, "")[1]]
	if role == nil {
		slog.Error("usage: river migrate | endpoint | worker")
		os.Exit(2)
	}
	pool, err := pgxpool.New(ctx, os.Getenv("DATABASE_URL"))
	if err == nil {
		err = role(ctx, pool)
	}
	if err != nil {
		slog.Error("river", "error", err)
		os.Exit(1)
	}
}

func migrate(ctx context.Context, pool *pgxpool.Pool) error {
	migrator, err := rivermigrate.New(riverpgxv5.New(pool), nil)
	if err != nil {
		return err
	}
	if _, err = migrator.Migrate(ctx, rivermigrate.DirectionUp, nil); err == nil {
		_, err = pool.Exec(ctx, riverevents.Schema()+"; CREATE TABLE IF NOT EXISTS findings (task_id text PRIMARY KEY, is_nsfw boolean NOT NULL)")
	}
	return err
}

// endpoint enqueues. Its client has no workers and is not started.
func endpoint(ctx context.Context, pool *pgxpool.Pool) error {
	client, err := river.NewClient(riverpgxv5.New(pool), &river.Config{})
	if err != nil {
		return err
	}
	webhook, err := ittybit.NewWebhookHandler(os.Getenv("ITTYBIT_API_KEY"), riverevents.Enqueue(client),
		ittybit.WithTolerance(7*24*time.Hour), ittybit.WithLogger(slog.Default())) // a repeat does no harm
	if err != nil {
		return err
	}
	server := &http.Server{ // with the limits of SECURITY.md
		Handler: webhook, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 7 * time.Second, WriteTimeout: 10 * time.Second,
		IdleTimeout: 10 * time.Second, MaxHeaderBytes: 16 << 10,
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", os.Getenv("ADDR"))
	if err != nil {
		return err
	}
	slog.Info("listening", "address", listener.Addr().String())
	go server.Serve(listener) //nolint:errcheck // it ends with http.ErrServerClosed
	<-ctx.Done()
	return server.Shutdown(context.WithoutCancel(ctx))
}

// worker handles events until it is interrupted, and finishes those that it has begun.
func worker(ctx context.Context, pool *pgxpool.Pool) error {
	workers := river.NewWorkers()
	river.AddWorker(workers, riverevents.Worker(handler(), riverevents.WithLogger(slog.Default())))
	client, err := river.NewClient(riverpgxv5.New(pool), &river.Config{
		Workers: workers, Queues: map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 20}},
		JobTimeout: 2 * time.Minute, RescueStuckJobsAfter: 3 * time.Minute,
	})
	if err != nil {
		return err
	}
	if err := client.Start(context.WithoutCancel(ctx)); err != nil {
		return err
	}
	slog.Info("working")
	<-ctx.Done()
	return client.Stop(context.WithoutCancel(ctx))
}

// handler writes in the job's transaction, which ends with it.
func handler() ittybit.EventHandler {
	events := ittybit.NewEventMux()
	events.OnTaskCompleted(ittybit.TaskKindNSFW, func(ctx context.Context, e *ittybit.Event) error {
		found, err := e.Task.NSFW()
		if err != nil {
			return ittybit.Discard(err) // it is logged; the same results will not be readable later
		}
		tx, err := riverevents.Tx(ctx)
		if err == nil {
			_, err = tx.Exec(ctx, "INSERT INTO findings (task_id, is_nsfw) VALUES ($1, $2)", e.Task.ID, found.IsNSFW)
		}
		return err
	})
	return events
}
