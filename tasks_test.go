package ittybit_test

import (
	"encoding/json"
	"math"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
)

// apiTaskOf is the task that a client reads from a response.
func apiTaskOf(t *testing.T, body string) *ittybit.Task {
	t.Helper()
	client, _ := apiFake(t, apiAlways(200, body))
	task, err := client.Tasks.Get(t.Context(), "task_1")
	require.NoError(t, err, body)
	return task
}

func TestTasksCreate_sendsEveryField(t *testing.T) {
	client, seen := apiFake(t, apiAlways(201, apiTask))
	_, err := client.Tasks.Create(t.Context(), ittybit.TaskCreateParams{
		Kind: ittybit.TaskKindImage, FileID: "file_1", Filename: "a.png", Folder: "f", Ref: "thumb", Description: "d", WebhookURL: "http://localhost:1/hook?a=1&b=2",
		Options: ittybit.ImageOptions{Width: ittybit.Pixels(320), Format: "png"},
		Extra:   map[string]any{"metadata": map[string]any{"n": json.Number("12345678901234567890")}, "new": nil},
	})
	require.NoError(t, err)
	body := seen.all()[0].Body
	assert.Equal(t, map[string]any{
		"kind": "image", "file_id": "file_1", "filename": "a.png", "folder": "f", "ref": "thumb", "description": "d", "webhook_url": "http://localhost:1/hook?a=1&b=2",
		"width": json.Number("320"), "format": "png", "metadata": map[string]any{"n": json.Number("12345678901234567890")}, "new": nil,
	}, apiFields(t, body))
	assert.Contains(t, body, "a=1&b=2", "URLs stay readable")
}

func TestTasksCreate_refusesBadParametersBeforeAnythingIsSent(t *testing.T) {
	client, seen := apiFake(t, apiAlways(201, apiTask))
	for _, c := range []struct {
		param  string
		params ittybit.TaskCreateParams
	}{
		{"Kind", ittybit.TaskCreateParams{URL: "https://x.example/"}},
		{"URL", ittybit.TaskCreateParams{Kind: "nsfw"}},
		{"URL", ittybit.TaskCreateParams{Kind: "nsfw", URL: "https://x.example/", FileID: "file_1"}},
		{"WebhookURL", ittybit.TaskCreateParams{Kind: "nsfw", FileID: "f", WebhookURL: "http://your-app.com/hook"}},
		{"WebhookURL", ittybit.TaskCreateParams{Kind: "nsfw", FileID: "f", WebhookURL: "/hook"}},
		{"WebhookURL", ittybit.TaskCreateParams{Kind: "nsfw", FileID: "f", WebhookURL: "your-app.com/hook"}},
		{"WebhookURL", ittybit.TaskCreateParams{Kind: "nsfw", FileID: "f", WebhookURL: "ftp://localhost/"}},
		{"WebhookURL", ittybit.TaskCreateParams{Kind: "nsfw", FileID: "f", WebhookURL: "https://"}},
		{"WebhookURL", ittybit.TaskCreateParams{Kind: "nsfw", FileID: "f", WebhookURL: "https://a b/"}},
		{"WebhookURL", ittybit.TaskCreateParams{Kind: "nsfw", FileID: "f", WebhookURL: "http://localhost.evil.example/"}},
		{"Options", ittybit.TaskCreateParams{Kind: "nsfw", FileID: "f", Options: ittybit.ImageOptions{}}},
		{"Options", ittybit.TaskCreateParams{Kind: "image", FileID: "f", Options: (*ittybit.ImageOptions)(nil)}},
		{"Options.Quality", ittybit.TaskCreateParams{Kind: "image", FileID: "f", Options: ittybit.ImageOptions{Quality: -1}}},
		{"Options.Width", ittybit.TaskCreateParams{Kind: "image", FileID: "f", Options: &ittybit.ImageOptions{Width: ittybit.Percent(math.NaN())}}},
		{"Options.Start", ittybit.TaskCreateParams{Kind: "image", FileID: "f", Options: ittybit.ImageOptions{Start: math.Inf(1)}}},
		{"Options.FPS", ittybit.TaskCreateParams{Kind: "video", FileID: "f", Options: ittybit.VideoOptions{FPS: -1}}},
		{"Options.Count", ittybit.TaskCreateParams{Kind: "thumbnails", FileID: "f", Options: ittybit.ThumbnailsOptions{Count: -3}}},
		{"Options.x", ittybit.TaskCreateParams{Kind: "nsfw", FileID: "f", Options: ittybit.RawOptions{"x": json.RawMessage("{")}}},
		{`Options["url"]`, ittybit.TaskCreateParams{Kind: "nsfw", FileID: "f", Options: ittybit.RawOptions{"url": json.RawMessage("1")}}},
		{`Options["kind"]`, ittybit.TaskCreateParams{Kind: "nsfw", FileID: "f", Options: &ittybit.RawOptions{"kind": json.RawMessage("1")}}},
		{`Extra["webhook_url"]`, ittybit.TaskCreateParams{Kind: "nsfw", FileID: "f", Extra: map[string]any{"webhook_url": "x"}}},
		{`Extra["width"]`, ittybit.TaskCreateParams{Kind: "image", FileID: "f", Options: ittybit.ImageOptions{}, Extra: map[string]any{"width": 1}}},
		{`Extra["a"]`, ittybit.TaskCreateParams{Kind: "nsfw", FileID: "f", Options: ittybit.RawOptions{"a": json.RawMessage("1")}, Extra: map[string]any{"a": 1}}},
		{`Extra["f"]`, ittybit.TaskCreateParams{Kind: "nsfw", FileID: "f", Extra: map[string]any{"f": func() {}}}},
	} {
		task, err := client.Tasks.Create(t.Context(), c.params)
		clientParamError(t, err, c.param)
		assert.Nil(t, task)
	}
	_, err := client.Media.Create(t.Context(), ittybit.MediaCreateParams{Metadata: map[string]any{"f": func() {}}})
	clientParamError(t, err, "parameters")
	assert.Zero(t, seen.count())
}

