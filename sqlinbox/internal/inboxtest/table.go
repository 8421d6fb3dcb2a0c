package inboxtest

import (
	"context"
	"errors"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/sqlinbox"
)

// Run runs the table of tests, each on a database of its own; where names are given, only those.
func Run(t *testing.T, open func(t testing.TB) *Backend, only ...string) {
	for name, test := range map[string]func(*testing.T, *bench){
		"handled":                           handled,
		"repeated at the same time":         repeatedAtTheSameTime,
		"not handled":                       notHandled,
		"panicked":                          panicked,
		"Goexit":                            goexit,
		"discarded":                         discarded,
		"discarded while a repeat waits":    discardedWhileARepeatWaits,
		"late":                              late,
		"an SQL error swallowed":            swallowed,
		"context ended while it waits":      contextEndedWhileItWaits,
		"connection lost at each statement": connectionLost,
		"nested":                            nested,
		"replayed with the cursor":          replayedWithTheCursor,
		"pruned":                            pruned,
		"no table":                          noTable,
		"from the earlier table":            fromTheEarlierTable,
		"checked":                           checked,
		"synced":                            synced,
		"restored from another cluster":     restored,
		"reconciled by one at a time":       reconciledByOne,
		"reconciled by one that was late":   reconciledLate,
		"a handler that writes beyond Tx":   beyondTx,
		"ended by SQL":                      endedBySQL,
	} {
		if len(only) > 0 && !slices.Contains(only, name) {
			continue
		}
		t.Run(name, func(t *testing.T) {
			b := open(t)
			test(t, newBench(t, b))
			assert.Eventually(t, func() bool { return b.DB.Stats().InUse == 0 }, 10*time.Second, time.Millisecond, "a connection is left")
		})
	}
}

// RunOnSQLite runs the table with a driver of SQLite, in each journal mode, with groups and
// without.
func RunOnSQLite(t *testing.T, driver string) {
	for _, journalMode := range []string{"wal", "delete"} {
		t.Run(journalMode, func(t *testing.T) { Run(t, SQLite(driver, journalMode)) })
		t.Run(journalMode+", groups", func(t *testing.T) { Run(t, SQLite(driver, journalMode, Grouped())) })
	}
}

func handled(t *testing.T, b *bench) {
	h := b.inbox.Wrap(b.effect(nil))
	for _, want := range []ittybit.Outcome{ittybit.OutcomeHandled, ittybit.OutcomeDuplicate, ittybit.OutcomeDuplicate} {
		status, seen := deliver(t, h, 1)
		assert.Equal(t, http.StatusOK, status)
		assert.Equal(t, want, seen.Outcome)
		assert.NoError(t, seen.Err)
	}
	assert.Equal(t, 1, b.effects(t))
	numbered := "seq > 0"
	if b.Dialect == sqlinbox.MySQL {
		numbered = "seq = 0 AND run_id IS NULL" // Replay will number it
	}
	assert.Equal(t, 1, b.count(t, `SELECT count(*) FROM ittybit_inbox WHERE name = '' AND event_key = 'task:task_1:completed'
		AND event_type = 'task.completed' AND subject_id = 'task_1' AND outcome = 'handled' AND error IS NULL
		AND payload IS NOT NULL AND received_at = handled_at AND `+numbered))
}

func repeatedAtTheSameTime(t *testing.T, b *bench) {
	var runs atomic.Int32
	var all sync.WaitGroup
	for range 8 {
		// Each has a queue of its own, as in processes.
		h := b.New().Wrap(b.effect(func(context.Context) error { runs.Add(1); return nil }))
		all.Go(func() {
			status, _ := deliver(t, h, 1, ittybit.WithProcessingTimeout(time.Minute))
			assert.Equal(t, http.StatusOK, status)
		})
	}
	all.Wait()
	assert.Equal(t, int32(1), runs.Load())
	assert.Equal(t, 1, b.effects(t))
}

func notHandled(t *testing.T, b *bench) {
	for status, result := range map[int]error{500: errNo, 503: ittybit.RetryLater(time.Minute, errNo)} {
		got, seen := deliver(t, b.inbox.Wrap(b.effect(func(context.Context) error { return result })), 1)
		assert.Equal(t, status, got)
		assert.ErrorIs(t, seen.Err, errNo)
	}
	assert.Zero(t, b.effects(t)+b.rows(t, "handled")+b.rows(t, "discarded"))
	status, _ := deliver(t, b.inbox.Wrap(b.effect(nil)), 1)
	assert.Equal(t, 200, status, "the event is free")
}

func panicked(t *testing.T, b *bench) {
	status, seen := deliver(t, b.inbox.Wrap(b.effect(func(context.Context) error { panic("boom") })), 1)
	assert.Equal(t, 500, status)
	assert.Equal(t, ittybit.OutcomePanicked, seen.Outcome)
	assert.Zero(t, b.effects(t)+b.rows(t, "handled"))
}

