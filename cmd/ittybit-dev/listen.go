package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/ittybittest"
)

const (
	// realURL is what listen asks where no other address is given.
	realURL = "https://api.ittybit.com"
	// lookBack is how old a task may be that was under way when listen first began.
	lookBack = 24 * time.Hour
	// maxListenWait is the longest wait between two attempts to deliver a webhook.
	maxListenWait = 5 * time.Minute
	// maxShownBody is how much of a response the console shows.
	maxShownBody = 64 << 10
	// listenOutage is how long a poll outlives an API that is away; the next one tries again.
	listenOutage = 30 * time.Second
)

type listenFlags struct {
	forward, since, state, console string
	every                          time.Duration
}

func newListen(s *settings) *cobra.Command {
	f := &listenFlags{}
	cmd := &cobra.Command{
		Use:   "listen",
		Short: "Deliver the ends of tasks of the real Ittybit to a local URL, without a tunnel",
		Long: `Deliver the ends of tasks of the real Ittybit to a local URL, without a tunnel.

It asks the API for tasks that have ended, and posts each to --forward-to and to no other URL, as
Ittybit would: signed with the API key, and again until it is confirmed with status 200. It begins
when it says so, with the tasks of the last day that are under way; --since begins earlier. Started
again with the same API, key and --forward-to, it goes on where it was, and --since has no effect:
remove the directory of --state to begin anew. Ctrl-C ends it after the attempt that is under way,
a second one at once. What no list of tasks shows can't be seen: media.created, and progress.`,
		Example: `  ITTYBIT_API_KEY=ittybit_… ittybit-dev listen --forward-to http://localhost:3000/ittybit-webhook
  ittybit-dev listen --forward-to http://localhost:3000/ittybit-webhook --since 2h`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !s.ownURL {
				s.url = realURL
			}
			if s.url == realURL && s.apiKey() == defaultKey {
				return errors.New("an API key is required: set ITTYBIT_API_KEY")
			}
			l, err := openListener(cmd, s, f)
			if err != nil {
				return err
			}
			defer func() { _ = l.state.Close() }() // each change is written
			if f.console != "" {
				var page string
				if l.recorder, page, err = openRecorder(cmd.Context(), s, f); err != nil {
					return failed("%w", err)
				}
				defer l.recorder.Close()
				l.note("See: %s", page)
			}
			return l.run(cmd.Context())
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.forward, "forward-to", "", "URL that gets the webhooks (required)")
	flags.StringVar(&f.since, "since", "", "begin with the tasks of so long ago, such as 2h, or since a time (RFC 3339)")
	flags.StringVar(&f.state, "state", "", "directory that keeps what was delivered (default: one in your configuration directory)")
	flags.DurationVar(&f.every, "every", 5*time.Second, "time between two polls")
	flags.StringVar(&f.console, "console-addr", listenConsole, `address of the console in the browser, "" for none; an address that other machines reach needs --password`)
	_ = cmd.MarkFlagRequired("forward-to") // it is there
	return cmd
}

// listener delivers the ends of tasks.
type listener struct {
	cmd      *cobra.Command
	settings *settings
	flags    *listenFlags
	client   *ittybit.Client
	webhooks *http.Client
	state    *listenState
	recorder *recorder                    // nil: there is no console
	at       *ittybit.ReconcileCheckpoint // nil: it has not begun
}

func openListener(cmd *cobra.Command, s *settings, f *listenFlags) (*listener, error) {
	if !isWebURL(f.forward) {
		return nil, fmt.Errorf("--forward-to %q is not an absolute URL, such as http://localhost:3000/ittybit-webhook", f.forward)
	}
	if f.every <= 0 {
		return nil, errors.New("--every must be positive")
	}
	client, err := s.client(true)
	if err != nil {
		return nil, err
	}
	since, err := parseSince(f.since)
	if err != nil {
		return nil, err
	}
	l := &listener{cmd: cmd, settings: s, flags: f, client: client, webhooks: webhookClient()}
	source := stateSource(s.url, s.apiKey(), f.forward)
	if f.state == "" {
		config, err := os.UserConfigDir()
		if err != nil {
			return nil, fmt.Errorf("%w: give a directory with --state", err)
		}
		f.state = filepath.Join(config, "ittybit-dev", "listen-"+source)
	}
	if l.state, l.at, err = openListenState(cmd.Context(), f.state, source); err != nil {
		return nil, failed("%w", err)
	}
	switch {
	case since.IsZero():
	case l.at != nil:
		l.note("Going on where it was; --since has no effect.")
	default:
		l.at = &ittybit.ReconcileCheckpoint{Since: since}
	}
	return l, nil
}

