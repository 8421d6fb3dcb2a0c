package sqlinbox_test

import (
	"context"
	"database/sql/driver"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"modernc.org/sqlite"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/sqlinbox"
	"github.com/ittybit/ittybit-go/sqlinbox/internal/inboxtest"
)

// queue is deliveries that are under way at the same time, in a bubble of testing/synctest. A first
// one, of task 0, has the turn until release.
type queue struct {
	*bench

	driver  *inboxtest.Faulty
	grouped *sqlinbox.Inbox
	all     sync.WaitGroup
	leave   chan struct{}

	mu      sync.Mutex
	results []result
}

// result is how a delivery ended.
type result struct {
	task     int
	err      error
	panicked any
	returned bool
}

func (r result) acknowledged() bool {
	if !r.returned {
		return false
	}
	outcome, _ := ittybit.OutcomeOf(r.err)
	return outcome == ittybit.OutcomeHandled || outcome == ittybit.OutcomeDuplicate || outcome == ittybit.OutcomeDiscarded
}

func newQueue(t *testing.T, n int) *queue {
	t.Helper()
	e := sqliteEngine(t, walParameters+"&_pragma=foreign_keys(1)")
	db, faulty := inboxtest.OpenFaulty(sqlinbox.SQLite, "sqlite", e.source)
	t.Cleanup(func() { assert.NoError(t, db.Close()) })
	q := &queue{bench: newBench(t, e, db), driver: faulty, leave: make(chan struct{})}
	q.grouped = q.with(sqlinbox.WithGroupCommit(n))
	q.add(t, 0, effectAnd(func() error { <-q.leave; return nil }))
	return q
}

// add begins the delivery of a task, and waits until it waits for its turn.
func (q *queue) add(t *testing.T, n int, h ittybit.EventHandler) {
	ctx, event := t.Context(), task(t, n)
	handler := q.grouped.Wrap(h)
	q.all.Go(func() {
		r := result{task: n}
		defer func() {
			r.panicked = recover()
			q.mu.Lock()
			defer q.mu.Unlock()
			q.results = append(q.results, r)
		}()
		r.err = handler.HandleEvent(ctx, event)
		r.returned = true
	})
	synctest.Wait()
}

// release lets all of them go on, and waits for their ends. It gives their results by task.
func (q *queue) release() map[int][]result {
	close(q.leave)
	q.all.Wait()
	q.mu.Lock()
	defer q.mu.Unlock()
	all := map[int][]result{}
	for _, r := range q.results {
		all[r.task] = append(all[r.task], r)
	}
	return all
}

func TestWithGroupCommit_commitsWhatWaitsTogether(t *testing.T) {
	for n, commits := range map[int]int{1: 1 + 10, 4: 1 + 3, 64: 1 + 1} {
		synctest.Test(t, func(t *testing.T) {
			q := newQueue(t, n)
			for i := range 10 {
				q.add(t, 1+i%9, ittybit.EventHandlerFunc(effect)) // one is a repeat
			}
			q.driver.Fail(0, "")
			for number, results := range q.release() {
				for _, r := range results {
					assert.NoError(t, once(r.err), number)
					assert.True(t, r.acknowledged())
				}
			}
			_, got, _ := q.driver.Figures()
			if n == 1 {
				got++ // the repeat is rolled back
			}
			assert.Equal(t, commits, got, "groups of %d", n)
			assert.Equal(t, 10, q.effects(t))
			assert.Equal(t, 10, q.kept(t))
			q.idle(t)
		})
	}
}

// Each is answered after the commit, and runs in its own goroutine.
func TestWithGroupCommit_answersAfterTheCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(t, 8)
		hold := make(chan struct{})
		q.add(t, 1, ittybit.EventHandlerFunc(effect))
		q.add(t, 2, effectAnd(func() error { <-hold; return nil }))
		close(q.leave)
		synctest.Wait()
		q.mu.Lock()
		assert.Len(t, q.results, 1, "the first one, which was alone, is committed")
		q.mu.Unlock()
		close(hold)
		q.all.Wait()
		assert.Len(t, q.results, 3)
		assert.Equal(t, 3, q.effects(t))
	})
}

