// Server puts a webhook endpoint into a server that has routes, a log and a graceful shutdown
// already: a service to which images are submitted, and which says whether they are safe for work.
//
//	go run ./examples/server -local
//	curl -d url=https://example.com/cat.jpg http://127.0.0.1:8080/images
//	curl http://127.0.0.1:8080/images/<the task_id that came back>
//
// With -local it runs against a local Ittybit. Without, it needs ITTYBIT_API_KEY and WEBHOOK_URL, a
// public https address that reaches it, to which /ittybit-webhook is added. Ctrl-C stops it, after
// what is in flight.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/ittybittest"
)

func main() {
	address := flag.String("addr", "127.0.0.1:8080", "where to listen")
	local := flag.Bool("local", false, "run against a local Ittybit")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C does not wait
	if err := run(ctx, *address, *local); err != nil {
		slog.Error("server", "error", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, address string, local bool) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return err
	}
	apiKey, publicURL := os.Getenv("ITTYBIT_API_KEY"), os.Getenv("WEBHOOK_URL")
	var options []ittybit.ClientOption
	if baseURL := os.Getenv("ITTYBIT_URL"); baseURL != "" { // of ittybit-dev serve, for one
		options = append(options, ittybit.WithBaseURL(baseURL))
	}
	if local {
		server := ittybittest.NewServer(ittybittest.WithTaskDuration(time.Second))
		defer server.Close()
		apiKey, publicURL = server.APIKey, "http://"+listener.Addr().String()
		options = append(options, ittybit.WithBaseURL(server.URL))
	}
	client, err := ittybit.NewClient(apiKey, options...)
	if err != nil {
		return err // the key is missing
	}
	app := &app{client: client, webhookURL: strings.TrimRight(publicURL, "/") + "/ittybit-webhook", images: map[string]image{}}
	routes, err := app.routes(apiKey)
	if err != nil {
		return err
	}
	return serve(ctx, listener, routes)
}

// serve runs until ctx ends, and then finishes what is in flight: Ittybit delivers later events
// again.
func serve(ctx context.Context, listener net.Listener, handler http.Handler) error {
	server := &http.Server{
		Handler: handler,
		// What never reaches the webhook's handler is the server's to end: SECURITY.md explains the
		// values.
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       7 * time.Second,
		WriteTimeout:      10 * time.Second,
		IdleTimeout:       10 * time.Second, // behind a proxy: longer than the proxy's (docs/deploying.md)
		MaxHeaderBytes:    16 << 10,
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	slog.Info("listening", "address", listener.Addr().String())
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	slog.Info("shutting down")
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), 15*time.Second)
	defer cancel()
	return server.Shutdown(ending)
}

// app is the service. Its map stands for a database: examples/nsfw-moderation has a real one.
type app struct {
	client     *ittybit.Client
	webhookURL string

	mu     sync.Mutex
	images map[string]image // by task id
}

type image struct {
	TaskID  string               `json:"task_id"`
	Status  ittybit.TaskStatus   `json:"status"`
	Results *ittybit.NSFWResults `json:"results,omitempty"`
}

// routes puts the webhook beside the service's own routes: it is an http.Handler like any other.
func (a *app) routes(apiKey string) (http.Handler, error) {
	events := ittybit.NewEventMux()
	events.OnTaskCompleted(ittybit.TaskKindNSFW, a.imageChecked)
	events.OnTaskFailed(ittybit.TaskKindNSFW, a.imageFailed)
	once := ittybit.Deduplicate(ittybit.NewMemoryDeduplicator(100_000, 72*time.Hour), events)
	webhook, err := ittybit.NewWebhookHandler(apiKey, once, ittybit.WithLogger(slog.Default()))
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("POST /ittybit-webhook", webhook)
	mux.HandleFunc("POST /images", a.submit)
	mux.HandleFunc("GET /images/{id}", a.show)
	return mux, nil
}

func (a *app) imageChecked(_ context.Context, e *ittybit.Event) error {
	results, err := e.Task.NSFW()
	if err != nil {
		return ittybit.Discard(err) // it is logged; the same results will not be readable later
	}
	a.save(image{TaskID: e.Task.ID, Status: e.Task.Status, Results: results})
	return nil
}

func (a *app) imageFailed(_ context.Context, e *ittybit.Event) error {
	a.save(image{TaskID: e.Task.ID, Status: e.Task.Status})
	return nil
}

func (a *app) save(img image) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.images[img.TaskID] = img
}

// submit starts a task for the image at the form's url.
func (a *app) submit(w http.ResponseWriter, r *http.Request) {
	task, err := a.client.Tasks.Create(r.Context(), ittybit.TaskCreateParams{
		Kind:       ittybit.TaskKindNSFW,
		URL:        r.PostFormValue("url"),
		WebhookURL: a.webhookURL,
	})
	if _, invalid := errors.AsType[*ittybit.ParamError](err); invalid || errors.Is(err, ittybit.ErrBadRequest) {
		http.Error(w, "invalid url", http.StatusBadRequest)
		return
	}
	if err != nil {
		slog.ErrorContext(r.Context(), "creating a task", "error", err)
		http.Error(w, "Ittybit could not be reached", http.StatusBadGateway)
		return
	}
	a.mu.Lock()
	img, checked := a.images[task.ID] // its webhook may have come first
	if !checked {
		img = image{TaskID: task.ID, Status: task.Status}
		a.images[task.ID] = img
	}
	a.mu.Unlock()
	writeJSON(w, http.StatusAccepted, img)
}

func (a *app) show(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	img, ok := a.images[r.PathValue("id")]
	a.mu.Unlock()
	if !ok {
		http.NotFound(w, r)
		return
	}
	writeJSON(w, http.StatusOK, img)
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // a client that has gone needs no response
}
