// Workflow shows an automation at work: of each new video a smaller copy is made, then subtitles of
// that copy, and then a webhook is posted. An image fails the condition, and nothing is made of it.
//
//	go run ./examples/workflow -local
//
// With -local it runs against a local Ittybit. Without, it needs ITTYBIT_API_KEY, ITTYBIT_DOMAIN
// (such as you.ittybit.net), WEBHOOK_URL, and files cat.jpg and talk.mp4 in the current folder.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/ittybittest"
)

func main() {
	local := flag.Bool("local", false, "run against a local Ittybit")
	flag.Parse()
	if err := run(*local); err != nil {
		log.Fatal(err)
	}
}

func run(local bool) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	apiKey, domain, webhookURL := os.Getenv("ITTYBIT_API_KEY"), os.Getenv("ITTYBIT_DOMAIN"), os.Getenv("WEBHOOK_URL")
	var options []ittybit.ClientOption
	if local {
		server := ittybittest.NewServer()
		defer server.Close()
		apiKey, domain, webhookURL = server.APIKey, server.StorageURL, "https://your-app.com/ittybit-webhook" //nolint:gosec // no credential
		options = append(options, ittybit.WithBaseURL(server.URL))
	}
	client, err := ittybit.NewClient(apiKey, options...)
	if err != nil {
		return err // the key is missing
	}

	// 1. The automation: each step of Next works on what the step before it made.
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
					Next: []ittybit.WorkflowStep{ittybit.WebhookStep(webhookURL, "notify-server")},
				}},
			},
		)},
	})
	if err != nil {
		return err
	}
	fmt.Println("automation:", automation.Name)

	// 2. Two uploads make two media, each of which sets it off.
	for _, name := range []string{"cat.jpg", "talk.mp4"} {
		var body io.Reader = strings.NewReader("made up")
		if !local {
			file, err := os.Open(name) //nolint:gosec // one of the two
			if err != nil {
				return err
			}
			defer file.Close() //nolint:errcheck,gocritic // they were only read, and are two
			body = file
		}
		result, err := client.Files.Upload(ctx, ittybit.UploadParams{Domain: domain, Filename: name, Body: body})
		if err != nil {
			return err
		}
		fmt.Println("uploaded:", result.File.Kind, result.File.Filename)
	}

	// 3. What came of it. A server does not poll: its webhook comes when the subtitles are there.
	for {
		done := 0
		for task, err := range client.Tasks.All(ctx, ittybit.TaskListParams{}) {
			if err != nil {
				return err
			}
			if task.Kind == ittybit.TaskKindSubtitles && task.Status == ittybit.TaskStatusCompleted {
				subtitles, err := task.Subtitles()
				if err != nil {
					return err
				}
				fmt.Printf("subtitles: %s, of the %q copy\n", subtitles.Language, task.Input.Ref)
				done++
			}
		}
		if done > 0 {
			break
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for media, err := range client.Media.All(ctx, ittybit.MediaListParams{}) {
		if err != nil {
			return err
		}
		fmt.Printf("%s: %d files, small copy: %t, subtitles: %t\n",
			media.Kind, len(media.Files), media.FileByRef("small") != nil, media.FileByRef("subtitles") != nil)
	}
	return nil
}
