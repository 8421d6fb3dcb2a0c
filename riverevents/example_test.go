package riverevents_test

import (
	"context"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/riverevents"
)

// One program that receives and works. On a fleet, some only receive (a client without
// Workers and Queues, never started) and others only work.
func Example() {
	ctx := context.Background()
	pool, err := pgxpool.New(ctx, os.Getenv("DATABASE_URL"))
	if err != nil {
		log.Fatal(err)
	}

	events := ittybit.NewEventMux()
	events.OnTaskCompleted(ittybit.TaskKindNSFW, func(ctx context.Context, e *ittybit.Event) error {
		nsfw, err := e.Task.NSFW()
		if err != nil {
			return ittybit.Discard(err) // it will not get better
		}
		tx, err := riverevents.Tx(ctx)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, "INSERT INTO findings (task_id, is_nsfw) VALUES ($1, $2)", e.Task.ID, nsfw.IsNSFW)
		return err
	})
	workers := river.NewWorkers()
	river.AddWorker(workers, riverevents.Worker(events))
	client, err := river.NewClient(riverpgxv5.New(pool), &river.Config{
		Workers:              workers,
		Queues:               map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 20}},
		JobTimeout:           2 * time.Minute,
		RescueStuckJobsAfter: 3 * time.Minute,
	})
	if err != nil {
		log.Fatal(err)
	}

	// River's tables, and this package's.
	migrator, err := rivermigrate.New(riverpgxv5.New(pool), nil)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		log.Fatal(err)
	}
	if err := riverevents.Migrate(ctx, client); err != nil {
		log.Fatal(err)
	}

	if err := client.Start(ctx); err != nil {
		log.Fatal(err)
	}
	webhook, err := ittybit.NewWebhookHandler(os.Getenv("ITTYBIT_API_KEY"), riverevents.Enqueue(client),
		ittybit.WithTolerance(7*24*time.Hour)) // a repeat does no harm here
	if err != nil {
		log.Fatal(err)
	}
	http.Handle("POST /ittybit-webhook", webhook)
	server := &http.Server{ // with the limits of SECURITY.md
		Addr: ":8080", ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 7 * time.Second, WriteTimeout: 10 * time.Second,
		IdleTimeout: 10 * time.Second, MaxHeaderBytes: 16 << 10,
	}
	log.Fatal(server.ListenAndServe())
}

// Work that takes long comes before the first call of Tx, so that no transaction waits for it.
func ExampleTx() {
	events := ittybit.NewEventMux()
	events.OnTaskCompleted(ittybit.TaskKindVideo, func(ctx context.Context, e *ittybit.Event) error {
		size, err := download(ctx, e.Task)
		if err != nil {
			return err // River tries again
		}
		tx, err := riverevents.Tx(ctx)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, "UPDATE videos SET bytes = bytes + $2 WHERE task_id = $1", e.Task.ID, size)
		return err
	})
	_ = riverevents.Worker(events, riverevents.WithTimeout(10*time.Minute))
}

func download(context.Context, *ittybit.Task) (int64, error) { return 0, nil }

// A trace goes along with the job, where River's own middleware does not carry it.
func ExampleWithMetadata() {
	var client *river.Client[pgx.Tx] // from river.NewClient
	type traceKey struct{}
	webhook, err := ittybit.NewWebhookHandler(os.Getenv("ITTYBIT_API_KEY"), riverevents.Enqueue(client,
		riverevents.WithMetadata(func(ctx context.Context, _ *ittybit.Event) map[string]string {
			trace, _ := ctx.Value(traceKey{}).(string)
			return map[string]string{"traceparent": trace}
		})))
	if err != nil {
		log.Fatal(err)
	}
	http.HandleFunc("POST /ittybit-webhook", func(w http.ResponseWriter, r *http.Request) {
		ctx := context.WithValue(r.Context(), traceKey{}, r.Header.Get("Traceparent"))
		webhook.ServeHTTP(w, r.WithContext(ctx))
	})

	events := ittybit.NewEventMux()
	events.OnUnhandled(func(ctx context.Context, e *ittybit.Event) error {
		if job, ok := riverevents.JobFromContext(ctx); ok {
			log.Println(e, "belongs to the trace", job.Args.Metadata["traceparent"])
		}
		return nil
	})
	_ = riverevents.Worker(events)
}

// What is older than 90 days is forgotten, once a day.
func ExamplePrune() {
	var client *river.Client[pgx.Tx] // from river.NewClient
	for range time.Tick(24 * time.Hour) {
		forgotten, err := riverevents.Prune(context.Background(), client, 90*24*time.Hour)
		log.Println(forgotten, "events forgotten;", err)
	}
}
