// Otel shows what OpenTelemetry and Prometheus get to see of webhooks: it asks for an NSFW
// check, receives the webhook twice, hands the event to a worker once, and prints the traces
// and what /metrics says.
//
//	go run ./examples/otel
//
// It runs against a local Ittybit and needs no account. The workers are River's, on the
// PostgreSQL of DATABASE_URL, or else on an installed one that is started for the occasion.
// Where there is neither, it says so and handles the event in the request, under the same
// spans.
//
// What to copy: telemetry.go (where spans and metrics go), tracing.go (the client, the
// endpoint, and the trace's way through the queue), metrics.go (the instruments), and
// startReceiver in receiver.go, which puts them together.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/internal/pgserver"
	"github.com/ittybit/ittybit-go/ittybittest"
)

// patience is for all of it.
const patience = 2 * time.Minute

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Stdout, os.Getenv)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "otel:", err)
		os.Exit(1)
	}
}

// run finds a database, and gives the demonstration.
func run(ctx context.Context, out io.Writer, getenv func(string) string) (err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	databaseURL := getenv("DATABASE_URL")
	if databaseURL == "" {
		postgres, err := pgserver.Start(ctx)
		switch {
		case errors.Is(err, pgserver.ErrNotInstalled):
			_, _ = fmt.Fprintf(out, "DATABASE_URL is not set, and %v.\n", err)
		case err != nil:
			return err
		default:
			defer func() { err = errors.Join(err, postgres.Close()) }()
			databaseURL = postgres.URL()
		}
	}
	return demonstrate(ctx, out, databaseURL)
}

func demonstrate(ctx context.Context, out io.Writer, databaseURL string) (err error) {
	// 1. Where spans and metrics go. Metrics have a port of their own: the endpoint's is public.
	telemetry, err := newTelemetry()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, telemetry.shutdown(context.WithoutCancel(ctx))) }()
	operations := http.NewServeMux()
	operations.Handle("GET /metrics", telemetry.scrape)
	internal, err := serve(operations)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, internal.stop(context.WithoutCancel(ctx))) }()

	// 2. A local Ittybit, which delivers everything twice, and the endpoint.
	local := ittybittest.NewServer()
	defer local.Close()
	local.SetFaults(ittybittest.Faults{Duplicates: 1})
	worked := make(chan *ittybit.Event, 1)
	events := ittybit.NewEventMux()
	events.OnTaskCompleted(ittybit.TaskKindNSFW, func(ctx context.Context, e *ittybit.Event) error {
		select {
		case worked <- e:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	receiver, err := startReceiver(ctx, telemetry, local.APIKey, databaseURL, events)
	if err != nil {
		return err
	}
	stopped := false
	defer func() {
		if !stopped {
			err = errors.Join(err, receiver.stop(ctx))
		}
	}()
	where := "in the request"
	if databaseURL != "" {
		where = "by a River worker on PostgreSQL"
	}
	_, _ = fmt.Fprintf(out, "Webhooks come to %s and are handled %s.\n", receiver.url, where)

	// 3. A task, asked for in a trace that its webhook knows about.
	client, err := local.Client(ittybit.WithHTTPClient(telemetry.httpClient(local.Transport())))
	if err != nil {
		return err
	}
	asking, span := telemetry.tracer.Start(ctx, "check image")
	task, err := client.Tasks.Create(asking, ittybit.TaskCreateParams{
		Kind: ittybit.TaskKindNSFW, URL: "https://example.com/cat.jpg",
		WebhookURL: telemetry.webhookURL(asking, receiver.url),
	})
	span.End()
	if err != nil {
		return err
	}
	select {
	case e := <-worked:
		_, _ = fmt.Fprintf(out, "Handled %s.\n", e)
	case <-ctx.Done():
		return fmt.Errorf("task %s has not been handled: %w", task.ID, ctx.Err())
	}

	// 4. Somebody without the key tries, and everything comes to its end.
	if err := knock(ctx, receiver.url); err != nil {
		return err
	}
	for copies := range 2 {
		if _, err := local.WaitForDelivery(ctx, func(d ittybittest.Delivery) bool { return d.Copy == copies && d.Final }); err != nil {
			return err
		}
	}
	stopped = true
	if err := receiver.stop(ctx); err != nil {
		return err
	}

	// 5. What was seen of it.
	printTraces(out, telemetry.spans.GetSpans(), span.SpanContext().TraceID())
	return printMetrics(ctx, out, internal.url+"/metrics")
}

// knock posts something that is not signed.
func knock(ctx context.Context, address string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(`{"object":"task"}`))
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}
