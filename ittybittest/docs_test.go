package ittybittest_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go/ittybittest"
)

// The commands of docs/local-server.md are run as they stand there, but for ids and addresses.
func TestDocumentation_curlWorks(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("curl is not in PATH")
	}
	page, err := os.ReadFile("../docs/local-server.md")
	require.NoError(t, err)
	_, script, ok := strings.Cut(string(page), "```sh\n")
	require.True(t, ok)
	script, _, _ = strings.Cut(script, "```")
	script = strings.ReplaceAll(script, "\\\n", " ")

	a, in, url := controlled(t, ittybittest.WithTaskDuration(time.Hour))
	task := a.create("/tasks", `{"kind":"nsfw","url":"https://example.com/a.png","webhook_url":"`+url+`"}`)["id"].(string)
	delivery := a.drive("POST", "events", `{"url":"`+url+`","event":"task.failed","wait":true}`).is(t, 200)["id"].(string)
	script = strings.NewReplacer("dlv_…", delivery, "task_…", task, "http://127.0.0.1:8080/hook", url).Replace(script)
	commands := strings.Split(strings.TrimSpace(script), "\ncurl ")
	require.Len(t, commands, 6)
	for i, want := range []string{`{"deliveries":[],`, `"state":"delivered"`, `{"id":"dlv_`, "", "", "event: delivery"} {
		command := "curl --silent --show-error --fail-with-body --noproxy '*' --max-time 20 " + strings.TrimPrefix(commands[i], "curl ")
		if strings.Contains(command, "/stream") {
			// It has no end.
			command = strings.Replace(command, "--max-time 20", "--max-time 1", 1) + " | head -9"
		}
		run := exec.CommandContext(t.Context(), "sh", "-c", command)
		run.Env = append(os.Environ(), "ITTYBIT_URL="+a.srv.URL)
		out, err := run.CombinedOutput()
		require.NoError(t, err, "%s: %s", command, out)
		if want == "" {
			assert.Empty(t, string(out))
		}
		assert.Contains(t, string(out), want)
	}
	d, err := a.srv.WaitForTask(t.Context(), task)
	require.NoError(t, err)
	assert.Contains(t, string(d.Body), "The file is broken.")
	assert.GreaterOrEqual(t, len(in.all()), 4)
	assert.Equal(t, 429, a.send("GET", "/tasks", "").status, "the faults are set")
}
