package core

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/ittybit/ittybit-go"
)

// Check finds what would make deliveries fail, or an acknowledged event be lost.
func (in *Inbox) Check(ctx context.Context) error {
	c := &checker{ctx: ctx}
	found, err := in.layout(ctx)
	if err != nil {
		return in.explain(err)
	}
	switch {
	case !found.table:
		c.add("the table %s is missing: %s", in.table.Quoted, migrateFix)
	case !found.current():
		c.add("the table %s lacks a column, an index or the table of checkpoints: %s", in.table.Quoted, upgradeFix)
	}
	in.dialect.check(in, c)
	return errors.Join(c.problems...)
}

// checker collects problems.
type checker struct {
	ctx      context.Context //nolint:containedctx // of one call
	problems []error
}

func (c *checker) add(format string, args ...any) {
	c.problems = append(c.problems, fmt.Errorf("sqlinbox: "+format, args...))
}

// row runs a statement that gives one row. It reports whether there was one.
func (c *checker) row(in *Inbox, doing string, s Statement) bool {
	found := false
	err := in.db.Query(c.ctx, s, func(row Row) error { found = true; return row.Scan(s.Into...) })
	if err != nil {
		c.problems = append(c.problems, in.explain(Failed(doing, err)))
		return false
	}
	return found
}

func checkPostgres(in *Inbox, c *checker) {
	var (
		readOnly                 bool
		commit, fsync, encoding  string
		rights                   [4]*bool // nil: no such table
		lock, statement, session int64    // milliseconds; 0: none
	)
	query := `SELECT pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on',
		current_setting('synchronous_commit'), current_setting('fsync'), current_setting('server_encoding')`
	if c.row(in, "reading the server's settings", Statement{SQL: query, Into: []any{&readOnly, &commit, &fsync, &encoding}}) {
		if readOnly {
			c.add("%s", readOnlyFix)
		}
		if commit == "off" {
			c.add("synchronous_commit is off, so that a crash of the server loses what was acknowledged just before: " +
				"set it to on, for the user (ALTER ROLE … SET) or in the connection's URL")
		}
		if fsync == "off" {
			c.add("fsync is off, so that a crash of the server's machine can lose every event: set it to on in postgresql.conf")
		}
		if encoding != "UTF8" {
			c.add("the database's encoding is %s: create it with UTF8", encoding)
		}
	}
	names := []string{"SELECT", "INSERT", "UPDATE", "DELETE"}
	var columns []string
	var into []any
	for i, name := range names {
		columns = append(columns, "has_table_privilege(to_regclass($1), '"+name+"')")
		into = append(into, &rights[i])
	}
	query = "SELECT " + strings.Join(columns, ", ")
	if c.row(in, "reading the user's rights", Statement{SQL: query, Args: []any{in.table.Quoted}, Into: into}) {
		for i, name := range names {
			if rights[i] != nil && !*rights[i] {
				c.add("the database's user lacks a right: GRANT %s ON %s", name, in.table.Quoted)
			}
		}
	}
	const setting = "coalesce((SELECT setting::bigint FROM pg_settings WHERE name = '%s'), 0)"
	query = "SELECT " + fmt.Sprintf(setting, "lock_timeout") + ", " + fmt.Sprintf(setting, "statement_timeout") + ", " +
		fmt.Sprintf(setting, "idle_in_transaction_session_timeout")
	if c.row(in, "reading the timeouts", Statement{SQL: query, Into: []any{&lock, &statement, &session}}) {
		for name, milliseconds := range map[string]int64{
			"lock_timeout": lock, "statement_timeout": statement, "idle_in_transaction_session_timeout": session,
		} {
			d := time.Duration(milliseconds) * time.Millisecond
			if d > 0 && d < ittybit.DefaultProcessingTimeout {
				c.add("%s is %v, less than the %v that a handler has: raise it, or set it to 0", name, d, ittybit.DefaultProcessingTimeout)
			}
		}
	}
	if err := in.db.ProbeStatements(c.ctx); err != nil {
		c.problems = append(c.problems, in.explain(Failed("running one statement on two connections", err)))
	}
}

