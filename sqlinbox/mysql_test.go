package sqlinbox_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/internal/mariadbserver"
	"github.com/ittybit/ittybit-go/sqlinbox"
)

// mariadb is a bench with two rows for two transactions to meet at.
func mariadb(t *testing.T, parameters string) *bench {
	t.Helper()
	e := engines()["MariaDB"](t)
	e.source += parameters
	b := newBench(t, e, e.open(t))
	b.exec(t, "CREATE TABLE pair (id INT PRIMARY KEY, n INT NOT NULL) ENGINE=InnoDB")
	b.exec(t, "INSERT INTO pair VALUES (0, 0), (1, 0)")
	return b
}

// handle is a handler that runs statements and hides their errors, which it gives.
func handle(errs *[]error, statements ...string) ittybit.EventHandler {
	return ittybit.EventHandlerFunc(func(ctx context.Context, _ *ittybit.Event) error {
		for _, statement := range statements {
			_, err := sqlinbox.Tx(ctx).ExecContext(ctx, statement)
			*errs = append(*errs, err)
		}
		return nil
	})
}

func number(err error) uint16 {
	var coded *mysql.MySQLError
	if errors.As(err, &coded) {
		return coded.Number
	}
	return 0
}

// waiting waits until so many transactions of the database wait for a lock. InnoDB's view of them
// stays as it was while it is read more often than each 0.1 s.
func (b *bench) waiting(t testing.TB, n int) {
	t.Helper()
	assert.Eventually(t, func() bool {
		return n == b.count(t, "SELECT count(*) FROM information_schema.innodb_trx t JOIN information_schema.processlist p"+
			" ON p.id = t.trx_mysql_thread_id WHERE t.trx_state = 'LOCK WAIT' AND p.db = DATABASE()")
	}, 30*time.Second, 120*time.Millisecond)
}

// deadlocked is a handler whose second statement is the victim of a deadlock. What it does before,
// and afterwards, is an effect; the errors are hidden, or returned where hide is false.
func (b *bench) deadlocked(t testing.TB, hide bool) ittybit.EventHandler {
	return ittybit.EventHandlerFunc(func(ctx context.Context, e *ittybit.Event) error {
		tx := sqlinbox.Tx(ctx)
		assert.NoError(t, effect(ctx, e))
		_, err := tx.ExecContext(ctx, "UPDATE pair SET n = n + 1 WHERE id = 0")
		assert.NoError(t, err)
		other, err := b.db.BeginTx(ctx, nil) // it has written more, so that it wins
		if !assert.NoError(t, err) {
			return err
		}
		_, err = other.ExecContext(ctx, "INSERT INTO effects (event_key) SELECT 'other' FROM seq_1_to_50")
		assert.NoError(t, err)
		_, err = other.ExecContext(ctx, "UPDATE pair SET n = n + 1 WHERE id = 1")
		assert.NoError(t, err)
		won := make(chan error, 1)
		go func() {
			_, err := other.ExecContext(ctx, "UPDATE pair SET n = n + 1 WHERE id = 0")
			won <- err
		}()
		b.waiting(t, 1) //nolint:contextcheck // of the test
		_, deadlock := tx.ExecContext(ctx, "UPDATE pair SET n = n + 1 WHERE id = 1")
		assert.Equal(t, uint16(1213), number(deadlock))
		assert.NoError(t, <-won)
		assert.NoError(t, other.Rollback())
		if !hide {
			return deadlock
		}
		return effect(ctx, e) // which has no transaction to be in
	})
}

func TestMySQL_aDeadlockThatTheHandlerHidesIsNotAcknowledged(t *testing.T) {
	b := mariadb(t, "")
	noKey := func(*ittybit.Event) string { return "" }
	for name, inbox := range map[string]*sqlinbox.Inbox{"": b.inbox, "without a key": b.with(sqlinbox.WithKey(noKey))} {
		status, seen := deliver(t, inbox.Wrap(b.deadlocked(t, true)), taskBody(1), ittybit.WithProcessingTimeout(time.Minute))
		assert.Equal(t, http.StatusServiceUnavailable, status, name)
		assert.ErrorContains(t, seen.Err, "return the error of a statement", name)
		assert.Zero(t, b.effects(t)+b.kept(t), "what came after the deadlock is not kept either %s", name)
	}
	status, _ := deliver(t, b.inbox.Wrap(ittybit.EventHandlerFunc(effect)), taskBody(1))
	assert.Equal(t, http.StatusOK, status)
	assert.Equal(t, 1, b.effects(t))

	inbox := b.with(sqlinbox.WithPayloads())
	require.NoError(t, inbox.Wrap(ittybit.EventHandlerFunc(effect)).HandleEvent(t.Context(), task(t, 2)))
	result, err := inbox.Replay(t.Context(), b.deadlocked(t, true), sqlinbox.ReplayParams{})
	assert.ErrorContains(t, err, "return the error of a statement")
	assert.Zero(t, result.Handled)
	assert.Equal(t, 2, b.effects(t))
	b.idle(t)
}

