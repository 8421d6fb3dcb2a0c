package ittybit_test

import (
	"context"
	"fmt"
	"net/http"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
)

func TestNewClient_refusesKeysThatCannotBeSent(t *testing.T) {
	_, err := ittybit.NewClient("")
	require.ErrorIs(t, err, ittybit.ErrMissingAPIKey)
	for _, key := range []string{"key\n", " key", "k y", "k\x00y", "kéy", "\x7f", "\t"} {
		_, err := ittybit.NewClient(key)
		clientParamError(t, err, "apiKey")
		assert.NotContains(t, err.Error(), "key\n")
	}
}

func TestNewClient_refusesNilAndInvalidOptions(t *testing.T) {
	for param, opt := range map[string]ittybit.ClientOption{
		"opts":        nil,
		"HTTP client": ittybit.WithHTTPClient(nil),
		"API version": ittybit.WithAPIVersion(""),
		"user agent":  ittybit.WithUserAgent("a\r\nb: c"),
	} {
		_, err := ittybit.NewClient(clientKey, opt)
		clientParamError(t, err, param)
	}
	for _, version := range []string{" x", "x\n", "é"} {
		_, err := ittybit.NewClient(clientKey, ittybit.WithAPIVersion(version))
		clientParamError(t, err, "API version")
	}
}

func TestNewClient_takesOnlyBaseURLsThatKeepTheKeySafe(t *testing.T) {
	for _, base := range []string{
		"https://api.ittybit.com", "https://api.ittybit.com/", "https://proxy.example:8443/ittybit/v1",
		"http://localhost:8080", "http://LOCALHOST", "http://app.localhost", "http://localhost.", "http://127.0.0.1:1", "http://127.9.9.9", "http://[::1]:80",
	} {
		_, err := ittybit.NewClient(clientKey, ittybit.WithBaseURL(base))
		assert.NoError(t, err, base)
	}
	for _, base := range []string{
		"", "/", "api.ittybit.com", "//api.ittybit.com", "http://api.ittybit.com", "http://10.0.0.1", "http://localhost.evil.example", "http://notlocalhost",
		"ftp://localhost", "https://", "https:///x", "https://user:pass@api.ittybit.com", "https://api.ittybit.com?x=1", "https://api.ittybit.com#x",
		"https://api.ittybit.com\n", "https://a b", "://", "https:api.ittybit.com",
	} {
		_, err := ittybit.NewClient(clientKey, ittybit.WithBaseURL(base))
		clientParamError(t, err, "base URL")
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
		server, seen := apiServer(t, apiAnswer(201, `{"id":"x_1","object":"x"}`))
		require.NoError(t, c.call(clientFor(t, server.URL)), name)
		require.Equal(t, 1, seen.count(), name)
		req := seen.all()[0]
		assert.Equal(t, http.MethodPost, req.Method, name)
		assert.Equal(t, c.path, req.Path, name)
		assert.Empty(t, req.Query, name)
		assert.JSONEq(t, c.body, req.Body, name)
		assert.Equal(t, "application/json", req.Header.Get("Content-Type"), name)
		assert.Equal(t, "application/json", req.Header.Get("Accept"), name)
		assert.NotEmpty(t, req.Header.Get("Idempotency-Key"), name)
	}
}

