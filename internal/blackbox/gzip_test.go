package blackbox

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/internal/apitest"
)

func compressed(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := io.WriteString(w, text)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return b.String()
}

// A server may compress what nobody asked it to, and a transport leave it so.
func TestResponses_inGzipAreRead(t *testing.T) {
	for encoding, body := range map[string]string{"gzip": compressed(t, apitest.Task), "X-GZIP": compressed(t, apitest.Task)} {
		server, _ := apitest.Server(t, apitest.Respond(201, body, "Content-Encoding", encoding))
		transport := &http.Transport{DisableCompression: true}
		t.Cleanup(transport.CloseIdleConnections)
		client := apitest.Client(t, server.URL, ittybit.WithHTTPClient(&http.Client{Transport: transport}))
		task, err := client.Tasks.Create(t.Context(), ittybit.TaskCreateParams{Kind: "nsfw", FileID: "file_1"})
		require.NoError(t, err, encoding)
		assert.Equal(t, "task_1", task.ID)
	}
	server, _ := apitest.Server(t, apitest.Respond(404, compressed(t, `{"message":"no such task"}`), "Content-Encoding", "gzip"))
	_, err := apitest.Client(t, server.URL).Tasks.Get(t.Context(), "task_1")
	require.ErrorContains(t, err, "no such task", "also what net/http unpacks by itself")

	client, _ := apitest.Fake(t, apitest.Always(200, "", "Content-Encoding", "gzip"))
	require.NoError(t, client.Files.Delete(t.Context(), "file_1"), "nothing is nothing")
}

func TestResponses_thatClaimToBeGzipOrExpandWithoutEndAreErrors(t *testing.T) {
	whole := compressed(t, apitest.Task)
	bomb := strings.Repeat(compressed(t, strings.Repeat(" ", 1<<20)), 65) + compressed(t, "{}") // one after the other are one
	for name, body := range map[string]string{"not gzip": apitest.Task, "cut": whole[:len(whole)-5], "a bomb": bomb} {
		client, _ := apitest.Fake(t, apitest.Always(200, body, "Content-Encoding", "gzip"), ittybit.WithRetryPolicy(ittybit.RetryPolicy{MaxAttempts: 1}))
		_, err := client.Tasks.Get(t.Context(), "task_1")
		require.Error(t, err, name)
	}
}

func TestWithRequestHeader_acceptEncodingIsNotTheCallersToSet(t *testing.T) {
	client, seen := apitest.Fake(t, apitest.Always(200, apitest.Task))
	for _, name := range []string{"Accept-Encoding", "accept-encoding"} {
		_, err := client.Tasks.Get(t.Context(), "task_1", ittybit.WithRequestHeader(name, "br"))
		apitest.RequireParamError(t, err, "request header")
	}
	assert.Zero(t, seen.Count())
}
