package compat

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// runtimeAPI is Lambda's side of the Runtime API: it hands invocations to the function's
// process, one at a time, and takes its responses.
type runtimeAPI struct {
	server      *httptest.Server
	invocations chan *invocation
	mu          sync.Mutex
	current     *invocation
	count       int
}

// invocation is one event, and what the function makes of it.
type invocation struct {
	id       string
	event    []byte
	deadline time.Time
	done     chan functionResponse
}

// functionResponse is a function's response, or the error that it reported.
type functionResponse struct {
	StatusCode        int                 `json:"statusCode"`
	Headers           map[string]string   `json:"headers"`
	MultiValueHeaders map[string][]string `json:"multiValueHeaders"`
}

func newRuntimeAPI(t *testing.T) *runtimeAPI {
	a := &runtimeAPI{invocations: make(chan *invocation)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /2018-06-01/runtime/invocation/next", a.next)
	mux.HandleFunc("POST /2018-06-01/runtime/invocation/{id}/response", a.response)
	mux.HandleFunc("POST /2018-06-01/runtime/invocation/{id}/error", a.failure)
	a.server = httptest.NewServer(mux)
	t.Cleanup(a.server.Close)
	return a
}

func (a *runtimeAPI) address() string { return strings.TrimPrefix(a.server.URL, "http://") }

func (a *runtimeAPI) next(w http.ResponseWriter, r *http.Request) {
	select {
	case <-r.Context().Done(): // the process has ended
	case invoked := <-a.invocations:
		a.mu.Lock()
		a.current = invoked
		a.mu.Unlock()
		w.Header().Set("Lambda-Runtime-Aws-Request-Id", invoked.id)
		w.Header().Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(invoked.deadline.UnixMilli(), 10))
		w.Header().Set("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:eu-west-1:000000000000:function:compat")
		_, _ = w.Write(invoked.event)
	}
}

func (a *runtimeAPI) response(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	w.WriteHeader(http.StatusAccepted)
	// A function that streams sends its head, eight zeros, and the body.
	head, _, _ := bytes.Cut(body, make([]byte, 8))
	var answer functionResponse
	if err != nil || json.Unmarshal(head, &answer) != nil {
		answer = functionResponse{StatusCode: http.StatusBadGateway}
	}
	a.finish(r.PathValue("id"), answer)
}

// failure is a function that has failed: its caller gets a 502, from API Gateway and load
// balancers alike.
func (a *runtimeAPI) failure(w http.ResponseWriter, r *http.Request) {
	w.WriteHeader(http.StatusAccepted)
	a.finish(r.PathValue("id"), functionResponse{StatusCode: http.StatusBadGateway})
}

func (a *runtimeAPI) finish(id string, answer functionResponse) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.current != nil && a.current.id == id {
		a.current.done <- answer
		a.current = nil
	}
}

// send invokes the function as often as the request asks for.
func (a *runtimeAPI) send(ctx context.Context, event func(request) any, r request) []response {
	answers := make([]response, r.times)
	payload, err := json.Marshal(event(r))
	if err != nil {
		return answers
	}
	for i := range answers {
		a.count++
		invoked := &invocation{
			id: strconv.Itoa(a.count), event: payload, deadline: time.Now().Add(contextTimeout),
			done: make(chan functionResponse, 1),
		}
		select {
		case a.invocations <- invoked:
		case <-ctx.Done():
			return answers
		}
		select {
		case got := <-invoked.done:
			answers[i] = response{status: got.StatusCode, retryAfter: got.header("Retry-After")}
		case <-ctx.Done():
			return answers
		}
	}
	return answers
}

func (r functionResponse) header(name string) string {
	for key, values := range r.MultiValueHeaders {
		if strings.EqualFold(key, name) && len(values) > 0 {
			return values[0]
		}
	}
	for key, value := range r.Headers {
		if strings.EqualFold(key, name) {
			return value
		}
	}
	return ""
}
