package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A browser that opened the printed address stays signed in when serve is started again on the
// same directory and port.
func TestServe_opensAConsole(t *testing.T) {
	dir := t.TempDir()
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	client := &http.Client{Jar: jar}
	status := func(address string) int {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
		require.NoError(t, err)
		req.Header.Set("X-Ittybit-Console", "1")
		resp, err := client.Do(req)
		require.NoError(t, err)
		defer resp.Body.Close()
		return resp.StatusCode
	}
	page, stop := consoleOf(t, "--data", dir)
	u, err := url.Parse(page)
	require.NoError(t, err)
	list := u.Scheme + "://" + u.Host + "/api/_local/deliveries"
	assert.Equal(t, http.StatusUnauthorized, status(list))
	assert.Equal(t, http.StatusOK, status(page))
	assert.Equal(t, http.StatusOK, status(list))
	stop()
	again, stop := consoleOf(t, "--data", dir, "--console-addr", u.Host)
	defer stop()
	assert.Equal(t, page, again)
	assert.Equal(t, http.StatusOK, status(list))
}

func TestServe_wantsAPasswordForAConsoleThatOthersReach(t *testing.T) {
	code, _, errOut := command(t, "serve", "--addr", "127.0.0.1:0", "--storage-addr", "127.0.0.1:0", "--console-addr", "0.0.0.0:0")
	assert.Equal(t, exitFailed, code)
	assert.Contains(t, errOut, "needs a password")
	page, _ := consoleOf(t, "--console-addr", "0.0.0.0:0", "--password", "a long password of a test")
	assert.True(t, strings.HasPrefix(page, "http://127.0.0.1:"), page)
}

// The console of listen shows its attempts, and sends one again to the address of --forward-to.
// What would sign anything else with the key has no port.
func TestListen_opensAConsole(t *testing.T) {
	srv, client := apiServer(t, time.Millisecond)
	in, to := receiver(t)
	in.statuses = []int{500}
	id := create(t, client)
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	reader, writer := io.Pipe()
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, []string{
			"listen", "--url", srv.URL, "--forward-to", to, "--state", t.TempDir(), "--every", "20ms", "--since", "1h", "--console-addr", "127.0.0.1:0",
		}, strings.NewReader(""), io.Discard, writer)
	}()
	t.Cleanup(func() {
		cancel()
		assert.Equal(t, exitOK, <-ended)
	})
	lines := bufio.NewScanner(reader)
	require.True(t, lines.Scan())
	go func() { _, _ = io.Copy(io.Discard, reader) }()
	page, ok := strings.CutPrefix(lines.Text(), "See: ")
	require.True(t, ok, lines.Text())
	u, err := url.Parse(page)
	require.NoError(t, err)
	ask := func(method, path string, into any) int {
		req, err := http.NewRequestWithContext(t.Context(), method, u.Scheme+"://"+u.Host+path, nil)
		require.NoError(t, err)
		req.Header.Set("X-Ittybit-Console", "1")
		resp, err := (&http.Client{Jar: jar}).Do(req)
		require.NoError(t, err)
		defer resp.Body.Close()
		if into != nil {
			require.NoError(t, json.NewDecoder(resp.Body).Decode(into))
		}
		return resp.StatusCode
	}
	require.Equal(t, http.StatusOK, ask(http.MethodGet, u.RequestURI(), nil))
	var list struct{ Deliveries []delivery }
	require.Eventually(t, func() bool {
		return ask(http.MethodGet, "/api/_local/deliveries?state=delivered", &list) == http.StatusOK && len(list.Deliveries) == 1
	}, 30*time.Second, 20*time.Millisecond)
	assert.Equal(t, []any{id, 2, "task.completed"}, []any{list.Deliveries[0].TaskID, list.Deliveries[0].Attempt, list.Deliveries[0].Event})
	var shown struct{ Attempts []delivery }
	require.Equal(t, http.StatusOK, ask(http.MethodGet, "/api/_local/deliveries/"+list.Deliveries[0].ID, &shown))
	require.Len(t, shown.Attempts, 2)
	assert.Equal(t, 500, shown.Attempts[0].Status)
	var tasks []struct{ ID string }
	require.Equal(t, http.StatusOK, ask(http.MethodGet, "/api/tasks", &tasks))
	assert.Equal(t, id, tasks[0].ID)

	require.Len(t, in.all(), 1)
	require.Equal(t, http.StatusAccepted, ask(http.MethodPost, "/api/_local/deliveries/"+list.Deliveries[0].ID+"/resend", nil))
	require.Eventually(t, func() bool { return len(in.all()) == 2 }, 30*time.Second, 20*time.Millisecond)
	assert.Equal(t, in.all()[0].Key(), in.all()[1].Key())
	assert.NotEqual(t, http.StatusOK, ask(http.MethodPost, "/api/_local/events", nil))
}
