package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/ittybit/ittybit-go"
)

// realURL is what listen asks where no other address is given.
const realURL = "https://api.ittybit.com"

// lookBack is how old a task may be that was under way when listen first began.
const lookBack = 24 * time.Hour

// listenAttempts is how often a webhook is delivered in one poll; the next poll goes on.
const listenAttempts = 4

type listenFlags struct {
	forward, since, state string
	every                 time.Duration
}

func newListen(s *settings) *cobra.Command {
	f := &listenFlags{}
	cmd := &cobra.Command{
		Use:   "listen",
		Short: "Deliver the ends of tasks of the real Ittybit to a local URL, without a tunnel",
		Long: `Deliver the ends of tasks of the real Ittybit to a local URL, without a tunnel.

It asks the API for tasks that have ended, and posts each to --forward-to and to no other URL, as
Ittybit would: signed with the API key, and again until it is confirmed. It begins now, with the
tasks of the last day that are under way; started again, it goes on where it was. What no list of
tasks shows can't be seen: media.created, and progress.`,
		Example: "  ITTYBIT_API_KEY=ittybit_… ittybit-dev listen --forward-to http://localhost:3000/hooks\n  ittybit-dev listen --forward-to http://localhost:3000/hooks --since 2h",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !cmd.Flags().Changed("url") && os.Getenv("ITTYBIT_URL") == "" {
				s.url = realURL
			}
			if s.url == realURL && s.apiKey() == defaultKey {
				return errors.New("an API key is required: set ITTYBIT_API_KEY")
			}
			l, err := openListener(cmd, s, f)
			if err != nil {
				return err
			}
			defer func() { _ = l.delivered.Close() }() // each line is written
			return l.run(cmd.Context(), f)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.forward, "forward-to", "", "URL that gets the webhooks (required)")
	flags.StringVar(&f.since, "since", "", "begin with the tasks of so long ago, such as 2h, or since a time (RFC 3339)")
	flags.StringVar(&f.state, "state", ".ittybit-listen", "directory that keeps what was delivered")
	flags.DurationVar(&f.every, "every", 5*time.Second, "time between two polls")
	_ = cmd.MarkFlagRequired("forward-to") // it is there
	return cmd
}

// listener delivers the ends of tasks.
type listener struct {
	cmd       *cobra.Command
	settings  *settings
	client    *ittybit.Client
	forward   string
	place     string // the file of the checkpoint
	known     bool   // there is a checkpoint
	at        ittybit.ReconcileCheckpoint
	keys      map[string]bool // what was delivered
	delivered *os.File        // the same, a key a line
}

func openListener(cmd *cobra.Command, s *settings, f *listenFlags) (*listener, error) {
	client, err := s.client(true)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(f.state, 0o700); err != nil {
		return nil, err
	}
	l := &listener{cmd: cmd, settings: s, client: client, forward: f.forward, place: filepath.Join(f.state, "checkpoint.json"), keys: map[string]bool{}}
	data, err := os.ReadFile(l.place)
	if err == nil {
		err, l.known = json.Unmarshal(data, &l.at), true
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", l.place, err)
	}
	l.delivered, err = os.OpenFile(filepath.Join(f.state, "delivered"), os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	for lines := bufio.NewScanner(l.delivered); lines.Scan(); {
		l.keys[lines.Text()] = true
	}
	if _, err := fmt.Fprintln(l.delivered); err != nil { // a kill may have cut the last line
		return nil, err
	}
	if f.since != "" {
		since, err := parseSince(f.since)
		if err != nil {
			return nil, err
		}
		l.at, l.known = ittybit.ReconcileCheckpoint{Since: since}, true
	}
	return l, nil
}

func parseSince(text string) (time.Time, error) {
	if ago, err := time.ParseDuration(text); err == nil {
		return time.Now().Add(-ago), nil
	}
	since, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return since, fmt.Errorf("--since %q is neither a duration, such as 2h, nor a time, such as 2026-11-27T10:00:00Z", text)
	}
	return since, nil
}

