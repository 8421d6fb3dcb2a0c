package sqlinbox

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/ittybit/ittybit-go/sqlinbox/internal/core"
)

// sqlDatabase is a database with many writers, over database/sql.
type sqlDatabase struct {
	db        *sql.DB
	isolation sql.IsolationLevel
	verifies  bool // its transactions: see there
}

func newSQLDatabase(db *sql.DB, isolation sql.IsolationLevel) *sqlDatabase {
	return &sqlDatabase{db, isolation, !reportsRollback(db.Driver())}
}

func (d *sqlDatabase) Pool() any { return d.db }

// Begin implements [core.Database].
func (d *sqlDatabase) Begin(ctx context.Context, first func() core.Statement) (core.Tx, int64, error) {
	t := &transaction{verifies: d.verifies}
	rows, err := t.begin(ctx, d.db, &sql.TxOptions{Isolation: d.isolation}, first)
	return t, rows, err
}

// reportsRollback reports whether the driver's Commit is known to fail where PostgreSQL rolls back,
// because a statement has failed. That of bun's pgdriver does not; a wrapped driver is not known.
func reportsRollback(d driver.Driver) bool {
	t := reflect.TypeOf(d)
	if t == nil { // a connector may name none
		return false
	}
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t.PkgPath() == "github.com/jackc/pgx/v5/stdlib" || t.PkgPath() == "github.com/lib/pq"
}

// Query implements [core.Database].
func (d *sqlDatabase) Query(ctx context.Context, s core.Statement, scan func(core.Row) error) error {
	return query(ctx, d.db, s, scan)
}

// ProbeStatements implements [core.Database].
func (d *sqlDatabase) ProbeStatements(ctx context.Context) error {
	for range 2 {
		conn, err := d.db.Conn(ctx)
		if err != nil {
			return core.WithCause(ctx, err)
		}
		var text string
		err = conn.QueryRowContext(ctx, "SELECT $1::text /* sqlinbox.Check */", "x").Scan(&text)
		dropConnection(conn)
		if err != nil {
			return core.WithCause(ctx, err)
		}
	}
	return nil
}

// dropConnection closes the connection itself, which the pool would otherwise use again.
func dropConnection(conn *sql.Conn) {
	_ = conn.Raw(func(any) error { return driver.ErrBadConn })
	_ = conn.Close() // it is closed
}

// querier is a *sql.DB, *sql.Conn or *sql.Tx.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

func query(ctx context.Context, from querier, s core.Statement, scan func(core.Row) error) (err error) {
	rows, err := from.QueryContext(ctx, s.SQL, s.Args...)
	if err != nil {
		return core.WithCause(ctx, err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
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

// transaction is a transaction that its first statement was run in.
type transaction struct {
	tx       *sql.Tx
	cancel   context.CancelFunc // ends its context, and so the transaction
	prepared map[string]*sql.Stmt
	ended    bool
	// verifies says that Commit asks the server whether there is a transaction to commit.
	verifies bool
	// mayHang says that the driver's Commit and Rollback end with no context.
	mayHang bool
	// hanging gives what one of them gives at last, where that was not waited for.
	hanging <-chan error
}

// beginner is a *sql.DB or *sql.Conn.
type beginner interface {
	BeginTx(ctx context.Context, opts *sql.TxOptions) (*sql.Tx, error)
}

// begin begins a transaction and runs its first statement. Up to there all ends with ctx; from
// there on the transaction outlives it.
func (t *transaction) begin(ctx context.Context, from beginner, opts *sql.TxOptions, first func() core.Statement) (int64, error) {
	txCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, cancel)
	tx, err := from.BeginTx(txCtx, opts)
	inTime := stop()
	if err != nil {
		cancel()
		return 0, core.Failed("beginning the transaction", core.WithCause(ctx, err))
	}
	t.tx, t.cancel = tx, cancel
	if !inTime {
		t.Close()
		return 0, core.Failed("beginning the transaction", context.Cause(ctx))
	}
	rows, err := t.Run(ctx, first())
	if err != nil {
		t.Close()
		return 0, core.Failed("running the first statement", err)
	}
	return rows, nil
}

func (t *transaction) Value() any { return t.tx }

// Run implements [core.Tx].
func (t *transaction) Run(ctx context.Context, s core.Statement) (int64, error) {
	switch {
	case s.SQL == "":
		return 0, nil
	case s.Into != nil:
		err := t.tx.QueryRowContext(ctx, s.SQL, s.Args...).Scan(s.Into...)
		if errors.Is(err, sql.ErrNoRows) {
			return 0, nil
		}
		if err != nil {
			return 0, core.WithCause(ctx, err)
		}
		return 1, nil
	}
	result, err := t.exec(ctx, s)
	if err != nil {
		return 0, core.WithCause(ctx, err)
	}
	return result.RowsAffected()
}

// exec prepares a statement that is run again. The end of the transaction closes it.
func (t *transaction) exec(ctx context.Context, s core.Statement) (_ sql.Result, err error) {
	if !s.Again {
		return t.tx.ExecContext(ctx, s.SQL, s.Args...)
	}
	statement := t.prepared[s.SQL]
	if statement == nil {
		if statement, err = t.tx.PrepareContext(ctx, s.SQL); err != nil {
			return nil, err
		}
		if t.prepared == nil {
			t.prepared = make(map[string]*sql.Stmt)
		}
		t.prepared[s.SQL] = statement
	}
	result, err := statement.ExecContext(ctx, s.Args...)
	if err != nil && strings.HasPrefix(err.Error(), "sql: expected ") {
		// go-libsql says of prepared statements that they have no parameters $1, and database/sql,
		// which counts, does not call it.
		return t.tx.ExecContext(ctx, s.SQL, s.Args...)
	}
	return result, err
}

// Commit implements [core.Tx].
func (t *transaction) Commit() error {
	if t.verifies {
		ctx, cancel := context.WithTimeout(context.Background(), core.CleanupTimeout)
		defer cancel()
		// It fails in a transaction that has failed, and outside of one.
		if _, err := t.tx.ExecContext(ctx, "SAVEPOINT sqlinbox_commit"); err != nil {
			return core.Failed("committing", err)
		}
	}
	t.ended = true
	if err := t.end(t.tx.Commit); err != nil {
		return core.Failed("committing", err)
	}
	return nil
}

// Rollback implements [core.Tx].
func (t *transaction) Rollback() error {
	if t.ended {
		return nil
	}
	t.ended = true
	if err := t.end(t.tx.Rollback); !errors.Is(err, sql.ErrTxDone) { // which a handler may have ended itself
		return err
	}
	return nil
}

// end commits or rolls back, within CleanupTimeout.
func (t *transaction) end(by func() error) error {
	defer time.AfterFunc(core.CleanupTimeout, t.cancel).Stop()
	if !t.mayHang {
		return by()
	}
	done := make(chan error, 1)
	go func() { done <- by() }()
	timer := time.NewTimer(core.CleanupTimeout)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-timer.C:
		t.hanging = done
		return fmt.Errorf("no response within %v: %w", core.CleanupTimeout, context.DeadlineExceeded)
	}
}

// Close implements [core.Tx].
func (t *transaction) Close() {
	_ = t.Rollback() // what was not committed is gone either way
	t.cancel()
}
