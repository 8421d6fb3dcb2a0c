package riverevents_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/riverevents"
)

var errBroken = errors.New("broken")

const done1 = "task:task_1:completed" // the key of task_1's end

func TestWorker_runsTheSameMux(t *testing.T) {
	t.Parallel()
	q := newQueue(t)
	events := ittybit.NewEventMux()
	events.OnTaskCompleted(ittybit.TaskKindNSFW, write)
	w := q.work(events)
	enqueue := riverevents.Enqueue(q.client)
	assertAnswer(t, enqueue, taskEvent(t, "task_1", "completed").RawJSON(), 200, ittybit.OutcomeHandled)
	assert.Equal(t, rivertype.JobStateCompleted, w.next(river.EventKindJobCompleted).State)
	assert.Equal(t, 1, q.effects(done1))
	assert.Equal(t, "handled", q.outcome(done1))

	// An event that the mux has no handler for is dealt with, too.
	assertAnswer(t, enqueue, taskEvent(t, "task_2", "failed").RawJSON(), 200, ittybit.OutcomeHandled)
	w.next(river.EventKindJobCompleted)
	assert.Equal(t, "handled", q.outcome("task:task_2:failed"))
}

func TestWorker_anErrorRollsBackAndIsTriedAgain(t *testing.T) {
	t.Parallel()
	for name, failure := range map[string]func(){
		"an error": func() {},
		"a panic":  func() { panic("at the disco") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			q := newQueue(t)
			w := q.work(ittybit.EventHandlerFunc(func(ctx context.Context, e *ittybit.Event) error {
				if err := write(ctx, e); err != nil {
					return err
				}
				if job, _ := riverevents.JobFromContext(ctx); job.Attempt == 1 {
					failure()
					return errBroken
				}
				return nil
			}))
			q.enqueue(taskEvent(t, "task_1", "completed"))
			w.next(river.EventKindJobFailed)
			job := w.next(river.EventKindJobCompleted)
			assert.Equal(t, 2, job.Attempt)
			assert.Len(t, job.Errors, 1)
			assert.Equal(t, 1, q.effects(done1))
		})
	}
}

func TestWorker_retryLaterSnoozes(t *testing.T) {
	t.Parallel()
	q := newQueue(t)
	calls := 0
	w := q.work(ittybit.EventHandlerFunc(func(ctx context.Context, e *ittybit.Event) error {
		if err := write(ctx, e); err != nil {
			return err
		}
		if calls++; calls <= 2 {
			return ittybit.RetryLater(30*time.Millisecond, errBroken)
		}
		return nil
	}))
	q.enqueue(taskEvent(t, "task_1", "completed"), riverevents.WithInsertOpts(river.InsertOpts{MaxAttempts: 1}))
	for range 2 {
		job := w.next(river.EventKindJobSnoozed)
		assert.Zero(t, job.Attempt, "no attempt is used up")
	}
	assert.Equal(t, 0, q.effects(done1))
	w.next(river.EventKindJobCompleted)
	assert.Equal(t, 1, q.effects(done1))

	// River waits for as long as is asked for.
	e := taskEvent(t, "task_2", "completed")
	calls = 0
	q.exec("UPDATE river_job SET state = 'completed', finalized_at = now()")
	hour := q.work(ittybit.EventHandlerFunc(func(context.Context, *ittybit.Event) error { return ittybit.RetryLater(time.Hour, nil) }))
	require.NoError(t, w.client.Stop(t.Context()))
	q.enqueue(e)
	job := hour.next(river.EventKindJobSnoozed)
	assert.Equal(t, rivertype.JobStateScheduled, job.State)
	assert.InDelta(t, time.Hour, time.Until(job.ScheduledAt), float64(time.Minute))
}

func TestWorker_aSnoozeOfRiversIsRetryLater(t *testing.T) {
	t.Parallel()
	q := newQueue(t)
	observe, attempts := observed()
	w := q.work(ittybit.EventHandlerFunc(func(context.Context, *ittybit.Event) error { return river.JobSnooze(time.Hour) }), observe)
	q.enqueue(taskEvent(t, "task_1", "completed"))
	w.next(river.EventKindJobSnoozed)
	assert.Equal(t, ittybit.OutcomeRetryLater, receive(t, attempts).Outcome)
}

