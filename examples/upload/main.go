// Upload puts a file onto a project's delivery domain, with a progress bar, and prints a URL
// that plays or downloads it. Where it is interrupted (Ctrl-C, a crash), the next run with the
// same file goes on where it ended: the token is kept beside the file, in <file>.upload.
//
//	go run ./examples/upload [file]
//
// It runs against a local Ittybit, which forgets everything at the end; without a file it makes
// up one of 24 MiB. With ITTYBIT_API_KEY and ITTYBIT_DOMAIN (such as you.ittybit.net) set, it
// uploads to the real one.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/ittybittest"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Stdout, os.Stderr, os.Getenv, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "upload:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out, bar io.Writer, getenv func(string) string, args []string) error {
	apiKey, domain := getenv("ITTYBIT_API_KEY"), getenv("ITTYBIT_DOMAIN")
	switch {
	case apiKey == "":
		local := ittybittest.NewServer()
		defer local.Close()
		apiKey, domain = local.APIKey, local.StorageURL
		_, _ = fmt.Fprintln(out, "Mode: local Ittybit at", domain, "(set ITTYBIT_API_KEY and ITTYBIT_DOMAIN for the real one)")
	case domain == "":
		return errors.New("ITTYBIT_API_KEY is set, but ITTYBIT_DOMAIN is missing: set it to your project's delivery domain, such as you.ittybit.net")
	}
	name, remove, err := chooseFile(args)
	if err != nil {
		return err
	}
	defer remove()
	client, err := ittybit.NewClient(apiKey)
	if err != nil {
		return err
	}
	result, err := upload(ctx, client, domain, name, bar)
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintln(out, "Uploaded:", result.URL)
	if result.File != nil {
		_, _ = fmt.Fprintf(out, "File: %s of %s, %d bytes\n", result.File.ID, result.File.MediaID, result.File.Filesize)
	}
	// A URL for a browser or a player, good for an hour, made without a request.
	signed, err := ittybit.SignURL(apiKey, ittybit.SignURLParams{Domain: domain, Path: "examples/" + filepath.Base(name), Expiry: time.Now().Add(time.Hour), Method: ittybit.SignedURLMethodGet})
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintln(out, "Download:", signed.URL)
	return nil
}

// upload uploads the file name, or the rest of it, and keeps its token meanwhile.
func upload(ctx context.Context, client *ittybit.Client, domain, name string, bar io.Writer) (*ittybit.UploadResult, error) {
	file, err := os.Open(name) //nolint:gosec // the user names it
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // it was only read
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	tokenFile := name + ".upload"
	token, err := os.ReadFile(tokenFile) //nolint:gosec // beside the file that the user names
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	shown := progressbar.NewOptions64(info.Size(), progressbar.OptionSetWriter(bar), progressbar.OptionShowBytes(true),
		progressbar.OptionSetDescription(filepath.Base(name)), progressbar.OptionThrottle(100*time.Millisecond))
	var storeErr error
	result, err := client.Files.Upload(ctx, ittybit.UploadParams{
		Domain: domain, Folder: "examples", Filename: filepath.Base(name), Body: file,
		Threshold: ittybit.DefaultUploadChunkSize, // in chunks as soon as there is more than one, to show resuming
		Resume:    ittybit.UploadToken(token),
		OnCheckpoint: func(token ittybit.UploadToken) {
			storeErr = errors.Join(storeErr, store(tokenFile, token))
		},
		OnProgress: func(p ittybit.UploadProgress) { _ = shown.Set64(p.Sent) },
	})
	_, _ = fmt.Fprintln(bar)
	switch {
	case err == nil:
		if err := forget(tokenFile); err != nil {
			return nil, err
		}
		return result, nil
	case errors.Is(err, ittybit.ErrUploadIncomplete), errors.Is(err, ittybit.ErrUploadChanged):
		return nil, errors.Join(err, forget(tokenFile)) // the next run begins anew
	default:
		return nil, errors.Join(err, storeErr)
	}
}

// store replaces the token whole or not at all: the program may end at any time.
func store(tokenFile string, token ittybit.UploadToken) error {
	next := tokenFile + ".next"
	if err := os.WriteFile(next, []byte(token), 0o600); err != nil { //nolint:gosec // beside the file that the user names
		return err
	}
	return os.Rename(next, tokenFile) //nolint:gosec // both are ours
}

// forget removes the token. A file that went up whole has none.
func forget(tokenFile string) error {
	err := os.Remove(tokenFile) //nolint:gosec // ours
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// chooseFile gives the file that args name, or makes one.
func chooseFile(args []string) (name string, remove func(), err error) {
	if len(args) > 0 {
		return args[0], func() {}, nil
	}
	folder, err := os.MkdirTemp("", "ittybit-upload-")
	if err != nil {
		return "", nil, err
	}
	remove = func() { _ = os.RemoveAll(folder) }
	name = filepath.Join(folder, "video.mp4")
	if err := os.WriteFile(name, make([]byte, 24<<20), 0o600); err != nil {
		remove()
		return "", nil, err
	}
	return name, remove, nil
}
