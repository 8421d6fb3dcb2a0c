package ittybit_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/internal/apitest"
)

// TestMain fails the run where a test has left a goroutine behind, and keeps the default log
// silent.
func TestMain(m *testing.M) { apitest.Main(m) }

// What the tests of this package use of apitest, by short names.
const (
	clientKey = apitest.Key
	apiTask   = apitest.Task
)

type (
	apiRequest  = apitest.Request
	apiRecorder struct{ *apitest.Recorder }
	testLog     struct{ apitest.Log }
)

var (
	clientQuick      = apitest.Quick
	clientFor        = apitest.Client
	clientNoContext  = apitest.NoContext
	clientParamError = apitest.RequireParamError
	apiRespond       = apitest.Respond
	apiResponse      = apitest.Response
	apiAlways        = apitest.Always
	apiRefusedURL    = apitest.RefusedURL
	apiFields        = apitest.Fields
	apiKeySpelled    = apitest.KeySpelled
	raceEnabled      = apitest.RaceEnabled()
)

func (l *testLog) logger() *slog.Logger { return l.Logger() }

func (r apiRecorder) all() []apiRequest { return r.All() }
func (r apiRecorder) count() int        { return r.Count() }

func apiServer(t *testing.T, handlers ...http.HandlerFunc) (*httptest.Server, apiRecorder) {
	t.Helper()
	server, recorder := apitest.Server(t, handlers...)
	return server, apiRecorder{recorder}
}

func apiFake(t *testing.T, respond func(n int, req *http.Request) (*http.Response, error), opts ...ittybit.ClientOption) (*ittybit.Client, apiRecorder) {
	t.Helper()
	client, recorder := apitest.Fake(t, respond, opts...)
	return client, apiRecorder{recorder}
}

const (
	webhookSecret = "ittybit_test_key_1234567890"

	// webhookPageBody is the payload of Ittybit's webhooks documentation.
	webhookPageBody = `{
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
}`

	// webhookWaitLimit is how long a test waits for what must happen; it is never waited out
	// where all is well.
	webhookWaitLimit = 20 * time.Second
)

// webhookTask is the payload of a task.
func webhookTask(id, status string) string {
	return fmt.Sprintf(`{"id":%q,"object":"task","kind":"nsfw","status":%q}`, id, status)
}

// webhookProgress is the payload of a task that is being worked on.
func webhookProgress(id string, percent int) string {
	return fmt.Sprintf(`{"id":%q,"object":"task","kind":"video","status":"processing","progress":%d}`, id, percent)
}

// webhookParse parses a body that must be an event.
func webhookParse(tb testing.TB, body string) *ittybit.Event {
	tb.Helper()
	e, err := ittybit.ParseEvent([]byte(body))
	require.NoError(tb, err)
	return e
}

// signedHeader signs body as of now.
func signedHeader(body string) string {
	return ittybit.SignWebhook(webhookSecret, time.Now(), []byte(body))
}

// signedRequest makes a request for handlers that are called without a server.
func signedRequest(body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/ittybit-webhook", strings.NewReader(body))
	r.Header.Set(ittybit.SignatureHeader, signedHeader(body))
	return r
}

// webhookHandler makes a handler of a function.
func webhookHandler(tb testing.TB, next ittybit.EventHandler, opts ...ittybit.WebhookOption) *ittybit.WebhookHandler {
	tb.Helper()
	h, err := ittybit.NewWebhookHandler(webhookSecret, next, opts...)
	require.NoError(tb, err)
	return h
}

// webhookNothing handles every event.
func webhookNothing(context.Context, *ittybit.Event) error { return nil }

// webhookRecorder counts events and observes deliveries.
type webhookRecorder struct {
	mu         sync.Mutex
	events     []*ittybit.Event
	deliveries []ittybit.Delivery
	observed   chan ittybit.Delivery
}

func newWebhookRecorder() *webhookRecorder {
	return &webhookRecorder{observed: make(chan ittybit.Delivery, 10_000)}
}

// HandleEvent implements ittybit.EventHandler.
func (r *webhookRecorder) HandleEvent(_ context.Context, e *ittybit.Event) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
	return nil
}

func (r *webhookRecorder) observe(_ context.Context, d ittybit.Delivery) {
	r.mu.Lock()
	r.deliveries = append(r.deliveries, d)
	r.mu.Unlock()
	r.observed <- d
}

func (r *webhookRecorder) handled() []*ittybit.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]*ittybit.Event(nil), r.events...)
}

// next waits for the next delivery to be observed.
func (r *webhookRecorder) next(tb testing.TB) ittybit.Delivery {
	tb.Helper()
	return webhookReceive(tb, r.observed)
}

// webhookReceive waits for a value.
func webhookReceive[T any](tb testing.TB, from <-chan T) T {
	tb.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(webhookWaitLimit):
		require.FailNow(tb, "nothing came")
		panic("unreachable")
	}
}

// webhookStillOpen asserts that nothing has come, without waiting for it.
func webhookStillOpen[T any](tb testing.TB, from <-chan T, msg string) {
	tb.Helper()
	select {
	case v := <-from:
		assert.Fail(tb, msg, "got %v", v)
	default:
	}
}

// webhookServer serves h on loopback.
func webhookServer(tb testing.TB, h http.Handler) *httptest.Server {
	tb.Helper()
	srv := httptest.NewServer(h)
	tb.Cleanup(srv.Close)
	return srv
}

// webhookResponse is what a sender gets to see.
type webhookResponse struct {
	Status int
	Header http.Header
	Body   string
	Close  bool // the server is going to hang up
	Err    error
}

// webhookSend sends a request with these header lines.
func webhookSend(client *http.Client, method, url, body string, signatures ...string) webhookResponse {
	r, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		return webhookResponse{Err: err}
	}
	for _, line := range signatures {
		r.Header.Add(ittybit.SignatureHeader, line)
	}
	return webhookDo(client, r)
}

func webhookDo(client *http.Client, r *http.Request) webhookResponse {
	resp, err := client.Do(r)
	if err != nil {
		return webhookResponse{Err: err}
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return webhookResponse{Status: resp.StatusCode, Header: resp.Header, Body: string(text), Err: err}
}

// webhookDeliver sends a signed body, which must get a response.
func webhookDeliver(tb testing.TB, srv *httptest.Server, body string) webhookResponse {
	tb.Helper()
	response := webhookSend(srv.Client(), http.MethodPost, srv.URL, body, signedHeader(body))
	require.NoError(tb, response.Err)
	return response
}

// webhookBackground delivers in a goroutine of its own.
func webhookBackground(srv *httptest.Server, body string) <-chan webhookResponse {
	responses := make(chan webhookResponse, 1)
	go func() { responses <- webhookSend(srv.Client(), http.MethodPost, srv.URL, body, signedHeader(body)) }()
	return responses
}

// webhookResponseText is the body of a response: none, where all is well.
func webhookResponseText(status int) string {
	if status == http.StatusOK {
		return ""
	}
	return http.StatusText(status) + "\n"
}