func TestTasksCreate_takesPlainHTTPWebhooksForLoopbackOnly(t *testing.T) {
	client, seen := apiFake(t, apiAlways(201, apiTask))
	for _, webhook := range []string{"", "https://your-app.com/h", "HTTPS://your-app.com/h", "http://localhost/h", "http://127.0.0.1:8080/h", "http://[::1]/h", "http://a.localhost/h"} {
		_, err := client.Tasks.Create(t.Context(), ittybit.TaskCreateParams{Kind: "nsfw", FileID: "f", WebhookURL: webhook})
		assert.NoError(t, err, webhook)
	}
	assert.Equal(t, 7, seen.count())
}

func TestTask_readsTheDocumentedResponse(t *testing.T) {
	const body = `{"id":"task_abcdefgh1234","object":"task","kind":"image",
		"input":{"id":"file_abcdefgh1234","object":"source","kind":"video","type":"video/mp4","width":1920,"height":1080,"duration":123.45,"filesize":12345678,"url":"https://you.ittybit.net/file_abcdefgh1234","ref":"original"},
		"options":{"width":320,"format":"png","ref":"thumbnail"},
		"output":{"id":"file_abcdefgh5678","object":"source","kind":"image","type":"image/png","width":320,"height":180,"filesize":12345,"url":"https://you.ittybit.net/file_abcdefgh5678","ref":"thumbnail"},
		"status":"completed","progress":100,"created_by":"user_1","parent_id":"task_0","project_id":"prj_1","automation_id":"auto_1",
		"created":"2025-01-01T01:23:45Z","updated":"2025-01-01T01:23:46.678Z","brand_new":{"a":[1]}}`
	task := apiTaskOf(t, body)
	assert.Equal(t, "task_abcdefgh1234", task.ID)
	assert.Equal(t, "task", task.Object)
	assert.Equal(t, ittybit.TaskKindImage, task.Kind)
	assert.Equal(t, ittybit.TaskStatusCompleted, task.Status)
	assert.Equal(t, 100, task.Progress)
	options, ok := task.Options.(ittybit.ImageOptions)
	require.True(t, ok)
	assert.Equal(t, ittybit.Pixels(320), options.Width)
	assert.Equal(t, "png", options.Format)
	rest, err := json.Marshal(options)
	require.NoError(t, err)
	assert.JSONEq(t, `{"width":320,"format":"png","ref":"thumbnail"}`, string(rest))
	assert.Equal(t, "video/mp4", task.Input.Type)
	assert.InDelta(t, 123.45, task.Input.Duration, 1e-9)
	assert.Equal(t, int64(12345678), task.Input.Filesize)
	assert.Equal(t, ittybit.FileObjectSource, task.Output.Object)
	assert.Equal(t, "https://you.ittybit.net/file_abcdefgh5678", task.Output.URL)
	assert.Equal(t, []string{"user_1", "task_0", "prj_1", "auto_1"}, []string{task.CreatedBy, task.ParentID, task.ProjectID, task.AutomationID})
	assert.Equal(t, time.Date(2025, 1, 1, 1, 23, 45, 0, time.UTC), task.Created)
	assert.Equal(t, time.Date(2025, 1, 1, 1, 23, 46, 678e6, time.UTC), task.Updated)
	assert.Nil(t, task.Error)
	assert.Nil(t, task.Results)
	assert.JSONEq(t, body, string(task.RawJSON()), "what is not known is kept")
	assert.Contains(t, string(task.Output.RawJSON()), "file_abcdefgh5678")
}

