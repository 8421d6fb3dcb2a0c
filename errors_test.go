package ittybit_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
)

// apiErrorOf is the *APIError that a client makes of an answer.
func apiErrorOf(t *testing.T, status int, body string, header ...string) *ittybit.APIError {
	t.Helper()
	server, _ := apiServer(t, apiAnswer(status, body, header...))
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

// Every place where a key or signature that a server sends back could turn up.
func TestAPIError_neverHoldsAnEchoedKeyOrSignature(t *testing.T) {
	const signature = "s3cr3t_signature"
	log := &testLog{}
	server, _ := apiServer(t, func(w http.ResponseWriter, r *http.Request) {
		auth := r.Header.Get("Authorization")
		w.Header().Set("X-Request-Id", auth)
		w.Header().Set("X-Echo", auth)
		w.Header().Set("Location", "https://x.example/?signature="+signature+"&k="+url.QueryEscape(clientKey))
		w.WriteHeader(http.StatusInternalServerError)
		_, _ = fmt.Fprintf(w, `{"kind":%q,"message":"%s is wrong, see https://x.example/?signature=%s","k":%q}`, auth, auth, signature, "k\\u002b"+clientKey)
	})
	client := clientFor(t, server.URL, ittybit.WithLogger(log.logger()))
	_, getErr := client.Tasks.Get(t.Context(), clientKey)
	_, createErr := client.Tasks.Create(t.Context(), ittybit.TaskCreateParams{
		Kind: "nsfw", URL: "https://x.example/a?signature=" + signature, WebhookURL: "https://x.example/?signature=" + signature,
	})
	require.ErrorIs(t, createErr, ittybit.ErrOutcomeUnknown)
	for _, err := range []error{getErr, createErr} {
		var apiError *ittybit.APIError
		require.ErrorAs(t, err, &apiError)
		texts := []string{apiError.Kind, apiError.Message, apiError.RequestID, apiError.URL, string(apiError.Body), fmt.Sprint(apiError.Header)}
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%t"} {
			texts = append(texts, fmt.Sprintf(verb, err), fmt.Sprintf(verb, apiError), fmt.Sprintf(verb, *apiError))
		}
		clientNoSecrets(t, signature, texts...)
		assert.Contains(t, apiError.Message, "REDACTED is wrong")
		assert.Contains(t, apiError.Header.Get("X-Echo"), "Bearer REDACTED")
	}
	require.Contains(t, log.String(), "status=500")
	clientNoSecrets(t, signature, log.String())
}

// clientNoSecrets asserts that neither the key nor a signature is in texts.
func clientNoSecrets(t *testing.T, signature string, texts ...string) {
	t.Helper()
	for _, text := range texts {
		for _, secret := range []string{clientKey, url.QueryEscape(clientKey), url.PathEscape(clientKey), signature, fmt.Sprintf("%x", clientKey)} {
			if strings.Contains(text, secret) {
				assert.Fail(t, "a secret has leaked", "%q is in %.300q", secret, text)
			}
		}
	}
}

func TestClient_noLogLineOrErrorOfAnyExchangeHoldsASecret(t *testing.T) {
	const signature = "s3cr3t_signature"
	log := &testLog{}
	signed := "https://x.example/a?expiry=1&signature=" + signature
	server, seen := apiServer(t, func(w http.ResponseWriter, r *http.Request) {
		echo := `{"id":"x_1","message":"` + r.Header.Get("Authorization") + `","url":"` + signed + `","status":"failed","error":"` + signed + ` ` + clientKey + `"}`
		switch r.Header.Get("X-Case") {
		case "ok":
			apiAnswer(200, echo, "Links", "<"+signed+">; rel=\"next\"")(w, r)
		case "redirect":
			apiAnswer(302, echo, "Location", "/elsewhere?signature="+signature+"&k="+url.QueryEscape(clientKey))(w, r)
		case "garbage":
			apiAnswer(200, clientKey+signed)(w, r)
		case "cut":
			panic(http.ErrAbortHandler)
		case "503":
			apiAnswer(503, echo, "Retry-After", "0")(w, r)
		default:
			apiAnswer(400, echo)(w, r)
		}
	})
	client := clientFor(t, server.URL, ittybit.WithLogger(log.logger()))
	var errs []string
	for _, kind := range []string{"ok", "redirect", "garbage", "cut", "503", "400"} {
		for _, call := range apiEveryCall(t.Context(), client) {
			if err := call(ittybit.WithRequestHeader("X-Case", kind), ittybit.WithRequestHeader("X-Sig", "signature="+signature)); err != nil {
				errs = append(errs, fmt.Sprintf("%v %+v %#v %d", err, err, err, err))
			}
		}
	}
	_, err := clientFor(t, apiRefusedURL(t), ittybit.WithLogger(log.logger())).Tasks.Get(t.Context(), clientKey)
	require.Error(t, err)
	errs = append(errs, err.Error())
	require.Greater(t, seen.count(), 100)
	require.Greater(t, len(errs), 50)
	require.Greater(t, strings.Count(log.String(), "\n"), 150)
	clientNoSecrets(t, signature, append(errs, log.String())...)
}

func TestClient_goRetryableHTTPWritesNothingToStderr(t *testing.T) {
	output := clientCaptureStderr(t, func() {
		server, _ := apiServer(t, apiAnswer(503, "", "Retry-After", "0"), apiAnswer(500, ""), apiAnswer(200, apiTask))
		_, err := clientFor(t, server.URL).Tasks.Get(t.Context(), "task_1")
		require.NoError(t, err)
		_, err = clientFor(t, apiRefusedURL(t), ittybit.WithLogger(nil)).Tasks.Get(t.Context(), "task_1")
		require.Error(t, err)
	})
	assert.Empty(t, output)
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
