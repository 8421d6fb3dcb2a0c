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

func newTrigger(s *settings) *cobra.Command {
	var to, kind, message string
	var progress int
	var sets []string
	cmd := &cobra.Command{
		Use:   "trigger EVENT",
		Short: "Send one signed webhook, made from a fixture",
		Long: `Send one signed webhook, made from a fixture, and print the response.

Events: task.completed, task.failed, task.cancelled, task.updated and media.created of API
version 2025-08-20; task.succeeded of 2025-12-01; job.succeeded and job.failed of 2026. Where
serve runs it sends the webhook, which is then listed with the others, and retried.`,
		Example: `  ittybit-dev trigger task.completed --kind nsfw --set results.is_nsfw=true --to http://localhost:3000/hook
  ittybit-dev trigger task.failed --kind video --message "The file is broken." --to http://localhost:3000/hook`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			body, err := payload(args[0], kind, message, progress)
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
			text := fmt.Sprintf("%s to %s: %s, %.0f ms", args[0], to, d.outcome(), d.DurationMS)
			if d.Response != nil && d.Response.Body != "" {
				text += "\n" + strings.TrimSpace(d.Response.Body)
			}
			if err := s.print(cmd, d, text); err != nil {
				return err
			}
			if d.Status != http.StatusOK {
				return failed("the webhook was not confirmed: only status 200 does that")
			}
			return nil
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&to, "to", "", "URL that gets the webhook (required)")
	flags.StringVar(&kind, "kind", "nsfw", "kind of the task or job")
	flags.StringVar(&message, "message", "The file is broken.", "error of a failed task or job, title of media")
	flags.IntVar(&progress, "progress", 50, "of task.updated")
	flags.StringArrayVar(&sets, "set", nil, "a field of the payload, as path=value; the value is JSON, or else a text")
	_ = cmd.MarkFlagRequired("to") // it is there
	return cmd
}

// payload is the fixture of an event.
func payload(event, kind, message string, progress int) ([]byte, error) {
	task := ittybit.TaskKind(kind)
	switch event {
	case "task.completed":
		return ittybittest.TaskCompleted(task, nil), nil
	case "task.succeeded":
		return ittybittest.EventOf("task.succeeded", ittybittest.TaskCompleted(task, nil)), nil
	case "task.failed":
		return ittybittest.TaskFailed(task, message), nil
	case "task.cancelled":
		return ittybittest.TaskCancelled(task), nil
	case "task.updated":
		return ittybittest.TaskUpdated(task, progress), nil
	case "media.created":
		return ittybittest.MediaCreated(message), nil
	case "job.succeeded":
		return ittybittest.JobSucceeded(kind), nil
	case "job.failed":
		return ittybittest.JobFailed(kind, message), nil
	}
	return nil, fmt.Errorf("there is no fixture for the event %q: see ittybit-dev trigger --help", event)
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
	err = control(cmd.Context(), s.url, http.MethodPost, "/_local/events", bytes.NewReader(asked), &d)
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
