// Lambda is examples/nsfw-moderation as an AWS Lambda function behind a function URL: it receives
// Ittybit's webhooks and keeps what was found in PostgreSQL. Package sqlinbox commits the result
// together with the event's key, so that an event has its effect once, however many processes
// Lambda runs. A MemoryDeduplicator would know one of them only.
//
// Make the tables once, build, and upload the zip as a function:
//
//	DATABASE_URL=postgres://… go run . migrate
//	GOOS=linux GOARCH=arm64 CGO_ENABLED=0 go build -tags lambda.norpc -o bootstrap .
//	zip function.zip bootstrap
//
// The function needs the runtime provided.al2023, ITTYBIT_API_KEY and DATABASE_URL, a timeout of
// at least 6 s (the receiver stops its handler before the function's time is over), and a function
// URL with the invoke mode RESPONSE_STREAM and no authentication: the signature is checked here.
// The webhook's URL is the function's, followed by nsfw-webhook.
package main

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"net/http"
	"os"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdaurl"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/sqlinbox"
)

func main() {
	if err := run(context.Background(), os.Args[1:], os.Getenv); err != nil {
		fmt.Fprintln(os.Stderr, "lambda:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, getenv func(string) string) error {
	db, err := sql.Open("pgx", getenv("DATABASE_URL"))
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	// A process handles one event at a time, and there may be a thousand of them.
	db.SetMaxOpenConns(1)
	inbox := sqlinbox.New(db, sqlinbox.Postgres)
	if len(args) == 1 && args[0] == "migrate" {
		return migrate(ctx, db, inbox)
	}
	handler, err := newHandler(getenv("ITTYBIT_API_KEY"), inbox)
	if err != nil {
		return err
	}
	lambdaurl.Start(handler, lambda.WithContext(ctx)) // it returns only when the process is to end
	return nil
}

// newHandler makes what a server would serve.
func newHandler(apiKey string, inbox *sqlinbox.Inbox) (http.Handler, error) {
	events := ittybit.NewEventMux()
	events.OnTaskCompleted(ittybit.TaskKindNSFW, checked)
	events.OnTaskFailed(ittybit.TaskKindNSFW, func(_ context.Context, e *ittybit.Event) error {
		slog.Error("an upload could not be checked", "task", e.Task.ID)
		return nil
	})
	webhook, err := ittybit.NewWebhookHandler(apiKey, inbox.Wrap(events),
		ittybit.WithLogger(slog.New(slog.NewJSONHandler(os.Stderr, nil)))) // CloudWatch takes each line
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("POST /nsfw-webhook", webhook)
	return mux, nil
}

// checked notes what was found, in the event's transaction.
func checked(ctx context.Context, e *ittybit.Event) error {
	found, err := e.Task.NSFW()
	if err != nil {
		return err
	}
	_, err = sqlinbox.Tx(ctx).ExecContext(ctx, `
		INSERT INTO uploads (task_id, nsfw_detected, nsfw_confidence) VALUES ($1, $2, $3)
		ON CONFLICT (task_id) DO UPDATE SET
			nsfw_detected = excluded.nsfw_detected, nsfw_confidence = excluded.nsfw_confidence`,
		e.Task.ID, found.IsNSFW, found.Confidence)
	return err
}

// migrate makes the tables. It runs on its own: not in each process that Lambda starts.
func migrate(ctx context.Context, db *sql.DB, inbox *sqlinbox.Inbox) error {
	if err := inbox.Migrate(ctx); err != nil {
		return err
	}
	_, err := db.ExecContext(ctx, `
		CREATE TABLE IF NOT EXISTS uploads (
			task_id         TEXT PRIMARY KEY,
			nsfw_detected   BOOLEAN,
			nsfw_confidence DOUBLE PRECISION
		)`)
	return err
}
