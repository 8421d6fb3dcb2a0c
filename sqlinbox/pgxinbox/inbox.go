package pgxinbox

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/sqlinbox"
	"github.com/ittybit/ittybit-go/sqlinbox/internal/core"
)

// Inbox remembers in a table which events were handled. Make one with [New]; it is safe
// for concurrent use.
type Inbox struct{ core *core.Inbox }

// New makes an inbox in the pool's database. The options are sqlinbox's. It does not touch the
// database yet: see [Inbox.Migrate] and [Inbox.Check]. A mistake in the program (a nil pool, an
// invalid table name, an isolation level that PostgreSQL does not have, an option that is for
// SQLite) panics.
func New(pool *pgxpool.Pool, opts ...sqlinbox.Option) *Inbox {
	if pool == nil {
		panic("pgxinbox: New: nil pool")
	}
	all := make([]core.Option, len(opts))
	for i, opt := range opts {
		all[i] = opt
	}
	cfg := core.Configure(all)
	if cfg.NoSync {
		panic("pgxinbox: WithoutSync: only for SQLite: set synchronous_commit in PostgreSQL")
	}
	in, err := core.New(&database{pool, txOptions(cfg.Isolation)}, core.Postgres, cfg)
	if err != nil {
		panic("pgxinbox: " + err.Error())
	}
	return &Inbox{in}
}

// Wrap gives a handler that calls next once for each event, inside a transaction that [Tx] gives.
// For an event that was handled before it returns [ittybit.ErrAlreadyHandled], which a
// [ittybit.WebhookHandler] answers with 200. A nil next panics. What it returns must not be called
// inside itself, nor inside another Inbox of the same pool, table and name: it would wait for
// itself, and gives an error.
func (in *Inbox) Wrap(next ittybit.EventHandler) ittybit.EventHandler {
	if next == nil {
		panic("pgxinbox: Wrap: nil handler")
	}
	return in.core.Wrap(next)
}

// Tx gives the transaction that the handler runs in: what it writes with it is kept exactly if the
// event is. It is for one goroutine at a time, and only until the handler returns. Its Commit gives
// an error. Its Rollback rolls back, and the handler must then return an error, too. Savepoints
// (its Begin, pgx.BeginFunc) are free to use; the first one takes one round trip more.
//
// Outside a handler that [Inbox.Wrap] made, or [Inbox.Replay] called, Tx panics.
func Tx(ctx context.Context) pgx.Tx {
	tx, ok := core.TxValue(ctx).(*handlerTx)
	if !ok {
		panic("pgxinbox: Tx: the context is not that of a handler which Inbox.Wrap or Inbox.Replay called")
	}
	return tx
}

// Schema gives the statements that make the table and its indexes where they are missing,
// for those who keep migrations of their own.
func (in *Inbox) Schema() string { return in.core.Schema() }

// Migrate makes the table and its indexes if they are missing, and adds what a table of an earlier
// version lacks, as [sqlinbox.Inbox.Migrate] does.
func (in *Inbox) Migrate(ctx context.Context) error { return in.core.Migrate(ctx) }

// Check finds what would make deliveries fail, or an event that was acknowledged be lost, and says
// what to do about each, as [sqlinbox.Inbox.Check] does for Postgres.
func (in *Inbox) Check(ctx context.Context) error { return in.core.Check(ctx) }

// Replay gives kept events to next again, as [sqlinbox.Inbox.Replay] does.
func (in *Inbox) Replay(
	ctx context.Context, next ittybit.EventHandler, params sqlinbox.ReplayParams,
) (sqlinbox.ReplayResult, error) {
	result, err := in.core.Replay(ctx, next, core.ReplayParams(params))
	return sqlinbox.ReplayResult(result), err
}

// Prune forgets the events of this endpoint that were received longer ago than olderThan, which is
// at least [sqlinbox.MinPruneAge], as [sqlinbox.Inbox.Prune] does.
func (in *Inbox) Prune(ctx context.Context, olderThan time.Duration) (int64, error) {
	return in.core.Prune(ctx, olderThan)
}

// Reconcile runs [ittybit.Reconcile] at once and then every so often, until ctx ends: it hands
// events whose webhook never came to next, as deliveries would. next is the handler itself, or what
// [Inbox.Wrap] made of it. Each process of a fleet may call it: one at a time runs, and another one
// takes over a minute after that one was killed. The checkpoint is stored in a table beside the
// inbox, under the endpoint's name, so that params.Checkpoint counts only the first time. A process
// that was stopped and goes on can't store an older one, because another one has the lease by then.
//
// It returns the cause of ctx's end, or an [*ittybit.ParamError]. Everything else is logged (what
// the database refuses, to [log/slog.Default]), and is done in the next run.
func (in *Inbox) Reconcile(
	ctx context.Context, client *ittybit.Client, next ittybit.EventHandler, every time.Duration,
	params ittybit.ReconcileParams, opts ...ittybit.ReconcileOption,
) error {
	return in.core.Reconcile(ctx, client, next, every, params, opts)
}
