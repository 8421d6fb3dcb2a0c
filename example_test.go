package ittybit_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/ittybittest"
)

func ExampleTasksService_Create() {
	local := ittybittest.NewServer() // in place of Ittybit
	defer local.Close()
	client, err := local.Client() // elsewhere: ittybit.NewClient(os.Getenv("ITTYBIT_API_KEY"))
	if err != nil {
		panic(err)
	}

	task, err := client.Tasks.Create(context.Background(), ittybit.TaskCreateParams{
		Kind:       ittybit.TaskKindImage,
		URL:        "https://example.com/cat.jpg",
		Ref:        "thumbnail",
		WebhookURL: "https://your-app.com/ittybit-webhook",
		Options:    ittybit.ImageOptions{Width: ittybit.Pixels(320), Format: "png"},
	})
	switch {
	case errors.Is(err, ittybit.ErrOutcomeUnknown):
		fmt.Println("the task may exist:", err)
	case err != nil:
		fmt.Println(err)
	default:
		fmt.Println(task.Kind, task.Status)
	}
	// Output: image pending
}

func ExampleTasksService_Wait() {
	local := ittybittest.NewServer()
	defer local.Close()
	local.SetResults(ittybit.TaskKindNSFW, map[string]any{"is_nsfw": true, "confidence": 0.97})
	client, err := local.Client()
	if err != nil {
		panic(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	task, err := client.Tasks.Create(ctx, ittybit.TaskCreateParams{Kind: ittybit.TaskKindNSFW, URL: "https://example.com/cat.jpg"})
	if err != nil {
		panic(err)
	}
	task, err = client.Tasks.Wait(ctx, task.ID, ittybit.WithPollInterval(10*time.Millisecond))
	if err != nil {
		panic(err)
	}
	nsfw, err := task.NSFW()
	if err != nil {
		panic(err)
	}
	fmt.Println(nsfw.IsNSFW, *nsfw.Confidence)
	// Output: true 0.97
}

func ExampleTasksService_All() {
	local := ittybittest.NewServer()
	defer local.Close()
	client, err := local.Client()
	if err != nil {
		panic(err)
	}
	ctx := context.Background()
	for range 5 {
		if _, err := client.Tasks.Create(ctx, ittybit.TaskCreateParams{Kind: ittybit.TaskKindSpeech, URL: "https://example.com/talk.mp3"}); err != nil {
			panic(err)
		}
	}

	count := 0
	for task, err := range client.Tasks.All(ctx, ittybit.TaskListParams{Kind: ittybit.TaskKindSpeech, Limit: 2}) {
		if err != nil {
			panic(err)
		}
		if strings.HasPrefix(task.ID, "task_") {
			count++
		}
	}
	fmt.Println(count, "tasks, two a page")
	// Output: 5 tasks, two a page
}

func ExampleAutomationsService_Create() {
	local := ittybittest.NewServer()
	defer local.Close()
	client, err := local.Client()
	if err != nil {
		panic(err)
	}

	automation, err := client.Automations.Create(context.Background(), ittybit.AutomationCreateParams{
		Name:    "Notify app when a video has subtitles",
		Trigger: ittybit.OnEvent(ittybit.EventMediaCreated),
		Workflow: []ittybit.WorkflowStep{
			ittybit.ConditionsStep(
				[]ittybit.Condition{{Prop: "kind", Value: "video"}},
				ittybit.WorkflowStep{
					Kind: ittybit.TaskKindSubtitles,
					Ref:  "subtitles",
					Next: []ittybit.WorkflowStep{ittybit.WebhookStep("https://your-app.com/ittybit-webhook", "notify-server")},
				},
			),
		},
	})
	if err != nil {
		panic(err)
	}
	fmt.Println(automation.Status, automation.Workflow[0].Next[0].Next[0].URL)
	// Output: active https://your-app.com/ittybit-webhook
}

func ExampleAutomationsService_Update() {
	local := ittybittest.NewServer()
	defer local.Close()
	client, err := local.Client()
	if err != nil {
		panic(err)
	}
	ctx := context.Background()
	automation, err := client.Automations.Create(ctx, ittybit.AutomationCreateParams{
		Trigger: ittybit.OnEvent(ittybit.EventMediaCreated),
		Workflow: []ittybit.WorkflowStep{
			{Kind: ittybit.TaskKindThumbnails, Options: ittybit.ThumbnailsOptions{Count: 3}, Extra: map[string]any{"sprite": true}},
		},
	})
	if err != nil {
		panic(err)
	}

	// Change one step, and send the workflow back whole: nothing of it is lost.
	automation.Workflow[0].Ref = "thumbnails"
	paused := ittybit.AutomationStatusPaused
	automation, err = client.Automations.Update(ctx, automation.ID, ittybit.AutomationUpdateParams{
		Workflow: automation.Workflow,
		Status:   &paused,
	})
	if err != nil {
		panic(err)
	}
	step := automation.Workflow[0]
	fmt.Println(automation.Status, step.Ref, step.Options.(ittybit.ThumbnailsOptions).Count, step.Extra["sprite"])
	// Output: paused thumbnails 3 true
}

func ExampleNewWebhookHandler() {
	events := ittybit.NewEventMux()
	events.OnTaskCompleted(ittybit.TaskKindNSFW, func(_ context.Context, e *ittybit.Event) error {
		nsfw, err := e.Task.NSFW()
		if err != nil {
			return err
		}
		fmt.Println(e.Task.ID, nsfw.IsNSFW)
		return nil
	})
	webhook, err := ittybit.NewWebhookHandler("your API key", events)
	if err != nil {
		panic(err)
	}
	mux := http.NewServeMux()
	mux.Handle("POST /ittybit-webhook", webhook)

	// What Ittybit would send.
	delivery := ittybittest.NewWebhookRequest("your API key",
		`{"id":"task_123abc","object":"task","kind":"nsfw","status":"completed","results":{"is_nsfw":true,"confidence":0.97}}`)
	answer := httptest.NewRecorder()
	mux.ServeHTTP(answer, delivery)
	fmt.Println(answer.Code)
	// Output:
	// task_123abc true
	// 200
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

func ExampleRetryLater() {
	handler := ittybit.EventHandlerFunc(func(context.Context, *ittybit.Event) error {
		return ittybit.RetryLater(30*time.Second, errors.New("the database is being migrated"))
	})
	webhook, err := ittybit.NewWebhookHandler("your API key", handler)
	if err != nil {
		panic(err)
	}
	answer := httptest.NewRecorder()
	webhook.ServeHTTP(answer, ittybittest.NewWebhookRequest("your API key", `{"id":"task_1","object":"task","status":"completed"}`))
	fmt.Println(answer.Code, answer.Header().Get("Retry-After"))
	// Output: 503 30
}

func ExampleWebhookVerifier_Middleware() {
	verifier, err := ittybit.NewWebhookVerifier("your API key")
	if err != nil {
		panic(err)
	}
	events := ittybit.NewEventMux()
	events.OnAny(func(_ context.Context, e *ittybit.Event) error {
		fmt.Println("verified:", e.Type)
		return nil
	})
	yours := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, "unreadable", http.StatusBadRequest)
			return
		}
		event, err := ittybit.ParseEvent(body)
		if err != nil {
			http.Error(w, "no event", http.StatusBadRequest)
			return
		}
		if err := events.HandleEvent(r.Context(), event); err != nil {
			http.Error(w, "again, please", http.StatusServiceUnavailable)
			return
		}
		w.WriteHeader(http.StatusOK)
	})
	handler := verifier.Middleware(yours)

	forged := httptest.NewRecorder()
	handler.ServeHTTP(forged, ittybittest.NewWebhookRequest("another key", `{}`))
	genuine := httptest.NewRecorder()
	handler.ServeHTTP(genuine, ittybittest.NewWebhookRequest("your API key", `{}`))
	fmt.Println(forged.Code, genuine.Code)
	// Output:
	// verified: unknown
	// 401 200
}

func ExampleWebhookVerifier_Explain() {
	verifier, err := ittybit.NewWebhookVerifier("your API key", ittybit.WithClock(func() time.Time { return time.Unix(1736512522, 0) }))
	if err != nil {
		panic(err)
	}
	body := []byte(`{"id":"task_123abc"}`)
	header := ittybit.SignWebhook("your API key", time.Unix(1736512520, 0), body)
	fmt.Print(verifier.Explain(body, header))
	// Output:
	// Verify accepts this delivery.
	// Body: 20 bytes. Header: 80 bytes.
	// The timestamp is in seconds: 2025-01-10T12:35:20Z, 2s before now; allowed are 5m0s in either direction.
	// Matches: HMAC-SHA256 over t.body, in hex, with secret 1 as given.
}

func ExampleEventFromTask() {
	// A task whose webhook never came was found by polling.
	task := &ittybit.Task{ID: "task_123abc", Kind: ittybit.TaskKindVideo, Status: ittybit.TaskStatusCompleted}
	event := ittybit.EventFromTask(task)
	fmt.Println(event.Type, event.Key())
	// Output: task.completed task:task_123abc:completed
}
