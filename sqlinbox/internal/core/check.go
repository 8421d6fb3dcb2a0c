package core

import (
	"context"
	"errors"
	"fmt"
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
