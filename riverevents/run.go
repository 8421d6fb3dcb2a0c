package riverevents

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"

	"github.com/ittybit/ittybit-go"
)

// OutcomeStale is the outcome of an event that was skipped because a newer one of the same
// task was handled before.
const OutcomeStale ittybit.Outcome = "stale"

// ErrStale is what [Tx] gives where a newer event of the same task was handled while the
// handler ran. It matches [ittybit.ErrAlreadyHandled], too.
var ErrStale = fmt.Errorf("riverevents: a newer event of the same task was handled before: %w", ittybit.ErrAlreadyHandled)

var (
	errNoRun      = errors.New("riverevents: Tx works only in a handler called by Worker, and only until it returns")
	errNotYours   = errors.New("riverevents: do not call Commit: return nil and the transaction is committed")
	errRolledBack = errors.New("riverevents: the handler rolled back the transaction of Tx, but returned no error")
)

// runKey is the context key of the run that a handler is called in.
type runKey struct{}

// Tx gives the transaction in which what a handler writes is committed together with the mark
// that the event was handled and the completion of its job, when the handler has returned
// nil; otherwise it is rolled back. It is begun when Tx is first called, so that a handler may
// work for long before and hold nothing; later calls give the same one.
//
// It begins by locking the event's row and that of its task. Where another run of the same
// event commits first, the error matches [ittybit.ErrAlreadyHandled], and where a newer event
// of the same task does, [ErrStale]: return it. The job then ends quietly, whatever is
// returned. While another run holds the locks, Tx waits until ctx ends.
//
// The transaction is for one goroutine at a time. Its Commit gives an error; its Rollback rolls
// back, and the handler must then return an error, too. Savepoints (its Begin, pgx.BeginFunc)
// are free to use, and so is River's InsertTx. Elsewhere than in a handler called by
// [Worker], Tx gives an error. It does not panic there, as sqlinbox.Tx does, for it has errors
// to give in any case.
func Tx(ctx context.Context) (pgx.Tx, error) {
	r, ok := ctx.Value(runKey{}).(*run)
	if !ok {
		return nil, errNoRun
	}
	return r.handlerTx(ctx)
}

// JobFromContext gives the job that a handler is called for, with its arguments, its attempt and
// its row. It reports false elsewhere than in a handler called by [Worker].
func JobFromContext(ctx context.Context) (*river.Job[Args], bool) {
	r, ok := ctx.Value(runKey{}).(*run)
	if !ok {
		return nil, false
	}
	return r.job, true
}

// run is one attempt to handle an event.
type run struct {
	worker  *worker
	client  *river.Client[pgx.Tx]
	tables  tables
	job     *river.Job[Args]
	key     string // of the event, in its table
	subject string // empty: without order
	state   subjectState
	kept    string // of the subject, as it was loaded

	mu         sync.Mutex
	tx         pgx.Tx // nil until Tx was called
	rolledBack bool   // by the handler
	closed     bool
	skip       error        // why the event is not to be handled: ErrAlreadyHandled or ErrStale
	newest     subjectState // as read under the lock
	hasNewest  bool
}

// loadState finds out, without a lock, whether the event is to be handled, and sets skip where it
// is not. Its error is the database's.
func (r *run) loadState(ctx context.Context) error {
	l, err := r.worker.loads.do(ctx, r)
	if err != nil {
		return err
	}
	if l.kept != nil {
		r.kept = *l.kept
	}
	r.decideSkip(l.outcome, l.kept)
	return nil
}

// decideSkip sets skip where an event with this outcome, about a subject in this state, is not to
// be handled. One that was discarded may be, if somebody has its job tried again: nothing of it was
// written.
func (r *run) decideSkip(outcome, kept *string) {
	if outcome != nil && *outcome != string(ittybit.OutcomeDiscarded) {
		r.skip = ittybit.ErrAlreadyHandled
		return
	}
	if r.subject == "" || kept == nil {
		return
	}
	r.newest, r.hasNewest = stateFrom(*kept)
	if r.hasNewest && r.newest.supersedes(r.state) {
		r.skip = ErrStale
	}
}

// handlerTx begins the transaction, or gives the one that was begun.
func (r *run) handlerTx(ctx context.Context) (pgx.Tx, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.closed:
		return nil, errNoRun
	case r.skip != nil:
		return nil, r.skip
	case r.tx != nil:
		return &handlersTx{Tx: r.tx, run: r}, nil
	}
	tx, err := r.lock(ctx)
	if err != nil {
		return nil, err
	}
	if r.skip != nil {
		rollback(ctx, tx)
		return nil, r.skip
	}
	r.tx = tx
	return &handlersTx{Tx: tx, run: r}, nil
}

