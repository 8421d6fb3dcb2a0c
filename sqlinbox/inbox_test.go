package sqlinbox_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"runtime"
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

var errNo = errors.New("no")

func TestWrap_handlesAnEventOnce(t *testing.T) {
	onEach(t, ways(), func(t *testing.T, b *bench) {
		h := b.inbox.Wrap(ittybit.EventHandlerFunc(effect))
		for _, want := range []ittybit.Outcome{ittybit.OutcomeHandled, ittybit.OutcomeDuplicate, ittybit.OutcomeDuplicate} {
			status, seen := deliver(t, h, taskBody(1))
			assert.Equal(t, http.StatusOK, status)
			assert.Equal(t, want, seen.Outcome)
			assert.NoError(t, seen.Err)
		}
		assert.Equal(t, 1, b.effects(t))
		assert.Equal(t, 1, b.count(t, `SELECT count(*) FROM ittybit_inbox WHERE name = '' AND event_key = 'task:task_1:completed'
			AND event_type = 'task.completed' AND subject_id = 'task_1' AND outcome = 'handled' AND error IS NULL
			AND payload IS NULL AND received_at = handled_at`))
		b.idle(t)
	})
}

func TestWrap_endsTheTransactionAsTheHandlerEnds(t *testing.T) {
	tests := map[string]struct {
		result  error
		effects int
		outcome string // in the table; empty: no row
		status  int
		seen    ittybit.Outcome
	}{
		"success":                 {nil, 1, "handled", 200, ittybit.OutcomeHandled},
		"handled before, it says": {ittybit.ErrAlreadyHandled, 1, "handled", 200, ittybit.OutcomeDuplicate},
		"discard":                 {ittybit.Discard(errNo), 0, "discarded", 200, ittybit.OutcomeDiscarded},
		"a failure":               {errNo, 0, "", 500, ittybit.OutcomeFailed},
		"retry later":             {ittybit.RetryLater(time.Minute, errNo), 0, "", 503, ittybit.OutcomeRetryLater},
		"a failure among discards": {
			errors.Join(ittybit.Discard(errNo), errNo), 0, "", 500, ittybit.OutcomeFailed,
		},
		"a discard that shall come later": {ittybit.RetryLater(0, ittybit.Discard(errNo)), 0, "", 503, ittybit.OutcomeRetryLater},
	}
	onEach(t, engines(), func(t *testing.T, b *bench) {
		n := 0
		for name, tt := range tests {
			n++
			effects := b.effects(t)
			status, seen := deliver(t, b.inbox.Wrap(effectAnd(func() error { return tt.result })), taskBody(n))
			assert.Equal(t, tt.status, status, name)
			assert.Equal(t, tt.seen, seen.Outcome, name)
			assert.Equal(t, tt.effects, b.effects(t)-effects, name)
			assert.Equal(t, min(1, len(tt.outcome)), b.count(t, "SELECT count(*) FROM ittybit_inbox WHERE event_key = $1 AND outcome = $2",
				task(t, n).Key(), tt.outcome), name)

			again, want := ittybit.OutcomeHandled, 200
			if tt.outcome != "" {
				again = ittybit.OutcomeDuplicate
			}
			status, seen = deliver(t, b.inbox.Wrap(ittybit.EventHandlerFunc(effect)), taskBody(n))
			assert.Equal(t, want, status, name)
			assert.Equal(t, again, seen.Outcome, "the redelivery after %s", name)
		}
		assert.Equal(t, 1, b.count(t, "SELECT count(*) FROM ittybit_inbox WHERE error = 'ittybit: discarded: no'"+
			" OR error LIKE '%discarded: no%'"))
		b.idle(t)
	})
}

func TestWrap_keepsNothingOfAHandlerThatDoesNotReturn(t *testing.T) {
	onEach(t, engines(), func(t *testing.T, b *bench) {
		run := func(end func()) {
			_ = b.inbox.Wrap(effectAnd(func() error { end(); return nil })).HandleEvent(t.Context(), task(t, 1))
		}
		assert.PanicsWithValue(t, "boom", func() { run(func() { panic("boom") }) })
		var gone sync.WaitGroup
		gone.Go(func() { run(runtime.Goexit) })
		gone.Wait()
		b.idle(t)
		assert.Zero(t, b.effects(t))
		assert.Zero(t, b.kept(t))

		status, seen := deliver(t, b.inbox.Wrap(effectAnd(func() error { panic("boom") })), taskBody(1))
		assert.Equal(t, 500, status)
		assert.Equal(t, ittybit.OutcomePanicked, seen.Outcome)
		run(func() {})
		assert.Equal(t, 1, b.effects(t), "the event was free")
	})
}

