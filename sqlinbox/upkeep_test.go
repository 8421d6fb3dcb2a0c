package sqlinbox_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/sqlinbox"
)

func TestMigrate_manyAtOnceAndAgain(t *testing.T) {
	for name, open := range ways() {
		t.Run(name, func(t *testing.T) {
			e := open(t)
			var all sync.WaitGroup
			for range 8 {
				db := e.open(t) // as a process of its own
				all.Go(func() {
					inbox := sqlinbox.New(db, e.dialect)
					assert.NoError(t, inbox.Migrate(t.Context()))
					assert.NoError(t, inbox.Migrate(t.Context()))
				})
			}
			all.Wait()
			db := e.open(t)
			b := newBench(t, e, db)
			assert.Zero(t, b.kept(t))
		})
	}
}

func TestSchema_isWhatMigrateMakes(t *testing.T) {
	for name, open := range engines() {
		t.Run(name, func(t *testing.T) {
			e := open(t)
			db := e.open(t)
			inbox := sqlinbox.New(db, e.dialect, sqlinbox.WithTable("my_inbox"))
			for _, statement := range strings.SplitAfter(inbox.Schema(), ";\n") {
				if strings.TrimSpace(statement) == "" {
					continue
				}
				_, err := db.ExecContext(t.Context(), statement)
				require.NoError(t, err)
			}
			require.NoError(t, inbox.Migrate(t.Context()))
			nothing := ittybit.EventHandlerFunc(func(context.Context, *ittybit.Event) error { return nil })
			require.NoError(t, inbox.Wrap(nothing).HandleEvent(t.Context(), task(t, 1)))
			var n int
			require.NoError(t, db.QueryRowContext(t.Context(), "SELECT count(*) FROM my_inbox").Scan(&n))
			assert.Equal(t, 1, n)
		})
	}
}

func TestMigrate_inASchemaOfPostgresWithoutTheRightToMakeTables(t *testing.T) {
	e := engines()["PostgreSQL"](t)
	db := e.open(t)
	db.SetMaxOpenConns(1) // for SET ROLE
	_, err := db.ExecContext(t.Context(), `CREATE SCHEMA private`)
	require.NoError(t, err)
	inbox := sqlinbox.New(db, sqlinbox.Postgres, sqlinbox.WithTable("private.inbox"))
	require.NoError(t, inbox.Migrate(t.Context()))
	role := fmt.Sprintf("sqlinbox_%d", time.Now().UnixNano())
	for _, statement := range []string{
		"CREATE ROLE " + role, "GRANT USAGE ON SCHEMA private TO " + role, "GRANT SELECT, INSERT, UPDATE, DELETE ON private.inbox TO " + role,
		"SET ROLE " + role,
	} {
		_, err := db.ExecContext(t.Context(), statement)
		require.NoError(t, err)
	}
	t.Cleanup(func() {
		_, err := db.ExecContext(context.WithoutCancel(t.Context()), "RESET ROLE; DROP OWNED BY "+role+"; DROP ROLE "+role)
		assert.NoError(t, err)
	})
	require.NoError(t, inbox.Migrate(t.Context()))
	nothing := ittybit.EventHandlerFunc(func(context.Context, *ittybit.Event) error { return nil })
	require.NoError(t, inbox.Wrap(nothing).HandleEvent(t.Context(), task(t, 1)))
}

