package riverevents_test

import (
	"context"
	"errors"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/riverqueue/river"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/internal/pgserver"
	"github.com/ittybit/ittybit-go/riverevents"
)

const cure = "default_query_exec_mode=exec"

// with gives the queue's URL with one more parameter.
func (q *queue) with(name, value string) string {
	q.t.Helper()
	own, err := url.Parse(q.url)
	require.NoError(q.t, err)
	query := own.Query()
	query.Set(name, value)
	own.RawQuery = query.Encode()
	return own.String()
}

func TestCheck_saysWhatToDo(t *testing.T) {
	q := newQueue(t)
	require.NoError(t, riverevents.Check(t.Context(), q.client))
	for setting, want := range map[[2]string]string{
		{"synchronous_commit", "off"}:                  "synchronous_commit is off",
		{"lock_timeout", "1000"}:                       "lock_timeout is 1s",
		{"statement_timeout", "2000"}:                  "statement_timeout is 2s",
		{"idle_in_transaction_session_timeout", "100"}: "idle_in_transaction_session_timeout is 100ms",
		{"default_transaction_read_only", "on"}:        "connect to the primary",
	} {
		client := newClient(t, connect(t, q.with(setting[0], setting[1])), &river.Config{Schema: q.schema})
		assert.ErrorContains(t, riverevents.Check(t.Context(), client), want)
	}

	elsewhere := newClient(t, q.pool, &river.Config{Schema: "elsewhere"})
	err := riverevents.Check(t.Context(), elsewhere)
	assert.ErrorContains(t, err, "call riverevents.Migrate")
	assert.ErrorContains(t, err, "rivermigrate")
	err = riverevents.Enqueue(elsewhere).HandleEvent(t.Context(), completed(t, 1))
	var later *ittybit.RetryLaterError
	require.ErrorAs(t, err, &later)
	assert.ErrorContains(t, err, "call riverevents.Migrate at start-up")
}

func completed(t testing.TB, n int) *ittybit.Event {
	t.Helper()
	e, err := ittybit.ParseEvent([]byte(`{"id":"task_` + strconv.Itoa(n) + `","object":"task","kind":"nsfw","status":"completed"}`))
	require.NoError(t, err)
	return e
}

// Through a pooler in transaction mode: refused, with the cure, by pgx's default; and each effect
// once with the cure.
func TestPooler(t *testing.T) {
	direct := pgserver.Database(t)
	q := openQueue(t, direct, "")
	pooler := pgserver.NewPooler(t, direct, 4)

	broken := newClient(t, connect(t, pooler.URL(direct)), &river.Config{})
	assert.ErrorContains(t, riverevents.Check(t.Context(), broken), cure)
	var refused atomic.Int64
	enqueueAll(t, riverevents.Enqueue(broken), 0, 100, func(err error) bool {
		refused.Add(1)
		assert.ErrorContains(t, err, cure)
		return false
	})
	assert.NotZero(t, refused.Load())
	assert.Equal(t, 100-int(refused.Load()), q.jobs(), "what was acknowledged has a job")

	const events = 200
	address := pooler.URL(direct) + "&" + cure
	workers := river.NewWorkers()
	river.AddWorker(workers, riverevents.Worker(ittybit.EventHandlerFunc(func(ctx context.Context, e *ittybit.Event) error {
		tx, err := riverevents.Tx(ctx)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, "INSERT INTO effects (key) VALUES ($1)", e.Key())
		return err
	})))
	client := newClient(t, connect(t, address), &river.Config{
		Workers: workers, Queues: map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 8}},
		FetchPollInterval: 100 * time.Millisecond, // LISTEN brings nothing through a pooler
	})
	require.NoError(t, riverevents.Check(t.Context(), client))
	require.NoError(t, client.Start(t.Context()))
	var restarting sync.WaitGroup
	restarting.Go(func() {
		assert.NoError(t, pooler.Pause())
		assert.NoError(t, pooler.Resume(t.Context()))
	})
	enqueueAll(t, riverevents.Enqueue(client), 1000, events, func(error) bool {
		time.Sleep(5 * time.Millisecond) // as a sender does, more patiently
		return true
	})
	restarting.Wait()
	assert.Eventually(t, func() bool {
		return value[int](q, "SELECT count(DISTINCT key) FROM effects WHERE key ~ '^task:task_1[0-9]{3}:'") == events
	}, waitLimit, 50*time.Millisecond)
	assert.Equal(t, value[int](q, "SELECT count(DISTINCT key) FROM effects"), value[int](q, "SELECT count(*) FROM effects"), "each effect once")
	require.NoError(t, client.Stop(t.Context()))
}

// enqueueAll enqueues events by eight. Those that are refused are repeated where again says so.
func enqueueAll(t *testing.T, h ittybit.EventHandler, first, events int, again func(error) bool) {
	t.Helper()
	next := atomic.Int64{}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for {
				n := int(next.Add(1)) - 1
				if n >= events {
					return
				}
				for {
					err := h.HandleEvent(t.Context(), completed(t, first+n))
					if once(err) == nil || !again(err) {
						break
					}
				}
			}
		})
	}
	all.Wait()
}

// once takes an event that was enqueued before, by a delivery whose commit's response was lost, for
// enqueued.
func once(err error) error {
	if errors.Is(err, ittybit.ErrAlreadyHandled) {
		return nil
	}
	return err
}
