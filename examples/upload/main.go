// Upload puts a file onto a project's delivery domain, and prints a URL that plays or downloads it.
// Where it is interrupted (Ctrl-C, a crash), the next run with the same file resumes: the token is
// kept beside the file, in <file>.upload.
//
//	go run ./examples/upload -local talk.mp4
//
// With -local it uploads to a local Ittybit, which forgets everything at the end. Without, it needs
// ITTYBIT_API_KEY and ITTYBIT_DOMAIN (such as you.ittybit.net).
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/ittybittest"
)

func main() {
	local := flag.Bool("local", false, "upload to a local Ittybit")
	flag.Parse()
	if err := run(*local, flag.Arg(0)); err != nil {
		log.Fatal(err)
	}
}

func run(local bool, name string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	apiKey, domain := os.Getenv("ITTYBIT_API_KEY"), os.Getenv("ITTYBIT_DOMAIN")
	if local {
		server := ittybittest.NewServer()
		defer server.Close()
		apiKey, domain = server.APIKey, server.StorageURL
	}
	client, err := ittybit.NewClient(apiKey)
	if err != nil {
		return err // the key is missing
	}
	result, err := upload(ctx, client, domain, name)
	if err != nil {
		return err
	}
	fmt.Println("uploaded:", result.URL)
	// A URL for a browser or a player, good for an hour, made without a request.
	signed, err := ittybit.SignURL(apiKey, ittybit.SignURLParams{Domain: domain, Path: "examples/" + filepath.Base(name), Expiry: time.Now().Add(time.Hour), Method: ittybit.SignedURLMethodGet})
	if err != nil {
		return err
	}
	fmt.Println("download:", signed.URL)
	return nil
}

// upload uploads the file name, or the rest of it, and keeps its token meanwhile.
func upload(ctx context.Context, client *ittybit.Client, domain, name string) (*ittybit.UploadResult, error) {
	file, err := os.Open(name) //nolint:gosec // the user names it
	if err != nil {
		return nil, err
	}
	defer file.Close() //nolint:errcheck // it was only read
	tokenFile := name + ".upload"
	token, err := os.ReadFile(tokenFile) //nolint:gosec // beside the file that the user names
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var storeErr error
	result, err := client.Files.Upload(ctx, ittybit.UploadParams{
		Domain: domain, Folder: "examples", Filename: filepath.Base(name), Body: file,
		Threshold: ittybit.DefaultUploadChunkSize, // in chunks as soon as there is more than one, to show resuming
		Resume:    ittybit.UploadToken(token),
		OnCheckpoint: func(token ittybit.UploadToken) {
			storeErr = errors.Join(storeErr, store(tokenFile, token))
		},
		OnProgress: func(p ittybit.UploadProgress) { fmt.Printf("%d bytes sent\n", p.Sent) },
	})
	switch {
	case err == nil, errors.Is(err, ittybit.ErrUploadIncomplete), errors.Is(err, ittybit.ErrUploadChanged):
		// It is done, or the next run has to start over.
		if removeErr := os.Remove(tokenFile); !errors.Is(removeErr, fs.ErrNotExist) {
			err = errors.Join(err, removeErr)
		}
	default:
		err = errors.Join(err, storeErr)
	}
	if err != nil {
		return nil, err
	}
	return result, nil
}

// store replaces the token whole or not at all: the program may end at any time.
func store(tokenFile string, token ittybit.UploadToken) error {
	next := tokenFile + ".next"
	if err := os.WriteFile(next, []byte(token), 0o600); err != nil {
		return err
	}
	return os.Rename(next, tokenFile)
}
