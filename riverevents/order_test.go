package riverevents_test

import (
	"context"
	"testing"

	"github.com/riverqueue/river"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/riverevents"
)

// observed gives an option that sends each attempt, and where it sends them to.
func observed() (riverevents.WorkerOption, <-chan riverevents.Attempt) {
	attempts := make(chan riverevents.Attempt, 32)
	return riverevents.WithObserver(func(_ context.Context, a riverevents.Attempt) { attempts <- a }), attempts
}

func TestOrder_whatIsOlderThanWhatWasHandledIsSkipped(t *testing.T) {
	t.Parallel()
	q := newQueue(t)
	observe, attempts := observed()
	w := q.work(ittybit.EventHandlerFunc(write), observe)
	for _, step := range []struct {
		event *ittybit.Event
		want  ittybit.Outcome
	}{
		{taskEvent(t, "task_1", "processing", `"progress":50`), ittybit.OutcomeHandled},
		{taskEvent(t, "task_1", "pending"), riverevents.OutcomeStale},
		{taskEvent(t, "task_1", "processing", `"progress":20`), riverevents.OutcomeStale},
		{taskEvent(t, "task_1", "processing", `"progress":60`), ittybit.OutcomeHandled},
		{taskEvent(t, "task_1", "processing", `"progress":60,"x":1`), ittybit.OutcomeHandled}, // neither older nor newer
		{taskEvent(t, "task_1", "completed"), ittybit.OutcomeHandled},
		{taskEvent(t, "task_1", "processing", `"progress":99`), riverevents.OutcomeStale},
		{taskEvent(t, "task_1", "failed"), ittybit.OutcomeHandled}, // an end is never stale
		{taskEvent(t, "task_2", "pending"), ittybit.OutcomeHandled},
	} {
		q.enqueue(step.event)
		w.next(river.EventKindJobCompleted)
		a := receive(t, attempts)
		assert.Equal(t, step.want, a.Outcome, "%s", step.event.RawJSON())
		assert.NoError(t, a.Err)
		assert.Equal(t, string(step.want), q.outcome(step.event.Key()))
	}
	assert.Equal(t, 6, value[int](q, "SELECT count(*) FROM effects"))

	// Another endpoint has an order of its own.
	q.enqueue(taskEvent(t, "task_1", "pending", `"x":2`), riverevents.WithName("other"))
	w.next(river.EventKindJobCompleted)
	assert.Equal(t, ittybit.OutcomeHandled, receive(t, attempts).Outcome)
}

func TestOrder_whatWasDiscardedMakesNothingStale(t *testing.T) {
	t.Parallel()
	q := newQueue(t)
	w := q.work(ittybit.EventHandlerFunc(func(ctx context.Context, e *ittybit.Event) error {
		if e.Task.Progress == 80 {
			return ittybit.Discard(errBroken)
		}
		return write(ctx, e)
	}))
	q.enqueue(taskEvent(t, "task_1", "processing", `"progress":80`))
	w.next(river.EventKindJobCancelled)
	older := taskEvent(t, "task_1", "processing", `"progress":50`)
	q.enqueue(older)
	w.next(river.EventKindJobCompleted)
	assert.Equal(t, 1, q.effects(older.Key()))
}

func TestOrder_otherPayloads(t *testing.T) {
	t.Parallel()
	q := newQueue(t)
	observe, attempts := observed()
	w := q.work(ittybit.EventHandlerFunc(write), observe)
	for _, step := range []struct {
		body string
		want ittybit.Outcome
	}{
		{`{"id":"evt_1","object":"event","kind":"task.completed","data":{"id":"task_1","status":"new_word"}}`, ittybit.OutcomeHandled},
		{`{"id":"evt_2","object":"event","kind":"task.updated","data":{"id":"task_1","status":"processing"}}`, riverevents.OutcomeStale},
		{`{"id":"evt_3","object":"event","kind":"task.failed","data":{"id":"task_1","status":"processing"}}`, ittybit.OutcomeHandled},
		{`{"id":"job_1","object":"job","status":"processing"}`, ittybit.OutcomeHandled},
		{`{"id":"job_1","object":"job","status":"queued"}`, riverevents.OutcomeStale},
		{`{"id":"job_1","object":"job","status":"succeeded"}`, ittybit.OutcomeHandled},
		{`{"id":"med_1","object":"media","x":1}`, ittybit.OutcomeHandled},
		{`{"id":"med_1","object":"media","x":0}`, ittybit.OutcomeHandled},
		{`{"something":"else"}`, ittybit.OutcomeHandled},
	} {
		e, err := ittybit.ParseEvent([]byte(step.body))
		require.NoError(t, err)
		q.enqueue(e)
		w.next(river.EventKindJobCompleted)
		assert.Equal(t, step.want, receive(t, attempts).Outcome, step.body)
	}
}

