package main

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
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

// command runs a command line to its end.
func command(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	return commandIn(t, "", args...)
}

func commandIn(t *testing.T, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errOut bytes.Buffer
	code = run(t.Context(), args, strings.NewReader(stdin), &out, &errOut)
	return code, out.String(), errOut.String()
}

// ok runs a command line that must go well.
func ok(t *testing.T, args ...string) string {
	t.Helper()
	code, out, errOut := command(t, args...)
	require.Equal(t, exitOK, code, out+errOut)
	return out
}

// serving starts serve on free ports, and gives its address; stop ends it as Ctrl-C does.
func serving(t *testing.T, args ...string) (url, storage string, stop func()) {
	t.Helper()
	hello, stop := greeted(t, args...)
	return hello["ITTYBIT_URL"], hello["ITTYBIT_STORAGE_URL"], stop
}

// consoleOf starts serve as serving does, and gives the address of its console.
func consoleOf(t *testing.T, args ...string) (page string, stop func()) {
	t.Helper()
	hello, stop := greeted(t, args...)
	return hello["console"], stop
}

// greeted starts serve, and gives what it printed.
func greeted(t *testing.T, args ...string) (hello map[string]string, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	reader, writer := io.Pipe()
	var errOut bytes.Buffer
	ended := make(chan int, 1)
	go func() {
		all := append([]string{"serve", "--json", "--addr", "127.0.0.1:0", "--storage-addr", "127.0.0.1:0", "--console-addr", "127.0.0.1:0", "--task-duration", "10ms"}, args...)
		ended <- run(ctx, all, strings.NewReader(""), writer, &errOut)
		_ = writer.Close()
	}()
	require.NoError(t, json.NewDecoder(reader).Decode(&hello), "serve did not start")
	go func() { _, _ = io.Copy(io.Discard, reader) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			assert.Equal(t, exitOK, <-ended, errOut.String())
		})
	}
	t.Cleanup(stop)
	assert.Equal(t, "ittybit_local_dev_key", hello["ITTYBIT_API_KEY"])
	return hello, stop
}

// inbox is an application that verifies its webhooks.
type inbox struct {
	mu       sync.Mutex
	events   []*ittybit.Event
	statuses []int
}

func receiver(t *testing.T) (*inbox, string) {
	in := &inbox{}
	handler, err := ittybit.NewWebhookHandler(defaultKey, ittybit.EventHandlerFunc(func(_ context.Context, e *ittybit.Event) error {
		in.mu.Lock()
		defer in.mu.Unlock()
		if len(in.statuses) > 0 {
			in.statuses = in.statuses[1:]
			return fmt.Errorf("not now")
		}
		in.events = append(in.events, e)
		return nil
	}))
	require.NoError(t, err)
	srv := httptest.NewServer(handler)
	t.Cleanup(srv.Close)
	return in, srv.URL + "/hooks"
}

func (in *inbox) all() []*ittybit.Event {
	in.mu.Lock()
	defer in.mu.Unlock()
	return append([]*ittybit.Event(nil), in.events...)
}

