package sqlinbox

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

const (
	// maxRuns is how often a handler runs for one delivery, when the database wants it
	// again.
	maxRuns = 5
	// endTimeout is how long a commit or a rollback may take. The handler's own deadline may
	// be over by then, and its work is not to be forgotten for that.
	endTimeout = 5 * time.Second
	// The pauses before the database is asked again.
	firstPause, maxPause = time.Millisecond, 25 * time.Millisecond
)

// databaseError is a failure of the inbox's own statements.
type databaseError struct {
	doing string
	err   error
}

func (e *databaseError) Error() string { return fmt.Sprintf("sqlinbox: %s: %v", e.doing, e.err) }
func (e *databaseError) Unwrap() error { return e.err }

func failed(doing string, err error) error { return &databaseError{doing, err} }

// step is a part of a transaction. With an error all of it is rolled back.
type step func(ctx context.Context, tx *sql.Tx) error

// transact runs a transaction, more than once where the database wants that. Its first step is the
// inbox's own and writes: with it the locks are had. The rest is the handler's.
func (in *Inbox) transact(ctx context.Context, first, rest step) error {
	for n := 1; ; n++ {
		err := in.try(ctx, first, rest)
		if err == nil || !in.dialect.wantsAgain(err) {
			return err
		}
		if n >= maxRuns {
			return err
		}
		if waitErr := pause(ctx, n); waitErr != nil {
			return errors.Join(err, waitErr)
		}
	}
}

// pause waits before the database is asked for the (n+1)th time.
func pause(ctx context.Context, n int) error {
	longest := min(firstPause<<min(n, 10), maxPause)
	timer := time.NewTimer(longest/2 + rand.N(longest/2)) //nolint:gosec // no secret: two that met are not to meet again
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// try runs a transaction once. It is rolled back also when a step panics or ends its
// goroutine.
func (in *Inbox) try(ctx context.Context, first, rest step) error {
	done, err := in.turn(ctx)
	if err != nil {
		return err
	}
	defer done()
	t, err := in.begin(ctx, first)
	if err != nil {
		return err
	}
	defer t.close()
	if err := rest(ctx, t.tx); err != nil {
		rollbackErr := t.rollback()
		if rollbackErr != nil && !errors.Is(rollbackErr, sql.ErrTxDone) && ctx.Err() == nil {
			return failed("the connection was lost in the handler", errors.Join(err, rollbackErr))
		}
		return err
	}
	return t.commit()
}

// turn waits for the turn to write, where there is one writer at a time.
func (in *Inbox) turn(ctx context.Context) (done func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, failed("not begun", context.Cause(ctx))
	}
	if in.writer == nil {
		return func() {}, nil
	}
	select {
	case in.writer <- struct{}{}:
		return func() { <-in.writer }, nil
	case <-ctx.Done():
		return nil, failed("waiting for the turn to write", context.Cause(ctx))
	}
}

// transaction is a transaction that the first step of has been taken.
type transaction struct {
	tx      *sql.Tx
	conn    *sql.Conn       // SQLite's; nil where the pool gave the connection
	restore func()          // gives conn back its busy_timeout; nil where it has it
	lasting context.Context // the transaction's own: see begin
	cancel  context.CancelFunc
}

// begin begins a transaction and takes the first step. Up to there all ends with ctx; from there on
// the transaction outlives it.
func (in *Inbox) begin(ctx context.Context, first step) (*transaction, error) {
	lasting, cancel := context.WithCancel(context.WithoutCancel(ctx))
	t := &transaction{lasting: lasting, cancel: cancel}
	var err error
	if in.dialect == SQLite {
		err = in.beginSQLite(ctx, t, first)
	} else {
		err = in.beginOnce(ctx, t, in.db, first)
	}
	if err != nil {
		t.close()
		return nil, err
	}
	return t, nil
}

// beginner is a *sql.DB or a *sql.Conn.
type beginner interface {
	BeginTx(ctx context.Context, opts *sql.TxOptions) (*sql.Tx, error)
}

func (in *Inbox) beginOnce(ctx context.Context, t *transaction, from beginner, first step) error {
	stop := context.AfterFunc(ctx, t.cancel)
	tx, err := from.BeginTx(t.lasting, &sql.TxOptions{Isolation: in.cfg.isolation}) //nolint:contextcheck // ctx ends it by stop
	inTime := stop()
	if err != nil {
		return failed("beginning the transaction", because(ctx, err))
	}
	t.tx = tx
	if !inTime {
		return failed("beginning the transaction", context.Cause(ctx))
	}
	return first(ctx, tx)
}

// because names the end of ctx, where that is what ended a statement.
func because(ctx context.Context, err error) error {
	if ctx.Err() != nil && !errors.Is(err, ctx.Err()) {
		return errors.Join(err, context.Cause(ctx))
	}
	return err
}

// beginSQLite waits for the lock in small pauses. The connection's own waiting is switched
// off for as long: it would not end with ctx. A commit has to wait in the connection, for it can't be
// tried again without the handler.
func (in *Inbox) beginSQLite(ctx context.Context, t *transaction, first step) (err error) {
	if t.conn, err = in.db.Conn(ctx); err != nil {
		return failed("getting a connection", because(ctx, err))
	}
	quick := context.WithoutCancel(ctx) // these never wait, and must not be left half done
	var own int
	if err := t.conn.QueryRowContext(quick, "PRAGMA busy_timeout").Scan(&own); err != nil {
		return failed("reading busy_timeout", err)
	}
	now := own
	set := func(timeout int) error {
		if timeout == now {
			return nil
		}
		now = timeout
		return setBusyTimeout(quick, t.conn, timeout)
	}
	t.restore = func() {
		if err := set(own); err != nil {
			_ = t.conn.Raw(func(any) error { return driver.ErrBadConn }) // drops the connection
		}
	}
	if err := set(0); err != nil {
		return failed("switching busy_timeout off", err)
	}
	for n := 1; ; n++ {
		err := in.beginOnce(ctx, t, t.conn, first)
		if err == nil {
			break
		}
		if !in.dialect.wantsAgain(err) {
			return err
		}
		_ = t.rollback() // it has written nothing
		t.tx = nil
		if waitErr := pause(ctx, n); waitErr != nil {
			return failed("waiting for the lock", errors.Join(err, waitErr))
		}
	}
	if err := set(cmp.Or(own, int(endTimeout.Milliseconds()))); err != nil {
		return failed("setting busy_timeout", err)
	}
	return nil
}

func setBusyTimeout(ctx context.Context, conn *sql.Conn, milliseconds int) error {
	_, err := conn.ExecContext(ctx, fmt.Sprintf("PRAGMA busy_timeout = %d", milliseconds))
	return err
}

// commit commits. With an error it is not known whether it went through.
func (t *transaction) commit() error {
	defer time.AfterFunc(endTimeout, t.cancel).Stop()
	if err := t.tx.Commit(); err != nil {
		return failed("committing", err)
	}
	return nil
}

// rollback rolls back, if it was not ended yet.
func (t *transaction) rollback() error {
	if t.tx == nil {
		return nil
	}
	defer time.AfterFunc(endTimeout, t.cancel).Stop()
	return t.tx.Rollback()
}

// close rolls back what was not committed, and gives the connection back.
func (t *transaction) close() {
	_ = t.rollback() // what was not committed is gone either way
	t.cancel()
	if t.restore != nil {
		t.restore()
	}
	if t.conn != nil {
		_ = t.conn.Close() // the pool has it back
	}
}
