package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/ittybittest"
)

// listening runs listen until it is stopped, as by Ctrl-C. It has begun when listening returns.
func listening(t *testing.T, url, to, state string, args ...string) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	ended, out := make(chan int, 1), &syncBuffer{}
	go func() {
		all := append([]string{"listen", "--url", url, "--forward-to", to, "--state", state, "--every", "20ms", "--console-addr", ""}, args...)
		ended <- run(ctx, all, strings.NewReader(""), out, out)
	}()
	require.Eventually(t, func() bool { return strings.Contains(out.String(), "Delivering") }, 60*time.Second, time.Millisecond)
	t.Cleanup(func() {
		cancel()
		if t.Failed() {
			t.Log(out.String())
		}
	})
	return func() {
		cancel()
		assert.Equal(t, exitOK, <-ended)
	}
}

func apiServer(t *testing.T, duration time.Duration) (*ittybittest.Server, *ittybit.Client) {
	srv := ittybittest.NewTestServer(t, ittybittest.WithAPIKey(defaultKey), ittybittest.WithTaskDuration(duration), ittybittest.WithControl(""), ittybittest.WithLogger(slog.New(slog.DiscardHandler)))
	client, err := srv.Client()
	require.NoError(t, err)
	return srv, client
}

func create(t *testing.T, client *ittybit.Client) string {
	task, err := client.Tasks.Create(t.Context(), ittybit.TaskCreateParams{Kind: "nsfw", URL: "https://example.com/cat.jpg"})
	require.NoError(t, err)
	return task.ID
}

// finish completes a task now.
func finish(t *testing.T, srv *ittybittest.Server, client *ittybit.Client, id string) {
	t.Helper()
	resp, err := http.Post(srv.URL+"/_local/tasks/"+id+"/finish", "application/json", nil)
	require.NoError(t, err)
	resp.Body.Close()
	_, err = client.Tasks.Wait(t.Context(), id, ittybit.WithPollInterval(time.Millisecond))
	require.NoError(t, err)
}

func (in *inbox) ids() (ids []string) {
	for _, e := range in.all() {
		ids = append(ids, e.Task.ID)
	}
	return ids
}

func TestListen_deliversWhatEndsFromNowOn(t *testing.T) {
	srv, client := apiServer(t, time.Hour)
	old := create(t, client)
	finish(t, srv, client, old)
	underWay := create(t, client)
	in, to := receiver(t)
	state := filepath.Join(t.TempDir(), "state")
	stop := listening(t, srv.URL, to, state)
	finish(t, srv, client, underWay)
	require.Eventually(t, func() bool { return len(in.all()) == 1 }, 60*time.Second, 10*time.Millisecond)
	assert.Equal(t, []string{underWay}, in.ids(), "not what had ended before")
	in.mu.Lock()
	in.statuses = []int{500} // one attempt fails
	in.mu.Unlock()
	next := create(t, client)
	finish(t, srv, client, next)
	require.Eventually(t, func() bool { return len(in.all()) == 2 }, 60*time.Second, 10*time.Millisecond)
	stop()
	missed := create(t, client)
	finish(t, srv, client, missed)
	stop = listening(t, srv.URL, to, state)
	require.Eventually(t, func() bool { return len(in.all()) == 3 }, 60*time.Second, 10*time.Millisecond)
	stop()
	assert.Equal(t, []string{underWay, next, missed}, in.ids())
	assert.Empty(t, srv.Deliveries(), "nobody asked Ittybit for webhooks")
}

// Ctrl-C lets the attempt that is under way end, so that the next run does not repeat it.
func TestListen_finishesTheAttemptUnderWay(t *testing.T) {
	for _, status := range []int{http.StatusOK, http.StatusServiceUnavailable} {
		t.Run(http.StatusText(status), func(t *testing.T) {
			srv, client := apiServer(t, time.Millisecond)
			create(t, client)
			create(t, client)
			state, posts, respond := t.TempDir(), make(chan struct{}, 4), make(chan struct{})
			to := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				posts <- struct{}{}
				<-respond
				w.WriteHeader(status)
			}))
			t.Cleanup(to.Close)
			args := []string{"listen", "--url", srv.URL, "--forward-to", to.URL, "--state", state, "--since", "1h", "--every", "20ms", "--console-addr", ""}
			process := startProcess(t, args...)
			<-posts
			require.NoError(t, process.cmd.Process.Signal(os.Interrupt))
			select {
			case <-process.ended:
				t.Error("it ended before the attempt")
			case <-time.After(200 * time.Millisecond): // longer can't make it fail
			}
			close(respond)
			<-process.ended
			assert.Zero(t, process.cmd.ProcessState.ExitCode())
			assert.Empty(t, posts, "a second attempt was begun")
			assert.Equal(t, 1, strings.Count(process.String(), fmt.Sprint("(nsfw): ", status)), process.String())

			kept, _, err := openListenState(t.Context(), state, stateSource(srv.URL, defaultKey, to.URL))
			require.NoError(t, err)
			t.Cleanup(func() { assert.NoError(t, kept.Close()) })
			left, err := kept.due(time.Now().Add(time.Hour))
			require.NoError(t, err)
			var attempts []int
			for _, found := range left {
				attempts = append(attempts, found.attempts)
			}
			want := map[int][]int{http.StatusOK: {0}, http.StatusServiceUnavailable: {0, 1}}[status]
			assert.ElementsMatch(t, want, attempts)
		})
	}
}

