package riverevents_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/riverqueue/river"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/riverevents"
)

// Three jobs end at the same time, whose handlers wrote nothing. Each call about their events
// fails, in each way: what is read before the handlers are called, and the marks after them.
func TestFaults_ofABatchOfMarks(t *testing.T) {
	t.Parallel()
	q := newQueue(t)
	s := &saboteur{concerns: func(sql string) bool { return strings.Contains(sql, "ittybit_river_") }}
	s.left.Store(-1)
	var mu sync.Mutex
	calls := map[string]int{}
	attempts := make(chan riverevents.Attempt, 64)
	var log bytes.Buffer // read when the client has stopped
	worker := riverevents.Worker(ittybit.EventHandlerFunc(func(_ context.Context, e *ittybit.Event) error {
		mu.Lock()
		defer mu.Unlock()
		calls[e.Task.ID]++
		return nil
	}), riverevents.WithObserver(func(_ context.Context, a riverevents.Attempt) { attempts <- a }),
		riverevents.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
	workers := river.NewWorkers()
	river.AddWorker(workers, worker)
	client := newClient(t, s.connect(t, q.url), &river.Config{
		Schema: q.schema, Workers: workers, Queues: map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 8}},
		FetchCooldown: 5 * time.Millisecond, FetchPollInterval: 20 * time.Millisecond, RetryPolicy: soon{},
	})
	require.NoError(t, client.Start(context.WithoutCancel(t.Context())))
	stop := sync.OnceValue(func() error { return client.StopAndCancel(context.WithoutCancel(t.Context())) })
	defer func() { assert.NoError(t, stop()) }()

	rounds, strikes := 0, 0
	for _, kind := range allFaults() {
		loading, holdLoads := riverevents.Loads(worker, kind.batchTime())
		marking, holdMarks := riverevents.Marks(worker, kind.batchTime())
		for k := 1; ; k++ {
			about := fmt.Sprintf("%s in call %d", kind, k)
			releaseLoads, releaseMarks := holdLoads(), holdMarks()
			var ids []string
			for _, name := range []string{"a", "b", "c"} {
				id := fmt.Sprintf("task_%d_%s", rounds, name)
				ids = append(ids, id)
				q.enqueue(taskEvent(t, id, "completed"))
			}
			rounds++
			require.Eventually(t, func() bool { return loading() == 3 }, waitLimit, time.Millisecond)
			s.next(kind, k)
			releaseLoads()
			require.Eventually(t, func() bool { return marking() == 3 }, waitLimit, time.Millisecond)
			releaseMarks()
			for range ids {
				a := receive(t, attempts)
				assert.Contains(t, []ittybit.Outcome{ittybit.OutcomeHandled, ittybit.OutcomeDuplicate}, a.Outcome, "%s: %v", about, a.Err)
				assert.Equal(t, 1, a.Job.Attempt, about)
			}
			struck := s.struck()
			mu.Lock()
			for _, id := range ids {
				assert.Equal(t, 1, calls[id], about)
				assert.Equal(t, "handled", q.outcome("task:"+id+":completed"), about)
			}
			mu.Unlock()
			if !struck {
				break
			}
			strikes++
		}
	}
	assert.GreaterOrEqual(t, rounds, (2+1)*len(allFaults()), "what is read, and the marks")
	const completed = "SELECT count(*) FROM river_job WHERE state = 'completed'"
	require.Eventually(t, func() bool { return value[int](q, completed) == 3*rounds }, waitLimit, 50*time.Millisecond, "River completes them")
	require.NoError(t, stop())
	assert.Equal(t, strikes, strings.Count(log.String(), "level=WARN"), "%s", &log)
	for _, statement := range []string{"load", "mark"} {
		assert.Contains(t, log.String(), `a statement for several jobs failed; each goes on alone" statement=`+statement+` jobs=3 error=`)
	}
}

