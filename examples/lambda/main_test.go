package main

import (
	"bytes"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/internal/pgserver"
)

const apiKey = "lambda_example_key_0123456789"

func TestMain(m *testing.M) {
	if os.Getenv("AWS_LAMBDA_RUNTIME_API") != "" { // the tests' child, which is the function
		main()
		return
	}
	os.Exit(m.Run())
}

// function is the example's process, and Lambda's side of the Runtime API.
type function struct {
	events    chan events.LambdaFunctionURLRequest
	responses chan events.LambdaFunctionURLResponse
}

func startFunction(t *testing.T, databaseURL string) *function {
	t.Helper()
	f := &function{
		events:    make(chan events.LambdaFunctionURLRequest),
		responses: make(chan events.LambdaFunctionURLResponse, 1),
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /2018-06-01/runtime/invocation/next", func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case event := <-f.events:
			w.Header().Set("Lambda-Runtime-Aws-Request-Id", "1")
			w.Header().Set("Lambda-Runtime-Deadline-Ms", fmt.Sprint(time.Now().Add(6*time.Second).UnixMilli()))
			assert.NoError(t, json.NewEncoder(w).Encode(event))
		}
	})
	mux.HandleFunc("POST /2018-06-01/runtime/invocation/1/{what}", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		assert.Equal(t, "response", r.PathValue("what"), "%s", body)
		head, _, _ := bytes.Cut(body, make([]byte, 8)) // what streams sends its head first
		var response events.LambdaFunctionURLResponse
		assert.NoError(t, json.Unmarshal(head, &response))
		w.WriteHeader(http.StatusAccepted)
		f.responses <- response
	})
	api := httptest.NewServer(mux)
	t.Cleanup(api.Close)

	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), "AWS_LAMBDA_RUNTIME_API="+strings.TrimPrefix(api.URL, "http://"),
		"ITTYBIT_API_KEY="+apiKey, "DATABASE_URL="+databaseURL)
	cmd.Stderr = t.Output()
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Wait() }) // t's context has ended it
	return f
}

// deliver invokes the function with a delivery, and gives the status that Ittybit would see.
func (f *function) deliver(t *testing.T, body, signature string) int {
	t.Helper()
	event := events.LambdaFunctionURLRequest{
		Version: "2.0", RawPath: "/nsfw-webhook", IsBase64Encoded: true,
		Body:    base64.StdEncoding.EncodeToString([]byte(body)),
		Headers: map[string]string{"content-type": "application/json"},
	}
	if signature != "" {
		event.Headers["ittybit-signature"] = signature
	}
	event.RequestContext.DomainName = "function.test"
	event.RequestContext.HTTP.Method = http.MethodPost
	limit := time.After(30 * time.Second)
	select {
	case f.events <- event:
	case <-limit:
		t.Fatal("the function asks for no event")
	}
	select {
	case response := <-f.responses:
		return response.StatusCode
	case <-limit:
		t.Fatal("the function does not respond")
	}
	return 0
}

func TestFunction_keepsWhatWasFound(t *testing.T) {
	databaseURL := pgserver.Database(t)
	environment := func(name string) string { return map[string]string{"DATABASE_URL": databaseURL}[name] }
	require.NoError(t, run(t.Context(), []string{"migrate"}, environment))
	require.NoError(t, run(t.Context(), []string{"migrate"}, environment), "a second time")
	db, err := sql.Open("pgx", databaseURL)
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	count := func() (rows int) {
		t.Helper()
		require.NoError(t, db.QueryRowContext(t.Context(),
			"SELECT count(*) FROM uploads WHERE task_id = 'task_1' AND nsfw_detected AND nsfw_confidence = 0.97").Scan(&rows))
		return rows
	}

	first := startFunction(t, databaseURL)
	body := `{"id":"task_1","object":"task","kind":"nsfw","status":"completed","results":{"is_nsfw":true,"confidence":0.97}}`
	signature := ittybit.SignWebhook(apiKey, time.Now(), []byte(body))
	assert.Equal(t, http.StatusUnauthorized, first.deliver(t, body, ""))
	assert.Equal(t, http.StatusUnauthorized, first.deliver(t, body+" ", signature))
	assert.Zero(t, count(), "nobody has signed that")

	assert.Equal(t, http.StatusOK, first.deliver(t, body, signature))
	assert.Equal(t, 1, count())

	// Lambda runs as many processes as it likes: what one has handled, another one leaves alone.
	_, err = db.ExecContext(t.Context(), "DELETE FROM uploads")
	require.NoError(t, err)
	second := startFunction(t, databaseURL)
	assert.Equal(t, http.StatusOK, second.deliver(t, body, signature))
	assert.Zero(t, count(), "it was handled again")
}

func TestFunction_asksForARepeatWhereTheTablesAreMissing(t *testing.T) {
	f := startFunction(t, pgserver.Database(t))
	body := `{"id":"task_1","object":"task","kind":"nsfw","status":"completed","results":{"is_nsfw":true}}`
	status := f.deliver(t, body, ittybit.SignWebhook(apiKey, time.Now(), []byte(body)))
	assert.GreaterOrEqual(t, status, http.StatusInternalServerError)
}
