package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/codes"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/ittybittest"
)

var params = ittybit.TaskCreateParams{Kind: ittybit.TaskKindNSFW, URL: "https://example.com/a.jpg"}

// tracedClient is a client of a local Ittybit, by a transport of its own.
func tracedClient(t *testing.T, tel *telemetry, transport *http.Transport) (*ittybit.Client, *ittybittest.Server) {
	t.Helper()
	local := ittybittest.NewServer(ittybittest.WithAPIKey(apiKey))
	t.Cleanup(local.Close)
	t.Cleanup(transport.CloseIdleConnections)
	client, err := local.Client(ittybit.WithHTTPClient(tel.httpClient(transport)),
		ittybit.WithRetryPolicy(ittybit.RetryPolicy{MinWait: time.Millisecond, MaxWait: 2 * time.Millisecond}))
	require.NoError(t, err)
	return client, local
}

func countTasks(t *testing.T, client *ittybit.Client) int {
	t.Helper()
	tasks, err := client.Tasks.List(t.Context(), ittybit.TaskListParams{})
	require.NoError(t, err)
	return len(tasks.Items)
}

func TestHTTPClient_aPostThatNeverLeftIsTriedAgain(t *testing.T) {
	tel := testTelemetry(t)
	var dials atomic.Int32
	client, _ := tracedClient(t, tel, &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		if dials.Add(1) == 1 {
			return nil, errors.New("no route")
		}
		return new(net.Dialer).DialContext(ctx, network, address)
	}})
	var info ittybit.ResponseInfo
	_, err := client.Tasks.Create(t.Context(), params, ittybit.WithResponseInfo(&info))
	require.NoError(t, err) // the SDK has seen through otelhttp that nothing was written
	assert.Equal(t, 2, info.Attempts)
	assert.Equal(t, 1, countTasks(t, client))

	tries := named(tel, "HTTP POST")
	require.Len(t, tries, 2, "a span for each try")
	assert.Equal(t, codes.Error, tries[0].Status.Code)
	assert.Equal(t, codes.Unset, tries[1].Status.Code)
}

func TestHTTPClient_aPostThatMayHaveBeenActedOnIsNotSentTwice(t *testing.T) {
	tel := testTelemetry(t)
	client, local := tracedClient(t, tel, &http.Transport{})
	var posts atomic.Int32
	local.SetFaults(ittybittest.Faults{Request: func(r *http.Request) ittybittest.RequestFault {
		if r.Method != http.MethodPost {
			return ittybittest.RequestFault{}
		}
		posts.Add(1)
		return ittybittest.RequestFault{Drop: ittybittest.DropAfter}
	}})
	require.Zero(t, countTasks(t, client)) // leaves a connection, on which net/http would send by itself once more
	_, err := client.Tasks.Create(t.Context(), params)
	require.ErrorIs(t, err, ittybit.ErrOutcomeUnknown)
	assert.Equal(t, int32(1), posts.Load())
	assert.Equal(t, 1, countTasks(t, client))
	assert.Len(t, named(tel, "HTTP POST"), 1)
}

func TestHTTPClient_sendsItsTraceAndOneIdempotencyKey(t *testing.T) {
	tel := testTelemetry(t)
	client, local := tracedClient(t, tel, &http.Transport{})
	headers := make(chan http.Header, 2)
	var tries atomic.Int32
	local.SetFaults(ittybittest.Faults{Request: func(r *http.Request) ittybittest.RequestFault {
		headers <- r.Header.Clone()
		if tries.Add(1) == 1 {
			return ittybittest.RequestFault{Status: http.StatusTooManyRequests, Header: http.Header{"Retry-After": {"0"}}}
		}
		return ittybittest.RequestFault{}
	}})
	ctx, span := tel.tracer.Start(t.Context(), "asking")
	_, err := client.Tasks.Create(ctx, params)
	span.End()
	require.NoError(t, err)
	first, second := <-headers, <-headers
	assert.Equal(t, first["Idempotency-Key"], second["Idempotency-Key"])
	assert.Len(t, first["Idempotency-Key"], 1)
	for i, header := range []http.Header{first, second} {
		try := named(tel, "HTTP POST")[i]
		assert.Equal(t, span.SpanContext().SpanID(), try.Parent.SpanID())
		assert.Equal(t, fmt.Sprintf("00-%s-%s-01", span.SpanContext().TraceID(), try.SpanContext.SpanID()), header.Get("traceparent"))
		assert.Equal(t, "Bearer "+apiKey, header.Get("Authorization"))
		assert.Empty(t, header.Get("baggage"))
	}
}

