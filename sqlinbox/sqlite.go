package sqlinbox

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"

	"github.com/ittybit/ittybit-go/sqlinbox/internal/core"
)

// sqliteDatabase is a database of SQLite, which has one writer at a time.
type sqliteDatabase struct {
	db     *sql.DB
	sync   bool          // raise PRAGMA synchronous
	writer chan struct{} // holds the turn to write among this Inbox's deliveries
}

func newSQLiteDatabase(db *sql.DB, sync bool) *sqliteDatabase {
	return &sqliteDatabase{db: db, sync: sync, writer: make(chan struct{}, 1)}
}

func (d *sqliteDatabase) Pool() any { return d.db }

// Query implements [core.Database].
func (d *sqliteDatabase) Query(ctx context.Context, s core.Statement, scan func(core.Row) error) error {
	return query(ctx, d.db, s, scan)
}

// ProbeStatements implements [core.Database]. SQLite has no pooler.
func (*sqliteDatabase) ProbeStatements(context.Context) error { return nil }

// sqliteTransaction is a transaction on a connection that it has for itself.
type sqliteTransaction struct {
	*transaction

	conn *sqliteConn
}

// Close implements [core.Tx].
func (t *sqliteTransaction) Close() {
	t.transaction.Close()
	t.conn.release()
}

// Begin implements [core.Database]. It waits for the lock in small pauses. The connection's own
// waiting is switched off for as long: it would not end with ctx. A commit has to wait in the
// connection, for it can't be repeated without the handler.
func (d *sqliteDatabase) Begin(ctx context.Context, first func() core.Statement) (_ core.Tx, _ int64, err error) {
	conn, err := d.acquire(ctx)
	if err != nil {
		return nil, 0, err
	}
	defer func() { //nolint:contextcheck // the connection is put back also where ctx has ended
		if err != nil {
			conn.release()
		}
	}()
	if err := conn.stopWaiting(ctx); err != nil {
		return nil, 0, err
	}
	for n := 1; ; n++ {
		tx, rows, err := conn.begin(ctx, first)
		if err == nil {
			return tx, rows, nil
		}
		if !core.SQLite.IsRetryable(err) {
			return nil, 0, err
		}
		if waitErr := core.Pause(ctx, n); waitErr != nil {
			return nil, 0, core.Failed("waiting for the SQLite write lock", errors.Join(err, waitErr))
		}
	}
}

// begin begins a transaction, in which the database may be locked.
func (c *sqliteConn) begin(ctx context.Context, first func() core.Statement) (core.Tx, int64, error) {
	if err := c.raiseSynchronous(ctx); err != nil {
		return nil, 0, err
	}
	tx := new(transaction)
	rows, err := tx.begin(ctx, c.Conn, nil, first)
	if err != nil {
		return nil, 0, err
	}
	if err := c.waitForReaders(ctx, tx.tx); err != nil {
		tx.Close()
		return nil, 0, err
	}
	return &sqliteTransaction{tx, c}, rows, nil
}

// acquire takes the turn to write, and a connection.
func (d *sqliteDatabase) acquire(ctx context.Context) (*sqliteConn, error) {
	select {
	case d.writer <- struct{}{}:
	case <-ctx.Done():
		return nil, core.Failed("waiting for the SQLite write lock", context.Cause(ctx))
	}
	conn, err := d.db.Conn(ctx)
	if err != nil {
		<-d.writer
		return nil, core.Failed("getting a connection", core.WithCause(ctx, err))
	}
	return &sqliteConn{Conn: conn, database: d}, nil
}

// sqliteConn is a connection whose settings are changed for a while.
type sqliteConn struct {
	*sql.Conn

	database    *sqliteDatabase
	busyTimeout setting // milliseconds
	synchronous setting
}

// setting is a PRAGMA of a connection.
type setting struct {
	own, now int
	known    bool
}

// The values of PRAGMA synchronous.
const (
	syncFull  = 2
	syncExtra = 3
)

// stopWaiting switches the connection's own waiting for locks off. It needs no lock itself.
func (c *sqliteConn) stopWaiting(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx) // it never waits, and must not be left half done
	s := &c.busyTimeout
	if err := c.QueryRowContext(ctx, "PRAGMA busy_timeout").Scan(&s.own); err != nil {
		return core.Failed("reading busy_timeout", err)
	}
	s.now, s.known = s.own, true
	return c.set(ctx, "busy_timeout", s, 0)
}

// waitForReaders lets a commit wait for readers, as it has to without a write-ahead log. It goes
// through the transaction: a Conn that loses its connection waits for the end of its transaction.
func (c *sqliteConn) waitForReaders(ctx context.Context, tx *sql.Tx) error {
	timeout := cmp.Or(c.busyTimeout.own, int(core.CleanupTimeout.Milliseconds()))
	return c.setBy(context.WithoutCancel(ctx), tx, "busy_timeout", &c.busyTimeout, timeout)
}

// raiseSynchronous raises PRAGMA synchronous where a commit would not be on the disk otherwise.
// Inside a transaction SQLite refuses that.
func (c *sqliteConn) raiseSynchronous(ctx context.Context) error {
	s := &c.synchronous
	if !c.database.sync || s.known {
		return nil
	}
	ctx = context.WithoutCancel(ctx)
	var journal string
	// Both in one SELECT would take ten times as long.
	if err := c.QueryRowContext(ctx, "PRAGMA journal_mode").Scan(&journal); err != nil {
		return core.Failed("reading journal_mode", err)
	}
	if err := c.QueryRowContext(ctx, "PRAGMA synchronous").Scan(&s.own); err != nil {
		return core.Failed("reading synchronous", err)
	}
	s.now, s.known = s.own, true
	want := syncExtra // FULL does not sync the folder from which the journal was deleted, so that it may come back
	if journal == "wal" || journal == "memory" || journal == "off" {
		want = syncFull
	}
	if s.own >= want {
		return nil
	}
	if err := c.set(ctx, "synchronous", s, want); err != nil {
		return err
	}
	var got int
	if err := c.QueryRowContext(ctx, "PRAGMA synchronous").Scan(&got); err != nil || got != want {
		return core.Failed("raising synchronous", cmp.Or(err, fmt.Errorf("PRAGMA synchronous is %d, not %d", got, want)))
	}
	return nil
}

// release gives the connection back to the pool as it was, and the turn to the next one.
func (c *sqliteConn) release() {
	ctx := context.Background()
	for pragma, s := range map[string]*setting{"busy_timeout": &c.busyTimeout, "synchronous": &c.synchronous} {
		if s.known && c.set(ctx, pragma, s, s.own) != nil {
			dropConnection(c.Conn)
		}
	}
	_ = c.Close() // the pool has it back
	<-c.database.writer
}

// set sets a PRAGMA, outside of any transaction.
func (c *sqliteConn) set(ctx context.Context, pragma string, s *setting, value int) error {
	return c.setBy(ctx, c.Conn, pragma, s, value)
}

// setBy sets a PRAGMA. SQLite answers some with a row, which go-libsql takes for an error where it
// was not asked for.
func (*sqliteConn) setBy(ctx context.Context, by querier, pragma string, s *setting, value int) error {
	if s.now == value {
		return nil
	}
	statement := core.Statement{SQL: "PRAGMA " + pragma + " = " + strconv.Itoa(value)}
	if err := query(ctx, by, statement, func(core.Row) error { return nil }); err != nil {
		return core.Failed("setting "+pragma, err)
	}
	s.now = value
	return nil
}
