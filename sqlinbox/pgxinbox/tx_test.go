package pgxinbox_test

import (
	"context"
	"database/sql"
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/internal/pgserver"
	"github.com/ittybit/ittybit-go/sqlinbox"
	"github.com/ittybit/ittybit-go/sqlinbox/pgxinbox"
)

func openPool(t *testing.T) *pgxpool.Pool {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), pgserver.Database(t))
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	require.NoError(t, pgxinbox.New(pool).Migrate(t.Context()))
	_, err = pool.Exec(t.Context(), "CREATE TABLE effects (note text NOT NULL)")
	require.NoError(t, err)
	return pool
}

func event(t *testing.T) *ittybit.Event {
	t.Helper()
	e, err := ittybit.ParseEvent([]byte(`{"id":"task_1","object":"task","status":"completed"}`))
	require.NoError(t, err)
	return e
}

func notes(t *testing.T, pool *pgxpool.Pool) (all []string) {
	t.Helper()
	rows, err := pool.Query(t.Context(), "SELECT note FROM effects ORDER BY note")
	require.NoError(t, err)
	all, err = pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	return all
}

func TestTx_doesWhatATransactionOfPgxDoes(t *testing.T) {
	pool := openPool(t)
	h := pgxinbox.New(pool).Wrap(ittybit.EventHandlerFunc(func(ctx context.Context, _ *ittybit.Event) error {
		tx := pgxinbox.Tx(ctx)
		if _, err := tx.CopyFrom(ctx, pgx.Identifier{"effects"}, []string{"note"}, pgx.CopyFromRows([][]any{{"copy"}})); err != nil {
			return err
		}
		batch := new(pgx.Batch)
		batch.Queue("INSERT INTO effects VALUES ($1)", "batch")
		if err := tx.SendBatch(ctx, batch).Close(); err != nil {
			return err
		}
		for range 2 {
			err := pgx.BeginFunc(ctx, tx, func(inner pgx.Tx) error {
				_, err := inner.Exec(ctx, "INSERT INTO effects VALUES ('rolled back')")
				return errors.Join(err, errors.New("no"))
			})
			assert.ErrorContains(t, err, "no")
		}
		err := pgx.BeginFunc(ctx, tx, func(inner pgx.Tx) error {
			_, err := inner.Exec(ctx, "INSERT INTO effects VALUES ('savepoint')")
			return err
		})
		if err != nil {
			return err
		}
		objects := tx.LargeObjects()
		if _, err := objects.Create(ctx, 0); err != nil {
			return err
		}
		if _, err := tx.Prepare(ctx, "count", "SELECT count(*) FROM effects"); err != nil {
			return err
		}
		var n int
		if err := tx.QueryRow(ctx, "count").Scan(&n); err != nil {
			return err
		}
		assert.Equal(t, 3, n)
		rows, err := tx.Query(ctx, "SELECT note FROM effects")
		if err != nil {
			return err
		}
		_, err = pgx.CollectRows(rows, pgx.RowTo[string])
		return err
	}))
	require.NoError(t, h.HandleEvent(t.Context(), event(t)))
	assert.Equal(t, []string{"batch", "copy", "savepoint"}, notes(t, pool))
	assert.Zero(t, pool.Stat().AcquiredConns())
}

func TestTx_isTheInboxsToEnd(t *testing.T) {
	pool := openPool(t)
	var kept pgx.Tx
	for name, tt := range map[string]struct {
		end  func(ctx context.Context, tx pgx.Tx) error
		want string
	}{
		"Commit":       {func(ctx context.Context, tx pgx.Tx) error { return tx.Commit(ctx) }, "do not call Commit"},
		"Rollback":     {func(ctx context.Context, tx pgx.Tx) error { return tx.Rollback(ctx) }, "rolled back the transaction"},
		"SQL":          {func(ctx context.Context, tx pgx.Tx) error { _, err := tx.Exec(ctx, "ROLLBACK"); return err }, "by a statement of its own"},
		"a batch":      {beginInBatch, "Batch.BeginTx"},
		"a lost error": {func(ctx context.Context, tx pgx.Tx) error { _, _ = tx.Exec(ctx, "nonsense"); return nil }, "return its error"},
		"an open query": {func(ctx context.Context, tx pgx.Tx) error {
			_, err := tx.Query(ctx, "SELECT generate_series(1, 100000)") //nolint:gocritic,sqlclosecheck // it is left open on purpose
			return err
		}, "conn busy"},
	} {
		t.Run(name, func(t *testing.T) {
			h := pgxinbox.New(pool).Wrap(ittybit.EventHandlerFunc(func(ctx context.Context, _ *ittybit.Event) error {
				kept = pgxinbox.Tx(ctx)
				_, err := kept.Exec(ctx, "INSERT INTO effects VALUES ('never')")
				return errors.Join(err, tt.end(ctx, kept))
			}))
			assert.ErrorContains(t, h.HandleEvent(t.Context(), event(t)), tt.want)
			assert.Empty(t, notes(t, pool))
			_, err := kept.Exec(t.Context(), "INSERT INTO effects VALUES ('after the end')")
			require.ErrorIs(t, err, pgx.ErrTxClosed)
			_, err = kept.Query(t.Context(), "SELECT 1") //nolint:gocritic,sqlclosecheck // there are no rows
			require.ErrorIs(t, err, pgx.ErrTxClosed)
			require.ErrorIs(t, kept.QueryRow(t.Context(), "SELECT 1").Scan(new(int)), pgx.ErrTxClosed)
			_, err = kept.Begin(t.Context())
			require.ErrorIs(t, err, pgx.ErrTxClosed)
			require.ErrorIs(t, kept.Rollback(t.Context()), pgx.ErrTxClosed)
		})
	}
	assert.Zero(t, pool.Stat().AcquiredConns())
}

