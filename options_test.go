package ittybit_test

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
)

func TestWithAPIVersion_replacesTheVersionOfEveryRequest(t *testing.T) {
	client, seen := apiFake(t, apiAlways(200, apiTask), ittybit.WithAPIVersion("latest"))
	_, err := client.Tasks.Get(t.Context(), "task_1")
	require.NoError(t, err)
	assert.Equal(t, []string{"latest"}, seen.all()[0].Header["Accept-Version"])
}

func TestWithUserAgent_isOptional(t *testing.T) {
	for product, prefix := range map[string]string{"": "ittybit-go/", "app/1 (x; y)": "app/1 (x; y) ittybit-go/"} {
		client, seen := apiFake(t, apiAlways(200, apiTask), ittybit.WithUserAgent(product))
		_, err := client.Tasks.Get(t.Context(), "task_1")
		require.NoError(t, err)
		assert.True(t, strings.HasPrefix(seen.all()[0].Header.Get("User-Agent"), prefix))
	}
}

func TestWithRetryPolicy_refusesWhatCannotBeMeant(t *testing.T) {
	for _, policy := range []ittybit.RetryPolicy{
		{MaxAttempts: -1}, {MinWait: -1}, {MaxWait: -1}, {MinWait: 2 * time.Second, MaxWait: time.Second},
	} {
		_, err := ittybit.NewClient(clientKey, ittybit.WithRetryPolicy(policy))
		clientParamError(t, err, "retry policy")
	}
}

// clientWaits gives the attempts that a policy makes of a call that always fails, and the
// longest wait between them that was seen.
func clientWaits(t *testing.T, policy ittybit.RetryPolicy) (attempts int, longest time.Duration) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		for range 40 {
			last := time.Now()
			client, seen := apiFake(t, func(n int, _ *http.Request) (*http.Response, error) {
				longest = max(longest, time.Since(last))
				last = time.Now()
				return apiResponse(500, "")
			}, ittybit.WithRetryPolicy(policy))
			_, err := client.Tasks.Get(t.Context(), "task_1")
			assert.ErrorIs(t, err, ittybit.ErrServer)
			attempts = seen.count()
		}
	})
	return attempts, longest
}

func TestWithRetryPolicy_zeroFieldMeansItsDefault(t *testing.T) {
	attempts, longest := clientWaits(t, ittybit.RetryPolicy{})
	assert.Equal(t, ittybit.DefaultMaxAttempts, attempts)
	assert.Greater(t, longest, ittybit.DefaultMinWait, "waits grow")
	assert.LessOrEqual(t, longest, 4*ittybit.DefaultMinWait)

	attempts, longest = clientWaits(t, ittybit.RetryPolicy{MaxAttempts: 2})
	assert.Equal(t, 2, attempts)
	assert.LessOrEqual(t, longest, ittybit.DefaultMinWait)

	attempts, longest = clientWaits(t, ittybit.RetryPolicy{MaxWait: 10 * time.Millisecond})
	assert.Equal(t, ittybit.DefaultMaxAttempts, attempts)
	assert.LessOrEqual(t, longest, 10*time.Millisecond, "a MaxWait below the default MinWait lowers that too")

	_, longest = clientWaits(t, ittybit.RetryPolicy{MaxAttempts: 2, MinWait: time.Minute})
	assert.Greater(t, longest, ittybit.DefaultMaxWait, "a MinWait above the default MaxWait raises that too")
}

func TestWithRetryPolicy_oneAttemptMeansNoRetry(t *testing.T) {
	client, seen := apiFake(t, apiAlways(503, "", "Retry-After", "1"), ittybit.WithRetryPolicy(ittybit.RetryPolicy{MaxAttempts: 1}))
	_, err := client.Tasks.Get(t.Context(), "task_1")
	require.ErrorIs(t, err, ittybit.ErrServer)
	_, err = client.Tasks.Create(t.Context(), ittybit.TaskCreateParams{Kind: "nsfw", FileID: "file_1"})
	require.ErrorIs(t, err, ittybit.ErrServer)
	assert.Equal(t, 2, seen.count())
}

func TestWithIdempotencyKey_refusesWhatServersTripOver(t *testing.T) {
	client, seen := apiFake(t, apiAlways(200, apiTask))
	for _, key := range []string{"", "a b", "a\n", "é", strings.Repeat("x", 256)} {
		_, err := client.Tasks.Get(t.Context(), "task_1", ittybit.WithIdempotencyKey(key))
		clientParamError(t, err, "idempotency key")
	}
	_, err := client.Tasks.Get(t.Context(), "task_1", ittybit.WithRequestHeader("idempotency-KEY", "a b"))
	clientParamError(t, err, "idempotency key")
	assert.Zero(t, seen.count())
	_, err = client.Tasks.Get(t.Context(), "task_1", ittybit.WithIdempotencyKey(strings.Repeat("x", 255)))
	require.NoError(t, err)
}

