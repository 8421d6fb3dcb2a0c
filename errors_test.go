package ittybit_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
)

// apiErrorOf is the *APIError that a client makes of a response.
func apiErrorOf(t *testing.T, status int, body string, header ...string) *ittybit.APIError {
	t.Helper()
	server, _ := apiServer(t, apiRespond(status, body, header...))
	_, err := clientFor(t, server.URL, ittybit.WithRetryPolicy(ittybit.RetryPolicy{MaxAttempts: 1})).Tasks.Get(t.Context(), "task_1")
	var apiError *ittybit.APIError
	require.ErrorAs(t, err, &apiError)
	assert.Equal(t, status, apiError.StatusCode)
	assert.Equal(t, http.MethodGet, apiError.Method)
	assert.Equal(t, server.URL+"/tasks/task_1", apiError.URL)
	assert.NotContains(t, err.Error(), "\n")
	assert.True(t, strings.HasPrefix(err.Error(), fmt.Sprintf("ittybit: GET %s/tasks/task_1: %d", server.URL, status)), err.Error())
	return apiError
}

func TestAPIError_readsEveryDocumentedShape(t *testing.T) {
	for name, c := range map[string]struct{ body, kind, message, requestID string }{
		"2025-08-20":           {`{"message":"The requested file was not found."}`, "", "The requested file was not found.", ""},
		"2025-12-01":           {`{"kind":"task_not_found","message":"No such task."}`, "task_not_found", "No such task.", ""},
		"2025-01-01":           {`{"meta":{"request_id":"req_1","type":"error"},"data":null,"error":{"message":"Nope."}}`, "", "Nope.", "req_1"},
		"2024":                 {`{"meta":{"id":"req_2","status":404,"type":"error"},"error":{"kind":"k","message":"Nope."}}`, "k", "Nope.", "req_2"},
		"2021, a string":       {`{"meta":{"status":404},"data":null,"error":"Nope."}`, "", "Nope.", ""},
		"kind and string":      {`{"kind":"k","error":"Nope."}`, "k", "Nope.", ""},
		"message wins":         {`{"message":"This.","error":{"message":"Not this."}}`, "", "This.", ""},
		"error null":           {`{"kind":"k","message":"M","error":null}`, "k", "M", ""},
		"odd meta":             {`{"meta":"x","message":"M"}`, "", "M", ""},
		"message not a string": {`{"message":{"a":1}}`, "", "Not Found", ""},
		"error not readable":   {`{"error":[1]}`, "", "Not Found", ""},
		"kind not a string":    {`{"kind":1,"message":"M"}`, "", "M", ""},
		"HTML":                 {"<html>\n<h1>404</h1></html>", "", "Not Found", ""},
		"empty":                {"", "", "Not Found", ""},
		"null":                 {"null", "", "Not Found", ""},
		"a list":               {"[]", "", "Not Found", ""},
		"a string":             {`"nope"`, "", "Not Found", ""},
		"broken off":           {`{"message":"The requ`, "", "Not Found", ""},
		"invalid UTF-8":        {"{\"message\":\"caf\xe9\"}", "", "caf\uFFFD", ""},
		"binary":               {"\x00\xff\xfe", "", "Not Found", ""},
	} {
		got := apiErrorOf(t, 404, c.body)
		assert.Equal(t, c.kind, got.Kind, name)
		assert.Equal(t, c.message, got.Message, name)
		assert.Equal(t, c.requestID, got.RequestID, name)
		assert.Equal(t, c.body, string(got.Body), name)
		require.ErrorIs(t, got, ittybit.ErrNotFound, name)
	}
}

func TestAPIError_hugeBodyDoesNotHideTheStatus(t *testing.T) {
	const limit = 1 << 20
	for _, body := range []string{strings.Repeat("<p>x</p>\n", 200_000), `{"message":"` + strings.Repeat("wörd ", 100_000) + `"}`} {
		got := apiErrorOf(t, 400, body)
		require.ErrorIs(t, got, ittybit.ErrBadRequest)
		assert.Less(t, len(got.Error()), 1000)
		assert.Len(t, got.Body, min(len(body), limit))
	}
}

