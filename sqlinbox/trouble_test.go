package sqlinbox_test

import (
	"bytes"
	"context"
	"database/sql"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/sqlinbox"
)

func TestWrap_needsNoMoreThanOneConnection(t *testing.T) {
	onEach(t, ways(), func(t *testing.T, b *bench) {
		b.db.SetMaxOpenConns(1)
		inbox := b.with(sqlinbox.WithPayloads())
		h := inbox.Wrap(ittybit.EventHandlerFunc(effect))
		var all sync.WaitGroup
		for n := range 12 {
			all.Go(func() { assert.NoError(t, once(h.HandleEvent(t.Context(), task(t, n%4)))) })
		}
		all.Wait()
		assert.Equal(t, 4, b.effects(t))
		result, err := inbox.Replay(t.Context(), ittybit.EventHandlerFunc(effect), sqlinbox.ReplayParams{})
		require.NoError(t, err)
		assert.Equal(t, 4, result.Handled)
		require.NoError(t, inbox.Migrate(t.Context()))
		_, err = inbox.Prune(t.Context(), sqlinbox.MinPruneAge)
		require.NoError(t, err)
		b.idle(t)

		busy, err := b.db.Conn(t.Context())
		require.NoError(t, err)
		defer func() { assert.NoError(t, busy.Close()) }()
		status, seen := deliver(t, h, taskBody(5), ittybit.WithProcessingTimeout(50*time.Millisecond))
		assert.Equal(t, http.StatusServiceUnavailable, status, "when it has none")
		assert.ErrorIs(t, seen.Err, context.DeadlineExceeded)
	})
}

func TestWrap_inMemory(t *testing.T) {
	for name, source := range map[string]string{"of one connection": ":memory:", "of several": "file:sqlinbox_test?mode=memory&cache=shared"} {
		t.Run(name, func(t *testing.T) {
			e := engine{sqlinbox.SQLite, "sqlite", source}
			db := e.open(t)
			if source == ":memory:" {
				db.SetMaxOpenConns(1)
			}
			if source != ":memory:" {
				kept, err := db.Conn(t.Context()) // while it is open, the database lives
				require.NoError(t, err)
				defer func() { assert.NoError(t, kept.Close()) }()
			}
			b := newBench(t, e, db)
			var all sync.WaitGroup
			for n := range 12 {
				h := b.with().Wrap(ittybit.EventHandlerFunc(effect))
				all.Go(func() { assert.NoError(t, once(h.HandleEvent(t.Context(), task(t, n%4)))) })
			}
			all.Wait()
			assert.Equal(t, 4, b.effects(t))
		})
	}
}

// A handler that hides the error of a statement must not have an event acknowledged of which
// nothing is kept.
func TestWrap_aFailedStatementThatTheHandlerHides(t *testing.T) {
	onEach(t, ways(), func(t *testing.T, b *bench) {
		status, _ := deliver(t, b.inbox.Wrap(ittybit.EventHandlerFunc(func(ctx context.Context, e *ittybit.Event) error {
			require.NoError(t, effect(ctx, e))
			_, err := sqlinbox.Tx(ctx).ExecContext(ctx, "INSERT INTO no_such_table VALUES (1)")
			assert.Error(t, err)
			return nil
		})), taskBody(1))
		want := http.StatusOK // SQLite's transactions go on
		if b.dialect == sqlinbox.Postgres {
			want = http.StatusServiceUnavailable
		}
		assert.Equal(t, want, status)
		assert.Equal(t, b.kept(t), b.effects(t))
		b.idle(t)
	})
}

