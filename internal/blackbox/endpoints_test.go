package blackbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/internal/apitest"
)

// Objects as Ittybit documents them (API version 2025-08-20), every field set.
const (
	endpointTask = `{"id":"task_abcdefgh1234","object":"task","kind":"image",
		"input":{"id":"file_abcdefgh1234","object":"source","kind":"video","type":"video/mp4","width":1920,"height":1080,"duration":123.45,"filesize":12345678,"url":"https://you.ittybit.net/file_abcdefgh1234","ref":"original"},
		"options":{"width":320,"format":"png"},
		"output":{"id":"file_abcdefgh5678","object":"source","kind":"image","type":"image/png","width":320,"height":180,"filesize":12345,"url":"https://you.ittybit.net/file_abcdefgh5678","ref":"thumbnail"},
		"progress":100,"created_by":"user_1","parent_id":"task_0","status":"completed","created":"2025-01-01T01:23:45Z","updated":"2025-01-01T01:23:46Z"}`
	endpointAutomation = `{"id":"auto_abcdefgh1234","object":"automation","name":"Video Compression Pipeline","description":"D","trigger":{"kind":"event","event":"media.created"},
		"workflow":[{"kind":"video","format":"mp4","quality":75,"ref":"compressed-video"},{"kind":"subtitles","ref":"video-subtitles"},
			{"kind":"conditions","conditions":[{"prop":"kind","value":"video"}],"next":[{"kind":"thumbnails","count":3,"ref":"video-thumbnails"}]},
			{"kind":"webhook","url":"https://your-app.com/ittybit-webhook","ref":"notify-server"}],
		"status":"active","created":"2025-01-01T01:23:45Z","updated":"2025-01-01T01:23:46Z"}`
	endpointMedia = `{"id":"med_abcdefgh1234","object":"media","kind":"video","title":"T","alt":"A","width":1920,"height":1080,"duration":63.25,"files":[` + filesDocumented + `],
		"urls":{"subs":"https://you.ittybit.net/s.vtt"},"background":"#fff","metadata":{"a":{"b":["c"]}},"created":"2025-01-01T01:23:45Z","updated":"2025-01-01T01:23:46Z"}`
	endpointSigned = `{"domain":"you.ittybit.net","filename":"video.mp4","folder":"example","expiry":4102444800,"method":"put","signature":"a1b2",
		"url":"https://you.ittybit.net/example/video.mp4?expiry=4102444800&method=put&signature=a1b2"}`
)

// endpointCase is a call of an endpoint, what it must put on the wire, and the response.
type endpointCase struct {
	call                      func(context.Context, *ittybit.Client) (any, error) // gives what it read; nil: nothing
	method, path, query, body string
	status                    int
	response                  string
}

// endpointRead is for what call gives: a nil pointer is nothing.
func endpointRead[T any](object *T, err error) (any, error) {
	if object == nil {
		return nil, err
	}
	return object, err
}

// endpointItems is endpointRead for pages.
func endpointItems[T any](page *ittybit.Page[T], err error) (any, error) {
	if page == nil {
		return nil, err
	}
	return page.Items, err
}