func TestTrigger_sendsThroughServe(t *testing.T) {
	in, to := receiver(t)
	url, _, _ := serving(t)
	out := ok(t, "trigger", "task.completed", "--url", url, "--kind", "nsfw", "--set", "results.is_nsfw=true", "--set", "options.ref=a b", "--to", to)
	assert.Contains(t, out, "task.completed to "+to+": 200 OK")
	require.Len(t, in.all(), 1)
	nsfw, err := in.all()[0].Task.NSFW()
	require.NoError(t, err)
	assert.True(t, nsfw.IsNSFW)

	var page struct{ Deliveries []delivery }
	require.NoError(t, json.Unmarshal([]byte(ok(t, "deliveries", "--url", url, "--json")), &page))
	require.Len(t, page.Deliveries, 1)
	d := page.Deliveries[0]
	assert.Equal(t, []string{"delivered", "task.completed", to}, []string{d.State, d.Event, d.URL})
	table := ok(t, "deliveries", "--url", url, "--state", "delivered", "--task", d.TaskID)
	assert.Contains(t, table, d.ID)
	assert.NotContains(t, ok(t, "deliveries", "--url", url, "--state", "failed"), d.ID)
	assert.NotContains(t, table, "\x1b", "no colours")

	var shown struct{ Signature string }
	require.NoError(t, json.Unmarshal([]byte(ok(t, "show", d.ID, "--url", url, "--json")), &shown))
	assert.Equal(t, "valid", shown.Signature)
	text := ok(t, "show", d.ID, "--url", url)
	for _, part := range []string{d.ID + ": delivered", "POST " + to, "Ittybit-Signature: t=", `"is_nsfw": true`, "Attempt 1,", "200 OK", "Signature: valid"} {
		assert.Contains(t, text, part)
	}
	assert.Contains(t, ok(t, "resend", d.ID, "--url", url), "200 OK")
	require.Eventually(t, func() bool { return len(in.all()) == 2 }, 20*time.Second, time.Millisecond)
	assert.Equal(t, in.all()[0].Key(), in.all()[1].Key())
}

func TestTrigger_sendsItselfWhereNothingIsServed(t *testing.T) {
	in, to := receiver(t)
	for event, want := range map[string]ittybit.EventType{
		"task.completed": "task.completed", "task.succeeded": "task.succeeded", "task.failed": "task.failed", "task.cancelled": "task.cancelled",
		"task.updated": "task.updated", "media.created": "media.created", "job.succeeded": "job.succeeded", "job.failed": "job.failed",
	} {
		var d delivery
		require.NoError(t, json.Unmarshal([]byte(ok(t, "trigger", event, "--kind", "video", "--url", "http://127.0.0.1:1", "--to", to, "--json")), &d))
		assert.Equal(t, "delivered", d.State)
		events := in.all()
		assert.Equal(t, want, events[len(events)-1].Type)
	}
}

func TestTrigger_exitCodes(t *testing.T) {
	in, to := receiver(t)
	in.statuses = []int{500}
	code, out, errOut := command(t, "trigger", "task.completed", "--url", "http://127.0.0.1:1", "--to", to)
	assert.Equal(t, exitFailed, code)
	assert.Contains(t, out, "500 Internal Server Error")
	assert.Contains(t, errOut, "not confirmed")
	code, _, _ = command(t, "trigger", "task.completed", "--url", "http://127.0.0.1:1", "--to", "http://127.0.0.1:1/")
	assert.Equal(t, exitFailed, code)
	for _, args := range [][]string{
		{"trigger", "task.complete", "--to", to}, {"trigger", "task.completed"}, {"trigger"}, {"nothing"}, {"trigger", "task.failed", "--to", to, "--set", "x"},
		{"verify"}, {"serve", "--faults", "{"}, {"listen", "--forward-to", to, "--since", "yesterday", "--url", "http://127.0.0.1:1"}, {"listen", "--forward-to", to},
	} {
		t.Setenv("ITTYBIT_API_KEY", "")
		t.Setenv("ITTYBIT_URL", "")
		if args[0] == "serve" {
			args = append(args, "--addr", "127.0.0.1:0", "--storage-addr", "127.0.0.1:0", "--console-addr", "")
		}
		if args[0] == "listen" {
			args = append(args, "--state", t.TempDir())
		}
		code, _, errOut := command(t, args...)
		assert.Equal(t, exitUsage, code, args)
		assert.True(t, strings.HasPrefix(errOut, "ittybit-dev: "), errOut)
	}
	code, _, errOut = command(t, "deliveries", "--url", "http://127.0.0.1:1")
	assert.Equal(t, exitNoReach, code)
	assert.Contains(t, errOut, "ittybit-dev serve")
	url, _, _ := serving(t)
	code, _, errOut = command(t, "show", "dlv_none", "--url", url)
	assert.Equal(t, exitNoReach, code)
	assert.Contains(t, errOut, "dlv_none")
	code, _, _ = command(t, "tasks", "get", "task_none", "--url", url)
	assert.Equal(t, exitNoReach, code)
}

