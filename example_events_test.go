package ittybit_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ittybit/ittybit-go"
)

// Payloads of every generation of the API become the same events.
func ExampleParseEvent() {
	for _, payload := range []string{
		`{"id":"task_1","object":"task","kind":"nsfw","status":"completed","results":{"is_nsfw":true}}`,
		`{"id":"evt_1","object":"event","kind":"task.succeeded","data":{"id":"task_1","object":"task"},"created_at":1735689886}`,
		`{"id":"job_1","object":"job","status":"failed"}`,
		`{"hello":"world"}`,
	} {
		event, err := ittybit.ParseEvent([]byte(payload))
		if err != nil {
			panic(err)
		}
		fmt.Println(event.Type, event.Task != nil)
	}
	_, err := ittybit.ParseEvent([]byte(`"hello"`))
	fmt.Println(errors.Is(err, ittybit.ErrMalformedEvent))
	// Output:
	// task.completed true
	// task.succeeded true
	// job.failed false
	// unknown false
	// true
}

func ExampleEventFromTask() {
	// A task whose webhook never came was found by polling.
	task := &ittybit.Task{ID: "task_123abc", Kind: ittybit.TaskKindVideo, Status: ittybit.TaskStatusCompleted}
	event := ittybit.EventFromTask(task)
	fmt.Println(event.Type, event.Key())
	// Output: task.completed task:task_123abc:completed
}

// An event handler is a function of a context and an event. What goes around one is one too.
func ExampleEventHandlerFunc() {
	timed := func(next ittybit.EventHandler) ittybit.EventHandler {
		return ittybit.EventHandlerFunc(func(ctx context.Context, e *ittybit.Event) error {
			fmt.Println("begin", e.Key())
			defer fmt.Println("end")
			return next.HandleEvent(ctx, e)
		})
	}
	handler := timed(ittybit.EventHandlerFunc(func(context.Context, *ittybit.Event) error {
		fmt.Println("work")
		return nil
	}))

	event := ittybit.EventFromTask(&ittybit.Task{ID: "task_1", Status: ittybit.TaskStatusCompleted})
	if err := handler.HandleEvent(context.Background(), event); err != nil {
		panic(err)
	}
	// Output:
	// begin task:task_1:completed
	// work
	// end
}

func ExampleEventMux() {
	events := ittybit.NewEventMux()
	events.OnTaskCompleted(ittybit.TaskKindSubtitles, func(_ context.Context, e *ittybit.Event) error {
		fmt.Println("subtitles of", e.Task.ID)
		return nil
	})
	events.OnMediaCreated(func(_ context.Context, e *ittybit.Event) error {
		fmt.Println("media", e.Media.ID)
		return nil
	})
	events.OnUnhandled(func(_ context.Context, e *ittybit.Event) error {
		fmt.Println("something else:", e.Type)
		return nil
	})
	for _, payload := range []string{
		`{"id":"task_1","object":"task","kind":"subtitles","status":"completed"}`,
		`{"id":"med_1","object":"media"}`,
		`{"id":"task_2","object":"task","kind":"video","status":"failed"}`,
	} {
		event, err := ittybit.ParseEvent([]byte(payload))
		if err != nil {
			panic(err)
		}
		if err := events.HandleEvent(context.Background(), event); err != nil {
			panic(err)
		}
	}
	// Output:
	// subtitles of task_1
	// media med_1
	// something else: task.failed
}

// The most specific registration wins.
func ExampleEventMux_OnTaskCompleted() {
	say := func(words string) func(context.Context, *ittybit.Event) error {
		return func(_ context.Context, e *ittybit.Event) error {
			fmt.Println(words, e.Task.Kind)
			return nil
		}
	}
	var events ittybit.EventMux // ready as it is
	events.OnTaskCompleted(ittybit.TaskKindNSFW, say("moderate:"))
	events.OnTaskCompleted(ittybit.AnyTaskKind, say("note:"))
	events.OnTaskFailed(ittybit.AnyTaskKind, say("alert:"))

	for _, task := range []*ittybit.Task{
		{ID: "task_1", Kind: ittybit.TaskKindNSFW, Status: ittybit.TaskStatusCompleted},
		{ID: "task_2", Kind: ittybit.TaskKindVideo, Status: ittybit.TaskStatusCompleted},
		{ID: "task_3", Kind: ittybit.TaskKindVideo, Status: ittybit.TaskStatusError},
	} {
		if err := events.HandleEvent(context.Background(), ittybit.EventFromTask(task)); err != nil {
			panic(err)
		}
	}
	// Output:
	// moderate: nsfw
	// note: video
	// alert: video
}