func TestWrap_discardsWhereTheHandlersStatementFailed(t *testing.T) {
	onEach(t, engines(), func(t *testing.T, b *bench) {
		h := b.inbox.Wrap(ittybit.EventHandlerFunc(func(ctx context.Context, e *ittybit.Event) error {
			require.NoError(t, effect(ctx, e))
			_, err := sqlinbox.Tx(ctx).ExecContext(ctx, "INSERT INTO no_such_table VALUES (1)")
			return ittybit.Discard(err)
		}))
		var discarded *ittybit.DiscardError
		require.ErrorAs(t, h.HandleEvent(t.Context(), task(t, 1)), &discarded)
		assert.Zero(t, b.effects(t))
		assert.Equal(t, 1, b.count(t, "SELECT count(*) FROM ittybit_inbox WHERE outcome = 'discarded' AND error LIKE '%no_such_table%'"))
	})
}

func TestWrap_withoutAKeyHandlesEachTime(t *testing.T) {
	onEach(t, engines(), func(t *testing.T, b *bench) {
		inbox := b.with(sqlinbox.WithKey(func(*ittybit.Event) string { return "" }))
		ok, bad := inbox.Wrap(ittybit.EventHandlerFunc(effect)), inbox.Wrap(effectAnd(func() error { return ittybit.Discard(errNo) }))
		require.NoError(t, ok.HandleEvent(t.Context(), task(t, 1)))
		require.NoError(t, ok.HandleEvent(t.Context(), task(t, 1)))
		require.ErrorIs(t, bad.HandleEvent(t.Context(), task(t, 1)), errNo)
		assert.Equal(t, 2, b.effects(t), "what was discarded is not kept")
		assert.Zero(t, b.kept(t))
		b.idle(t)
	})
}

func TestWrap_aHandlerThatReadsFirstNeedsNoOtherLock(t *testing.T) {
	onEach(t, ways(), func(t *testing.T, b *bench) {
		for _, key := range []func(*ittybit.Event) string{(*ittybit.Event).Key, func(*ittybit.Event) string { return "" }} {
			next := ittybit.EventHandlerFunc(func(ctx context.Context, e *ittybit.Event) error {
				var n int
				if err := sqlinbox.Tx(ctx).QueryRowContext(ctx, "SELECT count(*) FROM effects").Scan(&n); err != nil {
					return err
				}
				return effect(ctx, e)
			})
			var all sync.WaitGroup
			for n := range 8 {
				h := b.with(sqlinbox.WithKey(key)).Wrap(next) // each with a queue of its own: only the database keeps them apart
				all.Go(func() { assert.NoError(t, h.HandleEvent(t.Context(), task(t, n))) })
			}
			all.Wait()
		}
		assert.Equal(t, 16, b.effects(t))
	})
}

func TestWrap_ofManyAtOnceOneRuns(t *testing.T) {
	onEach(t, ways(), func(t *testing.T, b *bench) {
		var runs atomic.Int32
		next := effectAnd(func() error { runs.Add(1); return nil })
		var all sync.WaitGroup
		for range 16 {
			h := b.with().Wrap(next) // each with a queue of its own, as in processes
			all.Go(func() { assert.NoError(t, once(h.HandleEvent(t.Context(), task(t, 1)))) })
		}
		all.Wait()
		assert.Equal(t, int32(1), runs.Load())
		assert.Equal(t, 1, b.effects(t))
		b.idle(t)
	})
}

