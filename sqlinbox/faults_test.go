package sqlinbox_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"strings"
	"sync"
)

// way is how a call of a driver fails.
type way string

const (
	fails      way = "fails"
	loses      way = "loses the connection before it is done"
	losesReply way = "is done, and loses the connection before it says so"
	hangs      way = "hangs until its context ends"
)

var errInjected = errors.New("injected")

// faultyDriver is modernc.org/sqlite, with calls counted, one of which fails.
type faultyDriver struct {
	source string
	inner  driver.Driver

	mu      sync.Mutex
	calls   int
	commits int
	failing int // the number of the call that fails; 0: none
	way     way
	failed  string // what the call was that failed
}

// openFaulty gives a database whose calls fail as fail says.
func openFaulty(source string) (*sql.DB, *faultyDriver) {
	plain, err := sql.Open("sqlite", source) // with the functions that were registered
	if err != nil {
		panic(err)
	}
	defer func() { _ = plain.Close() }() // it has no connection
	d := &faultyDriver{source: source, inner: plain.Driver()}
	return sql.OpenDB(d), d
}

// fail counts from now, and has the call of that number fail.
func (d *faultyDriver) fail(call int, how way) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.calls, d.commits, d.failing, d.way, d.failed = 0, 0, call, how, ""
}

func (d *faultyDriver) figures() (calls, commits int, failed string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.calls, d.commits, d.failed
}

// next gives how the call that begins fails, or nothing.
func (d *faultyDriver) next(what string) way {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.calls++
	if what == "Commit" {
		d.commits++
	}
	if d.calls != d.failing {
		return ""
	}
	d.failed = what
	return d.way
}

// Driver implements [driver.Connector].
func (d *faultyDriver) Driver() driver.Driver { return d.inner }

// sqliteConn is what modernc's connections have.
type sqliteConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ExecerContext
	driver.QueryerContext
	driver.SessionResetter
	driver.Validator
}

// Connect implements [driver.Connector].
func (d *faultyDriver) Connect(ctx context.Context) (driver.Conn, error) {
	var conn *faultyConn
	open := func() error {
		inner, err := d.Driver().Open(d.source)
		if err == nil {
			conn = &faultyConn{sqliteConn: inner.(sqliteConn), faulty: d}
		}
		return err
	}
	lose := func() {
		if conn != nil {
			_ = conn.Close()
		}
	}
	if err := d.run(ctx, "Connect", open, lose, func() {}); err != nil {
		return nil, err
	}
	return conn, nil
}

// run makes a call, which may fail. lose ends the connection, undo what a call that has failed in a
// transaction leaves behind.
func (d *faultyDriver) run(ctx context.Context, what string, call func() error, lose, undo func()) error {
	how := d.next(what)
	if how == hangs && ctx.Done() == nil {
		how = fails // what has no end is not waited for
	}
	switch how {
	case fails:
		undo()
		return errInjected
	case loses:
		lose()
		return driver.ErrBadConn
	case losesReply:
		err := call()
		lose()
		return errors.Join(driver.ErrBadConn, err)
	case hangs:
		<-ctx.Done()
		undo()
		return ctx.Err()
	}
	return call()
}

type faultyConn struct {
	sqliteConn

	faulty *faultyDriver
	lost   bool
	rows   driver.Rows // the last ones; a connection must not be closed before them
}

func (c *faultyConn) run(ctx context.Context, what string, call func() error, undo func()) error {
	if c.lost {
		return driver.ErrBadConn
	}
	lose := func() {
		c.lost = true
		if c.rows != nil {
			_ = c.rows.Close()
		}
		_ = c.sqliteConn.Close()
	}
	return c.faulty.run(ctx, what, call, lose, undo)
}

func (c *faultyConn) Close() error {
	if c.lost {
		return nil
	}
	return c.sqliteConn.Close()
}

func (c *faultyConn) IsValid() bool { return !c.lost && c.sqliteConn.IsValid() }

func (c *faultyConn) ResetSession(ctx context.Context) error {
	if c.lost {
		return driver.ErrBadConn
	}
	return c.sqliteConn.ResetSession(ctx)
}

// rollBack ends the transaction, as SQLite does by itself when a writing statement is interrupted.
func (c *faultyConn) rollBack() {
	_, _ = c.sqliteConn.ExecContext(context.Background(), "ROLLBACK", nil)
}

func (c *faultyConn) BeginTx(ctx context.Context, opts driver.TxOptions) (tx driver.Tx, err error) {
	err = c.run(ctx, "BeginTx", func() (err error) { tx, err = c.sqliteConn.BeginTx(ctx, opts); return err }, func() {})
	if err != nil {
		return nil, err
	}
	return &faultyTx{tx, c, ctx}, nil
}

func (c *faultyConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (result driver.Result, err error) {
	call := func() (err error) { result, err = c.sqliteConn.ExecContext(ctx, query, args); return err }
	undo := func() {}
	if c.faulty.way == hangs && !strings.HasPrefix(query, "PRAGMA") {
		undo = c.rollBack
	}
	err = c.run(ctx, query, call, undo)
	return result, err
}

func (c *faultyConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (rows driver.Rows, err error) {
	call := func() (err error) {
		rows, err = c.sqliteConn.QueryContext(ctx, query, args)
		c.rows = rows
		return err
	}
	if err := c.run(ctx, query, call, func() {}); err != nil {
		return nil, err
	}
	return &faultyRows{rows, c, ctx}, nil
}

type faultyTx struct {
	inner driver.Tx
	conn  *faultyConn
	ctx   context.Context //nolint:containedctx // Commit has none of its own
}

func (t *faultyTx) Commit() error {
	return t.conn.run(t.ctx, "Commit", t.inner.Commit, t.conn.rollBack)
}

func (t *faultyTx) Rollback() error {
	return t.conn.run(t.ctx, "Rollback", t.inner.Rollback, t.conn.rollBack)
}

type faultyRows struct {
	driver.Rows

	conn *faultyConn
	ctx  context.Context //nolint:containedctx // Next has none of its own
}

func (r *faultyRows) Next(dest []driver.Value) error {
	return r.conn.run(r.ctx, "Next", func() error { return r.Rows.Next(dest) }, func() {})
}

func (r *faultyRows) Close() error {
	if r.conn.lost {
		return io.ErrClosedPipe
	}
	r.conn.rows = nil
	return r.Rows.Close()
}
