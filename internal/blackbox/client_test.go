package blackbox

import (
	"fmt"
	"net/http"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/internal/apitest"
)

func TestNewClient_refusesKeysThatCannotBeSent(t *testing.T) {
	_, err := ittybit.NewClient("")
	require.ErrorIs(t, err, ittybit.ErrMissingAPIKey)
	for _, key := range []string{"key\n", " key", "k y", "k\x00y", "kéy", "\x7f", "\t"} {
		_, err := ittybit.NewClient(key)
		apitest.RequireParamError(t, err, "apiKey")
		assert.NotContains(t, err.Error(), "key\n")
	}
}

func TestNewClient_refusesNilAndInvalidOptions(t *testing.T) {
	for param, opt := range map[string]ittybit.ClientOption{
		"opts":        nil,
		"HTTP client": ittybit.WithHTTPClient(nil),
		"API version": ittybit.WithAPIVersion("a\nb"),
		"user agent":  ittybit.WithUserAgent("a\r\nb: c"),
	} {
		_, err := ittybit.NewClient(apitest.Key, opt)
		apitest.RequireParamError(t, err, param)
	}
	for _, version := range []string{" x", "x\n", "é"} {
		_, err := ittybit.NewClient(apitest.Key, ittybit.WithAPIVersion(version))
		apitest.RequireParamError(t, err, "API version")
	}
}

func TestNewClient_takesOnlyBaseURLsThatKeepTheKeySafe(t *testing.T) {
	for _, base := range []string{
		"https://api.ittybit.com", "https://api.ittybit.com/", "https://proxy.example:8443/ittybit/v1",
		"http://localhost:8080", "http://LOCALHOST", "http://app.localhost", "http://localhost.", "http://127.0.0.1:1", "http://127.9.9.9", "http://[::1]:80",
	} {
		_, err := ittybit.NewClient(apitest.Key, ittybit.WithBaseURL(base))
		assert.NoError(t, err, base)
	}
	for _, base := range []string{
		"", "/", "api.ittybit.com", "//api.ittybit.com", "http://api.ittybit.com", "http://10.0.0.1", "http://localhost.evil.example", "http://notlocalhost",
		"ftp://localhost", "https://", "https:///x", "https://user:pass@api.ittybit.com", "https://api.ittybit.com?x=1", "https://api.ittybit.com#x",
		"https://api.ittybit.com\n", "https://a b", "://", "https:api.ittybit.com",
	} {
		_, err := ittybit.NewClient(apitest.Key, ittybit.WithBaseURL(base))
		apitest.RequireParamError(t, err, "base URL")
	}
}

// The page's two calls, with the JSON that its JavaScript puts on the wire.
func TestClient_sendsWhatThePagesJavaScriptSends(t *testing.T) {
	const imageURL = "https://example.com/a.jpg?x=1&y=<2>"
	for name, c := range map[string]struct {
		call       func(*ittybit.Client) error
		path, body string
	}{
		"automations.create": {
			call: func(client *ittybit.Client) error {
				_, err := client.Automations.Create(t.Context(), ittybit.AutomationCreateParams{
					Name:     "Notify app when media is ready",
					Trigger:  ittybit.OnEvent(ittybit.EventMediaCreated),
					Workflow: []ittybit.WorkflowStep{ittybit.WebhookStep("https://your-app.com/ittybit-webhook", "notify-server")},
				})
				return err
			},
			path: "/automations",
			body: `{
				"name": "Notify app when media is ready",
				"trigger": {"kind": "event", "event": "media.created"},
				"workflow": [{"kind": "webhook", "url": "https://your-app.com/ittybit-webhook", "ref": "notify-server"}]
			}`,
		},
		"tasks.create": {
			call: func(client *ittybit.Client) error {
				_, err := client.Tasks.Create(t.Context(), ittybit.TaskCreateParams{
					Kind: ittybit.TaskKindNSFW, URL: imageURL, WebhookURL: "https://your-app.com/nsfw-webhook",
				})
				return err
			},
			path: "/tasks",
			body: `{"kind": "nsfw", "url": "` + imageURL + `", "webhook_url": "https://your-app.com/nsfw-webhook"}`,
		},
	} {
		server, seen := apitest.Server(t, apitest.Respond(201, `{"id":"x_1","object":"x"}`))
		require.NoError(t, c.call(apitest.Client(t, server.URL)), name)
		require.Equal(t, 1, seen.Count(), name)
		req := seen.All()[0]
		assert.Equal(t, http.MethodPost, req.Method, name)
		assert.Equal(t, c.path, req.Path, name)
		assert.Empty(t, req.Query, name)
		assert.JSONEq(t, c.body, req.Body, name)
		assert.Equal(t, "application/json", req.Header.Get("Content-Type"), name)
		assert.Equal(t, "application/json", req.Header.Get("Accept"), name)
		assert.NotEmpty(t, req.Header.Get("Idempotency-Key"), name)
	}
}

