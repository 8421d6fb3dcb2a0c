package ittybit_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"time"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/ittybittest"
)

func ExampleTasksService_Create() {
	local := ittybittest.NewServer() // in place of Ittybit
	defer local.Close()
	client, err := local.Client() // elsewhere: ittybit.NewClient(os.Getenv("ITTYBIT_API_KEY"))
	if err != nil {
		panic(err)
	}

	task, err := client.Tasks.Create(context.Background(), ittybit.TaskCreateParams{
		Kind:       ittybit.TaskKindImage,
		URL:        "https://example.com/cat.jpg",
		Ref:        "thumbnail",
		WebhookURL: "https://your-app.com/ittybit-webhook",
		Options:    ittybit.ImageOptions{Width: ittybit.Pixels(320), Format: "png"},
	})
	switch {
	case errors.Is(err, ittybit.ErrOutcomeUnknown):
		fmt.Println("the task may exist:", err)
	case err != nil:
		fmt.Println(err)
	default:
		fmt.Println(task.Kind, task.Status)
	}
	// Output: image pending
}

func ExampleTasksService_List() {
	local := ittybittest.NewServer()
	defer local.Close()
	client, err := local.Client()
	if err != nil {
		panic(err)
	}
	ctx := context.Background()
	for range 3 {
		if _, err := client.Tasks.Create(ctx, ittybit.TaskCreateParams{Kind: ittybit.TaskKindSpeech, URL: "https://example.com/talk.mp3"}); err != nil {
			panic(err)
		}
	}

	page, err := client.Tasks.List(ctx, ittybit.TaskListParams{Kind: ittybit.TaskKindSpeech, Limit: 2})
	for ; err == nil; page, err = page.Next(ctx) {
		fmt.Println(len(page.Items), "tasks, and more:", page.HasNext())
	}
	if !errors.Is(err, ittybit.ErrNoMorePages) {
		panic(err)
	}
	// Output:
	// 2 tasks, and more: true
	// 1 tasks, and more: false
}

func ExampleTasksService_All() {
	local := ittybittest.NewServer()
	defer local.Close()
	client, err := local.Client()
	if err != nil {
		panic(err)
	}
	ctx := context.Background()
	for range 5 {
		if _, err := client.Tasks.Create(ctx, ittybit.TaskCreateParams{Kind: ittybit.TaskKindSpeech, URL: "https://example.com/talk.mp3"}); err != nil {
			panic(err)
		}
	}

	count := 0
	for task, err := range client.Tasks.All(ctx, ittybit.TaskListParams{Kind: ittybit.TaskKindSpeech, Limit: 2}) {
		if err != nil {
			panic(err)
		}
		if strings.HasPrefix(task.ID, "task_") {
			count++
		}
	}
	fmt.Println(count, "tasks, two a page")
	// Output: 5 tasks, two a page
}