func TestWrap_theWaitForAnotherDeliveryEndsWithTheContext(t *testing.T) {
	onEach(t, ways(), func(t *testing.T, b *bench) {
		for name, second := range map[string]*sqlinbox.Inbox{"of this process": b.inbox, "of another": b.with()} {
			entered, leave := make(chan struct{}), make(chan struct{})
			var first sync.WaitGroup
			first.Go(func() {
				assert.NoError(t, b.inbox.Wrap(effectAnd(func() error {
					close(entered)
					<-leave
					return nil
				})).HandleEvent(t.Context(), parse(t, `{"id":"task_`+strings.ReplaceAll(name, " ", "_")+`","object":"task","status":"failed"}`)))
			})
			<-entered
			body := `{"id":"task_` + strings.ReplaceAll(name, " ", "_") + `","object":"task","status":"failed"}`
			h := second.Wrap(ittybit.EventHandlerFunc(func(context.Context, *ittybit.Event) error { panic("a second run") }))
			status, seen := deliver(t, h, body, ittybit.WithProcessingTimeout(50*time.Millisecond))
			assert.Equal(t, http.StatusServiceUnavailable, status, name)
			assert.Equal(t, ittybit.OutcomeRetryLater, seen.Outcome, name)
			assert.ErrorIs(t, seen.Err, context.DeadlineExceeded, name)
			assert.Equal(t, 1, b.db.Stats().InUse, "only the first delivery, which is still under way, has a connection (%s)", name)
			close(leave)
			first.Wait()
			status, seen = deliver(t, h, body)
			assert.Equal(t, http.StatusOK, status, name)
			assert.Equal(t, ittybit.OutcomeDuplicate, seen.Outcome, name)
		}
		b.idle(t)
	})
}

func TestWrap_whatComesLateIsKept(t *testing.T) {
	onEach(t, engines(), func(t *testing.T, b *bench) {
		ctx, cancel := context.WithCancel(t.Context())
		require.NoError(t, b.inbox.Wrap(effectAnd(func() error { cancel(); return nil })).HandleEvent(ctx, task(t, 1)))
		assert.Equal(t, 1, b.effects(t))

		ctx, cancel = context.WithCancel(t.Context())
		discard := b.inbox.Wrap(effectAnd(func() error { cancel(); return ittybit.Discard(errNo) }))
		outcome, _ := ittybit.OutcomeOf(discard.HandleEvent(ctx, task(t, 3)))
		assert.Equal(t, ittybit.OutcomeDiscarded, outcome)
		assert.Equal(t, 1, b.count(t, "SELECT count(*) FROM ittybit_inbox WHERE outcome = 'discarded'"))

		later := new(ittybit.RetryLaterError)
		require.ErrorAs(t, b.inbox.Wrap(effectAnd(func() error { return nil })).HandleEvent(ctx, task(t, 2)), &later, "not begun")
		assert.Equal(t, 1, b.effects(t))
	})
}

func TestWrap_asksForTheEventAgainWhenTheDatabaseFails(t *testing.T) {
	onEach(t, engines(), func(t *testing.T, b *bench) {
		h := b.with(sqlinbox.WithTable("not_migrated")).Wrap(ittybit.EventHandlerFunc(effect))
		status, seen := deliver(t, h, taskBody(1))
		assert.Equal(t, http.StatusServiceUnavailable, status)
		assert.Equal(t, ittybit.OutcomeRetryLater, seen.Outcome)
		assert.ErrorContains(t, seen.Err, "not_migrated")
		if b.dialect == sqlinbox.Postgres {
			var state interface{ SQLState() string }
			require.ErrorAs(t, seen.Err, &state)
			assert.Equal(t, "42P01", state.SQLState())
		}

		ended := b.inbox.Wrap(ittybit.EventHandlerFunc(func(ctx context.Context, _ *ittybit.Event) error { return sqlinbox.Tx(ctx).Rollback() }))
		status, seen = deliver(t, ended, taskBody(2))
		assert.Equal(t, http.StatusServiceUnavailable, status, "a handler that ended the transaction is not taken for one that was kept")
		assert.ErrorIs(t, seen.Err, sql.ErrTxDone)
		assert.Zero(t, b.kept(t))
		b.idle(t)
	})
}

func TestWrap_namesKeepEndpointsApart(t *testing.T) {
	onEach(t, engines(), func(t *testing.T, b *bench) {
		for _, name := range []string{"a", "b"} {
			require.NoError(t, b.with(sqlinbox.WithName(name)).Wrap(ittybit.EventHandlerFunc(effect)).HandleEvent(t.Context(), task(t, 1)))
		}
		assert.Equal(t, 2, b.effects(t))
	})
}

