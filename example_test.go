package ittybit_test

import (
	"context"
	"fmt"
	"net/http/httptest"
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
