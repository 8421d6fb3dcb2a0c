package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"github.com/ittybit/ittybit-go"
)

func newTasks(s *settings) *cobra.Command {
	cmd := &cobra.Command{Use: "tasks", Short: "Create, get, list and wait for tasks, of serve or of the real Ittybit"}
	cmd.AddCommand(newTasksCreate(s), newTasksGet(s), newTasksList(s), newTasksWait(s))
	return cmd
}

func newTasksCreate(s *settings) *cobra.Command {
	var params ittybit.TaskCreateParams
	var options []string
	cmd := &cobra.Command{
		Use:   "create KIND URL|FILE_ID",
		Short: "Create a task",
		Example: `  ittybit-dev tasks create nsfw https://example.com/cat.jpg --webhook http://localhost:3000/hook
  ittybit-dev tasks create image file_abc --option width=320 --option format=png`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := s.client()
			if err != nil {
				return err
			}
			params.Kind, params.URL = ittybit.TaskKind(args[0]), args[1]
			if !strings.Contains(args[1], "://") {
				params.URL, params.FileID = "", args[1]
			}
			raw, err := setFields([]byte("{}"), options)
			if err == nil {
				err = json.Unmarshal(raw, &params.Extra)
			}
			if err != nil {
				return err
			}
			task, err := client.Tasks.Create(cmd.Context(), params)
			if err != nil {
				return err
			}
			return s.print(cmd, task, fmt.Sprintf("%s (%s)", task.ID, task.Status))
		},
	}
	cmd.Flags().StringVar(&params.WebhookURL, "webhook", "", "URL that gets the task's end")
	cmd.Flags().StringArrayVar(&options, "option", nil, "an option of the kind, as name=value")
	return cmd
}

func newTasksGet(s *settings) *cobra.Command {
	return &cobra.Command{
		Use: "get ID", Short: "Show a task as JSON", Example: "  ittybit-dev tasks get task_abc", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := s.client()
			if err != nil {
				return err
			}
			task, err := client.Tasks.Get(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return printJSON(cmd, task)
		},
	}
}

func newTasksList(s *settings) *cobra.Command {
	var params ittybit.TaskListParams
	cmd := &cobra.Command{
		Use: "list", Short: "List tasks", Example: "  ittybit-dev tasks list --kind nsfw --status failed", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := s.client()
			if err != nil {
				return err
			}
			page, err := client.Tasks.List(cmd.Context(), params)
			if err != nil {
				return err
			}
			if s.json {
				return printJSON(cmd, page.Items)
			}
			table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			_, _ = fmt.Fprintln(table, "ID\tKIND\tSTATUS\tPROGRESS\tCREATED")
			for _, task := range page.Items {
				_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%d %%\t%s\n", task.ID, task.Kind, task.Status, task.Progress, task.Created.Local().Format(time.DateTime))
			}
			return table.Flush()
		},
	}
	cmd.Flags().StringVar((*string)(&params.Kind), "kind", "", "only tasks of this kind")
	cmd.Flags().StringVar((*string)(&params.Status), "status", "", "only tasks with this status")
	cmd.Flags().IntVar(&params.Limit, "limit", 20, "how many, 100 at most")
	return cmd
}

func newTasksWait(s *settings) *cobra.Command {
	return &cobra.Command{
		Use: "wait ID", Short: "Wait for a task's end, and show it as JSON", Example: "  ittybit-dev tasks wait task_abc", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := s.client()
			if err != nil {
				return err
			}
			task, err := client.Tasks.Wait(cmd.Context(), args[0])
			var ended *ittybit.TaskFailedError
			if err != nil && !errors.As(err, &ended) {
				return err
			}
			if err := printJSON(cmd, task); err != nil {
				return err
			}
			if ended != nil {
				return &failure{exitFailed, ended}
			}
			return nil
		},
	}
}

func newUpload(s *settings) *cobra.Command {
	var params ittybit.UploadParams
	cmd := &cobra.Command{
		Use:   "upload FILE",
		Short: "Upload a file; a cut upload goes on where it was",
		Long: `Upload a file. What was confirmed is kept beside it, in FILE.ittybit-upload, so that the same
command goes on with an upload that was cut.`,
		Example: "  ittybit-dev upload beach.mp4 --folder holidays/2026 --domain you.ittybit.net",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := s.client()
			if err != nil {
				return err
			}
			f, err := os.Open(args[0])
			if err != nil {
				return err
			}
			defer func() { _ = f.Close() }() // it is only read
			if params.Filename == "" {
				params.Filename = filepath.Base(args[0])
			}
			params.Body = f
			place := args[0] + ".ittybit-upload"
			if token, err := os.ReadFile(place); err == nil {
				params.Resume = ittybit.UploadToken(token)
			}
			params.OnCheckpoint = func(token ittybit.UploadToken) {
				_ = os.WriteFile(place, []byte(token), 0o600) // without it the upload can't be resumed, and that is all
			}
			if !s.json && isTerminal(cmd) {
				bar := progressbar.NewOptions64(1, progressbar.OptionSetWriter(cmd.ErrOrStderr()), progressbar.OptionShowBytes(true), progressbar.OptionClearOnFinish())
				params.OnProgress = func(p ittybit.UploadProgress) {
					bar.ChangeMax64(p.Total)
					_ = bar.Set64(p.Sent)
				}
			}
			result, err := client.Files.Upload(cmd.Context(), params)
			if err != nil {
				return &failure{exitNoReach, err}
			}
			if err := os.Remove(place); err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
			return s.print(cmd, result.File, result.URL)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&params.Domain, "domain", orDefault(os.Getenv("ITTYBIT_STORAGE_URL"), "http://127.0.0.1:4849"), "domain of the project, or the storage of serve (ITTYBIT_STORAGE_URL)")
	flags.StringVar(&params.Folder, "folder", "", "folder in the storage")
	flags.StringVar(&params.Filename, "filename", "", "name in the storage; without one that of the file")
	flags.Int64Var(&params.ChunkSize, "chunk-size", 0, "bytes of a chunk")
	flags.Int64Var(&params.Threshold, "threshold", 0, "bytes above which a file goes up in chunks")
	return cmd
}

// isTerminal reports whether somebody watches the standard error.
func isTerminal(cmd *cobra.Command) bool {
	f, ok := cmd.ErrOrStderr().(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

func newSignURL(s *settings) *cobra.Command {
	var domain, method string
	var expires time.Duration
	cmd := &cobra.Command{
		Use:     "sign-url PATH",
		Short:   "Sign a URL of the storage, without a request",
		Example: "  ittybit-dev sign-url holidays/2026/beach.mp4 --method put --expires 10m --domain you.ittybit.net",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			signed, err := ittybit.SignURL(s.apiKey(), ittybit.SignURLParams{
				Domain: domain, Path: args[0], Method: ittybit.SignedURLMethod(method), Expiry: time.Now().Add(expires),
			})
			if err != nil {
				return err
			}
			if _, err := url.Parse(signed.URL); err != nil {
				return err
			}
			return s.print(cmd, map[string]any{"url": signed.URL, "expiry": signed.Expiry}, signed.URL)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&domain, "domain", orDefault(os.Getenv("ITTYBIT_STORAGE_URL"), "http://127.0.0.1:4849"), "domain of the project, or the storage of serve")
	flags.StringVar(&method, "method", "get", "get or put")
	flags.DurationVar(&expires, "expires", time.Hour, "how long the URL is good for")
	return cmd
}