// A second Ctrl-C ends it at once.
func TestListen_endsAtASecondInterrupt(t *testing.T) {
	srv, client := apiServer(t, time.Millisecond)
	create(t, client)
	posts, respond := make(chan struct{}, 1), make(chan struct{})
	to := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		posts <- struct{}{}
		<-respond
	}))
	t.Cleanup(to.Close)
	t.Cleanup(func() { close(respond) })
	process := startProcess(t, "listen", "--url", srv.URL, "--forward-to", to.URL, "--state", t.TempDir(), "--since", "1h", "--console-addr", "")
	<-posts
	for ended := false; !ended; { // the first ones may arrive together
		_ = process.cmd.Process.Signal(os.Interrupt) // it may have ended
		select {
		case <-process.ended:
			ended = true
		case <-time.After(20 * time.Millisecond):
		}
	}
	assert.Equal(t, -1, process.cmd.ProcessState.ExitCode(), "by the signal")
}

func TestListen_since(t *testing.T) {
	srv, client := apiServer(t, time.Millisecond)
	old := create(t, client)
	_, err := client.Tasks.Wait(t.Context(), old)
	require.NoError(t, err)
	in, to := receiver(t)
	stop := listening(t, srv.URL, to, t.TempDir(), "--since", "1h")
	require.Eventually(t, func() bool { return len(in.all()) == 1 }, 60*time.Second, 10*time.Millisecond)
	stop()
	assert.Equal(t, []string{old}, in.ids())
}

// Killed and started again at any time, listen misses nothing, and repeats at most one webhook for
// each kill, under the same key.
func TestListen_missesNothingHoweverOftenItIsKilled(t *testing.T) {
	tasks, kills := 30, 3
	if os.Getenv("ITTYBIT_TEST_LISTEN") == "full" {
		tasks, kills = 300, 20
	}
	srv, client := apiServer(t, 300*time.Millisecond)
	in, to := receiver(t)
	args := []string{"listen", "--url", srv.URL, "--key", defaultKey, "--forward-to", to, "--state", t.TempDir(), "--every", "50ms", "--console-addr", ""}
	listening := startProcess(t, args...)
	listening.waitFor("Delivering")
	wanted, running := map[string]bool{}, 0
	for kill := range kills {
		before := len(in.all())
		for i := range tasks / kills {
			wanted["task:"+create(t, client)+":completed"] = true
			if i%4 == 0 {
				time.Sleep(time.Duration(rand.IntN(30)) * time.Millisecond)
			}
		}
		if kill%2 == 0 { // between the receiver's response and its record
			require.Eventually(t, func() bool { return len(in.all()) > before }, 60*time.Second, 100*time.Microsecond)
		} else { // or anywhere, also while it starts
			time.Sleep(time.Duration(rand.IntN(600)) * time.Millisecond)
		}
		if strings.Contains(listening.String(), "Delivering") {
			running++
		}
		listening.kill()
		listening = startProcess(t, args...)
	}
	seen := func() map[string]int {
		keys := map[string]int{}
		for _, e := range in.all() {
			keys[e.Key()]++
		}
		return keys
	}
	require.Eventually(t, func() bool { return len(seen()) >= tasks }, 60*time.Second, 20*time.Millisecond)
	assert.Zero(t, listening.interrupt())
	for key := range seen() {
		assert.True(t, wanted[key], key)
	}
	repeats := len(in.all()) - tasks
	assert.LessOrEqual(t, repeats, kills)
	t.Logf("%d tasks, %d kills (%d of them while it delivered), %d repeats", tasks, kills, running, repeats)

	// What the next poll can't find again is not kept.
	state, at, err := openListenState(t.Context(), args[8], stateSource(srv.URL, defaultKey, to))
	require.NoError(t, err)
	defer func() { _ = state.Close() }()
	at.Since = time.Now().Add(time.Minute)
	require.NoError(t, state.add(nil, false, *at))
	var left int
	require.NoError(t, state.db.QueryRow("SELECT count(*) FROM events").Scan(&left))
	assert.Zero(t, left)
}

