package riverevents_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/riverevents"
)

func TestMigrate_canBeCalledAgainAndAtOnce(t *testing.T) {
	t.Parallel()
	q := newQueue(t)
	q.exec("DROP TABLE ittybit_river_event, ittybit_river_subject")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() { assert.NoError(t, riverevents.Migrate(t.Context(), q.client)) })
	}
	wg.Wait()
	q.enqueue(taskEvent(t, "task_1", "completed"))
	require.NoError(t, riverevents.Migrate(t.Context(), q.client))
	assert.Empty(t, q.outcome(done1), "what is there stays")
}

// Who writes to a table has whoever makes an index for it wait, and everybody who comes later
// behind that.
func TestMigrate_whereAllIsThereWaitsForNobody(t *testing.T) {
	t.Parallel()
	q := newQueue(t)
	q.enqueue(taskEvent(t, "task_1", "completed"))
	writing, err := q.pool.Begin(t.Context())
	require.NoError(t, err)
	defer func() { _ = writing.Rollback(context.WithoutCancel(t.Context())) }()
	_, err = writing.Exec(t.Context(), "UPDATE ittybit_river_event SET outcome = outcome; UPDATE ittybit_river_subject SET newest = newest")
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), waitLimit)
	defer cancel()
	require.NoError(t, riverevents.Migrate(ctx, q.client))
	require.NoError(t, writing.Rollback(t.Context()))

	for _, missing := range []string{"INDEX ittybit_river_event_enqueued_at", "TABLE ittybit_river_subject", "TABLE ittybit_river_event"} {
		q.exec("DROP " + missing)
		require.NoError(t, riverevents.Migrate(t.Context(), q.client))
		q.exec("DROP " + missing) // it was made
		require.NoError(t, riverevents.Migrate(t.Context(), q.client))
	}
}

func TestMigrate_whereAllIsThereNeedsNoRightToMakeTables(t *testing.T) {
	t.Parallel()
	q := newQueue(t)
	role := q.schema + "_role"
	q.exec("CREATE ROLE " + role)
	t.Cleanup(func() {
		_, err := q.pool.Exec(context.WithoutCancel(t.Context()), "DROP OWNED BY "+role+"; DROP ROLE "+role)
		assert.NoError(t, err)
	})
	q.exec("GRANT USAGE ON SCHEMA " + q.schema + " TO " + role)
	q.exec("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA " + q.schema + " TO " + role)
	q.exec("GRANT USAGE ON ALL SEQUENCES IN SCHEMA " + q.schema + " TO " + role)
	config, err := pgxpool.ParseConfig(q.url)
	require.NoError(t, err)
	config.AfterConnect = func(ctx context.Context, c *pgx.Conn) error {
		_, err := c.Exec(ctx, "SET ROLE "+role)
		return err
	}
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	defer pool.Close()
	client := newClient(t, pool, &river.Config{Schema: q.schema})
	require.NoError(t, riverevents.Migrate(t.Context(), client))
	require.NoError(t, riverevents.Enqueue(client).HandleEvent(t.Context(), taskEvent(t, "task_1", "completed")))
}

func TestSchema_makesTheSameTables(t *testing.T) {
	t.Parallel()
	q := newQueue(t)
	const columns = `SELECT string_agg(format('%s.%s %s %s %s', table_name, column_name, data_type, is_nullable, column_default), ', ' ORDER BY table_name, ordinal_position)
		FROM information_schema.columns WHERE table_schema = current_schema() AND table_name LIKE 'ittybit%'`
	migrated := value[string](q, columns)
	require.Contains(t, migrated, "ittybit_river_event.outcome")
	q.exec("DROP TABLE ittybit_river_event, ittybit_river_subject")
	for range 2 {
		connection, err := q.pool.Acquire(t.Context())
		require.NoError(t, err)
		_, err = connection.Conn().PgConn().Exec(t.Context(), riverevents.Schema()).ReadAll()
		connection.Release()
		require.NoError(t, err)
	}
	assert.Equal(t, migrated, value[string](q, columns))
}