func checkSQLite(in *Inbox, c *checker) {
	var version, file, journal string
	query := "SELECT sqlite_version(), (SELECT file FROM pragma_database_list WHERE name = 'main'), (SELECT journal_mode FROM pragma_journal_mode)"
	if !c.row(in, "reading the settings", Statement{SQL: query, Into: []any{&version, &file, &journal}}) {
		return
	}
	var major, minor int
	if _, err := fmt.Sscanf(version, "%d.%d", &major, &minor); err != nil || major < 3 || major == 3 && minor < 35 {
		c.add("SQLite is %s: use a driver with 3.35 or later", version)
	}
	switch {
	case file == "":
		c.add("the database is in memory, so that what was acknowledged is lost with the process: open a file")
	case journal == "memory" || journal == "off":
		c.add("journal_mode is %s, so that a crash can destroy the database: set it to WAL", journal)
	}
	// The transaction that takes the lock reads, sets and verifies PRAGMA synchronous, as every
	// delivery's does.
	err := in.transact(c.ctx, func() Statement { return Statement{SQL: in.sql.lock} }, func(Tx, int64) error { return nil })
	if err != nil {
		c.problems = append(c.problems, in.explain(err))
	}
}

func checkMySQL(in *Inbox, c *checker) {
	values := in.mysqlVariables(c)
	if values == nil {
		return
	}
	c.checkMySQLServer(values)
	c.checkMySQLSession(in, values)
	in.checkMySQLTables(c)
	in.checkMySQLRights(c)
}

// mysqlVariables reads the session's settings, and those that are the server's alone. MariaDB and
// MySQL each have some that the other one has not.
func (in *Inbox) mysqlVariables(c *checker) map[string]string {
	const query = "SHOW SESSION VARIABLES WHERE Variable_name IN ('innodb_flush_log_at_trx_commit', 'log_bin', 'sync_binlog'," +
		" 'read_only', 'innodb_read_only', 'tx_read_only', 'transaction_read_only', 'sql_mode', 'autocommit', 'tx_isolation'," +
		" 'transaction_isolation', 'character_set_client', 'innodb_lock_wait_timeout', 'lock_wait_timeout', 'wait_timeout'," +
		" 'max_statement_time', 'idle_transaction_timeout', 'idle_write_transaction_timeout', 'max_allowed_packet', 'default_storage_engine')"
	values := map[string]string{}
	err := in.db.Query(c.ctx, Statement{SQL: query}, func(row Row) error {
		var name, value string
		err := row.Scan(&name, &value)
		values[name] = value
		return err
	})
	if err != nil {
		c.problems = append(c.problems, in.explain(Failed("reading the settings", err)))
		return nil
	}
	return values
}

// checkMySQLServer finds what can lose a commit, or refuses to write.
func (c *checker) checkMySQLServer(values map[string]string) {
	if got := values["innodb_flush_log_at_trx_commit"]; got != "1" {
		c.add("innodb_flush_log_at_trx_commit is %s, so that a crash loses what was acknowledged just before: set it to 1", got)
	}
	if got := values["sync_binlog"]; isOn(values["log_bin"]) && got != "1" {
		c.add("sync_binlog is %s with log_bin on: after a power cut, transactions that are missing in the binary log are rolled back: set it to 1", got)
	}
	for _, name := range []string{"read_only", "innodb_read_only", "tx_read_only", "transaction_read_only"} {
		if isOn(values[name]) {
			c.add("%s is on: %s", name, mysqlReadOnlyFix)
		}
	}
	if got := values["default_storage_engine"]; !strings.EqualFold(got, "InnoDB") {
		c.add("default_storage_engine is %s, so that a table of your handlers that names no engine has no transactions: set it to InnoDB", got)
	}
}

func isOn(value string) bool {
	return value != "" && value != "0" && !strings.EqualFold(value, "OFF")
}

// mysqlLockWait is the least for innodb_lock_wait_timeout: what a transaction of the inbox lowers
// it to where the handler has the default time.
const mysqlLockWait = ittybit.DefaultProcessingTimeout - time.Second

