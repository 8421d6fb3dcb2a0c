package riverevents_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver that pgserver makes databases with
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
	"github.com/riverqueue/river/rivertype"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/internal/pgserver"
	"github.com/ittybit/ittybit-go/ittybittest"
	"github.com/ittybit/ittybit-go/riverevents"
)

const (
	apiKey = "ittybit_test_key"
	// waitLimit is for what is bound to happen: a test that waits this long has failed.
	waitLimit = 30 * time.Second
)

// queue is a schema with River's tables, those of this package, and one for effects.
type queue struct {
	t      testing.TB
	url    string
	schema string // of the clients; empty: the search path
	pool   *pgxpool.Pool
	client *river.Client[pgx.Tx] // only inserts
}

// newQueue makes a schema of the test's own on the common server: it takes a second to make a
// database.
func newQueue(t testing.TB) *queue {
	t.Helper()
	server := os.Getenv(serverVariable)
	if server == "" {
		server = pgserver.Database(t) // which skips the test, or fails it
	}
	schema := fmt.Sprintf("test_%016x", rand.Uint64())
	admin := connect(t, server)
	_, err := admin.Exec(t.Context(), "CREATE SCHEMA "+schema)
	require.NoError(t, err)
	t.Cleanup(func() {
		_, err := admin.Exec(context.WithoutCancel(t.Context()), "DROP SCHEMA "+schema+" CASCADE")
		assert.NoError(t, err)
	})
	own, err := url.Parse(server)
	require.NoError(t, err)
	query := own.Query()
	query.Set("search_path", schema)
	own.RawQuery = query.Encode()
	return openQueue(t, own.String(), schema)
}

// openQueue makes the tables.
func openQueue(t testing.TB, address, schema string) *queue {
	t.Helper()
	q := &queue{t: t, url: address, schema: schema, pool: connect(t, address)}
	migrateRiver(t, q.pool, schema)
	q.client = newClient(t, q.pool, &river.Config{Schema: schema})
	require.NoError(t, riverevents.Migrate(t.Context(), q.client))
	// There is no unique key on purpose: what is written twice is there twice.
	q.exec("CREATE TABLE effects (key text NOT NULL)")
	return q
}

func connect(t testing.TB, url string) *pgxpool.Pool {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool
}

func migrateRiver(t testing.TB, pool *pgxpool.Pool, schema string) {
	t.Helper()
	migrator, err := rivermigrate.New(riverpgxv5.New(pool), &rivermigrate.Config{Schema: schema, Logger: quiet()})
	require.NoError(t, err)
	_, err = migrator.Migrate(t.Context(), rivermigrate.DirectionUp, nil)
	require.NoError(t, err)
}