func TestTelemetry_holdsNoKeyAndNoSignature(t *testing.T) {
	tel := testTelemetry(t)
	client, local := tracedClient(t, tel, &http.Transport{})
	webhook, r := testReceiver(t, tel, "", func(context.Context, *ittybit.Event) error { return errors.New("broken") })

	// Everything that has a key or a signature: calls, uploads, downloads by signed URL, deliveries, and what is refused.
	_, err := client.Tasks.Create(t.Context(), ittybit.TaskCreateParams{Kind: params.Kind, URL: params.URL, WebhookURL: tel.webhookURL(t.Context(), r.url)})
	require.NoError(t, err)
	signed, err := ittybit.SignURL(apiKey, ittybit.SignURLParams{Domain: local.StorageURL, Path: "films/a.mp4", Expiry: time.Now().Add(time.Hour), Method: ittybit.SignedURLMethodPut})
	require.NoError(t, err)
	_, err = client.Files.Upload(t.Context(), ittybit.UploadParams{SignedURL: signed.URL, Body: bytes.NewReader([]byte("film"))})
	require.NoError(t, err)
	countTasks(t, client)
	local.FailRequests(1, ittybittest.RequestFault{Drop: ittybittest.DropAfter})
	_, err = client.Tasks.Create(t.Context(), params)
	require.Error(t, err)
	signatures := []string{signed.Signature}
	note := func(req *http.Request) {
		header := req.Header.Get(ittybit.SignatureHeader)
		_, signature, _ := strings.Cut(header, "v1=")
		signatures = append(signatures, signature)
	}
	assert.Equal(t, http.StatusInternalServerError, deliver(webhook, completed("task_1"), note))
	assert.Equal(t, http.StatusUnauthorized, deliver(webhook, completed("task_1"), func(req *http.Request) {
		req.Header.Set(ittybit.SignatureHeader, ittybit.SignWebhook("another key", time.Now(), nil))
	}, note))
	assert.Equal(t, http.StatusUnauthorized, deliver(webhook, completed("task_1"), unsigned))
	require.NoError(t, r.stop(t.Context())) // the local Ittybit's own delivery, too

	var all strings.Builder
	for _, span := range tel.spans.GetSpans() {
		_, _ = fmt.Fprintf(&all, "%s %v %+v %v %v\n", span.Name, span.Resource, span.Status, span.SpanContext, span.Parent)
		for _, a := range span.Attributes {
			_, _ = fmt.Fprintln(&all, a.Key, a.Value.String())
		}
		for _, e := range span.Events {
			_, _ = fmt.Fprintf(&all, "%+v\n", e)
		}
		for _, l := range span.Links {
			_, _ = fmt.Fprintf(&all, "%+v\n", l)
		}
	}
	require.Contains(t, all.String(), "url.full "+local.StorageURL+"/films/a.mp4\n", "the upload has a span, without its query")
	require.Contains(t, all.String(), "broken", "errors have been looked at")
	all.WriteString(metricsOf(t, tel, ""))
	all.WriteString(metricsOf(t, tel, "application/openmetrics-text"))
	require.Contains(t, all.String(), "trace_id=", "exemplars have been looked at")
	for _, secret := range append(signatures, apiKey, "signature=", "v1=", "Bearer") {
		require.NotEmpty(t, secret)
		assert.NotContains(t, all.String(), secret)
	}
}