func TestIdempotencyKey_isNeverSpelledCanonically(t *testing.T) {
	for name, opt := range map[string]ittybit.RequestOption{
		"random":             ittybit.WithRequestHeader("X-Other", "1"),
		"WithIdempotencyKey": ittybit.WithIdempotencyKey("mine"),
		"canonical header":   ittybit.WithRequestHeader("Idempotency-Key", "mine"),
		"lower case header":  ittybit.WithRequestHeader("idempotency-key", "mine"),
		"X-Idempotency-Key":  ittybit.WithRequestHeader("X-Idempotency-Key", "mine"),
		"x-idempotency-key":  ittybit.WithRequestHeader("x-idempotency-key", "mine"),
		"X-IDEMPOTENCY-KEY":  ittybit.WithRequestHeader("X-IDEMPOTENCY-KEY", "mine"),
	} {
		client, seen := apiFake(t, apiAlways(201, apiTask))
		_, err := client.Tasks.Create(t.Context(), ittybit.TaskCreateParams{Kind: "nsfw", FileID: "file_1"}, opt)
		require.NoError(t, err, name)
		header := seen.all()[0].Header
		assert.NotContains(t, header, "Idempotency-Key", name)
		assert.NotContains(t, header, "X-Idempotency-Key", name)
		require.Len(t, apiKeySpelled(header, "idempotency-key"), 1, name)
		if strings.HasPrefix(strings.ToLower(name), "x-") {
			assert.Equal(t, []string{"mine"}, apiKeySpelled(header, "x-idempotency-key"), name)
		} else if name != "random" {
			assert.Equal(t, []string{"mine"}, apiKeySpelled(header, "idempotency-key"), name)
		}
	}
}

func TestWithRequestHeader_replacesWhatTheClientSends(t *testing.T) {
	server, seen := apiServer(t, apiRespond(200, apiTask))
	_, err := clientFor(t, server.URL).Tasks.Get(t.Context(), "task_1",
		ittybit.WithRequestHeader("accept-version", "latest"), ittybit.WithRequestHeader("User-Agent", "me"),
		ittybit.WithRequestHeader("X-Trace", "a"), ittybit.WithRequestHeader("x-trace", "b"), ittybit.WithRequestHeader("X-Empty", ""))
	require.NoError(t, err)
	header := seen.all()[0].Header
	assert.Equal(t, []string{"latest"}, header["Accept-Version"])
	assert.Equal(t, []string{"me"}, header["User-Agent"])
	assert.Equal(t, []string{"b"}, header["X-Trace"])
	assert.Equal(t, []string{""}, header["X-Empty"])
}

func TestWithRequestHeader_refusesWhatItMustNotSet(t *testing.T) {
	client, seen := apiFake(t, apiAlways(200, apiTask))
	for _, c := range [][2]string{
		{"Authorization", "Bearer other"}, {"authorization", "x"}, {"Host", "x"}, {"Content-Length", "1"}, {"Transfer-Encoding", "chunked"}, {"connection", "close"},
		{"", "x"}, {"a b", "x"}, {"a:b", "x"}, {"é", "x"}, {"X-A", "a\r\nB: c"}, {"X-A", " a"}, {"X-A", "é"}, {"X-A", "\x00"}, {"X-A", "\x7f"},
	} {
		_, err := client.Tasks.Get(t.Context(), "task_1", ittybit.WithRequestHeader(c[0], c[1]))
		clientParamError(t, err, "request header")
	}
	assert.Zero(t, seen.count())
}

func TestWithResponseInfo_describesTheLastResponse(t *testing.T) {
	server, _ := apiServer(t, apiRespond(500, ""), apiRespond(200, apiTask, "X-Request-Id", "req_9", "X-Other", "1"))
	var info ittybit.ResponseInfo
	_, err := clientFor(t, server.URL).Tasks.Get(t.Context(), "task_1", ittybit.WithResponseInfo(&info))
	require.NoError(t, err)
	assert.Equal(t, 200, info.StatusCode)
	assert.Equal(t, 2, info.Attempts)
	assert.Equal(t, "req_9", info.RequestID)
	assert.Equal(t, "1", info.Header.Get("X-Other"))
}