// hook is what the SQL function test_hook calls.
var hook atomic.Pointer[func()]

// registerHook is for connections that are opened afterwards.
var registerHook = sync.OnceFunc(func() {
	sqlite.MustRegisterScalarFunction("test_hook", 0, func(*sqlite.FunctionContext, []driver.Value) (driver.Value, error) {
		if f := hook.Load(); f != nil {
			(*f)()
		}
		return int64(1), nil
	})
})

// interrupted is a handler whose context ends inside a writing statement, at which SQLite rolls
// back everything by itself.
func interrupted(ctx context.Context, e *ittybit.Event) error {
	if err := effect(ctx, e); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	f := func() { cancel() }
	hook.Store(&f)
	_, err := sqlinbox.Tx(ctx).ExecContext(ctx, `WITH RECURSIVE n(i) AS (SELECT test_hook() UNION ALL SELECT i + 1 FROM n WHERE i < 1000000000)
		INSERT INTO effects SELECT i, 'never' FROM n`)
	return err
}

// executing runs statements whose errors it hides where hide says so.
func executing(hide bool, statements ...string) ittybit.EventHandler {
	return ittybit.EventHandlerFunc(func(ctx context.Context, e *ittybit.Event) error {
		if err := effect(ctx, e); err != nil {
			return err
		}
		for _, statement := range statements {
			if _, err := sqlinbox.Tx(ctx).ExecContext(ctx, statement); err != nil && !hide {
				return err
			}
		}
		return nil
	})
}

// lost says that a handler's mistake is not noticed where it runs alone.
const lost = "lost"

