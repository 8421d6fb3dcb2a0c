package ittybit_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"time"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/ittybittest"
)

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

func ExampleMediaService_Update() {
	local := ittybittest.NewServer()
	defer local.Close()
	client, err := local.Client()
	if err != nil {
		panic(err)
	}
	ctx := context.Background()
	media, err := client.Media.Create(ctx, ittybit.MediaCreateParams{Title: "Beach", Metadata: map[string]any{"album": map[string]any{"id": 7}}})
	if err != nil {
		panic(err)
	}
	title := "Beach, at night"
	media, err = client.Media.Update(ctx, media.ID, ittybit.MediaUpdateParams{Title: &title})
	if err != nil {
		panic(err)
	}
	fmt.Println(media.Title, media.Metadata)
	// Output: Beach, at night map[album:map[id:7]]
}

func ExampleFilesService_Upload() {
	local := ittybittest.NewServer()
	defer local.Close()
	client, err := local.Client()
	if err != nil {
		panic(err)
	}
	result, err := client.Files.Upload(context.Background(), ittybit.UploadParams{
		Domain:   local.StorageURL, // yours is like you.ittybit.net
		Folder:   "talks",
		Filename: "go.mp4",
		Body:     strings.NewReader("a film"), // an *os.File, mostly
	})
	if err != nil {
		panic(err)
	}
	file, err := client.Files.Get(context.Background(), result.File.ID)
	if err != nil {
		panic(err)
	}
	fmt.Println(file.Folder, file.Filename, file.Filesize)
	// Output: talks go.mp4 6
}

func ExampleNewUploader() {
	local := ittybittest.NewServer()
	defer local.Close()
	// Where the key is: sign.
	signed, err := ittybit.SignURL(local.APIKey, local.StorageURL, "talks/go.mp4", time.Now().Add(time.Hour), ittybit.SignatureMethodPut)
	if err != nil {
		panic(err)
	}
	// Where it is not: upload.
	uploader, err := ittybit.NewUploader()
	if err != nil {
		panic(err)
	}
	result, err := uploader.Upload(context.Background(), ittybit.UploadParams{SignedURL: signed.URL, Body: strings.NewReader("a film")})
	if err != nil {
		panic(err)
	}
	fmt.Println(strings.TrimPrefix(result.URL, local.StorageURL))
	// Output: /talks/go.mp4
}

func ExampleSignURL() {
	signed, err := ittybit.SignURL("your API key", "you.ittybit.net", "holidays/beach.mp4", time.Now().Add(time.Hour), ittybit.SignatureMethodPut)
	if err != nil {
		panic(err)
	}
	// Hand signed.URL to the browser, which PUTs the file to it. It is a secret meanwhile:
	// printed whole, a SignedURL hides its signature.
	before, _, _ := strings.Cut(signed.URL, "?")
	fmt.Println(before, signed.Method)
	// Output: https://you.ittybit.net/holidays/beach.mp4 put
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

func ExampleEventMux() {
	events := ittybit.NewEventMux()
	events.OnTaskCompleted(ittybit.TaskKindSubtitles, func(_ context.Context, e *ittybit.Event) error {
		fmt.Println("subtitles of", e.Task.ID)
		return nil
	})
	events.OnMediaCreated(func(_ context.Context, e *ittybit.Event) error {
		fmt.Println("media", e.Media.ID)
		return nil
	})
	events.OnAny(func(_ context.Context, e *ittybit.Event) error {
		fmt.Println("something else:", e.Type)
		return nil
	})
	for _, payload := range []string{
		`{"id":"task_1","object":"task","kind":"subtitles","status":"completed"}`,
		`{"id":"med_1","object":"media"}`,
		`{"id":"task_2","object":"task","kind":"video","status":"failed"}`,
	} {
		event, err := ittybit.ParseEvent([]byte(payload))
		if err != nil {
			panic(err)
		}
		if err := events.HandleEvent(context.Background(), event); err != nil {
			panic(err)
		}
	}
	// Output:
	// subtitles of task_1
	// media med_1
	// something else: task.failed
}

func ExampleDiscard() {
	webhook, err := ittybit.NewWebhookHandler("your API key", ittybit.EventHandlerFunc(func(context.Context, *ittybit.Event) error {
		return ittybit.Discard(errors.New("a task of a customer who has left")) // it would never succeed
	}))
	if err != nil {
		panic(err)
	}
	answer := httptest.NewRecorder()
	webhook.ServeHTTP(answer, ittybittest.NewWebhookRequest("your API key", `{"id":"task_1","object":"task","status":"completed"}`))
	fmt.Println(answer.Code)
	// Output: 200
}