// endpointCases are calls of every endpoint that has JSON, with all that can be sent.
func endpointCases() map[string]endpointCase {
	type in = context.Context
	type of = *ittybit.Client
	steps := []ittybit.WorkflowStep{
		{Kind: ittybit.TaskKindVideo, Ref: "small", Options: ittybit.VideoOptions{Format: "mp4", Quality: 75}},
		ittybit.WebhookStep("https://your-app.com/ittybit-webhook", "notify-server"),
	}
	const workflow = `[{"kind":"video","ref":"small","format":"mp4","quality":75},{"kind":"webhook","ref":"notify-server","url":"https://your-app.com/ittybit-webhook"}]`
	onMedia := ittybit.OnEvent(ittybit.EventMediaCreated)
	metadata := map[string]any{"n": json.Number("1.50"), "none": nil, "deep": map[string]any{"er": []any{1, "<&>"}}}
	const metadataText = `{"deep":{"er":[1,"<&>"]},"n":1.50,"none":null}`
	return map[string]endpointCase{
		"tasks create": {
			call: func(ctx in, c of) (any, error) {
				return endpointRead(c.Tasks.Create(ctx, ittybit.TaskCreateParams{
					Kind: ittybit.TaskKindImage, URL: "https://example.com/a.mp4?a=1&b=<2>", Filename: "a.png", Folder: "f", Ref: "thumbnail", Description: "d",
					WebhookURL: "https://your-app.com/hook?kind=image&ref=1", Options: ittybit.ImageOptions{Width: ittybit.Pixels(320), Format: "png"}, Extra: map[string]any{"new": true},
				}))
			},
			method: http.MethodPost, path: "/tasks", status: 201, response: endpointTask,
			body: `{"kind":"image","url":"https://example.com/a.mp4?a=1&b=<2>","filename":"a.png","folder":"f","ref":"thumbnail","description":"d","webhook_url":"https://your-app.com/hook?kind=image&ref=1","width":320,"format":"png","new":true}`,
		},
		"tasks get": {
			call:   func(ctx in, c of) (any, error) { return endpointRead(c.Tasks.Get(ctx, "task_1")) },
			method: http.MethodGet, path: "/tasks/task_1", status: 200, response: endpointTask,
		},
		"tasks list": {
			call: func(ctx in, c of) (any, error) {
				return endpointItems(c.Tasks.List(ctx, ittybit.TaskListParams{Page: 2, Limit: 50, Status: ittybit.TaskStatusCompleted, Kind: ittybit.TaskKindImage}))
			},
			method: http.MethodGet, path: "/tasks", query: "kind=image&limit=50&page=2&status=completed", status: 200, response: "[" + endpointTask + "]",
		},
		"automations create": {
			call: func(ctx in, c of) (any, error) {
				return endpointRead(c.Automations.Create(ctx, ittybit.AutomationCreateParams{Name: "N", Description: "D", Trigger: onMedia, Workflow: steps, Status: ittybit.AutomationStatusPaused}))
			},
			method: http.MethodPost, path: "/automations", status: 201, response: endpointAutomation,
			body: `{"name":"N","description":"D","trigger":{"kind":"event","event":"media.created"},"workflow":` + workflow + `,"status":"paused"}`,
		},
		"automations get": {
			call:   func(ctx in, c of) (any, error) { return endpointRead(c.Automations.Get(ctx, "auto_1")) },
			method: http.MethodGet, path: "/automations/auto_1", status: 200, response: endpointAutomation,
		},
		"automations list": {
			call: func(ctx in, c of) (any, error) {
				return endpointItems(c.Automations.List(ctx, ittybit.AutomationListParams{Page: 2, Limit: 50}))
			},
			method: http.MethodGet, path: "/automations", query: "limit=50&page=2", status: 200, response: "[" + endpointAutomation + "]",
		},
		"automations update": {
			call: func(ctx in, c of) (any, error) {
				return endpointRead(c.Automations.Update(ctx, "auto_1", ittybit.AutomationUpdateParams{
					Name: new("N"), Description: new(""), Trigger: &onMedia, Workflow: steps, Status: new(ittybit.AutomationStatusActive),
				}))
			},
			method: http.MethodPatch, path: "/automations/auto_1", status: 200, response: endpointAutomation,
			body: `{"name":"N","description":"","trigger":{"kind":"event","event":"media.created"},"workflow":` + workflow + `,"status":"active"}`,
		},
		"automations delete": {
			call:   func(ctx in, c of) (any, error) { return nil, c.Automations.Delete(ctx, "auto_1") },
			method: http.MethodDelete, path: "/automations/auto_1", status: 200, response: `{"message":"Automation auto_1 deleted"}`,
		},
		"media create": {
			call: func(ctx in, c of) (any, error) {
				return endpointRead(c.Media.Create(ctx, ittybit.MediaCreateParams{Title: "T", Alt: "A", Metadata: metadata}))
			},
			method: http.MethodPost, path: "/media", status: 201, response: endpointMedia, body: `{"title":"T","alt":"A","metadata":` + metadataText + `}`,
		},
		"media create, empty": {
			call:   func(ctx in, c of) (any, error) { return endpointRead(c.Media.Create(ctx, ittybit.MediaCreateParams{})) },
			method: http.MethodPost, path: "/media", status: 201, response: endpointMedia, body: `{}`,
		},
		"media get": {
			call:   func(ctx in, c of) (any, error) { return endpointRead(c.Media.Get(ctx, "med_1")) },
			method: http.MethodGet, path: "/media/med_1", status: 200, response: endpointMedia,
		},
		"media list": {
			call: func(ctx in, c of) (any, error) {
				return endpointItems(c.Media.List(ctx, ittybit.MediaListParams{Page: 2, Limit: 50}))
			},
			method: http.MethodGet, path: "/media", query: "limit=50&page=2", status: 200, response: "[" + endpointMedia + "]",
		},
		"media update": {
			call: func(ctx in, c of) (any, error) {
				return endpointRead(c.Media.Update(ctx, "med_1", ittybit.MediaUpdateParams{Title: new(""), Alt: new("A"), Metadata: metadata}))
			},
			method: http.MethodPatch, path: "/media/med_1", status: 200, response: endpointMedia, body: `{"title":"","alt":"A","metadata":` + metadataText + `}`,
		},
		"media delete": {
			call:   func(ctx in, c of) (any, error) { return nil, c.Media.Delete(ctx, "med_1") },
			method: http.MethodDelete, path: "/media/med_1", status: 200, response: `{"message":"med_1 deleted"}`,
		},
		"files create": {
			call: func(ctx in, c of) (any, error) {
				return endpointRead(c.Files.Create(ctx, ittybit.FileCreateParams{
					URL: "https://example.com/a.mp4?a=1&b=<2>", MediaID: "med_1", Folder: "holidays/2025", Filename: "a.mp4", Ref: "big", Metadata: metadata,
				}))
			},
			method: http.MethodPost, path: "/files", status: 201, response: filesDocumented,
			body: `{"url":"https://example.com/a.mp4?a=1&b=<2>","media_id":"med_1","folder":"holidays/2025","filename":"a.mp4","ref":"big","metadata":` + metadataText + `}`,
		},
		"files create, with a URL only": {
			call: func(ctx in, c of) (any, error) {
				return endpointRead(c.Files.Create(ctx, ittybit.FileCreateParams{URL: "https://example.com/a.mp4"}))
			},
			method: http.MethodPost, path: "/files", status: 200, response: filesDocumented, body: `{"url":"https://example.com/a.mp4"}`,
		},
		"files get": {
			call:   func(ctx in, c of) (any, error) { return endpointRead(c.Files.Get(ctx, "file_1")) },
			method: http.MethodGet, path: "/files/file_1", status: 200, response: filesDocumented,
		},
		"files list": {
			call: func(ctx in, c of) (any, error) {
				return endpointItems(c.Files.List(ctx, ittybit.FileListParams{Page: 2, Limit: 50}))
			},
			method: http.MethodGet, path: "/files", query: "limit=50&page=2", status: 200, response: "[" + filesDocumented + "]",
		},
		"files update": {
			call: func(ctx in, c of) (any, error) {
				return endpointRead(c.Files.Update(ctx, "file_1", ittybit.FileUpdateParams{Folder: new("f"), Filename: new("n"), Ref: new("r"), Metadata: metadata}))
			},
			method: http.MethodPatch, path: "/files/file_1", status: 200, response: filesDocumented, body: `{"folder":"f","filename":"n","ref":"r","metadata":` + metadataText + `}`,
		},
		"files delete": {
			call:   func(ctx in, c of) (any, error) { return nil, c.Files.Delete(ctx, "file_1") },
			method: http.MethodDelete, path: "/files/file_1", status: 200, response: `{"message":"file_1 deleted"}`,
		},
		"signatures create": {
			call: func(ctx in, c of) (any, error) {
				return endpointRead(c.SignedURLs.Create(ctx, ittybit.SignedURLCreateParams{
					Filename: "video.mp4", Folder: "example", Method: ittybit.SignedURLMethodPut, Expiry: time.Unix(4102444800, 0), Resumable: true, Metadata: metadata,
				}))
			},
			method: http.MethodPost, path: "/signatures", status: 201, response: endpointSigned,
			body: `{"filename":"video.mp4","folder":"example","expiry":4102444800,"method":"put","resumable":true,"metadata":` + metadataText + `}`,
		},
	}
}

