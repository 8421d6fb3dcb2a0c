package durable

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/riverevents"
)

func riverClient(b *testing.B, pool *pgxpool.Pool, config *river.Config) *river.Client[pgx.Tx] {
	config.Logger = slog.New(slog.DiscardHandler)
	client, err := river.NewClient(riverpgxv5.New(pool), config)
	require.NoError(b, err)
	return client
}

// queue is a database with the tables of River and of riverevents.
func queue(b *testing.B) (*pgxpool.Pool, *river.Client[pgx.Tx]) {
	pool := connect(b)
	migrator, err := rivermigrate.New(riverpgxv5.New(pool), &rivermigrate.Config{Logger: slog.New(slog.DiscardHandler)})
	require.NoError(b, err)
	_, err = migrator.Migrate(b.Context(), rivermigrate.DirectionUp, nil)
	require.NoError(b, err)
	client := riverClient(b, pool, &river.Config{})
	require.NoError(b, riverevents.Migrate(b.Context(), client))
	return pool, client
}

// BenchmarkRiver puts events into River's queue.
func BenchmarkRiver(b *testing.B) {
	_, plain := queue(b)
	_, client := queue(b)
	compare(b, candidate{"River-Insert", func(ctx context.Context, e *ittybit.Event) error {
		_, err := plain.Insert(ctx, riverevents.Args{Key: e.Key(), Payload: riverevents.Payload(e.RawJSON())}, nil)
		return err
	}}, candidate{"riverevents", riverevents.Enqueue(client).HandleEvent})
}

// BenchmarkWork completes b.N jobs whose handler does nothing, with 8 and 64 at a time.
func BenchmarkWork(b *testing.B) {
	nothing := ittybit.EventHandlerFunc(func(context.Context, *ittybit.Event) error { return nil })
	for _, at := range []int{8, 64} {
		for _, c := range []struct {
			by     string
			worker river.Worker[riverevents.Args]
		}{
			{"River", river.WorkFunc(func(context.Context, *river.Job[riverevents.Args]) error { return nil })},
			{"riverevents", riverevents.Worker(nothing)},
			{"riverevents-without-stale-check", riverevents.Worker(nothing, riverevents.WithoutStaleCheck())},
		} {
			b.Run(fmt.Sprintf("by=%s/at=%d", c.by, at), func(b *testing.B) {
				pool, inserting := queue(b)
				enqueue := riverevents.Enqueue(inserting)
				var wg sync.WaitGroup
				for i := range 32 {
					wg.Go(func() {
						for n := i; n < b.N; n += 32 {
							if event, err := newEvent(); err != nil || enqueue.HandleEvent(b.Context(), event) != nil {
								b.Error("not enqueued")
							}
						}
					})
				}
				wg.Wait()
				workers := river.NewWorkers()
				river.AddWorker(workers, c.worker)
				client := riverClient(b, pool, &river.Config{
					Workers: workers, FetchCooldown: time.Millisecond, FetchPollInterval: 10 * time.Millisecond,
					Queues: map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: at}},
				})
				done, cancel := client.SubscribeConfig(&river.SubscribeConfig{ChanSize: b.N, Kinds: []river.EventKind{river.EventKindJobCompleted}})
				defer cancel()
				b.ResetTimer()
				require.NoError(b, client.Start(context.WithoutCancel(b.Context())))
				for range b.N {
					<-done
				}
				b.StopTimer()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
				require.NoError(b, client.StopAndCancel(context.WithoutCancel(b.Context())))
			})
		}
	}
}
