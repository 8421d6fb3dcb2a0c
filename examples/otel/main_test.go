package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/examples/internal/examplerun"
	"github.com/ittybit/ittybit-go/ittybittest"
)

func TestOtel_printsSpansAndServesMetrics(t *testing.T) {
	program := examplerun.Start(t, nil, examplerun.Build(t), "-local", "-addr", "127.0.0.1:0", "-metrics", "127.0.0.1:0")
	metrics := program.WaitFor(`listening address=\S+ metrics=(\S+)`)[1]
	program.WaitFor(`checked task=\S+ nsfw=false`)
	for _, name := range []string{"check image", "HTTP POST", "handle task.completed", "POST"} {
		program.WaitFor(`"Name":"(` + name + `)"`)
	}
	response, err := http.Get("http://" + metrics + "/metrics")
	require.NoError(t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	assert.Contains(t, string(text), `ittybit_webhook_deliveries_total{event="task.completed",outcome="handled",status="200"} 1`)
	require.NoError(t, program.Interrupt())
}

func TestOtel_needsAKey(t *testing.T) {
	program := examplerun.Start(t, nil, examplerun.Build(t), "-addr", "127.0.0.1:0", "-metrics", "127.0.0.1:0")
	require.Error(t, program.Wait())
	assert.Contains(t, program.Output(), "ITTYBIT_API_KEY")
}

// observed is a telemetry, and what it exported so far.
func observed(t *testing.T) (*telemetry, func() (spans, metrics string)) {
	t.Helper()
	var spans bytes.Buffer
	tel, err := newTelemetry(&spans)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, tel.shutdown(context.WithoutCancel(t.Context()))) })
	return tel, func() (string, string) {
		w := httptest.NewRecorder()
		tel.scrape.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody))
		return spans.String(), w.Body.String()
	}
}

// receiver is the endpoint of main, with another handler.
func receiver(t *testing.T, tel *telemetry, fn ittybit.EventHandlerFunc, opts ...ittybit.WebhookOption) http.Handler {
	t.Helper()
	webhook, err := ittybit.NewWebhookHandler("secret", tel.traced(fn), append(opts, ittybit.WithObserver(tel.delivered))...)
	require.NoError(t, err)
	return tel.server(webhook)
}

func deliver(h http.Handler, payload string, edits ...func(r *http.Request)) int {
	r := ittybittest.NewWebhookRequest("secret", []byte(payload))
	for _, edit := range edits {
		edit(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code
}

const completed = `{"id":"task_1","object":"task","kind":"nsfw","status":"completed"}`

func TestServer_aStrangersTraceIsALinkAndNoParent(t *testing.T) {
	tel, exported := observed(t)
	const theirs = "0af7651916cd43dd8448eb211c80319c"
	h := receiver(t, tel, func(context.Context, *ittybit.Event) error { return nil })
	assert.Equal(t, http.StatusOK, deliver(h, completed, func(r *http.Request) {
		r.Header.Set("Traceparent", "00-"+theirs+"-b7ad6b7169203331-01")
	}))
	spans, _ := exported()
	assert.Contains(t, spans, `"Links":[{"SpanContext":{"TraceID":"`+theirs)
	assert.NotContains(t, spans, `"SpanContext":{"TraceID":"`+theirs+`","SpanID":"b7ad6b7169203331","TraceFlags":"01","TraceState":"","Remote":true},"Parent"`)
	assert.Equal(t, 1, strings.Count(spans, theirs), "no span is part of their trace")
}

func TestMetrics_nobodyCanMakeUpSeries(t *testing.T) {
	tel, exported := observed(t)
	h := receiver(t, tel, func(context.Context, *ittybit.Event) error { return nil })
	attack := func(i int) {
		name := fmt.Sprintf("made-up-%d", i)
		strange := func(r *http.Request) {
			r.Host = fmt.Sprintf("%s.example:%d", name, 1000+i)
			r.Header.Set("User-Agent", name)
			r.URL.RawQuery = name
		}
		require.Equal(t, http.StatusOK, deliver(h, `{"id":"`+name+`","object":"event","kind":"`+name+`.created","data":{}}`, strange))
		require.Equal(t, http.StatusUnauthorized, deliver(h, completed, strange, func(r *http.Request) { r.Header.Del(ittybit.SignatureHeader) }))
	}
	attack(0)
	_, before := exported()
	for i := range 50 {
		attack(i + 1)
	}
	_, after := exported()
	assert.Equal(t, strings.Count(before, "\n"), strings.Count(after, "\n"), after)
	assert.NotContains(t, after, "made-up")
	assert.Contains(t, after, `ittybit_webhook_deliveries_total{event="other",outcome="handled",status="200"} 51`)
	assert.Contains(t, after, "ittybit_webhook_in_flight 0\n")
}

func TestTraced_showsWhatBecameOfTheEvent(t *testing.T) {
	for name, tt := range map[string]struct {
		handler ittybit.EventHandlerFunc
		want    string
	}{
		"nil":     {func(context.Context, *ittybit.Event) error { return nil }, `"Code":"Unset"`},
		"error":   {func(context.Context, *ittybit.Event) error { return errors.New("broken") }, `"Code":"Error","Description":"failed"`},
		"discard": {func(context.Context, *ittybit.Event) error { return ittybit.Discard(errors.New("x")) }, `"Code":"Error","Description":"discarded"`},
		"panic":   {func(context.Context, *ittybit.Event) error { panic("oops") }, `"Name":"exception"`},
	} {
		t.Run(name, func(t *testing.T) {
			tel, exported := observed(t)
			deliver(receiver(t, tel, tt.handler), completed)
			spans, _ := exported()
			handled, _, _ := strings.Cut(spans, "\n") // the handler's span ends first
			assert.Contains(t, handled, "handle task.completed")
			assert.Contains(t, handled, tt.want)
		})
	}
}

// The SDK sets deadlines through the ResponseWriter, which otelhttp wraps.
func TestServer_stillEndsABodyThatStalls(t *testing.T) {
	tel, _ := observed(t)
	server := httptest.NewServer(receiver(t, tel, func(context.Context, *ittybit.Event) error { return nil }, ittybit.WithReadTimeout(50*time.Millisecond)))
	defer server.Close()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	_, err = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
	require.NoError(t, err)
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(30*time.Second)))
	status := make([]byte, len("HTTP/1.1 408"))
	_, err = io.ReadFull(conn, status)
	require.NoError(t, err)
	assert.Equal(t, "HTTP/1.1 408", string(status))
}

