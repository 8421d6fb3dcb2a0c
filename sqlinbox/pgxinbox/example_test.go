package pgxinbox_test

import (
	"context"
	"errors"
	"net/http"
	"os"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/sqlinbox"
	"github.com/ittybit/ittybit-go/sqlinbox/pgxinbox"
)

// DBTX and Queries are what sqlc generates with sql_package: "pgx/v5" for the query
//
//	-- name: MarkChecked :exec
//	UPDATE uploads SET checked = true WHERE task_id = $1;
type DBTX interface {
	Exec(ctx context.Context, query string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, query string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, query string, args ...any) pgx.Row
}

type Queries struct{ db DBTX }

func New(db DBTX) *Queries { return &Queries{db: db} }

func (q *Queries) WithTx(tx pgx.Tx) *Queries { return &Queries{db: tx} }

func (q *Queries) MarkChecked(ctx context.Context, taskID string) error {
	_, err := q.db.Exec(ctx, "UPDATE uploads SET checked = true WHERE task_id = $1", taskID)
	return err
}

// With sqlc, a handler writes by the queries of the transaction.
func Example_sqlc() {
	serve := func(ctx context.Context) error {
		pool, err := pgxpool.New(ctx, os.Getenv("DATABASE_URL"))
		if err != nil {
			return err
		}
		defer pool.Close()
		queries := New(pool)
		inbox := pgxinbox.New(pool, sqlinbox.WithPayloads())
		if err := errors.Join(inbox.Migrate(ctx), inbox.Check(ctx)); err != nil {
			return err
		}
		events := ittybit.NewEventMux()
		events.OnTaskCompleted(ittybit.TaskKindNSFW, func(ctx context.Context, e *ittybit.Event) error {
			return queries.WithTx(pgxinbox.Tx(ctx)).MarkChecked(ctx, e.Task.ID)
		})
		webhook, err := ittybit.NewWebhookHandler(os.Getenv("ITTYBIT_API_KEY"), inbox.Wrap(events))
		if err != nil {
			return err
		}
		http.Handle("POST /ittybit-webhook", webhook)
		return http.ListenAndServe(":8080", nil)
	}
	_ = serve
}