func beginInBatch(ctx context.Context, tx pgx.Tx) error {
	batch := new(pgx.Batch)
	batch.BeginTx(pgx.TxOptions{})
	return tx.SendBatch(ctx, batch).Close()
}

func TestNew_mistakesPanic(t *testing.T) {
	pool, err := pgxpool.New(t.Context(), "postgres://nobody@127.0.0.1:1/none")
	require.NoError(t, err)
	defer pool.Close()
	for name, mistake := range map[string]func(){
		"nil pool":    func() { pgxinbox.New(nil) },
		"nil handler": func() { pgxinbox.New(pool).Wrap(nil) },
		"a table":     func() { pgxinbox.New(pool, sqlinbox.WithTable("a b")) },
		"no sync":     func() { pgxinbox.New(pool, sqlinbox.WithoutSync()) },
		"a level":     func() { pgxinbox.New(pool, sqlinbox.WithIsolation(sql.LevelLinearizable)) },
		"Tx outside":  func() { pgxinbox.Tx(t.Context()) },
	} {
		assert.Panics(t, mistake, name)
	}
}

// An inbox of each package may share a table.
func TestInbox_sharesItsTableWithSqlinbox(t *testing.T) {
	pool := openPool(t)
	db, err := sql.Open("pgx", pool.Config().ConnString())
	require.NoError(t, err)
	defer func() { assert.NoError(t, db.Close()) }()
	nothing := ittybit.EventHandlerFunc(func(context.Context, *ittybit.Event) error { return nil })
	for _, level := range []sql.IsolationLevel{sql.LevelDefault, sql.LevelReadCommitted, sql.LevelRepeatableRead, sql.LevelSerializable} {
		_, err := pool.Exec(t.Context(), "DELETE FROM ittybit_inbox")
		require.NoError(t, err)
		require.NoError(t, pgxinbox.New(pool, sqlinbox.WithIsolation(level)).Wrap(nothing).HandleEvent(t.Context(), event(t)))
		require.ErrorIs(t, sqlinbox.New(db, sqlinbox.Postgres).Wrap(nothing).HandleEvent(t.Context(), event(t)), ittybit.ErrAlreadyHandled)
	}
}

// The inbox's statements, and what they store, are the same however the pool runs statements.
func TestInbox_runsInThePoolsMode(t *testing.T) {
	pool := openPool(t)
	for _, mode := range []string{"cache_statement", "cache_describe", "describe_exec", "exec", "simple_protocol"} {
		t.Run(mode, func(t *testing.T) {
			own, err := pgxpool.New(t.Context(), pool.Config().ConnString()+"&default_query_exec_mode="+mode)
			require.NoError(t, err)
			defer own.Close()
			in := pgxinbox.New(own, sqlinbox.WithName(mode), sqlinbox.WithPayloads())
			require.NoError(t, in.Check(t.Context()))
			nothing := ittybit.EventHandlerFunc(func(context.Context, *ittybit.Event) error { return nil })
			h := in.Wrap(nothing)
			require.NoError(t, h.HandleEvent(t.Context(), event(t)))
			require.ErrorIs(t, h.HandleEvent(t.Context(), event(t)), ittybit.ErrAlreadyHandled)
			var payload string
			result, err := in.Replay(t.Context(), ittybit.EventHandlerFunc(func(_ context.Context, e *ittybit.Event) error {
				payload = string(e.RawJSON())
				return nil
			}), sqlinbox.ReplayParams{})
			require.NoError(t, err)
			assert.Equal(t, 1, result.Handled)
			assert.JSONEq(t, string(event(t).RawJSON()), payload)
			pruned, err := in.Prune(t.Context(), sqlinbox.MinPruneAge)
			require.NoError(t, err)
			assert.Zero(t, pruned)
		})
	}
}
