package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
)

// errNotServing is the error of a request that reached no server.
var errNotServing = errors.New("nothing is served there: start it with ittybit-dev serve")

// control sends a request to the control of a local Ittybit, and decodes what it answers.
func control(ctx context.Context, base, method, path string, body io.Reader, into any) error {
	req, err := http.NewRequestWithContext(ctx, method, base+path, body)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return &failure{exitNoReach, fmt.Errorf("%s: %w", base, errNotServing)}
	}
	defer func() { _ = resp.Body.Close() }() // it is only read
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode >= http.StatusBadRequest {
		var refusal struct{ Message string }
		if json.Unmarshal(data, &refusal) != nil || refusal.Message == "" {
			refusal.Message = resp.Status
		}
		return &failure{exitNoReach, errors.New(refusal.Message)}
	}
	if into == nil || len(data) == 0 {
		return nil
	}
	return json.Unmarshal(data, into)
}

// delivery is an attempt as the control of the local Ittybit shows it.
type delivery struct {
	Number     int64          `json:"number"`
	ID         string         `json:"id"`
	Attempt    int            `json:"attempt"`
	State      string         `json:"state"`
	URL        string         `json:"url"`
	TaskID     string         `json:"task_id,omitempty"`
	Event      string         `json:"event,omitempty"`
	Time       time.Time      `json:"time"`
	DurationMS float64        `json:"duration_ms"`
	Status     int            `json:"status,omitempty"`
	Error      string         `json:"error,omitempty"`
	Response   *shownResponse `json:"response,omitempty"`
}

type shownResponse struct {
	Headers http.Header `json:"headers"`
	Body    string      `json:"body"`
}

// outcome is the status, or why there is none.
func (d delivery) outcome() string {
	if d.Status == 0 {
		return d.Error
	}
	return strconv.Itoa(d.Status) + " " + http.StatusText(d.Status)
}

func newDeliveries(s *settings) *cobra.Command {
	var state, task string
	var limit int
	cmd := &cobra.Command{
		Use:     "deliveries",
		Short:   "List the deliveries of serve, the newest first",
		Example: "  ittybit-dev deliveries --state failed\n  ittybit-dev deliveries --json --limit 1000",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			query := url.Values{"limit": {strconv.Itoa(limit)}}
			if state != "" {
				query.Set("state", state)
			}
			if task != "" {
				query.Set("task", task)
			}
			page := struct {
				Deliveries []delivery `json:"deliveries"`
				Next       string     `json:"next,omitempty"`
			}{}
			if err := control(cmd.Context(), s.url, http.MethodGet, "/_local/deliveries?"+query.Encode(), nil, &page); err != nil {
				return err
			}
			if s.json {
				return printJSON(cmd, page)
			}
			table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			_, _ = fmt.Fprintln(table, "ID\tTIME\tEVENT\tSTATE\tATTEMPT\tRESPONSE\tURL")
			for _, d := range page.Deliveries {
				_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%d\t%s\t%s\n", d.ID, d.Time.Local().Format(time.DateTime), d.Event, d.State, d.Attempt, d.outcome(), d.URL)
			}
			return table.Flush()
		},
	}
	cmd.Flags().StringVar(&state, "state", "", "only those that are delivered, failed or waiting")
	cmd.Flags().StringVar(&task, "task", "", "only those of the task with this id")
	cmd.Flags().IntVar(&limit, "limit", 20, "how many")
	return cmd
}

func newShow(s *settings) *cobra.Command {
	return &cobra.Command{
		Use:     "show ID",
		Short:   "Show a delivery: request, attempts, responses, and what a check of its signature says",
		Example: "  ittybit-dev show dlv_2abc",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var shown json.RawMessage
			if err := control(cmd.Context(), s.url, http.MethodGet, "/_local/deliveries/"+url.PathEscape(args[0]), nil, &shown); err != nil {
				return err
			}
			return printJSON(cmd, shown)
		},
	}
}

func newResend(s *settings) *cobra.Command {
	return &cobra.Command{
		Use:     "resend ID",
		Short:   "Deliver a webhook of serve once more",
		Example: "  ittybit-dev resend dlv_2abc",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var sent struct {
				ID string `json:"id"`
			}
			if err := control(cmd.Context(), s.url, http.MethodPost, "/_local/deliveries/"+url.PathEscape(args[0])+"/resend", nil, &sent); err != nil {
				return err
			}
			return s.print(cmd, sent, "On its way as "+sent.ID+": ittybit-dev show "+sent.ID)
		},
	}
}