// checkMySQLSession finds what is set in the DSN, for the user, or for all.
func (c *checker) checkMySQLSession(in *Inbox, values map[string]string) {
	if !strings.Contains(values["sql_mode"], "STRICT_TRANS_TABLES") && !strings.Contains(values["sql_mode"], "STRICT_ALL_TABLES") {
		c.add("sql_mode has no STRICT_TRANS_TABLES, so that a value that does not fit is cut, and its event acknowledged: add it")
	}
	if !isOn(values["autocommit"]) {
		c.add("autocommit is off, so that a connection of the pool reads what was there when it read first: take autocommit=0 out of the DSN")
	}
	for _, name := range []string{"tx_isolation", "transaction_isolation"} {
		if values[name] == "READ-UNCOMMITTED" && in.cfg.Isolation == 0 {
			c.add("%s is READ-UNCOMMITTED, so that a handler reads what may be rolled back: set READ-COMMITTED, or use WithIsolation", name)
			break // some servers have both names
		}
	}
	if got := values["character_set_client"]; got != "utf8mb4" {
		c.add("the connection's character set is %s, which has no room for every text: add charset=utf8mb4 to the DSN", got)
	}
	for name, limit := range map[string]time.Duration{
		"innodb_lock_wait_timeout": mysqlLockWait, "lock_wait_timeout": mysqlLockWait, "wait_timeout": ittybit.DefaultProcessingTimeout,
		"max_statement_time": ittybit.DefaultProcessingTimeout, "idle_transaction_timeout": ittybit.DefaultProcessingTimeout,
		"idle_write_transaction_timeout": ittybit.DefaultProcessingTimeout,
	} {
		seconds, err := strconv.ParseFloat(values[name], 64) // not there: the server has no such setting
		unlimited := seconds == 0 && !strings.HasSuffix(name, "lock_wait_timeout")
		if d := time.Duration(seconds * float64(time.Second)); err == nil && !unlimited && d < limit {
			c.add("%s is %v, less than the %v that a handler needs: raise it", name, d, limit)
		}
	}
	const packet = 4 << 20 // a payload of 1 MiB, the receiver's limit, takes twice that
	if got, err := strconv.ParseInt(values["max_allowed_packet"], 10, 64); err == nil && got < packet && in.cfg.Payloads {
		c.add("max_allowed_packet is %d bytes, too few for a large payload: set it to %d or more", got, packet)
	}
}

// checkMySQLTables finds tables that are not what they have to be.
func (in *Inbox) checkMySQLTables(c *checker) {
	var columns, keyColumns int
	own := "table_schema = " + mysqlSchema(in.table) + " AND table_name = '" + in.table.index("") + "'"
	query := "SELECT count(*), coalesce(sum(column_name IN ('name', 'event_key') AND data_type = 'varbinary'" +
		" OR column_name IN ('received_at', 'handled_at') AND datetime_precision = 6), 0) FROM information_schema.columns WHERE " + own
	if c.row(in, "reading the columns", Statement{SQL: query, Into: []any{&columns, &keyColumns}}) && columns > 0 && keyColumns != 4 {
		c.add("the table %s has columns of other types than Schema gives them: keys that differ in case, or in spaces at their ends, can be one: "+
			"make name and event_key VARBINARY, received_at and handled_at DATETIME(6)", in.table.Quoted)
	}
	var others []string
	query = "SELECT t.table_name, t.engine, t.table_name IN ('" + in.table.index("") + "', '" + in.table.index(reconcileSuffix) + "')" +
		" FROM information_schema.tables t JOIN information_schema.engines e ON e.engine = t.engine" +
		" WHERE t.table_schema IN (DATABASE(), " + mysqlSchema(in.table) + ") AND t.table_type = 'BASE TABLE' AND e.transactions <> 'YES'" +
		" ORDER BY 3 DESC, 1 LIMIT 10"
	err := in.db.Query(c.ctx, Statement{SQL: query}, func(row Row) error {
		var table, engine string
		var own bool
		if err := row.Scan(&table, &engine, &own); err != nil {
			return err
		}
		if own {
			c.add("the engine of the table %s is %s, which has no transactions: ALTER TABLE %[1]s ENGINE=InnoDB", table, engine)
			return nil
		}
		others = append(others, table+" ("+engine+")")
		return nil
	})
	if err != nil {
		c.problems = append(c.problems, in.explain(Failed("reading the tables", err)))
	}
	if len(others) > 0 {
		c.add("tables whose engine has no transactions: %s: what a handler writes there is not rolled back, and can be doubled: "+
			"ALTER TABLE … ENGINE=InnoDB, or keep what no handler writes in another database", strings.Join(others, ", "))
	}
}

// checkMySQLRights explains statements to the server, which asks for the rights that they need, and
// does nothing.
func (in *Inbox) checkMySQLRights(c *checker) {
	table := in.table.Quoted
	for _, statement := range []string{
		"SELECT 1 FROM " + table + " WHERE name = ''", "INSERT INTO " + table + " (name) VALUES ('')",
		"UPDATE " + table + " SET run_id = 0 WHERE name = ''", "DELETE FROM " + table + " WHERE name = ''",
	} {
		err := in.db.Query(c.ctx, Statement{SQL: "EXPLAIN " + statement}, func(Row) error { return nil })
		switch number, _ := mysqlNumber(err); number {
		case 1044, 1142, 1143:
			right, _, _ := strings.Cut(statement, " ")
			c.add("the database's user lacks a right: GRANT %s ON %s: %w", right, table, err)
		}
	}
}
