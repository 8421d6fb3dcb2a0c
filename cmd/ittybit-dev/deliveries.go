package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/spf13/cobra"
)

// errNotServing is the error of a request that reached no server.
var errNotServing = errors.New("nothing is served there: start it with ittybit-dev serve")

// control sends a request to the control of a local Ittybit, and decodes its response.
func (s *settings) control(ctx context.Context, base, method, path string, body io.Reader, into any) error {
	req, err := http.NewRequestWithContext(ctx, method, base+path, body)
	if err != nil {
		return err
	}
	if s.password != "" {
		req.SetBasicAuth("", s.password)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return &failure{exitNoReach, fmt.Errorf("%s: %w", base, errNotServing)}
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return &failure{exitNoReach, err}
	}
	if resp.StatusCode >= http.StatusBadRequest {
		var refusal struct{ Message string }
		if json.Unmarshal(data, &refusal) != nil || refusal.Message == "" {
			refusal.Message = fmt.Sprintf("%s is not a local Ittybit: it responds with %s", base, resp.Status)
		}
		return &failure{exitNoReach, errors.New(refusal.Message)}
	}
	if into == nil || len(data) == 0 {
		return nil
	}
	if err := json.Unmarshal(data, into); err != nil {
		return &failure{exitNoReach, fmt.Errorf("%s is not a local Ittybit: %w", base, err)}
	}
	return nil
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
	Kind       string         `json:"kind,omitempty"`
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
		return orDefault(d.Error, "no response")
	}
	return strings.TrimSpace(strconv.Itoa(d.Status) + " " + http.StatusText(d.Status))
}

func newDeliveries(s *settings) *cobra.Command {
	filters := map[string]*string{}
	var limit int
	cmd := &cobra.Command{
		Use:   "deliveries",
		Short: "List the deliveries of serve, the newest first",
		Example: `  ittybit-dev deliveries --state failed
  ittybit-dev deliveries --event task.completed --kind nsfw --status 5xx
  ittybit-dev deliveries --json --limit 1000`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			query := url.Values{"limit": {strconv.Itoa(limit)}}
			for name, value := range filters {
				if name == "to" {
					name = "url"
				}
				if *value != "" {
					query.Set(name, *value)
				}
			}
			page, err := s.listDeliveries(cmd.Context(), query)
			if err != nil {
				return err
			}
			if s.json {
				return printJSON(cmd, page)
			}
			if len(page.Deliveries) == 0 {
				_, err := fmt.Fprintln(cmd.OutOrStdout(), "There are none.")
				return err
			}
			table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			_, _ = fmt.Fprintln(table, "ID\tTIME\tEVENT\tKIND\tSTATE\tATTEMPT\tRESPONSE\tURL")
			for _, d := range page.Deliveries {
				_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%d\t%s\t%s\n",
					d.ID, d.Time.Local().Format(time.DateTime), d.Event, d.Kind, d.State, d.Attempt, d.outcome(), withoutQuery(d.URL))
			}
			if page.Next != "" {
				_, _ = fmt.Fprintf(table, "There are more: --limit, or --before %d\n", page.Deliveries[len(page.Deliveries)-1].Number)
			}
			return table.Flush()
		},
	}
	flags := cmd.Flags()
	for name, usage := range map[string]string{
		"state": "only those that are delivered, failed or waiting", "event": "only those of this event, such as task.completed",
		"kind": "only those of this kind of task, job or media", "status": "only those with this response: 404, 5xx or none",
		"task": "only those of the task with this id", "to": "only those to this URL", "before": "only those before the one with this number",
	} {
		filters[name] = flags.String(name, "", usage)
	}
	flags.IntVar(&limit, "limit", 20, "how many, 1,000 at most")
	complete(cmd, "state", "delivered", "failed", "waiting")
	complete(cmd, "event", fixtureEvents...)
	return cmd
}

type deliveryPage struct {
	Deliveries []delivery `json:"deliveries"`
	Next       string     `json:"next,omitempty"`
}

func (s *settings) listDeliveries(ctx context.Context, query url.Values) (page deliveryPage, err error) {
	err = s.control(ctx, s.url, http.MethodGet, "/_local/deliveries?"+query.Encode(), nil, &page)
	return page, err
}

// completeDelivery offers the ids of the latest deliveries to the shell.
func (s *settings) completeDelivery(cmd *cobra.Command, args []string, _ string) (ids []cobra.Completion, _ cobra.ShellCompDirective) {
	if len(args) == 0 {
		page, _ := s.listDeliveries(cmd.Context(), url.Values{"limit": {"20"}}) // where nothing is served there are none
		for _, d := range page.Deliveries {
			ids = append(ids, cobra.CompletionWithDesc(d.ID, d.Event+" "+d.outcome()))
		}
	}
	return ids, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
}

// complete offers the values of a flag to the shell.
func complete(cmd *cobra.Command, flag string, values ...string) {
	_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)) // the flag is there
}

