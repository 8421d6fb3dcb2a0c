package riverevents

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/riverqueue/river"

	"github.com/ittybit/ittybit-go"
)

// Check finds what would make deliveries or workers fail, or an event that was acknowledged be
// lost, and says what to do about each: call it at start-up, after [Migrate]. These are missing
// tables of this package or of River's, missing rights, a read-only server, a pooler in transaction
// mode where named prepared statements fail, synchronous_commit or fsync being off, an encoding
// other than UTF8, and timeouts below [ittybit.DefaultProcessingTimeout]. The error joins one for
// each problem.
//
// It opens two connections of its own, one after the other, and writes nothing.
func Check(ctx context.Context, client *river.Client[pgx.Tx]) error {
	c := &checker{ctx: ctx, client: client}
	c.tables()
	c.settings()
	if err := c.namedStatements(); err != nil {
		c.problems = append(c.problems, explain(fmt.Errorf("riverevents: running one statement on two connections: %w", err)))
	}
	return errors.Join(c.problems...)
}

// checker collects problems.
type checker struct {
	ctx      context.Context //nolint:containedctx // of one call
	client   *river.Client[pgx.Tx]
	problems []error
}

func (c *checker) add(format string, args ...any) {
	c.problems = append(c.problems, fmt.Errorf("riverevents: "+format, args...))
}

// row runs a query for one row. It reports whether it did.
func (c *checker) row(doing, query string, args []any, into ...any) bool {
	if err := c.client.Driver().GetExecutor().QueryRow(c.ctx, query, args...).Scan(into...); err != nil {
		c.problems = append(c.problems, explain(fmt.Errorf("riverevents: %s: %w", doing, err)))
		return false
	}
	return true
}

// tables finds missing tables and rights.
func (c *checker) tables() {
	for table, fix := range map[string]string{
		"ittybit_river_event":   "call riverevents.Migrate",
		"ittybit_river_subject": "call riverevents.Migrate",
		"river_job":             "migrate with River's package rivermigrate",
	} {
		name := prefixOf(c.client.Schema()) + table
		var rights [4]*bool // nil: no such table
		const query = `SELECT has_table_privilege(to_regclass($1), 'SELECT'), has_table_privilege(to_regclass($1), 'INSERT'),
			has_table_privilege(to_regclass($1), 'UPDATE'), has_table_privilege(to_regclass($1), 'DELETE')`
		if !c.row("looking for the table "+name, query, []any{name}, &rights[0], &rights[1], &rights[2], &rights[3]) {
			return // the others fail for the same reason
		}
		for i, right := range []string{"SELECT", "INSERT", "UPDATE", "DELETE"} {
			if rights[i] == nil {
				c.add("the table %s is missing: %s", name, fix)
				break
			}
			if !*rights[i] {
				c.add("the database's user lacks a right: GRANT %s ON %s", right, name)
			}
		}
	}
}

func (c *checker) settings() {
	var readOnly bool
	var commit, fsync, encoding string
	var lock, statement, session int64 // milliseconds; 0: none
	const setting = "coalesce((SELECT setting::bigint FROM pg_settings WHERE name = '%s'), 0)"
	query := `SELECT pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on',
		current_setting('synchronous_commit'), current_setting('fsync'), current_setting('server_encoding'), ` +
		strings.Join([]string{
			fmt.Sprintf(setting, "lock_timeout"), fmt.Sprintf(setting, "statement_timeout"),
			fmt.Sprintf(setting, "idle_in_transaction_session_timeout"),
		}, ", ")
	if !c.row("reading the server's settings", query, nil, &readOnly, &commit, &fsync, &encoding, &lock, &statement, &session) {
		return
	}
	if readOnly {
		c.add("the server is read-only: connect to the primary (target_session_attrs=read-write)")
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
	for name, milliseconds := range map[string]int64{
		"lock_timeout": lock, "statement_timeout": statement, "idle_in_transaction_session_timeout": session,
	} {
		d := time.Duration(milliseconds) * time.Millisecond
		if d > 0 && d < ittybit.DefaultProcessingTimeout {
			c.add("%s is %v, less than the %v that a delivery has: raise it, or set it to 0", name, d, ittybit.DefaultProcessingTimeout)
		}
	}
}

// namedStatements runs one statement with an argument on two connections, as the pool is configured
// to.
func (c *checker) namedStatements() error {
	tx, err := begin(c.ctx, c.client)
	if err != nil {
		return err
	}
	config := tx.Conn().Config()
	rollback(c.ctx, tx)
	for range 2 {
		conn, err := pgx.ConnectConfig(c.ctx, config)
		if err != nil {
			return err
		}
		var text string
		err = conn.QueryRow(c.ctx, "SELECT $1::text /* riverevents.Check */", "x").Scan(&text)
		_ = conn.Close(c.ctx)
		if err != nil {
			return err
		}
	}
	return nil
}

// explain adds to an error of the database's what can be done about it. What the error means to a
// receiver stays.
func explain(err error) error {
	var of *pgconn.PgError
	if !errors.As(err, &of) {
		return err
	}
	fix := ""
	switch of.Code {
	case "42P05", "26000": // duplicate_prepared_statement, invalid_sql_statement_name
		fix = poolerFix
	case "08P01": // protocol_violation: the name is there, and stands for another statement
		if strings.Contains(of.Message, "prepared statement") {
			fix = poolerFix
		}
	case "42P01": // undefined_table
		switch {
		case strings.Contains(of.Message, "ittybit_river_"):
			fix = "call riverevents.Migrate at start-up"
		case strings.Contains(of.Message, "river_"):
			fix = "migrate with River's package rivermigrate"
		}
	case "25006": // read_only_sql_transaction
		fix = "the server is read-only: connect to the primary (target_session_attrs=read-write)"
	}
	if fix == "" {
		return err
	}
	return fmt.Errorf("%w (%s)", err, fix)
}

const poolerFix = "the connection goes through a pooler in transaction mode (such as PgBouncer or Supabase's), " +
	"where named prepared statements fail: add default_query_exec_mode=exec to the connection's URL"

// isLockTimeout reports whether somebody else held a lock for longer than a batch waits.
func isLockTimeout(err error) bool {
	of, ok := errors.AsType[*pgconn.PgError](err)
	return ok && of.Code == "55P03" // lock_not_available
}
