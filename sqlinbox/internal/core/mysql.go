package core

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"time"
)

// MySQL is MySQL and MariaDB, with tables of InnoDB.
var MySQL = &Dialect{
	Name:       "MySQL",
	Schemas:    true,
	quote:      "`",
	statements: mysqlStatements,
	retryable:  mysqlRetryable,
	fix:        mysqlFix,
	isThere:    mysqlIsThere,
	time:       mysqlTime,
	scanTime:   func(t *time.Time) any { return &textTime{t, mysqlLayout} },
	check:      checkMySQL,
}

// mysqlLayout is how times look: DATETIME(6) knows no zone, and they are in UTC.
const mysqlLayout = "2006-01-02 15:04:05.000000"

// mysqlTime gives a time as a literal, which the parameters of a driver's connection don't touch.
// DATETIME begins with the year 1000.
func mysqlTime(t time.Time) any {
	if t = t.UTC(); t.Year() < 1000 {
		t = time.Date(1000, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	return Literal("TIMESTAMP'" + t.Format(mysqlLayout) + "'") // which cuts what is below a microsecond
}

// pendingOutcome is that of a row whose handler has not ended.
const pendingOutcome = "pending"

// The engine is said, because a server can have another default. Keys are bytes: in a collation,
// keys that differ in case or in spaces at their ends could be one.
func mysqlStatements(t Table) statements {
	const text = "CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
	checkpoints := t.suffixed(reconcileSuffix)
	received := "KEY `" + t.index(receivedSuffix) + "` (name, received_at)"
	replay := "KEY `" + t.index(replaySuffix) + "` (name, seq, received_at)"
	return statements{
		create: []string{
			fmt.Sprintf(`CREATE TABLE IF NOT EXISTS %s (
	name        VARBINARY(%[2]d) NOT NULL,
	event_key   VARBINARY(%[3]d) NOT NULL,
	event_type  VARCHAR(%[2]d) %[4]s NOT NULL,
	subject_id  VARCHAR(%[2]d) %[4]s NOT NULL,
	outcome     VARCHAR(20) %[4]s NOT NULL,
	error       TEXT %[4]s,
	payload     LONGBLOB,
	received_at DATETIME(6) NOT NULL,
	handled_at  DATETIME(6) NOT NULL,
	seq         BIGINT,
	run_id      BIGINT,
	PRIMARY KEY (name, event_key),
	%[5]s,
	%[6]s
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC`, t.Quoted, MaxText, maxKey, text, received, replay),
			fmt.Sprintf(`CREATE TABLE IF NOT EXISTS %s (
	name       VARBINARY(%d) NOT NULL PRIMARY KEY,
	lease      BIGINT NOT NULL,
	held_until BIGINT NOT NULL,
	next_run   BIGINT NOT NULL,
	checkpoint LONGTEXT %s NOT NULL,
	replay_seq BIGINT NOT NULL DEFAULT 0
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC`, checkpoints, MaxText, text),
		},
		upgrade: []string{
			"ALTER TABLE " + t.Quoted + " ADD COLUMN seq BIGINT DEFAULT 0",
			"ALTER TABLE " + t.Quoted + " ALTER COLUMN seq SET DEFAULT NULL",
			"ALTER TABLE " + t.Quoted + " ADD COLUMN run_id BIGINT",
			"ALTER TABLE " + t.Quoted + " ADD " + received,
			"ALTER TABLE " + t.Quoted + " ADD " + replay,
		},
		layout:          mysqlLayoutStatement(t),
		migrationLock:   "SELECT GET_LOCK(" + mysqlLockName(t) + ", 60)",
		migrationUnlock: "DO RELEASE_LOCK(" + mysqlLockName(t) + ")",
		lock:            "SAVEPOINT sqlinbox",
		// One row: it was not there. Two: it was, and is locked now.
		insert: `INSERT INTO ` + t.Quoted + ` (name, event_key, event_type, subject_id, outcome, error, payload, received_at, handled_at, seq, run_id)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8, $10, $9) ON DUPLICATE KEY UPDATE run_id = $9`,
		pending: &pendingStatements{
			outcome: "SELECT outcome FROM " + t.Quoted + " WHERE name = $1 AND event_key = $2 FOR UPDATE",
			finish: "UPDATE " + t.Quoted + ` SET outcome = $1, error = $2, run_id = NULL
				WHERE name = $3 AND event_key = $4 AND run_id = $5 AND outcome = 'pending'`,
			release: "RELEASE SAVEPOINT sqlinbox",
			payload: "SELECT payload FROM " + t.Quoted + " WHERE name = $1 AND event_key = $2 FOR UPDATE",
			finishReplay: "UPDATE " + t.Quoted + ` SET outcome = 'handled', error = NULL, handled_at = $1, run_id = NULL
				WHERE name = $2 AND event_key = $3 AND run_id = $4`,
		},
		mark: `UPDATE ` + t.Quoted + ` SET run_id = $5
			WHERE name = $2 AND event_key = $3 AND payload IS NOT NULL AND ($4 = '' OR outcome = $4) AND outcome <> 'pending'`,
		prune:          "DELETE FROM " + t.Quoted + " WHERE name = $1 AND received_at < $2 ORDER BY received_at LIMIT $3",
		keyColumn:      "event_key",
		receivedColumn: "CAST(received_at AS CHAR)", // else parseTime, and a loc, of the connection would count
		numbers: &numberStatements{
			// It reads what is committed, and waits for nobody.
			list: `SELECT event_key FROM ` + t.Quoted + ` WHERE name = $1 AND seq = 0 AND payload IS NOT NULL AND outcome <> 'pending'
				ORDER BY received_at, event_key LIMIT $2`,
			next: "INSERT INTO " + checkpoints + ` (name, lease, held_until, next_run, checkpoint, replay_seq) VALUES ($1, 0, 0, 0, '{}', 1)
				ON DUPLICATE KEY UPDATE replay_seq = replay_seq + 1`,
			number: "UPDATE " + t.Quoted + " SET seq = (SELECT replay_seq FROM " + checkpoints +
				" WHERE name = $1) WHERE name = $1 AND seq = 0 AND event_key IN (",
		},
		bound:     "SELECT coalesce(max(replay_seq), 0) + 1 FROM " + checkpoints + " WHERE name = $1",
		reconcile: mysqlReconcileStatements(checkpoints),
	}
}

func mysqlReconcileStatements(table string) reconcileStatements {
	const now = "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))" // in no time zone, which may have an hour twice
	return reconcileStatements{
		start: "INSERT INTO " + table + " (name, lease, held_until, next_run, checkpoint) VALUES ($1, 0, 0, 0, '{}')" +
			" ON DUPLICATE KEY UPDATE name = name",
		acquire: "UPDATE " + table + " SET lease = lease + 1, held_until = " + now + " + $1 WHERE name = $2 AND held_until <= " + now +
			" AND next_run <= " + now,
		acquired: "SELECT lease, checkpoint FROM " + table + " WHERE name = $1 FOR UPDATE",
		save:     "UPDATE " + table + " SET checkpoint = coalesce($1, checkpoint), held_until = " + now + " + $2 WHERE name = $3 AND lease = $4",
		finish:   "UPDATE " + table + " SET held_until = 0, next_run = " + now + " + $1 WHERE name = $2 AND lease = $3",
	}
}

// mysqlSchema gives the expression for the schema of a table.
func mysqlSchema(t Table) string {
	if schema, _, ok := strings.Cut(t.Name, "."); ok {
		return "'" + schema + "'"
	}
	return "DATABASE()"
}

func mysqlLayoutStatement(t Table) string {
	from := func(view, table string) string {
		return "FROM information_schema." + view + " WHERE table_schema = " + mysqlSchema(t) + " AND table_name = '" + table + "'"
	}
	table, checkpoints := t.index(""), t.index(reconcileSuffix)
	return "SELECT EXISTS (SELECT 1 " + from("tables", table) + ")," +
		" (SELECT count(*) = 2 " + from("columns", table) + " AND column_name IN ('seq', 'run_id'))," +
		" (SELECT count(DISTINCT index_name) = 2 " + from("statistics", table) +
		" AND index_name IN ('" + t.index(receivedSuffix) + "', '" + t.index(replaySuffix) + "'))" +
		" AND EXISTS (SELECT 1 " + from("columns", checkpoints) + " AND column_name = 'replay_seq')"
}

// mysqlLockName gives the expression for a name of this table's own among the locks of the server,
// of at most 64 characters. The lock is the connection's, and not the transaction's, which a CREATE
// TABLE ends.
func mysqlLockName(t Table) string {
	return "CONCAT('sqlinbox ', MD5(CONCAT(" + mysqlSchema(t) + ", '." + t.index("") + "')))"
}

// newRunID gives a number that no other run of a handler has.
func newRunID() int64 { return rand.Int64() } //nolint:gosec // no secret: two runs are not to meet

// The numbers of errors of the server's.
const (
	mysqlDuplicateColumn = 1060
	mysqlDuplicateIndex  = 1061
	mysqlLockTimeout     = 1205
	mysqlDeadlock        = 1213
	mysqlRecordChanged   = 1020 // MariaDB, where innodb_snapshot_isolation is on; it rolls back everything, too
)

// mysqlNumber gives the server's number of an error, and the error that has it, or 0 and nil. The
// drivers have it in a field, as *MySQLError of github.com/go-sql-driver/mysql has it in Number.
// That is not imported: whoever uses another database would have to compile it.
func mysqlNumber(err error) (number uint16, from error) {
	from = find(err, func(err error) (ok bool) {
		number, ok = mysqlNumberOf(err)
		return ok
	})
	return number, from
}

// mysqlNumberOf gives the number of this error, without those that it wraps.
func mysqlNumberOf(err error) (number uint16, ok bool) {
	value := reflect.Indirect(reflect.ValueOf(err))
	if value.Kind() != reflect.Struct {
		return 0, false
	}
	field, ok := value.Type().FieldByName("Number")
	if !ok || len(field.Index) != 1 || field.Type.Kind() != reflect.Uint16 { // not one of an embedded error, which may be nil
		return 0, false
	}
	return uint16(value.FieldByIndex(field.Index).Uint()), true //nolint:gosec // its kind is uint16
}

func mysqlRetryable(err error) bool {
	return find(err, func(err error) bool {
		number, _ := mysqlNumberOf(err)
		return number == mysqlDeadlock || number == mysqlRecordChanged
	}) != nil
}

func mysqlIsThere(err error) bool {
	number, _ := mysqlNumber(err)
	return number == mysqlDuplicateColumn || number == mysqlDuplicateIndex
}

// errUndone says that an acknowledgement would be hollow.
var errUndone = errors.New("what the transaction wrote is gone, and the handler returned no error: " +
	"a deadlock in one of its statements rolled it back, or a ROLLBACK of its own")

const (
	mysqlUndoneFix   = "return the error of a statement from the handler, and leave COMMIT and ROLLBACK to the inbox"
	mysqlReadOnlyFix = "the server is read-only: connect to the primary; after a failover, rejectReadOnly=true in the DSN of " +
		"github.com/go-sql-driver/mysql has it connect again"
)

func mysqlFix(err error, table Table) string {
	if errors.Is(err, errUndone) {
		return mysqlUndoneFix
	}
	number, from := mysqlNumber(err)
	switch number {
	case 1146: // ER_NO_SUCH_TABLE
		if strings.Contains(from.Error(), table.index("")) {
			return migrateFix
		}
	case 1054: // ER_BAD_FIELD_ERROR
		if text := from.Error(); strings.Contains(text, "'seq'") || strings.Contains(text, "'run_id'") || strings.Contains(text, "'replay_seq'") {
			return upgradeFix
		}
	case 1044, 1142, 1143: // access denied: to a database, a table, a column
		return "the database's user lacks a right: GRANT SELECT, INSERT, UPDATE, DELETE ON " + table.Quoted
	case 1290, 1792, 1836: // --read-only, a transaction that is read-only, read-only mode
		return mysqlReadOnlyFix
	case 1153: // ER_NET_PACKET_TOO_LARGE
		return "raise max_allowed_packet of the server: a payload takes twice its size"
	case mysqlLockTimeout:
		return "another transaction holds a lock for longer than this one may wait: look for it with SHOW ENGINE INNODB STATUS, " +
			"or information_schema.INNODB_TRX"
	case 1305: // ER_SP_DOES_NOT_EXIST: a savepoint
		return mysqlUndoneFix
	}
	return ""
}
