package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/ittybittest"
)

// maxDeliveries is how many deliveries a store keeps; of older ones all attempts are removed.
const maxDeliveries = 100_000

// sqliteStore keeps the records of the latest deliveries in a SQLite database.
type sqliteStore struct {
	ctx   context.Context //nolint:containedctx // ittybittest.DeliveryStore has none
	db    *sql.DB
	max   int
	prune int64 // remove old deliveries after each so many records
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
CREATE INDEX IF NOT EXISTS deliveries_state ON deliveries (state, number) WHERE latest = 1;
CREATE INDEX IF NOT EXISTS deliveries_event ON deliveries (event, kind, number) WHERE latest = 1;
CREATE INDEX IF NOT EXISTS deliveries_kind ON deliveries (kind, number) WHERE latest = 1;
CREATE INDEX IF NOT EXISTS deliveries_status ON deliveries (status, number) WHERE latest = 1;
CREATE INDEX IF NOT EXISTS deliveries_class ON deliveries (status / 100, number) WHERE latest = 1;
CREATE INDEX IF NOT EXISTS deliveries_task ON deliveries (task_id, number);
CREATE INDEX IF NOT EXISTS deliveries_url ON deliveries (url, number);`

// openStore opens the database in a directory, which it makes if it is not there. Without a
// directory it is a temporary file, which is gone with the process.
func openStore(ctx context.Context, dir string) (*sqliteStore, error) {
	path := filepath.Join(dir, "deliveries.db")
	if dir == "" {
		path = ""
	}
	ctx = context.WithoutCancel(ctx) // attempts that end with the server are recorded, too
	db, err := openDatabase(ctx, path, schema)
	if err != nil {
		return nil, err
	}
	// What was still to be attempted when the process ended is not.
	_, err = db.ExecContext(ctx, `UPDATE deliveries SET state = ?, final = 1, error = trim(error || ' (no more attempts: serve was ended)')
		WHERE latest = 1 AND state = ?`, string(ittybittest.DeliveryFailed), string(ittybittest.DeliveryWaiting))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), db.Close())
	}
	return &sqliteStore{ctx, db, maxDeliveries, 1000}, nil
}

// openDatabase opens a SQLite database, with its folder, for this process alone. Without a path it
// is a temporary file.
func openDatabase(ctx context.Context, path, schema string) (*sql.DB, error) {
	pragmas := "?_pragma=locking_mode(EXCLUSIVE)&_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)"
	if path == "" {
		pragmas = "?_pragma=journal_mode(OFF)&_pragma=synchronous(OFF)"
	} else if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	name := filepath.ToSlash(path)
	if filepath.VolumeName(path) != "" {
		name = "/" + name
	}
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: name}).EscapedPath()+pragmas)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1) // the lock is a connection's, and so is a temporary file
	if _, err := db.ExecContext(ctx, schema); err != nil {
		if busy := (*sqlite.Error)(nil); errors.As(err, &busy) && busy.Code()&0xff == sqlite3.SQLITE_BUSY {
			err = errors.New("another ittybit-dev has it open")
		}
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), db.Close())
	}
	return db, nil
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
	if err == nil && d.Number%s.prune == 0 {
		_, err = tx.ExecContext(s.ctx, `DELETE FROM deliveries WHERE id IN (
			SELECT id FROM deliveries WHERE latest = 1 ORDER BY number DESC LIMIT -1 OFFSET ?)`, s.max)
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
	and(q.Status != "" && low == high, "status = ?", low)
	and(q.Status != "" && low != high, "status / 100 = ?", low/100)
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
