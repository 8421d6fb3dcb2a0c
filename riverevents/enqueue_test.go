package riverevents_test

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/riverevents"
)

func TestEnqueue_insertsOneJobForEachEvent(t *testing.T) {
	t.Parallel()
	q := newQueue(t)
	enqueue := riverevents.Enqueue(q.client)
	done := taskEvent(t, "task_1", "completed").RawJSON()
	assertAnswer(t, enqueue, done, 200, ittybit.OutcomeHandled)
	assertAnswer(t, enqueue, done, 200, ittybit.OutcomeDuplicate)
	assertAnswer(t, enqueue, taskEvent(t, "task_2", "completed").RawJSON(), 200, ittybit.OutcomeHandled)
	assert.Equal(t, 2, q.jobs())
	assert.Equal(t, 2, value[int](q, "SELECT count(*) FROM ittybit_river_event WHERE outcome IS NULL AND settled_at IS NULL"))
}

func TestEnqueue_sixteenAtOnceInsertOneJob(t *testing.T) {
	t.Parallel()
	q := newQueue(t)
	e := taskEvent(t, "task_1", "completed")
	var wg sync.WaitGroup
	errs := make(chan error, 16)
	for range cap(errs) {
		wg.Go(func() { errs <- riverevents.Enqueue(q.client).HandleEvent(t.Context(), e) })
	}
	wg.Wait()
	close(errs)
	inserted := 0
	for err := range errs {
		if err == nil {
			inserted++
			continue
		}
		assert.ErrorIs(t, err, ittybit.ErrAlreadyHandled)
	}
	assert.Equal(t, 1, inserted)
	assert.Equal(t, 1, q.jobs())
}

func TestEnqueue_keepsEveryByteOfThePayload(t *testing.T) {
	t.Parallel()
	q := newQueue(t)
	handled := make(chan string, 1)
	w := q.work(ittybit.EventHandlerFunc(func(_ context.Context, e *ittybit.Event) error {
		handled <- string(e.RawJSON())
		return nil
	}))
	for name, body := range map[string]string{
		"an escaped NUL":               `{"id":"task_1","object":"task","status":"completed","x":"a\u0000b"}`,
		"an escaped NUL in the id":     `{"id":"task_\u0000","object":"task","status":"completed"}`,
		"an escaped NUL in the status": `{"id":"task_status","object":"task","status":"\u0000"}`,
		"bytes that are not UTF-8":     "{\"id\":\"task_2\",\"object\":\"task\",\"status\":\"completed\",\"x\":\"\xff\xfe\"}",
		"order, space and repetition":  `{ "z":1,  "id":"task_3","a":2,"object":"task","status":"completed","z":3 }`,
		"a number beyond any type":     `{"id":"task_4","object":"task","status":"completed","x":1e999999999}`,
		"an id beyond an index":        `{"id":"` + strings.Repeat("long", 2500) + `","object":"task","status":"completed"}`,
		"nothing that is known":        `{"hello":"world"}`,
	} {
		assertAnswer(t, riverevents.Enqueue(q.client), body, 200, ittybit.OutcomeHandled)
		assert.Equal(t, body, receive(t, handled), name)
		w.next(river.EventKindJobCompleted)
		assertAnswer(t, riverevents.Enqueue(q.client), body, 200, ittybit.OutcomeDuplicate)
	}
}

// Jobs lie in queues while programs are replaced: what one version writes, the others must read.
func TestArgs_areWrittenAndReadAsEver(t *testing.T) {
	assert.Equal(t, "ittybit_event", riverevents.Args{}.Kind())
	args := riverevents.Args{Name: "n", Key: "k", Payload: riverevents.Payload(`{"id":1}`), Metadata: map[string]string{"a": "b"}}
	encoded, err := json.Marshal(args)
	require.NoError(t, err)
	assert.Equal(t, `{"name":"n","key":"k","payload":"{\"id\":1}","metadata":{"a":"b"}}`, string(encoded))
	var read riverevents.Args
	require.NoError(t, json.Unmarshal([]byte(`{"key":"k","payload":"base64:e30=","of_a_later_version":true}`), &read))
	assert.Equal(t, riverevents.Args{Key: "k", Payload: riverevents.Payload("{}")}, read)
}