func TestTask_readsEnvelopesAndOtherGenerations(t *testing.T) {
	task := apiTaskOf(t, `{"meta":{"request_id":"req_1","type":"object"},"data":{"id":"task_1","kind":"nsfw","status":"completed"},"error":null,"links":{"self":"x"}}`)
	assert.Equal(t, "task_1", task.ID)
	assert.Equal(t, ittybit.TaskKindNSFW, task.Kind)
	assert.JSONEq(t, `{"id":"task_1","kind":"nsfw","status":"completed"}`, string(task.RawJSON()))

	// 2025-12-01: lists of files, unix seconds, statuses and times of other names.
	task = apiTaskOf(t, `{"id":"task_1","object":"task","kind":"image","status":"succeeded","run_id":"run_1","progress":null,"options":{"width":"50%"},
		"inputs":[{"id":"file_1"},"https://x.example/a",null],"outputs":[{"id":"file_2","width":"640"}],"metadata":{"n":12345678901234567890},"error":null,
		"created_at":1735689600,"started_at":1735689601,"updated_at":1735689602,"finished_at":1735689603}`)
	assert.True(t, task.Succeeded())
	assert.Equal(t, "run_1", task.RunID)
	assert.Equal(t, ittybit.ImageOptions{Width: ittybit.Percent(50)}, task.Options)
	require.Len(t, task.Inputs, 1)
	require.Len(t, task.Outputs, 1)
	assert.Equal(t, 640, task.Outputs[0].Width)
	assert.Equal(t, json.Number("12345678901234567890"), task.Metadata["n"])
	for i, at := range []time.Time{task.Created, task.Started, task.Updated, task.Completed} {
		assert.Equal(t, int64(1735689600+i), at.Unix())
	}

	// 2026: unix milliseconds, URLs in place of files, an error that is an object.
	task = apiTaskOf(t, `{"id":"task_1","status":"failed","input":"https://x.example/a","output":"https://x.example/b","inputs":null,
		"error":{"kind":"bad_input","message":"no video"},"created_at":1735689600123,"started":1735689601000,"completed":"2025-01-01T00:00:02Z"}`)
	assert.Nil(t, task.Input)
	assert.Nil(t, task.Output)
	assert.Equal(t, &ittybit.TaskError{Kind: "bad_input", Message: "no video"}, task.Error)
	assert.Equal(t, int64(1735689600123), task.Created.UnixMilli())
	assert.Equal(t, int64(1735689601), task.Started.Unix())
	assert.Equal(t, int64(1735689602), task.Completed.Unix())
}

func TestTask_inputAndOutputAreKeptInWhateverForm(t *testing.T) {
	for text, isFile := range map[string]bool{`{"id":"file_1","new":1.50}`: true, `{}`: true, `"https://x.example/a"`: false, `["a"]`: false, `7`: false} {
		task := apiTaskOf(t, `{"id":"task_1","input": `+text+` ,"output":`+text+`}`)
		assert.Equal(t, text, string(task.RawInput()))
		assert.Equal(t, text, string(task.RawOutput()))
		assert.Equal(t, isFile, task.Input != nil, text)
		assert.Equal(t, isFile, task.Output != nil, text)
	}
	for _, body := range []string{`{"id":"task_1"}`, `{"id":"task_1","input":null,"output":null}`} {
		task := apiTaskOf(t, body)
		assert.Nil(t, task.RawInput())
		assert.Nil(t, task.RawOutput())
	}
}

func TestTask_readsItsWorkflow(t *testing.T) {
	task := apiTaskOf(t, `{"id":"task_1","kind":"workflow","workflow":[{"kind":"video","quality":75},{"kind":"nsfw"}]}`)
	assert.Equal(t, []ittybit.WorkflowStep{{Kind: "video", Options: ittybit.VideoOptions{Quality: 75}, Extra: map[string]any{}}, {Kind: "nsfw"}}, task.Workflow)
	assert.Nil(t, apiTaskOf(t, `{"id":"task_1","workflow":null}`).Workflow)

	client, _ := apiFake(t, apiAlways(200, `{"id":"task_1","kind":"workflow","workflow":"auto_1","status":"completed"}`))
	task, err := client.Tasks.Get(t.Context(), "task_1")
	require.NoError(t, err, "the rest of the task is there")
	require.ErrorContains(t, task.DecodeError(), `field "workflow"`)
	assert.Equal(t, ittybit.TaskStatusCompleted, task.Status)
}

