package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/ittybit/ittybit-go"
)

func newUpload(s *settings) *cobra.Command {
	var params ittybit.UploadParams
	cmd := &cobra.Command{
		Use:   "upload FILE",
		Short: "Upload a file; a cut upload goes on where it was",
		Long: `Upload a file. What was confirmed is kept beside it, in FILE.ittybit-upload, so that the same
command goes on with an upload that was cut. A file that has changed meanwhile is sent anew.`,
		Example: `  ittybit-dev upload beach.mp4 --folder holidays/2026
  ITTYBIT_API_KEY=ittybit_… ittybit-dev upload beach.mp4 --domain you.ittybit.net`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := s.client(cmd.Flags().Changed("domain") || os.Getenv("ITTYBIT_STORAGE_URL") != "")
			if err != nil {
				return err
			}
			if params.Filename == "" {
				params.Filename = filepath.Base(args[0])
			}
			if bar := newBar(cmd, s); bar != nil {
				params.OnProgress = func(p ittybit.UploadProgress) {
					bar.ChangeMax64(p.Total)
					_ = bar.Set64(p.Sent) // the terminal has gone, and with it who watches
				}
			}
			result, err := upload(cmd.Context(), client, params, args[0], cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			return s.print(cmd, map[string]any{"url": result.URL, "file": result.File}, result.URL)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&params.Domain, "domain", orDefault(os.Getenv("ITTYBIT_STORAGE_URL"), defaultStorage), "domain of the project, or the storage of serve (ITTYBIT_STORAGE_URL)")
	flags.StringVar(&params.Folder, "folder", "", "folder in the storage")
	flags.StringVar(&params.Filename, "filename", "", "name in the storage; without one that of the file")
	flags.StringVar(&params.ContentType, "type", "", "media type of the file, such as video/mp4")
	flags.Int64Var(&params.ChunkSize, "chunk-size", 0, "bytes of a chunk (default 16 MiB)")
	flags.Int64Var(&params.Threshold, "threshold", 0, "bytes above which a file goes up in chunks (default 100 MB)")
	return cmd
}

// newBar is a progress bar where somebody watches, and else nil.
func newBar(cmd *cobra.Command, s *settings) *progressbar.ProgressBar {
	f, ok := cmd.ErrOrStderr().(*os.File)
	if !ok || s.json || !term.IsTerminal(int(f.Fd())) {
		return nil
	}
	return progressbar.NewOptions64(1, progressbar.OptionSetWriter(f), progressbar.OptionShowBytes(true), progressbar.OptionClearOnFinish())
}

// upload uploads a file, or the rest of it, and keeps its token meanwhile.
func upload(ctx context.Context, client *ittybit.Client, params ittybit.UploadParams, name string, notes io.Writer) (*ittybit.UploadResult, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // it was only read
	tokenFile := name + ".ittybit-upload"
	token, err := os.ReadFile(tokenFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var keepErr error
	params.Body, params.Resume = f, ittybit.UploadToken(token)
	params.OnCheckpoint = func(token ittybit.UploadToken) {
		keepErr = replaceFile(tokenFile, []byte(token))
	}
	result, err := client.Files.Upload(ctx, params)
	var ofParam *ittybit.ParamError
	if len(token) > 0 && (errors.Is(err, ittybit.ErrUploadChanged) || errors.As(err, &ofParam) && ofParam.Param == "Resume") {
		_, _ = fmt.Fprintf(notes, "%s is of another upload: it begins anew.\n", tokenFile)
		params.Resume = ""
		if _, err = f.Seek(0, io.SeekStart); err == nil {
			result, err = client.Files.Upload(ctx, params)
		}
	}
	switch {
	case err == nil, errors.Is(err, ittybit.ErrUploadIncomplete), errors.Is(err, ittybit.ErrUploadChanged):
		if removeErr := os.Remove(tokenFile); !errors.Is(removeErr, fs.ErrNotExist) {
			err = errors.Join(err, removeErr)
		}
	case keepErr != nil:
		err = errors.Join(err, fmt.Errorf("and what was sent could not be kept: %w", keepErr))
	default:
		if _, statErr := os.Stat(tokenFile); statErr == nil {
			_, _ = fmt.Fprintln(notes, "The same command goes on where it was.")
		}
	}
	if err != nil && !errors.As(err, &ofParam) {
		return nil, &failure{exitNoReach, err}
	}
	return result, err
}

// replaceFile replaces a file whole or not at all: the program may end at any time.
func replaceFile(name string, data []byte) error {
	next := name + ".next"
	if err := os.WriteFile(next, data, 0o600); err != nil {
		return err
	}
	return os.Rename(next, name)
}
