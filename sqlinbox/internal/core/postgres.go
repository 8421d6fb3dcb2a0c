package core

import (
	"hash/fnv"
	"strconv"
	"strings"
	"time"
)

// Postgres is PostgreSQL, and what speaks its language.
var Postgres = &Dialect{
	Name:       "Postgres",
	Schemas:    true,
	quote:      `"`,
	statements: postgresStatements,
	retryable:  postgresRetryable,
	fix:        postgresFix,
	time:       postgresTime,
	scanTime:   func(t *time.Time) any { return t },
	check:      checkPostgres,
}

func postgresStatements(t Table) statements {
	// seq is the transaction's id, from a counter of the whole cluster. Rows from before the
	// column have 0, without a rewrite of the table.
	const seq = "bigint NOT NULL DEFAULT txid_current()"
	reconcile := newReconcileStatements(t, "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint")
	return statements{
		create:    append(createStatements(t, "text", "bytea", "timestamptz", seq), reconcile.table),
		reconcile: reconcile,
		upgrade: []string{
			"ALTER TABLE " + t.Quoted + " ADD COLUMN seq bigint NOT NULL DEFAULT 0",
			"ALTER TABLE " + t.Quoted + " ALTER COLUMN seq SET DEFAULT txid_current()",
		},
		layout: `SELECT to_regclass($1) IS NOT NULL,
			EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass($1) AND attname = 'seq' AND NOT attisdropped),
			to_regclass($2) IS NOT NULL AND to_regclass($3) IS NOT NULL AND to_regclass($4) IS NOT NULL`,
		layoutArgs: []any{t.Quoted, t.suffixed(receivedSuffix), t.suffixed(replaySuffix), t.suffixed(reconcileSuffix)},
		// Two that make one table at the same time would fail, IF NOT EXISTS or not.
		migrationLock: "SELECT pg_advisory_xact_lock(" + strconv.FormatInt(lockNumber(t), 10) + ")",
		insert: `INSERT INTO ` + t.Quoted + ` (name, event_key, event_type, subject_id, outcome, error, payload, received_at, handled_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8) ON CONFLICT (name, event_key) DO NOTHING`,
		mark: `UPDATE ` + t.Quoted + ` SET outcome = 'handled', error = NULL, handled_at = $1
			WHERE name = $2 AND event_key = $3 AND payload IS NOT NULL AND ($4 = '' OR outcome = $4) RETURNING payload`,
		// It leaves out what another replica deletes, or Replay handles.
		prune: `DELETE FROM ` + t.Quoted + ` WHERE ctid = ANY (ARRAY(SELECT ctid FROM ` + t.Quoted +
			` WHERE name = $1 AND received_at < $2 ORDER BY received_at LIMIT $3 FOR UPDATE SKIP LOCKED))`,
		keyColumn:      "event_key",
		receivedColumn: "received_at",
		// A table that was restored into another cluster has ids of transactions that are still to
		// come here.
		adopt: `UPDATE ` + t.Quoted + ` SET seq = 0 WHERE name = $1 AND payload IS NOT NULL
			AND seq >= txid_snapshot_xmax(txid_current_snapshot())`,
		bound: "SELECT txid_snapshot_xmin(txid_current_snapshot())",
		next: `SELECT min(received_at) FROM ` + t.Quoted + ` WHERE name = $1 AND payload IS NOT NULL AND seq >= $2
			AND received_at < $3`,
	}
}

// postgresTime gives no zero time, which bun's pgdriver makes NULL.
func postgresTime(t time.Time) any {
	if t.IsZero() {
		t = t.Add(time.Microsecond)
	}
	return t.UTC().Truncate(time.Microsecond)
}

// lockNumber is a number of this table's own among the advisory locks.
func lockNumber(t Table) int64 {
	sum := fnv.New64a()
	_, _ = sum.Write([]byte("sqlinbox " + t.Name)) // never fails
	return int64(sum.Sum64())                      //nolint:gosec // any number does
}

// sqlState gives PostgreSQL's code of an error, with the error that has it.
func sqlState(err error) (state string, from error) {
	from = find(err, func(err error) bool {
		state = stateOf(err)
		return state != ""
	})
	return state, from
}

func postgresRetryable(err error) bool {
	return find(err, func(err error) bool {
		state := stateOf(err)
		return state == "40001" || state == "40P01" // serialization_failure, deadlock_detected
	}) != nil
}

// stateOf gives the code of one error: pgx and lib/pq have it in SQLState, bun's pgdriver and go-pg
// in the field C of the server's message.
func stateOf(err error) string {
	switch coded := err.(type) { //nolint:errorlint // find walks the tree
	case interface{ SQLState() string }:
		return coded.SQLState()
	case interface{ Field(byte) string }:
		return coded.Field('C')
	}
	return ""
}

// PoolerFix is what to do where named prepared statements fail.
const PoolerFix = "the connection goes through a pooler in transaction mode (such as PgBouncer or Supabase's), " +
	"where named prepared statements fail: add default_query_exec_mode=exec to the connection's URL (pgx)"

func postgresFix(err error, table Table) string {
	state, from := sqlState(err)
	switch state {
	case "42P05", "26000": // duplicate_prepared_statement, invalid_sql_statement_name
		return PoolerFix
	case "08P01": // protocol_violation
		switch text := from.Error(); {
		case strings.Contains(text, "prepared statement"): // the name is there, and stands for another statement
			return PoolerFix
		case strings.Contains(text, "query_wait_timeout"): // PgBouncer's own
			return poolerBusyFix
		}
	case "42P01": // undefined_table
		if strings.Contains(from.Error(), `"`+table.Name+`"`) {
			return migrateFix
		}
	case "42703": // undefined_column
		if strings.Contains(from.Error(), `"seq"`) {
			return upgradeFix
		}
	case "42501": // insufficient_privilege
		return "the database's user lacks a right: GRANT SELECT, INSERT, UPDATE, DELETE ON " + table.Quoted
	case "25006": // read_only_sql_transaction
		return readOnlyFix
	case "25P02": // in_failed_sql_transaction
		return swallowedFix
	case "25P01": // no_active_sql_transaction
		return "a handler must not run COMMIT or ROLLBACK: return nil to commit, or an error to roll back"
	case "55P03", "57014": // lock_not_available, query_canceled
		if strings.Contains(from.Error(), "timeout") {
			return "raise lock_timeout and statement_timeout above the handler's deadline, or set them to 0"
		}
	}
	// The texts of pgx and of lib/pq at the commit of a transaction in which a statement has
	// failed.
	for _, text := range []string{"commit unexpectedly resulted in rollback", "in a failed transaction"} {
		if strings.Contains(err.Error(), text) {
			return swallowedFix
		}
	}
	return ""
}

const (
	migrateFix    = "call Migrate at start-up, or run the statements of Schema"
	upgradeFix    = "the table is of an earlier version: call Migrate at start-up"
	readOnlyFix   = "the server is read-only: connect to the primary (target_session_attrs=read-write)"
	poolerBusyFix = "no server connection of the pooler became free in time: raise PgBouncer's default_pool_size, " +
		"or shorten the handlers' transactions"
	swallowedFix = "a statement in the handler failed, which ends a transaction of PostgreSQL: return its error, or run it after a SAVEPOINT"
)