func TestWrap_takesKeysThatATextColumnDoesNot(t *testing.T) {
	onEach(t, engines(), func(t *testing.T, b *bench) {
		keys := []string{"a\x00b", "a\x00c", "\xff", "\xfe", strings.Repeat("k", 100_000), strings.Repeat("k", 100_001)}
		for range 2 {
			for _, key := range keys {
				h := b.with(sqlinbox.WithKey(func(*ittybit.Event) string { return key })).Wrap(ittybit.EventHandlerFunc(func(ctx context.Context, _ *ittybit.Event) error {
					_, err := sqlinbox.Tx(ctx).ExecContext(ctx, "INSERT INTO effects (event_key) VALUES ('any')")
					return err
				}))
				require.NoError(t, once(h.HandleEvent(t.Context(), &ittybit.Event{Type: ittybit.EventType("x\x00" + strings.Repeat("é", 1000))})))
			}
		}
		assert.Equal(t, len(keys), b.effects(t))
	})
}

func TestWrap_insideItselfIsRefused(t *testing.T) {
	onEach(t, engines(), func(t *testing.T, b *bench) {
		twice := b.inbox.Wrap(b.inbox.Wrap(ittybit.EventHandlerFunc(effect)))
		assert.ErrorContains(t, twice.HandleEvent(t.Context(), task(t, 1)), "wrap a handler once")
		assert.Zero(t, b.kept(t))
	})
}

func TestMistakesPanic(t *testing.T) {
	db := sqliteEngine(t, "").open(t)
	next := ittybit.EventHandlerFunc(effect)
	for name, mistake := range map[string]func(){
		"nil db":              func() { sqlinbox.New(nil, sqlinbox.Postgres) },
		"no dialect":          func() { sqlinbox.New(db, 0) },
		"another dialect":     func() { sqlinbox.New(db, 7) },
		"no sync of Postgres": func() { sqlinbox.New(db, sqlinbox.Postgres, sqlinbox.WithoutSync()) },
		"groups of none":      func() { sqlinbox.New(db, sqlinbox.SQLite, sqlinbox.WithGroupCommit(0)) },
		"groups of Postgres":  func() { sqlinbox.New(db, sqlinbox.Postgres, sqlinbox.WithGroupCommit(8)) },
		"nil handler":         func() { sqlinbox.New(db, sqlinbox.SQLite).Wrap(nil) },
		"nil key":             func() { sqlinbox.New(db, sqlinbox.SQLite, sqlinbox.WithKey(nil)) },
		"no table":            func() { sqlinbox.New(db, sqlinbox.SQLite, sqlinbox.WithTable("")) },
		"an injection":        func() { sqlinbox.New(db, sqlinbox.SQLite, sqlinbox.WithTable(`a"; DROP TABLE b; --`)) },
		"upper case":          func() { sqlinbox.New(db, sqlinbox.Postgres, sqlinbox.WithTable("Inbox")) },
		"a long name":         func() { sqlinbox.New(db, sqlinbox.Postgres, sqlinbox.WithTable(strings.Repeat("a", 49))) },
		"a schema in SQLite":  func() { sqlinbox.New(db, sqlinbox.SQLite, sqlinbox.WithTable("a.b")) },
		"two schemas":         func() { sqlinbox.New(db, sqlinbox.Postgres, sqlinbox.WithTable("a.b.c")) },
		"a level of SQLite":   func() { sqlinbox.New(db, sqlinbox.SQLite, sqlinbox.WithIsolation(sql.LevelReadCommitted)) },
		"a level of MySQL":    func() { sqlinbox.New(db, sqlinbox.MySQL, sqlinbox.WithIsolation(sql.LevelSnapshot)) },
		"no sync of MySQL":    func() { sqlinbox.New(db, sqlinbox.MySQL, sqlinbox.WithoutSync()) },
		"groups of MySQL":     func() { sqlinbox.New(db, sqlinbox.MySQL, sqlinbox.WithGroupCommit(8)) },
		"a name with NUL":     func() { sqlinbox.New(db, sqlinbox.SQLite, sqlinbox.WithName("\x00")) },
		"a long endpoint":     func() { sqlinbox.New(db, sqlinbox.SQLite, sqlinbox.WithName(strings.Repeat("a", 256))) },
		"Tx outside":          func() { _ = next.HandleEvent(t.Context(), task(t, 1)) },
	} {
		assert.Panics(t, mistake, name)
	}
	assert.Equal(t, "[Postgres SQLite MySQL Dialect(7)]",
		fmt.Sprint([]sqlinbox.Dialect{sqlinbox.Postgres, sqlinbox.SQLite, sqlinbox.MySQL, 7}))
}
