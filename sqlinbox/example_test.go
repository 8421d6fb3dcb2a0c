package sqlinbox_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/ittybittest"
	"github.com/ittybit/ittybit-go/sqlinbox"
)

// openExample opens a database in a temporary folder, with a table of its user's own.
func openExample() (db *sql.DB, remove func()) {
	dir, err := os.MkdirTemp("", "sqlinbox")
	if err != nil {
		panic(err)
	}
	db, err = sql.Open("sqlite", "file:"+filepath.Join(dir, "app.db")+"?_pragma=journal_mode(WAL)")
	if err != nil {
		panic(err)
	}
	if _, err := db.Exec("CREATE TABLE credits (task_id TEXT, amount INTEGER)"); err != nil {
		panic(err)
	}
	return db, func() { _ = db.Close(); _ = os.RemoveAll(dir) }
}

func Example() {
	db, remove := openExample() // elsewhere: sql.Open("pgx", os.Getenv("DATABASE_URL"))
	defer remove()
	inbox := sqlinbox.New(db, sqlinbox.SQLite, sqlinbox.WithGroupCommit(64))
	if err := inbox.Migrate(context.Background()); err != nil {
		panic(err)
	}

	events := ittybit.NewEventMux()
	events.OnTaskCompleted(ittybit.TaskKindVideo, func(ctx context.Context, e *ittybit.Event) error {
		// Not idempotent, and it need not be.
		_, err := sqlinbox.Tx(ctx).ExecContext(ctx, "INSERT INTO credits (task_id, amount) VALUES ($1, -1)", e.Task.ID)
		return err
	})
	webhook, err := ittybit.NewWebhookHandler("api key", inbox.Wrap(events),
		ittybit.WithObserver(func(_ context.Context, d ittybit.Delivery) { fmt.Println(d.StatusCode, d.Outcome) }))
	if err != nil {
		panic(err)
	}

	for range 2 { // Ittybit delivers twice
		webhook.ServeHTTP(httptest.NewRecorder(), ittybittest.NewWebhookRequest("api key",
			`{"id":"task_1","object":"task","kind":"video","status":"completed"}`))
	}
	var credits int
	if err := db.QueryRow("SELECT sum(amount) FROM credits").Scan(&credits); err != nil {
		panic(err)
	}
	fmt.Println("credits:", credits)
	// Output:
	// 200 handled
	// 200 duplicate
	// credits: -1
}

func ExampleInbox_Replay() {
	db, remove := openExample()
	defer remove()
	ctx := context.Background()
	inbox := sqlinbox.New(db, sqlinbox.SQLite, sqlinbox.WithGroupCommit(64), sqlinbox.WithPayloads())
	if err := inbox.Migrate(ctx); err != nil {
		panic(err)
	}

	// The first version of a handler gives up on what it does not know.
	first := inbox.Wrap(ittybit.EventHandlerFunc(func(context.Context, *ittybit.Event) error {
		return ittybit.Discard(errors.New("no such kind"))
	}))
	e, err := ittybit.ParseEvent([]byte(`{"id":"task_1","object":"task","kind":"speech","status":"completed"}`))
	if err != nil {
		panic(err)
	}
	fmt.Println(first.HandleEvent(ctx, e))

	// The second one has learnt it.
	second := ittybit.EventHandlerFunc(func(ctx context.Context, e *ittybit.Event) error {
		fmt.Println("handling", e.Task.ID)
		_, err := sqlinbox.Tx(ctx).ExecContext(ctx, "INSERT INTO credits (task_id, amount) VALUES ($1, -1)", e.Task.ID)
		return err
	})
	result, err := inbox.Replay(ctx, second, sqlinbox.ReplayParams{Outcome: ittybit.OutcomeDiscarded})
	if err != nil {
		panic(err)
	}
	fmt.Println("handled:", result.Handled)
	// Output:
	// ittybit: discarded: no such kind
	// handling task_1
	// handled: 1
}
