package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/riverevents"
)

// stopTimeout is how long deliveries and jobs may take to end.
const stopTimeout = 10 * time.Second

// receiver is the endpoint, and the workers behind it.
type receiver struct {
	url    string // of the webhook
	server *server
	queue  *queue // nil: events are handled in the request
}

// startReceiver starts an endpoint for events that work handles: in workers, or, where there is no database, in the request.
func startReceiver(ctx context.Context, t *telemetry, apiKey, databaseURL string, work ittybit.EventHandler) (_ *receiver, err error) {
	r := &receiver{}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.stop(ctx))
		}
	}()
	work = t.traced("work", trace.SpanKindConsumer, work)
	next := ittybit.Deduplicate(ittybit.NewMemoryDeduplicator(10_000, time.Hour), work)
	if databaseURL != "" {
		if r.queue, err = startQueue(ctx, databaseURL, work, t.metrics); err != nil {
			return nil, err
		}
		next = t.traced("enqueue", trace.SpanKindProducer, riverevents.Enqueue(r.queue.client, riverevents.WithMetadata(t.metadata)))
	}
	webhook, err := ittybit.NewWebhookHandler(apiKey, t.metrics.inFlightAround(next), ittybit.WithObserver(t.metrics.delivered))
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("POST /ittybit-webhook", t.server(webhook))
	if r.server, err = serve(mux); err != nil {
		return nil, err
	}
	r.url = r.server.url + "/ittybit-webhook"
	return r, nil
}

// stop lets what is in flight end: first the deliveries, with their observers, then the jobs.
func (r *receiver) stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	var errs []error
	if r.server != nil {
		errs = append(errs, r.server.stop(ctx))
	}
	if r.queue != nil {
		errs = append(errs, r.queue.stop(ctx))
	}
	return errors.Join(errs...)
}

// server is an HTTP server on a free port of the loopback interface.
type server struct {
	url  string
	http *http.Server
}

func serve(handler http.Handler) (*server, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it listens until the server is stopped
	if err != nil {
		return nil, err
	}
	s := &server{url: "http://" + listener.Addr().String(), http: &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second}}
	go func() { _ = s.http.Serve(listener) }() // it ends with http.ErrServerClosed
	return s, nil
}

func (s *server) stop(ctx context.Context) error { return s.http.Shutdown(ctx) }