func TestEndpoints_sendWhatIsDocumentedAndReadTheDocumentedResponse(t *testing.T) {
	for name, c := range endpointCases() {
		for shape, response := range endpointShapes(c.response) {
			t.Run(name+", "+shape, func(t *testing.T) {
				server, seen := apitest.Server(t, apitest.Respond(c.status, response))
				got, err := c.call(t.Context(), apitest.Client(t, server.URL))
				require.NoError(t, err)
				requests := seen.All()
				require.Len(t, requests, 1)
				req := requests[0]
				assert.Equal(t, []string{c.method, c.path, c.query, c.body}, []string{req.Method, req.Path, req.Query, req.Body})
				endpointHeaders(t, req)
				if c.method == http.MethodDelete {
					return
				}
				read, err := json.Marshal(got)
				require.NoError(t, err)
				if shape == "of tomorrow" {
					assert.JSONEq(t, response, string(read), "what is not known is written too")
				} else {
					assert.JSONEq(t, c.response, string(read), "what was read is written")
				}
				endpointReadsEveryField(t, got, shape)
				assert.Equal(t, shape == "of tomorrow", strings.Contains(string(endpointRaw(t, got)), `"of_tomorrow":{"a":[1.50]}`), "what is not known is kept")
			})
		}
	}
}

