package sqlinbox

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/sqlinbox/internal/core"
)

// Dialect is the kind of database.
type Dialect int

// The databases.
const (
	Postgres Dialect = iota + 1 // PostgreSQL 9.6 and later, and what speaks its language, such as Supabase
	SQLite                      // SQLite 3.35 and later
	MySQL                       // MariaDB 10.6 and later, and MySQL 8.0 and later, with InnoDB
)

// String names the dialect.
func (d Dialect) String() string {
	switch d {
	case Postgres, SQLite, MySQL:
		return d.core().Name
	}
	return fmt.Sprintf("Dialect(%d)", int(d))
}

func (d Dialect) core() *core.Dialect {
	switch d {
	case Postgres:
		return core.Postgres
	case SQLite:
		return core.SQLite
	case MySQL:
		return core.MySQL
	}
	panic(fmt.Sprintf("sqlinbox: New: unknown dialect %d", int(d)))
}

// Inbox remembers in a table which events were handled. Make one with [New]; it is safe
// for concurrent use.
type Inbox struct{ core *core.Inbox }

// New makes an inbox in db. It does not touch the database yet: see [Inbox.Migrate] and
// [Inbox.Check]. A mistake in the program (a nil db, an unknown dialect, an invalid table name, an
// isolation level that the database does not have) panics, as [net/http.Handle] does: it should
// show at start-up.
func New(db *sql.DB, dialect Dialect, opts ...Option) *Inbox {
	if db == nil {
		panic("sqlinbox: New: nil db")
	}
	cfg := core.Configure(coreOptions(opts))
	d := dialect.core()
	var database core.Database = newSQLDatabase(db, cfg.Isolation)
	switch {
	case dialect == SQLite && cfg.Isolation != sql.LevelDefault && cfg.Isolation != sql.LevelSerializable:
		panic(fmt.Sprintf("sqlinbox: WithIsolation: SQLite has no level %v", cfg.Isolation))
	case dialect == SQLite:
		database = newSQLiteDatabase(db, !cfg.NoSync)
	case cfg.NoSync:
		panic("sqlinbox: WithoutSync: only for SQLite: elsewhere it is a setting of the server")
	case dialect == MySQL && !mysqlHas(cfg.Isolation):
		panic(fmt.Sprintf("sqlinbox: WithIsolation: MySQL has no level %v", cfg.Isolation))
	case dialect == MySQL:
		database = &mysqlDatabase{db: db, isolation: cfg.Isolation}
	}
	in, err := core.New(database, d, cfg)
	if err != nil {
		panic("sqlinbox: " + err.Error())
	}
	return &Inbox{in}
}

func coreOptions(opts []Option) []core.Option {
	all := make([]core.Option, len(opts))
	for i, opt := range opts {
		all[i] = opt
	}
	return all
}

// Wrap gives a handler that calls next once for each event, inside a transaction that [Tx] gives,
// as the package documentation says. For an event that was handled before it returns
// [ittybit.ErrAlreadyHandled], which a [ittybit.WebhookHandler] answers with 200. A nil next
// panics. What it returns must not be called inside itself, nor inside another Inbox of the same
// table and name, nor in SQLite of the same database: it would wait for itself, and gives an error
// instead.
func (in *Inbox) Wrap(next ittybit.EventHandler) ittybit.EventHandler {
	if next == nil {
		panic("sqlinbox: Wrap: nil handler")
	}
	return in.core.Wrap(next)
}

// Tx gives the transaction that the handler runs in: what it writes with it is kept
// exactly if the event is. The handler must not commit it or roll it back, nor use it after it
// returned. Pass ctx to its methods too, so that a slow statement ends in time.
//
// Outside a handler that [Inbox.Wrap] made, or [Inbox.Replay] called, Tx panics: it is a mistake in
// the program, which should show at the first event, and not as a write that nothing protects.
func Tx(ctx context.Context) *sql.Tx {
	tx, ok := core.TxValue(ctx).(*sql.Tx)
	if !ok {
		panic("sqlinbox: Tx: the context is not that of a handler which Inbox.Wrap or Inbox.Replay called")
	}
	return tx
}

// Schema gives the statements that make the table and its indexes where they are missing,
// for those who keep migrations of their own.
func (in *Inbox) Schema() string { return in.core.Schema() }

// Migrate makes the table and its indexes if they are missing, and adds what a table of an earlier
// version lacks. Each process may call it at its start, many of them at once. Where all is there
// already, it locks nothing, and needs no right to make tables. In Postgres a table without a
// schema in its name is looked for, and made, by the search_path.
func (in *Inbox) Migrate(ctx context.Context) error { return in.core.Migrate(ctx) }

// Check finds what would make deliveries fail, or an event that was acknowledged be lost, and says
// what to do about each: call it at start-up, after [Inbox.Migrate]. In Postgres these are a
// missing or earlier table, missing rights, a read-only server, a pooler in transaction mode where
// named prepared statements fail, synchronous_commit or fsync being off, an encoding other than
// UTF8, and timeouts below [ittybit.DefaultProcessingTimeout]. In MySQL they are the table, its
// engine and the types of its keys, tables of the same database whose engine has no transactions,
// rights, a read-only server, innodb_flush_log_at_trx_commit and sync_binlog, sql_mode, the
// isolation level, autocommit, the character set, timeouts and max_allowed_packet. In SQLite they
// are the table, a file that can't be written, a database in memory, a journal that does not
// survive a crash, a PRAGMA synchronous that can't be raised, and a version before 3.35. The error
// joins one for each problem.
//
// It opens two connections of its own in Postgres, one after the other, and writes nothing.
func (in *Inbox) Check(ctx context.Context) error { return in.core.Check(ctx) }

// MinPruneAge is the least that [Inbox.Prune] leaves. Ittybit does not say for how long it
// delivers again.
const MinPruneAge = core.MinPruneAge

// Prune forgets the events of this endpoint that were received longer ago than olderThan,
// and gives how many they were. It deletes 1,000 in a transaction, so that it holds no lock
// for long, and may run on several replicas at once.
//
// An event that is delivered again after it was forgotten is handled again, so that less than
// [MinPruneAge] is refused with an [*ittybit.ParamError]. It must also be longer than the
// [ittybit.WithTolerance] of the receiver lets a delivery be repeated. Payloads may go sooner:
// set them to NULL, by received_at. With any other error, what was deleted before it stays
// deleted, and is counted.
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
