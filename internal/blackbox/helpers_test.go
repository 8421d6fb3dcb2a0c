package blackbox

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/internal/apitest"
)

// everyCall is a call of every method there is, by method and path.
func everyCall(ctx context.Context, client *ittybit.Client) map[string]func(...ittybit.RequestOption) error {
	steps := []ittybit.WorkflowStep{{Kind: ittybit.TaskKindNSFW}}
	return map[string]func(...ittybit.RequestOption) error{
		"POST /tasks": func(opts ...ittybit.RequestOption) error {
			_, err := client.Tasks.Create(ctx, ittybit.TaskCreateParams{Kind: ittybit.TaskKindNSFW, FileID: "file_1"}, opts...)
			return err
		},
		"GET /tasks/x_1": func(opts ...ittybit.RequestOption) error {
			_, err := client.Tasks.Get(ctx, "x_1", opts...)
			return err
		},
		"GET /tasks": func(opts ...ittybit.RequestOption) error {
			_, err := client.Tasks.List(ctx, ittybit.TaskListParams{}, opts...)
			return err
		},
		"POST /automations": func(opts ...ittybit.RequestOption) error {
			_, err := client.Automations.Create(ctx, ittybit.AutomationCreateParams{Trigger: ittybit.OnEvent(ittybit.EventMediaCreated), Workflow: steps}, opts...)
			return err
		},
		"GET /automations/x_1": func(opts ...ittybit.RequestOption) error {
			_, err := client.Automations.Get(ctx, "x_1", opts...)
			return err
		},
		"GET /automations": func(opts ...ittybit.RequestOption) error {
			_, err := client.Automations.List(ctx, ittybit.AutomationListParams{}, opts...)
			return err
		},
		"PATCH /automations/x_1": func(opts ...ittybit.RequestOption) error {
			_, err := client.Automations.Update(ctx, "x_1", ittybit.AutomationUpdateParams{Name: new("")}, opts...)
			return err
		},
		"DELETE /automations/x_1": func(opts ...ittybit.RequestOption) error { return client.Automations.Delete(ctx, "x_1", opts...) },
		"POST /media": func(opts ...ittybit.RequestOption) error {
			_, err := client.Media.Create(ctx, ittybit.MediaCreateParams{Title: "T"}, opts...)
			return err
		},
		"GET /media/x_1": func(opts ...ittybit.RequestOption) error {
			_, err := client.Media.Get(ctx, "x_1", opts...)
			return err
		},
		"GET /media": func(opts ...ittybit.RequestOption) error {
			_, err := client.Media.List(ctx, ittybit.MediaListParams{}, opts...)
			return err
		},
		"PATCH /media/x_1": func(opts ...ittybit.RequestOption) error {
			_, err := client.Media.Update(ctx, "x_1", ittybit.MediaUpdateParams{Title: new("T")}, opts...)
			return err
		},
		"DELETE /media/x_1": func(opts ...ittybit.RequestOption) error { return client.Media.Delete(ctx, "x_1", opts...) },
		"POST /files": func(opts ...ittybit.RequestOption) error {
			_, err := client.Files.Create(ctx, ittybit.FileCreateParams{URL: "https://example.com/a.mp4"}, opts...)
			return err
		},
		"GET /files/x_1": func(opts ...ittybit.RequestOption) error {
			_, err := client.Files.Get(ctx, "x_1", opts...)
			return err
		},
		"GET /files": func(opts ...ittybit.RequestOption) error {
			_, err := client.Files.List(ctx, ittybit.FileListParams{}, opts...)
			return err
		},
		"PATCH /files/x_1": func(opts ...ittybit.RequestOption) error {
			_, err := client.Files.Update(ctx, "x_1", ittybit.FileUpdateParams{Ref: new("r")}, opts...)
			return err
		},
		"DELETE /files/x_1": func(opts ...ittybit.RequestOption) error { return client.Files.Delete(ctx, "x_1", opts...) },
		"POST /signatures": func(opts ...ittybit.RequestOption) error {
			_, err := client.SignedURLs.Create(ctx, ittybit.SignedURLCreateParams{Filename: "a.mp4"}, opts...)
			return err
		},
	}
}

// everything responds to every call of everyCall.
func everything(w http.ResponseWriter, r *http.Request) {
	switch r.Method + " " + r.URL.Path {
	case "GET /tasks", "GET /automations", "GET /media", "GET /files":
		apitest.Respond(200, `[]`)(w, r)
	default:
		apitest.Respond(200, `{"id":"x_1","url":"https://you.ittybit.net/a.mp4"}`)(w, r)
	}
}

// pageOf is a list of tasks with the given ids.
func pageOf(ids ...string) string {
	items := make([]string, len(ids))
	for i, id := range ids {
		items[i] = fmt.Sprintf(`{"id":%q}`, id)
	}
	return "[" + strings.Join(items, ",") + "]"
}

// linkedPage is a page with a link to the one at next; "" links to none.
func linkedPage(next string, ids ...string) (*http.Response, error) {
	if next == "" {
		return apitest.Response(200, pageOf(ids...))
	}
	return apitest.Response(200, pageOf(ids...), "Links", `<https://api.ittybit.com/tasks?`+next+`>; rel="next"`)
}

// httpClient is an http.Client whose transport is respond, called with 1.
func httpClient(respond func(n int, req *http.Request) (*http.Response, error)) *http.Client {
	return &http.Client{Transport: apitest.RoundTripper(func(req *http.Request) (*http.Response, error) { return respond(1, req) })}
}

// rawServer is a server that may cut connections: it reads the nth request and
// calls step, which responds on conn and reports whether the connection is kept.
func rawServer(t *testing.T, step func(n int, conn net.Conn) (keep bool)) (baseURL string, recorder *apitest.Recorder) {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	recorder = &apitest.Recorder{}
	var running sync.WaitGroup
	serve := func(conn net.Conn) {
		defer func() { _ = conn.Close() }()
		reader := bufio.NewReader(conn)
		for {
			req, err := http.ReadRequest(reader)
			if err != nil {
				return
			}
			if !step(recorder.Note(req), conn) {
				return
			}
		}
	}
	running.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			running.Go(func() { serve(conn) })
		}
	})
	t.Cleanup(func() { assert.NoError(t, listener.Close()) })
	return "http://" + listener.Addr().String(), recorder
}

// writeRaw writes a response to a raw connection.
func writeRaw(conn net.Conn, status int, body string, header ...string) {
	var b strings.Builder
	b.WriteString("HTTP/1.1 " + strconv.Itoa(status) + " " + http.StatusText(status) + "\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n")
	for i := 0; i < len(header); i += 2 {
		b.WriteString(header[i] + ": " + header[i+1] + "\r\n")
	}
	_, _ = io.WriteString(conn, b.String()+"\r\n"+body)
}

// errCut is what a fake transport fails with.
var errCut = errors.New("connection cut")
