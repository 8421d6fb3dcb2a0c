// Package hotpath measures what an application does for each webhook and each call. It uses the
// root package only, and of it what every version has, so that pairs can build it against any.
package hotpath

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/ittybit/ittybit-go"
)

const (
	secret = "ittybit_benchmark_key_0123456789"
	taskID = "task_123abc"
)

// documented is the example of Ittybit's webhooks documentation, and long one with a transcript.
var (
	documented = []byte(`{
  "id": "task_123abc",
  "object": "task",
  "kind": "nsfw",
  "status": "completed",
  "results": {
    "is_nsfw": true,
    "confidence": 0.97
  },
  "project_id": "proj_xyz",
  "automation_id": "auto_456def",
  "created": "2025-01-10T12:34:56Z",
  "completed": "2025-01-10T12:35:22Z"
}`)
	long = []byte(`{"id":"task_123abc","object":"task","kind":"speech","status":"completed","results":{"detected":true,"timeline":[` +
		strings.Repeat(`{"start":0.25,"end":2.25,"speaker":0,"text":"He said \"wait\", là-bas.","confidence":0.72},`, 700) +
		`{}]},"project_id":"proj_xyz","created":"2025-01-10T12:34:56Z","completed":"2025-01-10T12:35:22Z"}`)
)

func sizes(b *testing.B, run func(b *testing.B, body []byte)) {
	for name, body := range map[string][]byte{"300B": documented, "64KB": long} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			run(b, body)
		})
	}
}

func BenchmarkVerify(b *testing.B) {
	sizes(b, func(b *testing.B, body []byte) {
		verifier, err := ittybit.NewWebhookVerifier(secret)
		if err != nil {
			b.Fatal(err)
		}
		header := ittybit.SignWebhook(secret, time.Now(), body)
		for b.Loop() {
			if err := verifier.Verify(body, header); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkParseEvent(b *testing.B) {
	sizes(b, func(b *testing.B, body []byte) {
		for b.Loop() {
			event, err := ittybit.ParseEvent(body)
			if err != nil || event.Task == nil || event.Task.ID != taskID {
				b.Fatal(event, err)
			}
		}
	})
}

// BenchmarkWebhookHandler goes from the request to the response, without a network.
func BenchmarkWebhookHandler(b *testing.B) {
	sizes(b, func(b *testing.B, body []byte) {
		handled := 0
		events := ittybit.NewEventMux()
		events.OnTaskCompleted(ittybit.AnyTaskKind, func(context.Context, *ittybit.Event) error {
			handled++
			return nil
		})
		handler, err := ittybit.NewWebhookHandler(secret, events)
		if err != nil {
			b.Fatal(err)
		}
		reader := bytes.NewReader(nil)
		header := http.Header{
			"Content-Type": {"application/json"}, ittybit.SignatureHeader: {ittybit.SignWebhook(secret, time.Now(), body)},
		}
		w := &response{header: http.Header{}}
		n := 0
		for b.Loop() {
			n++
			reader.Reset(body)
			handler.ServeHTTP(w, &http.Request{
				Method: http.MethodPost, ProtoMajor: 1, ProtoMinor: 1,
				Header: header, Body: io.NopCloser(reader), ContentLength: int64(len(body)),
			})
		}
		if handled != n || w.status != http.StatusOK {
			b.Fatalf("%d of %d handled, last status %d", handled, n, w.status)
		}
	})
}

// response keeps nothing but the status.
type response struct {
	header http.Header
	status int
}

func (w *response) Header() http.Header         { return w.header }
func (w *response) Write(p []byte) (int, error) { return len(p), nil }
func (w *response) WriteHeader(status int)      { w.status = status }

// BenchmarkTasksGet fetches a task without a network.
func BenchmarkTasksGet(b *testing.B) {
	client, err := ittybit.NewClient(secret, ittybit.WithHTTPClient(&http.Client{Transport: transport{}}))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		task, err := client.Tasks.Get(context.Background(), taskID)
		if err != nil || task.ID != taskID {
			b.Fatal(task, err)
		}
	}
}

// transport answers every request with the documented task.
type transport struct{}

func (transport) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r, ContentLength: int64(len(documented)),
		Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(bytes.NewReader(documented)),
	}, nil
}