func TestTask_unknownValuesAndNullsAreNoErrors(t *testing.T) {
	task := apiTaskOf(t, `{"id":"task_1","object":null,"kind":"hologram","status":"teleporting","progress":"42.5","input":null,"output":null,"inputs":null,"outputs":null,
		"options":null,"results":null,"error":null,"created_by":null,"metadata":null,"created":null,"updated":"","completed":null}`)
	assert.Equal(t, ittybit.TaskKind("hologram"), task.Kind)
	assert.Equal(t, ittybit.TaskStatus("teleporting"), task.Status)
	assert.Equal(t, 42, task.Progress)
	assert.False(t, task.Terminal())
	assert.Nil(t, task.Options)
	assert.Nil(t, task.Results)
	assert.Nil(t, task.Metadata)
	assert.True(t, task.Created.IsZero())
}

func TestTask_errorIsAStringOrAnObject(t *testing.T) {
	for text, want := range map[string]*ittybit.TaskError{
		`"boom"`:               {Message: "boom"},
		`""`:                   nil,
		`null`:                 nil,
		`{"message":"boom"}`:   {Message: "boom"},
		`{"code":7}`:           {Message: `{"code":7}`},
		`{"kind":"k"}`:         {Kind: "k", Message: `{"kind":"k"}`},
		`{"message":"\u00e9"}`: {Message: "é"},
	} {
		assert.Equal(t, want, apiTaskOf(t, `{"id":"task_1","error":`+text+`}`).Error, text)
	}
}

func TestTask_membersThatCannotBeReadAreNamed(t *testing.T) {
	for field, value := range map[string]string{
		"created": `"yesterday"`, "created_at": `true`, "started": `"x"`, "started_at": `"x"`, "updated": `{}`, "updated_at": `[]`, "completed": `"x"`, "finished_at": `1e99`,
		"progress": `"half"`, "inputs": `{}`, "outputs": `"x"`, "metadata": `[]`, "error": `7`, "workflow": `["x"]`, "input": `{"width":"wide"}`, "output": `{"id":7}`,
	} {
		client, _ := apiFake(t, apiAlways(200, `{"id":"task_1","`+field+`":`+value+`}`))
		task, err := client.Tasks.Get(t.Context(), "task_1")
		require.NoError(t, err)
		require.ErrorContains(t, task.DecodeError(), `cannot decode field "`+field, value)
	}
	client, _ := apiFake(t, apiAlways(200, `{"id":"task_1","inputs":[{"filesize":"big"}]}`))
	task, err := client.Tasks.Get(t.Context(), "task_1")
	require.NoError(t, err)
	require.ErrorContains(t, task.DecodeError(), `field "inputs[0].filesize"`)
}

func TestTask_decodesLikeAnyGoType(t *testing.T) {
	data := []byte(`{"id":"task_1","kind":"nsfw","results":{"is_nsfw":true},"brand_new":1}`)
	var task ittybit.Task
	require.NoError(t, json.Unmarshal(data, &task))
	copy(data, `XXXXXXXXXXXXXXXX`)
	assert.JSONEq(t, `{"id":"task_1","kind":"nsfw","results":{"is_nsfw":true},"brand_new":1}`, string(task.RawJSON()), "the task has its own copy")

	written, err := json.Marshal(&task)
	require.NoError(t, err)
	assert.JSONEq(t, `{"id":"task_1","kind":"nsfw","results":{"is_nsfw":true},"brand_new":1}`, string(written))
	written, err = json.Marshal(ittybit.Task{ID: "task_1", Kind: "nsfw"})
	require.NoError(t, err)
	assert.JSONEq(t, `{"id":"task_1","kind":"nsfw"}`, string(written), "zero times and the like are left out")
	assert.Nil(t, new(ittybit.Task).RawJSON())
}