func TestWithResponseInfo_isWrittenWhenTheCallFails(t *testing.T) {
	server, _ := apiServer(t, apiRespond(404, `{"meta":{"request_id":"req_1"}}`))
	var info ittybit.ResponseInfo
	_, err := clientFor(t, server.URL).Tasks.Get(t.Context(), "task_1", ittybit.WithResponseInfo(&info))
	require.ErrorIs(t, err, ittybit.ErrNotFound)
	assert.Equal(t, 404, info.StatusCode)
	assert.Equal(t, 1, info.Attempts)
	assert.Equal(t, "req_1", info.RequestID)

	info = ittybit.ResponseInfo{StatusCode: 999}
	_, err = clientFor(t, apiRefusedURL(t)).Tasks.Get(t.Context(), "task_1", ittybit.WithResponseInfo(&info))
	require.Error(t, err)
	assert.Zero(t, info.StatusCode)
	assert.Equal(t, 4, info.Attempts)
	assert.Empty(t, info.RequestID)
}

func TestWithInsecureHosts_letsPlainHTTPGoToThemAndToNoOthers(t *testing.T) {
	client, seen := apiFake(t, apiAlways(200, `{"id":"x_1"}`), ittybit.WithInsecureHosts("Worker", "10.0.0.7", "[fd00::1]"), ittybit.WithBaseURL("http://worker:8080/api"))
	for _, hook := range []string{"http://worker:9000/hook", "http://WORKER/hook", "http://10.0.0.7/hook", "http://[fd00::1]:80/hook"} {
		_, err := client.Tasks.Create(t.Context(), ittybit.TaskCreateParams{Kind: "nsfw", FileID: "file_1", WebhookURL: hook})
		require.NoError(t, err, hook)
		steps := []ittybit.WorkflowStep{{Kind: "video", Next: []ittybit.WorkflowStep{ittybit.WebhookStep(hook, "a")}}}
		_, err = client.Automations.Create(t.Context(), ittybit.AutomationCreateParams{Trigger: ittybit.OnEvent("media.created"), Workflow: steps})
		require.NoError(t, err, hook)
		_, err = client.Tasks.Create(t.Context(), ittybit.TaskCreateParams{Kind: "workflow", FileID: "file_1", Options: ittybit.WorkflowOptions{Workflow: steps}})
		require.NoError(t, err, hook)
	}
	sent := seen.count()
	for _, hook := range []string{"http://worker.example.com/hook", "http://10.0.0.8/hook", "ftp://worker/hook"} {
		_, err := client.Tasks.Create(t.Context(), ittybit.TaskCreateParams{Kind: "nsfw", FileID: "file_1", WebhookURL: hook})
		clientParamError(t, err, "WebhookURL")
		require.ErrorContains(t, err, "WithInsecureHosts")
	}
	assert.Equal(t, sent, seen.count())
	for _, host := range []string{"", "worker:80", "http://worker", "worker/x", "user@worker", "a b"} {
		_, err := ittybit.NewClient(clientKey, ittybit.WithInsecureHosts("fine", host))
		clientParamError(t, err, "insecure hosts")
	}
}

func TestWithBaseURL_saysWhatABaseURLLooksLike(t *testing.T) {
	for _, text := range []string{"", "/", "api.example.com:443", "//", "http://", "::"} {
		_, err := ittybit.NewClient(clientKey, ittybit.WithBaseURL(text))
		clientParamError(t, err, "base URL")
		require.NotContains(t, err.Error(), "webhook", text)
		require.ErrorContains(t, err, "https://", text)
	}
	_, err := ittybit.NewClient(clientKey, ittybit.WithDomain("http://you.ittybit.net"))
	clientParamError(t, err, "domain")
	require.NotContains(t, err.Error(), "webhook")
}

func TestWithDomain_isWhereUploadsGoThatNameNone(t *testing.T) {
	client, seen := apiFake(t, apiAlways(201, `{"id":"file_1"}`), ittybit.WithDomain("you.ittybit.net"))
	for want, domain := range map[string]string{"you.ittybit.net": "", "me.ittybit.net": "me.ittybit.net"} {
		result, err := client.Files.Upload(t.Context(), ittybit.UploadParams{Domain: domain, Filename: "a.txt", Body: strings.NewReader("a"), Size: 1})
		require.NoError(t, err)
		assert.Equal(t, "https://"+want+"/a.txt", result.URL)
	}
	assert.Equal(t, 2, seen.count())
}

func TestNewClient_anEmptyKeyIsAParamErrorThatCanBeToldFromOthers(t *testing.T) {
	_, err := ittybit.NewClient("")
	clientParamError(t, err, "apiKey")
	require.ErrorIs(t, err, ittybit.ErrMissingAPIKey)
	_, err = ittybit.SignURL("", ittybit.SignURLParams{})
	require.ErrorIs(t, err, ittybit.ErrMissingAPIKey)
	_, err = ittybit.NewClient("a b")
	clientParamError(t, err, "apiKey")
	require.NotErrorIs(t, err, ittybit.ErrMissingAPIKey)
}