// apiEveryCall is a call of every method there is, by method and path.
func apiEveryCall(ctx context.Context, client *ittybit.Client) map[string]func(...ittybit.RequestOption) error {
	steps := []ittybit.WorkflowStep{{Kind: ittybit.TaskKindNSFW}}
	return map[string]func(...ittybit.RequestOption) error{
		"POST /tasks": func(opts ...ittybit.RequestOption) error {
			_, err := client.Tasks.Create(ctx, ittybit.TaskCreateParams{Kind: ittybit.TaskKindNSFW, FileID: "file_1"}, opts...)
			return err
		},
		"GET /tasks/x_1": func(opts ...ittybit.RequestOption) error {
			_, err := client.Tasks.Get(ctx, "x_1", opts...)
			return err
		},
		"GET /tasks": func(opts ...ittybit.RequestOption) error {
			_, err := client.Tasks.List(ctx, ittybit.TaskListParams{}, opts...)
			return err
		},
		"POST /automations": func(opts ...ittybit.RequestOption) error {
			_, err := client.Automations.Create(ctx, ittybit.AutomationCreateParams{Trigger: ittybit.OnEvent(ittybit.EventMediaCreated), Workflow: steps}, opts...)
			return err
		},
		"GET /automations/x_1": func(opts ...ittybit.RequestOption) error {
			_, err := client.Automations.Get(ctx, "x_1", opts...)
			return err
		},
		"GET /automations": func(opts ...ittybit.RequestOption) error {
			_, err := client.Automations.List(ctx, ittybit.AutomationListParams{}, opts...)
			return err
		},
		"PATCH /automations/x_1": func(opts ...ittybit.RequestOption) error {
			_, err := client.Automations.Update(ctx, "x_1", ittybit.AutomationUpdateParams{Name: clientPtr("")}, opts...)
			return err
		},
		"DELETE /automations/x_1": func(opts ...ittybit.RequestOption) error { return client.Automations.Delete(ctx, "x_1", opts...) },
		"POST /media": func(opts ...ittybit.RequestOption) error {
			_, err := client.Media.Create(ctx, ittybit.MediaCreateParams{Title: "T"}, opts...)
			return err
		},
		"GET /media/x_1": func(opts ...ittybit.RequestOption) error {
			_, err := client.Media.Get(ctx, "x_1", opts...)
			return err
		},
		"GET /media": func(opts ...ittybit.RequestOption) error {
			_, err := client.Media.List(ctx, ittybit.MediaListParams{}, opts...)
			return err
		},
		"PATCH /media/x_1": func(opts ...ittybit.RequestOption) error {
			_, err := client.Media.Update(ctx, "x_1", ittybit.MediaUpdateParams{Title: clientPtr("T")}, opts...)
			return err
		},
		"DELETE /media/x_1": func(opts ...ittybit.RequestOption) error { return client.Media.Delete(ctx, "x_1", opts...) },
		"POST /files": func(opts ...ittybit.RequestOption) error {
			_, err := client.Files.Create(ctx, ittybit.FileCreateParams{URL: "https://example.com/a.mp4"}, opts...)
			return err
		},
		"GET /files/x_1": func(opts ...ittybit.RequestOption) error {
			_, err := client.Files.Get(ctx, "x_1", opts...)
			return err
		},
		"GET /files": func(opts ...ittybit.RequestOption) error {
			_, err := client.Files.List(ctx, ittybit.FileListParams{}, opts...)
			return err
		},
		"PATCH /files/x_1": func(opts ...ittybit.RequestOption) error {
			_, err := client.Files.Update(ctx, "x_1", ittybit.FileUpdateParams{Ref: clientPtr("r")}, opts...)
			return err
		},
		"DELETE /files/x_1": func(opts ...ittybit.RequestOption) error { return client.Files.Delete(ctx, "x_1", opts...) },
		"POST /signatures": func(opts ...ittybit.RequestOption) error {
			_, err := client.SignedURLs.Create(ctx, ittybit.SignedURLCreateParams{Filename: "a.mp4"}, opts...)
			return err
		},
	}
}

// apiEverything answers every call of apiEveryCall.
func apiEverything(w http.ResponseWriter, r *http.Request) {
	switch r.Method + " " + r.URL.Path {
	case "GET /tasks", "GET /automations", "GET /media", "GET /files":
		apiAnswer(200, `[]`)(w, r)
	default:
		apiAnswer(200, `{"id":"x_1","url":"https://you.ittybit.net/a.mp4"}`)(w, r)
	}
}

func TestClient_everyRequestOfEveryMethodCarriesKeyVersionAndUserAgent(t *testing.T) {
	server, seen := apiServer(t, apiEverything)
	client := clientFor(t, server.URL, ittybit.WithUserAgent("your-app/1.2"))
	for name, call := range apiEveryCall(t.Context(), client) {
		before := seen.count()
		require.NoError(t, call(), name)
		require.Equal(t, before+1, seen.count(), name)
		req := seen.all()[before]
		assert.Equal(t, name, req.Method+" "+req.Path)
		assert.Equal(t, []string{"Bearer " + clientKey}, req.Header["Authorization"], name)
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
			assert.NotContains(t, req.Body, "2025-08-20", "the version is no member of the body")
		}
	}
}

func TestClient_idempotencyKeysAreRandom(t *testing.T) {
	server, seen := apiServer(t, apiEverything)
	post := apiEveryCall(t.Context(), clientFor(t, server.URL))["POST /tasks"]
	keys := make(map[string]bool)
	for range 50 {
		require.NoError(t, post())
	}
	for _, req := range seen.all() {
		keys[req.Header.Get("Idempotency-Key")] = true
	}
	assert.Len(t, keys, 50)
}

func TestClient_keepsThePathOfItsBaseURL(t *testing.T) {
	server, seen := apiServer(t, apiAnswer(200, apiTask))
	_, err := clientFor(t, server.URL+"/a%2Fb/v1/").Tasks.Get(t.Context(), "task_1")
	require.NoError(t, err)
	assert.Equal(t, "/a%2Fb/v1/tasks/task_1", seen.all()[0].Path)
}

