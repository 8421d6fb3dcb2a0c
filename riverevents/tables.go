package riverevents

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/ittybit/ittybit-go"
)

// MinPruneAge is the least that [Prune] leaves. Ittybit does not say for how long it delivers
// again, and River's jobs, which would show a repeat, are gone after a day to a week.
const MinPruneAge = 30 * 24 * time.Hour

const (
	// migrationLock is the advisory lock that makes two migrations at once wait for each other.
	migrationLock = 0x6974747962697401
	// pruneBatch is how many rows one statement deletes, so that none runs or locks for long.
	pruneBatch = 5000
)

// schemaOf gives the statements that make the tables, each named with the prefix of their
// schema. Every row of an event is updated once or twice, in no indexed column, so that
// the space left in each page saves the indexes the work.
func schemaOf(prefix string) []string {
	return []string{
		`CREATE TABLE IF NOT EXISTS ` + prefix + `ittybit_river_event (
    name        text        NOT NULL, -- of the endpoint, or empty
    key         text        NOT NULL, -- of the event
    enqueued_at timestamptz NOT NULL DEFAULT now(),
    settled_at  timestamptz,
    outcome     text, -- handled, stale or discarded; null: still in the queue, or failed for good
    PRIMARY KEY (name, key)
) WITH (fillfactor = 80)`,
		`CREATE INDEX IF NOT EXISTS ittybit_river_event_enqueued_at ON ` + prefix + `ittybit_river_event (enqueued_at)`,
		`CREATE TABLE IF NOT EXISTS ` + prefix + `ittybit_river_subject (
    name    text        NOT NULL, -- of the endpoint, or empty
    subject text        NOT NULL, -- a task or job of Ittybit's
    newest  text        NOT NULL, -- of its states that were handled, in JSON
    seen_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (name, subject)
) WITH (fillfactor = 80)`,
	}
}

// Schema gives the SQL of the tables as [Migrate] makes them, without a schema's name, for
// those who have their own tool for migrations. It can be run again.
func Schema() string { return strings.Join(schemaOf(""), ";\n\n") + ";\n" }

// Migrate makes the tables, where they are missing, in the schema of the client's own. It can
// be called at every start, by several processes at once: where the tables are there already, it
// locks nothing, and needs no right to make any. River's tables are made by package rivermigrate.
func Migrate(ctx context.Context, client *river.Client[pgx.Tx]) error {
	if err := migrate(ctx, client); err != nil {
		return fmt.Errorf("riverevents: migrating: %w", err)
	}
	return nil
}

func migrate(ctx context.Context, client *river.Client[pgx.Tx]) error {
	there, err := migrated(ctx, client)
	if err != nil || there {
		return err
	}
	tx, err := begin(ctx, client)
	if err != nil {
		return err
	}
	defer rollback(ctx, tx)
	if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", int64(migrationLock)); err != nil {
		return err
	}
	for _, statement := range schemaOf(prefixOf(client.Schema())) {
		if _, err := tx.Exec(ctx, statement); err != nil {
			return err
		}
	}
	return tx.Commit(ctx)
}

// migrated reports whether all of it is there. To make an index that is there, though in vain,
// would wait for all who write to its table, and have everybody else wait behind it.
func migrated(ctx context.Context, client *river.Client[pgx.Tx]) (there bool, err error) {
	prefix := prefixOf(client.Schema())
	row := client.Driver().GetExecutor().QueryRow(ctx,
		"SELECT to_regclass($1) IS NOT NULL AND to_regclass($2) IS NOT NULL AND to_regclass($3) IS NOT NULL",
		prefix+"ittybit_river_event", prefix+"ittybit_river_event_enqueued_at", prefix+"ittybit_river_subject")
	err = row.Scan(&there)
	return there, err
}

// Prune forgets events that came, and were last handled, longer ago than olderThan, and
// the states of tasks of which nothing was heard for as long. It gives the number of events. It
// works in small batches, each a transaction of its own, and two at once do no harm. An event
// that is delivered again after it was forgotten is worked again, so that less than
// [MinPruneAge] is refused with an [*ittybit.ParamError]. It must also be longer than the
// [ittybit.WithTolerance] of the receiver lets a delivery be repeated.
//
// An event that is forgotten while its job waits (in a queue that was paused for a month, say)
// is worked all the same.
func Prune(ctx context.Context, client *river.Client[pgx.Tx], olderThan time.Duration) (int64, error) {
	if olderThan < MinPruneAge {
		return 0, &ittybit.ParamError{Param: "olderThan", Reason: fmt.Sprintf("must be at least %v", MinPruneAge)}
	}
	t := tablesOf(client)
	events, err := prune(ctx, client, t.pruneEvents, olderThan)
	if err == nil {
		_, err = prune(ctx, client, t.pruneSubjects, olderThan)
	}
	if err != nil {
		return events, fmt.Errorf("riverevents: pruning: %w", err)
	}
	return events, nil
}

func prune(ctx context.Context, client *river.Client[pgx.Tx], statement string, olderThan time.Duration) (int64, error) {
	for all := int64(0); ; {
		n, err := pruneOnce(ctx, client, statement, olderThan)
		all += n
		if err != nil || n < pruneBatch {
			return all, err
		}
	}
}

func pruneOnce(ctx context.Context, client *river.Client[pgx.Tx], statement string, olderThan time.Duration) (int64, error) {
	tx, err := begin(ctx, client)
	if err != nil {
		return 0, err
	}
	defer rollback(ctx, tx)
	deleted, err := tx.Exec(ctx, statement, olderThan, pruneBatch)
	if err != nil {
		return 0, err
	}
	return deleted.RowsAffected(), tx.Commit(ctx)
}