func TestMigrate_inASchemaWhoseNameNeedsQuotes(t *testing.T) {
	t.Parallel()
	q := newQueue(t)
	schema := "Quoted_" + q.schema
	quoted := pgx.Identifier{schema}.Sanitize()
	q.exec("CREATE SCHEMA " + quoted)
	t.Cleanup(func() {
		_, err := q.pool.Exec(context.WithoutCancel(t.Context()), "DROP SCHEMA "+quoted+" CASCADE")
		assert.NoError(t, err)
	})
	migrateRiver(t, q.pool, schema)
	client := newClient(t, q.pool, &river.Config{Schema: schema})
	for range 2 {
		require.NoError(t, riverevents.Migrate(t.Context(), client))
	}
	require.NoError(t, riverevents.Enqueue(client).HandleEvent(t.Context(), taskEvent(t, "task_1", "completed")))
	assert.Equal(t, 1, value[int](q, "SELECT count(*) FROM "+quoted+".ittybit_river_event"))
}

func TestMigrate_withoutTheSchemaSaysSo(t *testing.T) {
	t.Parallel()
	q := newQueue(t)
	client := newClient(t, q.pool, &river.Config{Schema: "there_is_none"})
	require.ErrorContains(t, riverevents.Migrate(t.Context(), client), "riverevents: migrating")
	_, err := riverevents.Prune(t.Context(), client, riverevents.MinPruneAge)
	require.ErrorContains(t, err, "riverevents: pruning")
}

func TestPrune_forgetsWhatIsOld(t *testing.T) {
	t.Parallel()
	q := newQueue(t)
	const many = 12_000 // more than two batches
	q.exec(`INSERT INTO ittybit_river_event (name, key, enqueued_at, settled_at, outcome)
		SELECT '', 'old:' || n, now() - interval '61 days', CASE WHEN n % 2 = 0 THEN now() - interval '61 days' END,
			CASE WHEN n % 2 = 0 THEN 'handled' END FROM generate_series(1, $1) n`, many)
	q.exec(`INSERT INTO ittybit_river_event (name, key, enqueued_at, settled_at, outcome) VALUES
		('', 'came long ago', now() - interval '61 days', now() - interval '59 days', 'handled'),
		('', 'came lately', now() - interval '59 days', NULL, NULL)`)
	q.exec(`INSERT INTO ittybit_river_subject (name, subject, newest, seen_at) VALUES
		('', 'task:old', '{}', now() - interval '61 days'), ('', 'task:new', '{}', now() - interval '59 days')`)

	_, err := riverevents.Prune(t.Context(), q.client, riverevents.MinPruneAge-1)
	var refused *ittybit.ParamError
	require.ErrorAs(t, err, &refused)
	assert.Equal(t, "olderThan", refused.Param)
	assert.Equal(t, many+2, value[int](q, "SELECT count(*) FROM ittybit_river_event"))

	n, err := riverevents.Prune(t.Context(), q.client, 60*24*time.Hour)
	require.NoError(t, err)
	assert.EqualValues(t, many, n)
	assert.Equal(t, "came lately, came long ago", value[string](q, "SELECT string_agg(key, ', ' ORDER BY key) FROM ittybit_river_event"))
	assert.Equal(t, "task:new", value[string](q, "SELECT string_agg(subject, ', ') FROM ittybit_river_subject"))
}

func TestPrune_keepsATaskOfWhichSomethingWasHeard(t *testing.T) {
	t.Parallel()
	q := newQueue(t)
	w := q.work(ittybit.EventHandlerFunc(write))
	for _, progress := range []string{`"progress":10`, `"progress":20`} {
		q.enqueue(taskEvent(t, "task_1", "processing", progress))
		w.next(river.EventKindJobCompleted)
		assert.Equal(t, 1, value[int](q, "SELECT count(*) FROM ittybit_river_subject WHERE seen_at > now() - interval '1 day'"))
		q.exec("UPDATE ittybit_river_subject SET seen_at = now() - interval '61 days'")
	}
}

func TestPrune_anEventWhoseJobWaitsIsHandledAllTheSame(t *testing.T) {
	t.Parallel()
	q := newQueue(t)
	e := taskEvent(t, "task_1", "completed")
	q.enqueue(e)
	q.exec("UPDATE ittybit_river_event SET enqueued_at = now() - interval '31 days'")
	n, err := riverevents.Prune(t.Context(), q.client, riverevents.MinPruneAge)
	require.NoError(t, err)
	assert.EqualValues(t, 1, n)
	q.enqueue(e) // delivered once more
	require.Equal(t, 2, q.jobs())
	q.exec("DELETE FROM ittybit_river_event")

	w := q.work(ittybit.EventHandlerFunc(write))
	w.next(river.EventKindJobCompleted)
	w.next(river.EventKindJobCompleted)
	assert.Equal(t, 1, q.effects(done1))
	assert.Equal(t, "handled", q.outcome(done1))
}
