package sqlinbox_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/internal/mariadbserver"
	"github.com/ittybit/ittybit-go/internal/pgserver"
	"github.com/ittybit/ittybit-go/ittybittest"
	"github.com/ittybit/ittybit-go/sqlinbox"
	"github.com/ittybit/ittybit-go/sqlinbox/internal/inboxtest"
)

func TestMain(m *testing.M) { inboxtest.Main(m, mariadbserver.ServerForAll) }

const testSecret = "sk_test_sqlinbox"

// engine is a database of a test's own.
type engine struct {
	dialect        sqlinbox.Dialect
	driver, source string
}

func (e engine) open(t testing.TB) *sql.DB {
	t.Helper()
	db, err := sql.Open(e.driver, e.source)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, db.Close()) })
	return db
}

func sqliteEngine(t testing.TB, parameters string) engine {
	return engine{sqlinbox.SQLite, "sqlite", "file:" + filepath.ToSlash(filepath.Join(t.TempDir(), "test.db")) + parameters}
}

const walParameters = "?_pragma=journal_mode(WAL)&_pragma=busy_timeout(3000)"

// engines are the databases that the tests run on.
func engines() map[string]func(t testing.TB) engine {
	return map[string]func(t testing.TB) engine{
		"SQLite":     func(t testing.TB) engine { return sqliteEngine(t, walParameters) },
		"PostgreSQL": func(t testing.TB) engine { return engine{sqlinbox.Postgres, "pgx", pgserver.Database(t)} },
		"MariaDB":    func(t testing.TB) engine { return engine{sqlinbox.MySQL, "mysql", mariadbserver.Database(t)} },
	}
}

// ways are further ways to reach them.
func ways() map[string]func(t testing.TB) engine {
	all := engines()
	all["SQLite with a rollback journal and no busy_timeout"] = func(t testing.TB) engine { return sqliteEngine(t, "") }
	all["SQLite with immediate transactions"] = func(t testing.TB) engine { return sqliteEngine(t, walParameters+"&_txlock=immediate") }
	for _, mode := range []string{"simple_protocol", "exec"} { // what poolers like PgBouncer need
		all["PostgreSQL, "+mode] = func(t testing.TB) engine {
			return engine{sqlinbox.Postgres, "pgx", pgserver.Database(t) + "&default_query_exec_mode=" + mode}
		}
	}
	return all
}

func onEach(t *testing.T, engines map[string]func(testing.TB) engine, test func(t *testing.T, b *bench)) {
	t.Helper()
	for name, open := range engines {
		t.Run(name, func(t *testing.T) {
			e := open(t)
			test(t, newBench(t, e, e.open(t)))
		})
	}
}

// bench is a database with a table of effects, which has no key that would hide a double.
type bench struct {
	engine
	db    *sql.DB
	inbox *sqlinbox.Inbox
}

func newBench(t testing.TB, e engine, db *sql.DB) *bench {
	t.Helper()
	b := &bench{e, db, sqlinbox.New(db, e.dialect)}
	require.NoError(t, b.inbox.Migrate(t.Context()))
	_, err := db.ExecContext(t.Context(), "CREATE TABLE IF NOT EXISTS effects (event_key text NOT NULL, note text)")
	require.NoError(t, err)
	return b
}

func (b *bench) with(opts ...sqlinbox.Option) *sqlinbox.Inbox {
	return sqlinbox.New(b.db, b.dialect, opts...)
}

// effect is a handler that writes one row.
func effect(ctx context.Context, e *ittybit.Event) error {
	_, err := sqlinbox.Tx(ctx).ExecContext(ctx, "INSERT INTO effects (event_key) VALUES ('"+e.Key()+"')")
	return err
}

// effectAnd writes a row and ends as then says.
func effectAnd(then func() error) ittybit.EventHandler {
	return ittybit.EventHandlerFunc(func(ctx context.Context, e *ittybit.Event) error {
		return errors.Join(effect(ctx, e), then())
	})
}

// once takes an event that was handled before for handled.
func once(err error) error {
	if errors.Is(err, ittybit.ErrAlreadyHandled) {
		return nil
	}
	return err
}

func (b *bench) count(t testing.TB, query string, args ...any) int {
	t.Helper()
	var n int
	query, args = inboxtest.Bind(b.dialect, query, args)
	require.NoError(t, b.db.QueryRowContext(context.WithoutCancel(t.Context()), query, args...).Scan(&n))
	return n
}