// lock begins a transaction that holds the locks on the event and its subject, and decides
// by what it finds whether the event is to be handled.
func (r *run) lock(ctx context.Context) (_ pgx.Tx, err error) {
	tx, err := begin(ctx, r.client)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			rollback(ctx, tx)
		}
	}()
	outcome, kept, err := r.lockRows(ctx, tx)
	if errors.Is(err, pgx.ErrNoRows) { // it was pruned while its job waited
		if _, err = tx.Exec(ctx, r.tables.insertEvent, r.job.Args.Name, r.key); err == nil {
			outcome, kept, err = r.lockRows(ctx, tx)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("riverevents: locking the event: %w", err)
	}
	r.decideSkip(outcome, kept)
	return tx, nil
}

// lockRows locks the event's row, then its subject's: always in this order.
func (r *run) lockRows(ctx context.Context, tx pgx.Tx) (outcome, kept *string, err error) {
	batch := new(pgx.Batch)
	batch.Queue(r.tables.lockEvent, r.job.Args.Name, r.key)
	if r.subject != "" {
		batch.Queue(r.tables.lockSubject, r.job.Args.Name, r.subject)
	}
	results := tx.SendBatch(ctx, batch)
	defer func() { err = errors.Join(err, results.Close()) }()
	if err := results.QueryRow().Scan(&outcome); err != nil {
		return nil, nil, err
	}
	if r.subject != "" {
		kept = new(string)
		if err := results.QueryRow().Scan(kept); err != nil {
			return nil, nil, err
		}
	}
	return outcome, kept, nil
}

// settle marks the event: in the handler's transaction, if there is one, together with the
// completion of its job, and otherwise together with events whose handlers end at the same time. It
// sees to it that a run that is too late writes nothing.
func (r *run) settle(ctx context.Context, outcome ittybit.Outcome) error {
	ctx, cancel := cleanupContext(ctx)
	defer cancel()
	tx, rolledBack := r.takeTx()
	switch {
	case rolledBack && outcome == ittybit.OutcomeHandled:
		return errRolledBack
	case tx != nil:
		defer rollback(ctx, tx)
		return r.settleIn(ctx, tx, outcome)
	}
	marked, err := r.worker.marks.do(ctx, mark{r, outcome})
	if err == nil && !marked {
		_, err = markLocked(ctx, mark{r, outcome})
	}
	return err
}

// settleIn commits the transaction with the mark and the job's completion. A job whose event was
// discarded has no such transaction.
func (r *run) settleIn(ctx context.Context, tx pgx.Tx, outcome ittybit.Outcome) error {
	if err := r.mark(ctx, tx, outcome); err != nil {
		return err
	}
	// A job that was rescued meanwhile is not "running", and runs once more in vain. One whose
	// row is gone can't be completed, and the event was handled all the same.
	_, err := river.JobCompleteTx[*riverpgxv5.Driver](ctx, tx, r.job)
	if err != nil && !errors.Is(err, rivertype.ErrNotFound) {
		return fmt.Errorf("completing the job: %w", err)
	}
	return tx.Commit(ctx)
}

// isDuplicate reports whether another run has handled the event.
func isDuplicate(skip error) bool {
	return errors.Is(skip, ittybit.ErrAlreadyHandled) && !errors.Is(skip, ErrStale)
}

// mark writes what became of the event, and its state where it is the newest that was handled.
func (r *run) mark(ctx context.Context, tx pgx.Tx, outcome ittybit.Outcome) error {
	batch := new(pgx.Batch)
	batch.Queue(r.tables.settleEvent, r.job.Args.Name, r.key, string(outcome))
	newer := !r.hasNewest || r.state.supersedes(r.newest)
	if outcome == ittybit.OutcomeHandled && r.subject != "" && newer {
		batch.Queue(r.tables.settleSubject, r.job.Args.Name, r.subject, r.state.String())
	}
	return tx.SendBatch(ctx, batch).Close()
}

// takeTx ends the handler's part: from now on its transaction, if there is one, is not to be had.
func (r *run) takeTx() (tx pgx.Tx, rolledBack bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	tx, r.tx, r.closed = r.tx, nil, true
	return tx, r.rolledBack
}

// abandon rolls back what the handler has written.
func (r *run) abandon(ctx context.Context) {
	if tx, _ := r.takeTx(); tx != nil {
		rollback(ctx, tx)
	}
}

// skipped gives why the event was not to be handled, or nil.
func (r *run) skipped() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.skip
}

// handlersTx is the transaction as handlers see it.
type handlersTx struct {
	pgx.Tx

	run *run
}

// Commit implements [pgx.Tx]. It commits nothing.
func (*handlersTx) Commit(context.Context) error { return errNotYours }

// Rollback implements [pgx.Tx].
func (t *handlersTx) Rollback(ctx context.Context) error {
	t.run.mu.Lock()
	defer t.run.mu.Unlock()
	if !t.run.closed {
		t.run.rolledBack = true
	}
	return t.Tx.Rollback(ctx)
}