// A handler's transaction holds a task's row for as long as the handler takes. Events of other
// tasks that end meanwhile don't wait for it, though they are marked together with one of that
// task.
func TestMarks_oneThatWaitsForALockHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	q := newQueue(t)
	wrote, goOn := make(chan struct{}), make(chan struct{})
	attempts := make(chan riverevents.Attempt, 8)
	worker := riverevents.Worker(ittybit.EventHandlerFunc(func(ctx context.Context, e *ittybit.Event) error {
		if e.Task.Terminal() {
			return nil
		}
		err := write(ctx, e)
		close(wrote)
		<-goOn
		return err
	}), riverevents.WithObserver(func(_ context.Context, a riverevents.Attempt) { attempts <- a }))
	marking, hold := riverevents.Marks(worker, waitLimit)
	q.workFor(&river.Config{}, worker)
	q.enqueue(taskEvent(t, "task_1", "processing"))
	receive(t, wrote)
	release := hold()
	for n := 1; n <= 3; n++ {
		q.enqueue(taskEvent(t, fmt.Sprintf("task_%d", n), "completed"))
	}
	require.Eventually(t, func() bool { return marking() == 3 }, waitLimit, time.Millisecond)
	release()
	for range 2 {
		a := receive(t, attempts)
		assert.Equal(t, ittybit.OutcomeHandled, a.Outcome, "%v", a.Err)
		assert.NotEqual(t, "task_1", a.Event.Task.ID)
	}
	assert.Empty(t, q.outcome(done1))
	close(goOn)
	for range 2 {
		assert.Equal(t, ittybit.OutcomeHandled, receive(t, attempts).Outcome)
	}
	assert.Equal(t, "handled", q.outcome(done1))
	assert.Contains(t, value[string](q, "SELECT newest FROM ittybit_river_subject WHERE subject = 'task:task_1'"), "terminal")
}

// What one batch marks: two events of one task, an event that is there twice, one whose row was
// pruned, and one of another endpoint.
func TestMarks_ofOneBatch(t *testing.T) {
	t.Parallel()
	q := newQueue(t)
	attempts := make(chan riverevents.Attempt, 8)
	worker := riverevents.Worker(ittybit.EventHandlerFunc(func(_ context.Context, e *ittybit.Event) error {
		if e.Task.ID == "task_4" {
			return ittybit.Discard(errBroken)
		}
		return nil
	}), riverevents.WithObserver(func(_ context.Context, a riverevents.Attempt) { attempts <- a }))
	marking, hold := riverevents.Marks(worker, waitLimit)
	release := hold()
	q.workFor(&river.Config{}, worker)
	newer, older := taskEvent(t, "task_1", "processing", `"progress":80`), taskEvent(t, "task_1", "processing", `"progress":10`)
	pruned := taskEvent(t, "task_3", "completed")
	for i, e := range []*ittybit.Event{newer, older, taskEvent(t, "task_2", "completed"), pruned, taskEvent(t, "task_4", "completed")} {
		q.enqueue(e)
		require.Eventually(t, func() bool { return marking() == i+1 }, waitLimit, time.Millisecond)
	}
	q.enqueue(newer, riverevents.WithName("other"))
	_, err := q.client.Insert(t.Context(), riverevents.Args{Key: newer.Key(), Payload: riverevents.Payload(newer.RawJSON())}, nil)
	require.NoError(t, err)
	require.Eventually(t, func() bool { return marking() == 7 }, waitLimit, time.Millisecond)
	q.exec("DELETE FROM ittybit_river_event WHERE key = $1", pruned.Key())
	release()
	outcomes := map[ittybit.Outcome]int{}
	for range 7 {
		outcomes[receive(t, attempts).Outcome]++
	}
	assert.Equal(t, map[ittybit.Outcome]int{ittybit.OutcomeHandled: 5, ittybit.OutcomeDuplicate: 1, ittybit.OutcomeDiscarded: 1}, outcomes)
	for _, e := range []*ittybit.Event{older, pruned} {
		assert.Equal(t, "handled", q.outcome(e.Key()))
	}
	assert.Equal(t, 2, value[int](q, "SELECT count(*) FROM ittybit_river_event WHERE key = $1 AND outcome = 'handled'", newer.Key()))
	assert.Equal(t, "discarded", q.outcome("task:task_4:completed"))
	assert.Equal(t, 2, value[int](q, `SELECT count(*) FROM ittybit_river_subject WHERE subject = 'task:task_1' AND newest LIKE '%"progress":80%'`))
}
