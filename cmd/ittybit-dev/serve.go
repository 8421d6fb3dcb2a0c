package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ittybit/ittybit-go/cmd/ittybit-dev/internal/console"
	"github.com/ittybit/ittybit-go/ittybittest"
)

type serveFlags struct {
	address, storage, console   string
	publicURL, publicStorageURL string
	webhook, data, faults       string
	taskDuration                time.Duration
	progress, verbose           bool

	bound string // the address of the API on this machine, once it is there
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
	flags.StringVar(&f.console, "console-addr", serveConsole, `address of the console in the browser, "" for none; an address that other machines reach needs --password`)
	flags.StringVar(&f.publicURL, "public-url", "", "base URL at which others reach the API, as in docker compose")
	flags.StringVar(&f.publicStorageURL, "public-storage-url", "", "base URL at which others reach the storage")
	flags.StringVar(&f.webhook, "webhook", "", "URL that gets media.created and every task's end, too")
	flags.StringVar(&f.data, "data", "", "directory that keeps tasks, files and deliveries across restarts")
	flags.StringVar(&f.faults, "faults", "", `faults from the start, as JSON: see PUT /_local/faults in docs/local-server.md`)
	flags.DurationVar(&f.taskDuration, "task-duration", 2*time.Second, "how long a task takes")
	flags.BoolVar(&f.progress, "progress", false, "post tasks half-way, too")
	flags.BoolVarP(&f.verbose, "verbose", "v", false, "log every request and delivery, not just those that fail")
	return cmd
}

func serve(cmd *cobra.Command, s *settings, f *serveFlags) error {
	if err := f.check(); err != nil {
		return err
	}
	store, err := openStore(cmd.Context(), f.data)
	if err != nil {
		return failed("%w", err)
	}
	defer func() { _ = store.Close() }() // what was added is written
	srv, err := f.start(cmd, s, store)
	if err != nil {
		return err
	}
	defer srv.Close()
	state := &savedState{srv: srv, dir: f.data}
	if err := state.load(); err != nil {
		return failed("%s cannot be loaded (move it away to start without it): %w", state.path(), err)
	}
	if f.faults != "" {
		if err := s.control(cmd.Context(), "http://"+f.bound, http.MethodPut, "/_local/faults", strings.NewReader(f.faults), nil); err != nil {
			return err
		}
	}
	page, err := f.openConsole(cmd.Context(), s, srv)
	if err != nil {
		return failed("%w", err)
	}
	if err := f.greet(cmd, s, srv, page); err != nil {
		return err
	}
	return state.keep(cmd.Context())
}

// openConsole serves the console, if it is wanted, and gives the address to open.
func (f *serveFlags) openConsole(ctx context.Context, s *settings, srv *ittybittest.Server) (string, error) {
	if f.console == "" {
		return "", nil
	}
	base := "http://" + f.bound
	return startConsole(ctx, f.console, f.data, console.Config{
		Control: base, API: base, Shown: srv.URL, Key: srv.APIKey, ControlPassword: s.password, Storage: srv.StorageURL,
		Password: s.password, Hosts: hostsOf(f.publicURL),
		Events: fixtureEvents, Fixture: func(event, kind, message string, progress int) ([]byte, error) {
			return fixture{kind: kind, message: message, progress: progress}.payload(event)
		},
	})
}

// check finds what the server would stumble over later.
func (f *serveFlags) check() error {
	if f.faults != "" && !json.Valid([]byte(f.faults)) {
		return errors.New("--faults is not valid JSON")
	}
	for name, value := range map[string]string{"webhook": f.webhook, "public-url": f.publicURL, "public-storage-url": f.publicStorageURL} {
		if value != "" && !isWebURL(value) {
			return fmt.Errorf("--%s %q is not an absolute URL, such as http://localhost:3000/ittybit-webhook", name, value)
		}
	}
	if f.publicStorageURL != "" && f.publicURL == "" {
		return errors.New("--public-storage-url is for use with --public-url")
	}
	return nil
}

func isWebURL(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != ""
}

// start starts the server, and sets the address that it is bound to.
func (f *serveFlags) start(cmd *cobra.Command, s *settings, store ittybittest.DeliveryStore) (*ittybittest.Server, error) {
	onAPI, err := listenOn(cmd.Context(), f.address)
	if err != nil {
		return nil, err
	}
	onStorage, err := listenOn(cmd.Context(), f.storage)
	if err != nil {
		return nil, errors.Join(err, onAPI.Close())
	}
	f.bound = loopbackFor(onAPI.Addr())
	level := slog.LevelWarn
	if f.verbose {
		level = slog.LevelInfo
	}
	opts := []ittybittest.Option{
		ittybittest.WithAPIKey(orDefault(s.key, defaultKey)), ittybittest.WithListeners(onAPI, onStorage),
		ittybittest.WithControl(s.password), ittybittest.WithDeliveryStore(store),
		ittybittest.WithWebhookHosts(s.hosts...), ittybittest.WithEndpoint(f.webhook), ittybittest.WithTaskDuration(f.taskDuration),
		ittybittest.WithBackoff(ittybittest.Backoff{First: time.Second, Max: time.Minute}),
		ittybittest.WithLogger(slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: level}))),
	}
	if f.publicURL != "" {
		storage := orDefault(f.publicStorageURL, "http://"+loopbackFor(onStorage.Addr()))
		opts = append(opts, ittybittest.WithPublicURLs(f.publicURL, storage))
	} else if f.bound != onAPI.Addr().String() { // 0.0.0.0 is no address to call
		opts = append(opts, ittybittest.WithPublicURLs("http://"+f.bound, "http://"+loopbackFor(onStorage.Addr())))
	}
	if f.progress {
		opts = append(opts, ittybittest.WithProgressWebhooks())
	}
	return ittybittest.NewServer(opts...), nil
}

// listenOn opens a port.
func listenOn(ctx context.Context, address string) (net.Listener, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, failed("%w: does another serve run? --addr and --storage-addr choose other addresses", err)
	}
	return l, nil
}

// loopbackFor is an address at which this machine reaches a port.
func loopbackFor(bound net.Addr) string {
	host, port, _ := net.SplitHostPort(bound.String())
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}

// greet prints what an application needs. A key of the caller's is not printed where the
// environment has it anyway.
func (f *serveFlags) greet(cmd *cobra.Command, s *settings, srv *ittybittest.Server, page string) error {
	hello := map[string]string{"ITTYBIT_URL": srv.URL, "ITTYBIT_STORAGE_URL": srv.StorageURL, "console": page}
	key := ""
	if srv.APIKey != os.Getenv("ITTYBIT_API_KEY") {
		hello["ITTYBIT_API_KEY"], key = srv.APIKey, " ITTYBIT_API_KEY="+srv.APIKey
	}
	text := fmt.Sprintf(`A local Ittybit, until Ctrl-C.

  export ITTYBIT_URL=%s ITTYBIT_STORAGE_URL=%s%s

In Go: ittybit.NewClient(os.Getenv("ITTYBIT_API_KEY"), ittybit.WithBaseURL(os.Getenv("ITTYBIT_URL")))
Try:   ittybit-dev trigger task.completed --kind nsfw --to http://localhost:3000/ittybit-webhook`, srv.URL, srv.StorageURL, key)
	if page != "" {
		text += "\nSee:   " + page
	}
	if host, _, _ := net.SplitHostPort(f.address); s.password == "" && host != "localhost" && !net.ParseIP(host).IsLoopback() {
		text += "\nNote:  /_local/ answers this machine only; --password opens it to others."
	}
	return s.print(cmd, hello, text)
}