func goexit(t *testing.T, b *bench) {
	var gone sync.WaitGroup
	gone.Go(func() {
		_ = b.inbox.Wrap(b.effect(func(context.Context) error { runtime.Goexit(); return nil })).HandleEvent(t.Context(), task(t, 1))
	})
	gone.Wait()
	assert.Zero(t, b.effects(t)+b.rows(t, "handled"))
	require.NoError(t, b.inbox.Wrap(b.effect(nil)).HandleEvent(t.Context(), task(t, 1)), "the event is free")
}

func discarded(t *testing.T, b *bench) {
	status, seen := deliver(t, b.inbox.Wrap(b.effect(func(context.Context) error { return ittybit.Discard(errNo) })), 1)
	assert.Equal(t, 200, status)
	assert.Equal(t, ittybit.OutcomeDiscarded, seen.Outcome)
	assert.Zero(t, b.effects(t))
	assert.Equal(t, 1, b.count(t, "SELECT count(*) FROM ittybit_inbox WHERE outcome = 'discarded' AND error LIKE '%discarded: no%'"))
	_, seen = deliver(t, b.inbox.Wrap(b.effect(nil)), 1)
	assert.Equal(t, ittybit.OutcomeDuplicate, seen.Outcome)
}

// lockWaits count the transactions that wait for a lock. In SQLite they can't be seen.
var lockWaits = map[sqlinbox.Dialect]string{
	sqlinbox.Postgres: "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'",
	sqlinbox.MySQL: "SELECT count(*) FROM information_schema.innodb_trx t JOIN information_schema.processlist p ON p.id = t.trx_mysql_thread_id" +
		" WHERE t.trx_state = 'LOCK WAIT' AND p.db = DATABASE()",
}

// Whichever is first after the rollback, its outcome stands, and both are acknowledged.
func discardedWhileARepeatWaits(t *testing.T, b *bench) {
	entered, leave := make(chan struct{}), make(chan struct{})
	first := b.New().Wrap(b.effect(func(context.Context) error {
		close(entered)
		<-leave
		return ittybit.Discard(errNo)
	}))
	second := b.New().Wrap(b.effect(nil))
	outcomes := make(chan ittybit.Outcome, 2)
	send := func(h ittybit.EventHandler) {
		status, seen := deliver(t, h, 1, ittybit.WithProcessingTimeout(time.Minute))
		assert.Equal(t, 200, status)
		outcomes <- seen.Outcome
	}
	var all sync.WaitGroup
	all.Go(func() { send(first) })
	<-entered
	all.Go(func() { send(second) })
	if query := lockWaits[b.Dialect]; query != "" {
		// InnoDB's view stays as it was while it is read more often than each 0.1 s.
		assert.Eventually(t, func() bool { return b.count(t, query) == 1 }, 30*time.Second, 120*time.Millisecond)
	}
	close(leave)
	all.Wait()
	close(outcomes)
	got := map[ittybit.Outcome]int{}
	for outcome := range outcomes {
		got[outcome]++
	}
	switch got[ittybit.OutcomeHandled] {
	case 1:
		assert.Equal(t, 1, got[ittybit.OutcomeDuplicate], "the one that discarded it came too late")
		assert.Equal(t, 1, b.effects(t))
		assert.Equal(t, 1, b.rows(t, "handled"))
	default:
		assert.Equal(t, map[ittybit.Outcome]int{ittybit.OutcomeDiscarded: 1, ittybit.OutcomeDuplicate: 1}, got)
		assert.Zero(t, b.effects(t))
		assert.Equal(t, 1, b.rows(t, "discarded"))
	}
}

// A success after the deadline is one.
func late(t *testing.T, b *bench) {
	ctx, cancel := context.WithCancel(t.Context())
	h := b.inbox.Wrap(b.effect(func(ctx context.Context) error {
		cancel()
		<-ctx.Done()
		return nil
	}))
	require.NoError(t, h.HandleEvent(ctx, task(t, 1)))
	ctx, cancel = context.WithCancel(t.Context())
	h = b.inbox.Wrap(b.effect(func(ctx context.Context) error {
		cancel()
		<-ctx.Done()
		return ittybit.Discard(errNo)
	}))
	require.ErrorIs(t, h.HandleEvent(ctx, task(t, 2)), errNo)
	assert.Equal(t, 1, b.effects(t))
	assert.Equal(t, 1, b.rows(t, "handled"))
	assert.Equal(t, 1, b.rows(t, "discarded"))
}

