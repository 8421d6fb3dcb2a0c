package inboxtest

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"strings"
	"sync"

	"github.com/ittybit/ittybit-go/sqlinbox"
)

// Fault is how a call fails.
type Fault string

// The ways in which a call fails.
const (
	Fails      Fault = "fails"
	Loses      Fault = "loses the connection before it is done"
	LosesReply Fault = "is done, and loses the connection before it says so"
	Hangs      Fault = "hangs until its context ends"
)

// Faults are all of them.
var Faults = []Fault{Fails, Loses, LosesReply, Hangs}

var errInjected = errors.New("injected")

// injector counts calls, one of which fails.
type injector struct {
	mu      sync.Mutex
	calls   int
	commits int
	failing int // the number of the call that fails; 0: none
	fault   Fault
	failed  string // what the call was that failed
	hung    func() // called where it hangs; may be nil
}

// Fail counts from now, and has the call of that number fail. Zero: none.
func (i *injector) Fail(call int, how Fault) { i.fail(call, how, nil) }

func (i *injector) fail(call int, how Fault, hung func()) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.calls, i.commits, i.failing, i.fault, i.failed, i.hung = 0, 0, call, how, "", hung
}

// Figures gives how many calls and commits there were, and which call failed.
func (i *injector) Figures() (calls, commits int, failed string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.calls, i.commits, i.failed
}

const (
	callConnect = "Connect"
	callCommit  = "COMMIT"
)

// next gives how the call that begins fails, or nothing.
func (i *injector) next(what string) Fault {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.calls++
	if strings.EqualFold(what, callCommit) {
		i.commits++
	}
	if i.calls != i.failing {
		return ""
	}
	i.failed = what
	if i.fault == Hangs && i.hung != nil {
		i.hung()
	}
	return i.fault
}

// Faulty is a driver with calls counted, one of which fails.
type Faulty struct {
	injector

	connector driver.Connector
	// rollsBack is for SQLite: where the context of a statement ends, it rolls back. A client of a
	// server closes the connection.
	rollsBack bool
}

// OpenFaulty opens a database whose driver's calls fail as [Faulty] is told.
func OpenFaulty(dialect sqlinbox.Dialect, name, source string) (*sql.DB, *Faulty) {
	plain, err := sql.Open(name, source) // with the functions that were registered
	if err != nil {
		panic(err)
	}
	d := plain.Driver()
	_ = plain.Close() // it has no connection
	f := &Faulty{connector: plainConnector{d, source}, rollsBack: dialect == sqlinbox.SQLite}
	if with, ok := d.(driver.DriverContext); ok {
		if f.connector, err = with.OpenConnector(source); err != nil {
			panic(err)
		}
	}
	return sql.OpenDB(f), f
}

type plainConnector struct {
	driver driver.Driver
	source string
}

func (c plainConnector) Driver() driver.Driver                        { return c.driver }
func (c plainConnector) Connect(context.Context) (driver.Conn, error) { return c.driver.Open(c.source) }

// Driver implements [driver.Connector].
func (f *Faulty) Driver() driver.Driver { return f.connector.Driver() }

// Close is called by [sql.DB.Close].
func (f *Faulty) Close() error {
	if closer, ok := f.connector.(io.Closer); ok {
		return closer.Close()
	}
	return nil
}

// Connect implements [driver.Connector].
func (f *Faulty) Connect(ctx context.Context) (driver.Conn, error) {
	var conn *faultyConn
	open := func() error {
		inner, err := f.connector.Connect(ctx)
		if err != nil {
			return err
		}
		full, ok := inner.(fullConn)
		if !ok {
			return errOldDriver
		}
		conn = &faultyConn{fullConn: full, faulty: f, stmts: map[*faultyStmt]bool{}}
		return nil
	}
	lose := func() {
		if conn != nil {
			_ = conn.Close()
		}
	}
	if err := f.run(ctx, callConnect, open, lose, func() {}); err != nil {
		return nil, err
	}
	return conn, nil
}

// run makes a call, which may fail. lose ends the connection, undo what a call that has failed in a
// transaction leaves behind.
func (f *Faulty) run(ctx context.Context, what string, call func() error, lose, undo func()) error {
	how := f.next(what)
	if how == Hangs && ctx.Done() == nil {
		how = Fails // what has no end is not waited for
	}
	switch how {
	case Fails:
		undo()
		return errInjected
	case Loses:
		lose()
		return driver.ErrBadConn
	case LosesReply:
		err := call()
		lose()
		return errors.Join(driver.ErrBadConn, err)
	case Hangs:
		<-ctx.Done()
		if !f.rollsBack {
			lose()
		}
		undo()
		return ctx.Err()
	}
	return call()
}

// fullConn and fullStmt are what all drivers have.
type fullConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
}

type fullStmt interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

var errOldDriver = errors.New("the driver takes no contexts")

type faultyConn struct {
	fullConn

	faulty *Faulty
	lost   bool
	rows   driver.Rows          // the last ones; a connection must not be closed before them
	stmts  map[*faultyStmt]bool // nor before these
}

func (c *faultyConn) run(ctx context.Context, what string, call func() error, undo func()) error {
	if c.lost {
		return driver.ErrBadConn
	}
	return c.faulty.run(ctx, what, call, c.lose, undo)
}