func TestMySQL_aDeadlockRunsTheHandlerAgain(t *testing.T) {
	b := mariadb(t, "")
	runs := 0
	loses := b.deadlocked(t, false)
	h := b.inbox.Wrap(ittybit.EventHandlerFunc(func(ctx context.Context, e *ittybit.Event) error {
		if runs++; runs == 1 {
			return loses.HandleEvent(ctx, e)
		}
		return effect(ctx, e)
	}))
	status, _ := deliver(t, h, taskBody(1), ittybit.WithProcessingTimeout(time.Minute))
	assert.Equal(t, http.StatusOK, status)
	assert.Equal(t, []int{2, 1, 1}, []int{runs, b.effects(t), b.kept(t)})
}

// Where innodb_snapshot_isolation is on, a row that another transaction has changed ends the
// transaction as a deadlock does.
func TestMySQL_aChangedRecordRunsTheHandlerAgain(t *testing.T) {
	b := mariadb(t, "?innodb_snapshot_isolation=1")
	runs := 0
	h := b.inbox.Wrap(ittybit.EventHandlerFunc(func(ctx context.Context, e *ittybit.Event) error {
		runs++
		var n int
		if err := sqlinbox.Tx(ctx).QueryRowContext(ctx, "SELECT n FROM pair WHERE id = 0").Scan(&n); err != nil {
			return err
		}
		if runs == 1 {
			b.exec(t, "UPDATE pair SET n = 10 WHERE id = 0") //nolint:contextcheck // of the test
		}
		_, err := sqlinbox.Tx(ctx).ExecContext(ctx, "UPDATE pair SET n = n + 1 WHERE id = 0")
		if runs == 1 {
			assert.Equal(t, uint16(1020), number(err))
		}
		return errors.Join(err, effect(ctx, e))
	}))
	require.NoError(t, h.HandleEvent(t.Context(), task(t, 1)))
	assert.Equal(t, []int{2, 1, 11}, []int{runs, b.effects(t), b.count(t, "SELECT n FROM pair WHERE id = 0")})
}

func TestMySQL_aHandlerThatEndsTheTransaction(t *testing.T) {
	b := mariadb(t, "")
	var errs []error
	const insert = "INSERT INTO effects (event_key) VALUES ('any')"
	for _, end := range []string{"ROLLBACK", "START TRANSACTION"} {
		status, seen := deliver(t, b.inbox.Wrap(handle(&errs, insert, "ROLLBACK", end, insert)), taskBody(1))
		assert.Equal(t, http.StatusServiceUnavailable, status, end)
		assert.ErrorContains(t, seen.Err, "leave COMMIT and ROLLBACK to the inbox", end)
		assert.Zero(t, b.effects(t)+b.kept(t), end)
	}
	status, _ := deliver(t, b.inbox.Wrap(handle(&errs, insert, "COMMIT", insert)), taskBody(1))
	assert.Equal(t, http.StatusOK, status, "all of it is there")
	assert.Equal(t, []int{2, 1}, []int{b.effects(t), b.count(t, "SELECT count(*) FROM ittybit_inbox WHERE outcome = 'handled'")})
	assert.NoError(t, errors.Join(errs...))
}

