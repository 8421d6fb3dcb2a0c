package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	_ "modernc.org/sqlite" // the database of --data

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/ittybittest"
)

// sqliteStore keeps the records of deliveries in a SQLite database.
type sqliteStore struct {
	ctx context.Context //nolint:containedctx // ittybittest.DeliveryStore has none
	db  *sql.DB
}

const schema = `
CREATE TABLE IF NOT EXISTS deliveries (
	number INTEGER PRIMARY KEY, id TEXT NOT NULL, copy INTEGER NOT NULL, attempt INTEGER NOT NULL, latest INTEGER NOT NULL,
	url TEXT NOT NULL, task_id TEXT NOT NULL, state TEXT NOT NULL, event TEXT NOT NULL, kind TEXT NOT NULL,
	final INTEGER NOT NULL, body BLOB NOT NULL,
	signature TEXT NOT NULL, time INTEGER NOT NULL, duration INTEGER NOT NULL, status INTEGER NOT NULL,
	response_header TEXT NOT NULL, response_body BLOB NOT NULL, error TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS deliveries_id ON deliveries (id);
CREATE INDEX IF NOT EXISTS deliveries_latest ON deliveries (number) WHERE latest = 1;
CREATE INDEX IF NOT EXISTS deliveries_filter ON deliveries (number, state, event, kind, status) WHERE latest = 1;
CREATE INDEX IF NOT EXISTS deliveries_state ON deliveries (state, number) WHERE latest = 1;
CREATE INDEX IF NOT EXISTS deliveries_task ON deliveries (task_id, number);
CREATE INDEX IF NOT EXISTS deliveries_url ON deliveries (url, number);`

// openStore opens the database in a directory, which it makes if it is not there.
func openStore(ctx context.Context, dir string) (*sqliteStore, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, "deliveries.db")
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)&_pragma=busy_timeout(5000)")
	if err != nil {
		return nil, err
	}
	ctx = context.WithoutCancel(ctx) // attempts that end with the server are recorded, too
	if _, err := db.ExecContext(ctx, schema); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), db.Close())
	}
	return &sqliteStore{ctx, db}, nil
}

// Close closes the database.
func (s *sqliteStore) Close() error { return s.db.Close() }

// Add implements ittybittest.DeliveryStore.
func (s *sqliteStore) Add(d ittybittest.Delivery) error {
	header, err := json.Marshal(d.ResponseHeader)
	if err != nil {
		return err
	}
	message := ""
	if d.Err != nil {
		message = d.Err.Error()
	}
	event := ittybit.EventType("")
	if e, err := d.Event(); err == nil {
		event = e.Type
	}
	tx, err := s.db.BeginTx(s.ctx, nil)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(s.ctx, "UPDATE deliveries SET latest = 0 WHERE id = ? AND copy = ? AND latest = 1", d.ID, d.Copy)
	if err == nil {
		_, err = tx.ExecContext(s.ctx, "INSERT INTO deliveries VALUES (?, ?, ?, ?, 1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
			d.Number, d.ID, d.Copy, d.Attempt, d.URL, d.TaskID(), d.State(), event, d.Kind(), d.Final, notNil(d.Body), d.Signature,
			d.Time.UnixNano(), int64(d.Duration), d.StatusCode, header, notNil(d.ResponseBody), message)
	}
	if err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

func notNil(b []byte) []byte { return append([]byte{}, b...) }

// List implements ittybittest.DeliveryStore.
func (s *sqliteStore) List(q ittybittest.DeliveryQuery) (found []ittybittest.Delivery, err error) {
	where, args := []string{"number > ?"}, []any{q.After}
	and := func(wanted bool, condition string, values ...any) {
		if wanted {
			where, args = append(where, condition), append(args, values...)
		}
	}
	and(q.Before > 0, "number < ?", q.Before)
	and(q.Latest, "latest = 1")
	and(q.ID != "", "id = ?", q.ID)
	and(q.TaskID != "", "task_id = ?", q.TaskID)
	and(q.URL != "", "url = ?", q.URL)
	and(q.State != "", "state = ?", string(q.State))
	and(q.Event != "", "event = ?", string(q.Event))
	and(q.Kind != "", "kind = ?", q.Kind)
	low, high := q.StatusRange()
	and(q.Status != "", "status BETWEEN ? AND ?", low, high)
	order, limit := "DESC", -1
	if q.OldestFirst {
		order = "ASC"
	}
	if q.Limit > 0 {
		limit = q.Limit
	}
	//nolint:gosec // the conditions are constants
	rows, err := s.db.QueryContext(s.ctx, `SELECT number, id, copy, attempt, url, final, body, signature, time, duration, status,
		response_header, response_body, error FROM deliveries WHERE `+strings.Join(where, " AND ")+
		" ORDER BY number "+order+" LIMIT ?", append(args, limit)...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var d ittybittest.Delivery
		var at, took int64
		var header []byte
		var message string
		err := rows.Scan(&d.Number, &d.ID, &d.Copy, &d.Attempt, &d.URL, &d.Final, &d.Body, &d.Signature, &at, &took, &d.StatusCode,
			&header, &d.ResponseBody, &message)
		if err == nil {
			err = json.Unmarshal(header, &d.ResponseHeader)
		}
		if err != nil {
			return nil, err
		}
		d.Time, d.Duration = time.Unix(0, at), time.Duration(took)
		if message != "" {
			d.Err = errors.New(message)
		}
		found = append(found, d)
	}
	return found, rows.Err()
}

// Clear implements ittybittest.DeliveryStore.
func (s *sqliteStore) Clear() error {
	_, err := s.db.ExecContext(s.ctx, "DELETE FROM deliveries")
	return err
}