func TestWorker_discardCancelsAndMarks(t *testing.T) {
	t.Parallel()
	for name, failure := range map[string]error{
		"Discard":           ittybit.Discard(errBroken),
		"River's JobCancel": river.JobCancel(errBroken),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			q := newQueue(t)
			mended := make(chan struct{})
			w := q.work(ittybit.EventHandlerFunc(func(ctx context.Context, e *ittybit.Event) error {
				if err := write(ctx, e); err != nil {
					return err
				}
				select {
				case <-mended:
					return nil
				default:
					return failure
				}
			}))
			e := taskEvent(t, "task_1", "completed")
			q.enqueue(e)
			job := w.next(river.EventKindJobCancelled)
			assert.Equal(t, rivertype.JobStateCancelled, job.State)
			assert.Equal(t, "discarded", q.outcome(done1))
			assert.Equal(t, 0, q.effects(done1))
			assert.ErrorIs(t, riverevents.Enqueue(q.client).HandleEvent(t.Context(), e), ittybit.ErrAlreadyHandled)

			// Somebody mends the cause, and has River try again.
			close(mended)
			_, err := q.client.JobRetry(t.Context(), job.ID)
			require.NoError(t, err)
			w.next(river.EventKindJobCompleted)
			assert.Equal(t, "handled", q.outcome(done1))
			assert.Equal(t, 1, q.effects(done1))

			// Once it was handled, that does nothing any more.
			_, err = q.client.JobRetry(t.Context(), job.ID)
			require.NoError(t, err)
			w.next(river.EventKindJobCompleted)
			assert.Equal(t, 1, q.effects(done1))
		})
	}
}

func TestWorker_aPoisonEventEndsDiscardedAndBlocksNothing(t *testing.T) {
	t.Parallel()
	q := newQueue(t)
	w := q.work(ittybit.EventHandlerFunc(func(ctx context.Context, e *ittybit.Event) error {
		if e.Task.ID == "task_1" {
			return errBroken
		}
		return write(ctx, e)
	}))
	poison := taskEvent(t, "task_1", "completed")
	q.enqueue(poison, riverevents.WithInsertOpts(river.InsertOpts{MaxAttempts: 3}))
	for _, id := range []string{"task_2", "task_3", "task_4"} {
		q.enqueue(taskEvent(t, id, "completed"))
	}
	last := map[river.EventKind]*rivertype.JobRow{}
	for range 3 + 3 {
		event := receive(t, w.events)
		last[event.Kind] = event.Job
	}
	assert.Equal(t, rivertype.JobStateDiscarded, last[river.EventKindJobFailed].State)
	assert.Len(t, last[river.EventKindJobFailed].Errors, 3)
	assert.Equal(t, 3, value[int](q, "SELECT count(*) FROM effects"))
	assert.Empty(t, q.outcome(done1), "it can be found by its want of an outcome")

	assertAnswer(t, riverevents.Enqueue(q.client), poison.RawJSON(), 200, ittybit.OutcomeDuplicate)
	q.exec("DELETE FROM river_job") // as River itself does, after a week
	assertAnswer(t, riverevents.Enqueue(q.client), poison.RawJSON(), 200, ittybit.OutcomeDuplicate)
	assert.Equal(t, 0, q.jobs())
}

func TestWorker_aRedeliveryAfterRiverForgotTheJob(t *testing.T) {
	t.Parallel()
	q := newQueue(t)
	w := q.work(ittybit.EventHandlerFunc(write))
	e := taskEvent(t, "task_1", "completed")
	assertAnswer(t, riverevents.Enqueue(q.client), e.RawJSON(), 200, ittybit.OutcomeHandled)
	w.next(river.EventKindJobCompleted)

	// 25 hours later River has deleted the job.
	q.exec("UPDATE ittybit_river_event SET enqueued_at = enqueued_at - interval '25 hours', settled_at = settled_at - interval '25 hours'")
	q.exec("DELETE FROM river_job")
	assertAnswer(t, riverevents.Enqueue(q.client), e.RawJSON(), 200, ittybit.OutcomeDuplicate)
	assert.Equal(t, 0, q.jobs())

	// Even a job that came about in some other way writes nothing.
	_, err := q.client.Insert(t.Context(), riverevents.Args{Key: done1, Payload: riverevents.Payload(e.RawJSON())}, nil)
	require.NoError(t, err)
	w.next(river.EventKindJobCompleted)
	assert.Equal(t, 1, q.effects(done1))
}

func TestWorker_withoutTxMarksAndCompletes(t *testing.T) {
	t.Parallel()
	q := newQueue(t)
	calls := make(chan struct{}, 1)
	w := q.work(ittybit.EventHandlerFunc(func(context.Context, *ittybit.Event) error { calls <- struct{}{}; return nil }))
	e := taskEvent(t, "task_1", "completed")
	q.enqueue(e)
	receive(t, calls)
	w.next(river.EventKindJobCompleted)
	assert.Equal(t, "handled", q.outcome(done1))

	_, err := q.client.Insert(t.Context(), riverevents.Args{Key: done1, Payload: riverevents.Payload(e.RawJSON())}, nil)
	require.NoError(t, err)
	w.next(river.EventKindJobCompleted)
	assert.Empty(t, calls, "the handler is not called again")
}