func TestHTTPClient_keepsRetriesSafe(t *testing.T) {
	params := ittybit.TaskCreateParams{Kind: ittybit.TaskKindNSFW, URL: "https://example.com/a.jpg"}
	policy := ittybit.WithRetryPolicy(ittybit.RetryPolicy{MinWait: time.Millisecond, MaxWait: 2 * time.Millisecond})

	t.Run("a POST that was never written is sent again", func(t *testing.T) {
		tel, exported := observed(t)
		var dials atomic.Int32
		transport := &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			if dials.Add(1) == 1 {
				return nil, errors.New("no route")
			}
			return new(net.Dialer).DialContext(ctx, network, address)
		}}
		defer transport.CloseIdleConnections()
		client, err := ittybittest.NewTestServer(t).Client(policy, ittybit.WithHTTPClient(tel.httpClient(transport)))
		require.NoError(t, err)
		_, err = client.Tasks.Create(t.Context(), params)
		require.NoError(t, err)
		spans, _ := exported()
		assert.Equal(t, 2, strings.Count(spans, `"Name":"HTTP POST"`), "a span for each attempt")
	})
	t.Run("a POST that may have been carried out is not", func(t *testing.T) {
		tel, _ := observed(t)
		local := ittybittest.NewTestServer(t)
		transport := &http.Transport{}
		defer transport.CloseIdleConnections()
		client, err := local.Client(policy, ittybit.WithHTTPClient(tel.httpClient(transport)))
		require.NoError(t, err)
		_, err = client.Tasks.List(t.Context(), ittybit.TaskListParams{}) // leaves a connection, on which net/http would repeat it
		require.NoError(t, err)
		local.FailRequests(1, ittybittest.RequestFault{Drop: ittybittest.DropAfter})
		_, err = client.Tasks.Create(t.Context(), params)
		require.ErrorIs(t, err, ittybit.ErrOutcomeUnknown)
		tasks, err := client.Tasks.List(t.Context(), ittybit.TaskListParams{})
		require.NoError(t, err)
		assert.Len(t, tasks.Items, 1)
	})
}

func TestHTTPClient_leavesSignaturesOutOfSpans(t *testing.T) {
	tel, exported := observed(t)
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	response, err := tel.httpClient(http.DefaultTransport).Get(server.URL + "/video.mp4?expiry=1&signature=topsecret")
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	spans, _ := exported()
	assert.Contains(t, spans, "/video.mp4")
	assert.NotContains(t, spans, "topsecret")
}
