package main

import (
	"context"
	"database/sql"
	"fmt"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	_ "modernc.org/sqlite"             // the driver "sqlite"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/sqlinbox"
)

// uploads is the table of what was uploaded and what was found in it. Its statements are
// the same for SQLite and PostgreSQL. Webhooks may come in any order, and before the row is
// there; the inbox sees to it that each is handled once.
type uploads struct {
	db    *sql.DB
	inbox *sqlinbox.Inbox
}

// upload is a row. What is not known yet is not valid.
type upload struct {
	TaskID     string
	URL        string
	Status     ittybit.TaskStatus
	Detected   sql.NullBool
	Confidence sql.NullFloat64
}

// openUploads opens the database at databaseURL (PostgreSQL, which Supabase is too), or the
// SQLite file where there is none, and makes the table if it is missing.
func openUploads(ctx context.Context, databaseURL, file string) (*uploads, error) {
	driver, source, dialect := "pgx", databaseURL, sqlinbox.Postgres
	if databaseURL == "" {
		dialect = sqlinbox.SQLite
		driver, source = "sqlite", "file:"+file+"?_pragma=busy_timeout(3000)&_pragma=journal_mode(WAL)"
	}
	db, err := sql.Open(driver, source)
	if err != nil {
		return nil, err
	}
	// The payloads are kept, so that a handler that was wrong can be run again (inbox.Replay).
	inbox := sqlinbox.New(db, dialect, sqlinbox.WithName("nsfw-moderation"), sqlinbox.WithPayloads())
	err = inbox.Migrate(ctx)
	if err == nil {
		_, err = db.ExecContext(ctx, `
		CREATE TABLE IF NOT EXISTS uploads (
			task_id         TEXT PRIMARY KEY,
			url             TEXT NOT NULL DEFAULT '',
			status          TEXT NOT NULL DEFAULT 'pending',
			nsfw_detected   BOOLEAN,
			nsfw_confidence DOUBLE PRECISION
		)`)
	}
	if err == nil && dialect == sqlinbox.Postgres {
		// Supabase serves the tables of the schema public to anybody who has the project's public key, but none with
		// row level security: that leaves them to their owner.
		_, err = db.ExecContext(ctx, "ALTER TABLE uploads ENABLE ROW LEVEL SECURITY; ALTER TABLE ittybit_inbox ENABLE ROW LEVEL SECURITY")
	}
	if err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("making the tables: %w", err)
	}
	return &uploads{db, inbox}, nil
}

func (u *uploads) Close() error { return u.db.Close() }

// Submitted notes where a task's image is.
func (u *uploads) Submitted(ctx context.Context, taskID, url string) error {
	_, err := u.db.ExecContext(ctx, `
		INSERT INTO uploads (task_id, url) VALUES ($1, $2)
		ON CONFLICT (task_id) DO UPDATE SET url = excluded.url`, taskID, url)
	return err
}

// Checked notes what was found, in the event's transaction.
func (u *uploads) Checked(ctx context.Context, taskID string, found *ittybit.NSFWResults) error {
	_, err := sqlinbox.Tx(ctx).ExecContext(ctx, `
		INSERT INTO uploads (task_id, status, nsfw_detected, nsfw_confidence) VALUES ($1, 'completed', $2, $3)
		ON CONFLICT (task_id) DO UPDATE SET
			status = excluded.status, nsfw_detected = excluded.nsfw_detected, nsfw_confidence = excluded.nsfw_confidence`,
		taskID, found.IsNSFW, found.Confidence)
	return err
}

// Moved notes another status, in the event's transaction, unless the task has ended: no later
// news comes after that, only earlier news that was late.
func (u *uploads) Moved(ctx context.Context, taskID string, status ittybit.TaskStatus) error {
	_, err := sqlinbox.Tx(ctx).ExecContext(ctx, `
		INSERT INTO uploads (task_id, status) VALUES ($1, $2)
		ON CONFLICT (task_id) DO UPDATE SET status = excluded.status
		WHERE uploads.status NOT IN ('completed', 'failed', 'error', 'cancelled')`, taskID, string(status))
	return err
}

// Get gives the row of a task, or sql.ErrNoRows.
func (u *uploads) Get(ctx context.Context, taskID string) (upload, error) {
	row := upload{TaskID: taskID}
	err := u.db.QueryRowContext(ctx, `
		SELECT url, status, nsfw_detected, nsfw_confidence FROM uploads WHERE task_id = $1`, taskID).
		Scan(&row.URL, &row.Status, &row.Detected, &row.Confidence)
	return row, err
}

// Events gives the handler that keeps the table: what it writes and the mark that the event was
// handled are one commit.
func (u *uploads) Events() ittybit.EventHandler {
	events := ittybit.NewEventMux()
	events.OnTaskCompleted(ittybit.TaskKindNSFW, func(ctx context.Context, e *ittybit.Event) error {
		found, err := e.Task.NSFW()
		if err != nil {
			return err
		}
		return u.Checked(ctx, e.Task.ID, found)
	})
	moved := func(ctx context.Context, e *ittybit.Event) error {
		if e.Task == nil || e.Task.Kind != ittybit.TaskKindNSFW {
			return nil
		}
		return u.Moved(ctx, e.Task.ID, e.Task.Status)
	}
	events.OnTaskFailed(ittybit.TaskKindNSFW, moved)
	events.On(ittybit.EventTaskCancelled, moved)
	events.On(ittybit.EventTaskUpdated, moved)
	return u.inbox.Wrap(events)
}
