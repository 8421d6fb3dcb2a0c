package ittybit_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"time"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/ittybittest"
)

// The whole job, against a local Ittybit: create a task, and receive its webhook.
func Example() {
	local := ittybittest.NewServer()
	defer local.Close()
	local.SetResults(ittybit.TaskKindNSFW, map[string]any{"is_nsfw": true, "confidence": 0.97})

	// The receiver: an http.Handler, in a server of your own.
	done := make(chan struct{})
	events := ittybit.NewEventMux()
	events.OnTaskCompleted(ittybit.TaskKindNSFW, func(_ context.Context, e *ittybit.Event) error {
		nsfw, err := e.Task.NSFW()
		if err != nil {
			return err // Ittybit delivers again
		}
		fmt.Println("nsfw:", nsfw.IsNSFW)
		close(done)
		return nil
	})
	once := ittybit.Deduplicate(ittybit.NewMemoryDeduplicator(100_000, 72*time.Hour), events)
	webhook, err := ittybit.NewWebhookHandler(local.APIKey, once)
	if err != nil {
		panic(err)
	}
	server := httptest.NewServer(webhook)
	defer server.Close()

	// The client.
	client, err := local.Client() // elsewhere: ittybit.NewClient(os.Getenv("ITTYBIT_API_KEY"))
	if err != nil {
		panic(err)
	}
	task, err := client.Tasks.Create(context.Background(), ittybit.TaskCreateParams{
		Kind:       ittybit.TaskKindNSFW,
		URL:        "https://example.com/cat.jpg",
		WebhookURL: server.URL + "/nsfw-webhook",
	})
	if err != nil {
		panic(err)
	}
	fmt.Println("created:", task.Kind)
	<-done
	// Unordered output:
	// created: nsfw
	// nsfw: true
}

func ExampleNewClient() {
	client, err := ittybit.NewClient("your-ittybit-api-key", // os.Getenv("ITTYBIT_API_KEY"), mostly
		ittybit.WithUserAgent("your-app/1.2"),
		ittybit.WithLogger(slog.New(slog.NewTextHandler(os.Stderr, nil))),
		ittybit.WithHTTPClient(&http.Client{Timeout: 30 * time.Second}), // of each attempt
		ittybit.WithRetryPolicy(ittybit.RetryPolicy{MaxAttempts: 6, MaxWait: time.Minute}),
	)
	if err != nil {
		panic(err)
	}
	fmt.Println(client) // never the key

	_, err = ittybit.NewClient("")
	fmt.Println(err)
	// Output:
	// ittybit.Client(https://api.ittybit.com)
	// ittybit: apiKey is empty (set ITTYBIT_API_KEY)
}

// What Ittybit refuses is an APIError; errors.Is tells the reasons apart.
func ExampleAPIError() {
	local := ittybittest.NewServer()
	defer local.Close()
	client, err := local.Client()
	if err != nil {
		panic(err)
	}

	_, err = client.Tasks.Get(context.Background(), "task_of_yesterday")
	var response *ittybit.APIError
	switch {
	case errors.Is(err, ittybit.ErrNotFound):
		fmt.Println("there is no such task")
	case errors.Is(err, ittybit.ErrRateLimited) && errors.As(err, &response):
		fmt.Println("come again in", response.RetryAfter)
	case errors.As(err, &response):
		fmt.Println(response.StatusCode, response.Message)
	}
	// Output: there is no such task
}

// What can't be meant is refused before anything is sent.
func ExampleParamError() {
	client, err := ittybit.NewClient("your-ittybit-api-key")
	if err != nil {
		panic(err)
	}
	_, err = client.Tasks.Create(context.Background(), ittybit.TaskCreateParams{
		Kind:       ittybit.TaskKindNSFW,
		URL:        "https://example.com/cat.jpg",
		WebhookURL: "http://your-app.com/nsfw-webhook", // Ittybit rejects plain http
	})
	var wrong *ittybit.ParamError
	if errors.As(err, &wrong) {
		fmt.Println(wrong.Param)
	}
	// Output: WebhookURL
}

// A call whose outcome is unknown may be repeated with the same key.
func ExampleWithIdempotencyKey() {
	local := ittybittest.NewServer()
	defer local.Close()
	local.FailRequests(1, ittybittest.RequestFault{Drop: ittybittest.DropAfter}) // it acts, and the response is lost
	client, err := local.Client()
	if err != nil {
		panic(err)
	}
	ctx := context.Background()
	params := ittybit.TaskCreateParams{Kind: ittybit.TaskKindVideo, URL: "https://example.com/talk.mov"}

	_, err = client.Tasks.Create(ctx, params, ittybit.WithIdempotencyKey("order-42"))
	fmt.Println("unknown:", errors.Is(err, ittybit.ErrOutcomeUnknown))
	if _, err = client.Tasks.Create(ctx, params, ittybit.WithIdempotencyKey("order-42")); err != nil {
		panic(err)
	}
	page, err := client.Tasks.List(ctx, ittybit.TaskListParams{})
	if err != nil {
		panic(err)
	}
	fmt.Println(len(page.Items), "task") // Ittybit documents such keys for a later version of its API only
	// Output:
	// unknown: true
	// 1 task
}