// In PostgreSQL a failed statement ends the transaction; elsewhere it goes on.
func swallowed(t *testing.T, b *bench) {
	status, seen := deliver(t, b.inbox.Wrap(b.effect(func(ctx context.Context) error {
		assert.Error(t, b.Exec(ctx, "INSERT INTO no_such_table VALUES (1)"))
		return nil
	})), 1)
	if b.Dialect != sqlinbox.Postgres {
		assert.Equal(t, 200, status)
		assert.Equal(t, 1, b.effects(t))
		return
	}
	assert.Equal(t, 503, status)
	assert.ErrorContains(t, seen.Err, "return its error")
	assert.Zero(t, b.effects(t)+b.rows(t, "handled"))
}

func contextEndedWhileItWaits(t *testing.T, b *bench) {
	entered, leave := make(chan struct{}), make(chan struct{})
	var first sync.WaitGroup
	first.Go(func() {
		h := b.New().Wrap(b.effect(func(context.Context) error { close(entered); <-leave; return nil }))
		assert.NoError(t, h.HandleEvent(t.Context(), task(t, 1)))
	})
	<-entered
	second := b.New().Wrap(ittybit.EventHandlerFunc(func(context.Context, *ittybit.Event) error { panic("a second run") }))
	status, seen := deliver(t, second, 1, ittybit.WithProcessingTimeout(100*time.Millisecond))
	assert.Equal(t, http.StatusServiceUnavailable, status)
	assert.ErrorIs(t, seen.Err, context.DeadlineExceeded)
	close(leave)
	first.Wait()
	status, seen = deliver(t, second, 1)
	assert.Equal(t, http.StatusOK, status)
	assert.Equal(t, ittybit.OutcomeDuplicate, seen.Outcome)
}

// Whichever response of the server is lost: what is acknowledged is there, and a redelivery makes
// it once.
func connectionLost(t *testing.T, b *bench) {
	if b.Wire == nil {
		return // there is no connection to lose
	}
	statuses := map[int]int{}
	for n := 1; n <= 8; n++ {
		before := b.effects(t)
		h := b.inbox.Wrap(b.effect(nil))
		b.Wire.Fail(n, LosesReply)
		status, _ := deliver(t, h, n)
		b.Wire.Fail(0, "")
		statuses[status]++
		assert.Contains(t, []int{200, 503}, status, "the response %d", n)
		if status == 200 {
			assert.Equal(t, before+1, b.effects(t), "the response %d", n)
		}
		status, _ = deliver(t, h, n)
		assert.Equal(t, 200, status, "the redelivery after the response %d", n)
		assert.Equal(t, before+1, b.effects(t), "the response %d", n)
	}
	assert.NotZero(t, statuses[503], "no response was lost")
}

func nested(t *testing.T, b *bench) {
	h := b.inbox.Wrap(b.inbox.Wrap(b.effect(nil)))
	assert.ErrorContains(t, h.HandleEvent(t.Context(), task(t, 1)), "would deadlock")
	h = b.inbox.Wrap(ittybit.EventHandlerFunc(func(ctx context.Context, _ *ittybit.Event) error {
		_, err := b.New(sqlinbox.WithPayloads()).Replay(ctx, b.effect(nil), sqlinbox.ReplayParams{})
		return err
	}))
	assert.ErrorContains(t, h.HandleEvent(t.Context(), task(t, 1)), "would deadlock")
	assert.Zero(t, b.effects(t)+b.rows(t, "handled"))
}

