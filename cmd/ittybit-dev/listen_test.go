package main

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/ittybittest"
)

// listening runs listen until it is stopped: as by a kill, between two steps.
func listening(t *testing.T, url, to, state string, args ...string) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan int, 1)
	go func() {
		all := append([]string{"listen", "--url", url, "--forward-to", to, "--state", state, "--every", "20ms"}, args...)
		ended <- run(ctx, all, strings.NewReader(""), testOutput{t}, testOutput{t})
	}()
	return func() {
		cancel()
		assert.Equal(t, exitOK, <-ended)
	}
}

type testOutput struct{ t *testing.T }

func (o testOutput) Write(p []byte) (int, error) {
	o.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

func apiServer(t *testing.T, duration time.Duration) (*ittybittest.Server, *ittybit.Client) {
	srv := ittybittest.NewTestServer(t, ittybittest.WithAPIKey(defaultKey), ittybittest.WithTaskDuration(duration), ittybittest.WithLogger(slog.New(slog.DiscardHandler)))
	client, err := srv.Client()
	require.NoError(t, err)
	return srv, client
}

func create(t *testing.T, client *ittybit.Client) string {
	task, err := client.Tasks.Create(t.Context(), ittybit.TaskCreateParams{Kind: "nsfw", URL: "https://example.com/cat.jpg"})
	require.NoError(t, err)
	return task.ID
}

func (in *inbox) ids() (ids []string) {
	for _, e := range in.all() {
		ids = append(ids, e.Task.ID)
	}
	return ids
}

func TestListen_deliversWhatEndsFromNowOn(t *testing.T) {
	srv, client := apiServer(t, time.Second)
	old := create(t, client)
	_, err := client.Tasks.Wait(t.Context(), old)
	require.NoError(t, err)
	underWay := create(t, client)
	in, to := receiver(t)
	state := filepath.Join(t.TempDir(), "state")
	stop := listening(t, srv.URL, to, state)
	require.Eventually(t, func() bool { return len(in.all()) == 1 }, 20*time.Second, 10*time.Millisecond)
	assert.Equal(t, []string{underWay}, in.ids(), "not what had ended before")
	in.mu.Lock()
	in.statuses = []int{500} // one attempt fails
	in.mu.Unlock()
	next := create(t, client)
	require.Eventually(t, func() bool { return len(in.all()) == 2 }, 20*time.Second, 10*time.Millisecond)
	stop()
	missed := create(t, client)
	_, err = client.Tasks.Wait(t.Context(), missed)
	require.NoError(t, err)
	stop = listening(t, srv.URL, to, state)
	require.Eventually(t, func() bool { return len(in.all()) == 3 }, 20*time.Second, 10*time.Millisecond)
	time.Sleep(100 * time.Millisecond)
	stop()
	assert.Equal(t, []string{underWay, next, missed}, in.ids())
	assert.Empty(t, srv.Deliveries(), "nobody asked Ittybit for webhooks")
}

func TestListen_since(t *testing.T) {
	srv, client := apiServer(t, time.Millisecond)
	old := create(t, client)
	_, err := client.Tasks.Wait(t.Context(), old)
	require.NoError(t, err)
	in, to := receiver(t)
	stop := listening(t, srv.URL, to, t.TempDir(), "--since", "1h")
	require.Eventually(t, func() bool { return len(in.all()) == 1 }, 20*time.Second, 10*time.Millisecond)
	stop()
	assert.Equal(t, []string{old}, in.ids())
}

// Stopped and started again at any time, listen misses nothing, and repeats at most one webhook
// each time, under the same key.
func TestListen_missesNothingHoweverOftenItIsStopped(t *testing.T) {
	srv, client := apiServer(t, 30*time.Millisecond)
	in, to := receiver(t)
	state := t.TempDir()
	stop := listening(t, srv.URL, to, state)
	require.Eventually(t, func() bool {
		_, err := os.Stat(filepath.Join(state, "checkpoint.json"))
		return err == nil
	}, 20*time.Second, 5*time.Millisecond)
	const tasks, stops = 100, 20
	for i := range tasks {
		create(t, client)
		if i%(tasks/stops) == 0 {
			stop()
			stop = listening(t, srv.URL, to, state)
		}
	}
	seen := func() map[string]int {
		keys := map[string]int{}
		for _, e := range in.all() {
			keys[e.Key()]++
		}
		return keys
	}
	require.Eventually(t, func() bool { return len(seen()) == tasks }, 60*time.Second, 20*time.Millisecond)
	stop()
	assert.LessOrEqual(t, len(in.all()), tasks+stops)
}
