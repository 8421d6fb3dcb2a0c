package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/riverevents"
)

// queue is River with workers in this process, in a schema that is removed at the end: a
// database that is there already keeps nothing of it.
type queue struct {
	pool   *pgxpool.Pool
	schema string
	client *river.Client[pgx.Tx]
}

// startQueue starts workers that call next.
func startQueue(ctx context.Context, databaseURL string, next ittybit.EventHandler, metrics *instruments) (_ *queue, err error) {
	q := &queue{schema: "ittybit_otel_" + strings.ToLower(rand.Text()[:12])}
	if q.pool, err = pgxpool.New(ctx, databaseURL); err != nil {
		return nil, fmt.Errorf("PostgreSQL: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, q.remove(ctx))
		}
	}()
	if _, err := q.pool.Exec(ctx, "CREATE SCHEMA "+q.schema); err != nil {
		return nil, fmt.Errorf("PostgreSQL: %w", err)
	}
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	driver := riverpgxv5.New(q.pool)
	migrator, err := rivermigrate.New(driver, &rivermigrate.Config{Schema: q.schema, Logger: logger})
	if err != nil {
		return nil, err
	}
	if _, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return nil, err
	}
	workers := river.NewWorkers()
	river.AddWorker(workers, riverevents.Worker(next, riverevents.WithLogger(logger), riverevents.WithObserver(metrics.attempted)))
	q.client, err = river.NewClient(driver, &river.Config{
		Schema: q.schema, Logger: logger, Workers: workers,
		Queues: map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 4}},
	})
	if err != nil {
		return nil, err
	}
	if err := riverevents.Migrate(ctx, q.client); err != nil {
		return nil, err
	}
	// River is stopped by stop, which lets jobs end, and not by the end of ctx, which would not.
	if err := q.client.Start(context.WithoutCancel(ctx)); err != nil {
		return nil, err
	}
	return q, nil
}

// stop lets the jobs that are being worked end, and removes the schema.
func (q *queue) stop(ctx context.Context) error {
	return errors.Join(q.client.Stop(ctx), q.remove(ctx))
}

func (q *queue) remove(ctx context.Context) error {
	defer q.pool.Close()
	_, err := q.pool.Exec(context.WithoutCancel(ctx), "DROP SCHEMA IF EXISTS "+q.schema+" CASCADE")
	return err
}
