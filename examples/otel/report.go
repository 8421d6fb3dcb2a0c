package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
)

// printTraces prints a trace, and those that have a link to it, as trees.
func printTraces(out io.Writer, spans tracetest.SpanStubs, id trace.TraceID) {
	spans = slices.Clone(spans)
	slices.SortStableFunc(spans, func(a, b tracetest.SpanStub) int { return a.StartTime.Compare(b.StartTime) })
	for _, span := range spans {
		if span.Parent.SpanID().IsValid() {
			continue
		}
		switch {
		case span.SpanContext.TraceID() == id:
			_, _ = fmt.Fprintf(out, "\nTrace %s\n", id)
		case linksTo(span, id):
			_, _ = fmt.Fprintf(out, "\nTrace %s, linked to it\n", span.SpanContext.TraceID())
		default:
			continue
		}
		printTree(out, spans, span, 0)
	}
}

func linksTo(span tracetest.SpanStub, id trace.TraceID) bool {
	for _, link := range span.Links {
		if link.SpanContext.TraceID() == id {
			return true
		}
	}
	return false
}

func printTree(out io.Writer, spans tracetest.SpanStubs, span tracetest.SpanStub, depth int) {
	result := ""
	for _, a := range span.Attributes {
		if a.Key == "http.response.status_code" || a.Key == "ittybit.outcome" {
			result = a.Value.String()
		}
	}
	line := fmt.Sprintf("%10s  %-48s %s", span.EndTime.Sub(span.StartTime).Round(10*time.Microsecond),
		strings.Repeat("  ", depth)+span.Name, result)
	_, _ = fmt.Fprintln(out, strings.TrimRight(line, " "))
	for _, child := range spans {
		if child.SpanContext.TraceID() == span.SpanContext.TraceID() && child.Parent.SpanID() == span.SpanContext.SpanID() {
			printTree(out, spans, child, depth+1)
		}
	}
}

// printMetrics asks for the metrics as Prometheus does, and prints those of webhooks without their buckets.
func printMetrics(ctx context.Context, out io.Writer, address string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s", address, resp.Status)
	}
	_, _ = fmt.Fprintf(out, "\nGET %s, without comments, buckets and otelhttp's own:\n", address)
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		if line := lines.Text(); strings.HasPrefix(line, "ittybit_") && !strings.Contains(line, "_bucket{") {
			_, _ = fmt.Fprintln(out, " ", line)
		}
	}
	return lines.Err()
}