// An event that began before another one and was committed after it lies behind no cursor.
func replayedWithTheCursor(t *testing.T, b *bench) {
	replay := func(after string) sqlinbox.ReplayResult {
		result, err := b.inbox.Replay(t.Context(), b.effect(nil), sqlinbox.ReplayParams{After: after})
		require.NoError(t, err)
		return result
	}
	require.NoError(t, b.inbox.Wrap(b.effect(nil)).HandleEvent(t.Context(), task(t, 0)))
	result := replay("")
	assert.Equal(t, 1, result.Handled)
	assert.WithinDuration(t, time.Now(), result.Until, time.Minute)
	if b.Dialect == sqlinbox.SQLite {
		// One transaction writes at a time. The clock may stand still or go back, as it does where
		// it is set.
		require.NoError(t, b.inbox.Wrap(b.effect(nil)).HandleEvent(t.Context(), task(t, 1)))
		ahead := result.Until.Add(time.Hour).UnixMicro()
		b.exec(t, "UPDATE ittybit_inbox SET seq = $1 WHERE event_key = 'task:task_1:completed'", ahead)
		result = replay(result.Cursor)
		assert.Equal(t, 1, result.Handled)
		require.NoError(t, b.inbox.Wrap(b.effect(nil)).HandleEvent(t.Context(), task(t, 2)))
		result = replay(result.Cursor)
		assert.Equal(t, 1, result.Handled)
		assert.Zero(t, replay(result.Cursor).Handled)
		return
	}
	entered, leave := make(chan struct{}), make(chan struct{})
	var held sync.WaitGroup
	held.Go(func() {
		h := b.inbox.Wrap(b.effect(func(context.Context) error { close(entered); <-leave; return nil }))
		assert.NoError(t, h.HandleEvent(t.Context(), task(t, 1)))
	})
	<-entered
	require.NoError(t, b.inbox.Wrap(b.effect(nil)).HandleEvent(t.Context(), task(t, 2)))
	first := replay(result.Cursor)
	if b.Dialect == sqlinbox.MySQL { // Replay numbers what is committed, so that nothing has to be left out
		assert.Equal(t, 1, first.Handled)
		close(leave)
		held.Wait()
		second := replay(first.Cursor)
		assert.Equal(t, 1, second.Handled, "the held event is not behind the cursor")
		assert.Zero(t, replay(second.Cursor).Handled)
		return
	}
	assert.Zero(t, first.Handled, "the held event, which began before, would be behind the cursor")
	var received time.Time
	require.NoError(t, b.DB.QueryRowContext(t.Context(),
		"SELECT received_at FROM ittybit_inbox WHERE event_key = 'task:task_2:completed'").Scan(&received))
	assert.True(t, first.Until.Equal(received), "it says where it stopped")
	close(leave)
	held.Wait()
	second := replay(first.Cursor)
	assert.Equal(t, 2, second.Handled)
	assert.Zero(t, replay(second.Cursor).Handled)
}

func pruned(t *testing.T, b *bench) {
	for n := range 3 {
		require.NoError(t, b.inbox.Wrap(b.effect(nil)).HandleEvent(t.Context(), task(t, n)))
	}
	long := time.Now().UTC().Add(-40 * 24 * time.Hour)
	var old any = long
	if b.Dialect == sqlinbox.SQLite {
		old = long.Format("2006-01-02T15:04:05.000000Z")
	}
	b.exec(t, "UPDATE ittybit_inbox SET received_at = $1 WHERE event_key <> 'task:task_2:completed'", old)
	_, err := b.inbox.Prune(t.Context(), sqlinbox.MinPruneAge-1)
	var param *ittybit.ParamError
	require.ErrorAs(t, err, &param)
	n, err := b.inbox.Prune(t.Context(), sqlinbox.MinPruneAge)
	require.NoError(t, err)
	assert.Equal(t, int64(2), n)
	assert.Equal(t, 1, b.rows(t, "handled"))
}

func noTable(t *testing.T, b *bench) {
	inbox := b.New(sqlinbox.WithTable("elsewhere"))
	status, seen := deliver(t, inbox.Wrap(b.effect(nil)), 1)
	assert.Equal(t, http.StatusServiceUnavailable, status)
	assert.ErrorContains(t, seen.Err, "call Migrate at start-up")
	assert.ErrorContains(t, inbox.Check(t.Context()), "call Migrate at start-up")
}

func synced(t *testing.T, b *bench) {
	want, ok := map[string]int{"wal": 2, "delete": 3}[b.JournalMode]
	if !ok {
		return // PostgreSQL syncs by itself, see checked
	}
	b.DB.SetMaxOpenConns(1)
	for own, opts := range map[int][]sqlinbox.Option{0: nil, 1: nil, 2: {sqlinbox.WithTable("ittybit_inbox")}, 3: nil} {
		rows, err := b.DB.QueryContext(t.Context(), "PRAGMA synchronous = "+strconv.Itoa(own))
		require.NoError(t, err)
		require.NoError(t, errors.Join(rows.Close(), rows.Err())) //nolint:sqlclosecheck // at once: there is one connection
		var during int
		h := b.New(opts...).Wrap(ittybit.EventHandlerFunc(func(ctx context.Context, _ *ittybit.Event) error {
			return sqlinbox.Tx(ctx).QueryRowContext(ctx, "PRAGMA synchronous").Scan(&during)
		}))
		require.NoError(t, h.HandleEvent(t.Context(), task(t, own)))
		assert.Equal(t, max(own, want), during, "from %d", own)
		assert.Equal(t, own, b.count(t, "PRAGMA synchronous"), "the connection has its own again")

		h = b.New(sqlinbox.WithoutSync()).Wrap(ittybit.EventHandlerFunc(func(ctx context.Context, _ *ittybit.Event) error {
			return sqlinbox.Tx(ctx).QueryRowContext(ctx, "PRAGMA synchronous").Scan(&during)
		}))
		require.NoError(t, h.HandleEvent(t.Context(), task(t, 10+own)))
		assert.Equal(t, own, during, "as the user has said")
	}
}
