// Quickstart is the main job: it receives webhooks, and creates what they are about. A task has a
// webhook URL, an automation has a webhook step. Both deliveries are verified and handled once.
//
//	go run ./examples/quickstart
//
// It starts a local Ittybit, and so needs no account. With one, the key comes from the environment,
// and the webhook's URL is your server's: examples/server shows that.
package main

import (
	"context"
	"fmt"
	"log"
	"net"
	"net/http"
	"time"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/ittybittest"
)

func main() {
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	local := ittybittest.NewServer()
	defer local.Close()
	client, err := local.Client() // with an account: ittybit.NewClient(os.Getenv("ITTYBIT_API_KEY"))
	if err != nil {
		return err
	}

	// 1. Receive: each event is handled once, however often it is delivered.
	events := ittybit.NewEventMux()
	events.OnTaskCompleted(ittybit.TaskKindNSFW, func(_ context.Context, e *ittybit.Event) error {
		nsfw, err := e.Task.NSFW()
		if err != nil {
			return ittybit.Discard(err) // it is logged; the same results will not be readable later
		}
		fmt.Printf("%s: %s, nsfw: %t\n", e.Type, e.Task.ID, nsfw.IsNSFW)
		return nil
	})
	events.OnMediaCreated(func(_ context.Context, e *ittybit.Event) error {
		fmt.Printf("%s: %s, title: %q\n", e.Type, e.Media.ID, e.Media.Title)
		return nil
	})
	webhook, err := ittybit.NewWebhookHandler(local.APIKey, ittybit.Deduplicate(ittybit.NewMemoryDeduplicator(100_000, 72*time.Hour), events))
	if err != nil {
		return err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: webhook, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 7 * time.Second, WriteTimeout: 10 * time.Second}
	go server.Serve(listener) //nolint:errcheck // it ends with http.ErrServerClosed
	defer server.Close()      //nolint:errcheck // everything was delivered by then
	webhookURL := "http://" + listener.Addr().String() + "/ittybit-webhook"

	// 2. Create: media sets the automation off, and the task calls its own webhook.
	if _, err := client.Automations.Create(ctx, ittybit.AutomationCreateParams{
		Name:     "Notify app when media is ready",
		Trigger:  ittybit.OnEvent(ittybit.EventMediaCreated),
		Workflow: []ittybit.WorkflowStep{ittybit.WebhookStep(webhookURL, "notify-server")},
	}); err != nil {
		return err
	}
	if _, err := client.Media.Create(ctx, ittybit.MediaCreateParams{Title: "Quickstart"}); err != nil {
		return err
	}
	task, err := client.Tasks.Create(ctx, ittybit.TaskCreateParams{
		Kind: ittybit.TaskKindNSFW, URL: "https://example.com/cat.jpg", WebhookURL: webhookURL,
	})
	if err != nil {
		return err
	}

	// 3. Wait for both: the local Ittybit knows what it delivered.
	for _, id := range []string{task.ID, ""} {
		if _, err := local.WaitForDelivery(ctx, func(d ittybittest.Delivery) bool { return d.Delivered() && d.TaskID() == id }); err != nil {
			return err
		}
	}
	fmt.Println("Next: docs/local-development.md shows webhooks as they arrive, and examples/server is an endpoint in a server.")
	return nil
}