func TestWithGroupCommit_harmsNoNeighbour(t *testing.T) {
	for name, tt := range map[string]struct {
		bad     ittybit.EventHandler
		effects int    // of the bad one
		outcome string // its row's; empty: none
		runs    int32  // of the neighbour before it: 2 where SQLite, or the handler, ended the transaction
	}{
		"failed":    {effectAnd(func() error { return errNo }), 0, "", 1},
		"later":     {effectAnd(func() error { return ittybit.RetryLater(0, errNo) }), 0, "", 1},
		"panicked":  {effectAnd(func() error { panic("boom") }), 0, "", 1},
		"Goexit":    {effectAnd(func() error { runtime.Goexit(); return nil }), 0, "", 1},
		"discarded": {effectAnd(func() error { return ittybit.Discard(errNo) }), 0, "discarded", 1},
		"handled before, it says": {
			effectAnd(func() error { return ittybit.ErrAlreadyHandled }), 1, "handled", 1,
		},
		"a failed statement": {executing(false, "INSERT INTO no_such_table VALUES (1)"), 0, "", 1},
		"a failed statement that is hidden": {
			executing(true, "INSERT INTO no_such_table VALUES (1)"), 1, "handled", 1,
		},
		"interrupted":            {ittybit.EventHandlerFunc(interrupted), 0, "", 2},
		"a rollback by a clause": {executing(false, "INSERT OR ROLLBACK INTO parents VALUES (1)"), 0, "", 2},
		"the same, hidden":       {executing(true, "INSERT OR ROLLBACK INTO parents VALUES (1)"), 0, "", 2},
		"COMMIT":                 {executing(true, "COMMIT"), 1, "handled", 1}, // with it the neighbour is committed
		"COMMIT and BEGIN":       {executing(true, "COMMIT", "BEGIN"), 1, "handled", 1},
		"ROLLBACK":               {executing(true, "ROLLBACK"), 0, "", 2},
		// Alone, this mistake is taken for a success: a handler must not do so.
		"ROLLBACK and BEGIN":     {executing(true, "ROLLBACK", "BEGIN"), 0, lost, 2},
		"ROLLBACK and SAVEPOINT": {executing(true, "ROLLBACK", "SAVEPOINT mine"), 0, lost, 2},
		"Tx.Commit":              {effectAnd(func() error { return nil }), 1, "handled", 1},
		"savepoints of its own": {
			executing(false, "SAVEPOINT a", "SAVEPOINT b", "ROLLBACK TO a", "INSERT INTO parents VALUES (2)"), 1, "handled", 1,
		},
		"a constraint that fails at the commit": {executing(false, "INSERT INTO children VALUES (7)"), 0, "", 2},
		"rows that stay open": {ittybit.EventHandlerFunc(func(ctx context.Context, e *ittybit.Event) error {
			rows, err := sqlinbox.Tx(ctx).QueryContext(ctx, "SELECT id FROM parents") //nolint:rowserrcheck,sqlclosecheck // that is the mistake
			if err == nil && !rows.Next() {
				err = errNo
			}
			return errors.Join(err, effect(ctx, e))
		}), 1, "handled", 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := newQueueWithParents(t)
				var before, after atomic.Int32
				counting := func(n *atomic.Int32) ittybit.EventHandler {
					return effectAnd(func() error { n.Add(1); return nil })
				}
				q.add(t, 1, counting(&before))
				q.add(t, 2, tt.bad)
				q.add(t, 3, counting(&after))
				results := q.release()
				assert.NoError(t, once(results[1][0].err))
				assert.NoError(t, once(results[3][0].err))
				for _, n := range []int{0, 1, 3} {
					assert.Equal(t, 1, q.count(t, "SELECT count(*) FROM effects WHERE event_key = $1", task(t, n).Key()), n)
					assert.Equal(t, 1, q.count(t, "SELECT count(*) FROM ittybit_inbox WHERE event_key = $1 AND outcome = 'handled'", task(t, n).Key()), n)
				}
				assert.Equal(t, tt.effects, q.count(t, "SELECT count(*) FROM effects WHERE event_key = $1", task(t, 2).Key()))
				if tt.outcome != lost {
					assert.Equal(t, min(1, len(tt.outcome)), q.count(t, "SELECT count(*) FROM ittybit_inbox WHERE event_key = $1", task(t, 2).Key()))
					assert.Equal(t, min(1, len(tt.outcome)), q.count(t, "SELECT count(*) FROM ittybit_inbox WHERE event_key = $1 AND outcome = $2",
						task(t, 2).Key(), tt.outcome))
					assert.Equal(t, tt.outcome != "", results[2][0].acknowledged(), "%v", results[2][0].err)
				}
				assert.Equal(t, tt.runs, before.Load())
				assert.NotZero(t, after.Load())
				q.idle(t)
				require.NoError(t, once(q.grouped.Wrap(ittybit.EventHandlerFunc(effect)).HandleEvent(t.Context(), task(t, 2))))
			})
		})
	}
}

func newQueueWithParents(t *testing.T) *queue {
	registerHook()
	q := newQueue(t, 8)
	close(q.leave)
	q.all.Wait()
	for _, statement := range []string{
		"CREATE TABLE parents (id INTEGER PRIMARY KEY)", "INSERT INTO parents VALUES (1)",
		"CREATE TABLE children (parent INTEGER REFERENCES parents (id) DEFERRABLE INITIALLY DEFERRED)",
		"DELETE FROM effects", "DELETE FROM ittybit_inbox",
	} {
		_, err := q.db.ExecContext(t.Context(), statement)
		require.NoError(t, err)
	}
	q.results, q.leave = nil, make(chan struct{})
	q.add(t, 0, effectAnd(func() error { <-q.leave; return nil }))
	return q
}

func TestWithGroupCommit_whicheverCallOfTheDriverFails(t *testing.T) {
	inboxtest.TogetherOnSQLite(t, "sqlite", inboxtest.Sampled)
}
