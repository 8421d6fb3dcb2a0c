package pgxinbox

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
)

var errNotYours = errors.New("pgxinbox: do not call Commit: return nil and the transaction is committed")

// handlerTx is the transaction as handlers see it: the inbox commits it.
type handlerTx struct {
	pgx.Tx

	rolledBack bool
}

// Commit commits nothing: the inbox does.
func (*handlerTx) Commit(context.Context) error { return errNotYours }

// Rollback implements [pgx.Tx].
func (t *handlerTx) Rollback(ctx context.Context) error {
	err := t.Tx.Rollback(ctx)
	t.rolledBack = t.rolledBack || !errors.Is(err, pgx.ErrTxClosed)
	return err
}