// endpointReadsEveryField checks that each field of the response has reached its field in Go:
// an object that is set to what was read, and was not read itself, is written the same.
func endpointReadsEveryField(t *testing.T, got any, shape string) {
	t.Helper()
	value := reflect.ValueOf(got)
	if value.Kind() == reflect.Slice {
		value = value.Index(0).Addr()
	}
	fresh := reflect.New(value.Type().Elem())
	for i := range value.Elem().NumField() {
		if field := fresh.Elem().Field(i); field.CanSet() {
			field.Set(value.Elem().Field(i))
		}
	}
	text, err := json.Marshal(fresh.Interface())
	require.NoError(t, err)
	var want, have map[string]any
	require.NoError(t, json.Unmarshal(endpointRaw(t, got), &want))
	require.NoError(t, json.Unmarshal(text, &have))
	delete(want, "of_tomorrow")
	if expiry, ok := want["expiry"]; ok { // a number on the wire, and a time in Go
		assert.InDelta(t, int64(4102444800), expiry, 0)
		want["expiry"] = "2100-01-01T00:00:00Z"
	}
	assert.Equal(t, want, have, "%s: every field is read", shape)
}

// endpointShapes gives a response in the forms in which it may come.
func endpointShapes(response string) map[string]string {
	kind := "object"
	if strings.HasPrefix(response, "[") {
		kind = "list"
	}
	return map[string]string{
		"bare":        response,
		"enveloped":   `{"meta":{"request_id":"req_1","type":"` + kind + `"},"data":` + response + `,"error":null,"links":{"self":"https://api.ittybit.com/x","next":null}}`,
		"of 2024":     `{"meta":{"id":"req_1","method":"GET","host":"api.ittybit.com","status":200,"type":"` + kind + `"},"data":` + response + `,"links":{}}`,
		"of tomorrow": strings.Replace(response, "{", `{"of_tomorrow":{"a":[1.50]},`, 1),
	}
}

// endpointHeaders checks the headers of a JSON request: these values, and once each.
func endpointHeaders(t *testing.T, req apitest.Request) {
	t.Helper()
	want := map[string][]string{
		"Authorization": {"Bearer " + apitest.Key}, "Accept-Version": {"2025-08-20"}, "Accept": {"application/json"},
		"User-Agent": {fmt.Sprintf("ittybit-go/%s (%s)", ittybit.Version, runtime.Version())}, "Content-Type": nil,
	}
	if req.Body != "" {
		want["Content-Type"] = []string{"application/json"}
	}
	for name, values := range want {
		assert.Equal(t, values, req.Header[name], name)
	}
	if req.Method == http.MethodPost {
		assert.Len(t, req.Header["Idempotency-Key"], 1)
		assert.NotEmpty(t, req.Header.Get("Idempotency-Key"))
	} else {
		assert.NotContains(t, req.Header, "Idempotency-Key")
	}
	assert.NotContains(t, req.Body, "2025-08-20", "the version is no field of the body")
}

// endpointRaw gives the RawJSON of an object, or of the first of a list.
func endpointRaw(t *testing.T, got any) json.RawMessage {
	t.Helper()
	value := reflect.ValueOf(got)
	if value.Kind() == reflect.Slice {
		require.Equal(t, 1, value.Len())
		value = value.Index(0).Addr()
	}
	return value.Interface().(interface{ RawJSON() json.RawMessage }).RawJSON()
}

