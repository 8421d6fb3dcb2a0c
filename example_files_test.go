package ittybit_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/ittybittest"
)

func ExampleFilesService_Create() {
	local := ittybittest.NewServer()
	defer local.Close()
	client, err := local.Client()
	if err != nil {
		panic(err)
	}

	file, err := client.Files.Create(context.Background(), ittybit.FileCreateParams{
		URL:      "https://example.com/beach.mp4",
		Folder:   "holidays",
		Filename: "beach.mp4",
		Metadata: map[string]any{"album": map[string]any{"id": 7}},
	})
	if err != nil {
		panic(err) // unless it is an *AcceptedError, which has an example of its own
	}
	fmt.Println(file.Kind, file.Folder, file.Filename, file.Metadata)
	// Output: video holidays beach.mp4 map[album:map[id:7]]
}

// Where Ittybit responds with a task in place of a file, the file is that task's output.
func ExampleAcceptedError() {
	local := ittybittest.NewServer(ittybittest.WithAsyncFiles())
	defer local.Close()
	client, err := local.Client()
	if err != nil {
		panic(err)
	}
	ctx := context.Background()

	file, err := client.Files.Create(ctx, ittybit.FileCreateParams{URL: "https://example.com/beach.mp4"})
	var accepted *ittybit.AcceptedError
	if errors.As(err, &accepted) {
		var task *ittybit.Task
		if task, err = client.Tasks.Wait(ctx, accepted.Task.ID, ittybit.WithPollInterval(10*time.Millisecond)); err == nil {
			file = task.Output
		}
	}
	if err != nil {
		panic(err)
	}
	fmt.Println(file.Kind, file.Type)
	// Output: video video/mp4
}

func ExampleFilesService_List() {
	local := ittybittest.NewServer()
	defer local.Close()
	client, err := local.Client()
	if err != nil {
		panic(err)
	}
	ctx := context.Background()
	for range 3 {
		if _, err := client.Files.Create(ctx, ittybit.FileCreateParams{URL: "https://example.com/beach.mp4"}); err != nil {
			panic(err)
		}
	}

	page, err := client.Files.List(ctx, ittybit.FileListParams{Page: 2, Limit: 2})
	if err != nil {
		panic(err)
	}
	fmt.Println(len(page.Items), page.HasNext())
	// Output: 1 false
}

func ExampleFilesService_All() {
	local := ittybittest.NewServer()
	defer local.Close()
	client, err := local.Client()
	if err != nil {
		panic(err)
	}
	ctx := context.Background()
	for _, name := range []string{"beach.mp4", "forest.mp4", "city.mp4"} {
		if _, err := client.Files.Create(ctx, ittybit.FileCreateParams{URL: "https://example.com/" + name, Filename: name}); err != nil {
			panic(err)
		}
	}

	for file, err := range client.Files.All(ctx, ittybit.FileListParams{Limit: 2}) {
		if err != nil {
			panic(err)
		}
		if file.Filename == "beach.mp4" {
			fmt.Println("found", file.Filename)
			break // no further page is asked for
		}
	}
	// Output: found beach.mp4
}

func ExampleFilesService_Update() {
	local := ittybittest.NewServer()
	defer local.Close()
	client, err := local.Client()
	if err != nil {
		panic(err)
	}
	ctx := context.Background()
	file, err := client.Files.Create(ctx, ittybit.FileCreateParams{
		URL:      "https://example.com/beach.mp4",
		Folder:   "holidays",
		Metadata: map[string]any{"album": map[string]any{"id": 7}},
	})
	if err != nil {
		panic(err)
	}

	// What is not set is left alone. Metadata is replaced as a whole: change what was read.
	file.Metadata["seen"] = true
	ref := "original"
	file, err = client.Files.Update(ctx, file.ID, ittybit.FileUpdateParams{Ref: &ref, Metadata: file.Metadata})
	if err != nil {
		panic(err)
	}
	fmt.Println(file.Folder, file.Ref, file.Metadata)
	// Output: holidays original map[album:map[id:7] seen:true]
}

