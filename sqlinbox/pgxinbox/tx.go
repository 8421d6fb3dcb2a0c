package pgxinbox

import (
	"context"
	"errors"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

var (
	errNotYours    = errors.New("pgxinbox: do not call Commit: return nil and the transaction is committed")
	errBeginInside = errors.New("pgxinbox: Batch.BeginTx can't be used within the transaction of Tx")
)

// handlerTx is the transaction as handlers see it. It is none of pgx's own, which begin with a
// round trip.
type handlerTx struct {
	conn       *pgx.Conn
	savepoints pgx.Tx // pgx's own, for savepoints and large objects; nil until one is asked for
	closed     bool
	rolledBack bool
}

var _ pgx.Tx = (*handlerTx)(nil)

func (t *handlerTx) err() error {
	if t.closed || t.rolledBack {
		return pgx.ErrTxClosed
	}
	return nil
}

// own gives a transaction of pgx's on the connection, which is in one already: what it begins with
// does nothing.
func (t *handlerTx) own(ctx context.Context) (pgx.Tx, error) {
	if err := t.err(); err != nil {
		return nil, err
	}
	if t.savepoints == nil {
		tx, err := t.conn.BeginTx(ctx, pgx.TxOptions{BeginQuery: "SELECT 1"})
		if err != nil {
			return nil, err
		}
		t.savepoints = tx
	}
	return t.savepoints, nil
}

// Begin sets a savepoint.
func (t *handlerTx) Begin(ctx context.Context) (pgx.Tx, error) {
	tx, err := t.own(ctx)
	if err != nil {
		return nil, err
	}
	return tx.Begin(ctx)
}

// LargeObjects implements [pgx.Tx].
func (t *handlerTx) LargeObjects() pgx.LargeObjects {
	tx, err := t.own(context.Background())
	if err != nil {
		failing := new(pgx.Batch)
		failing.BeginTx(pgx.TxOptions{})
		tx = pgx.FailedBatchResults(failing, err).Tx() // its methods give errors
	}
	return tx.LargeObjects()
}

// Commit commits nothing: the inbox does.
func (*handlerTx) Commit(context.Context) error { return errNotYours }

// Rollback implements [pgx.Tx].
func (t *handlerTx) Rollback(ctx context.Context) error {
	if err := t.err(); err != nil {
		return err
	}
	t.rolledBack = true
	_, err := t.conn.Exec(ctx, "ROLLBACK", pgx.QueryExecModeSimpleProtocol)
	return err
}

// CopyFrom implements [pgx.Tx].
func (t *handlerTx) CopyFrom(ctx context.Context, table pgx.Identifier, columns []string, rows pgx.CopyFromSource) (int64, error) {
	if err := t.err(); err != nil {
		return 0, err
	}
	return t.conn.CopyFrom(ctx, table, columns, rows)
}

// SendBatch implements [pgx.Tx].
func (t *handlerTx) SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults {
	if err := t.err(); err != nil {
		return pgx.FailedBatchResults(b, err)
	}
	if len(b.QueuedQueries) > 0 && strings.HasPrefix(strings.ToLower(b.QueuedQueries[0].SQL), "begin") {
		return pgx.FailedBatchResults(b, errBeginInside)
	}
	return t.conn.SendBatch(ctx, b)
}

// Prepare implements [pgx.Tx].
func (t *handlerTx) Prepare(ctx context.Context, name, query string) (*pgconn.StatementDescription, error) {
	if err := t.err(); err != nil {
		return nil, err
	}
	return t.conn.Prepare(ctx, name, query)
}

// Exec implements [pgx.Tx].
func (t *handlerTx) Exec(ctx context.Context, query string, args ...any) (pgconn.CommandTag, error) {
	if err := t.err(); err != nil {
		return pgconn.CommandTag{}, err
	}
	return t.conn.Exec(ctx, query, args...)
}

// Query implements [pgx.Tx].
func (t *handlerTx) Query(ctx context.Context, query string, args ...any) (pgx.Rows, error) {
	if err := t.err(); err != nil {
		return pgx.FailedBatchResults(new(pgx.Batch), err).Query()
	}
	return t.conn.Query(ctx, query, args...)
}

// QueryRow implements [pgx.Tx].
func (t *handlerTx) QueryRow(ctx context.Context, query string, args ...any) pgx.Row {
	if err := t.err(); err != nil {
		return pgx.FailedBatchResults(new(pgx.Batch), err).QueryRow()
	}
	return t.conn.QueryRow(ctx, query, args...)
}

// Conn implements [pgx.Tx].
func (t *handlerTx) Conn() *pgx.Conn { return t.conn }