func TestServe_postsEveryEndAndKeepsItsState(t *testing.T) {
	in, to := receiver(t)
	dir := filepath.Join(t.TempDir(), "data")
	url, storage, stop := serving(t, "--webhook", to, "--data", dir)
	out := ok(t, "tasks", "create", "nsfw", "https://example.com/cat.jpg", "--option", "width=320", "--url", url)
	id, _, _ := strings.Cut(out, " ")
	assert.Contains(t, ok(t, "tasks", "wait", id, "--url", url), `"completed"`)
	file := filepath.Join(t.TempDir(), "film.mp4")
	require.NoError(t, os.WriteFile(file, bytes.Repeat([]byte("film"), 100_000), 0o600))
	out = ok(t, "upload", file, "--folder", "a", "--domain", storage, "--url", url, "--chunk-size", "65536", "--threshold", "1")
	assert.Contains(t, out, storage+"/a/film.mp4")
	assert.NoFileExists(t, file+".ittybit-upload")
	require.Eventually(t, func() bool { return len(in.all()) == 2 }, 20*time.Second, time.Millisecond)
	types := []ittybit.EventType{in.all()[0].Type, in.all()[1].Type}
	assert.ElementsMatch(t, []ittybit.EventType{"task.completed", "media.created"}, types)
	before := ok(t, "deliveries", "--url", url, "--json")
	stop()

	url, storage, stop = serving(t, "--data", dir)
	assert.Equal(t, before, ok(t, "deliveries", "--url", url, "--json"))
	assert.Contains(t, ok(t, "tasks", "list", "--url", url, "--status", "completed"), id)
	resp, err := http.Get(storage + "/a/film.mp4")
	require.NoError(t, err)
	defer resp.Body.Close()
	assert.Equal(t, int64(400_000), resp.ContentLength)
	signed := strings.TrimSpace(ok(t, "sign-url", "a/film.mp4", "--domain", storage))
	other, err := http.Get(signed)
	require.NoError(t, err)
	defer other.Body.Close()
	assert.Equal(t, 200, other.StatusCode)

	require.NotEmpty(t, ok(t, "trigger", "task.failed", "--url", url, "--to", to))
	var page struct{ Deliveries []delivery }
	require.NoError(t, json.Unmarshal([]byte(ok(t, "deliveries", "--url", url, "--json")), &page))
	assert.Len(t, page.Deliveries, 3)
	assert.Equal(t, int64(3), page.Deliveries[0].Number, "numbers go on")
	stop()
}

func TestServe_takesFaultsAndRefusesAPortThatIsTaken(t *testing.T) {
	url, _, _ := serving(t, "--faults", `{"requests":[{"count":1,"status":418}]}`)
	code, _, errOut := command(t, "tasks", "get", "task_x", "--url", url)
	assert.Equal(t, exitNoReach, code)
	assert.Contains(t, errOut, "418")
	code, _, errOut = command(t, "serve", "--addr", strings.TrimPrefix(url, "http://"), "--storage-addr", "127.0.0.1:0", "--console-addr", "127.0.0.1:0")
	assert.Equal(t, exitFailed, code)
	assert.Contains(t, errOut, "--addr")
}