func TestPrune_forgetsWhatIsOldEnough(t *testing.T) {
	onEach(t, engines(), func(t *testing.T, b *bench) {
		h := b.inbox.Wrap(ittybit.EventHandlerFunc(effect))
		old := sqlinbox.New(b.db, b.dialect, sqlinbox.WithName("another endpoint")).Wrap(ittybit.EventHandlerFunc(effect))
		require.NoError(t, old.HandleEvent(t.Context(), task(t, 1)))
		const many = 2300 // three batches
		b.multiply(t, many)
		b.age(t, 40*24*time.Hour)
		require.NoError(t, h.HandleEvent(t.Context(), task(t, 2)))

		n, err := b.inbox.Prune(t.Context(), 41*24*time.Hour)
		require.NoError(t, err)
		assert.Zero(t, n)
		var all sync.WaitGroup
		var pruned atomic.Int64
		for range 4 { // replicas
			all.Go(func() {
				n, err := b.with().Prune(t.Context(), 30*24*time.Hour)
				assert.NoError(t, err)
				pruned.Add(n)
			})
		}
		all.Wait()
		// One that saw that the others had the rest may have left some to the next time.
		n, err = b.inbox.Prune(t.Context(), 30*24*time.Hour)
		require.NoError(t, err)
		assert.Equal(t, int64(many), pruned.Load()+n)
		assert.Equal(t, 2, b.kept(t), "the young one, and the other endpoint's")

		b.age(t, 40*24*time.Hour)
		for _, tooShort := range []time.Duration{-time.Hour, 0, sqlinbox.MinPruneAge - 1} {
			_, err := b.inbox.Prune(t.Context(), tooShort)
			var param *ittybit.ParamError
			require.ErrorAs(t, err, &param)
			assert.Equal(t, "olderThan", param.Param)
			assert.Equal(t, 2, b.kept(t), "nothing is forgotten")
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = b.inbox.Prune(ended, sqlinbox.MinPruneAge)
		assert.ErrorIs(t, err, context.Canceled)
	})
}

// multiply makes so many rows of the only one, under the name "".
func (b *bench) multiply(t *testing.T, many int) {
	t.Helper()
	fill := "INSERT INTO ittybit_inbox (name, event_key, event_type, subject_id, outcome, received_at, handled_at) " +
		"SELECT '', %s, '', '', 'handled', received_at, handled_at FROM ittybit_inbox, %s"
	fill = map[sqlinbox.Dialect]string{
		sqlinbox.Postgres: fmt.Sprintf(fill, "n::text", fmt.Sprintf("generate_series(1, %d) AS s(n)", many)),
		sqlinbox.SQLite: fmt.Sprintf(fill, "n",
			fmt.Sprintf("(WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < %d) SELECT n FROM s)", many)),
		sqlinbox.MySQL: fmt.Sprintf(fill, "n", fmt.Sprintf("(SELECT seq AS n FROM seq_1_to_%d) AS s", many)),
	}[b.dialect]
	_, err := b.db.ExecContext(t.Context(), fill)
	require.NoError(t, err)
}

func TestPrune_countsWhatItDeletedBeforeAnError(t *testing.T) {
	onEach(t, engines(), func(t *testing.T, b *bench) {
		other := b.with(sqlinbox.WithName("another endpoint"))
		require.NoError(t, other.Wrap(ittybit.EventHandlerFunc(effect)).HandleEvent(t.Context(), task(t, 1)))
		b.multiply(t, 1500)
		b.age(t, 40*24*time.Hour)
		protect := map[sqlinbox.Dialect]string{
			sqlinbox.SQLite: "CREATE TRIGGER protect BEFORE DELETE ON ittybit_inbox WHEN OLD.event_key = 'last' BEGIN SELECT RAISE(ABORT, 'it stays'); END",
			sqlinbox.Postgres: `CREATE FUNCTION stays() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'it stays'; END $$;
				CREATE TRIGGER protect BEFORE DELETE ON ittybit_inbox FOR EACH ROW WHEN (OLD.event_key = 'last') EXECUTE FUNCTION stays()`,
			sqlinbox.MySQL: `CREATE TRIGGER protect BEFORE DELETE ON ittybit_inbox FOR EACH ROW
				IF OLD.event_key = 'last' THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'it stays'; END IF`,
		}
		later := time.Now().Add(-39 * 24 * time.Hour).UTC()
		var at any = later
		if b.dialect == sqlinbox.SQLite {
			at = later.Format("2006-01-02T15:04:05.000000Z")
		}
		b.exec(t, protect[b.dialect])
		b.exec(t, "UPDATE ittybit_inbox SET event_key = 'last', received_at = $1 WHERE event_key = '7'", at)
		n, err := b.inbox.Prune(t.Context(), 30*24*time.Hour)
		require.ErrorContains(t, err, "it stays")
		assert.Equal(t, int64(1000), n)
		assert.Equal(t, 501, b.kept(t))
	})
}

// wantAgain is an error with which PostgreSQL wants a transaction again.
type wantAgain string

func (e wantAgain) Error() string    { return "SQLSTATE " + string(e) }
func (e wantAgain) SQLState() string { return string(e) }

// locked is an error as SQLite's drivers have them.
type locked int

func (e locked) Error() string { return "code " + string(rune('0'+int(e)&0xff)) }
func (e locked) Code() int     { return int(e) }

func TestWrap_runsTheTransactionAgainWhenTheDatabaseWantsIt(t *testing.T) {
	onEach(t, engines(), func(t *testing.T, b *bench) {
		wants := []error{wantAgain("40001"), wantAgain("40P01")}
		if b.dialect == sqlinbox.SQLite {
			wants = []error{locked(5), locked(6), locked(5 | 2<<8), errors.New("database is locked"), errors.New("database table is locked: x")}
		}
		if b.dialect == sqlinbox.MySQL {
			wants = []error{&mysql.MySQLError{Number: 1213}, &mysql.MySQLError{Number: 1020}}
		}
		n := 0
		for _, want := range wants {
			for _, wrapped := range []error{want, fmt.Errorf("more: %w", want), ittybit.Discard(want), errors.Join(errNo, want)} {
				n++
				runs := 0
				h := b.inbox.Wrap(effectAnd(func() error {
					if runs++; runs < 3 {
						return wrapped
					}
					return nil
				}))
				require.NoError(t, h.HandleEvent(t.Context(), task(t, n)), "%v", wrapped)
				assert.Equal(t, 3, runs)
				assert.Equal(t, n, b.effects(t), "one run's writes")
			}
			runs := 0
			h := b.inbox.Wrap(effectAnd(func() error { runs++; return want }))
			var later *ittybit.RetryLaterError
			require.ErrorAs(t, h.HandleEvent(t.Context(), task(t, 1000)), &later)
			assert.ErrorIs(t, later, want)
			assert.Equal(t, 5, runs, "it gives up")
			assert.Equal(t, n, b.effects(t))
		}
		for _, other := range []error{errNo, wantAgain("23505"), locked(19), &mysql.MySQLError{Number: 1205}} {
			runs := 0
			require.ErrorIs(t, b.inbox.Wrap(effectAnd(func() error { runs++; return other })).HandleEvent(t.Context(), task(t, 1000)), other)
			assert.Equal(t, 1, runs)
		}
	})
}

func TestWrap_withStricterIsolationLosesNoUpdate(t *testing.T) {
	for _, level := range []sql.IsolationLevel{sql.LevelRepeatableRead, sql.LevelSerializable} {
		t.Run(level.String(), func(t *testing.T) {
			e := engines()["PostgreSQL"](t)
			b := newBench(t, e, e.open(t))
			_, err := b.db.ExecContext(t.Context(), "CREATE TABLE counter AS SELECT 0 AS n")
			require.NoError(t, err)
			var runs atomic.Int32
			h := b.with(sqlinbox.WithIsolation(level)).Wrap(ittybit.EventHandlerFunc(func(ctx context.Context, e *ittybit.Event) error {
				runs.Add(1)
				var n int
				if err := sqlinbox.Tx(ctx).QueryRowContext(ctx, "SELECT n FROM counter").Scan(&n); err != nil {
					return err
				}
				_, err := sqlinbox.Tx(ctx).ExecContext(ctx, "UPDATE counter SET n = $1", n+1)
				return err
			}))
			const events = 6
			var all sync.WaitGroup
			for i := range 3 * events { // each comes three times
				all.Go(func() {
					var err error
					for range 100 { // as the sender does
						var later *ittybit.RetryLaterError
						if err = once(h.HandleEvent(t.Context(), task(t, i%events))); !errors.As(err, &later) {
							break
						}
					}
					assert.NoError(t, err)
				})
			}
			all.Wait()
			assert.Equal(t, events, b.count(t, "SELECT n FROM counter"))
			assert.Equal(t, events, b.kept(t))
			t.Logf("%d runs for %d events", runs.Load(), events)
			b.idle(t)
		})
	}
}

func TestWrap_deadlocksOfHandlersEnd(t *testing.T) {
	e := engines()["PostgreSQL"](t)
	b := newBench(t, e, e.open(t))
	_, err := b.db.ExecContext(t.Context(), "CREATE TABLE pair AS SELECT id, 0 AS n FROM generate_series(0, 1) AS id")
	require.NoError(t, err)
	var met sync.WaitGroup
	met.Add(2)
	var first [2]sync.Once
	var all sync.WaitGroup
	for i := range 2 {
		h := b.inbox.Wrap(ittybit.EventHandlerFunc(func(ctx context.Context, e *ittybit.Event) error {
			for step, id := range []int{i, 1 - i} {
				if _, err := sqlinbox.Tx(ctx).ExecContext(ctx, "UPDATE pair SET n = n + 1 WHERE id = $1", id); err != nil {
					return err
				}
				if step == 0 {
					first[i].Do(func() { met.Done(); met.Wait() }) // each has what the other wants
				}
			}
			return nil
		}))
		all.Go(func() { assert.NoError(t, h.HandleEvent(t.Context(), task(t, i))) })
	}
	all.Wait()
	assert.Equal(t, 4, b.count(t, "SELECT sum(n) FROM pair"))
}

// What a handler said in a run that was not committed counts for nothing.
func TestWrap_theRunThatIsCommittedDecides(t *testing.T) {
	e := engines()["PostgreSQL"](t)
	b := newBench(t, e, e.open(t))
	_, err := b.db.ExecContext(t.Context(), `
		CREATE FUNCTION again() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'again' USING ERRCODE = '40001'; END $$;
		CREATE CONSTRAINT TRIGGER at_commit AFTER INSERT OR UPDATE ON ittybit_inbox DEFERRABLE INITIALLY DEFERRED
			FOR EACH ROW WHEN (NEW.outcome = 'discarded') EXECUTE FUNCTION again()`)
	require.NoError(t, err)
	runs := 0
	h := b.inbox.Wrap(effectAnd(func() error {
		if runs++; runs == 1 {
			return ittybit.Discard(errNo)
		}
		return nil
	}))
	err = h.HandleEvent(t.Context(), task(t, 1))
	require.ErrorContains(t, err, "marking the event as discarded")
	outcome, _ := ittybit.OutcomeOf(err)
	assert.Equal(t, ittybit.OutcomeRetryLater, outcome, "it comes again")
	assert.Zero(t, b.effects(t)+b.count(t, "SELECT count(*) FROM ittybit_inbox"))

	require.NoError(t, h.HandleEvent(t.Context(), task(t, 1)))
	assert.Equal(t, 2, runs)
	assert.Equal(t, 1, b.effects(t))
	assert.Equal(t, 1, b.count(t, "SELECT count(*) FROM ittybit_inbox WHERE outcome = 'handled'"))
}
