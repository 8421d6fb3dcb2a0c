package sqlinbox

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/ittybit/ittybit-go/sqlinbox/internal/core"
)

// mysqlDatabase is a database of MySQL or MariaDB.
type mysqlDatabase struct {
	db        *sql.DB
	isolation sql.IsolationLevel
}

func mysqlHas(level sql.IsolationLevel) bool {
	switch level {
	case sql.LevelDefault, sql.LevelReadUncommitted, sql.LevelReadCommitted, sql.LevelRepeatableRead, sql.LevelSerializable:
		return true
	}
	return false
}

func (d *mysqlDatabase) Pool() any { return d.db }

// Query implements [core.Database].
func (d *mysqlDatabase) Query(ctx context.Context, s core.Statement, scan func(core.Row) error) error {
	s, err := withLiterals(s)
	if err != nil {
		return err
	}
	return query(ctx, d.db, s, scan)
}

// ProbeStatements implements [core.Database]. Statements have no names here.
func (*mysqlDatabase) ProbeStatements(context.Context) error { return nil }

// maxStale is how often another connection is taken where the pool gave one that was lost.
const maxStale = 3

// Begin implements [core.Database].
func (d *mysqlDatabase) Begin(ctx context.Context, first func() core.Statement) (core.Tx, int64, error) {
	conn, err := d.acquire(ctx)
	if err != nil {
		return nil, 0, err
	}
	t := &mysqlTransaction{transaction: &transaction{mayHang: true}, conn: conn}
	nothing := func() core.Statement { return core.Statement{} }
	if _, err := t.begin(ctx, conn.Conn, &sql.TxOptions{Isolation: d.isolation}, nothing); err != nil {
		conn.release(t.hanging) //nolint:contextcheck // it is put back also where ctx has ended
		return nil, 0, err
	}
	rows, err := t.Run(ctx, first())
	if err != nil {
		t.Close() //nolint:contextcheck // as above
		return nil, 0, core.Failed("running the first statement", err)
	}
	return t, rows, nil
}

// acquire takes a connection, and changes its settings.
func (d *mysqlDatabase) acquire(ctx context.Context) (*mysqlConn, error) {
	for n := 1; ; n++ {
		conn, err := d.db.Conn(ctx)
		if err != nil {
			return nil, core.Failed("getting a connection", core.WithCause(ctx, err))
		}
		_, err = conn.ExecContext(ctx, changeSettings(ctx))
		if err == nil {
			return &mysqlConn{Conn: conn, changed: true}, nil
		}
		dropConnection(conn)
		if !errors.Is(err, driver.ErrBadConn) || n >= maxStale {
			return nil, core.Failed("setting the session up", core.WithCause(ctx, err))
		}
	}
}

// mysqlConn is a connection whose settings are changed for a while.
type mysqlConn struct {
	*sql.Conn

	changed bool
}

// changeSettings gives the statement that changes a session for a transaction. Where a deadlock, or
// a statement such as CREATE TABLE, has ended the transaction, what follows would be committed at
// once, were autocommit on. A statement goes on waiting for a lock when its client has gone, in
// front of the redelivery: it must not do so beyond the handler's time.
func changeSettings(ctx context.Context) string {
	const settings = "SET @sqlinbox_autocommit = @@SESSION.autocommit, @sqlinbox_lock = @@SESSION.innodb_lock_wait_timeout, " +
		"@sqlinbox_metadata = @@SESSION.lock_wait_timeout, SESSION autocommit = 0"
	deadline, ok := ctx.Deadline()
	if !ok {
		return settings
	}
	seconds := strconv.Itoa(max(1, int(math.Ceil(time.Until(deadline).Seconds()))-1))
	return settings + ", SESSION innodb_lock_wait_timeout = LEAST(@@SESSION.innodb_lock_wait_timeout, " + seconds +
		"), SESSION lock_wait_timeout = LEAST(@@SESSION.lock_wait_timeout, " + seconds + ")"
}

// restoreSettings is for a session after changeSettings. It commits: autocommit that is switched on
// does.
const restoreSettings = "SET SESSION autocommit = @sqlinbox_autocommit, SESSION innodb_lock_wait_timeout = @sqlinbox_lock, " +
	"SESSION lock_wait_timeout = @sqlinbox_metadata"

// release gives the connection back to the pool as it was, or closes it when its use by another
// goroutine ends.
func (c *mysqlConn) release(hanging <-chan error) {
	if hanging != nil {
		go func() {
			_ = <-hanging //nolint:staticcheck // lost either way; errcheck wants the blank
			dropConnection(c.Conn)
		}()
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), core.CleanupTimeout)
	defer cancel()
	if c.changed {
		if _, err := c.ExecContext(ctx, restoreSettings); err != nil {
			dropConnection(c.Conn)
			return
		}
	}
	_ = c.Close() // the pool has it back
}

