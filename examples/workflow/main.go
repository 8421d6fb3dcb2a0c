// Workflow shows an automation at work: each new media is looked at; if it is a video, a smaller
// copy is made, then subtitles of that copy, and then a webhook is posted. An image that is
// uploaded beside it fails the condition, and nothing is made of it.
//
//	go run ./examples/workflow
//
// It runs against a local Ittybit; examples/quickstart shows how to reach the real one.
package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/ittybittest"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "workflow:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	local := ittybittest.NewServer()
	defer local.Close()
	client, err := local.Client()
	if err != nil {
		return err
	}

	// 1. The endpoint that hears of the subtitles.
	subtitled := make(chan *ittybit.Task, 1)
	events := ittybit.NewEventMux()
	events.OnTaskCompleted(ittybit.TaskKindSubtitles, func(ctx context.Context, e *ittybit.Event) error {
		select {
		case subtitled <- e.Task:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	webhook, err := ittybit.NewWebhookHandler(local.APIKey, ittybit.Deduplicate(ittybit.NewMemoryDeduplicator(1000, time.Hour), events))
	if err != nil {
		return err
	}
	endpoint := httptest.NewServer(http.Handler(webhook))
	defer endpoint.Close()

	// 2. The workflow: each step of next works on what the step before it made.
	automation, err := client.Automations.Create(ctx, ittybit.AutomationCreateParams{
		Name:    "Subtitles for every video",
		Trigger: ittybit.OnEvent(ittybit.EventMediaCreated),
		Workflow: []ittybit.WorkflowStep{ittybit.ConditionsStep(
			[]ittybit.Condition{{Prop: "kind", Value: "video"}},
			ittybit.WorkflowStep{
				Kind:    ittybit.TaskKindVideo,
				Ref:     "small",
				Options: ittybit.VideoOptions{Width: ittybit.Pixels(640), Format: "mp4", Quality: 75},
				Next: []ittybit.WorkflowStep{{
					Kind: ittybit.TaskKindSubtitles,
					Ref:  "subtitles",
					Next: []ittybit.WorkflowStep{ittybit.WebhookStep(endpoint.URL, "notify-server")},
				}},
			},
		)},
	})
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintln(out, "Automation:", automation.Name)

	// 3. Two uploads make two media, each of which sets it off.
	for _, name := range []string{"cat.jpg", "talk.mp4"} {
		result, err := client.Files.Upload(ctx, ittybit.UploadParams{Domain: local.StorageURL, Filename: name, Body: strings.NewReader("made up")})
		if err != nil {
			return err
		}
		_, _ = fmt.Fprintln(out, "Uploaded:", result.File.Kind, result.File.Filename)
	}

	// 4. What came of it.
	select {
	case task := <-subtitled:
		subtitles, err := task.Subtitles()
		if err != nil {
			return err
		}
		_, _ = fmt.Fprintf(out, "Subtitled: %s, of the %q copy\n", subtitles.Language, task.Input.Ref)
	case <-ctx.Done():
		return fmt.Errorf("no webhook came: %w", ctx.Err())
	}
	for media, err := range client.Media.All(ctx, ittybit.MediaListParams{}) {
		if err != nil {
			return err
		}
		_, _ = fmt.Fprintf(out, "Media of kind %s: %d files, small copy: %t, subtitles: %t\n",
			media.Kind, len(media.Files), media.FileByRef("small") != nil, media.FileByRef("subtitles") != nil)
	}
	return nil
}
