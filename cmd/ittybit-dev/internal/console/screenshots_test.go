package console_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/ittybittest"
)

// scheme chooses dark or light.
func (p *tab) scheme(name string) {
	_, err := chromedp.Call(p.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}, {Name: "prefers-reduced-motion", Value: "reduce"}},
	})
	require.NoError(p.t, err)
}

// shoot saves a picture, as WebP, or as PNG if that is in the name.
func (p *tab) shoot(file string) {
	params := page.CaptureScreenshotParams{Format: page.CaptureScreenshotFormatWebp, Quality: new(int64(82))}
	if strings.HasSuffix(file, ".png") {
		params = page.CaptureScreenshotParams{}
	}
	result, err := chromedp.Call(p.ctx, page.CaptureScreenshot, params)
	require.NoError(p.t, err)
	require.NoError(p.t, os.WriteFile(file, result.Data, 0o600))
}

// The pictures of the documentation: ITTYBIT_SCREENSHOTS=DIR go test -run Screenshots.
func TestScreenshots(t *testing.T) {
	dir := os.Getenv("ITTYBIT_SCREENSHOTS")
	if dir == "" {
		return
	}
	ext := ".webp"
	if os.Getenv("ITTYBIT_SCREENSHOTS_FORMAT") == "png" {
		ext = ".png"
	}
	b := start(t, nil, ittybittest.WithTaskDuration(time.Hour), ittybittest.WithBackoff(ittybittest.Backoff{First: 300 * time.Millisecond, Factor: 2, Attempts: 4}))
	id := fill(b)
	p := b.live("")
	shoot := func(name string) {
		time.Sleep(300 * time.Millisecond) // what was scrolled and faded comes to rest
		for _, scheme := range []string{"light", "dark"} {
			p.scheme(scheme)
			p.shoot(filepath.Join(dir, name+"-"+scheme+ext))
		}
	}
	show := func(hash, selector, text string) {
		eval[string](p, `location.hash = `+quoted(hash))
		p.waitText(selector, text)
	}
	shoot("deliveries")
	show("#/deliveries/"+id, ".detail", "Accept it")
	shoot("delivery")
	show("#/compose", ".page", "Compose")
	p.wait(`document.getElementById("payload").value !== ""`)
	shoot("compose")
	show("#/tasks", "tbody", "processing")
	shoot("tasks")
	show("#/media", ".file", "beach")
	shoot("media")
	show("#/automations", ".graph", "conditions")
	shoot("automations")
	show("#/faults", ".fault", "503")
	shoot("faults")
	p.run(chromedp.EmulateViewport(420, 820))
	show("#/deliveries/"+id, ".detail", "Accept it")
	shoot("narrow")
	show("#/deliveries", ".row", "task.completed")
	shoot("narrow-list")
}

// fill lets things happen, and gives the id of a delivery that took three attempts.
func fill(b *bed) (id string) {
	client, err := b.srv.Client()
	require.NoError(b.t, err)
	ctx := b.t.Context()
	for i, kind := range []ittybit.TaskKind{"video", "nsfw", "speech", "subtitles", "image", "nsfw", "chapters"} {
		task, err := client.Tasks.Create(ctx, ittybit.TaskCreateParams{Kind: kind, URL: "https://example.com/beach.mp4", WebhookURL: b.hook})
		require.NoError(b.t, err)
		action, body := "finish", "{}"
		switch i {
		case 4:
			action, body = "progress", `{"progress":64}`
		case 6:
			action, body = "progress", `{"progress":18}`
		case 3:
			action = "fail"
		}
		b.control("/_local/tasks/"+task.ID+"/"+action, body)
	}
	_, err = client.Automations.Create(ctx, ittybit.AutomationCreateParams{
		Name: "Moderate uploads", Trigger: ittybit.OnEvent(ittybit.EventMediaCreated),
		Workflow: []ittybit.WorkflowStep{
			{Kind: "nsfw", Ref: "safety", Next: []ittybit.WorkflowStep{
				{Kind: "conditions", Conditions: []ittybit.Condition{{Prop: "results.is_nsfw", Value: false}}, Next: []ittybit.WorkflowStep{
					{Kind: "video", Ref: "hd", Options: ittybit.VideoOptions{Format: "mp4"}},
					{Kind: "thumbnails", Ref: "scrub"},
					ittybit.WebhookStep(b.hook, "published"),
				}},
				{Kind: "conditions", Conditions: []ittybit.Condition{{Prop: "results.is_nsfw", Value: true}}, Next: []ittybit.WorkflowStep{
					ittybit.WebhookStep(b.hook, "refused"),
				}},
			}},
			{Kind: "speech", Ref: "transcript"},
		},
	})
	require.NoError(b.t, err)
	b.upload("holidays/beach.png", "image/png", picture)
	for _, status := range []int{503, 500} {
		b.statuses <- status
	}
	id = b.send(completed("nsfw"))
	_, err = b.srv.WaitForDelivery(ctx, func(d ittybittest.Delivery) bool { return d.ID == id && d.Final })
	require.NoError(b.t, err)
	for range 4 {
		b.statuses <- 404
	}
	failing := b.send(string(ittybittest.TaskFailed("video", "The file is broken.")))
	_, err = b.srv.WaitForDelivery(ctx, func(d ittybittest.Delivery) bool { return d.ID == failing && d.Final })
	require.NoError(b.t, err)
	b.send(string(ittybittest.MediaCreated("Beach")))
	b.send(completed("speech"))
	b.statuses <- 503
	b.send(completed("subtitles"))
	b.send(string(ittybittest.TaskUpdated("video", 50)))
	return id
}
