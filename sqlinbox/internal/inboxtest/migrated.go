package inboxtest

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/sqlinbox"
)

// earlierTable is the table as it was before the column seq.
var earlierTable = map[sqlinbox.Dialect]string{
	sqlinbox.Postgres: `CREATE TABLE "earlier" (name text NOT NULL, event_key text NOT NULL, event_type text NOT NULL, subject_id text NOT NULL,
		outcome text NOT NULL, error text, payload bytea, received_at timestamptz NOT NULL, handled_at timestamptz NOT NULL,
		PRIMARY KEY (name, event_key))`,
	sqlinbox.SQLite: `CREATE TABLE "earlier" (name text NOT NULL, event_key text NOT NULL, event_type text NOT NULL, subject_id text NOT NULL,
		outcome text NOT NULL, error text, payload BLOB, received_at TEXT NOT NULL, handled_at TEXT NOT NULL,
		PRIMARY KEY (name, event_key))`,
	sqlinbox.MySQL: "CREATE TABLE `earlier` (name VARBINARY(255) NOT NULL, event_key VARBINARY(512) NOT NULL, event_type VARCHAR(255) NOT NULL," +
		" subject_id VARCHAR(255) NOT NULL, outcome VARCHAR(20) NOT NULL, error TEXT, payload LONGBLOB, received_at DATETIME(6) NOT NULL," +
		" handled_at DATETIME(6) NOT NULL, PRIMARY KEY (name, event_key)) ENGINE=InnoDB",
}

func fromTheEarlierTable(t *testing.T, b *bench) {
	sep, zone := "T", "Z"
	if b.Dialect == sqlinbox.MySQL {
		sep, zone = " ", ""
	}
	for _, statement := range []string{
		earlierTable[b.Dialect],
		`CREATE INDEX earlier_received_at ON earlier (name, received_at)`,
		`INSERT INTO earlier VALUES ('', 'task:task_8:completed', 'task.completed', 'task_8', 'handled', NULL, '` + body(8) + `',
			'2026-01-10` + sep + `12:00:00.000002` + zone + `', '2026-01-10` + sep + `12:00:00.000002` + zone + `')`,
		`INSERT INTO earlier VALUES ('', 'task:task_9:completed', 'task.completed', 'task_9', 'handled', NULL, '` + body(9) + `',
			'2026-01-10` + sep + `12:00:00.000001` + zone + `', '2026-01-10` + sep + `12:00:00.000001` + zone + `')`,
	} {
		b.exec(t, statement)
	}
	inbox := b.New(sqlinbox.WithTable("earlier"), sqlinbox.WithPayloads())
	assert.ErrorContains(t, inbox.Check(t.Context()), "earlier version: call Migrate")
	for range 2 {
		require.NoError(t, inbox.Migrate(t.Context()))
	}
	require.NoError(t, inbox.Wrap(b.effect(nil)).HandleEvent(t.Context(), task(t, 1)))
	var order []string
	_, err := inbox.Replay(t.Context(), ittybit.EventHandlerFunc(func(_ context.Context, e *ittybit.Event) error {
		order = append(order, e.Task.ID)
		return nil
	}), sqlinbox.ReplayParams{})
	require.NoError(t, err)
	assert.Equal(t, []string{"task_9", "task_8", "task_1"}, order)
}

// The ids of transactions in a table that was restored are of another cluster.
func restored(t *testing.T, b *bench) {
	if b.Dialect != sqlinbox.Postgres {
		return // in MySQL, what counts is in a table that is restored too
	}
	require.NoError(t, b.inbox.Wrap(b.effect(nil)).HandleEvent(t.Context(), task(t, 1)))
	result, err := b.inbox.Replay(t.Context(), b.effect(nil), sqlinbox.ReplayParams{})
	require.NoError(t, err)
	assert.Equal(t, 1, result.Handled)
	_, err = b.DB.ExecContext(t.Context(), "UPDATE ittybit_inbox SET seq = 9000000000000")
	require.NoError(t, err)
	elsewhere := result.Cursor
	require.NoError(t, b.inbox.Wrap(b.effect(nil)).HandleEvent(t.Context(), task(t, 2)))
	result, err = b.inbox.Replay(t.Context(), b.effect(nil), sqlinbox.ReplayParams{})
	require.NoError(t, err)
	assert.Equal(t, 2, result.Handled)
	assert.NotEqual(t, elsewhere, result.Cursor)
	_, err = b.inbox.Replay(t.Context(), b.effect(nil), sqlinbox.ReplayParams{
		After: "djIgOTAwMDAwMDAwMDAwMCAxIGE", // v2 9000000000000 1 a
	})
	assert.ErrorContains(t, err, "of another database")
}
