package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/ittybit/ittybit-go"
)

func newTasks(s *settings) *cobra.Command {
	cmd := &cobra.Command{Use: "tasks", Short: "Create, get, list and wait for tasks, of serve or of the real Ittybit",
		Example: `  ittybit-dev tasks list
  ITTYBIT_API_KEY=ittybit_… ittybit-dev tasks list --url https://api.ittybit.com`}
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
			client, err := s.client(false)
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
			client, err := s.client(false)
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
			client, err := s.client(false)
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
			client, err := s.client(false)
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
