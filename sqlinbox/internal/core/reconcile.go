package core

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/ittybit/ittybit-go"
)

const (
	// reconcileLease is for how long a process that was killed keeps the others from reconciling.
	reconcileLease = time.Minute
	// reconcilePoll is how often a process looks whether a run is due that another one holds.
	reconcilePoll = 5 * time.Second
)

// errLeaseLost says that another process has taken over.
var errLeaseLost = errors.New("sqlinbox: another process has taken over the reconciliation")

// reconcileStatements are the statements on the table of checkpoints. Times are microseconds since
// 1970 by the database's clock, which all processes share.
type reconcileStatements struct {
	table, start, acquire, save, finish string
	acquired                            string // gives what acquire has acquired; empty where that does
}

func newReconcileStatements(t Table, now string) reconcileStatements {
	table := t.suffixed(reconcileSuffix)
	return reconcileStatements{
		table: fmt.Sprintf(`CREATE TABLE IF NOT EXISTS %s (
	name       text   NOT NULL PRIMARY KEY,
	lease      bigint NOT NULL,
	held_until bigint NOT NULL,
	next_run   bigint NOT NULL,
	checkpoint text   NOT NULL
)`, table),
		start: "INSERT INTO " + table + " (name, lease, held_until, next_run, checkpoint) VALUES ($1, 0, 0, 0, '{}') ON CONFLICT (name) DO NOTHING",
		acquire: "UPDATE " + table + " SET lease = lease + 1, held_until = " + now + " + $1 WHERE name = $2 AND held_until <= " + now +
			" AND next_run <= " + now + " RETURNING lease, checkpoint",
		save:   "UPDATE " + table + " SET checkpoint = coalesce($1, checkpoint), held_until = " + now + " + $2 WHERE name = $3 AND lease = $4",
		finish: "UPDATE " + table + " SET held_until = 0, next_run = " + now + " + $1 WHERE name = $2 AND lease = $3",
	}
}

// Reconcile runs [ittybit.Reconcile] every so often until ctx ends, in one process at a time.
func (in *Inbox) Reconcile(
	ctx context.Context, client *ittybit.Client, next ittybit.EventHandler, every time.Duration,
	params ittybit.ReconcileParams, opts []ittybit.ReconcileOption,
) error {
	switch {
	case next == nil:
		return &ittybit.ParamError{Param: "next", Reason: "is nil"}
	case every <= 0:
		return &ittybit.ParamError{Param: "every", Reason: "must be positive"}
	}
	if wrapped, ok := next.(*handler); !ok || wrapped.inbox != in {
		next = in.Wrap(next)
	}
	for {
		held, checkpoint, err := in.acquireLease(ctx)
		if err != nil && ctx.Err() == nil {
			logFailure(ctx, "sqlinbox: Reconcile can't acquire its lease, and will try again", err)
		}
		if held != nil {
			params := params
			if checkpoint != "{}" { // else it begins where params say
				if err := json.Unmarshal([]byte(checkpoint), &params.Checkpoint); err != nil {
					return fmt.Errorf("sqlinbox: the stored checkpoint of Reconcile can't be read: %w", err)
				}
			}
			if err := held.run(ctx, client, next, every, params, opts); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(min(every, reconcilePoll)):
		}
	}
}

// execute runs a statement in a transaction of its own.
func (in *Inbox) execute(ctx context.Context, s Statement, changed *int64) error {
	return in.explain(in.transact(ctx, func() Statement { return s }, func(_ Tx, rows int64) error {
		if changed != nil {
			*changed = rows
		}
		return nil
	}))
}

// lease is the right to reconcile. Each has a higher number than the one before.
type lease struct {
	inbox  *Inbox
	number int64
}

