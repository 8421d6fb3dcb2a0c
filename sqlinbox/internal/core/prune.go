package core

import (
	"context"
	"fmt"
	"time"

	"github.com/ittybit/ittybit-go"
)

// MinPruneAge is the least that Prune leaves.
const MinPruneAge = 30 * 24 * time.Hour

// pruneBatch is how many rows one statement of Prune deletes.
const pruneBatch = 1000

// Prune deletes the rows of events that were received longer ago than olderThan.
func (in *Inbox) Prune(ctx context.Context, olderThan time.Duration) (int64, error) {
	if olderThan < MinPruneAge {
		return 0, &ittybit.ParamError{Param: "olderThan", Reason: fmt.Sprintf("must be at least %v", MinPruneAge)}
	}
	before := in.dialect.time(time.Now().Add(-olderThan))
	statement := Statement{SQL: in.sql.prune, Args: []any{in.cfg.Name, before, pruneBatch}}
	for all := int64(0); ; {
		var batch int64
		err := in.transact(ctx, func() Statement { return statement }, func(_ Tx, rows int64) error {
			batch = rows
			return nil
		})
		if err != nil {
			return all, in.explain(err)
		}
		all += batch
		if batch < pruneBatch {
			return all, nil
		}
	}
}
