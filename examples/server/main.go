// Server embeds a webhook endpoint in a server that is there already, with its own routes,
// log and graceful shutdown: a small service to which images are submitted, and which tells
// whether they are safe for work.
//
//	go run ./examples/server
//	curl -d url=https://example.com/cat.jpg http://127.0.0.1:8080/images
//	curl http://127.0.0.1:8080/images/<the id that came back>
//
// Ctrl-C stops it, after what is in flight. It runs against a local Ittybit, or with
// ITTYBIT_API_KEY set against the real one, and then needs WEBHOOK_URL: a public https
// address that reaches it, to which /ittybit-webhook is added. ADDR is where it listens.
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
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

// shutdownTimeout is how long requests in flight may take to finish. Deliveries take four
// seconds at most, if their handlers follow their contexts.
const shutdownTimeout = 15 * time.Second

func main() {
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C does not wait
	err := run(ctx, logger, os.Getenv)
	stop()
	if err != nil {
		logger.Error("server", "error", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, logger *slog.Logger, getenv func(string) string) error {
	listener, err := net.Listen("tcp", cmp.Or(getenv("ADDR"), "127.0.0.1:8080")) //nolint:noctx // it listens until the server is shut down
	if err != nil {
		return err
	}
	apiKey, webhookURL := getenv("ITTYBIT_API_KEY"), getenv("WEBHOOK_URL")
	options := []ittybit.ClientOption{ittybit.WithLogger(logger)}
	switch {
	case apiKey == "":
		local := ittybittest.NewServer(ittybittest.WithTaskDuration(2 * time.Second))
		defer local.Close()
		apiKey, webhookURL = local.APIKey, "http://"+listener.Addr().String()
		options = append(options, ittybit.WithBaseURL(local.URL))
		logger.Info("local Ittybit (set ITTYBIT_API_KEY for the real one)", "url", local.URL)
	case webhookURL == "":
		return errors.Join(errors.New("ITTYBIT_API_KEY is set, but WEBHOOK_URL is missing: set it to a public https address that reaches "+
			listener.Addr().String()), listener.Close())
	}
	client, err := ittybit.NewClient(apiKey, options...)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	app := &app{client: client, logger: logger, images: make(map[string]image), webhookURL: strings.TrimRight(webhookURL, "/") + "/ittybit-webhook"}
	handler, err := app.routes(apiKey)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	return serve(ctx, listener, handler, logger)
}

// serve runs until ctx ends, and then finishes what is in flight.
func serve(ctx context.Context, listener net.Listener, handler http.Handler, logger *slog.Logger) error {
	server := &http.Server{
		Handler:  handler,
		ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
		// What never reaches the webhook's handler is the server's to end. SECURITY.md says why so.
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       7 * time.Second,
		WriteTimeout:      10 * time.Second,
		IdleTimeout:       10 * time.Second, // behind a proxy: longer than the proxy's (docs/deploying.md)
		MaxHeaderBytes:    16 << 10,
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	logger.Info("listening", "address", listener.Addr().String())
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	logger.Info("shutting down: deliveries in flight are finished, later ones come again")
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	return server.Shutdown(ending)
}

// app is the service. Its map stands for a database.
type app struct {
	client     *ittybit.Client
	logger     *slog.Logger
	webhookURL string

	mu     sync.Mutex
	images map[string]image // by task id
}

type image struct {
	TaskID  string               `json:"task_id"`
	Status  ittybit.TaskStatus   `json:"status"`
	Results *ittybit.NSFWResults `json:"results,omitempty"`
}

// routes puts the webhook endpoint beside the service's own routes. The webhook handler is
// an http.Handler like any other.
func (a *app) routes(apiKey string) (http.Handler, error) {
	events := ittybit.NewEventMux()
	events.OnTaskCompleted(ittybit.TaskKindNSFW, a.imageChecked)
	events.OnTaskFailed(ittybit.TaskKindNSFW, a.imageFailed)
	webhook, err := ittybit.NewWebhookHandler(apiKey,
		ittybit.Deduplicate(ittybit.NewMemoryDeduplicator(100_000, 24*time.Hour), events),
		ittybit.WithLogger(a.logger),
	)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("POST /ittybit-webhook", webhook)
	mux.HandleFunc("POST /images", a.submit)
	mux.HandleFunc("GET /images/{id}", a.show)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprintln(w, "ok") })
	return mux, nil
}

// imageChecked is what the Express example does on a completed task.
func (a *app) imageChecked(_ context.Context, e *ittybit.Event) error {
	results, err := e.Task.NSFW()
	if err != nil {
		return err // answered 500, and logged: Ittybit delivers again
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
	if refused := (*ittybit.ParamError)(nil); errors.As(err, &refused) {
		http.Error(w, refused.Error(), http.StatusBadRequest)
		return
	}
	if errors.Is(err, ittybit.ErrBadRequest) {
		http.Error(w, "Ittybit does not take this URL", http.StatusBadRequest)
		return
	}
	if err != nil {
		a.logger.ErrorContext(r.Context(), "creating a task", "error", err)
		http.Error(w, "Ittybit could not be asked", http.StatusBadGateway)
		return
	}
	a.mu.Lock()
	img, checked := a.images[task.ID] // its webhook may have been here first
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
	_ = json.NewEncoder(w).Encode(v) // a client that has gone needs no answer
}