func TestListen_deliversInTheOrderOfTheirEnds(t *testing.T) {
	srv, client := apiServer(t, time.Hour)
	in, to := receiver(t)
	state := t.TempDir()
	stop := listening(t, srv.URL, to, state)
	var ids []string
	for range 12 {
		ids = append(ids, create(t, client))
	}
	stop()
	rand.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
	for _, id := range ids {
		finish(t, srv, client, id)
		time.Sleep(2 * time.Millisecond) // times have milliseconds
	}
	stop = listening(t, srv.URL, to, state)
	require.Eventually(t, func() bool { return len(in.all()) == len(ids) }, 60*time.Second, 10*time.Millisecond)
	stop()
	assert.Equal(t, ids, in.ids())
}

// A receiver that is away holds nothing else up, and the checkpoint moves on.
func TestListen_triesAgainWithoutHoldingUpTheOthers(t *testing.T) {
	srv, client := apiServer(t, time.Millisecond)
	first := create(t, client)
	var mu sync.Mutex
	var attempts int
	var handled []string
	to := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		event, err := ittybit.ParseEvent(body)
		assert.NoError(t, err)
		mu.Lock()
		defer mu.Unlock()
		attempts++
		if event.Task.ID == first && len(handled) == 0 {
			w.WriteHeader(http.StatusInternalServerError) // until another one is delivered
			return
		}
		handled = append(handled, event.Task.ID)
	}))
	t.Cleanup(to.Close)
	stop := listening(t, srv.URL, to.URL, t.TempDir(), "--since", "1h")
	require.Eventually(t, func() bool { mu.Lock(); defer mu.Unlock(); return attempts > 0 }, 60*time.Second, time.Millisecond)
	second := create(t, client)
	require.Eventually(t, func() bool { mu.Lock(); defer mu.Unlock(); return len(handled) == 2 }, 60*time.Second, 10*time.Millisecond)
	stop()
	assert.Equal(t, []string{second, first}, handled)
}

func TestListen_isForOneKeyAndOneProcess(t *testing.T) {
	srv, _ := apiServer(t, time.Millisecond)
	_, to := receiver(t)
	state := t.TempDir()
	args := []string{"listen", "--url", srv.URL, "--forward-to", to, "--state", state, "--every", "20ms", "--console-addr", ""}
	running := startProcess(t, args...)
	running.waitFor("Delivering")
	code, _, errOut := command(t, args...)
	assert.Equal(t, exitFailed, code)
	assert.Contains(t, errOut, "another ittybit-dev has it open")
	assert.Zero(t, running.interrupt())
	code, _, errOut = command(t, append(args, "--key", "another_key_of_a_test")...)
	assert.Equal(t, exitFailed, code)
	assert.Contains(t, errOut, "of another API, key or --forward-to")
	assert.NotContains(t, errOut, "another_key_of_a_test")
	code, _, errOut = command(t, append(args, "--key", "another_key_of_a_test", "--state", t.TempDir())...)
	assert.Equal(t, exitNoReach, code, "a key that is refused ends it")
	assert.Contains(t, errOut, "401")
}

func TestListen_printsNoSecret(t *testing.T) {
	srv, client := apiServer(t, time.Millisecond)
	create(t, client)
	var out, errOut syncBuffer
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, []string{"listen", "--url", srv.URL, "--json", "--since", "1h", "--state", t.TempDir(), "--forward-to",
			"http://user:password@127.0.0.1:1/hook?token=secret"}, strings.NewReader(""), &out, &errOut)
	}()
	require.Eventually(t, func() bool { return strings.Contains(out.String(), "\n") }, 60*time.Second, 5*time.Millisecond)
	cancel()
	assert.Equal(t, exitOK, <-ended)
	var a attempt
	require.NoError(t, json.NewDecoder(strings.NewReader(out.String())).Decode(&a))
	assert.Contains(t, a.Error, "refused")
	assert.Equal(t, ittybit.EventTaskCompleted, a.Event)
	for _, secret := range []string{"secret", "password", defaultKey} {
		assert.NotContains(t, out.String()+errOut.String(), secret)
	}
}

// syncBuffer is written while it is read.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write implements io.Writer.
func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