// A statement such as CREATE TABLE commits what comes before it. The event is pending then.
func TestMySQL_aHandlerWithDDL(t *testing.T) {
	b := mariadb(t, "")
	pending := func() int { return b.count(t, "SELECT count(*) FROM ittybit_inbox WHERE outcome = 'pending'") }
	var end error
	h := b.inbox.Wrap(ittybit.EventHandlerFunc(func(ctx context.Context, e *ittybit.Event) error {
		assert.NoError(t, effect(ctx, e))
		_, err := sqlinbox.Tx(ctx).ExecContext(ctx, "CREATE TABLE IF NOT EXISTS made (id INT)")
		assert.NoError(t, err)
		assert.Equal(t, 1, pending(), "others see it")
		return errors.Join(effect(ctx, e), end)
	}))
	end = errNo
	status, _ := deliver(t, h, taskBody(1))
	assert.Equal(t, http.StatusInternalServerError, status)
	assert.Equal(t, []int{1, 1}, []int{b.effects(t), pending()}, "the part before it is committed, the part after it is not")

	end = nil
	status, seen := deliver(t, h, taskBody(1))
	assert.Equal(t, http.StatusOK, status)
	assert.Equal(t, ittybit.OutcomeHandled, seen.Outcome, "a pending event is handled again")
	assert.Equal(t, []int{3, 0}, []int{b.effects(t), pending()})
	_, seen = deliver(t, h, taskBody(1))
	assert.Equal(t, ittybit.OutcomeDuplicate, seen.Outcome)

	end = ittybit.Discard(errNo)
	status, _ = deliver(t, h, taskBody(2))
	assert.Equal(t, http.StatusOK, status)
	assert.Equal(t, []int{4, 0}, []int{b.effects(t), pending()})
	assert.Equal(t, 1, b.count(t, "SELECT count(*) FROM ittybit_inbox WHERE outcome = 'discarded' AND error LIKE '%no'"))
	assert.Equal(t, 2, b.kept(t))
}

func TestMySQL_aTableWithoutTransactions(t *testing.T) {
	b := mariadb(t, "")
	b.exec(t, "CREATE TABLE beyond (event_key TEXT) ENGINE=MyISAM")
	assert.ErrorContains(t, b.inbox.Check(t.Context()), "no transactions: beyond (MyISAM)")
	var log bytes.Buffer
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
	defer slog.SetDefault(before)
	var errs []error
	var end error
	h := b.inbox.Wrap(ittybit.EventHandlerFunc(func(ctx context.Context, e *ittybit.Event) error {
		return errors.Join(effect(ctx, e), handle(&errs, "INSERT INTO beyond VALUES ('x')").HandleEvent(ctx, e), end)
	}))
	end = errNo
	require.ErrorIs(t, h.HandleEvent(t.Context(), task(t, 1)), errNo)
	assert.Contains(t, log.String(), "ENGINE=InnoDB")
	assert.Equal(t, []int{0, 1}, []int{b.effects(t), b.count(t, "SELECT count(*) FROM beyond")}, "its part is not rolled back")
	log.Reset()
	end = nil
	require.NoError(t, h.HandleEvent(t.Context(), task(t, 1)))
	assert.Equal(t, []int{1, 2}, []int{b.effects(t), b.count(t, "SELECT count(*) FROM beyond")}, "and is there twice")
	require.ErrorIs(t, h.HandleEvent(t.Context(), task(t, 1)), ittybit.ErrAlreadyHandled)
	assert.NotContains(t, log.String(), "InnoDB")
	assert.NoError(t, errors.Join(errs...))

	b.exec(t, "ALTER TABLE ittybit_inbox ENGINE=MyISAM")
	assert.ErrorContains(t, b.inbox.Check(t.Context()), "the engine of the table ittybit_inbox is MyISAM")
}

func TestMySQL_keysAreBytes(t *testing.T) {
	for _, parameters := range []string{"", "?sql_mode=%27ANSI,NO_BACKSLASH_ESCAPES,STRICT_ALL_TABLES%27&charset=utf8mb4&collation=utf8mb4_bin"} {
		b := mariadb(t, parameters)
		long := strings.Repeat("k", 511)
		keys := []string{
			"a", "A", "a ", "a  ", "á", "ａ", `'`, `\'`, `"`, `\`, "$1", "?", "%", "`", "x'61'", "'; DROP TABLE effects; --", "\U0001F600", "\t",
			long, long + "a", long + "A", long + "ab", long + "ac",
		}
		for _, name := range []string{"", "N", "n", `n'`} {
			for _, want := range []ittybit.Outcome{ittybit.OutcomeHandled, ittybit.OutcomeDuplicate} {
				for _, key := range keys {
					h := b.with(sqlinbox.WithName(name), sqlinbox.WithKey(func(*ittybit.Event) string { return key })).Wrap(ittybit.EventHandlerFunc(effect))
					_, seen := deliver(t, h, taskBody(1))
					assert.Equal(t, want, seen.Outcome, "%s %s", name, key)
				}
			}
		}
		assert.Equal(t, 4*len(keys), b.effects(t))
	}
}

