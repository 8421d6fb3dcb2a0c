package riverevents_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/riverevents"
)

func TestTx_worksOnlyInAHandlerOfAWorker(t *testing.T) {
	t.Parallel()
	_, err := riverevents.Tx(t.Context())
	require.ErrorContains(t, err, "only in a handler called by Worker")
	_, ok := riverevents.JobFromContext(t.Context())
	assert.False(t, ok)

	q := newQueue(t)
	left := make(chan context.Context, 1)
	taken := make(chan pgx.Tx, 1)
	w := q.work(ittybit.EventHandlerFunc(func(ctx context.Context, _ *ittybit.Event) error {
		tx, err := riverevents.Tx(ctx)
		left <- ctx
		taken <- tx
		return err
	}))
	q.enqueue(taskEvent(t, "task_1", "completed"))
	w.next(river.EventKindJobCompleted)
	_, err = riverevents.Tx(receive(t, left))
	require.ErrorContains(t, err, "only until it returns")
	_, err = receive(t, taken).Exec(t.Context(), "INSERT INTO effects VALUES ('late')")
	assert.ErrorIs(t, err, pgx.ErrTxClosed)
}

func TestTx_effectMarkAndCompletionAreOneCommit(t *testing.T) {
	t.Parallel()
	q := newQueue(t)
	w := q.work(ittybit.EventHandlerFunc(func(ctx context.Context, e *ittybit.Event) error {
		for range 2 { // the same transaction each time
			if err := write(ctx, e); err != nil {
				return err
			}
		}
		tx, err := riverevents.Tx(ctx)
		if err != nil {
			return err
		}
		// At the commit, all of it is there or nothing.
		_, err = tx.Exec(ctx, `CREATE FUNCTION seen() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
				INSERT INTO effects SELECT outcome FROM ittybit_river_event WHERE key = NEW.key;
				INSERT INTO effects SELECT state::text FROM river_job; RETURN NULL; END $$;
			CREATE CONSTRAINT TRIGGER at_commit AFTER INSERT ON effects DEFERRABLE INITIALLY DEFERRED
				FOR EACH ROW WHEN (NEW.key = 'task:task_1:completed') EXECUTE FUNCTION seen()`)
		if err != nil {
			return err
		}
		return write(ctx, e)
	}))
	q.enqueue(taskEvent(t, "task_1", "completed"))
	w.next(river.EventKindJobCompleted)
	assert.Equal(t, 3, q.effects(done1))
	assert.Equal(t, 1, q.effects("handled"))
	assert.Equal(t, 1, q.effects("completed"))
}

func TestTx_holdsNothingBeforeItIsCalled(t *testing.T) {
	t.Parallel()
	q := newQueue(t)
	begun, goOn := make(chan struct{}), make(chan struct{})
	w := q.work(ittybit.EventHandlerFunc(func(ctx context.Context, e *ittybit.Event) error {
		for range 2 {
			begun <- struct{}{}
			<-goOn
			if err := write(ctx, e); err != nil {
				return err
			}
		}
		return nil
	}))
	const held = "SELECT count(*) FROM pg_locks l WHERE l.relation = 'ittybit_river_event'::regclass AND l.pid <> pg_backend_pid()"
	q.enqueue(taskEvent(t, "task_1", "completed"))
	receive(t, begun)
	assert.Zero(t, value[int](q, held))
	goOn <- struct{}{}
	receive(t, begun)
	assert.NotZero(t, value[int](q, held))
	goOn <- struct{}{}
	w.next(river.EventKindJobCompleted)
}

// twoRuns has one event run twice at once, as when a worker was thought to be dead: the second run
// begins while the first is between its beginning and its first write.
func twoRuns(t *testing.T, second func(ctx context.Context, e *ittybit.Event) error) {
	q := newQueue(t)
	wrote, goOn := make(chan struct{}), make(chan struct{})
	attempts := make(chan riverevents.Attempt, 2)
	entered := make(chan struct{}, 2)
	e := taskEvent(t, "task_1", "completed")
	w := q.work(ittybit.EventHandlerFunc(func(ctx context.Context, e *ittybit.Event) error {
		job, _ := riverevents.JobFromContext(ctx)
		entered <- struct{}{}
		if job.Args.Metadata["run"] == "second" {
			<-wrote
			return second(ctx, e)
		}
		<-goOn
		defer close(wrote)
		return write(ctx, e)
	}), riverevents.WithObserver(func(_ context.Context, a riverevents.Attempt) { attempts <- a }))
	q.enqueue(e)
	args := riverevents.Args{Key: done1, Payload: riverevents.Payload(e.RawJSON()), Metadata: map[string]string{"run": "second"}}
	_, err := q.client.Insert(t.Context(), args, nil)
	require.NoError(t, err)
	receive(t, entered)
	receive(t, entered)
	close(goOn)
	w.next(river.EventKindJobCompleted)
	w.next(river.EventKindJobCompleted)
	outcomes := []ittybit.Outcome{receive(t, attempts).Outcome, receive(t, attempts).Outcome}
	assert.ElementsMatch(t, []ittybit.Outcome{ittybit.OutcomeHandled, ittybit.OutcomeDuplicate}, outcomes)
	assert.Equal(t, 1, q.effects(done1))
	assert.Equal(t, "handled", q.outcome(done1))
}