func ExampleTasksService_Wait() {
	local := ittybittest.NewServer()
	defer local.Close()
	local.SetResults(ittybit.TaskKindNSFW, map[string]any{"is_nsfw": true, "confidence": 0.97})
	client, err := local.Client()
	if err != nil {
		panic(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	task, err := client.Tasks.Create(ctx, ittybit.TaskCreateParams{Kind: ittybit.TaskKindNSFW, URL: "https://example.com/cat.jpg"})
	if err != nil {
		panic(err)
	}
	task, err = client.Tasks.Wait(ctx, task.ID, ittybit.WithPollInterval(10*time.Millisecond))
	if err != nil {
		panic(err)
	}
	nsfw, err := task.NSFW()
	if err != nil {
		panic(err)
	}
	fmt.Println(nsfw.IsNSFW, *nsfw.Confidence)
	// Output: true 0.97
}

func ExampleTasksService_CreateAndWait() {
	local := ittybittest.NewServer()
	defer local.Close()
	client, err := local.Client()
	if err != nil {
		panic(err)
	}
	task, err := client.Tasks.CreateAndWait(context.Background(), ittybit.TaskCreateParams{
		Kind:    ittybit.TaskKindSpeech,
		URL:     "https://example.com/talk.mp3",
		Options: ittybit.SpeechOptions{Speakers: true},
	}, ittybit.WithPollInterval(10*time.Millisecond))
	if err != nil {
		panic(err)
	}
	speech, err := task.Speech()
	if err != nil {
		panic(err)
	}
	fmt.Println(speech.Language, speech.Text[0])
	// Output: en A made-up sentence.
}

func ExampleTasksService_WaitAll() {
	local := ittybittest.NewServer()
	defer local.Close()
	client, err := local.Client()
	if err != nil {
		panic(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var ids []string
	for _, kind := range []ittybit.TaskKind{ittybit.TaskKindNSFW, ittybit.TaskKindSubtitles, ittybit.TaskKindChapters} {
		task, err := client.Tasks.Create(ctx, ittybit.TaskCreateParams{Kind: kind, URL: "https://example.com/talk.mp4"})
		if err != nil {
			panic(err)
		}
		ids = append(ids, task.ID)
	}

	var ended []string
	for task, err := range client.Tasks.WaitAll(ctx, ids, ittybit.WithPollRate(100), ittybit.WithPollInterval(20*time.Millisecond)) {
		switch {
		case errors.As(err, new(*ittybit.TaskFailedError)):
			fmt.Println("failed:", task.Error.Message)
		case err != nil:
			panic(err)
		default:
			ended = append(ended, string(task.Kind))
		}
	}
	slices.Sort(ended)
	fmt.Println(ended)
	// Output: [chapters nsfw subtitles]
}

func ExampleWithProgress() {
	local := ittybittest.NewServer(ittybittest.WithTaskDuration(0))
	defer local.Close()
	client, err := local.Client()
	if err != nil {
		panic(err)
	}
	_, err = client.Tasks.CreateAndWait(context.Background(),
		ittybit.TaskCreateParams{Kind: ittybit.TaskKindVideo, URL: "https://example.com/talk.mp4"},
		ittybit.WithPollInterval(10*time.Millisecond),
		ittybit.WithProgress(func(task *ittybit.Task) {
			if task.Terminal() { // and before that, as often as there was a look
				fmt.Println(task.Status, task.Progress)
			}
		}))
	if err != nil {
		panic(err)
	}
	// Output: completed 100
}

// A task that ended badly comes back together with an error that says so.
func ExampleTaskFailedError() {
	local := ittybittest.NewServer()
	defer local.Close()
	local.FailTasks(ittybit.TaskKindVideo, "no video in the input")
	client, err := local.Client()
	if err != nil {
		panic(err)
	}

	task, err := client.Tasks.CreateAndWait(context.Background(), ittybit.TaskCreateParams{
		Kind: ittybit.TaskKindVideo,
		URL:  "https://example.com/talk.mp3",
	}, ittybit.WithPollInterval(10*time.Millisecond))
	var failed *ittybit.TaskFailedError
	if errors.As(err, &failed) {
		fmt.Println(task.Status, "because:", failed.Task.Error.Message)
	}
	// Output: failed because: no video in the input
}

// The options of a kind stand in a type of their own; what this SDK does not know yet
// goes into Extra.
func ExampleTaskCreateParams() {
	body, err := json.Marshal(ittybit.TaskCreateParams{
		Kind: ittybit.TaskKindVideo,
		URL:  "https://example.com/talk.mov",
		Options: ittybit.VideoOptions{
			Width: ittybit.Percent(50), Format: "mp4", FPS: 30,
			Layers: []ittybit.Layer{{Kind: "image", URL: "https://example.com/logo.png"}},
		},
		Extra: map[string]any{"brand_new": true},
	})
	if err != nil {
		panic(err)
	}
	fmt.Println(string(body))
	// Output: {"kind":"video","url":"https://example.com/talk.mov","width":"50%","format":"mp4","fps":30,"layers":[{"kind":"image","url":"https://example.com/logo.png"}],"brand_new":true}
}

func ExampleTask_Chapters() {
	var task ittybit.Task
	err := json.Unmarshal([]byte(`{"id":"task_1","object":"task","kind":"chapters","status":"completed",
		"results":{"object":"track","kind":"chapters","url":"https://you.ittybit.net/chapters.json",
		"chapters":[{"index":0,"start":0,"end":60.2,"title":"Introduction"}]}}`), &task)
	if err != nil {
		panic(err)
	}
	chapters, err := task.Chapters()
	if err != nil {
		panic(err)
	}
	fmt.Println(chapters.Chapters[0].Title, chapters.Chapters[0].End, chapters.URL)
	// Output: Introduction 60.2 https://you.ittybit.net/chapters.json
}

func ExampleTask_DecodeResults() {
	var task ittybit.Task
	err := json.Unmarshal([]byte(`{"id":"task_1","kind":"outline","status":"completed","results":{"sections":["Welcome","Questions"]}}`), &task)
	if err != nil {
		panic(err)
	}
	var outline struct { // of a kind that has no type here
		Sections []string `json:"sections"`
	}
	if err := task.DecodeResults(&outline); err != nil {
		panic(err)
	}
	fmt.Println(outline.Sections)
	// Output: [Welcome Questions]
}

// What an object's type does not know is in its JSON.
func ExampleTask_RawJSON() {
	var task ittybit.Task
	if err := json.Unmarshal([]byte(`{"id":"task_1","status":"dozing","queue":"slow"}`), &task); err != nil {
		panic(err)
	}
	var more struct {
		Queue string `json:"queue"`
	}
	if err := json.Unmarshal(task.RawJSON(), &more); err != nil {
		panic(err)
	}
	fmt.Println(task.Status, more.Queue)
	// Output: dozing slow
}

// Webhooks promise no order: Supersedes says which state is newer.
func ExampleTask_Supersedes() {
	stored := &ittybit.Task{ID: "task_1", Status: ittybit.TaskStatusCompleted}
	late := &ittybit.Task{ID: "task_1", Status: ittybit.TaskStatusProcessing, Progress: 50}
	fmt.Println(late.Supersedes(stored), stored.Supersedes(late))
	// Output: false true
}

// A delivery is lost, because the endpoint was down until Ittybit gave up. Reconcile finds the
// task, and the handler gets it once: the same one, behind the same deduplicator.
func ExampleReconcile() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	local := ittybittest.NewServer(ittybittest.WithBackoff(ittybittest.Backoff{First: time.Millisecond, Attempts: 2}))
	defer local.Close()
	client, err := local.Client()
	if err != nil {
		fmt.Println(err)
		return
	}

	events := ittybit.NewEventMux()
	events.OnTaskCompleted(ittybit.AnyTaskKind, func(_ context.Context, e *ittybit.Event) error {
		fmt.Println("handled:", e.Task.Kind)
		return nil
	})
	once := ittybit.Deduplicate(ittybit.NewMemoryDeduplicator(1000, time.Hour), events)

	endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadGateway) // the proxy in front of it is all that is up
	}))
	defer endpoint.Close()
	_, err = client.Tasks.Create(ctx, ittybit.TaskCreateParams{
		Kind: ittybit.TaskKindNSFW, URL: "https://example.com/cat.jpg", WebhookURL: endpoint.URL,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	lost, err := local.WaitForDelivery(ctx, func(d ittybittest.Delivery) bool { return d.Final })
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("delivered:", lost.Delivered(), "after", lost.Attempt, "attempts")

	// Now and then, such as every ten minutes:
	var checkpoint ittybit.ReconcileCheckpoint // as it was stored
	for range 2 {
		report, err := ittybit.Reconcile(ctx, client, once, ittybit.ReconcileParams{Checkpoint: checkpoint})
		if err != nil {
			fmt.Println(err)
			return
		}
		checkpoint = report.Checkpoint // to be stored
		fmt.Println("found:", report.Handled)
	}
	// Output:
	// delivered: false after 2 attempts
	// handled: nsfw
	// found: 1
	// found: 0
}
