package main

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/ittybittest"
)

var quiet = slog.New(slog.DiscardHandler)

// start runs the service on a port of its own against a local Ittybit.
func start(t *testing.T, opts ...ittybittest.Option) (*ittybittest.Server, string) {
	t.Helper()
	local := ittybittest.NewServer(opts...)
	t.Cleanup(local.Close)
	client, err := local.Client()
	require.NoError(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	base := "http://" + listener.Addr().String()
	app := &app{client: client, logger: quiet, images: make(map[string]image), webhookURL: base + "/ittybit-webhook"}
	handler, err := app.routes(local.APIKey)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- serve(ctx, listener, handler, quiet) }()
	t.Cleanup(func() {
		cancel()
		assert.NoError(t, <-done)
	})
	return local, base
}

func submit(t *testing.T, base, imageURL string) (int, image) {
	t.Helper()
	resp, err := http.PostForm(base+"/images", url.Values{"url": {imageURL}})
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	var img image
	if resp.StatusCode == http.StatusAccepted {
		require.NoError(t, json.NewDecoder(resp.Body).Decode(&img))
	}
	return resp.StatusCode, img
}

func show(t *testing.T, base, id string) (int, image) {
	t.Helper()
	resp, err := http.Get(base + "/images/" + id)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	var img image
	if resp.StatusCode == http.StatusOK {
		require.NoError(t, json.NewDecoder(resp.Body).Decode(&img))
	}
	return resp.StatusCode, img
}

func waitDelivered(t *testing.T, local *ittybittest.Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	_, err := local.WaitForDelivery(ctx, ittybittest.Delivery.Delivered)
	require.NoError(t, err)
}

func TestServer_showsWhatTheWebhookBrought(t *testing.T) {
	local, base := start(t)
	local.SetResults(ittybit.TaskKindNSFW, map[string]any{"is_nsfw": true, "confidence": 0.97})

	status, submitted := submit(t, base, "https://example.com/cat.jpg")
	require.Equal(t, http.StatusAccepted, status)
	waitDelivered(t, local)

	status, checked := show(t, base, submitted.TaskID)
	require.Equal(t, http.StatusOK, status)
	assert.Equal(t, ittybit.TaskStatusCompleted, checked.Status)
	require.NotNil(t, checked.Results)
	assert.True(t, checked.Results.IsNSFW)
}

func TestServer_showsAFailedTask(t *testing.T) {
	local, base := start(t)
	local.FailTasks(ittybit.TaskKindNSFW, "no such image")
	_, submitted := submit(t, base, "https://example.com/none.jpg")
	waitDelivered(t, local)
	_, failed := show(t, base, submitted.TaskID)
	assert.Equal(t, ittybit.TaskStatusFailed, failed.Status)
	assert.Nil(t, failed.Results)
}

func TestServer_keepsItsOwnRoutes(t *testing.T) {
	_, base := start(t)
	resp, err := http.Get(base + "/healthz")
	require.NoError(t, err)
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	assert.Equal(t, "ok\n", string(body))

	status, _ := show(t, base, "task_unknown")
	assert.Equal(t, http.StatusNotFound, status)
	for _, refused := range []string{"", "ftp://example.com/cat.jpg"} {
		status, _ = submit(t, base, refused)
		assert.Equal(t, http.StatusBadRequest, status, refused)
	}
}

func TestServe_finishesWhatIsInFlight(t *testing.T) {
	reached, goOn := make(chan struct{}), make(chan struct{})
	slow := ittybit.EventHandlerFunc(func(context.Context, *ittybit.Event) error {
		close(reached)
		<-goOn
		return nil
	})
	webhook, err := ittybit.NewWebhookHandler("secret", slow)
	require.NoError(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- serve(ctx, listener, webhook, quiet) }()

	answered := make(chan int, 1)
	go func() {
		body := `{"id":"task_1","object":"task","status":"completed"}`
		req, _ := http.NewRequest(http.MethodPost, "http://"+listener.Addr().String(), strings.NewReader(body))
		req.Header.Set(ittybit.SignatureHeader, ittybit.SignWebhook("secret", time.Now(), []byte(body)))
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			answered <- 0
			return
		}
		_ = resp.Body.Close()
		answered <- resp.StatusCode
	}()
	<-reached
	cancel()
	select {
	case err := <-done:
		t.Fatalf("the server stopped (%v) while a delivery was in flight", err)
	case <-time.After(50 * time.Millisecond): // it can only be shown that it waits by waiting
	}
	close(goOn)
	assert.Equal(t, http.StatusOK, <-answered)
	assert.NoError(t, <-done)
}

func TestRun_needsAWebhookURLForARealAccount(t *testing.T) {
	err := run(t.Context(), quiet, func(name string) string {
		return map[string]string{"ITTYBIT_API_KEY": "key", "ADDR": "127.0.0.1:0"}[name]
	})
	require.ErrorContains(t, err, "WEBHOOK_URL is missing")
}

func TestRun_servesUntilItsContextEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- run(ctx, quiet, func(name string) string { return map[string]string{"ADDR": "127.0.0.1:0"}[name] })
	}()
	cancel()
	assert.NoError(t, <-done)
}
