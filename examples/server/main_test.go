package main

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/examples/internal/examplerun"
	"github.com/ittybit/ittybit-go/ittybittest"
)

// start runs the program on any port, with its local Ittybit.
func start(t *testing.T) (program *examplerun.Program, base string) {
	t.Helper()
	program = examplerun.Start(t, nil, examplerun.Build(t), "-local", "-addr", "127.0.0.1:0")
	return program, "http://" + program.WaitFor(`listening address=(\S+)`)[1]
}

func submit(t *testing.T, base, imageURL string) (int, image) {
	t.Helper()
	response, err := http.PostForm(base+"/images", url.Values{"url": {imageURL}})
	require.NoError(t, err)
	defer response.Body.Close()
	var img image
	if response.StatusCode == http.StatusAccepted {
		require.NoError(t, json.NewDecoder(response.Body).Decode(&img))
	}
	return response.StatusCode, img
}

func TestServer_showsWhatTheWebhookBrought(t *testing.T) {
	program, base := start(t)
	status, submitted := submit(t, base, "https://example.com/cat.jpg")
	require.Equal(t, http.StatusAccepted, status)
	require.Equal(t, ittybit.TaskStatusPending, submitted.Status)
	program.WaitFor(`outcome=handled status=200 .*event=task\.completed`)

	response, err := http.Get(base + "/images/" + submitted.TaskID)
	require.NoError(t, err)
	defer response.Body.Close()
	var checked image
	require.NoError(t, json.NewDecoder(response.Body).Decode(&checked))
	assert.Equal(t, ittybit.TaskStatusCompleted, checked.Status)
	require.NotNil(t, checked.Results)
	assert.False(t, checked.Results.IsNSFW)

	require.NoError(t, program.Interrupt())
	assert.Contains(t, program.Output(), "shutting down")
}

func TestServer_keepsItsOwnRoutes(t *testing.T) {
	_, base := start(t)
	response, err := http.Get(base + "/images/task_unknown")
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	assert.Equal(t, http.StatusNotFound, response.StatusCode)
	for _, invalid := range []string{"", "ftp://example.com/cat.jpg"} {
		status, _ := submit(t, base, invalid)
		assert.Equal(t, http.StatusBadRequest, status, invalid)
	}
	response, err = http.Post(base+"/ittybit-webhook", "application/json", strings.NewReader("{}"))
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	assert.Equal(t, http.StatusUnauthorized, response.StatusCode)
}

func TestRoutes_showAFailedTask(t *testing.T) {
	local := ittybittest.NewTestServer(t)
	app := &app{images: map[string]image{}}
	routes, err := app.routes(local.APIKey)
	require.NoError(t, err)
	r := ittybittest.NewWebhookRequestTo("/ittybit-webhook", local.APIKey, ittybittest.TaskFailed(ittybit.TaskKindNSFW, "no such image"))
	routes.ServeHTTP(httptest.NewRecorder(), r)
	require.Len(t, app.images, 1)
	for _, img := range app.images {
		assert.Equal(t, ittybit.TaskStatusFailed, img.Status)
		assert.Nil(t, img.Results)
	}
}

func TestServer_needsAKey(t *testing.T) {
	program := examplerun.Start(t, nil, examplerun.Build(t), "-addr", "127.0.0.1:0")
	require.Error(t, program.Wait())
	assert.Contains(t, program.Output(), "ITTYBIT_API_KEY")
}

// What is in flight is finished: the handler ends, and its response arrives.
func TestServe_finishesWhatIsInFlight(t *testing.T) {
	reached, proceed := make(chan struct{}), make(chan struct{})
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(reached)
		<-proceed
		w.WriteHeader(http.StatusNoContent)
	})
	ctx, cancel := context.WithCancel(t.Context())
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() { done <- serve(ctx, listener, handler) }()
	status := make(chan int, 1)
	go func() {
		response, err := http.Get("http://" + listener.Addr().String())
		if err != nil {
			status <- 0
			return
		}
		_ = response.Body.Close()
		status <- response.StatusCode
	}()
	<-reached
	cancel()
	select {
	case err := <-done:
		t.Fatalf("the server stopped (%v) while a request was in flight", err)
	case <-time.After(50 * time.Millisecond): // that it waits can only be shown by waiting
	}
	close(proceed)
	assert.Equal(t, http.StatusNoContent, <-status)
	assert.NoError(t, <-done)
}
