package inboxtest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/internal/mariadbserver"
	"github.com/ittybit/ittybit-go/internal/pgserver"
	"github.com/ittybit/ittybit-go/sqlinbox"
	"github.com/ittybit/ittybit-go/sqlinbox/pgxinbox"
)

// faultsVariable, when it is "full", has tests run with every fault, whatever their extent.
const faultsVariable = "ITTYBIT_TEST_FAULTS"

// Extent says how many of the faults a test runs with.
type Extent int

// The extents. A fault is a call and how it fails.
const (
	Exhaustive Extent = 1  // every call fails in every way
	Sampled    Extent = 5  // one fault in five
	Few        Extent = 17 // one in seventeen
)

// faulty are deliveries one call of which fails.
type faulty struct {
	*bench

	first int // the number of the first task
	where string

	mu      sync.Mutex
	results map[int][]result // by task
}

// result is how a delivery ended.
type result struct {
	err      error
	panicked any
	returned bool
}

// acknowledged reports whether it is answered 200.
func (r result) acknowledged() bool {
	switch outcome, _ := ittybit.OutcomeOf(r.err); outcome {
	case ittybit.OutcomeHandled, ittybit.OutcomeDuplicate, ittybit.OutcomeDiscarded:
		return r.returned
	}
	return false
}

// once takes an event that was handled before for handled.
func once(err error) error {
	if errors.Is(err, ittybit.ErrAlreadyHandled) {
		return nil
	}
	return err
}

// The tasks of one round: 1 comes twice, 2 is discarded, and 3 panics.
var round = []int{0, 1, 1, 2, 3, 4}

const (
	tasks     = 5
	discards  = 2
	panics    = 3
	perRound  = 10 // numbers of tasks
	panicking = "boom"
)

// deliver handles one event, and notes how that ended.
func (f *faulty) deliver(ctx context.Context, inbox Inbox, event *ittybit.Event, n int) {
	var r result
	defer func() {
		r.panicked = recover()
		f.mu.Lock()
		defer f.mu.Unlock()
		f.results[n] = append(f.results[n], r)
	}()
	r.err = inbox.Wrap(f.effect(func(context.Context) error {
		switch n {
		case discards:
			return ittybit.Discard(errNo)
		case panics:
			panic(panicking)
		}
		return nil
	})).HandleEvent(ctx, event)
	r.returned = true
}

func (f *faulty) key(t *testing.T, n int) string { return task(t, f.first+n).Key() }

func (f *faulty) stored(t *testing.T, n int, outcome ittybit.Outcome) int {
	return f.count(t, "SELECT count(*) FROM ittybit_inbox WHERE event_key = $1 AND outcome = $2", f.key(t, n), string(outcome))
}

func (f *faulty) effectsOf(t *testing.T, n int) int {
	return f.count(t, "SELECT count(*) FROM effects WHERE event_key = $1", f.key(t, n))
}

// check asserts that what was acknowledged is committed, that nothing is committed twice, and that
// no more than so many deliveries come again.
func (f *faulty) check(t *testing.T, most int) {
	again := 0
	for n := range tasks {
		handled, discarded := f.stored(t, n, ittybit.OutcomeHandled), f.stored(t, n, ittybit.OutcomeDiscarded)
		require.LessOrEqual(t, handled+discarded, 1, "%s: task %d", f.where, n)
		require.Equal(t, handled, f.effectsOf(t, n), "%s: task %d", f.where, n)
		switch n {
		case discards:
			require.Zero(t, handled, f.where)
		case panics:
			require.Zero(t, handled+discarded, f.where)
		}
		for _, r := range f.results[n] {
			switch {
			case r.acknowledged():
				require.Equal(t, 1, handled+discarded, "%s: task %d was acknowledged: %v", f.where, n, r.err)
			case n == panics && r.panicked == panicking:
			default:
				again++
			}
		}
	}
	require.LessOrEqual(t, again, most, f.where)
}

// redeliver has all events come again, now that nothing fails: each is there once.
func (f *faulty) redeliver(t *testing.T, inbox Inbox) {
	discarded := f.stored(t, discards, ittybit.OutcomeDiscarded)
	for n := range tasks {
		err := inbox.Wrap(f.effect(nil)).HandleEvent(t.Context(), task(t, f.first+n))
		require.NoError(t, once(err), "%s: the redelivery of task %d", f.where, n)
		want := 1
		if n == discards {
			want -= discarded
		}
		require.Equal(t, want, f.effectsOf(t, n), "%s: task %d", f.where, n)
		require.Equal(t, want, f.stored(t, n, ittybit.OutcomeHandled), "%s: task %d", f.where, n)
	}
}

// TogetherOnSQLite has deliveries committed together in SQLite, while any one call of the driver
// fails, in any way: what is acknowledged is committed, nothing is committed twice, and at most the
// delivery whose call it was comes again.
func TogetherOnSQLite(t *testing.T, driver string, extent Extent) {
	source := SQLiteSource(t, driver, "wal")
	synctest.Test(t, func(t *testing.T) {
		db, injected := OpenFaulty(sqlinbox.SQLite, driver, source)
		defer func() { require.NoError(t, db.Close()) }()
		b := newBench(t, &Backend{
			Dialect: sqlinbox.SQLite, Exec: ExecSQL, DB: openSQL(t, driver, source),
			New: func(opts ...sqlinbox.Option) Inbox { return sqlinbox.New(db, sqlinbox.SQLite, opts...) },
		})
		rounds := 0
		run := func(call int, how Fault) int {
			f := &faulty{bench: b, first: rounds * perRound, results: map[int][]result{}}
			rounds++
			inbox := b.New(sqlinbox.WithGroupCommit(8))
			f.together(t, inbox, db, injected, call, how)
			calls, commits, failed := injected.Figures()
			injected.Fail(0, "")
			f.where = fmt.Sprintf("call %d (%s) %s", call, failed, how)
			if call == 0 {
				require.Equal(t, 2, commits, "the first one's, and that of the group")
			}
			most := 1
			switch {
			case call == 0:
				most = 0
			case how == Hangs:
				most = len(round) // the others' contexts end too
			}
			f.check(t, most)
			require.Zero(t, db.Stats().InUse, f.where)
			f.redeliver(t, inbox)
			return calls
		}
		everyCall(t, extent, Faults, func() int { return run(0, "") }, func(call int, how Fault) { run(call, how) })
	})
}

