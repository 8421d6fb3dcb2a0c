package main

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"time"

	"github.com/ittybit/ittybit-go"
)

// foundEvent is the end of a task, to be delivered.
type foundEvent struct {
	key            string
	created, ended time.Time // of the task
	body           []byte
	attempts       int
}

// listenState keeps what listen has found and delivered: in one SQLite database, so that a kill at
// any time loses nothing. Of what was delivered it keeps the keys that the next poll may find
// again.
type listenState struct {
	ctx  context.Context //nolint:containedctx // what was delivered is recorded also when it has ended
	db   *sql.DB
	last string // the checkpoint that is stored
}

const listenSchema = `
CREATE TABLE IF NOT EXISTS checkpoint (id INTEGER PRIMARY KEY CHECK (id = 1), source TEXT NOT NULL, data TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS events (
	key TEXT PRIMARY KEY, created INTEGER NOT NULL, ended INTEGER NOT NULL, body BLOB NOT NULL,
	attempts INTEGER NOT NULL, due INTEGER NOT NULL, delivered INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS events_due ON events (due) WHERE delivered = 0;
CREATE INDEX IF NOT EXISTS events_created ON events (created) WHERE delivered = 1;`

// stateSource names what a state belongs to, without secrets.
func stateSource(url, key, forward string) string {
	sum := sha256.Sum256([]byte("ittybit-dev listen\x00" + url + "\x00" + key + "\x00" + forward))
	return hex.EncodeToString(sum[:8])
}

// openListenState opens the state in a directory. It is of one source; without a checkpoint it has
// not begun.
func openListenState(ctx context.Context, dir, source string) (s *listenState, checkpoint *ittybit.ReconcileCheckpoint, err error) {
	ctx = context.WithoutCancel(ctx)
	path := filepath.Join(dir, "listen.db")
	db, err := openDatabase(ctx, path, listenSchema)
	if err != nil {
		return nil, nil, err
	}
	var known, data string
	err = db.QueryRowContext(ctx, "SELECT source, data FROM checkpoint").Scan(&known, &data)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		_, err = db.ExecContext(ctx, "INSERT INTO checkpoint VALUES (1, ?, '')", source)
	case err != nil:
	case known != source && data != "":
		err = errors.New("it is of another API, key or --forward-to: choose another directory with --state, or remove this one and give --since")
	case known != source:
		_, err = db.ExecContext(ctx, "UPDATE checkpoint SET source = ?", source)
	case data != "":
		err = json.Unmarshal([]byte(data), &checkpoint)
	}
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("%s: %w", path, err), db.Close())
	}
	return &listenState{ctx, db, data}, checkpoint, nil
}

// Close closes the database.
func (s *listenState) Close() error { return s.db.Close() }

// add stores what a poll has found together with the checkpoint that counts it as handled. Keys of
// deliveries are dropped where the checkpoint passes over their tasks.
func (s *listenState) add(events []foundEvent, delivered bool, checkpoint ittybit.ReconcileCheckpoint) error {
	data, err := json.Marshal(checkpoint)
	if err != nil || len(events) == 0 && string(data) == s.last {
		return err
	}
	tx, err := s.db.BeginTx(s.ctx, nil)
	if err != nil {
		return err
	}
	for _, e := range events {
		created, body := int64(math.MaxInt64), e.body
		if !e.created.IsZero() { // else the next poll may find it for ever
			created = e.created.UnixNano()
		}
		if delivered {
			body = []byte{}
		}
		_, err = tx.ExecContext(s.ctx, "INSERT OR IGNORE INTO events VALUES (?, ?, ?, ?, 0, 0, ?)", e.key, created, e.ended.UnixNano(), body, delivered)
		if err != nil {
			return errors.Join(err, tx.Rollback())
		}
	}
	_, err = tx.ExecContext(s.ctx, "UPDATE checkpoint SET data = ?", string(data))
	if err == nil && !checkpoint.Since.IsZero() {
		_, err = tx.ExecContext(s.ctx, "DELETE FROM events WHERE delivered = 1 AND created < ?", checkpoint.Since.UnixNano())
	}
	if err != nil {
		return errors.Join(err, tx.Rollback())
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	s.last = string(data)
	return nil
}

// has reports whether an event was found before.
func (s *listenState) has(key string) (found bool, err error) {
	err = s.db.QueryRowContext(s.ctx, "SELECT EXISTS (SELECT 1 FROM events WHERE key = ?)", key).Scan(&found)
	return found, err
}

// due gives the events whose next attempt is due, in the order of their ends.
func (s *listenState) due(now time.Time) (events []foundEvent, err error) {
	rows, err := s.db.QueryContext(s.ctx, "SELECT key, body, attempts FROM events WHERE delivered = 0 AND due <= ? ORDER BY ended, key LIMIT 1000", now.UnixNano())
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var e foundEvent
		if err := rows.Scan(&e.key, &e.body, &e.attempts); err != nil {
			return nil, err
		}
		events = append(events, e)
	}
	return events, rows.Err()
}

// nextDue is when the next attempt is due; zero if there is nothing to deliver.
func (s *listenState) nextDue() (time.Time, error) {
	var due sql.NullInt64
	err := s.db.QueryRowContext(s.ctx, "SELECT min(due) FROM events WHERE delivered = 0").Scan(&due)
	if err != nil || !due.Valid {
		return time.Time{}, err
	}
	return time.Unix(0, due.Int64), nil
}

// delivered records that an event was confirmed.
func (s *listenState) delivered(key string) error {
	_, err := s.db.ExecContext(s.ctx, "UPDATE events SET delivered = 1, body = x'' WHERE key = ?", key)
	return err
}

// postpone records an attempt that was not confirmed, and when the next one is due.
func (s *listenState) postpone(key string, due time.Time) error {
	_, err := s.db.ExecContext(s.ctx, "UPDATE events SET attempts = attempts + 1, due = ? WHERE key = ?", due.UnixNano(), key)
	return err
}