func (l *listener) run(ctx context.Context, f *listenFlags) error {
	if !l.known { // what has ended before is not delivered
		start := ittybit.ReconcileCheckpoint{Since: time.Now().Add(-lookBack)}
		report, err := l.reconcile(ctx, start, func(_ context.Context, e *ittybit.Event) error { return l.remember(e) })
		if err != nil {
			return l.ended(ctx, err)
		}
		if err := l.save(report.Checkpoint); err != nil {
			return err
		}
	}
	_, _ = fmt.Fprintf(l.cmd.ErrOrStderr(), "Delivering the ends of tasks of %s to %s, until Ctrl-C. media.created and progress can't be seen.\n", l.settings.url, l.forward)
	for {
		if err := l.poll(ctx); err != nil {
			return l.ended(ctx, err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(f.every):
		}
	}
}

// ended is nil where it was Ctrl-C that ended it.
func (l *listener) ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil //nolint:nilerr // that is how it is meant to end
	}
	return err
}

func (l *listener) reconcile(ctx context.Context, from ittybit.ReconcileCheckpoint, handle ittybit.EventHandlerFunc) (*ittybit.ReconcileReport, error) {
	return ittybit.Reconcile(ctx, l.client, handle, ittybit.ReconcileParams{Checkpoint: from})
}

// poll collects what has ended, and delivers it in the order of the ends. The checkpoint moves on
// when all of it was confirmed; until then the keys say what was.
func (l *listener) poll(ctx context.Context) error {
	var events []*ittybit.Event
	report, err := l.reconcile(ctx, l.at, func(_ context.Context, e *ittybit.Event) error {
		if !l.keys[e.Key()] {
			events = append(events, e)
		}
		return nil
	})
	if err != nil {
		return err
	}
	slices.SortStableFunc(events, func(a, b *ittybit.Event) int { return endOf(a).Compare(endOf(b)) })
	all := true
	for _, e := range events {
		confirmed := l.deliver(ctx, e)
		if ctx.Err() != nil && !confirmed {
			return nil
		}
		if !confirmed {
			all = false
			continue
		}
		if err := l.remember(e); err != nil {
			return err
		}
	}
	if !all {
		return nil
	}
	return l.save(report.Checkpoint)
}

// remember keeps the key of an event, so that it is not delivered again.
func (l *listener) remember(e *ittybit.Event) error {
	l.keys[e.Key()] = true
	_, err := fmt.Fprintln(l.delivered, e.Key())
	return err
}

func endOf(e *ittybit.Event) time.Time {
	if e.Task.Completed.IsZero() {
		return e.Task.Updated
	}
	return e.Task.Completed
}

// deliver posts an event until it is confirmed, or this poll has tried often enough.
func (l *listener) deliver(ctx context.Context, e *ittybit.Event) bool {
	body, err := json.Marshal(e)
	if err != nil {
		return false
	}
	client := &http.Client{Timeout: 5 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	for n, wait := 1, time.Second; ; n, wait = n+1, 2*wait {
		outcome := l.post(ctx, client, body)
		_, _ = fmt.Fprintf(l.cmd.OutOrStdout(), "%s %s %s: %s\n", time.Now().Format(time.TimeOnly), e.Type, e.Task.ID, outcome)
		if outcome == "200 OK" {
			return true
		}
		if n == listenAttempts {
			return false
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(wait):
		}
	}
}

func (l *listener) post(ctx context.Context, client *http.Client, body []byte) string {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, l.forward, bytes.NewReader(body))
	if err != nil {
		return err.Error()
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set(ittybit.SignatureHeader, ittybit.SignWebhook(l.settings.apiKey(), time.Now(), body))
	resp, err := client.Do(req)
	if err != nil {
		return err.Error()
	}
	_ = resp.Body.Close() // only the status counts
	return resp.Status
}

// save puts the checkpoint in place at once.
func (l *listener) save(at ittybit.ReconcileCheckpoint) error {
	data, err := json.Marshal(at)
	if err != nil {
		return err
	}
	next := l.place + ".next"
	if err := os.WriteFile(next, data, 0o600); err != nil {
		return err
	}
	if err := os.Rename(next, l.place); err != nil {
		return err
	}
	l.at, l.known = at, true
	return nil
}