func newClient(t testing.TB, pool *pgxpool.Pool, config *river.Config) *river.Client[pgx.Tx] {
	t.Helper()
	if config.Logger == nil {
		config.Logger = quiet()
	}
	client, err := river.NewClient(riverpgxv5.New(pool), config)
	require.NoError(t, err)
	return client
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func (q *queue) exec(sql string, args ...any) {
	q.t.Helper()
	_, err := q.pool.Exec(q.t.Context(), sql, args...)
	require.NoError(q.t, err)
}

func value[T any](q *queue, sql string, args ...any) T {
	q.t.Helper()
	var v T
	require.NoError(q.t, q.pool.QueryRow(q.t.Context(), sql, args...).Scan(&v))
	return v
}

func (q *queue) effects(key string) int {
	q.t.Helper()
	return value[int](q, "SELECT count(*) FROM effects WHERE key = $1", key)
}

func (q *queue) jobs() int {
	q.t.Helper()
	return value[int](q, "SELECT count(*) FROM river_job")
}

// outcome gives how an event ended, or "" where it has not.
func (q *queue) outcome(key string) string {
	q.t.Helper()
	return value[string](q, "SELECT coalesce(outcome, '') FROM ittybit_river_event WHERE key = $1", key)
}

func (q *queue) enqueue(e *ittybit.Event, opts ...riverevents.EnqueueOption) {
	q.t.Helper()
	require.NoError(q.t, riverevents.Enqueue(q.client, opts...).HandleEvent(q.t.Context(), e))
}

// working is a client with workers, which is stopped with the test.
type working struct {
	t      testing.TB
	client *river.Client[pgx.Tx]
	events <-chan *river.Event
}

func (q *queue) work(next ittybit.EventHandler, opts ...riverevents.WorkerOption) *working {
	q.t.Helper()
	return q.workWith(&river.Config{}, next, opts...)
}

func (q *queue) workWith(config *river.Config, next ittybit.EventHandler, opts ...riverevents.WorkerOption) *working {
	q.t.Helper()
	return q.workFor(config, riverevents.Worker(next, opts...))
}

func (q *queue) workFor(config *river.Config, worker river.Worker[riverevents.Args]) *working {
	q.t.Helper()
	config.Schema, config.Workers = q.schema, river.NewWorkers()
	river.AddWorker(config.Workers, worker)
	config.Queues = map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 8}}
	config.FetchCooldown, config.FetchPollInterval = 5*time.Millisecond, 50*time.Millisecond
	config.RetryPolicy = soon{}
	w := &working{t: q.t, client: newClient(q.t, q.pool, config)}
	var cancel func()
	w.events, cancel = w.client.Subscribe(river.EventKindJobCompleted, river.EventKindJobCancelled, river.EventKindJobFailed, river.EventKindJobSnoozed)
	require.NoError(q.t, w.client.Start(context.WithoutCancel(q.t.Context())))
	q.t.Cleanup(func() {
		ctx, stop := context.WithTimeout(context.Background(), waitLimit)
		defer stop()
		assert.NoError(q.t, w.client.StopAndCancel(ctx))
		cancel()
	})
	return w
}

// next waits for the end of a job's run, and gives its row.
func (w *working) next(kind river.EventKind) *rivertype.JobRow {
	w.t.Helper()
	select {
	case event := <-w.events:
		require.Equal(w.t, kind, event.Kind, "job %d: %+v", event.Job.ID, event.Job.Errors)
		return event.Job
	case <-time.After(waitLimit):
		require.FailNow(w.t, "no job ended")
		return nil
	}
}

// soon is a retry policy.
type soon struct{}

func (soon) NextRetry(*rivertype.JobRow) time.Time { return time.Now().Add(20 * time.Millisecond) }

// receive waits for something on a channel.
func receive[T any](t testing.TB, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(waitLimit):
		require.FailNow(t, "nothing came")
		panic("unreachable")
	}
}

// write is a handler that writes an effect in its transaction.
func write(ctx context.Context, e *ittybit.Event) error {
	tx, err := riverevents.Tx(ctx)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, "INSERT INTO effects VALUES ($1)", e.Key())
	return err
}

func taskEvent(t testing.TB, id, status string, more ...string) *ittybit.Event {
	t.Helper()
	body := fmt.Sprintf(`{"id":%q,"object":"task","kind":"nsfw","status":%q%s}`, id, status, strings.Join(append([]string{""}, more...), ","))
	e, err := ittybit.ParseEvent([]byte(body))
	require.NoError(t, err)
	require.NotNil(t, e.Task, body)
	return e
}

// deliver has a webhook delivered, and gives the answer's status and what the observer saw.
func deliver(t testing.TB, next ittybit.EventHandler, payload any) (*httptest.ResponseRecorder, ittybit.Delivery) {
	t.Helper()
	var seen ittybit.Delivery
	webhook, err := ittybit.NewWebhookHandler(apiKey, next,
		ittybit.WithObserver(func(_ context.Context, d ittybit.Delivery) { seen = d }))
	require.NoError(t, err)
	recorder := httptest.NewRecorder()
	webhook.ServeHTTP(recorder, ittybittest.NewWebhookRequest(apiKey, payload))
	return recorder, seen
}

func assertAnswer(t testing.TB, next ittybit.EventHandler, payload any, status int, outcome ittybit.Outcome) *httptest.ResponseRecorder {
	t.Helper()
	recorder, seen := deliver(t, next, payload)
	assert.Equal(t, status, recorder.Code, http.StatusText(recorder.Code))
	assert.Equal(t, outcome, seen.Outcome, "%v", seen.Err)
	return recorder
}