// setLockTimeout sets it until the transaction ends.
const setLockTimeout = "SELECT set_config('lock_timeout', $1, true)"

// tables has the statements on the tables of one schema.
type tables struct {
	insertEvent   string
	loadState     string // of event and subject, without a lock
	lockEvent     string
	lockSubject   string
	settleEvent   string
	settleSubject string
	pruneEvents   string
	pruneSubjects string

	// Of several events at once.
	insertEvents string
	loadStates   string
	markEvents   string
}

func tablesOf(client *river.Client[pgx.Tx]) tables {
	prefix := prefixOf(client.Schema())
	event, subject := prefix+"ittybit_river_event", prefix+"ittybit_river_subject"
	return tables{
		insertEvent: "INSERT INTO " + event + " (name, key) VALUES ($1, $2) ON CONFLICT DO NOTHING",
		loadState: "SELECT (SELECT outcome FROM " + event + " WHERE name = $1 AND key = $2), " +
			"(SELECT newest FROM " + subject + " WHERE name = $1 AND subject = $3)",
		lockEvent: "SELECT outcome FROM " + event + " WHERE name = $1 AND key = $2 FOR UPDATE",
		lockSubject: "INSERT INTO " + subject + " AS s (name, subject, newest) VALUES ($1, $2, '') " +
			"ON CONFLICT (name, subject) DO UPDATE SET seen_at = now() RETURNING s.newest",
		settleEvent:   "UPDATE " + event + " SET outcome = $3, settled_at = now() WHERE name = $1 AND key = $2",
		settleSubject: "UPDATE " + subject + " SET newest = $3 WHERE name = $1 AND subject = $2",
		pruneEvents: "DELETE FROM " + event + " WHERE ctid = ANY (ARRAY(SELECT ctid FROM " + event + " WHERE enqueued_at < now() - $1::interval " +
			"AND (settled_at IS NULL OR settled_at < now() - $1::interval) ORDER BY enqueued_at LIMIT $2 FOR UPDATE SKIP LOCKED))",
		pruneSubjects: "DELETE FROM " + subject + " WHERE ctid = ANY (ARRAY(SELECT ctid FROM " + subject +
			" WHERE seen_at < now() - $1::interval LIMIT $2 FOR UPDATE SKIP LOCKED))",

		insertEvents: "INSERT INTO " + event + " (name, key) SELECT $1, k FROM unnest($2::text[]) k ORDER BY k " +
			"ON CONFLICT DO NOTHING RETURNING key",
		loadStates: "SELECT array_agg((SELECT outcome FROM " + event + " WHERE name = a.name AND key = a.key) ORDER BY a.n), " +
			"array_agg((SELECT newest FROM " + subject + " WHERE name = a.name AND subject = a.subject) ORDER BY a.n) " +
			"FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS a (name, key, subject, n)",
		markEvents: markEvents(event, subject),
	}
}

// markEvents gives the statement that marks the events in $1 to $4 (names, keys, outcomes, and
// subjects or ""), and gives the places of those that it marked. The subjects in $5 and $6 have
// been in the states of $7, and are to be in those of $8. A subject that is in another state by now
// is left as it is, and so is each event about it.
//
// Subjects are locked in one order, and waited for no longer than $9; for events nobody waits. So
// two of these can't wait for each other, nor for a handler's transaction that waits for them.
func markEvents(event, subject string) string {
	return `WITH timeout AS MATERIALIZED (SELECT set_config('lock_timeout', $9, true) AS value),
subjects AS (
    INSERT INTO ` + subject + ` AS s (name, subject, newest)
    SELECT a.name, a.subject, a.after FROM timeout, unnest($5::text[], $6::text[], $8::text[]) AS a (name, subject, after)
    WHERE timeout.value <> '' ORDER BY a.name, a.subject
    ON CONFLICT (name, subject) DO UPDATE SET seen_at = now(), newest = CASE WHEN s.newest = (
        SELECT b.before FROM unnest($5::text[], $6::text[], $7::text[]) AS b (name, subject, before)
        WHERE b.name = s.name AND b.subject = s.subject) THEN excluded.newest ELSE s.newest END
    RETURNING s.name, s.subject, s.newest),
wanted AS (
    SELECT DISTINCT ON (a.name, a.key) a.name, a.key, a.outcome, a.n
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) WITH ORDINALITY AS a (name, key, outcome, subject, n)
    LEFT JOIN subjects s ON s.name = a.name AND s.subject = a.subject
    LEFT JOIN unnest($5::text[], $6::text[], $8::text[]) AS b (name, subject, after) ON b.name = a.name AND b.subject = a.subject
    WHERE a.subject = '' OR s.newest = b.after
    ORDER BY a.name, a.key, a.n),
locked AS MATERIALIZED (
    SELECT e.name, e.key FROM ` + event + ` e WHERE (e.name, e.key) IN (SELECT w.name, w.key FROM wanted w) FOR UPDATE SKIP LOCKED),
marked AS (
    UPDATE ` + event + ` e SET outcome = w.outcome, settled_at = now() FROM wanted w, locked l
    WHERE e.name = w.name AND e.key = w.key AND l.name = w.name AND l.key = w.key
    AND (e.outcome IS NULL OR e.outcome = '` + string(ittybit.OutcomeDiscarded) + `')
    RETURNING w.n)
SELECT coalesce(array_agg(n), '{}') FROM marked`
}

func prefixOf(schema string) string {
	if schema == "" {
		return ""
	}
	return pgx.Identifier{schema}.Sanitize() + "."
}