func TestAPIError_messageIsOneReadableLine(t *testing.T) {
	e := &ittybit.APIError{
		StatusCode: 402, Kind: "pay\nment", Message: "first\r\n\tsecond\u2028third\x1b[31m\x00fourth \xff", RequestID: "req\n1",
		RetryAfter: 90 * time.Second, Method: "POST", URL: "https://api.ittybit.com/tasks",
	}
	assert.Equal(t, "ittybit: POST https://api.ittybit.com/tasks: 402 pay ment: first second third [31m fourth \uFFFD (request req 1) (retry after 1m30s)", e.Error())
	assert.Equal(t, "ittybit: GET /x: 500", (&ittybit.APIError{StatusCode: 500, Method: "GET", URL: "/x"}).Error())
}

func TestAPIError_matchesTheSentinelOfItsStatusOnly(t *testing.T) {
	sentinels := []error{
		ittybit.ErrBadRequest, ittybit.ErrUnauthorized, ittybit.ErrPaymentRequired, ittybit.ErrForbidden,
		ittybit.ErrNotFound, ittybit.ErrConflict, ittybit.ErrRateLimited, ittybit.ErrServer,
	}
	for status, want := range map[int]error{
		400: ittybit.ErrBadRequest, 401: ittybit.ErrUnauthorized, 402: ittybit.ErrPaymentRequired, 403: ittybit.ErrForbidden,
		404: ittybit.ErrNotFound, 409: ittybit.ErrConflict, 429: ittybit.ErrRateLimited,
		500: ittybit.ErrServer, 501: ittybit.ErrServer, 502: ittybit.ErrServer, 503: ittybit.ErrServer, 504: ittybit.ErrServer, 599: ittybit.ErrServer,
		302: nil, 405: nil, 408: nil, 410: nil, 418: nil, 422: nil,
	} {
		got := apiErrorOf(t, status, "")
		for _, sentinel := range sentinels {
			assert.Equal(t, sentinel == want, got.Is(sentinel), "%d is %v", status, sentinel) //nolint:errorlint // which sentinel it is
		}
	}
}

func TestAPIError_carriesRequestIDAndRetryAfter(t *testing.T) {
	got := apiErrorOf(t, 429, `{"meta":{"request_id":"req_body"}}`, "X-Request-Id", "req_header", "Retry-After", "120")
	assert.Equal(t, "req_header", got.RequestID)
	assert.Equal(t, 2*time.Minute, got.RetryAfter)
	assert.Equal(t, "120", got.Header.Get("Retry-After"))
	assert.Equal(t, "req_other", apiErrorOf(t, 400, "", "Request-Id", "req_other").RequestID)
	assert.Zero(t, apiErrorOf(t, 429, "", "Retry-After", "soon").RetryAfter)
}

func TestClient_goRetryableHTTPWritesNothingToStderr(t *testing.T) {
	output := captureStderr(t, func() {
		server, _ := apiServer(t, apiRespond(503, "", "Retry-After", "0"), apiRespond(500, ""), apiRespond(200, apiTask))
		_, err := clientFor(t, server.URL).Tasks.Get(t.Context(), "task_1")
		require.NoError(t, err)
		_, err = clientFor(t, apiRefusedURL(t), ittybit.WithLogger(nil)).Tasks.Get(t.Context(), "task_1")
		require.Error(t, err)
	})
	assert.Empty(t, output)
}

// captureStderr gives what is written to standard error, and to the standard
// logger, while run runs.
func captureStderr(t *testing.T, run func()) string {
	t.Helper()
	file, err := os.CreateTemp(t.TempDir(), "stderr")
	require.NoError(t, err)
	defer func() { assert.NoError(t, file.Close()) }()
	oldStderr, oldLog := os.Stderr, log.Writer()
	os.Stderr = file
	log.SetOutput(file)
	defer func() {
		os.Stderr = oldStderr
		log.SetOutput(oldLog)
	}()
	run()
	data, err := os.ReadFile(file.Name())
	require.NoError(t, err)
	return string(data)
}