// On takes any type of event, also one that this SDK has no name for.
func ExampleEventMux_On() {
	events := ittybit.NewEventMux()
	events.On("job.succeeded", func(_ context.Context, e *ittybit.Event) error {
		fmt.Println(e.Job.ID)
		return nil
	})
	event, err := ittybit.ParseEvent([]byte(`{"id":"job_1","object":"job","status":"succeeded"}`))
	if err != nil {
		panic(err)
	}
	if err := events.HandleEvent(context.Background(), event); err != nil {
		panic(err)
	}
	// Output: job_1
}

// Handle gives all events of a type to another handler, such as a queue.
func ExampleEventMux_Handle() {
	queue := ittybit.EventHandlerFunc(func(_ context.Context, e *ittybit.Event) error {
		fmt.Println("enqueued", e.Key())
		return nil
	})
	events := ittybit.NewEventMux()
	events.Handle(ittybit.EventTaskCompleted, queue)
	event := ittybit.EventFromTask(&ittybit.Task{ID: "task_1", Kind: ittybit.TaskKindVideo, Status: ittybit.TaskStatusCompleted})
	if err := events.HandleEvent(context.Background(), event); err != nil {
		panic(err)
	}
	// Output: enqueued task:task_1:completed
}

func ExampleDeduplicate() {
	handled := ittybit.EventHandlerFunc(func(_ context.Context, e *ittybit.Event) error {
		fmt.Println("handled", e.Key())
		return nil
	})
	once := ittybit.Deduplicate(ittybit.NewMemoryDeduplicator(10_000, 24*time.Hour), handled)

	event, err := ittybit.ParseEvent([]byte(`{"id":"task_123abc","object":"task","kind":"video","status":"completed"}`))
	if err != nil {
		panic(err)
	}
	for range 3 { // Ittybit retries
		if err := once.HandleEvent(context.Background(), event); err != nil {
			panic(err)
		}
	}
	// Output: handled task:task_123abc:completed
}

// Two endpoints that share a store need a name each.
func ExampleDeduplicateName() {
	store := ittybit.NewMemoryDeduplicator(100_000, 72*time.Hour)
	say := func(words string) ittybit.EventHandler {
		return ittybit.EventHandlerFunc(func(context.Context, *ittybit.Event) error {
			fmt.Println(words)
			return nil
		})
	}
	billing := ittybit.Deduplicate(store, say("billed"), ittybit.DeduplicateName("billing"))
	search := ittybit.Deduplicate(store, say("indexed"), ittybit.DeduplicateName("search"))
	event := ittybit.EventFromTask(&ittybit.Task{ID: "task_1", Status: ittybit.TaskStatusCompleted})
	for _, endpoint := range []ittybit.EventHandler{billing, search, billing, search} {
		if err := endpoint.HandleEvent(context.Background(), event); err != nil {
			panic(err)
		}
	}
	// Output:
	// billed
	// indexed
}

// What was handled before is not handled again; what failed is.
func ExampleNewMemoryDeduplicator() {
	ctx := context.Background()
	seen := ittybit.NewMemoryDeduplicator(100_000, 72*time.Hour)
	claim, err := seen.Claim(ctx, "task:task_1:completed")
	if err != nil {
		panic(err)
	}
	if err := claim.Release(ctx); err != nil { // it failed
		panic(err)
	}
	claim, err = seen.Claim(ctx, "task:task_1:completed")
	if err != nil {
		panic(err)
	}
	if err := claim.Complete(ctx); err != nil { // it succeeded
		panic(err)
	}
	_, err = seen.Claim(ctx, "task:task_1:completed")
	fmt.Println(errors.Is(err, ittybit.ErrAlreadyHandled))
	// Output: true
}
