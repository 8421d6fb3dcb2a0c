package pgxinbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/ittybit/ittybit-go/sqlinbox/internal/core"
)

// database runs the inbox's statements in a pool. None of them has a name on the server.
type database struct {
	pool  *pgxpool.Pool
	begin string
}

func beginStatement(level sql.IsolationLevel) string {
	switch level {
	case sql.LevelDefault:
		return "BEGIN"
	case sql.LevelReadUncommitted, sql.LevelReadCommitted:
		return "BEGIN ISOLATION LEVEL READ COMMITTED"
	case sql.LevelRepeatableRead, sql.LevelSnapshot:
		return "BEGIN ISOLATION LEVEL REPEATABLE READ"
	case sql.LevelSerializable:
		return "BEGIN ISOLATION LEVEL SERIALIZABLE"
	}
	panic(fmt.Sprintf("pgxinbox: WithIsolation: PostgreSQL has no level %v", level))
}

func (d *database) Pool() any { return d.pool }

// Query implements [core.Database].
func (d *database) Query(ctx context.Context, s core.Statement, scan func(core.Row) error) error {
	rows, err := d.pool.Query(ctx, s.SQL, unnamed(s.Args)...)
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

// unnamed gives the arguments of a statement that is sent together with them.
func unnamed(args []any) []any { return append([]any{pgx.QueryExecModeExec}, args...) }

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
		t := &transaction{conn: conn, handler: &handlerTx{conn: conn.Conn()}}
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
	conn    *pgxpool.Conn
	handler *handlerTx
	ended   bool
}

func (t *transaction) Value() any { return t.handler }

// start begins the transaction and runs its first statement, in one round trip where no row is
// asked for.
func (t *transaction) start(ctx context.Context, begin string, s core.Statement) (int64, error) {
	if s.SQL == "" || s.Into != nil {
		if _, err := t.conn.Exec(ctx, begin, pgx.QueryExecModeSimpleProtocol); err != nil {
			return 0, err
		}
		return t.Run(ctx, s)
	}
	values, formats, err := encode(s.Args)
	if err != nil {
		return 0, err
	}
	batch := new(pgconn.Batch)
	batch.ExecParams(begin, nil, nil, nil, nil)
	batch.ExecParams(s.SQL, values, nil, formats, nil)
	results, err := t.conn.Conn().PgConn().ExecBatch(ctx, batch).ReadAll()
	if err != nil {
		return 0, err
	}
	return results[len(results)-1].CommandTag.RowsAffected(), nil
}

// encode gives arguments as PostgreSQL takes them without being asked for their types.
func encode(args []any) (values [][]byte, formats []int16, err error) {
	for _, arg := range args {
		format := int16(pgx.TextFormatCode)
		var value []byte
		switch v := arg.(type) {
		case nil:
		case string:
			value = []byte(v)
		case []byte:
			value, format = v, pgx.BinaryFormatCode
		case time.Time:
			value = []byte(v.Format("2006-01-02 15:04:05.999999Z07:00"))
		case int, int64:
			value = fmt.Append(nil, v)
		default:
			return nil, nil, fmt.Errorf("pgxinbox: no encoding for %T", arg)
		}
		values, formats = append(values, value), append(formats, format)
	}
	return values, formats, nil
}

// Run implements [core.Tx].
func (t *transaction) Run(ctx context.Context, s core.Statement) (int64, error) {
	switch {
	case s.SQL == "":
		return 0, nil
	case s.Into != nil:
		err := t.conn.QueryRow(ctx, s.SQL, unnamed(s.Args)...).Scan(s.Into...)
		if errors.Is(err, pgx.ErrNoRows) {
			return 0, nil
		}
		if err != nil {
			return 0, core.WithCause(ctx, err)
		}
		return 1, nil
	}
	tag, err := t.conn.Exec(ctx, s.SQL, unnamed(s.Args)...)
	if err != nil {
		return 0, core.WithCause(ctx, err)
	}
	return tag.RowsAffected(), nil
}

var (
	errRolledBack = errors.New("pgxinbox: the handler rolled back the transaction of Tx, but returned no error")
	errEnded      = errors.New("pgxinbox: the handler ended the transaction of Tx by a statement of its own")
)

// Commit implements [core.Tx].
func (t *transaction) Commit() error {
	ctx, cancel := context.WithTimeout(context.Background(), core.CleanupTimeout)
	defer cancel()
	rolledBack := t.handler.rolledBack
	t.handler.closed, t.ended = true, true
	switch {
	case rolledBack:
		return core.Failed("committing", errRolledBack)
	case !t.conn.Conn().IsClosed() && t.conn.Conn().PgConn().TxStatus() == outsideTransaction:
		return core.Failed("committing", errEnded)
	}
	tag, err := t.conn.Exec(ctx, "COMMIT", pgx.QueryExecModeSimpleProtocol)
	if err == nil && tag.String() == "ROLLBACK" { // what PostgreSQL makes of it where a statement has failed
		err = pgx.ErrTxCommitRollback
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
	if t.ended {
		return nil
	}
	t.handler.closed, t.ended = true, true
	if t.handler.rolledBack {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), core.CleanupTimeout)
	defer cancel()
	_, err := t.conn.Exec(ctx, "ROLLBACK", pgx.QueryExecModeSimpleProtocol)
	return err
}

// Close implements [core.Tx].
func (t *transaction) Close() {
	_ = t.Rollback() // what was not committed is gone either way
	t.conn.Release() // which closes a connection that is still in a transaction
}