func TestEndpoints_aResponseThatIsNoneIsAnErrorNeverAZeroValue(t *testing.T) {
	noObject := []string{``, `null`, `{}`, `[]`, `"x"`, `7`, `<html>`, `{"id":null}`, `{"id":""}`, `{"id":7}`, `{"object":"task","kind":"video","filename":"x"}`, `{"message":"ok"}`,
		`{"meta":{"type":"error"},"data":null,"error":{"message":"odd"}}`, `{"data":{}}`, `{"data":[]}`, `{"data":{"id":7}}`}
	noList := []string{``, `null`, `{}`, `"x"`, `<html>`, `{"data":null}`, `{"data":{}}`, `[null]`, `["x"]`, `[{}]`, `[[]]`, `[{"id":7}]`, `{"data":[{"id":""}]}`,
		`{"meta":{"type":"error"},"data":null,"error":{"message":"odd"}}`}
	for name, c := range endpointCases() {
		responses := noObject
		switch {
		case c.method == http.MethodDelete:
			continue // whatever a success says
		case strings.HasPrefix(c.response, "["):
			responses = noList
		}
		for _, response := range responses {
			server, seen := apitest.Server(t, apitest.Respond(c.status, response))
			got, err := c.call(t.Context(), apitest.Client(t, server.URL))
			require.ErrorContains(t, err, "cannot use the response", "%s: %s", name, response)
			assert.Nil(t, got, "%s: %s", name, response)
			assert.Equal(t, 1, seen.Count(), "%s: %s", name, response)
			creates := c.method == http.MethodPost && c.path != "/signatures"
			assert.Equal(t, creates, errors.Is(err, ittybit.ErrOutcomeUnknown), "%s: %s: %v", name, response, err)
		}
	}
}

func TestEndpoints_aRefusalIsAnAPIErrorOfEveryShape(t *testing.T) {
	for name, c := range endpointCases() {
		for _, response := range []string{`{"message":"No such thing."}`, `{"kind":"not_found","message":"No such thing."}`, `{"meta":{"status":404},"data":null,"error":{"message":"No such thing."}}`} {
			server, _ := apitest.Server(t, apitest.Respond(404, response))
			got, err := c.call(t.Context(), apitest.Client(t, server.URL))
			require.ErrorIs(t, err, ittybit.ErrNotFound, name)
			var refusal *ittybit.APIError
			require.ErrorAs(t, err, &refusal, name)
			assert.Equal(t, []string{c.method, "No such thing."}, []string{refusal.Method, refusal.Message}, name)
			assert.Nil(t, got, name)
		}
	}
}

func TestAnyTaskKind_isAFilterAndNothingElse(t *testing.T) {
	client, seen := apitest.Fake(t, apitest.Always(200, `[]`))
	every := ittybit.WorkflowStep{Kind: ittybit.AnyTaskKind}
	for param, steps := range map[string][]ittybit.WorkflowStep{
		"Workflow[0].Kind":         {every},
		"Workflow[1].Kind":         {{Kind: "nsfw"}, every},
		"Workflow[0].Next[0].Kind": {{Kind: "nsfw", Next: []ittybit.WorkflowStep{every}}},
	} {
		_, err := client.Automations.Create(t.Context(), ittybit.AutomationCreateParams{Trigger: ittybit.OnEvent(ittybit.EventMediaCreated), Workflow: steps})
		apitest.RequireParamError(t, err, param)
		_, err = client.Automations.Update(t.Context(), "auto_1", ittybit.AutomationUpdateParams{Workflow: steps})
		apitest.RequireParamError(t, err, param)
		_, err = client.Tasks.Create(t.Context(), ittybit.TaskCreateParams{Kind: "workflow", URL: "https://example.com/a", Options: ittybit.WorkflowOptions{Workflow: steps}})
		apitest.RequireParamError(t, err, "Options."+param)
	}
	_, err := client.Tasks.CreateAndWait(t.Context(), ittybit.TaskCreateParams{Kind: ittybit.AnyTaskKind, URL: "https://example.com/a"})
	apitest.RequireParamError(t, err, "Kind")
	require.Zero(t, seen.Count())

	_, err = client.Tasks.List(t.Context(), ittybit.TaskListParams{Kind: ittybit.AnyTaskKind, Limit: 7})
	require.NoError(t, err)
	for _, err := range client.Tasks.All(t.Context(), ittybit.TaskListParams{Kind: ittybit.AnyTaskKind}) {
		require.NoError(t, err)
	}
	next := ittybit.EventHandlerFunc(func(context.Context, *ittybit.Event) error { return nil })
	_, err = ittybit.Reconcile(t.Context(), client, next, ittybit.ReconcileParams{Kind: ittybit.AnyTaskKind})
	require.NoError(t, err)
	require.GreaterOrEqual(t, seen.Count(), 3)
	for _, req := range seen.All() {
		assert.NotContains(t, req.Query, "kind")
	}
}