func TestMySQL_putsTheSettingsOfAConnectionBack(t *testing.T) {
	for _, parameters := range []string{"", "?autocommit=1&innodb_lock_wait_timeout=20&lock_wait_timeout=30"} {
		b := mariadb(t, parameters)
		b.db.SetMaxOpenConns(1)
		settings := func() (all string) {
			require.NoError(t, b.db.QueryRowContext(t.Context(), "SELECT concat_ws(' ', connection_id(), @@autocommit, @@innodb_lock_wait_timeout,"+
				" @@lock_wait_timeout, @@in_transaction)").Scan(&all))
			return all
		}
		before := settings()
		inbox := b.with(sqlinbox.WithPayloads(), sqlinbox.WithIsolation(sql.LevelReadCommitted))
		for n, end := range []error{nil, errNo, ittybit.Discard(errNo), ittybit.RetryLater(time.Second, errNo)} {
			var during, metadata int
			h := inbox.Wrap(ittybit.EventHandlerFunc(func(ctx context.Context, _ *ittybit.Event) error {
				err := sqlinbox.Tx(ctx).QueryRowContext(ctx, "SELECT @@innodb_lock_wait_timeout, @@lock_wait_timeout").Scan(&during, &metadata)
				return errors.Join(err, end)
			}))
			for range 2 {
				_, _ = deliver(t, h, taskBody(n))
				assert.Equal(t, before, settings())
			}
			assert.LessOrEqual(t, during, 3, "below the four seconds that a handler has")
			assert.LessOrEqual(t, metadata, 3)
		}
		_, err := inbox.Replay(t.Context(), ittybit.EventHandlerFunc(effect), sqlinbox.ReplayParams{})
		require.NoError(t, err)
		require.NoError(t, inbox.Migrate(t.Context()))
		_, err = inbox.Prune(t.Context(), sqlinbox.MinPruneAge)
		require.NoError(t, err)
		assert.Panics(t, func() {
			_ = inbox.Wrap(ittybit.EventHandlerFunc(func(context.Context, *ittybit.Event) error { panic("boom") })).HandleEvent(t.Context(), task(t, 9))
		})
		assert.Equal(t, before, settings())
	}
}

// A statement goes on waiting on the server when its client has gone.
func TestMySQL_aStatementDoesNotWaitBeyondTheHandlersTime(t *testing.T) {
	b := mariadb(t, "")
	held, err := b.db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	_, err = held.ExecContext(t.Context(), "UPDATE pair SET n = 1 WHERE id = 0")
	require.NoError(t, err)
	var errs []error
	h := b.inbox.Wrap(handle(&errs, "INSERT INTO effects (event_key) VALUES ('any')", "UPDATE pair SET n = 2 WHERE id = 0"))
	status, seen := deliver(t, h, taskBody(1), ittybit.WithProcessingTimeout(300*time.Millisecond))
	assert.Equal(t, http.StatusServiceUnavailable, status, "the handler has hidden the error")
	assert.Error(t, seen.Err)
	require.Len(t, errs, 2)
	assert.ErrorIs(t, errs[1], context.DeadlineExceeded)
	b.waiting(t, 0) // the server's own limit is 50 s, more than this waits
	status, _ = deliver(t, b.inbox.Wrap(ittybit.EventHandlerFunc(effect)), taskBody(1))
	assert.Equal(t, http.StatusOK, status, "nothing stands in front of the redelivery")
	assert.Equal(t, 1, b.effects(t))
	require.NoError(t, held.Rollback())
	b.idle(t)
}