func TestWrap_comesAgainWhenTheDiskIsFull(t *testing.T) {
	e := sqliteEngine(t, walParameters)
	db := e.open(t)
	db.SetMaxOpenConns(1) // the limit is the connection's
	b := newBench(t, e, db)
	full := b.count(t, "PRAGMA page_count") + 8
	assert.Equal(t, full, b.count(t, "PRAGMA max_page_count = "+strconv.Itoa(full)))
	big := ittybit.EventHandlerFunc(func(ctx context.Context, _ *ittybit.Event) error {
		_, err := sqlinbox.Tx(ctx).ExecContext(ctx, "INSERT INTO effects VALUES ('big', zeroblob(1000000))")
		return err
	})
	for name, h := range map[string]ittybit.EventHandler{
		"in the handler": b.inbox.Wrap(big),
		"with the key":   b.with(sqlinbox.WithPayloads()).Wrap(ittybit.EventHandlerFunc(effect)),
	} {
		status, seen := deliver(t, h, strings.Replace(taskBody(1), "{", `{"x":"`+strings.Repeat("x", 100_000)+`",`, 1))
		assert.Equal(t, http.StatusServiceUnavailable, status, name)
		assert.ErrorContains(t, seen.Err, "sqlinbox: ", name)
		assert.Zero(t, b.effects(t)+b.kept(t), name)
		b.idle(t)
	}
	// A handler that gives up is taken at its word: its mark is small enough.
	status, seen := deliver(t, b.inbox.Wrap(ittybit.EventHandlerFunc(func(ctx context.Context, e *ittybit.Event) error {
		return ittybit.Discard(big.HandleEvent(ctx, e))
	})), taskBody(2))
	assert.Equal(t, http.StatusOK, status)
	assert.Equal(t, ittybit.OutcomeDiscarded, seen.Outcome)
	assert.Equal(t, []int{0, 1}, []int{b.effects(t), b.kept(t)})
	b.count(t, "PRAGMA max_page_count = 1000000")
	require.NoError(t, b.inbox.Wrap(big).HandleEvent(t.Context(), task(t, 1)))
	assert.Equal(t, 1, b.effects(t))
}

func TestWrap_comesAgainWhereTheFileCannotBeWritten(t *testing.T) {
	e := sqliteEngine(t, "")
	newBench(t, e, e.open(t))
	e.source += "?mode=ro"
	db := e.open(t)
	inbox := sqlinbox.New(db, sqlinbox.SQLite)
	require.NoError(t, inbox.Migrate(t.Context()), "the table is there")
	status, seen := deliver(t, inbox.Wrap(ittybit.EventHandlerFunc(effect)), taskBody(1))
	assert.Equal(t, http.StatusServiceUnavailable, status)
	assert.ErrorContains(t, seen.Err, "readonly")
	assert.Zero(t, db.Stats().InUse)

	nowhere := engine{sqlinbox.SQLite, "sqlite", "file:" + filepath.Join(t.TempDir(), "no", "such.db")}.open(t)
	require.ErrorContains(t, sqlinbox.New(nowhere, sqlinbox.SQLite).Migrate(t.Context()), "looking for the table")
}

// With a rollback journal a reader keeps a commit waiting. That is no reason to run the handler
// again.
func TestWrap_aCommitWaitsForAReader(t *testing.T) {
	e := sqliteEngine(t, "")
	b := newBench(t, e, e.open(t))
	_, err := b.db.ExecContext(t.Context(), "INSERT INTO effects VALUES ('one', ''), ('two', '')")
	require.NoError(t, err)
	reading, err := e.open(t).QueryContext(t.Context(), "SELECT note FROM effects")
	require.NoError(t, err)
	defer func() { assert.NoError(t, reading.Close()) }()
	require.True(t, reading.Next(), "it holds a lock until it is closed")

	var runs atomic.Int32
	var delivery sync.WaitGroup
	delivery.Go(func() {
		assert.NoError(t, b.inbox.Wrap(effectAnd(func() error { runs.Add(1); return nil })).HandleEvent(t.Context(), task(t, 1)))
	})
	another := e.open(t)
	assert.Eventually(t, func() bool { // a commit that waits lets no new reader in
		var n int
		return another.QueryRowContext(t.Context(), "SELECT count(*) FROM effects").Scan(&n) != nil
	}, 10*time.Second, time.Millisecond)
	assert.NoError(t, reading.Close())
	require.NoError(t, reading.Err())
	delivery.Wait()
	assert.Equal(t, int32(1), runs.Load())
	assert.Equal(t, 3, b.effects(t))
	assert.Equal(t, 0, b.count(t, "PRAGMA busy_timeout"), "the connection has its own again")
}

