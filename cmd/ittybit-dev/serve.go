package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ittybit/ittybit-go/ittybittest"
)

// saveEvery is how often the state is written while the server runs, so that a crash loses
// little.
const saveEvery = 30 * time.Second

type serveFlags struct {
	address, storage            string
	publicURL, publicStorageURL string
	webhook, data, password     string
	faults                      string
	hosts                       []string
	taskDuration                time.Duration
	progress, verbose           bool
}

func newServe(s *settings) *cobra.Command {
	f := &serveFlags{}
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the local Ittybit until Ctrl-C",
		Example: `  ittybit-dev serve --webhook http://localhost:3000/ittybit-webhook
  ittybit-dev serve --data .ittybit --task-duration 10s --progress
  ittybit-dev serve --addr 0.0.0.0:8080 --public-url http://ittybit:8080 --allow-host app --password secret`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return serve(cmd, s, f) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.address, "addr", defaultAddress, "address of the API")
	flags.StringVar(&f.storage, "storage-addr", "127.0.0.1:4849", "address of the storage")
	flags.StringVar(&f.publicURL, "public-url", "", "base URL at which others reach the API, as in docker compose")
	flags.StringVar(&f.publicStorageURL, "public-storage-url", "", "base URL at which others reach the storage")
	flags.StringVar(&f.webhook, "webhook", "", "URL that gets media.created and every task's end, too")
	flags.StringSliceVar(&f.hosts, "allow-host", nil, "host that webhooks may go to by plain http, besides this machine")
	flags.StringVar(&f.data, "data", "", "directory that keeps the state across restarts")
	flags.StringVar(&f.password, "password", "", "password for /_local/ from other machines; without one it is for this machine only")
	flags.StringVar(&f.faults, "faults", "", `faults from the start, as JSON: see PUT /_local/faults in docs/local-server.md`)
	flags.DurationVar(&f.taskDuration, "task-duration", 2*time.Second, "how long a task takes")
	flags.BoolVar(&f.progress, "progress", false, "post tasks half-way, too")
	flags.BoolVarP(&f.verbose, "verbose", "v", false, "log requests and deliveries")
	return cmd
}

func serve(cmd *cobra.Command, s *settings, f *serveFlags) error {
	onAPI, err := listen(f.address)
	if err != nil {
		return err
	}
	onStorage, err := listen(f.storage)
	if err != nil {
		return errors.Join(err, onAPI.Close())
	}
	opts := []ittybittest.Option{
		ittybittest.WithAPIKey(s.apiKey()), ittybittest.WithListeners(onAPI, onStorage), ittybittest.WithControl(f.password),
		ittybittest.WithWebhookHosts(f.hosts...), ittybittest.WithEndpoint(f.webhook), ittybittest.WithTaskDuration(f.taskDuration),
		ittybittest.WithBackoff(ittybittest.Backoff{First: time.Second, Max: time.Minute}),
	}
	if f.publicURL != "" {
		storage := orDefault(f.publicStorageURL, "http://"+onStorage.Addr().String())
		opts = append(opts, ittybittest.WithPublicURLs(f.publicURL, storage))
	}
	if f.progress {
		opts = append(opts, ittybittest.WithProgressWebhooks())
	}
	if f.verbose {
		opts = append(opts, ittybittest.WithLogger(slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil))))
	}
	if f.data != "" {
		store, err := openStore(cmd.Context(), f.data)
		if err != nil {
			return errors.Join(failed("%w", err), onAPI.Close(), onStorage.Close())
		}
		defer func() { _ = store.Close() }() // what was added is written
		opts = append(opts, ittybittest.WithDeliveryStore(store))
	}
	srv := ittybittest.NewServer(opts...)
	defer srv.Close()
	if err := load(srv, f.data); err != nil {
		return failed("%w", err)
	}
	if f.faults != "" {
		if err := setFaults(cmd.Context(), "http://"+onAPI.Addr().String(), f.faults); err != nil {
			return err
		}
	}
	hello := map[string]string{"ITTYBIT_URL": srv.URL, "ITTYBIT_STORAGE_URL": srv.StorageURL, "ITTYBIT_API_KEY": srv.APIKey}
	text := fmt.Sprintf(`A local Ittybit, until Ctrl-C.

  export ITTYBIT_URL=%s ITTYBIT_STORAGE_URL=%s ITTYBIT_API_KEY=%s

In Go: ittybit.NewClient(os.Getenv("ITTYBIT_API_KEY"), ittybit.WithBaseURL(os.Getenv("ITTYBIT_URL")))
Try:   ittybit-dev trigger task.completed --kind nsfw --to http://localhost:3000/ittybit-webhook`, srv.URL, srv.StorageURL, srv.APIKey)
	if err := s.print(cmd, hello, text); err != nil {
		return err
	}
	return keep(cmd.Context(), srv, f.data)
}

func listen(address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address) //nolint:noctx // it does not wait
	if err != nil {
		return nil, failed("%w: does another serve run? --addr and --storage-addr choose other addresses", err)
	}
	return l, nil
}

func setFaults(ctx context.Context, base, faults string) error {
	if !json.Valid([]byte(faults)) {
		return errors.New("--faults is not valid JSON")
	}
	err := control(ctx, base, http.MethodPut, "/_local/faults", strings.NewReader(faults), nil)
	return err
}

// load reads the state that an earlier run has left in the directory.
func load(srv *ittybittest.Server, dir string) error {
	if dir == "" {
		return nil
	}
	f, err := os.Open(filepath.Join(dir, "state.tar"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // it was only read
	return srv.Load(f)
}

// keep writes the state now and then, and when ctx ends.
func keep(ctx context.Context, srv *ittybittest.Server, dir string) error {
	ticker := time.NewTicker(saveEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return save(srv, dir)
		case <-ticker.C:
			if err := save(srv, dir); err != nil {
				return err
			}
		}
	}
}

// save puts the state in place at once, so that a crash leaves the one before.
func save(srv *ittybittest.Server, dir string) error {
	if dir == "" {
		return nil
	}
	f, err := os.CreateTemp(dir, "state-*")
	if err != nil {
		return failed("%w", err)
	}
	err = srv.Snapshot(f)
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(f.Name(), filepath.Join(dir, "state.tar"))
	}
	if err != nil {
		return failed("the state could not be saved: %w", errors.Join(err, os.Remove(f.Name())))
	}
	return nil
}