func TestSignAndVerify(t *testing.T) {
	dir := t.TempDir()
	body := filepath.Join(dir, "body.json")
	require.NoError(t, os.WriteFile(body, ittybittest.TaskCompleted("nsfw", nil), 0o600))
	var signed map[string]string
	require.NoError(t, json.Unmarshal([]byte(ok(t, "sign", body, "--to", "http://localhost:3000/it's", "--json")), &signed))
	assert.Contains(t, signed["curl"], `'http://localhost:3000/it'\''s'`)
	assert.NotContains(t, signed["curl"], defaultKey)
	assert.Contains(t, ok(t, "verify", "--header", signed["value"], "--body", body), "valid")

	headers := filepath.Join(dir, "headers")
	require.NoError(t, os.WriteFile(headers, []byte("POST /hook HTTP/1.1\nHost: x\nittybit-signature: "+signed["value"]+"\n"), 0o600))
	ok(t, "verify", "--headers", headers, "--body", body)

	content, err := os.ReadFile(body)
	require.NoError(t, err)
	dump := fmt.Sprintf("POST /hook HTTP/1.1\r\nHost: x\r\nIttybit-Signature: %s\r\nContent-Length: %d\r\n\r\n%s", signed["value"], len(content), content)
	har, err := json.Marshal(map[string]any{"log": map[string]any{"entries": []any{
		map[string]any{"request": map[string]any{"headers": []any{}}},
		map[string]any{"request": map[string]any{
			"headers":  []any{map[string]string{"name": "ittybit-signature", "value": signed["value"]}},
			"postData": map[string]string{"text": string(content)},
		}},
	}}})
	require.NoError(t, err)
	for _, file := range []string{dump, string(har)} {
		code, out, errOut := commandIn(t, file, "verify", "-")
		assert.Equal(t, exitOK, code, errOut)
		assert.Contains(t, out, "valid: ")
		code, out, _ = commandIn(t, strings.Replace(file, "nsfw", "nfsw", 1), "verify", "-")
		assert.Equal(t, exitFailed, code)
		assert.Contains(t, out, "not valid: ")
	}
	code, out, _ := command(t, "verify", "--header", signed["value"], "--body", body, "--key", "another key of a test")
	assert.Equal(t, exitFailed, code)
	assert.NotContains(t, out, "another key of a test")
	code, _, errOut := commandIn(t, "nothing of that", "verify", "-")
	assert.Equal(t, exitUsage, code)
	assert.Contains(t, errOut, "neither a raw HTTP request nor a HAR file")
}

func TestHelp_showsNoKey(t *testing.T) {
	t.Setenv("ITTYBIT_API_KEY", "ittybit_secret_of_a_test")
	for _, args := range [][]string{{"--help"}, {"serve", "--help"}, {"trigger", "--help"}, {"listen", "--help"}, {"completion", "bash"}} {
		out := ok(t, args...)
		assert.NotEmpty(t, out)
		assert.NotContains(t, out, "ittybit_secret_of_a_test")
	}
	for _, cmd := range newRoot().Commands() {
		assert.True(t, cmd.Example != "" || cmd.HasSubCommands(), cmd.Name())
	}
}

// A webhook that was signed in another way: what verify prints as Go is what accepts it.
func TestVerify_saysWhichLineOfGoMendsIt(t *testing.T) {
	secret := []byte("a secret of a test")
	encoded := base64.StdEncoding.EncodeToString(secret)
	body := ittybittest.TaskCompleted("nsfw", nil)
	sum := func(key []byte, text string) string {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(text))
		return hex.EncodeToString(mac.Sum(nil))
	}
	for name, c := range map[string]struct{ key, header, line string }{
		"comma":         {"ittybit_k", "t=1764000000,v1=" + sum([]byte("ittybit_k"), "1764000000,"+string(body)), `NewWebhookHandler(key, events, ittybit.WithSignedContent(`},
		"body alone":    {"ittybit_k", "t=1764000000,v1=" + sum([]byte("ittybit_k"), string(body)), `{ mac.Write(body) }))`},
		"no timestamp":  {"ittybit_k", sum([]byte("ittybit_k"), string(body)), `NewWebhookHandler(key, events, ittybit.WithUntimestampedSignatures())`},
		"whsec_":        {"whsec_k", "t=1764000000,v1=" + sum([]byte("k"), "1764000000."+string(body)), `NewWebhookHandler(strings.TrimPrefix(key, "whsec_"), events)`},
		"base64 secret": {"whsec_" + encoded, "t=1764000000,v1=" + sum(secret, "1764000000."+string(body)), `NewWebhookHandler(key, events, ittybit.WithSecretBytes(secret))`},
		"another key":   {"ittybit_k", "t=1764000000,v1=" + sum([]byte("another"), "1764000000."+string(body)), ""},
	} {
		result, err := check(c.key, captured{header: c.header, body: body})
		require.NoError(t, err, name)
		assert.False(t, result.Valid, name)
		assert.Contains(t, result.Go, c.line, name)
		assert.Equal(t, c.line == "", result.Go == "", name)
	}
}