// webhookClient posts webhooks. A receiver that closes an idle connection must not cost an attempt.
func webhookClient() *http.Client {
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true}
	if shared, ok := http.DefaultTransport.(*http.Transport); ok {
		transport = shared.Clone()
		transport.DisableKeepAlives = true
	}
	return &http.Client{
		Transport: transport, Timeout: 5 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func parseSince(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if ago, err := time.ParseDuration(text); err == nil && ago >= 0 {
		return time.Now().Add(-ago), nil
	}
	since, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return since, fmt.Errorf("--since %q is neither a duration, such as 2h, nor a time, such as 2026-11-27T10:00:00Z", text)
	}
	return since, nil
}

// note prints what is not a result.
func (l *listener) note(format string, args ...any) {
	_, _ = fmt.Fprintf(l.cmd.ErrOrStderr(), format+"\n", args...)
}

func (l *listener) run(ctx context.Context) error {
	if l.at == nil {
		if err := l.begin(ctx); err != nil {
			return l.ended(ctx, err)
		}
	}
	l.note("Delivering the ends of tasks of %s to %s, until Ctrl-C. media.created and progress can't be seen.",
		withoutQuery(l.settings.url), withoutQuery(l.flags.forward))
	for polled := false; ; polled = true {
		next := time.Now().Add(l.flags.every)
		if err := l.poll(ctx); err != nil {
			if !polled || ctx.Err() != nil || !isPassing(err) {
				return l.ended(ctx, err)
			}
			l.note("%s; asking again.", strings.TrimPrefix(err.Error(), "ittybit: "))
		}
		for more := true; more; {
			if err := l.deliverDue(ctx); err != nil {
				return l.ended(ctx, err)
			}
			due, err := l.state.nextDue()
			if err != nil {
				return failed("%w", err)
			}
			more = !due.IsZero() && due.Before(next)
			if !more {
				due = next
			}
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(time.Until(due)):
			}
		}
	}
}

// isPassing reports whether a later poll may go well: the API is away, or the network.
func isPassing(err error) bool {
	var ofAPI *ittybit.APIError
	if errors.As(err, &ofAPI) {
		return ofAPI.StatusCode == http.StatusTooManyRequests || ofAPI.StatusCode >= http.StatusInternalServerError
	}
	var withCode *failure // of the state
	return !errors.As(err, &withCode)
}

// ended is nil where it was Ctrl-C that ended it.
func (l *listener) ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil //nolint:nilerr // that is how it is meant to end
	}
	return err
}

// begin records what has ended before, so that it is not delivered.
func (l *listener) begin(ctx context.Context) error {
	events, report, err := l.find(ctx, ittybit.ReconcileCheckpoint{Since: time.Now().Add(-lookBack)}, nil)
	if err != nil {
		return err
	}
	return l.store(events, true, report.Checkpoint)
}

// poll records what has ended since the last one, to be delivered.
func (l *listener) poll(ctx context.Context) error {
	events, report, err := l.find(ctx, *l.at, func(events []foundEvent, at ittybit.ReconcileCheckpoint) error {
		return l.store(events, false, at)
	})
	if ofState := (*failure)(nil); errors.As(err, &ofState) {
		return err // the checkpoint counts events that were not written
	}
	return errors.Join(l.store(events, false, report.Checkpoint), err)
}

func (l *listener) store(events []foundEvent, delivered bool, at ittybit.ReconcileCheckpoint) error {
	if err := l.state.add(events, delivered, at); err != nil {
		return failed("%w", err)
	}
	l.at = &at
	return nil
}

// find gives the ends of tasks that were not found before. After each page of the list onPage is
// given those since the last call, with the checkpoint that counts them. Where the error is of the
// state, the checkpoint of the report is not to be stored.
func (l *listener) find(
	ctx context.Context, from ittybit.ReconcileCheckpoint, onPage func([]foundEvent, ittybit.ReconcileCheckpoint) error,
) (events []foundEvent, report *ittybit.ReconcileReport, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	params := ittybit.ReconcileParams{
		Checkpoint: from,
		Select: func(task *ittybit.Task) bool {
			found, err := l.state.has(ittybit.EventFromTask(task).Key())
			if err != nil {
				cancel(failed("%w", err))
			}
			return !found
		},
	}
	if onPage != nil {
		params.OnCheckpoint = func(at ittybit.ReconcileCheckpoint) {
			if ctx.Err() != nil {
				return
			}
			if err := onPage(events, at); err != nil {
				cancel(err)
				return
			}
			events = nil
		}
	}
	report, err = ittybit.Reconcile(ctx, l.client, ittybit.EventHandlerFunc(func(_ context.Context, e *ittybit.Event) error {
		body, err := json.Marshal(e)
		if err != nil {
			return err
		}
		ended := e.Task.Completed
		if ended.IsZero() {
			ended = e.Task.Updated
		}
		events = append(events, foundEvent{key: e.Key(), created: e.Task.Created, ended: ended, body: body})
		return nil
	}), params, ittybit.WithMaxOutage(listenOutage), ittybit.WithLogger(slog.New(slog.DiscardHandler)))
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	return events, report, err
}

