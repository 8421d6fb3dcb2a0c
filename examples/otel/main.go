// Otel shows what OpenTelemetry and Prometheus get to see: spans for each attempt of a call, for
// each delivery and for its handler, and metrics of deliveries at /metrics of a port of their own.
//
//	go run ./examples/otel -local
//	curl http://127.0.0.1:9090/metrics
//
// It asks for one NSFW check, and prints spans until Ctrl-C. With -local it runs against a local
// Ittybit. Without, it needs ITTYBIT_API_KEY and WEBHOOK_URL, a public https address that reaches
// it.
//
// What to copy: telemetry.go. A service has an OTLP exporter in place of stdouttrace.
package main

import (
	"context"
	"errors"
	"flag"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/ittybittest"
)

func main() {
	address := flag.String("addr", "127.0.0.1:8080", "where to listen for webhooks")
	metrics := flag.String("metrics", "127.0.0.1:9090", "where to serve /metrics")
	local := flag.Bool("local", false, "run against a local Ittybit")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *address, *metrics, *local); err != nil {
		slog.Error("otel", "error", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, address, metrics string, local bool) (err error) {
	telemetry, err := newTelemetry(os.Stdout)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, telemetry.shutdown(context.WithoutCancel(ctx))) }()
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return err
	}
	apiKey, webhookURL := os.Getenv("ITTYBIT_API_KEY"), os.Getenv("WEBHOOK_URL")
	var options []ittybit.ClientOption
	if local {
		server := ittybittest.NewServer()
		defer server.Close()
		apiKey, webhookURL = server.APIKey, "http://"+listener.Addr().String()
		options = append(options, ittybit.WithBaseURL(server.URL))
	}
	client, err := ittybit.NewClient(apiKey, append(options, ittybit.WithHTTPClient(telemetry.httpClient(http.DefaultTransport)))...)
	if err != nil {
		return err // the key is missing
	}

	events := ittybit.NewEventMux()
	events.OnTaskCompleted(ittybit.TaskKindNSFW, func(ctx context.Context, e *ittybit.Event) error {
		found, err := e.Task.NSFW()
		if err != nil {
			return ittybit.Discard(err) // it is logged; the same results will not be readable later
		}
		slog.InfoContext(ctx, "checked", "task", e.Task.ID, "nsfw", found.IsNSFW)
		return nil
	})
	once := ittybit.Deduplicate(ittybit.NewMemoryDeduplicator(100_000, 72*time.Hour), telemetry.traced(events))
	webhook, err := ittybit.NewWebhookHandler(apiKey, once, ittybit.WithObserver(telemetry.delivered))
	if err != nil {
		return err
	}
	// The endpoint is public, the metrics are not: each has a server.
	operations := http.NewServeMux()
	operations.Handle("GET /metrics", telemetry.scrape)
	internal, err := new(net.ListenConfig).Listen(ctx, "tcp", metrics)
	if err != nil {
		return err
	}
	for listener, handler := range map[net.Listener]http.Handler{listener: telemetry.server(webhook), internal: operations} {
		server := &http.Server{ // with the limits of SECURITY.md
			Handler: handler, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 7 * time.Second, WriteTimeout: 10 * time.Second,
			IdleTimeout: 10 * time.Second, MaxHeaderBytes: 16 << 10,
		}
		go server.Serve(listener)                                                              //nolint:errcheck // it ends with http.ErrServerClosed
		defer func() { err = errors.Join(err, server.Shutdown(context.WithoutCancel(ctx))) }() //nolint:gocritic // there are two
	}
	slog.Info("listening", "address", listener.Addr().String(), "metrics", internal.Addr().String())

	asking, span := telemetry.tracer.Start(ctx, "check image")
	_, err = client.Tasks.Create(asking, ittybit.TaskCreateParams{
		Kind: ittybit.TaskKindNSFW, URL: "https://example.com/cat.jpg", WebhookURL: telemetry.webhookURL(asking, webhookURL),
	})
	span.End()
	if err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}