func (c *faultyConn) lose() {
	if c.lost {
		return
	}
	c.lost = true
	if c.rows != nil {
		_ = c.rows.Close()
	}
	for s := range c.stmts {
		_ = s.fullStmt.Close()
	}
	_ = c.fullConn.Close()
}

func (c *faultyConn) Close() error {
	if c.lost {
		return nil
	}
	return c.fullConn.Close()
}

func (c *faultyConn) IsValid() bool {
	valid, ok := c.fullConn.(driver.Validator)
	return !c.lost && (!ok || valid.IsValid())
}

func (c *faultyConn) ResetSession(ctx context.Context) error {
	reset, ok := c.fullConn.(driver.SessionResetter)
	switch {
	case c.lost:
		return driver.ErrBadConn
	case ok:
		return reset.ResetSession(ctx)
	}
	return nil
}

func (c *faultyConn) CheckNamedValue(v *driver.NamedValue) error {
	return checkNamedValue(c.fullConn, v)
}

func checkNamedValue(by any, v *driver.NamedValue) error {
	if checker, ok := by.(driver.NamedValueChecker); ok {
		return checker.CheckNamedValue(v)
	}
	return driver.ErrSkip
}

// rollBack ends the transaction, as SQLite does by itself when a writing statement is interrupted.
func (c *faultyConn) rollBack() {
	if execer, ok := c.fullConn.(driver.ExecerContext); ok && !c.lost {
		_, _ = execer.ExecContext(context.Background(), "ROLLBACK", nil)
	}
}

func (c *faultyConn) BeginTx(ctx context.Context, opts driver.TxOptions) (tx driver.Tx, err error) {
	err = c.run(ctx, "BEGIN", func() (err error) {
		tx, err = c.fullConn.BeginTx(ctx, opts)
		return err
	}, func() {})
	if err != nil {
		return nil, err
	}
	return &faultyTx{tx, c, ctx}, nil
}

func (c *faultyConn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	s := &faultyStmt{conn: c, query: query}
	err := c.run(ctx, "Prepare "+query, func() error {
		inner, err := c.fullConn.PrepareContext(ctx, query)
		if err != nil {
			return err
		}
		var ok bool
		if s.fullStmt, ok = inner.(fullStmt); !ok {
			return errOldDriver
		}
		c.stmts[s] = true
		return nil
	}, func() {})
	if err != nil {
		return nil, err
	}
	return s, nil
}

func (c *faultyConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	execer, ok := c.fullConn.(driver.ExecerContext)
	if !ok {
		return nil, driver.ErrSkip
	}
	return c.exec(ctx, query, func() (driver.Result, error) { return execer.ExecContext(ctx, query, args) })
}

func (c *faultyConn) exec(ctx context.Context, query string, do func() (driver.Result, error)) (result driver.Result, err error) {
	undo := func() {}
	if c.faulty.fault == Hangs && !strings.HasPrefix(query, "PRAGMA") {
		undo = c.rollBack
	}
	err = c.run(ctx, query, func() (err error) { result, err = do(); return err }, undo)
	return result, err
}

func (c *faultyConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	queryer, ok := c.fullConn.(driver.QueryerContext)
	if !ok {
		return nil, driver.ErrSkip
	}
	return c.query(ctx, query, func() (driver.Rows, error) { return queryer.QueryContext(ctx, query, args) })
}

func (c *faultyConn) query(ctx context.Context, query string, do func() (driver.Rows, error)) (rows driver.Rows, err error) {
	call := func() (err error) {
		if rows, err = do(); err == nil {
			c.rows = rows
		}
		return err
	}
	if err := c.run(ctx, query, call, func() {}); err != nil {
		return nil, err
	}
	return &faultyRows{rows, c, ctx}, nil
}

// faultyStmt is for drivers that have a statement prepared before it is run.
type faultyStmt struct {
	fullStmt

	conn  *faultyConn
	query string
}

func (s *faultyStmt) Close() error {
	if s.conn.lost {
		return nil
	}
	delete(s.conn.stmts, s)
	return s.fullStmt.Close()
}

func (s *faultyStmt) CheckNamedValue(v *driver.NamedValue) error {
	if _, ok := s.fullStmt.(driver.NamedValueChecker); ok {
		return checkNamedValue(s.fullStmt, v)
	}
	return s.conn.CheckNamedValue(v)
}

func (s *faultyStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	return s.conn.exec(ctx, s.query, func() (driver.Result, error) {
		return s.fullStmt.ExecContext(ctx, args)
	})
}

func (s *faultyStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	return s.conn.query(ctx, s.query, func() (driver.Rows, error) {
		return s.fullStmt.QueryContext(ctx, args)
	})
}

type faultyTx struct {
	inner driver.Tx
	conn  *faultyConn
	ctx   context.Context //nolint:containedctx // Commit has none of its own
}

func (t *faultyTx) Commit() error {
	return t.conn.run(t.ctx, callCommit, t.inner.Commit, t.conn.rollBack)
}

func (t *faultyTx) Rollback() error {
	return t.conn.run(t.ctx, "ROLLBACK", t.inner.Rollback, t.conn.rollBack)
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