func TestClient_escapesHostileIDs(t *testing.T) {
	server, seen := apiServer(t, apiEverything)
	client := clientFor(t, server.URL)
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
		requests := seen.all()
		for _, req := range requests[len(requests)-3:] {
			assert.Equal(t, "/automations/"+want, req.Path, id)
			assert.Empty(t, req.Query, id)
		}
	}
}

func TestClient_refusesBadParametersBeforeAnythingIsSent(t *testing.T) {
	client, seen := apiFake(t, apiAlways(200, apiTask))
	for _, call := range apiEveryCall(clientNoContext, client) {
		clientParamError(t, call(), "ctx")
	}
	for _, call := range apiEveryCall(t.Context(), client) {
		clientParamError(t, call(nil), "opts")
		clientParamError(t, call(ittybit.WithResponseInfo(nil)), "response info")
		clientParamError(t, call(ittybit.WithIdempotencyKey("")), "idempotency key")
		clientParamError(t, call(ittybit.WithRequestHeader("", "x")), "request header")
	}
	_, err := client.Tasks.Get(t.Context(), "")
	clientParamError(t, err, "id")
	_, err = client.Tasks.Wait(t.Context(), "")
	clientParamError(t, err, "id")
	_, err = client.Automations.Get(t.Context(), "")
	clientParamError(t, err, "id")
	_, err = client.Automations.Update(t.Context(), "", ittybit.AutomationUpdateParams{})
	clientParamError(t, err, "id")
	clientParamError(t, client.Automations.Delete(t.Context(), ""), "id")
	_, err = client.Media.Get(t.Context(), "")
	clientParamError(t, err, "id")
	_, err = client.Media.Update(t.Context(), "", ittybit.MediaUpdateParams{})
	clientParamError(t, err, "id")
	clientParamError(t, client.Media.Delete(t.Context(), ""), "id")
	_, err = client.Files.Get(t.Context(), "")
	clientParamError(t, err, "id")
	_, err = client.Files.Update(t.Context(), "", ittybit.FileUpdateParams{})
	clientParamError(t, err, "id")
	clientParamError(t, client.Files.Delete(t.Context(), ""), "id")
	assert.Zero(t, seen.count())
}

func TestClient_noVerbOfFmtPrintsTheKey(t *testing.T) {
	client, err := ittybit.NewClient(clientKey)
	require.NoError(t, err)
	assert.Equal(t, "ittybit.Client(https://api.ittybit.com)", client.String())
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%X", "%t"} {
		for _, value := range []any{client, *client, client.Tasks, *client.Tasks, client.Automations, client.Media, client.Files, *client.Files, client.SignedURLs} {
			printed := fmt.Sprintf(verb, value)
			assert.NotContains(t, printed, clientKey, verb)
			assert.NotContains(t, printed, fmt.Sprintf("%x", clientKey), verb)
		}
	}
}

func TestClient_neverChangesTheCallersHTTPClient(t *testing.T) {
	server, _ := apiServer(t, apiAnswer(503, ""), apiAnswer(500, ""), apiAnswer(200, apiTask))
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	mine := &http.Client{Transport: transport, Timeout: 5 * time.Second}
	client := clientFor(t, server.URL, ittybit.WithHTTPClient(mine))
	_, err := client.Tasks.Get(t.Context(), "task_1")
	require.NoError(t, err)
	assert.Same(t, transport, mine.Transport)
	assert.Equal(t, 5*time.Second, mine.Timeout)
	assert.Nil(t, mine.CheckRedirect)
	assert.Nil(t, mine.Jar)

	mine.Transport = apiRoundTrip(func(*http.Request) (*http.Response, error) { return nil, errAPICut })
	_, err = client.Tasks.Get(t.Context(), "task_1")
	assert.NoError(t, err, "the client has a copy, which later changes do not reach")
}

func TestClient_replacedDefaultTransportIsUsedAsItIs(t *testing.T) {
	old := http.DefaultTransport
	defer func() { http.DefaultTransport = old }()
	calls := 0
	http.DefaultTransport = apiRoundTrip(func(*http.Request) (*http.Response, error) {
		calls++
		return apiResponse(200, apiTask)
	})
	client, err := ittybit.NewClient(clientKey)
	require.NoError(t, err)
	_, err = client.Tasks.Get(t.Context(), "task_1")
	require.NoError(t, err)
	assert.Equal(t, 1, calls)
}
