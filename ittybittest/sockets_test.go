package ittybittest_test

import (
	"crypto/x509"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go/ittybittest"
)

func TestSockets_deliverOverRealHTTP(t *testing.T) {
	in := &inbox{statuses: []int{500, 503}}
	remote := receiver(t, in)
	a := open(t)
	id := a.create("/tasks", `{"kind":"nsfw","file_id":"f","webhook_url":"`+remote.URL+`/hook?ref=1"}`)["id"]
	d := waitFor(t, a.srv, final)
	assert.True(t, d.Delivered())
	assert.Equal(t, 3, d.Attempt)
	got := in.all()
	require.Len(t, got, 3)
	for _, r := range got {
		checkSignature(t, a.srv.APIKey, r.header.Get("Ittybit-Signature"), r.body)
		assert.Equal(t, "/hook", r.path)
		assert.Equal(t, "ref=1", r.query)
		assert.Equal(t, "application/json", r.header.Get("Content-Type"))
		assert.Equal(t, id, decode(t, r.body)["id"])
	}
}

func TestSockets_otherHostsAreRecordedButNotDialled(t *testing.T) {
	a := open(t)
	for _, url := range []string{hook, "https://192.0.2.1/hook", "https://localhost.your-app.com/", "https://[2001:db8::1]/"} {
		a.create("/tasks", `{"kind":"nsfw","file_id":"f","webhook_url":"`+url+`"}`)
		d := waitFor(t, a.srv, func(d ittybittest.Delivery) bool { return d.URL == url })
		require.ErrorIs(t, d.Err, ittybittest.ErrNotLoopback)
		assert.True(t, d.Final, "it is not retried")
		assert.Zero(t, d.StatusCode)
		assert.Less(t, d.Duration, time.Second)
	}
	assert.Len(t, a.srv.Deliveries(), 4)
}

func TestSockets_redirectsAreNotFollowed(t *testing.T) {
	in := &inbox{}
	target := receiver(t, in)
	moved := receiver(t, http.RedirectHandler(target.URL, http.StatusTemporaryRedirect))
	a := open(t, ittybittest.WithBackoff(ittybittest.Backoff{Attempts: 2}))
	a.create("/tasks", `{"kind":"nsfw","file_id":"f","webhook_url":"`+moved.URL+`"}`)
	d := waitFor(t, a.srv, final)
	assert.Equal(t, http.StatusTemporaryRedirect, d.StatusCode)
	assert.False(t, d.Delivered())
	assert.Empty(t, in.all())
}

func TestSockets_httpsOnLoopback(t *testing.T) {
	in := &inbox{}
	remote := httptest.NewUnstartedServer(in)
	remote.Config.ErrorLog = nil
	remote.StartTLS()
	defer remote.Close()
	pool := x509.NewCertPool()
	pool.AddCert(remote.Certificate())
	a := open(t, ittybittest.WithRootCAs(pool))
	a.create("/tasks", `{"kind":"nsfw","file_id":"f","webhook_url":"`+remote.URL+`"}`)
	assert.True(t, waitFor(t, a.srv, final).Delivered())
	assert.Len(t, in.all(), 1)
}

func TestSockets_slowReceiver(t *testing.T) {
	var once sync.Once
	slow := receiver(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadAll(r.Body)
		once.Do(func() { <-r.Context().Done() })
	}))
	a := open(t, ittybittest.WithDeliveryTimeout(100*time.Millisecond))
	a.create("/tasks", `{"kind":"nsfw","file_id":"f","webhook_url":"`+slow.URL+`"}`)
	d := waitFor(t, a.srv, final)
	assert.True(t, d.Delivered())
	assert.Equal(t, 2, d.Attempt)
	assert.ErrorContains(t, a.srv.Deliveries()[0].Err, "in time (100ms)")
}

func TestSockets_manyAtOnce(t *testing.T) {
	in := &inbox{}
	remote := receiver(t, in)
	a := open(t)
	a.create("/automations", automation(`[{"kind":"webhook","url":"`+remote.URL+`/media"},{"kind":"nsfw"}]`))
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			for path, body := range map[string]string{
				"/tasks": `{"kind":"video","file_id":"f","webhook_url":"` + remote.URL + `/task"}`, "/media": "{}",
			} {
				got, err := a.try(a.request("POST", path, body))
				assert.NoError(t, err)
				assert.Equal(t, 201, got.status)
			}
			a.srv.SetFaults(ittybittest.Faults{})
			a.srv.SetResults("video", 1)
			_, err := a.try(a.request("GET", "/tasks?limit=100", ""))
			assert.NoError(t, err)
		})
	}
	wg.Wait()
	n := 0
	waitFor(t, a.srv, func(ittybittest.Delivery) bool { n++; return n == 100 })
	assert.Len(t, in.all(), 100)
}

