// Nsfw-moderation checks uploaded images for NSFW content, and keeps what was found in PostgreSQL,
// which Supabase is, or in MySQL or MariaDB. An event's effect and the key that marks it as handled
// are one commit, so that each event has its effect once.
//
//	psql "$DATABASE_URL" -f examples/nsfw-moderation/migrations/postgres/0001_moderation.sql
//	go run ./examples/nsfw-moderation -local
//	curl -d url=https://example.com/cat.jpg http://127.0.0.1:8080/uploads
//	psql "$DATABASE_URL" -c 'SELECT * FROM moderation.uploads'
//
// For MySQL, DATABASE_URL is as in user:password@tcp(127.0.0.1:3306)/database, and the migration is
// in migrations/mysql.
//
// With -local it runs against a local Ittybit. Without, it needs ITTYBIT_API_KEY and WEBHOOK_URL, a
// public https address that reaches it, to which /nsfw-webhook is added.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/ittybittest"
	"github.com/ittybit/ittybit-go/sqlinbox"
)

func main() {
	address := flag.String("addr", "127.0.0.1:8080", "where to listen")
	local := flag.Bool("local", false, "run against a local Ittybit")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *address, *local); err != nil {
		slog.Error("nsfw-moderation", "error", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, address string, local bool) error {
	db, err := open(os.Getenv("DATABASE_URL"))
	if err != nil {
		return err
	}
	defer db.Close() //nolint:errcheck // everything was committed
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return err
	}
	apiKey, publicURL := os.Getenv("ITTYBIT_API_KEY"), os.Getenv("WEBHOOK_URL")
	var options []ittybit.ClientOption
	if local {
		server := ittybittest.NewServer()
		defer server.Close()
		apiKey, publicURL = server.APIKey, "http://"+listener.Addr().String()
		options = append(options, ittybit.WithBaseURL(server.URL))
	}
	client, err := ittybit.NewClient(apiKey, options...)
	if err != nil {
		return err // the key is missing
	}
	if err := db.inbox.Check(ctx); err != nil {
		return err // the migration is missing, for one
	}
	webhook, err := ittybit.NewWebhookHandler(apiKey, db.inbox.Wrap(moderation(db)),
		// A repeat does no harm, so that a retry after a long outage is accepted, too.
		ittybit.WithTolerance(7*24*time.Hour), ittybit.WithLogger(slog.Default()))
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("POST /nsfw-webhook", webhook)
	mux.Handle("POST /uploads", submit(client, db, strings.TrimRight(publicURL, "/")+"/nsfw-webhook"))
	server := &http.Server{ // with the limits of SECURITY.md
		Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 7 * time.Second, WriteTimeout: 10 * time.Second,
		IdleTimeout: 10 * time.Second, MaxHeaderBytes: 16 << 10,
	}
	stopped := make(chan error, 1)
	context.AfterFunc(ctx, func() { stopped <- server.Shutdown(context.WithoutCancel(ctx)) })
	slog.Info("listening", "address", listener.Addr().String())
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-stopped
}

// moderation writes what became of a task, in the event's transaction. Its webhook can come before
// submit has written the upload.
func moderation(db *database) ittybit.EventHandler {
	events := ittybit.NewEventMux()
	events.OnTaskCompleted(ittybit.TaskKindNSFW, func(ctx context.Context, e *ittybit.Event) error {
		found, err := e.Task.NSFW()
		if err != nil {
			return ittybit.Discard(err) // it is logged; the same results will not be readable later
		}
		_, err = sqlinbox.Tx(ctx).ExecContext(ctx, db.completed(), e.Task.ID, found.IsNSFW, found.Confidence)
		return err
	})
	// Of a task that failed or was cancelled it stays unknown whether the image is safe: NULL, and
	// not false.
	ended := func(ctx context.Context, e *ittybit.Event) error {
		_, err := sqlinbox.Tx(ctx).ExecContext(ctx, db.ended(), e.Task.ID, string(e.Task.Status))
		return err
	}
	events.OnTaskFailed(ittybit.TaskKindNSFW, ended)
	events.OnTaskCancelled(ittybit.TaskKindNSFW, ended)
	return events
}

// submit starts the check of the image at the form's url.
func submit(client *ittybit.Client, db *database, webhookURL string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		url := r.PostFormValue("url")
		task, err := client.Tasks.Create(r.Context(), ittybit.TaskCreateParams{Kind: ittybit.TaskKindNSFW, URL: url, WebhookURL: webhookURL})
		if err == nil {
			_, err = db.ExecContext(r.Context(), db.submitted(), task.ID, url)
		}
		_, invalid := errors.AsType[*ittybit.ParamError](err)
		switch {
		case invalid, errors.Is(err, ittybit.ErrBadRequest):
			http.Error(w, "invalid url", http.StatusBadRequest)
		case err != nil:
			slog.ErrorContext(r.Context(), "submitting an upload", "error", err)
			http.Error(w, "the check could not be started", http.StatusBadGateway)
		default:
			w.WriteHeader(http.StatusAccepted)
			_, _ = fmt.Fprintln(w, task.ID) // a client that has gone needs no response
		}
	}
}
