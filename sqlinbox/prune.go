package sqlinbox

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/ittybit/ittybit-go"
)

// MinPruneAge is the least that [Inbox.Prune] leaves. Ittybit does not say for how long it
// delivers again.
const MinPruneAge = 30 * 24 * time.Hour

// pruneBatch is how many rows one statement of Prune deletes.
const pruneBatch = 1000

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
	if olderThan < MinPruneAge {
		return 0, &ittybit.ParamError{Param: "olderThan", Reason: fmt.Sprintf("must be at least %v", MinPruneAge)}
	}
	before := in.dialect.time(time.Now().Add(-olderThan))
	//nolint:gosec // New has checked the table's name
	query := "DELETE FROM " + in.table + " WHERE rowid IN (SELECT rowid FROM " + in.table +
		" WHERE name = $1 AND received_at < $2 ORDER BY received_at LIMIT $3)"
	if in.dialect == Postgres { // it leaves out what another replica deletes, or Replay handles
		query = "DELETE FROM " + in.table + " WHERE ctid = ANY (ARRAY(SELECT ctid FROM " + in.table +
			" WHERE name = $1 AND received_at < $2 ORDER BY received_at LIMIT $3 FOR UPDATE SKIP LOCKED))"
	}
	var all int64
	for {
		var batch int64
		err := in.transact(ctx, func(ctx context.Context, tx *sql.Tx) error {
			result, err := tx.ExecContext(ctx, query, in.cfg.name, before, pruneBatch)
			if err == nil {
				batch, err = result.RowsAffected()
			}
			if err != nil {
				return failed("deleting old events", because(ctx, err))
			}
			return nil
		}, func(context.Context, *sql.Tx) error { return nil })
		if err != nil {
			return all, err
		}
		all += batch
		if batch < pruneBatch {
			return all, nil
		}
	}
}