func TestClient_everyRequestOfEveryMethodCarriesKeyVersionAndUserAgent(t *testing.T) {
	server, seen := apitest.Server(t, everything)
	client := apitest.Client(t, server.URL, ittybit.WithUserAgent("your-app/1.2"))
	for name, call := range everyCall(t.Context(), client) {
		before := seen.Count()
		require.NoError(t, call(), name)
		require.Equal(t, before+1, seen.Count(), name)
		req := seen.All()[before]
		assert.Equal(t, name, req.Method+" "+req.Path)
		assert.Equal(t, []string{"Bearer " + apitest.Key}, req.Header["Authorization"], name)
		assert.Equal(t, []string{"2025-08-20"}, req.Header["Accept-Version"], name)
		assert.Equal(t, []string{"application/json"}, req.Header["Accept"], name)
		assert.Equal(t, []string{fmt.Sprintf("your-app/1.2 ittybit-go/%s (%s)", ittybit.Version, runtime.Version())}, req.Header["User-Agent"], name)
		if req.Method == http.MethodPost {
			assert.Regexp(t, `^[A-Z2-7]{26}$`, req.Header.Get("Idempotency-Key"), name)
		} else {
			assert.Empty(t, req.Header.Get("Idempotency-Key"), name)
		}
		if req.Body == "" {
			assert.Empty(t, req.Header.Get("Content-Type"), name)
		} else {
			assert.Equal(t, []string{"application/json"}, req.Header["Content-Type"], name)
			assert.NotContains(t, req.Body, "2025-08-20", "the version is no field of the body")
		}
	}
}

func TestClient_idempotencyKeysAreRandom(t *testing.T) {
	server, seen := apitest.Server(t, everything)
	post := everyCall(t.Context(), apitest.Client(t, server.URL))["POST /tasks"]
	keys := make(map[string]bool)
	for range 50 {
		require.NoError(t, post())
	}
	for _, req := range seen.All() {
		keys[req.Header.Get("Idempotency-Key")] = true
	}
	assert.Len(t, keys, 50)
}

func TestClient_keepsThePathOfItsBaseURL(t *testing.T) {
	server, seen := apitest.Server(t, apitest.Respond(200, apitest.Task))
	_, err := apitest.Client(t, server.URL+"/a%2Fb/v1/").Tasks.Get(t.Context(), "task_1")
	require.NoError(t, err)
	assert.Equal(t, "/a%2Fb/v1/tasks/task_1", seen.All()[0].Path)
}

func TestClient_escapesHostileIDs(t *testing.T) {
	server, seen := apitest.Server(t, everything)
	client := apitest.Client(t, server.URL)
	for id, want := range map[string]string{
		"../x":        "..%2Fx",
		"a/b":         "a%2Fb",
		"a?b=c":       "a%3Fb=c",
		"a#b":         "a%23b",
		".":           "%2E",
		"..":          "%2E%2E",
		"%2e":         "%252e",
		"%2e%2e%2fx":  "%252e%252e%252fx",
		"a b\r\nX: y": "a%20b%0D%0AX:%20y",
		"\\..\\":      "%5C..%5C",
		"ünï":         "%C3%BCn%C3%AF",
		"\xff":        "%FF",
		";a":          "%3Ba",
	} {
		_, err := client.Automations.Get(t.Context(), id)
		require.NoError(t, err, id)
		_, err = client.Automations.Update(t.Context(), id, ittybit.AutomationUpdateParams{})
		require.NoError(t, err, id)
		require.NoError(t, client.Automations.Delete(t.Context(), id), id)
		requests := seen.All()
		for _, req := range requests[len(requests)-3:] {
			assert.Equal(t, "/automations/"+want, req.Path, id)
			assert.Empty(t, req.Query, id)
		}
	}
}