// taskMeanings is the table of TaskStatus. ready stands in it with what it depends on.
var taskMeanings = []struct {
	state string // the fields of a task
	rank  int
	end   string
}{
	{`"status":"expired"`, 0, ""},
	{`"status":"expired","completed":"2025-01-10T12:35:22Z"`, 0, ""},
	{`"status":"timed_out","finished_at":1733011200,"error":"too late"`, 0, ""},
	{`"status":"Completed","results":{"is_nsfw":true}`, 0, ""},
	{`"kind":"nsfw"`, 0, ""},
	{`"status":"created"`, 1, ""},
	{`"status":"pending"`, 2, ""},
	{`"status":"waiting"`, 2, ""},
	{`"status":"queued"`, 2, ""},
	{`"status":"validating"`, 2, ""},
	{`"status":"processing"`, 3, ""},
	{`"status":"processing","output":{"id":"file_1"}`, 3, ""},
	{`"status":"finishing"`, 3, ""},
	{`"status":"ready"`, 3, ""},
	{`"status":"ready","output":null,"results":null`, 3, ""},
	{`"status":"ready","outputs":[]`, 3, ""},
	{`"status":"ready","output":{"id":"file_1"}`, 4, "succeeded"},
	{`"status":"ready","outputs":[{"id":"file_1"}]`, 4, "succeeded"},
	{`"status":"ready","results":{"is_nsfw":false}`, 4, "succeeded"},
	{`"status":"completed"`, 4, "succeeded"},
	{`"status":"succeeded"`, 4, "succeeded"},
	{`"status":"failed"`, 4, "failed"},
	{`"status":"error"`, 4, "failed"},
	{`"status":"cancelled"`, 4, "cancelled"},
	{`"status":"canceled"`, 4, "cancelled"},
}

func TestTask_endsAsItsTableSays(t *testing.T) {
	for _, tt := range taskMeanings {
		task := apiTaskOf(t, `{"id":"t",`+tt.state+`}`)
		assert.Equal(t, tt.end == "succeeded", task.Succeeded(), tt.state)
		assert.Equal(t, tt.end == "failed", task.Failed(), tt.state)
		assert.Equal(t, tt.end == "cancelled", task.Cancelled(), tt.state)
		assert.Equal(t, tt.end != "", task.Terminal(), tt.state)
	}
}

func TestTask_supersedesAsItsTableSays(t *testing.T) {
	for _, newer := range taskMeanings {
		for _, older := range taskMeanings {
			a, b := apiTaskOf(t, `{"id":"t",`+newer.state+`}`), apiTaskOf(t, `{"id":"t",`+older.state+`}`)
			assert.Equal(t, newer.rank > older.rank, a.Supersedes(b), "%s after %s", newer.state, older.state)
		}
	}
}

func TestTask_supersedesByTimeThenProgressWithinARank(t *testing.T) {
	at := time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)
	state := func(status ittybit.TaskStatus, progress int, updated time.Time) *ittybit.Task {
		return &ittybit.Task{ID: "task_1", Status: status, Progress: progress, Updated: updated}
	}
	assert.True(t, state("processing", 0, at).Supersedes(nil))
	assert.False(t, (&ittybit.Task{ID: "other", Status: "completed"}).Supersedes(state("created", 0, at)))
	assert.True(t, state("processing", 10, at.Add(1)).Supersedes(state("processing", 20, at)), "the later one")
	assert.False(t, state("processing", 20, at).Supersedes(state("processing", 10, at.Add(1))))
	assert.True(t, state("processing", 20, at).Supersedes(state("processing", 10, at)), "more progress")
	assert.True(t, state("processing", 20, time.Time{}).Supersedes(state("processing", 10, at)), "a time is unknown")
	assert.False(t, state("processing", 10, at).Supersedes(state("processing", 10, at)))
	assert.False(t, state("failed", 100, at.Add(time.Hour)).Supersedes(state("completed", 0, at)))
	assert.True(t, state("expired", 10, at.Add(1)).Supersedes(state("expired", 20, at)))
}

func TestTasksGet_answerWithoutIDIsAnError(t *testing.T) {
	for _, body := range []string{`{}`, `{"id":""}`, `{"data":{}}`, `{"data":{"id":""}}`, `{"object":"task","status":"completed"}`} {
		client, _ := apiFake(t, apiAlways(http.StatusOK, body))
		task, err := client.Tasks.Get(t.Context(), "task_1")
		require.ErrorContains(t, err, "it has no id", body)
		assert.Nil(t, task, body)
	}
}

func TestTasksCreate_refusesTheKindOfNoTask(t *testing.T) {
	client, err := ittybit.NewClient("ittybit_test_key")
	require.NoError(t, err)
	_, err = client.Tasks.Create(t.Context(), ittybit.TaskCreateParams{Kind: ittybit.AnyTaskKind, URL: "https://example.com/a.mp4"})
	clientParamError(t, err, "Kind")
}