func TestMySQL_checksTheServer(t *testing.T) {
	server := mariadbserver.NewServer(t, "--innodb-flush-log-at-trx-commit=2", "--log-bin=log", "--sync-binlog=0", "--read-only", "--max-allowed-packet=1M")
	admin := engine{sqlinbox.MySQL, "mysql", server.DSN("")}.open(t)
	_, err := admin.ExecContext(t.Context(), "CREATE DATABASE test")
	require.NoError(t, err)
	e := engine{sqlinbox.MySQL, "mysql", server.DSN("test")}
	b := newBench(t, e, e.open(t))
	err = b.with(sqlinbox.WithPayloads()).Check(t.Context())
	for _, cure := range []string{
		"innodb_flush_log_at_trx_commit is 2", "sync_binlog is 0", "read_only is on: the server is read-only", "max_allowed_packet is 1048576 bytes",
	} {
		assert.ErrorContains(t, err, cure)
	}
	b.exec(t, "SET GLOBAL read_only = 0")
	b.exec(t, "CREATE USER limited@'%'")
	b.exec(t, "GRANT SELECT, DELETE ON test.ittybit_inbox TO limited@'%'")
	limited := engine{sqlinbox.MySQL, "mysql", strings.Replace(server.DSN("test"), "root@", "limited@", 1)}.open(t)
	inbox := sqlinbox.New(limited, sqlinbox.MySQL)
	err = inbox.Check(t.Context())
	assert.ErrorContains(t, err, "GRANT INSERT ON `ittybit_inbox`")
	assert.ErrorContains(t, err, "GRANT UPDATE ON `ittybit_inbox`")
	assert.NotContains(t, err.Error(), "GRANT SELECT ON")
	assert.NotContains(t, err.Error(), "GRANT DELETE ON")
	err = inbox.Wrap(ittybit.EventHandlerFunc(effect)).HandleEvent(t.Context(), task(t, 1))
	assert.ErrorContains(t, err, "GRANT SELECT, INSERT, UPDATE, DELETE ON")
	b.exec(t, "GRANT ALL ON test.* TO limited@'%'")
	b.exec(t, "SET GLOBAL read_only = 1") // not for the superuser
	err = inbox.Wrap(ittybit.EventHandlerFunc(effect)).HandleEvent(t.Context(), task(t, 1))
	assert.ErrorContains(t, err, "connect to the primary")
	assert.Equal(t, 0, b.kept(t))

	b.exec(t, "ALTER TABLE ittybit_inbox MODIFY event_key VARCHAR(191) CHARACTER SET utf8mb4 NOT NULL")
	assert.ErrorContains(t, b.inbox.Check(t.Context()), "make name and event_key VARBINARY")
	b.exec(t, "SET GLOBAL innodb_flush_log_at_trx_commit = 1")
	b.exec(t, "SET GLOBAL sync_binlog = 1")
	b.exec(t, "SET GLOBAL read_only = 0")
	b.exec(t, "ALTER TABLE ittybit_inbox MODIFY event_key VARBINARY(512) NOT NULL")
	require.NoError(t, b.inbox.Check(t.Context()))
}

func TestMySQL_inAnotherDatabase(t *testing.T) {
	b := mariadb(t, "")
	other := fmt.Sprintf("other_%d", time.Now().UnixNano())
	b.exec(t, "CREATE DATABASE "+other)
	t.Cleanup(func() {
		_, err := b.db.ExecContext(context.WithoutCancel(t.Context()), "DROP DATABASE "+other)
		assert.NoError(t, err)
	})
	inbox := b.with(sqlinbox.WithTable(other+".inbox"), sqlinbox.WithPayloads())
	assert.ErrorContains(t, inbox.Check(t.Context()), "call Migrate at start-up")
	require.NoError(t, inbox.Migrate(t.Context()))
	require.NoError(t, inbox.Migrate(t.Context()))
	require.NoError(t, inbox.Check(t.Context()))
	h := inbox.Wrap(ittybit.EventHandlerFunc(effect))
	require.NoError(t, h.HandleEvent(t.Context(), task(t, 1)))
	require.ErrorIs(t, h.HandleEvent(t.Context(), task(t, 1)), ittybit.ErrAlreadyHandled)
	result, err := inbox.Replay(t.Context(), ittybit.EventHandlerFunc(effect), sqlinbox.ReplayParams{})
	require.NoError(t, err)
	assert.Equal(t, 1, result.Handled)
	assert.Equal(t, 1, b.count(t, "SELECT count(*) FROM "+other+".inbox"))
}