// A dump without a length, with a body to which an editor added a newline; a chunked one; a HAR
// file whose body is in base64.
func TestVerify_takesWhatToolsPrint(t *testing.T) {
	body := string(ittybittest.TaskCompleted("nsfw", nil))
	header := ittybit.SignWebhook(defaultKey, time.Now(), []byte(body))
	for name, dump := range map[string]string{
		"no length": "POST /hook HTTP/2\nittybit-signature: " + header + "\n\n" + body + "\n",
		"chunked": fmt.Sprintf("POST /hook HTTP/1.1\r\nTransfer-Encoding: chunked\r\nIttybit-Signature: %s\r\n\r\n%x\r\n%s\r\n0\r\n\r\n",
			header, len(body), body),
		"joined": "POST /hook HTTP/1.1\r\nTransfer-Encoding: chunked\r\nIttybit-Signature: " + header + "\r\n\r\n" + body,
		"HAR": `{"log":{"entries":[{"request":{"headers":[{"name":"Ittybit-Signature","value":"` + header + `"}],"postData":{"encoding":"base64","text":"` +
			base64.StdEncoding.EncodeToString([]byte(body)) + `"}}}]}}`,
	} {
		code, out, errOut := commandIn(t, dump, "verify", "-")
		assert.Equal(t, exitOK, code, name+out+errOut)
	}
	code, _, errOut := commandIn(t, "POST / HTTP/1.1\r\nContent-Length: 9\r\nIttybit-Signature: x\r\n\r\nshort", "verify", "-")
	assert.Equal(t, exitUsage, code)
	assert.Contains(t, errOut, "cut short: 5 bytes of 9")
}

// Killed while it uploads, the same command sends the rest.
func TestUpload_goesOnAfterAKill(t *testing.T) {
	local := ittybittest.NewTestServer(t, ittybittest.WithAPIKey(defaultKey))
	file := filepath.Join(t.TempDir(), "film.mp4")
	content := bytes.Repeat([]byte("film"), 50_000)
	require.NoError(t, os.WriteFile(file, content, 0o600))
	args := []string{"upload", file, "--url", local.URL, "--domain", local.StorageURL, "--chunk-size", "20000", "--threshold", "1"}
	local.SetFaults(ittybittest.Faults{Latency: 200 * time.Millisecond})
	cut := startProcess(t, args...)
	require.Eventually(t, func() bool { _, err := os.Stat(file + ".ittybit-upload"); return err == nil }, time.Minute, time.Millisecond)
	cut.kill()
	require.FileExists(t, file+".ittybit-upload")
	local.SetFaults(ittybittest.Faults{})
	assert.Contains(t, ok(t, args...), local.StorageURL+"/film.mp4")
	assert.NoFileExists(t, file+".ittybit-upload")

	// What is kept of another file is not gone on with.
	require.NoError(t, os.WriteFile(file+".ittybit-upload", []byte("damaged"), 0o600))
	code, out, errOut := command(t, append(args, "--json")...)
	require.Equal(t, exitOK, code, errOut)
	assert.Contains(t, errOut, "begins anew")
	var uploaded struct{ File *ittybit.File }
	require.NoError(t, json.Unmarshal([]byte(out), &uploaded))
	assert.Equal(t, int64(len(content)), uploaded.File.Filesize)
	assert.NoFileExists(t, file+".ittybit-upload")
}