func (b *bench) effects(t testing.TB) int { return b.count(t, "SELECT count(*) FROM effects") }
func (b *bench) kept(t testing.TB) int    { return b.count(t, "SELECT count(*) FROM ittybit_inbox") }

func (b *bench) exec(t testing.TB, query string, args ...any) {
	t.Helper()
	query, args = inboxtest.Bind(b.dialect, query, args)
	_, err := b.db.ExecContext(t.Context(), query, args...)
	require.NoError(t, err)
}

// idle asserts that no connection is left in a transaction.
func (b *bench) idle(t testing.TB) {
	t.Helper()
	assert.Eventually(t, func() bool { return b.db.Stats().InUse == 0 }, 10*time.Second, time.Millisecond)
}

func taskBody(n int) string {
	return `{"id":"task_` + strconv.Itoa(n) + `","object":"task","kind":"nsfw","status":"completed"}`
}

func parse(t testing.TB, body string) *ittybit.Event {
	t.Helper()
	e, err := ittybit.ParseEvent([]byte(body))
	require.NoError(t, err)
	return e
}

func task(t testing.TB, n int) *ittybit.Event { return parse(t, taskBody(n)) }

// deliver posts a signed webhook to a handler, and gives the answer's status and the outcome.
func deliver(t testing.TB, h ittybit.EventHandler, body string, opts ...ittybit.WebhookOption) (int, ittybit.Delivery) {
	t.Helper()
	var seen ittybit.Delivery
	webhook, err := ittybit.NewWebhookHandler(testSecret, h,
		append(opts, ittybit.WithObserver(func(_ context.Context, d ittybit.Delivery) { seen = d }))...)
	require.NoError(t, err)
	answer := httptest.NewRecorder()
	webhook.ServeHTTP(answer, ittybittest.NewWebhookRequest(testSecret, body))
	return answer.Code, seen
}

func TestInbox_worksWithAPgxPool(t *testing.T) {
	e := engines()["PostgreSQL"](t)
	pool, err := pgxpool.New(t.Context(), e.source)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	db := stdlib.OpenDBFromPool(pool)
	t.Cleanup(func() { assert.NoError(t, db.Close()) })
	b := newBench(t, e, db)
	h := b.inbox.Wrap(ittybit.EventHandlerFunc(effect))
	for _, want := range []ittybit.Outcome{ittybit.OutcomeHandled, ittybit.OutcomeDuplicate} {
		status, seen := deliver(t, h, taskBody(1))
		assert.Equal(t, http.StatusOK, status)
		assert.Equal(t, want, seen.Outcome)
	}
	assert.Equal(t, 1, b.effects(t))
	b.idle(t)
	assert.Eventually(t, func() bool { return pool.Stat().AcquiredConns() == 0 }, 10*time.Second, time.Millisecond)
}

// anonymous is a connector that does not name its driver.
type anonymous struct{ driver.Connector }

// Driver implements [driver.Connector].
func (anonymous) Driver() driver.Driver { return nil }

// The inbox does not rely on Commit of a driver that it does not know: a handler that rolled back
// is noticed.
func TestInbox_asksBeforeItCommitsWithADriverThatIsNotKnown(t *testing.T) {
	e := engines()["PostgreSQL"](t)
	connector, err := stdlib.GetDefaultDriver().(driver.DriverContext).OpenConnector(e.source)
	require.NoError(t, err)
	db := sql.OpenDB(anonymous{connector})
	t.Cleanup(func() { assert.NoError(t, db.Close()) })
	b := newBench(t, e, db)
	first := true
	h := b.inbox.Wrap(ittybit.EventHandlerFunc(func(ctx context.Context, event *ittybit.Event) error {
		err := effect(ctx, event)
		if !first {
			return err
		}
		first = false
		_, rollback := sqlinbox.Tx(ctx).ExecContext(ctx, "ROLLBACK")
		return errors.Join(err, rollback)
	}))
	status, seen := deliver(t, h, taskBody(1))
	assert.Equal(t, http.StatusServiceUnavailable, status)
	require.ErrorContains(t, seen.Err, "a handler must not run COMMIT or ROLLBACK")
	assert.Zero(t, b.effects(t))
	status, _ = deliver(t, h, taskBody(1))
	assert.Equal(t, http.StatusOK, status)
	assert.Equal(t, 1, b.effects(t))
	b.idle(t)
}