// withoutQuery leaves out what people keep secrets in.
func withoutQuery(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "(not a URL)"
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}

// shownDelivery is a delivery in full.
type shownDelivery struct {
	ID          string     `json:"id"`
	State       string     `json:"state"`
	Attempts    []delivery `json:"attempts"`
	Signature   string     `json:"signature"`
	Explanation string     `json:"explanation"`
	Request     struct {
		Method  string            `json:"method"`
		URL     string            `json:"url"`
		Headers map[string]string `json:"headers"`
		Body    json.RawMessage   `json:"body"`
	} `json:"request"`
}

func newShow(s *settings) *cobra.Command {
	return &cobra.Command{
		Use:               "show ID",
		Short:             "Show a delivery: request, attempts, responses, and what a check of its signature says",
		Example:           "  ittybit-dev show dlv_2abc\n  ittybit-dev show dlv_2abc --json",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: s.completeDelivery,
		RunE: func(cmd *cobra.Command, args []string) error {
			var raw json.RawMessage
			if err := s.control(cmd.Context(), s.url, http.MethodGet, "/_local/deliveries/"+url.PathEscape(args[0]), nil, &raw); err != nil {
				return err
			}
			if s.json {
				return printJSON(cmd, raw)
			}
			var d shownDelivery
			if err := json.Unmarshal(raw, &d); err != nil {
				return &failure{exitNoReach, err}
			}
			return d.write(cmd.OutOrStdout())
		},
	}
}

// write writes a delivery for people to read.
func (d *shownDelivery) write(to io.Writer) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s: %s\n\n%s %s\n", d.ID, d.State, d.Request.Method, d.Request.URL)
	for _, name := range slices.Sorted(maps.Keys(d.Request.Headers)) {
		fmt.Fprintf(&b, "%s: %s\n", name, d.Request.Headers[name])
	}
	b.WriteString("\n")
	if err := json.Indent(&b, d.Request.Body, "", "  "); err != nil {
		b.Write(d.Request.Body)
	}
	b.WriteString("\n")
	for _, a := range d.Attempts {
		fmt.Fprintf(&b, "\nAttempt %d, %s, %.0f ms: %s\n", a.Attempt, a.Time.Local().Format(time.DateTime), a.DurationMS, a.outcome())
		if a.Response != nil {
			a.Response.write(&b)
		}
	}
	fmt.Fprintf(&b, "\nSignature: %s\n%s", strings.TrimPrefix(d.Signature, "ittybit: "), d.Explanation)
	_, err := b.WriteTo(to)
	return err
}

func (r *shownResponse) write(b *bytes.Buffer) {
	for _, name := range slices.Sorted(maps.Keys(r.Headers)) {
		fmt.Fprintf(b, "  %s: %s\n", name, strings.Join(r.Headers[name], ", "))
	}
	if body := strings.TrimSpace(r.Body); body != "" {
		fmt.Fprintf(b, "\n  %s\n", strings.ReplaceAll(printable(body), "\n", "\n  "))
	}
}

// printable leaves out what would steer the terminal.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && r != '\t' && !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, text)
}

func newResend(s *settings) *cobra.Command {
	var asSent bool
	cmd := &cobra.Command{
		Use:               "resend ID",
		Short:             "Deliver a webhook of serve once more, and print the response",
		Example:           "  ittybit-dev resend dlv_2abc\n  ittybit-dev resend dlv_2abc --as-sent",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: s.completeDelivery,
		RunE: func(cmd *cobra.Command, args []string) error {
			asked, err := json.Marshal(map[string]bool{"wait": true, "as_sent": asSent})
			if err != nil {
				return err
			}
			var d delivery
			path := "/_local/deliveries/" + url.PathEscape(args[0]) + "/resend"
			if err := s.control(cmd.Context(), s.url, http.MethodPost, path, bytes.NewReader(asked), &d); err != nil {
				return err
			}
			return s.printSent(cmd, d)
		},
	}
	cmd.Flags().BoolVar(&asSent, "as-sent", false, "with the signature and the timestamp that it had, in place of new ones")
	return cmd
}

// printSent prints an attempt that was just made. It fails if that was not confirmed.
func (s *settings) printSent(cmd *cobra.Command, d delivery) error {
	text := fmt.Sprintf("%s to %s: %s, %.0f ms", orDefault(d.Event, "webhook"), withoutQuery(d.URL), d.outcome(), d.DurationMS)
	if d.ID != "" {
		text = d.ID + ": " + text
	}
	if d.Response != nil && d.Response.Body != "" {
		text += "\n" + printable(strings.TrimSpace(d.Response.Body))
	}
	if err := s.print(cmd, d, text); err != nil {
		return err
	}
	if d.Status != http.StatusOK {
		return failed("the webhook was not confirmed: only status 200 does that")
	}
	return nil
}
