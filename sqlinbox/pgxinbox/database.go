package pgxinbox

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/ittybit/ittybit-go/sqlinbox/internal/core"
)

// database runs the inbox's statements in a pool, in the pool's own mode.
type database struct {
	pool  *pgxpool.Pool
	begin pgx.TxOptions
}

func txOptions(level sql.IsolationLevel) pgx.TxOptions {
	switch level {
	case sql.LevelDefault:
		return pgx.TxOptions{}
	case sql.LevelReadUncommitted, sql.LevelReadCommitted:
		return pgx.TxOptions{IsoLevel: pgx.ReadCommitted}
	case sql.LevelRepeatableRead, sql.LevelSnapshot:
		return pgx.TxOptions{IsoLevel: pgx.RepeatableRead}
	case sql.LevelSerializable:
		return pgx.TxOptions{IsoLevel: pgx.Serializable}
	}
	panic(fmt.Sprintf("pgxinbox: WithIsolation: PostgreSQL has no level %v", level))
}

func (d *database) Pool() any { return d.pool }

// Query implements [core.Database].
func (d *database) Query(ctx context.Context, s core.Statement, scan func(core.Row) error) error {
	rows, err := d.pool.Query(ctx, s.SQL, s.Args...)
	if err != nil {
		return core.WithCause(ctx, err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return core.WithCause(ctx, err)
		}
	}
	if err := rows.Err(); err != nil {
		return core.WithCause(ctx, err)
	}
	return nil
}

// ProbeStatements implements [core.Database].
func (d *database) ProbeStatements(ctx context.Context) error {
	for range 2 {
		conn, err := d.pool.Acquire(ctx)
		if err != nil {
			return core.WithCause(ctx, err)
		}
		var text string
		err = conn.QueryRow(ctx, "SELECT $1::text /* pgxinbox.Check */", "x").Scan(&text)
		_ = conn.Hijack().Close(ctx)
		if err != nil {
			return core.WithCause(ctx, err)
		}
	}
	return nil
}

// maxStale is how often a transaction is begun anew where the pool gave a connection that was
// closed by the server.
const maxStale = 3

// Begin implements [core.Database].
func (d *database) Begin(ctx context.Context, first func() core.Statement) (core.Tx, int64, error) {
	for n := 1; ; n++ {
		conn, err := d.pool.Acquire(ctx)
		if err != nil {
			return nil, 0, core.Failed("getting a connection", core.WithCause(ctx, err))
		}
		t := &transaction{conn: conn}
		rows, err := t.start(ctx, d.begin, first())
		if err == nil {
			return t, rows, nil
		}
		stale := conn.Conn().IsClosed() && ctx.Err() == nil && n < maxStale // nothing of it is committed
		t.Close()                                                           //nolint:contextcheck // it must end also where ctx has ended
		if !stale {
			return nil, 0, core.Failed("beginning the transaction", core.WithCause(ctx, err))
		}
	}
}

// transaction is a transaction on a connection of the pool.
type transaction struct {
	conn  *pgxpool.Conn
	tx    handlerTx
	ended bool
}

func (t *transaction) Value() any { return &t.tx }

// start begins the transaction and runs its first statement, in one round trip.
func (t *transaction) start(ctx context.Context, begin pgx.TxOptions, s core.Statement) (rows int64, err error) {
	batch := new(pgx.Batch)
	batch.BeginTx(begin)
	if s.SQL != "" {
		batch.Queue(s.SQL, s.Args...)
	}
	results := t.conn.SendBatch(ctx, batch)
	t.tx.Tx = results.Tx()
	defer func() { err = cmp.Or(err, results.Close()) }()
	if _, err := results.Exec(); err != nil || s.SQL == "" {
		return 0, err
	}
	return result(s, results.Exec, results.QueryRow)
}

// Run implements [core.Tx].
func (t *transaction) Run(ctx context.Context, s core.Statement) (int64, error) {
	if s.SQL == "" {
		return 0, nil
	}
	rows, err := result(s,
		func() (pgconn.CommandTag, error) { return t.conn.Exec(ctx, s.SQL, s.Args...) },
		func() pgx.Row { return t.conn.QueryRow(ctx, s.SQL, s.Args...) })
	if err != nil {
		return 0, core.WithCause(ctx, err)
	}
	return rows, nil
}

// result gives what [core.Tx]'s Run does, from one of the two ways to run a statement.
func result(s core.Statement, exec func() (pgconn.CommandTag, error), queryRow func() pgx.Row) (int64, error) {
	if s.Into == nil {
		tag, err := exec()
		return tag.RowsAffected(), err
	}
	err := queryRow().Scan(s.Into...)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return 0, nil
	case err != nil:
		return 0, err
	}
	return 1, nil
}

var (
	errRolledBack = errors.New("pgxinbox: the handler rolled back the transaction of Tx, but returned no error")
	errEnded      = errors.New("pgxinbox: the handler ended the transaction of Tx by a statement of its own")
)

// Commit implements [core.Tx].
func (t *transaction) Commit() error {
	ctx, cancel := context.WithTimeout(context.Background(), core.CleanupTimeout)
	defer cancel()
	t.ended = true
	var err error
	switch {
	case t.tx.rolledBack:
		err = errRolledBack
	case !t.conn.Conn().IsClosed() && t.conn.Conn().PgConn().TxStatus() == outsideTransaction:
		err = errors.Join(errEnded, t.tx.Tx.Rollback(ctx))
	default:
		err = t.tx.Tx.Commit(ctx)
	}
	if err != nil {
		return core.Failed("committing", err)
	}
	return nil
}

// outsideTransaction is how PostgreSQL's protocol names a session that is in no transaction.
const outsideTransaction = 'I'

// Rollback implements [core.Tx].
func (t *transaction) Rollback() error {
	if t.ended || t.tx.rolledBack {
		return nil
	}
	t.ended = true
	ctx, cancel := context.WithTimeout(context.Background(), core.CleanupTimeout)
	defer cancel()
	return t.tx.Tx.Rollback(ctx)
}

// Close implements [core.Tx].
func (t *transaction) Close() {
	_ = t.Rollback() // what was not committed is gone either way
	t.conn.Release() // which closes a connection that is still in a transaction
}