// attempt is one attempt to deliver a webhook, as it is printed.
type attempt struct {
	Time       time.Time         `json:"time"`
	Event      ittybit.EventType `json:"event,omitempty"` // this and the next two: if they can be read
	TaskID     string            `json:"task_id,omitempty"`
	Kind       ittybit.TaskKind  `json:"kind,omitempty"`
	Key        string            `json:"key"`
	Attempt    int               `json:"attempt"`
	Status     int               `json:"status,omitempty"`
	Error      string            `json:"error,omitempty"`
	DurationMS float64           `json:"duration_ms"`
}

// deliverDue makes an attempt for each event that is due, in the order of their ends. An attempt
// that is under way when ctx ends is finished, and recorded: the next run would repeat it otherwise.
func (l *listener) deliverDue(ctx context.Context) error {
	events, err := l.state.due(time.Now())
	if err != nil {
		return failed("%w", err)
	}
	for _, found := range events {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		a, err := l.deliver(context.WithoutCancel(ctx), found)
		if err != nil {
			return err
		}
		wait := min(time.Second<<min(found.attempts, 16), maxListenWait)
		if a.Status == http.StatusOK {
			err = l.state.delivered(found.key)
		} else {
			err = l.state.postpone(found.key, time.Now().Add(wait))
		}
		if err != nil {
			return failed("%w", err)
		}
		if err := l.print(a, wait); err != nil {
			return err
		}
	}
	return nil
}

// deliver posts an event, also one that can't be read here: the receiver is to see it. The client's
// timeout bounds it.
func (l *listener) deliver(ctx context.Context, found foundEvent) (attempt, error) {
	a := attempt{Time: time.Now(), Key: found.key, Attempt: found.attempts + 1}
	if event, err := ittybit.ParseEvent(found.body); err == nil && event.Task != nil {
		a.Event, a.TaskID, a.Kind = event.Type, event.Task.ID, event.Task.Kind
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, l.flags.forward, bytes.NewReader(found.body))
	if err != nil {
		return attempt{}, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "ittybit-dev/"+ittybit.Version)
	record := ittybittest.Delivery{
		Attempt: a.Attempt, Body: found.body, Time: a.Time, Signature: ittybit.SignWebhook(l.settings.apiKey(), a.Time, found.body),
	}
	req.Header.Set(ittybit.SignatureHeader, record.Signature)
	resp, err := l.webhooks.Do(req)
	record.Duration = time.Since(a.Time)
	a.DurationMS = float64(record.Duration) / float64(time.Millisecond)
	if err != nil {
		record.Err = cmp.Or(errors.Unwrap(err), err) // without the URL and its query
		a.Error = record.Err.Error()
		l.recorder.add(found.key, record) //nolint:contextcheck // in memory
		return a, nil
	}
	record.StatusCode, record.ResponseHeader = resp.StatusCode, resp.Header
	record.ResponseBody, _ = io.ReadAll(io.LimitReader(resp.Body, maxShownBody)) // only the status counts
	_ = resp.Body.Close()                                                        // as above
	l.recorder.add(found.key, record)                                            //nolint:contextcheck // in memory
	a.Status = resp.StatusCode
	return a, nil
}

// print prints an attempt, as a line of text or of JSON.
func (l *listener) print(a attempt, wait time.Duration) error {
	if l.settings.json {
		return json.NewEncoder(l.cmd.OutOrStdout()).Encode(a)
	}
	outcome := a.Error
	if a.Status != 0 {
		outcome = strings.TrimSpace(fmt.Sprint(a.Status, " ", http.StatusText(a.Status)))
	}
	what := a.Key
	if a.TaskID != "" {
		what = fmt.Sprintf("%s %s (%s)", a.Event, a.TaskID, a.Kind)
	}
	text := fmt.Sprintf("%s %s: %s, %.0f ms", a.Time.Format(time.TimeOnly), what, outcome, a.DurationMS)
	if a.Status != http.StatusOK {
		text += fmt.Sprintf("; again in %v", wait)
	}
	_, err := fmt.Fprintln(l.cmd.OutOrStdout(), printable(text))
	return err
}