func TestEnqueue_metadataThatPostgreSQLCannotKeep(t *testing.T) {
	t.Parallel()
	q := newQueue(t)
	metadata := make(chan map[string]string, 1)
	w := q.work(ittybit.EventHandlerFunc(func(ctx context.Context, _ *ittybit.Event) error {
		job, _ := riverevents.JobFromContext(ctx)
		metadata <- job.Args.Metadata
		return nil
	}))
	odd := riverevents.WithMetadata(func(_ context.Context, e *ittybit.Event) map[string]string {
		return map[string]string{"of the body": e.Task.ID, "\x00": "\xff"}
	})
	assertAnswer(t, riverevents.Enqueue(q.client, odd), `{"id":"a\u0000b","object":"task","status":"completed"}`, 200, ittybit.OutcomeHandled)
	assert.Equal(t, map[string]string{"of the body": "a\uFFFDb", "\uFFFD": "\uFFFD"}, receive(t, metadata))
	w.next(river.EventKindJobCompleted)
}

func TestPayload_readsWhatItWrites(t *testing.T) {
	for _, body := range []string{"{}", "{\"x\":\"\xff\"}", `{"x":"base64:e30="}`, ""} {
		encoded, err := json.Marshal(riverevents.Payload(body))
		require.NoError(t, err)
		var p riverevents.Payload
		require.NoError(t, json.Unmarshal(encoded, &p))
		assert.Equal(t, body, string(p))
	}
	var p riverevents.Payload
	require.Error(t, json.Unmarshal([]byte(`{}`), &p))
	require.Error(t, json.Unmarshal([]byte(`"base64:%"`), &p))
}

func TestEnqueue_options(t *testing.T) {
	t.Parallel()
	q := newQueue(t)
	q.enqueue(taskEvent(t, "task_1", "completed"),
		riverevents.WithName("uploads"),
		riverevents.WithKey(func(e *ittybit.Event) string { return "mine:" + e.Task.ID }),
		riverevents.WithInsertOpts(river.InsertOpts{Queue: "slow", Priority: 3, MaxAttempts: 7, Tags: []string{"nsfw"}}),
		riverevents.WithMetadata(func(_ context.Context, e *ittybit.Event) map[string]string {
			return map[string]string{"traceparent": "00-" + e.Task.ID}
		}))
	jobs, err := q.client.JobList(t.Context(), river.NewJobListParams())
	require.NoError(t, err)
	require.Len(t, jobs.Jobs, 1)
	job := jobs.Jobs[0]
	assert.Equal(t, riverevents.Kind, job.Kind)
	assert.Equal(t, "slow", job.Queue)
	assert.Equal(t, 3, job.Priority)
	assert.Equal(t, 7, job.MaxAttempts)
	assert.Equal(t, []string{"nsfw"}, job.Tags)
	var args riverevents.Args
	require.NoError(t, json.Unmarshal(job.EncodedArgs, &args))
	assert.Equal(t, "uploads", args.Name)
	assert.Equal(t, "mine:task_1", args.Key)
	assert.Equal(t, map[string]string{"traceparent": "00-task_1"}, args.Metadata)
	assert.Equal(t, "mine:task_1", value[string](q, "SELECT key FROM ittybit_river_event WHERE name = 'uploads'"))
}

func TestEnqueue_anEmptyKeyIsEnqueuedEachTime(t *testing.T) {
	t.Parallel()
	q := newQueue(t)
	for range 2 {
		q.enqueue(taskEvent(t, "task_1", "completed"), riverevents.WithKey(func(*ittybit.Event) string { return "" }))
	}
	w := q.work(ittybit.EventHandlerFunc(write))
	w.next(river.EventKindJobCompleted)
	w.next(river.EventKindJobCompleted)
	assert.Equal(t, 2, q.effects("task:task_1:completed"))
}