func ExampleMediaService_Create() {
	local := ittybittest.NewServer()
	defer local.Close()
	client, err := local.Client()
	if err != nil {
		panic(err)
	}
	ctx := context.Background()

	// An empty one, to which files are added.
	media, err := client.Media.Create(ctx, ittybit.MediaCreateParams{Title: "Beach", Alt: "Waves at night"})
	if err != nil {
		panic(err)
	}
	_, err = client.Files.Create(ctx, ittybit.FileCreateParams{URL: "https://example.com/beach.mp4", MediaID: media.ID, Ref: "original"})
	if err != nil {
		panic(err)
	}
	media, err = client.Media.Get(ctx, media.ID)
	if err != nil {
		panic(err)
	}
	fmt.Println(media.Title, media.Kind, len(media.Files))
	// Output: Beach video 1
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

func ExampleMediaService_All() {
	local := ittybittest.NewServer()
	defer local.Close()
	client, err := local.Client()
	if err != nil {
		panic(err)
	}
	ctx := context.Background()
	for _, title := range []string{"Beach", "Forest"} {
		if _, err := client.Media.Create(ctx, ittybit.MediaCreateParams{Title: title}); err != nil {
			panic(err)
		}
	}

	for media, err := range client.Media.All(ctx, ittybit.MediaListParams{Limit: 100}) {
		if err != nil {
			panic(err)
		}
		fmt.Println(media.Title)
	}
	// Unordered output:
	// Beach
	// Forest
}

func ExampleMedia_FileByRef() {
	var media ittybit.Media
	err := json.Unmarshal([]byte(`{"id":"med_1","object":"media","files":[
		{"id":"file_1","object":"source","ref":"original","url":"https://you.ittybit.net/beach.mov"},
		{"id":"file_2","object":"track","ref":"subs","url":"https://you.ittybit.net/beach.vtt"}]}`), &media)
	if err != nil {
		panic(err)
	}
	if subtitles := media.FileByRef("subs"); subtitles != nil {
		fmt.Println(subtitles.URL)
	}
	fmt.Println(len(media.FilesByObject(ittybit.FileObjectSource)), "source")
	// Output:
	// https://you.ittybit.net/beach.vtt
	// 1 source
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

// An upload that was cut goes on where it ended.
func ExampleUploadError() {
	local := ittybittest.NewServer()
	defer local.Close()
	client, err := local.Client()
	if err != nil {
		panic(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	film := strings.NewReader(strings.Repeat("a film ", 100)) // an *os.File, mostly
	params := ittybit.UploadParams{
		Domain: local.StorageURL, Filename: "film.mp4", Body: film,
		Threshold: 1, ChunkSize: 100, Concurrency: 1, // leave these alone
		OnCheckpoint: func(ittybit.UploadToken) { cancel() }, // the network is gone
	}
	_, err = client.Files.Upload(ctx, params)
	var cut *ittybit.UploadError
	if !errors.As(err, &cut) {
		panic(err)
	}

	// Later, or in another process that has read the token from where OnCheckpoint stored it.
	if _, err := film.Seek(0, io.SeekStart); err != nil {
		panic(err)
	}
	params.Resume, params.OnCheckpoint = cut.Token, nil
	result, err := client.Files.Upload(context.Background(), params)
	if err != nil {
		panic(err)
	}
	fmt.Println(result.File.Filesize)
	// Output: 700
}

func ExampleNewUploader() {
	local := ittybittest.NewServer()
	defer local.Close()
	// Where the key is: sign.
	signed, err := ittybit.SignURL(local.APIKey, ittybit.SignURLParams{Domain: local.StorageURL, Path: "talks/go.mp4", Expiry: time.Now().Add(time.Hour), Method: ittybit.SignedURLMethodPut})
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

func ExampleSignedURLsService_Create() {
	local := ittybittest.NewServer()
	defer local.Close()
	client, err := local.Client()
	if err != nil {
		panic(err)
	}

	signed, err := client.SignedURLs.Create(context.Background(), ittybit.SignedURLCreateParams{
		Folder:   "holidays",
		Filename: "beach.mp4",
		Method:   ittybit.SignedURLMethodPut,
		Expiry:   time.Now().Add(10 * time.Minute),
	})
	if err != nil {
		panic(err)
	}
	// Hand signed.URL to the browser or the phone that uploads.
	before, _, _ := strings.Cut(signed.URL, "?")
	fmt.Println(strings.TrimPrefix(before, local.StorageURL), signed.Method)
	// Output: /holidays/beach.mp4 put
}

func ExampleSignURL() {
	signed, err := ittybit.SignURL("your Ittybit API key", ittybit.SignURLParams{Domain: "you.ittybit.net", Path: "holidays/beach.mp4", Expiry: time.Now().Add(time.Hour), Method: ittybit.SignedURLMethodPut})
	if err != nil {
		panic(err)
	}
	// Hand signed.URL to the browser, which PUTs the file to it. It is a secret meanwhile:
	// printed whole, a SignedURL hides its signature.
	before, _, _ := strings.Cut(signed.URL, "?")
	fmt.Println(before, signed.Method)
	// Output: https://you.ittybit.net/holidays/beach.mp4 put
}