// acquireLease gives a lease with the stored checkpoint, or none while a run is not due, or another
// process has it.
func (in *Inbox) acquireLease(ctx context.Context) (*lease, string, error) {
	if err := in.execute(ctx, Statement{SQL: in.sql.reconcile.start, Args: []any{in.cfg.Name}}, nil); err != nil {
		return nil, "", err
	}
	var number, rows int64
	var checkpoint string
	acquire := Statement{SQL: in.sql.reconcile.acquire, Args: []any{reconcileLease.Microseconds(), in.cfg.Name}}
	acquired := Statement{SQL: in.sql.reconcile.acquired, Args: []any{in.cfg.Name}, Into: []any{&number, &checkpoint}}
	if acquired.SQL == "" {
		acquire.Into = acquired.Into
	}
	err := in.transact(ctx, func() Statement { return acquire }, func(tx Tx, n int64) error {
		if rows = n; rows == 0 || acquired.SQL == "" {
			return nil
		}
		_, err := tx.Run(ctx, acquired)
		return err
	})
	if err != nil || rows == 0 {
		return nil, "", in.explain(err)
	}
	return &lease{in, number}, checkpoint, nil
}

// save stores a checkpoint, or none where it is nil, and prolongs the lease.
func (l *lease) save(ctx context.Context, checkpoint *ittybit.ReconcileCheckpoint) error {
	var text any
	if checkpoint != nil {
		encoded, err := json.Marshal(checkpoint)
		if err != nil {
			return fmt.Errorf("sqlinbox: encoding the checkpoint of Reconcile: %w", err)
		}
		text = string(encoded)
	}
	var rows int64
	args := []any{text, reconcileLease.Microseconds(), l.inbox.cfg.Name, l.number}
	if err := l.inbox.execute(ctx, Statement{SQL: l.inbox.sql.reconcile.save, Args: args}, &rows); err != nil {
		return err
	}
	if rows == 0 {
		return errLeaseLost
	}
	return nil
}

// run reconciles once. It gives an error only where ctx has ended, or where the parameters are
// wrong: what failed otherwise is logged by ittybit.Reconcile, and is done in the next run.
func (l *lease) run(
	ctx context.Context, client *ittybit.Client, next ittybit.EventHandler, every time.Duration,
	params ittybit.ReconcileParams, opts []ittybit.ReconcileOption,
) error {
	runCtx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	prolonged := make(chan struct{})
	go func() {
		defer close(prolonged)
		for {
			select {
			case <-runCtx.Done():
				return
			case <-time.After(reconcileLease / 4):
				l.keep(runCtx, cancel, nil)
			}
		}
	}()
	onCheckpoint := params.OnCheckpoint
	params.OnCheckpoint = func(checkpoint ittybit.ReconcileCheckpoint) {
		l.keep(runCtx, cancel, &checkpoint)
		if onCheckpoint != nil {
			onCheckpoint(checkpoint)
		}
	}
	report, err := ittybit.Reconcile(runCtx, client, next, params, opts...)
	lost := errors.Is(context.Cause(runCtx), errLeaseLost)
	cancel(nil)
	<-prolonged
	var wrong *ittybit.ParamError
	if errors.As(err, &wrong) {
		return err
	}
	if !lost {
		cleanup, done := cleanupContext(ctx)
		defer done()
		if ctx.Err() != nil {
			every = 0 // the process is ending: another one may go on at once
		}
		if err := l.finish(cleanup, &report.Checkpoint, every); err != nil {
			logFailure(ctx, "sqlinbox: Reconcile can't store its checkpoint: the next run begins at an earlier one", err)
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

// keep stores a checkpoint, or none where it is nil, and ends the run where another process has
// taken over. Where the database fails otherwise, the run goes on: what it handles is in the inbox.
func (l *lease) keep(ctx context.Context, cancel context.CancelCauseFunc, checkpoint *ittybit.ReconcileCheckpoint) {
	err := l.save(ctx, checkpoint)
	switch {
	case errors.Is(err, errLeaseLost):
		cancel(err)
	case err != nil && ctx.Err() == nil:
		logFailure(ctx, "sqlinbox: Reconcile can't store its checkpoint", err)
	}
}

// finish stores the last checkpoint of a run, and when the next one is due.
func (l *lease) finish(ctx context.Context, checkpoint *ittybit.ReconcileCheckpoint, every time.Duration) error {
	if err := l.save(ctx, checkpoint); err != nil {
		return err
	}
	args := []any{every.Microseconds(), l.inbox.cfg.Name, l.number}
	return l.inbox.execute(ctx, Statement{SQL: l.inbox.sql.reconcile.finish, Args: args}, nil)
}

func logFailure(ctx context.Context, message string, err error) {
	slog.Default().WarnContext(ctx, message, //nolint:sloglint // each caller's is constant
		slog.String("error", err.Error()))
}