func ExampleWithResponseInfo() {
	local := ittybittest.NewServer()
	defer local.Close()
	local.FailRequests(1, ittybittest.RequestFault{Status: http.StatusServiceUnavailable, Header: http.Header{"Retry-After": {"0"}}})
	client, err := local.Client()
	if err != nil {
		panic(err)
	}

	var info ittybit.ResponseInfo
	if _, err := client.Media.List(context.Background(), ittybit.MediaListParams{}, ittybit.WithResponseInfo(&info)); err != nil {
		panic(err)
	}
	fmt.Println(info.StatusCode, "after", info.Attempts, "attempts")
	// Output: 200 after 2 attempts
}

func ExamplePage_Next() {
	local := ittybittest.NewServer()
	defer local.Close()
	client, err := local.Client()
	if err != nil {
		panic(err)
	}
	ctx := context.Background()
	for range 5 {
		if _, err := client.Media.Create(ctx, ittybit.MediaCreateParams{}); err != nil {
			panic(err)
		}
	}

	page, err := client.Media.List(ctx, ittybit.MediaListParams{Limit: 2})
	for ; err == nil; page, err = page.Next(ctx) {
		fmt.Println(len(page.Items))
	}
	if !errors.Is(err, ittybit.ErrNoMorePages) {
		panic(err)
	}
	// Output:
	// 2
	// 2
	// 1
}

// The jobs of the 2026 API have no typed method. Their webhooks are received like all others.
func ExampleClient_Do() {
	local := ittybittest.NewServer()
	defer local.Close()
	client, err := local.Client() // in production: NewClient(os.Getenv("ITTYBIT_API_KEY"))
	if err != nil {
		panic(err)
	}

	events := ittybit.NewEventMux()
	events.On(ittybit.EventJobSucceeded, func(_ context.Context, e *ittybit.Event) error {
		fmt.Println("received:", e.Job.Kind, e.Job.Status, e.Job.Metadata["order"])
		return nil
	})
	webhook, err := ittybit.NewWebhookHandler(local.APIKey, events)
	if err != nil {
		panic(err)
	}
	receiver := httptest.NewServer(webhook)
	defer receiver.Close()

	ctx := context.Background()
	var job ittybit.Job
	err = client.Do(ctx, http.MethodPost, "/jobs", map[string]any{
		"kind":        "video",
		"input":       "https://example.com/talk.mov",
		"options":     map[string]any{"format": "mp4", "width": 1280},
		"metadata":    map[string]any{"order": "order-7"},
		"webhook_url": receiver.URL, // in production: https://your-app.com/ittybit-webhook
	}, &job, ittybit.WithAPIVersion("")) // that API documents no Accept-Version
	if err != nil {
		panic(err)
	}

	// The webhook comes when the job has ended.
	delivery, err := local.WaitForDelivery(ctx, ittybittest.Delivery.Delivered)
	if err != nil {
		panic(err)
	}
	event, err := delivery.Event()
	if err != nil {
		panic(err)
	}
	fmt.Println("of the job that was created:", event.Job.ID == job.ID)
	// Output:
	// received: video succeeded order-7
	// of the job that was created: true
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

func ExampleAutomationsService_All() {
	local := ittybittest.NewServer()
	defer local.Close()
	client, err := local.Client()
	if err != nil {
		panic(err)
	}
	ctx := context.Background()
	for _, name := range []string{"Subtitles for all", "Notify the shop"} {
		_, err := client.Automations.Create(ctx, ittybit.AutomationCreateParams{
			Name:     name,
			Trigger:  ittybit.OnEvent(ittybit.EventMediaCreated),
			Workflow: []ittybit.WorkflowStep{ittybit.WebhookStep("https://your-app.com/ittybit-webhook", "notify-server")},
		})
		if err != nil {
			panic(err)
		}
	}

	for automation, err := range client.Automations.All(ctx, ittybit.AutomationListParams{}) {
		if err != nil {
			panic(err)
		}
		fmt.Println(automation.Name)
	}
	// Unordered output:
	// Subtitles for all
	// Notify the shop
}
