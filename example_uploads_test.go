package ittybit_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/ittybittest"
)

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