func TestTx_ofTwoRunsOneWrites(t *testing.T) {
	t.Parallel()
	for name, second := range map[string]func(context.Context, *ittybit.Event) error{
		"it returns the error": func(ctx context.Context, e *ittybit.Event) error {
			err := write(ctx, e)
			assert.ErrorIs(t, err, ittybit.ErrAlreadyHandled)
			assert.NotErrorIs(t, err, riverevents.ErrStale)
			return err
		},
		"it swallows the error":   func(ctx context.Context, e *ittybit.Event) error { _ = write(ctx, e); return nil },
		"it returns another":      func(ctx context.Context, e *ittybit.Event) error { _ = write(ctx, e); return errBroken },
		"it gives up, without Tx": func(context.Context, *ittybit.Event) error { return ittybit.Discard(errBroken) },
		"it succeeds without Tx":  func(context.Context, *ittybit.Event) error { return nil },
		"it asks for a retry":     func(ctx context.Context, e *ittybit.Event) error { return ittybit.RetryLater(0, write(ctx, e)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			twoRuns(t, second)
		})
	}
}

func TestTx_aRescuedJobWhoseWorkerWasNotDead(t *testing.T) {
	t.Parallel()
	wait := map[string]time.Duration{"available": 0, "retryable": time.Hour} // River's scheduler must not make it available by itself
	for _, rescued := range []string{"available", "retryable"} {
		t.Run(rescued, func(t *testing.T) {
			t.Parallel()
			q := newQueue(t)
			begun, goOn := make(chan struct{}, 2), make(chan struct{})
			w := q.work(ittybit.EventHandlerFunc(func(ctx context.Context, e *ittybit.Event) error {
				if job, _ := riverevents.JobFromContext(ctx); job.Attempt == 1 {
					begun <- struct{}{}
					<-goOn
				}
				return write(ctx, e)
			}))
			q.enqueue(taskEvent(t, "task_1", "completed"))
			receive(t, begun)
			q.exec("UPDATE river_job SET state = $1, scheduled_at = now() + $2", rescued, wait[rescued])
			if rescued == "available" { // the second run is done before the first goes on
				w.next(river.EventKindJobCompleted)
				close(goOn)
				w.next(river.EventKindJobCompleted)
			} else { // the first run ends before the second begins
				close(goOn)
				w.next(river.EventKindJobFailed) // is River's name for the state that it finds
				assert.Equal(t, 1, q.effects(done1))
				q.exec("UPDATE river_job SET state = 'available', scheduled_at = now()")
				w.next(river.EventKindJobCompleted)
			}
			assert.Equal(t, 1, q.effects(done1))
			assert.Equal(t, "handled", q.outcome(done1))
		})
	}
}

func TestTx_aJobWhoseRowIsGoneIsHandledAllTheSame(t *testing.T) {
	t.Parallel()
	q := newQueue(t)
	observe, attempts := observed()
	q.work(ittybit.EventHandlerFunc(func(ctx context.Context, e *ittybit.Event) error {
		_, err := q.pool.Exec(ctx, "DELETE FROM river_job")
		return errors.Join(err, write(ctx, e))
	}), observe)
	q.enqueue(taskEvent(t, "task_1", "completed"))
	a := receive(t, attempts)
	assert.Equal(t, ittybit.OutcomeHandled, a.Outcome, "%v", a.Err)
	assert.Equal(t, 1, q.effects(done1))
	assert.Equal(t, "handled", q.outcome(done1))
}

func TestTx_isNotTheHandlersToEnd(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		handler func(ctx context.Context, tx pgx.Tx) error
		reason  string
	}{
		"Commit":             {func(ctx context.Context, tx pgx.Tx) error { return tx.Commit(ctx) }, "do not call Commit"},
		"Rollback":           {func(ctx context.Context, tx pgx.Tx) error { return tx.Rollback(ctx) }, "rolled back the transaction"},
		"a failed statement": {func(ctx context.Context, tx pgx.Tx) error { _, _ = tx.Exec(ctx, "SELECT 1/0"); return nil }, "committing the event as handled"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			q := newQueue(t)
			w := q.work(ittybit.EventHandlerFunc(func(ctx context.Context, e *ittybit.Event) error {
				if err := write(ctx, e); err != nil {
					return err
				}
				tx, err := riverevents.Tx(ctx)
				if err != nil {
					return err
				}
				if job, _ := riverevents.JobFromContext(ctx); job.Attempt > 1 {
					return nil
				}
				return tt.handler(ctx, tx)
			}))
			q.enqueue(taskEvent(t, "task_1", "completed"))
			job := w.next(river.EventKindJobFailed)
			assert.Contains(t, job.Errors[0].Error, tt.reason)
			w.next(river.EventKindJobCompleted)
			assert.Equal(t, 1, q.effects(done1))
		})
	}
}

func TestTx_savepointsAndJobsOfTheHandlersOwn(t *testing.T) {
	t.Parallel()
	q := newQueue(t)
	w := q.work(ittybit.EventHandlerFunc(func(ctx context.Context, e *ittybit.Event) error {
		if e.Task.ID != "task_1" {
			return nil
		}
		tx, err := riverevents.Tx(ctx)
		if err != nil {
			return err
		}
		err = pgx.BeginFunc(ctx, tx, func(inner pgx.Tx) error {
			_, err := inner.Exec(ctx, "INSERT INTO effects VALUES ('undone')")
			return errors.Join(err, errBroken)
		})
		if !errors.Is(err, errBroken) {
			return err
		}
		args := riverevents.Args{Key: "next", Payload: riverevents.Payload(taskEvent(t, "task_2", "completed").RawJSON())}
		if _, err := river.ClientFromContext[pgx.Tx](ctx).InsertTx(ctx, tx, args, nil); err != nil {
			return err
		}
		return write(ctx, e)
	}))
	q.enqueue(taskEvent(t, "task_1", "completed"))
	w.next(river.EventKindJobCompleted)
	w.next(river.EventKindJobCompleted)
	assert.Equal(t, 0, q.effects("undone"))
	assert.Equal(t, 1, q.effects(done1))
	assert.Equal(t, "handled", q.outcome("next"), "its row was made when it was worked")
}
