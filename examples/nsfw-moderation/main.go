// Nsfw-moderation checks uploads for NSFW content and keeps what was found in a database:
// SQLite in a file (SQLITE_FILE, or nsfw-moderation.db in the temporary folder), or PostgreSQL
// (which Supabase is) where DATABASE_URL is set. Each event's
// effect is there once: package sqlinbox commits it together with the event's key.
//
//	go run ./examples/nsfw-moderation [image URL ...]
//
// It runs against a local Ittybit, which delivers each webhook twice and out of order to
// make it harder. With ITTYBIT_API_KEY set it runs against the real one, and then needs
// WEBHOOK_URL: a public https address that reaches port 8080 (or PORT) of this machine, to
// which /nsfw-webhook is added.
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
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/ittybittest"
)

// patience is how long to wait for the webhooks.
const patience = 5 * time.Minute

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Stdout, os.Args[1:], os.Getenv)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "nsfw-moderation:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, images []string, getenv func(string) string) (err error) {
	if len(images) == 0 {
		images = []string{"https://example.com/cat.jpg", "https://example.com/dog.jpg", "https://example.com/beach.jpg"}
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()

	file := cmp.Or(getenv("SQLITE_FILE"), filepath.Join(os.TempDir(), "nsfw-moderation.db"))
	table, err := openUploads(ctx, getenv("DATABASE_URL"), file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, table.Close()) }()

	apiKey, webhookURL := getenv("ITTYBIT_API_KEY"), getenv("WEBHOOK_URL")
	address, where := "127.0.0.1:"+cmp.Or(getenv("PORT"), "8080"), "the real Ittybit"
	var options []ittybit.ClientOption
	switch {
	case apiKey == "":
		local := ittybittest.NewServer(ittybittest.WithProgressWebhooks())
		defer local.Close()
		local.SetFaults(ittybittest.Faults{Duplicates: 1, ReorderWindow: 30 * time.Millisecond})
		local.SetResults(ittybit.TaskKindNSFW, map[string]any{"is_nsfw": true, "confidence": 0.97})
		apiKey = local.APIKey
		address, where = "127.0.0.1:0", "a local Ittybit"
		options = append(options, ittybit.WithBaseURL(local.URL))
	case webhookURL == "":
		return errors.New("ITTYBIT_API_KEY is set, but WEBHOOK_URL is missing: set it to a public https address that reaches " + address)
	}
	client, err := ittybit.NewClient(apiKey, options...)
	if err != nil {
		return err
	}

	// The endpoint wakes those who wait after each delivery.
	changed := newBell()
	webhook, err := ittybit.NewWebhookHandler(apiKey, table.Events(),
		// A repeat does no harm, so that a retry after a long outage may be taken, too.
		ittybit.WithTolerance(7*24*time.Hour),
		ittybit.WithObserver(func(context.Context, ittybit.Delivery) { changed.ring() }))
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("POST /nsfw-webhook", webhook)
	listener, err := net.Listen("tcp", address) //nolint:noctx // it listens until the server is shut down
	if err != nil {
		return err
	}
	server := &http.Server{ // with the limits of SECURITY.md
		Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 7 * time.Second, WriteTimeout: 10 * time.Second,
		IdleTimeout: 10 * time.Second, MaxHeaderBytes: 16 << 10,
	}
	go func() { _ = server.Serve(listener) }() // it ends with http.ErrServerClosed
	defer func() { err = errors.Join(err, server.Shutdown(context.WithoutCancel(ctx))) }()

	database := "PostgreSQL"
	if getenv("DATABASE_URL") == "" {
		database = file
	}
	_, _ = fmt.Fprintf(out, "Checking %d uploads with %s, into %s\n", len(images), where, database)
	rows, err := moderate(ctx, client, table, changed, images, strings.TrimRight(cmp.Or(webhookURL, "http://"+listener.Addr().String()), "/")+"/nsfw-webhook")
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintf(out, "\n%-24s %-10s %-14s %-16s %s\n", "TASK_ID", "STATUS", "NSFW_DETECTED", "NSFW_CONFIDENCE", "URL")
	for _, row := range rows {
		detected, confidence := "unknown", "unknown" // not false: nobody has looked
		if row.Detected.Valid {
			detected = strconv.FormatBool(row.Detected.Bool)
		}
		if row.Confidence.Valid {
			confidence = strconv.FormatFloat(row.Confidence.Float64, 'f', 2, 64)
		}
		_, _ = fmt.Fprintf(out, "%-24s %-10s %-14s %-16s %s\n", row.TaskID, row.Status, detected, confidence, row.URL)
	}
	return nil
}

// moderate submits the images and waits until each has been checked.
func moderate(ctx context.Context, client *ittybit.Client, table *uploads, changed *bell, images []string, webhookURL string) ([]upload, error) {
	var taskIDs []string
	for _, url := range images {
		task, err := client.Tasks.Create(ctx, ittybit.TaskCreateParams{
			Kind: ittybit.TaskKindNSFW, URL: url, Description: "Moderation of an upload", WebhookURL: webhookURL,
		})
		if err != nil {
			return nil, err
		}
		// The webhook may have been here before this.
		if err := table.Submitted(ctx, task.ID, url); err != nil {
			return nil, err
		}
		taskIDs = append(taskIDs, task.ID)
	}
	rows := make([]upload, 0, len(taskIDs))
	for _, id := range taskIDs {
		for {
			next := changed.next()
			row, err := table.Get(ctx, id)
			if err != nil {
				return nil, err
			}
			if ended := (&ittybit.Task{Status: row.Status}).Terminal(); ended {
				rows = append(rows, row)
				break
			}
			select {
			case <-next:
			case <-ctx.Done():
				return nil, fmt.Errorf("upload %s has not been checked: %w", id, ctx.Err())
			}
		}
	}
	return rows, nil
}

// bell wakes everybody who waits.
type bell struct {
	mu sync.Mutex
	ch chan struct{}
}

func newBell() *bell { return &bell{ch: make(chan struct{})} }

// next gives a channel that is closed when the bell rings.
func (b *bell) next() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.ch
}

func (b *bell) ring() {
	b.mu.Lock()
	defer b.mu.Unlock()
	close(b.ch)
	b.ch = make(chan struct{})
}