// mysqlTransaction is a transaction on a connection that it has for itself.
type mysqlTransaction struct {
	*transaction

	conn    *mysqlConn
	handler atomic.Bool // a handler has had it
}

// Value implements [core.Tx].
func (t *mysqlTransaction) Value() any {
	t.handler.Store(true)
	return t.transaction.Value()
}

// Run implements [core.Tx].
func (t *mysqlTransaction) Run(ctx context.Context, s core.Statement) (int64, error) {
	s, err := withLiterals(s)
	if err != nil {
		return 0, err
	}
	return t.transaction.Run(ctx, s)
}

// Commit implements [core.Tx]. The driver gives its own COMMIT no context, so that it could hang
// while the transaction is open and keeps the redelivery waiting. Where a statement's context ends,
// the driver closes the connection.
func (t *mysqlTransaction) Commit() error {
	ctx, cancel := context.WithTimeout(context.Background(), core.CleanupTimeout)
	defer cancel()
	if _, err := t.tx.ExecContext(ctx, restoreSettings); err != nil {
		return core.Failed("committing", err)
	}
	t.conn.changed = false
	return t.transaction.Commit() // of a session whose autocommit was off before
}

// Rollback implements [core.Tx].
func (t *mysqlTransaction) Rollback() error {
	if t.ended {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), core.CleanupTimeout)
	defer cancel()
	_, err := t.tx.ExecContext(ctx, "ROLLBACK") // see Commit
	if err == nil && t.handler.Load() {
		t.warn(ctx)
	}
	if ownErr := t.transaction.Rollback(); err == nil {
		err = ownErr
	}
	if errors.Is(err, sql.ErrTxDone) { // a handler may have ended it itself
		return nil
	}
	return err
}

// warn logs what was not rolled back. With an error the connection is lost, which its release
// finds.
func (t *mysqlTransaction) warn(ctx context.Context) {
	_ = query(ctx, t.tx, core.Statement{SQL: "SHOW WARNINGS"}, func(row core.Row) error {
		var level, message string
		var number int
		if err := row.Scan(&level, &number, &message); err != nil {
			return err
		}
		if number == notRolledBack {
			slog.Default().WarnContext(ctx, "sqlinbox: a handler wrote to a table whose engine has no transactions, such as MyISAM: "+
				"that is not rolled back, and its effect can be doubled: ALTER TABLE … ENGINE=InnoDB", slog.String("warning", message))
		}
		return nil
	})
}

// notRolledBack is the number of the warning ER_WARNING_NOT_COMPLETE_ROLLBACK.
const notRolledBack = 1196

// Close implements [core.Tx].
func (t *mysqlTransaction) Close() {
	_ = t.Rollback() // what was not committed is gone either way
	t.cancel()
	t.conn.release(t.hanging)
}

// withLiterals puts a statement's arguments into its text, so that it takes one round trip: a
// driver would prepare it first. Texts and payloads are hexadecimal, which means the same in every
// sql_mode and character set, and can end no literal.
func withLiterals(s core.Statement) (core.Statement, error) {
	var b strings.Builder
	text := s.SQL
	for {
		before, after, found := strings.Cut(text, "$")
		b.WriteString(before)
		if !found {
			break
		}
		digits := len(after) - len(strings.TrimLeft(after, "0123456789"))
		n, err := strconv.Atoi(after[:digits])
		if err != nil || n < 1 || n > len(s.Args) {
			return core.Statement{}, fmt.Errorf("sqlinbox: no argument for $%s", after[:digits])
		}
		if err := writeLiteral(&b, s.Args[n-1]); err != nil {
			return core.Statement{}, err
		}
		text = after[digits:]
	}
	return core.Statement{SQL: b.String(), Into: s.Into}, nil
}

func writeLiteral(b *strings.Builder, arg any) error {
	switch v := arg.(type) {
	case nil:
		b.WriteString("NULL")
	case string:
		return writeHex(b, []byte(v))
	case []byte:
		return writeHex(b, v)
	case int:
		b.WriteString(strconv.Itoa(v))
	case int64:
		b.WriteString(strconv.FormatInt(v, 10))
	case core.Literal:
		b.WriteString(string(v))
	default:
		return fmt.Errorf("sqlinbox: no literal for %T", arg)
	}
	return nil
}

func writeHex(b *strings.Builder, value []byte) error {
	b.Grow(2*len(value) + len("x''"))
	b.WriteString("x'")
	_, err := hex.NewEncoder(b).Write(value)
	b.WriteByte('\'')
	return err
}