func TestWorker_aPayloadThatCannotBeReadIsTriedAgain(t *testing.T) {
	t.Parallel()
	q := newQueue(t)
	attempts := make(chan riverevents.Attempt, 2)
	w := q.work(ittybit.EventHandlerFunc(write), riverevents.WithObserver(func(_ context.Context, a riverevents.Attempt) { attempts <- a }))
	odd := riverevents.Args{Key: "k", Payload: riverevents.Payload("zstd:of a later version")}
	_, err := q.client.Insert(t.Context(), odd, &river.InsertOpts{MaxAttempts: 2})
	require.NoError(t, err)
	for _, state := range []rivertype.JobState{rivertype.JobStateAvailable, rivertype.JobStateDiscarded} {
		assert.Equal(t, state, w.next(river.EventKindJobFailed).State)
		a := receive(t, attempts)
		assert.Equal(t, ittybit.OutcomeMalformedEvent, a.Outcome)
		assert.Equal(t, state == rivertype.JobStateDiscarded, a.Last)
		assert.ErrorIs(t, a.Err, ittybit.ErrMalformedEvent)
	}
}

func TestWorker_aLateSuccessIsASuccess(t *testing.T) {
	t.Parallel()
	q := newQueue(t)
	w := q.work(ittybit.EventHandlerFunc(func(ctx context.Context, e *ittybit.Event) error {
		if err := write(ctx, e); err != nil {
			return err
		}
		<-ctx.Done()
		return nil
	}), riverevents.WithTimeout(time.Second))
	q.enqueue(taskEvent(t, "task_1", "completed"))
	assert.Equal(t, 1, w.next(river.EventKindJobCompleted).Attempt)
	assert.Equal(t, 1, q.effects(done1))
}

func TestWorker_aTimeoutIsTriedAgain(t *testing.T) {
	t.Parallel()
	q := newQueue(t)
	w := q.work(ittybit.EventHandlerFunc(func(ctx context.Context, e *ittybit.Event) error {
		if err := write(ctx, e); err != nil {
			return err
		}
		if job, _ := riverevents.JobFromContext(ctx); job.Attempt > 1 {
			return nil
		}
		tx, err := riverevents.Tx(ctx)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, "SELECT pg_sleep(60)")
		return err
	}), riverevents.WithTimeout(time.Second))
	q.enqueue(taskEvent(t, "task_1", "completed"))
	w.next(river.EventKindJobFailed)
	w.next(river.EventKindJobCompleted)
	assert.Equal(t, 1, q.effects(done1))
}

func TestWorker_jobsThatSomebodyInsertedWithAnInvalidKey(t *testing.T) {
	t.Parallel()
	q := newQueue(t)
	w := q.work(ittybit.EventHandlerFunc(write))
	for _, key := range []string{"", "", strings.Repeat("long", 2500)} {
		payload := riverevents.Payload(taskEvent(t, "task_1", "completed").RawJSON())
		_, err := q.client.Insert(t.Context(), riverevents.Args{Key: key, Payload: payload}, nil)
		require.NoError(t, err)
		w.next(river.EventKindJobCompleted)
	}
	assert.Equal(t, 3, q.effects(done1), "one without a key is no repeat of another")
}

// oddError panics when it is asked what it says.
type oddError struct{}

func (oddError) Error() string { panic("nothing") }

func TestWorker_aPanicOfItsObserverOrLogDecidesNothing(t *testing.T) {
	t.Parallel()
	for kind, failure := range map[river.EventKind]error{
		river.EventKindJobSnoozed:   &ittybit.RetryLaterError{After: time.Hour, Err: errBroken},
		river.EventKindJobCancelled: ittybit.Discard(errBroken),
		river.EventKindJobCompleted: nil,
	} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			q := newQueue(t)
			var log bytes.Buffer
			panicking := riverevents.WithObserver(func(context.Context, riverevents.Attempt) { panic("in the observer") })
			w := q.work(ittybit.EventHandlerFunc(func(ctx context.Context, e *ittybit.Event) error { return errors.Join(write(ctx, e), failure) }),
				panicking, riverevents.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
			q.enqueue(taskEvent(t, "task_1", "completed"))
			w.next(kind)
			assert.Contains(t, log.String(), "in the observer")
		})
	}
	t.Run("an error that panics", func(t *testing.T) {
		t.Parallel()
		q := newQueue(t)
		w := q.work(ittybit.EventHandlerFunc(func(context.Context, *ittybit.Event) error { return ittybit.RetryLater(time.Hour, oddError{}) }),
			riverevents.WithLogger(slog.New(slog.NewTextHandler(new(bytes.Buffer), nil))))
		q.enqueue(taskEvent(t, "task_1", "completed"))
		w.next(river.EventKindJobSnoozed)
	})
	t.Run("a log that panics", func(t *testing.T) {
		t.Parallel()
		q := newQueue(t)
		w := q.work(ittybit.EventHandlerFunc(func(context.Context, *ittybit.Event) error { return ittybit.RetryLater(time.Hour, errBroken) }),
			riverevents.WithLogger(slog.New(panicHandler{})))
		q.enqueue(taskEvent(t, "task_1", "completed"))
		w.next(river.EventKindJobSnoozed)
	})
}

// panicHandler is a log that panics.
type panicHandler struct{ slog.Handler }

func (panicHandler) Enabled(context.Context, slog.Level) bool { panic("no log") }