func TestClose_leavesNoGoroutine(t *testing.T) {
	for range 5 {
		srv := ittybittest.NewServer(ittybittest.WithBackoff(ittybittest.Backoff{First: time.Hour}))
		a := newAPI(t, srv)
		a.create("/tasks", `{"kind":"nsfw","file_id":"f","webhook_url":"http://127.0.0.1:1/"}`)
		a.create("/tasks", nsfwTask)
		waitFor(t, srv, func(d ittybittest.Delivery) bool { return d.Attempt == 1 })
		srv.SetFaults(ittybittest.Faults{ReorderWindow: time.Hour})
		require.NoError(t, srv.Redeliver(ittybittest.Delivery{URL: "http://127.0.0.1:1/"}))
		srv.Close()
	}
	// Those of net/http end a moment after their connections are closed.
	assert.Eventually(t, func() bool { return !strings.Contains(otherStacks(), "ittybittest.") }, 5*time.Second, time.Millisecond, otherStacks())
}

// otherStacks are the goroutines that run this package's code, but no test.
func otherStacks() string {
	buf := make([]byte, 1<<20)
	buf = buf[:runtime.Stack(buf, true)]
	var stacks []string
	for stack := range strings.SplitSeq(string(buf), "\n\n") {
		if !strings.Contains(stack, "testing.tRunner") && !strings.Contains(stack, "_test.") {
			stacks = append(stacks, stack)
		}
	}
	return strings.Join(stacks, "\n\n")
}

func TestCurl(t *testing.T) {
	curl, err := exec.LookPath("curl")
	if err != nil {
		t.Skip("curl is not in PATH")
	}
	in := &inbox{}
	remote := receiver(t, in)
	a := open(t)
	dir := t.TempDir()

	// run returns the status and body of what curl got.
	run := func(args ...string) (status, body string) {
		t.Helper()
		file := filepath.Join(dir, "body")
		args = append([]string{"--silent", "--show-error", "--noproxy", "*", "--max-time", "20", "--output", file, "--write-out", "%{http_code}"}, args...)
		out, err := exec.CommandContext(t.Context(), curl, args...).CombinedOutput()
		require.NoError(t, err, string(out))
		raw, err := os.ReadFile(file)
		require.NoError(t, err)
		return string(out), string(raw)
	}
	key, asJSON := "Authorization: Bearer "+a.srv.APIKey, "Content-Type: application/json"
	task := `{"kind":"nsfw","url":"https://example.com/a.png","webhook_url":"` + remote.URL + `/nsfw-webhook"}`

	status, body := run("-H", key, "-H", asJSON, "-H", "Accept-Version: 2025-08-20", "-d", task, a.srv.URL+"/tasks")
	assert.Equal(t, "201", status, body)
	id := decode(t, body)["id"].(string)

	d := waitFor(t, a.srv, final)
	assert.True(t, d.Delivered())
	got := in.all()
	require.Len(t, got, 1)
	assert.Equal(t, "/nsfw-webhook", got[0].path)
	checkSignature(t, a.srv.APIKey, got[0].header.Get("Ittybit-Signature"), got[0].body)

	status, body = run("-H", key, a.srv.URL+"/tasks/"+id)
	assert.Equal(t, "200", status)
	assert.Equal(t, "completed", decode(t, body)["status"])
	assert.Equal(t, decode(t, got[0].body), decode(t, body))

	headers := filepath.Join(dir, "headers")
	status, body = run("-H", key, "--dump-header", headers, a.srv.URL+"/tasks?status=completed")
	assert.Equal(t, "200", status)
	assert.Contains(t, body, `[{"id":"`+id+`"`)
	dumped, err := os.ReadFile(headers)
	require.NoError(t, err)
	assert.Contains(t, string(dumped), `rel="self"`)

	status, body = run("-H", "Authorization: Bearer wrong", a.srv.URL+"/tasks")
	assert.Equal(t, "401", status)
	assert.Contains(t, decode(t, body)["message"], "not valid")
	status, body = run(a.srv.URL + "/tasks")
	assert.Equal(t, "401", status)
	assert.Contains(t, decode(t, body)["message"], "API key is required")

	status, body = run("-H", key, "-H", asJSON, "-d", `{"kind":`, a.srv.URL+"/tasks")
	assert.Equal(t, "400", status)
	assert.Contains(t, decode(t, body)["message"], "not valid JSON")
	status, _ = run("-H", key, "-d", task, a.srv.URL+"/tasks")
	assert.Equal(t, "201", status, "curl's own content type will do")
	status, _ = run("-H", key, "-X", "DELETE", a.srv.URL+"/tasks/"+id)
	assert.Equal(t, "405", status)

	large := filepath.Join(dir, "large")
	require.NoError(t, os.WriteFile(large, make([]byte, 4<<20), 0o600))
	status, body = run("-H", key, "-H", asJSON, "--data-binary", "@"+large, a.srv.URL+"/tasks")
	assert.Equal(t, "413", status)
	assert.Contains(t, decode(t, body)["message"], "larger")
}