func TestEnqueue_endpointsWithANameOfTheirOwn(t *testing.T) {
	t.Parallel()
	q := newQueue(t)
	e := taskEvent(t, "task_1", "completed")
	q.enqueue(e)
	q.enqueue(e, riverevents.WithName("a"))
	q.enqueue(e, riverevents.WithName("b"))
	calls := make(chan string, 3)
	handler := func(name string) ittybit.EventHandler {
		return ittybit.EventHandlerFunc(func(ctx context.Context, _ *ittybit.Event) error {
			job, ok := riverevents.JobFromContext(ctx)
			assert.True(t, ok)
			calls <- name + " for " + job.Args.Name
			return nil
		})
	}
	w := q.work(handler("default"), riverevents.WithHandlerFor("a", handler("a")))
	var got []string
	for range 3 {
		w.next(river.EventKindJobCompleted)
		got = append(got, receive(t, calls))
	}
	assert.ElementsMatch(t, []string{"default for ", "a for a", "default for b"}, got)
}

func TestEnqueue_withoutADatabaseAsksForTheEventToComeAgain(t *testing.T) {
	t.Parallel()
	q := newQueue(t)
	e := taskEvent(t, "task_1", "completed")
	q.exec("ALTER TABLE river_job RENAME TO river_job_away")
	assertAnswer(t, riverevents.Enqueue(q.client), e.RawJSON(), 503, ittybit.OutcomeRetryLater)
	q.exec("ALTER TABLE river_job_away RENAME TO river_job")
	assert.Equal(t, 0, value[int](q, "SELECT count(*) FROM ittybit_river_event"), "no key without a job")

	other := connect(t, q.url)
	away := newClient(t, other, &river.Config{Schema: q.schema})
	other.Close()
	err := riverevents.Enqueue(away).HandleEvent(t.Context(), e)
	var later *ittybit.RetryLaterError
	require.ErrorAs(t, err, &later)
	assert.Equal(t, 5*time.Second, later.After)

	assertAnswer(t, riverevents.Enqueue(q.client), e.RawJSON(), 200, ittybit.OutcomeHandled)
}

func TestEnqueue_mistakesAreNotTriedAgain(t *testing.T) {
	t.Parallel()
	q := newQueue(t)
	workers := river.NewWorkers()
	river.AddWorker(workers, river.WorkFunc(func(context.Context, *river.Job[otherArgs]) error { return nil }))
	client := newClient(t, q.pool, &river.Config{Schema: q.schema, Workers: workers})
	recorder := assertAnswer(t, riverevents.Enqueue(client), taskEvent(t, "task_1", "completed").RawJSON(), 500, ittybit.OutcomeFailed)
	assert.Empty(t, recorder.Header().Get("Retry-After"))

	for name, opts := range map[string]river.InsertOpts{
		"must be between": {Priority: 9}, "queue name is invalid": {Queue: "no queue's name!"}, "tags should match": {Tags: []string{"no tag!"}},
	} {
		h := riverevents.Enqueue(q.client, riverevents.WithInsertOpts(opts))
		_, seen := deliver(t, h, taskEvent(t, "task_1", "completed").RawJSON())
		assert.Equal(t, ittybit.OutcomeFailed, seen.Outcome)
		assert.ErrorContains(t, seen.Err, name)
	}

	outcome, _ := ittybit.OutcomeOf(riverevents.Enqueue(q.client).HandleEvent(t.Context(), &ittybit.Event{ID: "evt_1"}))
	assert.Equal(t, ittybit.OutcomeFailed, outcome, "no payload")

	skipping := newClient(t, q.pool, &river.Config{Schema: q.schema, Middleware: []rivertype.Middleware{&skipInserts{}}})
	outcome, _ = ittybit.OutcomeOf(riverevents.Enqueue(skipping).HandleEvent(t.Context(), taskEvent(t, "task_1", "completed")))
	assert.Equal(t, ittybit.OutcomeFailed, outcome, "a job that River skips")
	assert.Equal(t, 0, value[int](q, "SELECT count(*) FROM ittybit_river_event"))
}