func TestWrap_insideOneThatItWouldWaitForIsRefused(t *testing.T) {
	onEach(t, engines(), func(t *testing.T, b *bench) {
		h := ittybit.EventHandlerFunc(effect)
		other := b.with(sqlinbox.WithName("other"))
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		for name, nested := range map[string]ittybit.EventHandler{
			"the same":          b.inbox.Wrap(b.inbox.Wrap(h)),
			"one like it":       b.inbox.Wrap(b.with().Wrap(h)),
			"with one between":  b.inbox.Wrap(other.Wrap(b.inbox.Wrap(h))),
			"Replay in handler": b.inbox.Wrap(replaying{b.with(sqlinbox.WithPayloads()), h}),
		} {
			assert.ErrorContains(t, nested.HandleEvent(ctx, task(t, 1)), "wrap a handler once", name)
			assert.Zero(t, b.effects(t)+b.kept(t), name)
		}
		err := b.inbox.Wrap(other.Wrap(h)).HandleEvent(ctx, task(t, 1))
		if b.dialect == sqlinbox.SQLite {
			assert.ErrorContains(t, err, "wrap a handler once", "it has one writer")
			return
		}
		require.NoError(t, err)
		assert.Equal(t, 2, b.kept(t))
		assert.Equal(t, 1, b.effects(t))
	})
}

func TestReplay_doesNotTakeAnEventForHandledThatIsWrappedOnItsWay(t *testing.T) {
	onEach(t, engines(), func(t *testing.T, b *bench) {
		inbox := b.with(sqlinbox.WithPayloads())
		h := inbox.Wrap(ittybit.EventHandlerFunc(effect))
		require.NoError(t, h.HandleEvent(t.Context(), task(t, 1)))
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		logged := ittybit.EventHandlerFunc(func(ctx context.Context, e *ittybit.Event) error { return h.HandleEvent(ctx, e) })
		result, err := inbox.Replay(ctx, logged, sqlinbox.ReplayParams{})
		assert.ErrorContains(t, err, "wrap a handler once")
		assert.Zero(t, result.Handled)
	})
}

// replaying is a handler that replays.
type replaying struct {
	inbox *sqlinbox.Inbox
	next  ittybit.EventHandler
}

func (r replaying) HandleEvent(ctx context.Context, _ *ittybit.Event) error {
	_, err := r.inbox.Replay(ctx, r.next, sqlinbox.ReplayParams{})
	return err
}

func TestMigrate_makesWhatIsMissingAndOtherwiseWaitsForNobody(t *testing.T) {
	onEach(t, engines(), func(t *testing.T, b *bench) {
		for range 2 {
			drop := "DROP INDEX ittybit_inbox_received_at" // fails where it is not there
			if b.dialect == sqlinbox.MySQL {
				drop += " ON ittybit_inbox"
			}
			b.exec(t, drop)
			require.NoError(t, b.inbox.Migrate(t.Context()))
		}
		writing, err := b.db.BeginTx(t.Context(), nil)
		require.NoError(t, err)
		_, err = writing.ExecContext(t.Context(), "DELETE FROM ittybit_inbox")
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		assert.NoError(t, b.inbox.Migrate(ctx))
		require.NoError(t, writing.Rollback())
	})
}

func TestWithPayloads_keepsTheLargest(t *testing.T) {
	onEach(t, ways(), func(t *testing.T, b *bench) {
		inbox := b.with(sqlinbox.WithPayloads())
		body := strings.Replace(taskBody(1), "{", `{"x":"`+strings.Repeat("é", 1<<19-100)+`",`, 1)
		status, _ := deliver(t, inbox.Wrap(ittybit.EventHandlerFunc(effect)), body, ittybit.WithProcessingTimeout(time.Minute))
		require.Equal(t, http.StatusOK, status)
		var payload sql.RawBytes
		rows, err := b.db.QueryContext(t.Context(), "SELECT payload FROM ittybit_inbox")
		require.NoError(t, err)
		defer func() { assert.NoError(t, rows.Close()) }()
		require.True(t, rows.Next())
		require.NoError(t, rows.Scan(&payload))
		assert.True(t, bytes.Equal([]byte(body), payload))
		require.NoError(t, rows.Err())
	})
}
