package riverevents

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
)

var errSkipped = errors.New("the job was skipped as a duplicate, though events are unique by their key")

// insert commits the key and the job. It reports whether they are new. The key comes first: a
// delivery of the same event at the same time then waits for this transaction, and sees its key.
func (q *enqueuer) insert(ctx context.Context, args Args) (inserted bool, err error) {
	tx, err := begin(ctx, q.client)
	if err != nil {
		return false, err
	}
	defer rollback(ctx, tx)
	keys, err := tx.Exec(ctx, q.tables.insertEvent, args.Name, args.Key)
	if err != nil || keys.RowsAffected() == 0 {
		return false, err
	}
	opts := q.opts
	job, err := q.client.InsertTx(ctx, tx, args, &opts)
	switch {
	case err != nil && ctx.Err() == nil && txUsable(tx):
		return false, &refusedError{err}
	case err != nil:
		return false, err
	case job.UniqueSkippedAsDuplicate:
		return false, &refusedError{errSkipped}
	}
	return true, tx.Commit(ctx)
}

// insertMany commits the keys and the jobs of several events at once, each key and job once. For
// any error, each event is inserted by itself afterwards.
func (q *enqueuer) insertMany(ctx context.Context, all []Args) (inserted []bool, err error) {
	tx, err := begin(ctx, q.client)
	if err != nil {
		return nil, err
	}
	defer func() { _ = tx.Rollback(ctx) }() // in the batch's time: those who wait have no more
	isNew, err := q.insertKeys(ctx, tx, all)
	if err != nil {
		return nil, err
	}
	opts := q.opts
	inserted = make([]bool, len(all))
	var jobs []river.InsertManyParams
	for i, args := range all {
		if inserted[i] = isNew[args.Key]; inserted[i] {
			isNew[args.Key] = false // for the same event again
			jobs = append(jobs, river.InsertManyParams{Args: args, InsertOpts: &opts})
		}
	}
	if len(jobs) == 0 {
		return inserted, nil
	}
	results, err := q.client.InsertManyTx(ctx, tx, jobs)
	if err != nil {
		return nil, err
	}
	if len(results) != len(jobs) {
		return nil, fmt.Errorf("got %d results for %d jobs", len(results), len(jobs))
	}
	for _, result := range results {
		if result.UniqueSkippedAsDuplicate {
			return nil, errSkipped
		}
	}
	return inserted, tx.Commit(ctx)
}

// insertKeys gives those that were not there yet.
func (q *enqueuer) insertKeys(ctx context.Context, tx pgx.Tx, all []Args) (isNew map[string]bool, err error) {
	keys := make([]string, len(all))
	for i, args := range all {
		keys[i] = args.Key
	}
	batch := new(pgx.Batch)
	batch.Queue(setLockTimeout, lockTimeout)
	batch.Queue(q.tables.insertEvents, q.name, keys)
	results := tx.SendBatch(ctx, batch)
	defer func() { err = errors.Join(err, results.Close()) }()
	if _, err := results.Exec(); err != nil {
		return nil, err
	}
	rows, err := results.Query()
	if err != nil {
		return nil, err
	}
	added, err := pgx.CollectRows(rows, pgx.RowTo[string])
	isNew = make(map[string]bool, len(added))
	for _, key := range added {
		isNew[key] = true
	}
	return isNew, err
}