func TestOrder_ofTwoEventsAtOnceTheOlderDoesNotCommitAfterTheNewer(t *testing.T) {
	t.Parallel()
	for name, swallow := range map[string]bool{"it returns the error": false, "it swallows the error": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			q := newQueue(t)
			observe, attempts := observed()
			olderBegun, newerDone := make(chan struct{}), make(chan struct{})
			w := q.work(ittybit.EventHandlerFunc(func(ctx context.Context, e *ittybit.Event) error {
				if e.Task.Terminal() {
					return write(ctx, e)
				}
				close(olderBegun)
				<-newerDone
				err := write(ctx, e)
				assert.ErrorIs(t, err, riverevents.ErrStale)
				if swallow {
					return nil
				}
				return err
			}), observe)
			older, newer := taskEvent(t, "task_1", "processing"), taskEvent(t, "task_1", "completed")
			q.enqueue(older)
			receive(t, olderBegun)
			q.enqueue(newer)
			w.next(river.EventKindJobCompleted)
			assert.Equal(t, ittybit.OutcomeHandled, receive(t, attempts).Outcome)
			close(newerDone)
			w.next(river.EventKindJobCompleted)
			assert.Equal(t, riverevents.OutcomeStale, receive(t, attempts).Outcome)
			assert.Equal(t, "stale", q.outcome(older.Key()))
			assert.Equal(t, 0, q.effects(older.Key()))
			assert.Equal(t, 1, q.effects(newer.Key()))
		})
	}
}

func TestOrder_twoEventsOfOneTaskWaitForEachOther(t *testing.T) {
	t.Parallel()
	q := newQueue(t)
	firstWrote, goOn := make(chan struct{}), make(chan struct{})
	w := q.work(ittybit.EventHandlerFunc(func(ctx context.Context, e *ittybit.Event) error {
		if err := write(ctx, e); err != nil {
			return err
		}
		if !e.Task.Terminal() {
			close(firstWrote)
			<-goOn
		}
		return nil
	}))
	q.enqueue(taskEvent(t, "task_1", "processing"))
	receive(t, firstWrote)
	q.enqueue(taskEvent(t, "task_1", "completed"))
	const waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%' || current_schema() || '%ittybit_river_subject%'"
	require.Eventually(t, func() bool { return value[int](q, waiting) == 1 }, waitLimit, 5e6)
	close(goOn)
	first, second := w.next(river.EventKindJobCompleted), w.next(river.EventKindJobCompleted)
	assert.Less(t, first.ID, second.ID)
	assert.Equal(t, 2, value[int](q, "SELECT count(*) FROM effects"))
}

func TestOrder_withoutTheCheckEachEventIsHandled(t *testing.T) {
	t.Parallel()
	q := newQueue(t)
	w := q.work(ittybit.EventHandlerFunc(write), riverevents.WithoutStaleCheck())
	for _, status := range []string{"completed", "processing", "pending"} {
		q.enqueue(taskEvent(t, "task_1", status))
		w.next(river.EventKindJobCompleted)
	}
	assert.Equal(t, 3, value[int](q, "SELECT count(*) FROM effects"))
	assert.Equal(t, 0, value[int](q, "SELECT count(*) FROM ittybit_river_subject"))
}

// Without Tx nothing is known of a newer event until the handler has done its work: what it did is
// done, and so it is marked as handled, but the newer state stays the newest.
func TestOrder_withoutTxTheNewestStateStays(t *testing.T) {
	t.Parallel()
	q := newQueue(t)
	olderBegun, newerDone := make(chan struct{}), make(chan struct{})
	w := q.work(ittybit.EventHandlerFunc(func(_ context.Context, e *ittybit.Event) error {
		if e.Task.Progress == 10 {
			close(olderBegun)
			<-newerDone
		}
		return nil
	}))
	older, newer := taskEvent(t, "task_1", "processing", `"progress":10`), taskEvent(t, "task_1", "processing", `"progress":80`)
	q.enqueue(older)
	receive(t, olderBegun)
	q.enqueue(newer)
	w.next(river.EventKindJobCompleted)
	close(newerDone)
	w.next(river.EventKindJobCompleted)
	assert.Equal(t, "handled", q.outcome(older.Key()))
	assert.Contains(t, value[string](q, "SELECT newest FROM ittybit_river_subject"), `"progress":80`)
}
