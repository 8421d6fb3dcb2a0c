package core

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"time"
)

const (
	// maxRuns is how often a handler runs for one delivery, when the database asks for the
	// transaction again.
	maxRuns = 5
	// CleanupTimeout is how long each statement of a commit or a rollback may take. The handler's
	// own deadline may be over by then, and its work must not be lost for that.
	CleanupTimeout = 5 * time.Second
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

// Failed says what the inbox was doing when the database failed.
func Failed(doing string, err error) error { return &databaseError{doing, err} }

func isDatabaseError(err error) bool {
	var failed *databaseError
	return errors.As(err, &failed)
}

// WithCause names the end of ctx, where that is what ended a statement.
func WithCause(ctx context.Context, err error) error {
	if ctx.Err() != nil && !errors.Is(err, ctx.Err()) {
		return errors.Join(err, context.Cause(ctx))
	}
	// A driver that makes the deadline one of the connection, as bun's pgdriver does, may be a
	// moment earlier than the context.
	at, ok := ctx.Deadline()
	if ok && !time.Now().Before(at) && errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, context.DeadlineExceeded) {
		return errors.Join(err, context.DeadlineExceeded)
	}
	return err
}

// explain adds to an error what can be done about it. What the error means to a receiver stays.
func (in *Inbox) explain(err error) error {
	if err == nil {
		return nil
	}
	fix := in.dialect.fix(err, in.table)
	if fix == "" {
		return err
	}
	return fmt.Errorf("%w (%s)", err, fix)
}

// transact runs a transaction, again where the database asks for that. Its first statement is the
// inbox's own and writes: with it the locks are had. The rest may be a handler's.
func (in *Inbox) transact(ctx context.Context, first func() Statement, rest func(tx Tx, rows int64) error) error {
	for n := 1; ; n++ {
		err := in.runOnce(ctx, first, rest)
		if err == nil || !in.dialect.retryable(err) || n >= maxRuns {
			return err
		}
		if waitErr := Pause(ctx, n); waitErr != nil {
			return errors.Join(err, waitErr)
		}
	}
}

// runOnce runs a transaction once. It is rolled back also when the rest panics or ends its
// goroutine.
func (in *Inbox) runOnce(ctx context.Context, first func() Statement, rest func(tx Tx, rows int64) error) error {
	if ctx.Err() != nil {
		return Failed("context ended before the transaction began", context.Cause(ctx))
	}
	tx, rows, err := in.db.Begin(ctx, first)
	if err != nil {
		return err
	}
	defer tx.Close()
	if err := rest(tx, rows); err != nil {
		if rollbackErr := tx.Rollback(); rollbackErr != nil && ctx.Err() == nil {
			return Failed("the transaction was lost in the handler", errors.Join(err, rollbackErr))
		}
		return err
	}
	return tx.Commit()
}

// IsRetryable reports whether err asks for the transaction once more.
func (d *Dialect) IsRetryable(err error) bool { return d.retryable(err) }

// Pause waits before the database is asked for the (n+1)th time.
func Pause(ctx context.Context, n int) error {
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

// cleanupContext ends CleanupTimeout after ctx does: for what must be done although ctx is over.
func cleanupContext(ctx context.Context) (context.Context, context.CancelFunc) {
	longer, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(CleanupTimeout, cancel) })
	return longer, func() { stop(); cancel() }
}