func TestClient_refusesBadParametersBeforeAnythingIsSent(t *testing.T) {
	client, seen := apitest.Fake(t, apitest.Always(200, apitest.Task))
	for _, call := range everyCall(apitest.NoContext, client) {
		apitest.RequireParamError(t, call(), "ctx")
	}
	for _, call := range everyCall(t.Context(), client) {
		apitest.RequireParamError(t, call(nil), "opts")
		apitest.RequireParamError(t, call(ittybit.WithResponseInfo(nil)), "response info")
		apitest.RequireParamError(t, call(ittybit.WithIdempotencyKey("")), "idempotency key")
		apitest.RequireParamError(t, call(ittybit.WithRequestHeader("", "x")), "request header")
	}
	_, err := client.Tasks.Get(t.Context(), "")
	apitest.RequireParamError(t, err, "id")
	_, err = client.Tasks.Wait(t.Context(), "")
	apitest.RequireParamError(t, err, "id")
	_, err = client.Automations.Get(t.Context(), "")
	apitest.RequireParamError(t, err, "id")
	_, err = client.Automations.Update(t.Context(), "", ittybit.AutomationUpdateParams{})
	apitest.RequireParamError(t, err, "id")
	apitest.RequireParamError(t, client.Automations.Delete(t.Context(), ""), "id")
	_, err = client.Media.Get(t.Context(), "")
	apitest.RequireParamError(t, err, "id")
	_, err = client.Media.Update(t.Context(), "", ittybit.MediaUpdateParams{})
	apitest.RequireParamError(t, err, "id")
	apitest.RequireParamError(t, client.Media.Delete(t.Context(), ""), "id")
	_, err = client.Files.Get(t.Context(), "")
	apitest.RequireParamError(t, err, "id")
	_, err = client.Files.Update(t.Context(), "", ittybit.FileUpdateParams{})
	apitest.RequireParamError(t, err, "id")
	apitest.RequireParamError(t, client.Files.Delete(t.Context(), ""), "id")
	assert.Zero(t, seen.Count())
}

func TestClient_noVerbOfFmtPrintsTheKey(t *testing.T) {
	client, err := ittybit.NewClient(apitest.Key)
	require.NoError(t, err)
	assert.Equal(t, "ittybit.Client(https://api.ittybit.com)", client.String())
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%X", "%t"} {
		for _, value := range []any{client, *client, client.Tasks, *client.Tasks, client.Automations, client.Media, client.Files, *client.Files, client.SignedURLs} {
			printed := fmt.Sprintf(verb, value)
			assert.NotContains(t, printed, apitest.Key, verb)
			assert.NotContains(t, printed, fmt.Sprintf("%x", apitest.Key), verb)
		}
	}
}

func TestClient_neverChangesTheCallersHTTPClient(t *testing.T) {
	server, _ := apitest.Server(t, apitest.Respond(503, ""), apitest.Respond(500, ""), apitest.Respond(200, apitest.Task))
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	mine := &http.Client{Transport: transport, Timeout: 5 * time.Second}
	client := apitest.Client(t, server.URL, ittybit.WithHTTPClient(mine))
	_, err := client.Tasks.Get(t.Context(), "task_1")
	require.NoError(t, err)
	assert.Same(t, transport, mine.Transport)
	assert.Equal(t, 5*time.Second, mine.Timeout)
	assert.Nil(t, mine.CheckRedirect)
	assert.Nil(t, mine.Jar)

	mine.Transport = apitest.RoundTripper(func(*http.Request) (*http.Response, error) { return nil, errCut })
	_, err = client.Tasks.Get(t.Context(), "task_1")
	assert.NoError(t, err, "the client has a copy, which later changes do not reach")
}

func TestClient_replacedDefaultTransportIsUsedAsItIs(t *testing.T) {
	old := http.DefaultTransport
	defer func() { http.DefaultTransport = old }()
	calls := 0
	http.DefaultTransport = apitest.RoundTripper(func(*http.Request) (*http.Response, error) {
		calls++
		return apitest.Response(200, apitest.Task)
	})
	client, err := ittybit.NewClient(apitest.Key)
	require.NoError(t, err)
	_, err = client.Tasks.Get(t.Context(), "task_1")
	require.NoError(t, err)
	assert.Equal(t, 1, calls)
}
