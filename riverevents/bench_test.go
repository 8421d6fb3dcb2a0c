package riverevents_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/riverevents"
)

// BenchmarkEnqueue compares an event's way into the queue with a plain insertion of the same job.
func BenchmarkEnqueue(b *testing.B) {
	b.Run("plain River", func(b *testing.B) {
		q := newQueue(b)
		for n := 0; b.Loop(); n++ {
			e := taskEvent(b, fmt.Sprintf("task_%d", n), "completed")
			_, err := q.client.Insert(b.Context(), riverevents.Args{Key: e.Key(), Payload: riverevents.Payload(e.RawJSON())}, nil)
			require.NoError(b, err)
		}
	})
	b.Run("riverevents", func(b *testing.B) {
		q := newQueue(b)
		enqueue := riverevents.Enqueue(q.client)
		for n := 0; b.Loop(); n++ {
			require.NoError(b, enqueue.HandleEvent(b.Context(), taskEvent(b, fmt.Sprintf("task_%d", n), "completed")))
		}
	})
	b.Run("riverevents, duplicates", func(b *testing.B) {
		q := newQueue(b)
		enqueue := riverevents.Enqueue(q.client)
		e := taskEvent(b, "task_1", "completed")
		require.NoError(b, enqueue.HandleEvent(b.Context(), e))
		for b.Loop() {
			require.ErrorIs(b, enqueue.HandleEvent(b.Context(), e), ittybit.ErrAlreadyHandled)
		}
	})
}

// BenchmarkWork compares how many events eight workers handle, each of which writes a row, with
// plain River workers: one that writes the row by itself, and one that writes it in one transaction
// with the completion of its job.
func BenchmarkWork(b *testing.B) {
	for name, worker := range map[string]func(q *queue) river.Worker[riverevents.Args]{
		"plain River": func(q *queue) river.Worker[riverevents.Args] {
			return river.WorkFunc(func(ctx context.Context, job *river.Job[riverevents.Args]) error {
				_, err := q.pool.Exec(ctx, "INSERT INTO effects VALUES ($1)", job.Args.Key)
				return err
			})
		},
		"plain River with JobCompleteTx": func(q *queue) river.Worker[riverevents.Args] {
			return river.WorkFunc(func(ctx context.Context, job *river.Job[riverevents.Args]) error {
				return pgx.BeginFunc(ctx, q.pool, func(tx pgx.Tx) error {
					if _, err := tx.Exec(ctx, "INSERT INTO effects VALUES ($1)", job.Args.Key); err != nil {
						return err
					}
					_, err := river.JobCompleteTx[*riverpgxv5.Driver](ctx, tx, job)
					return err
				})
			})
		},
		"riverevents": func(*queue) river.Worker[riverevents.Args] {
			return riverevents.Worker(ittybit.EventHandlerFunc(write))
		},
		"riverevents without stale check": func(*queue) river.Worker[riverevents.Args] {
			return riverevents.Worker(ittybit.EventHandlerFunc(write), riverevents.WithoutStaleCheck())
		},
	} {
		b.Run(name, func(b *testing.B) {
			q := newQueue(b)
			for n := range b.N {
				q.enqueue(taskEvent(b, fmt.Sprintf("task_%d", n), "completed"))
			}
			workers := river.NewWorkers()
			river.AddWorker(workers, worker(q))
			client := newClient(b, q.pool, &river.Config{
				Schema: q.schema, Workers: workers, FetchCooldown: time.Millisecond, FetchPollInterval: 10 * time.Millisecond,
				Queues: map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 8}},
			})
			done, cancel := client.SubscribeConfig(&river.SubscribeConfig{ChanSize: b.N, Kinds: []river.EventKind{river.EventKindJobCompleted}})
			defer cancel()
			b.ResetTimer()
			require.NoError(b, client.Start(context.WithoutCancel(b.Context())))
			for range b.N {
				receive(b, done)
			}
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
			require.NoError(b, client.StopAndCancel(context.WithoutCancel(b.Context())))
			require.Equal(b, b.N, value[int](q, "SELECT count(*) FROM effects"))
		})
	}
}