// together has the deliveries wait behind the first one, and lets them go.
func (f *faulty) together(t *testing.T, inbox Inbox, db *sql.DB, driver *Faulty, call int, how Fault) {
	leave := make(chan struct{})
	db.SetMaxIdleConns(0) // so that opening a connection is a call, too
	db.SetMaxIdleConns(2)
	var all sync.WaitGroup
	for i, n := range round {
		event := task(t, f.first+n)
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(1+i)*time.Hour)
		t.Cleanup(cancel)
		if i == 0 {
			all.Go(func() {
				blocked := inbox.Wrap(f.effect(func(context.Context) error { <-leave; return nil }))
				err := blocked.HandleEvent(ctx, event)
				f.mu.Lock()
				defer f.mu.Unlock()
				f.results[n] = append(f.results[n], result{err: err, returned: true})
			})
		} else {
			all.Go(func() { f.deliver(ctx, inbox, event, n) })
		}
		synctest.Wait()
	}
	driver.Fail(call, how)
	close(leave)
	all.Wait()
}

// Failing has any one call of a driver of a server fail, while one event after the other is
// delivered.
func Failing(t *testing.T, dialect sqlinbox.Dialect, driver, source string, extent Extent) {
	observer := openSQL(t, driver, source)
	oneByOne(t, observer, dialect, ExecSQL, extent, Faults, func(t *testing.T) (Inbox, *injector) {
		db, injected := OpenFaulty(dialect, driver, source)
		t.Cleanup(func() { assert.NoError(t, db.Close()) })
		return sqlinbox.New(db, dialect), &injected.injector
	})
}

// FailingOnTheWire has any one request to the server fail, likewise, in these ways. The driver is
// one of database/sql, or "pgxpool" for pgxinbox.
func FailingOnTheWire(t *testing.T, driver string, extent Extent, faults ...Fault) {
	if driver == "mysql" {
		source := mariadbserver.Database(t)
		oneByOne(t, openSQL(t, driver, source), sqlinbox.MySQL, execMySQL, extent, faults, func(t *testing.T) (Inbox, *injector) {
			wire, address := newMySQLWire(t, source)
			return sqlinbox.New(openSQL(t, driver, address), sqlinbox.MySQL), &wire.injector
		})
		return
	}
	source := pgserver.Database(t)
	exec := ExecSQL
	if driver == pgxPool {
		exec = execPgx
	}
	oneByOne(t, openSQL(t, "pgx", source), sqlinbox.Postgres, exec, extent, faults, func(t *testing.T) (Inbox, *injector) {
		wire, address := NewWire(t, source)
		if driver == pgxPool {
			return pgxinbox.New(openPool(t, address)), &wire.injector
		}
		return sqlinbox.New(openSQL(t, driver, address), sqlinbox.Postgres), &wire.injector
	})
}

// oneByOne delivers one event after the other, while any one call fails, as [TogetherOnSQLite]
// does. Those faults that are waited for are so at the same time.
func oneByOne(t *testing.T, observer *sql.DB, dialect sqlinbox.Dialect, exec execFunc, extent Extent, faults []Fault,
	open func(t *testing.T) (Inbox, *injector),
) {
	b := newBench(t, &Backend{Dialect: dialect, Exec: exec, DB: observer, New: OverSQL(observer, dialect)})
	rounds := atomic.Int64{}
	run := func(t *testing.T, call int, how Fault) int {
		inbox, injected := open(t)
		f := &faulty{bench: b, first: int(rounds.Add(1)) * perRound, results: map[int][]result{}}
		var current atomic.Pointer[context.CancelFunc]
		injected.fail(call, how, func() { (*current.Load())() })
		for _, n := range round {
			ctx, cancel := context.WithCancel(t.Context())
			current.Store(&cancel)
			f.deliver(ctx, inbox, task(t, f.first+n), n)
			cancel()
		}
		calls, _, failed := injected.Figures()
		injected.Fail(0, "")
		f.where = fmt.Sprintf("call %d (%s) %s", call, failed, how)
		f.check(t, min(1, call))
		f.redeliver(t, inbox)
		return calls
	}
	var all sync.WaitGroup
	places := make(chan struct{}, 8)
	everyCall(t, extent, faults, func() int { return run(t, 0, "") }, func(call int, how Fault) {
		places <- struct{}{}
		all.Go(func() {
			defer func() { <-places }()
			t.Run(fmt.Sprintf("%d %s", call, how), func(t *testing.T) { run(t, call, how) })
		})
	})
	all.Wait()
}

// everyCall counts the calls of a round, and has each fail.
func everyCall(t *testing.T, extent Extent, faults []Fault, count func() int, run func(call int, how Fault)) {
	calls := count()
	require.Greater(t, calls, 10)
	if os.Getenv(faultsVariable) == "full" {
		extent = Exhaustive
	}
	n := 0
	for i := 0; i < calls*len(faults); i += int(extent) {
		run(1+i/len(faults), faults[i%len(faults)])
		n++
	}
	t.Logf("%d calls, %d faults", calls, n)
}