func TestEnqueue_whatEndsWhileTheJobIsInsertedComesAgain(t *testing.T) {
	t.Parallel()
	q := newQueue(t)
	url := q.url + "&application_name=" + q.schema
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for name, end := range map[string]func(){
		"the context": cancel,
		"the connection": func() {
			q.exec("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1", q.schema)
		},
	} {
		client := newClient(t, connect(t, url), &river.Config{Schema: q.schema, Middleware: []rivertype.Middleware{&beforeInsert{do: end}}})
		during := t.Context()
		if name == "the context" {
			during = ctx
		}
		outcome, _ := ittybit.OutcomeOf(riverevents.Enqueue(client).HandleEvent(during, taskEvent(t, "task_1", "completed")))
		assert.Equal(t, ittybit.OutcomeRetryLater, outcome, name)
	}
	assert.Equal(t, 0, value[int](q, "SELECT count(*) FROM ittybit_river_event"))
}

// beforeInsert does something when the key is inserted, but not the job.
type beforeInsert struct {
	river.MiddlewareDefaults

	do func()
}

func (b *beforeInsert) InsertMany(
	ctx context.Context, _ []*rivertype.JobInsertParams, insert func(context.Context) ([]*rivertype.JobInsertResult, error),
) ([]*rivertype.JobInsertResult, error) {
	b.do()
	return insert(ctx)
}

type otherArgs struct{}

func (otherArgs) Kind() string { return "other" }

// skipInserts pretends that each job was skipped as a duplicate.
type skipInserts struct{ river.MiddlewareDefaults }

func (skipInserts) InsertMany(
	ctx context.Context, _ []*rivertype.JobInsertParams, do func(context.Context) ([]*rivertype.JobInsertResult, error),
) ([]*rivertype.JobInsertResult, error) {
	results, err := do(ctx)
	for _, result := range results {
		result.UniqueSkippedAsDuplicate = true
	}
	return results, err
}

func TestOptions_mistakesPanicAtStartUp(t *testing.T) {
	nothing := ittybit.EventHandlerFunc(func(context.Context, *ittybit.Event) error { return nil })
	client, err := river.NewClient(riverpgxv5.New(nil), &river.Config{})
	require.NoError(t, err)
	for name, mistake := range map[string]func(){
		"no client":       func() { riverevents.Enqueue(nil) },
		"no key":          func() { riverevents.Enqueue(client, riverevents.WithKey(nil)) },
		"no metadata":     func() { riverevents.Enqueue(client, riverevents.WithMetadata(nil)) },
		"no handler":      func() { riverevents.Worker(nil) },
		"no named one":    func() { riverevents.Worker(nothing, riverevents.WithHandlerFor("a", nil)) },
		"no observer":     func() { riverevents.Worker(nothing, riverevents.WithObserver(nil)) },
		"a name of bytes": func() { riverevents.Enqueue(client, riverevents.WithName("\xff")) },
		"unique jobs": func() {
			opts := river.InsertOpts{UniqueOpts: river.UniqueOpts{ByArgs: true}}
			riverevents.Enqueue(client, riverevents.WithInsertOpts(opts))
		},
		"jobs nobody works": func() { riverevents.Enqueue(client, riverevents.WithInsertOpts(river.InsertOpts{Pending: true})) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() { assert.Contains(t, recover(), "riverevents: ") }()
			mistake()
		})
	}
}

func TestErrors_tellStaleFromHandled(t *testing.T) {
	assert.ErrorIs(t, riverevents.ErrStale, ittybit.ErrAlreadyHandled)
	assert.NotErrorIs(t, ittybit.ErrAlreadyHandled, riverevents.ErrStale)
	outcome, _ := ittybit.OutcomeOf(riverevents.ErrStale)
	assert.Equal(t, ittybit.OutcomeDuplicate, outcome)
}
