// Quickstart is the whole story of Ittybit's webhooks: it serves an endpoint, creates an
// automation with a webhook step and an NSFW task with a webhook_url, creates media so that
// the automation fires, and receives both deliveries.
//
//	go run ./examples/quickstart
//
// It runs against a local Ittybit. With ITTYBIT_API_KEY set it runs against the real one, and
// then needs WEBHOOK_URL too: a public https address that reaches port 8080 (or PORT) of this
// machine, such as a tunnel's, to which the paths are added. IMAGE_URL chooses the image.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/ittybittest"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Stdout, os.Getenv)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, getenv func(string) string) (err error) {
	// 1. Where Ittybit is, and how it reaches this machine.
	apiKey, publicURL := getenv("ITTYBIT_API_KEY"), getenv("WEBHOOK_URL")
	address, patience := "127.0.0.1:"+cmp.Or(getenv("PORT"), "8080"), 5*time.Minute
	var options []ittybit.ClientOption
	switch {
	case apiKey == "":
		local := ittybittest.NewServer()
		defer local.Close()
		apiKey, options = local.APIKey, []ittybit.ClientOption{ittybit.WithBaseURL(local.URL)}
		address, patience = "127.0.0.1:0", 20*time.Second
		_, _ = fmt.Fprintln(out, "Mode: local Ittybit at", local.URL, "(set ITTYBIT_API_KEY for the real one)")
	case publicURL == "":
		return errors.New("ITTYBIT_API_KEY is set, but WEBHOOK_URL is missing: set it to a public https address that reaches " + address)
	default:
		_, _ = fmt.Fprintln(out, "Mode: real Ittybit, which calls", publicURL)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()

	// 2. The endpoint. Each event is handled once, however often it is delivered.
	received := make(chan row)
	note := func(ctx context.Context, r row) error {
		select {
		case received <- r:
			return nil
		case <-ctx.Done(): // answered 503: Ittybit delivers again
			return ctx.Err()
		}
	}
	events := ittybit.NewEventMux()
	events.OnTaskCompleted(ittybit.TaskKindNSFW, func(ctx context.Context, e *ittybit.Event) error {
		nsfw, err := e.Task.NSFW()
		if err != nil {
			return err // answered 500: Ittybit delivers again
		}
		return note(ctx, row{e.Task.ID, string(e.Type), fmt.Sprintf("nsfw: %t (%s)", nsfw.IsNSFW, e.Task.Results)})
	})
	events.OnTaskFailed(ittybit.AnyTaskKind, func(ctx context.Context, e *ittybit.Event) error {
		return note(ctx, row{e.Task.ID, string(e.Type), "status: " + string(e.Task.Status)})
	})
	events.OnMediaCreated(func(ctx context.Context, e *ittybit.Event) error {
		return note(ctx, row{e.Media.ID, string(e.Type), fmt.Sprintf("title: %q", e.Media.Title)})
	})
	once := ittybit.Deduplicate(ittybit.NewMemoryDeduplicator(10_000, 24*time.Hour), events)
	webhook, err := ittybit.NewWebhookHandler(apiKey, once)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("POST /ittybit-webhook", webhook)
	mux.Handle("POST /nsfw-webhook", webhook)
	listener, err := net.Listen("tcp", address) //nolint:noctx // it listens until the server is shut down
	if err != nil {
		return err
	}
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 7 * time.Second, // as in SECURITY.md
		WriteTimeout: 10 * time.Second, IdleTimeout: 10 * time.Second, MaxHeaderBytes: 16 << 10}
	go func() { _ = server.Serve(listener) }() // it ends with http.ErrServerClosed
	defer func() { err = errors.Join(err, server.Shutdown(context.WithoutCancel(ctx))) }()
	publicURL = strings.TrimRight(cmp.Or(publicURL, "http://"+listener.Addr().String()), "/")

	// 3. An automation that calls it, a task that calls it, and media that sets the automation off.
	client, err := ittybit.NewClient(apiKey, options...)
	if err != nil {
		return err
	}
	automation, err := client.Automations.Create(ctx, ittybit.AutomationCreateParams{
		Name:     "Notify app when media is ready",
		Trigger:  ittybit.OnEvent(ittybit.EventMediaCreated),
		Workflow: []ittybit.WorkflowStep{ittybit.WebhookStep(publicURL+"/ittybit-webhook", "notify-server")},
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, client.Automations.Delete(context.WithoutCancel(ctx), automation.ID)) }()
	imageURL := cmp.Or(getenv("IMAGE_URL"), "https://picsum.photos/id/237/640/480")
	task, err := client.Tasks.Create(ctx, ittybit.TaskCreateParams{
		Kind: ittybit.TaskKindNSFW, URL: imageURL,
		WebhookURL: publicURL + "/nsfw-webhook",
	})
	if err != nil {
		return err
	}
	media, err := client.Media.Create(ctx, ittybit.MediaCreateParams{Title: "Quickstart"})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, client.Media.Delete(context.WithoutCancel(ctx), media.ID)) }()
	_, _ = fmt.Fprintf(out, "Created: %s, %s (%s), %s\n", automation.ID, task.ID, task.Kind, media.ID)

	// 4. Both deliveries, verified, and the table that they update.
	table := make(map[string]row)
	for table[task.ID].id == "" || table[media.ID].id == "" {
		select {
		case r := <-received:
			_, _ = fmt.Fprintf(out, "Received and verified: %s for %s\n", r.event, r.id)
			table[r.id] = r
		case <-ctx.Done():
			return fmt.Errorf("not all deliveries have come: %w", ctx.Err())
		}
	}
	_, _ = fmt.Fprintf(out, "\n%-24s %-16s %s\n", "ID", "EVENT", "RESULT")
	for _, r := range []row{table[task.ID], table[media.ID]} {
		_, _ = fmt.Fprintf(out, "%-24s %-16s %s\n", r.id, r.event, r.result)
	}
	return nil
}

// row is what the endpoint learned about one object.
type row struct{ id, event, result string }
