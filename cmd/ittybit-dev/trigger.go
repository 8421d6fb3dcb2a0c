package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/ittybittest"
)

// fixtureEvents are the events that there are fixtures of.
var fixtureEvents = []string{
	"task.completed", "task.failed", "task.cancelled", "task.updated", "media.created",
	"task.succeeded", "task.created", "job.succeeded", "job.failed",
}

func newTrigger(s *settings) *cobra.Command {
	var to string
	var f fixture
	var sets []string
	cmd := &cobra.Command{
		Use:   "trigger EVENT",
		Short: "Send one signed webhook, made from a fixture",
		Long: `Send one signed webhook, made from a fixture, and print the response.

Events are task.completed, task.failed, task.cancelled, task.updated and media.created of API
version 2025-08-20; task.created, task.updated, task.succeeded and task.failed with
--api-version 2025-12-01 (task.created and task.succeeded need no flag); job.succeeded and
job.failed of the 2026 API.

Where serve runs it sends the webhook, which is then listed with the others, and retried.`,
		Example: `  ittybit-dev trigger task.completed --kind nsfw --set results.is_nsfw=true --to http://localhost:3000/hook
  ittybit-dev trigger task.failed --kind video --message "The file is broken." --to http://localhost:3000/hook
  ittybit-dev trigger task.failed --api-version 2025-12-01 --to http://localhost:3000/hook`,
		Args:      cobra.ExactArgs(1),
		ValidArgs: fixtureEvents,
		RunE: func(cmd *cobra.Command, args []string) error {
			if !isWebURL(to) {
				return fmt.Errorf("--to %q is not an absolute URL, such as http://localhost:3000/ittybit-webhook", to)
			}
			body, err := f.payload(args[0])
			if err == nil {
				body, err = setFields(body, sets)
			}
			if err != nil {
				return err
			}
			d, err := send(cmd, s, to, body)
			if err != nil {
				return err
			}
			d.Event = orDefault(d.Event, args[0])
			return s.printSent(cmd, d)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&to, "to", "", "URL that gets the webhook (required)")
	flags.StringVar(&f.kind, "kind", "nsfw", "kind of the task or job")
	flags.StringVar(&f.message, "message", "The file is broken.", "error of a failed task or job, title of media")
	flags.IntVar(&f.progress, "progress", 50, "of task.updated")
	flags.StringVar(&f.version, "api-version", "", "version of the API whose webhook it is: 2025-08-20, 2025-12-01 or 2026")
	flags.StringArrayVar(&sets, "set", nil, "a field of the payload, as path=value; the value is JSON, or else a text")
	complete(cmd, "kind", "nsfw", "speech", "description", "subtitles", "chapters", "thumbnails", "outline", "prompt", "conditions",
		"video", "image", "audio", "ingest", "workflow")
	complete(cmd, "api-version", "2025-08-20", "2025-12-01", "2026")
	_ = cmd.MarkFlagRequired("to") // it is there
	return cmd
}

// fixture is what is asked of one.
type fixture struct {
	kind, message, version string
	progress               int
}

// payload is the fixture of an event, as the webhooks of its API version have it.
func (f fixture) payload(event string) ([]byte, error) {
	task := ittybit.TaskKind(f.kind)
	version := "2025-08-20"
	var body []byte
	switch event {
	case "task.completed":
		body = ittybittest.TaskCompleted(task, nil)
	case "task.failed":
		body = ittybittest.TaskFailed(task, f.message)
	case "task.cancelled":
		body = ittybittest.TaskCancelled(task)
	case "task.updated":
		body = ittybittest.TaskUpdated(task, f.progress)
	case "media.created":
		body = ittybittest.MediaCreated(f.message)
	case "task.succeeded":
		version, body = "2025-12-01", ittybittest.TaskCompleted(task, nil)
	case "task.created":
		version, body = "2025-12-01", ittybittest.TaskUpdated(task, 0)
	case "job.succeeded":
		version, body = "2026", ittybittest.JobSucceeded(f.kind)
	case "job.failed":
		version, body = "2026", ittybittest.JobFailed(f.kind, f.message)
	default:
		return nil, fmt.Errorf("there is no fixture for the event %q: use one of %s", event, strings.Join(fixtureEvents, ", "))
	}
	switch asked := orDefault(f.version, version); {
	case asked == "2025-12-01" && (event == "task.updated" || event == "task.failed" || version == asked):
		if event == "task.created" || event == "task.succeeded" {
			status := map[string]string{"task.created": "waiting", "task.succeeded": "succeeded"}[event]
			var err error
			if body, err = setFields(body, []string{"status=" + status}); err != nil {
				return nil, err
			}
		}
		return ittybittest.EventOf(ittybit.EventType(event), body), nil
	case asked == version:
		return body, nil
	default:
		return nil, fmt.Errorf("API version %s has no event %s that is known", asked, event)
	}
}

// setFields sets fields of a JSON object, given as path=value.
func setFields(body []byte, sets []string) ([]byte, error) {
	if len(sets) == 0 {
		return body, nil
	}
	var root map[string]any
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	if err := dec.Decode(&root); err != nil {
		return nil, err
	}
	for _, set := range sets {
		path, text, ok := strings.Cut(set, "=")
		if !ok || path == "" {
			return nil, fmt.Errorf("--set %q is not path=value, such as results.is_nsfw=true", set)
		}
		var value any = text
		if json.Valid([]byte(text)) {
			value = json.RawMessage(text)
		}
		at, names := root, strings.Split(path, ".")
		for _, name := range names[:len(names)-1] {
			inner, ok := at[name].(map[string]any)
			if !ok {
				inner = map[string]any{}
				at[name] = inner
			}
			at = inner
		}
		at[names[len(names)-1]] = value
	}
	return json.Marshal(root)
}

// send lets serve send a webhook, or sends it itself where nothing is served.
func send(cmd *cobra.Command, s *settings, to string, body []byte) (delivery, error) {
	var d delivery
	asked, err := json.Marshal(map[string]any{"url": to, "body": json.RawMessage(body), "wait": true})
	if err != nil {
		return d, err
	}
	err = s.control(cmd.Context(), s.url, http.MethodPost, "/_local/events", bytes.NewReader(asked), &d)
	if !errors.Is(err, errNotServing) {
		return d, err
	}
	req, err := http.NewRequestWithContext(cmd.Context(), http.MethodPost, to, bytes.NewReader(body))
	if err != nil {
		return d, err
	}
	now := time.Now()
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set(ittybit.SignatureHeader, ittybit.SignWebhook(s.apiKey(), now, body))
	client := &http.Client{Timeout: 5 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	d = delivery{Attempt: 1, State: "failed", URL: to, Time: now}
	resp, err := client.Do(req)
	d.DurationMS = float64(time.Since(now)) / float64(time.Millisecond)
	if err != nil {
		d.Error = err.Error()
		return d, nil
	}
	defer func() { _ = resp.Body.Close() }()                 // it is only read
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10)) // the status alone counts
	d.Status, d.Response = resp.StatusCode, &shownResponse{resp.Header, string(text)}
	if d.Status == http.StatusOK {
		d.State = "delivered"
	}
	return d, nil
}