func TestTaskFailedError_isOneLineWithoutSignatures(t *testing.T) {
	err := &ittybit.TaskFailedError{Task: &ittybit.Task{ID: "task_1", Status: ittybit.TaskStatusFailed}}
	assert.Equal(t, "ittybit: task task_1 ended as failed", err.Error())
	err.Task.Error = &ittybit.TaskError{Message: "can't fetch\nhttps://x.example/?signature=abc"}
	assert.Equal(t, "ittybit: task task_1 ended as failed: can't fetch https://x.example/?signature=REDACTED", err.Error())
}

func TestParamError_namesTheParameter(t *testing.T) {
	assert.Equal(t, "ittybit: URL is empty", (&ittybit.ParamError{Param: "URL", Reason: "is empty"}).Error())
}

func TestParseEvent_keepsTheReasonOfAFailureInWhateverForm(t *testing.T) {
	for text, want := range map[string]ittybit.TaskError{
		`"boom"`:                        {Message: "boom"},
		`{"kind":"k","message":"boom"}`: {Kind: "k", Message: "boom"},
		`{"kind":500,"message":"boom"}`: {Message: "boom"},
		`{"message":{"text":"boom"}}`:   {Message: `{"message":{"text":"boom"}}`},
		`["boom"]`:                      {Message: `["boom"]`},
	} {
		e := webhookParse(t, `{"id":"task_1","object":"task","status":"failed","error":`+text+`}`)
		require.NotNil(t, e.Task.Error, text)
		assert.Equal(t, want, *e.Task.Error)
	}
}

// failingStore gives no claim.
type failingStore struct{}

func (failingStore) Claim(context.Context, string) (ittybit.Claim, error) {
	return nil, errors.New("ittybit: the store is away")
}

// TestErrors_nameThePackageOnce: an error that wraps another one of the package does not repeat its
// name.
func TestErrors_nameThePackageOnce(t *testing.T) {
	away, _ := apiServer(t, apiRespond(http.StatusServiceUnavailable, `{"message":"away"}`))
	client := clientFor(t, away.URL, ittybit.WithRetryPolicy(ittybit.RetryPolicy{MaxAttempts: 1}))
	list, _ := apiServer(t, apiRespond(http.StatusOK, `[]`))
	_, outage := client.Tasks.Wait(t.Context(), "task_1", ittybit.WithMaxOutage(0))
	ended, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	var unfinished error
	for _, err := range client.Tasks.WaitAll(ended, []string{"task_1"}) {
		unfinished = err
	}
	noSecrets, err := ittybit.NewWebhookVerifier("", ittybit.WithSecretsFunc(func(context.Context) ([]string, error) {
		return []string{" spaced "}, nil
	}))
	require.NoError(t, err)
	handler := ittybit.Deduplicate(failingStore{}, ittybit.NewEventMux())
	for name, err := range map[string]error{
		"discarded":   ittybit.Discard(ittybit.ErrNotFound),
		"retry later": ittybit.RetryLater(time.Second, ittybit.ErrNotFound),
		"a claim":     handler.HandleEvent(t.Context(), ittybit.EventFromTask(&ittybit.Task{ID: "task_1"})),
		"no secrets":  noSecrets.Verify([]byte(`{}`), ittybit.SignWebhook("ittybit_test_key_0123456789", time.Now(), []byte(`{}`))),
		"a response":  clientFor(t, list.URL).Do(t.Context(), http.MethodGet, "/x", nil, new(ittybit.Event)),
		"an outage":   outage,
		"unfinished":  unfinished,
	} {
		require.Error(t, err, name)
		assert.True(t, strings.HasPrefix(err.Error(), "ittybit: "), "%s: %v", name, err)
		assert.Equal(t, 1, strings.Count(err.Error(), "ittybit: "), "%s: %v", name, err)
	}
}
