package ittybittest_test

import (
	"encoding/json"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/ittybittest"
)

func TestTask_isCreatedAsItIsDocumented(t *testing.T) {
	bubble(t, nil, func(t *testing.T, a api) {
		got := a.send("POST", "/tasks", `{"kind":"image","file_id":"file_1","width":320,"format":"png","ref":"thumbnail","webhook_url":"`+hook+`"}`)
		assert.Equal(t, http.StatusCreated, got.status)
		task := got.object(t)
		id := task["id"].(string)
		assert.Regexp(t, `^task_[a-z2-7]{16}$`, id)
		assert.Equal(t, "task", task["object"])
		assert.Equal(t, "image", task["kind"])
		assert.Equal(t, "pending", task["status"])
		assert.Equal(t, 0.0, task["progress"])
		assert.Equal(t, map[string]any{"id": "file_1"}, task["input"])
		assert.Equal(t, map[string]any{"width": 320.0, "format": "png", "ref": "thumbnail"}, task["options"])
		assert.Contains(t, task, "output")
		assert.Nil(t, task["output"])
		assert.Regexp(t, `^proj_`, task["project_id"])
		for _, absent := range []string{"results", "error", "automation_id", "parent_id", "completed", "webhook_url", "width"} {
			assert.NotContains(t, task, absent)
		}
		assert.Equal(t, task, a.get("/tasks/"+id))
	})
}

func TestTask_runsByItself(t *testing.T) {
	bubble(t, nil, func(t *testing.T, a api) {
		path := "/tasks/" + a.create("/tasks", nsfwTask)["id"].(string)
		step := func(status string, progress float64) map[string]any {
			t.Helper()
			time.Sleep(time.Hour) // in fake time
			synctest.Wait()
			task := a.get(path)
			assert.Equal(t, status, task["status"])
			assert.Equal(t, progress, task["progress"])
			return task
		}
		time.Sleep(time.Minute)
		step("processing", 0)
		task := step("processing", 50)
		assert.NotContains(t, task, "results")
		step("processing", 50)
		task = step("completed", 100)
		assert.Equal(t, map[string]any{"is_nsfw": false, "confidence": 0.97}, task["results"])
		assert.NotContains(t, task, "error")
		created, err := time.Parse(time.RFC3339, task["created"].(string))
		require.NoError(t, err)
		completed, err := time.Parse(time.RFC3339, task["completed"].(string))
		require.NoError(t, err)
		assert.Equal(t, 4*time.Hour, completed.Sub(created))
		assert.Equal(t, task["completed"], task["updated"])
		assert.Equal(t, "https://example.com/a.png", task["input"].(map[string]any)["url"])
	}, ittybittest.WithTaskDuration(4*time.Hour))
}

func TestTask_endsAtOnceWithoutADuration(t *testing.T) {
	bubble(t, nil, func(t *testing.T, a api) {
		id := a.create("/tasks", nsfwTask)["id"].(string)
		synctest.Wait()
		assert.Equal(t, "completed", a.get("/tasks/" + id)["status"])
	}, ittybittest.WithTaskDuration(-1))
}

func TestClose_leavesTasksWhereTheyAre(t *testing.T) {
	in := &inbox{}
	bubble(t, in, func(t *testing.T, a api) {
		a.create("/tasks", `{"kind":"nsfw","file_id":"f","webhook_url":"`+hook+`"}`)
		a.srv.Close()
		time.Sleep(time.Hour)
		assert.Empty(t, in.all())
	})
}

func TestTask_validation(t *testing.T) {
	a := open(t)
	for body, words := range map[string]string{
		`{}`:                      "kind is required",
		`{"kind":""}`:             "kind is required",
		`{"kind":null,"url":"x"}`: "url must be",
		`{"kind":7}`:              "kind must be a string",
		`{"ref":1,"url":2}`:       "url must be a string", // the same one each time
		`{"kind":"nfsw","url":"https://example.com/a.png"}`: `"nfsw" is not known`,
		`{"kind":"nsfw"}`:            "One of url and file_id is required",
		`{"kind":"nsfw","url":null}`: "One of url and file_id is required",
		`{"kind":"nsfw","url":"https://example.com/a.png","file_id":"file_1"}`:                                      "Only one of url and file_id",
		`{"kind":"nsfw","url":"a.png"}`:                                                                             "url must be an absolute",
		`{"kind":"nsfw","url":"ftp://example.com/a"}`:                                                               "url must be an absolute",
		`{"kind":"nsfw","url":"https:///a"}`:                                                                        "url must be an absolute",
		`{"kind":"nsfw","url":"%zz"}`:                                                                               "url must be an absolute",
		`{"kind":"ingest","file_id":"file_1"}`:                                                                      "ingest task needs a url",
		`{"kind":"nsfw","file_id":5}`:                                                                               "file_id must be a string",
		`{"kind":"nsfw","file_id":"f","ref":{}}`:                                                                    "ref must be a string",
		`{"kind":"nsfw","file_id":"f","webhook_url":"http://your-app.com/hook"}`:                                    "webhook_url must be an https URL",
		`{"kind":"nsfw","file_id":"f","webhook_url":"http://127.0.0.1.your-app.com/hook"}`:                          "webhook_url must be an https URL",
		`{"kind":"nsfw","file_id":"f","webhook_url":"/hook"}`:                                                       "webhook_url must be an absolute https URL",
		`{"kind":"nsfw","file_id":"f","webhook_url":"ws://localhost/hook"}`:                                         "webhook_url must be an absolute https URL",
		`{"kind":"nsfw","file_id":"f","webhook_url":"https://:80/hook"}`:                                            "webhook_url must be an absolute https URL",
		`{"kind":"conditions","file_id":"f"}`:                                                                       "conditions task needs conditions",
		`{"kind":"conditions","file_id":"f","conditions":[]}`:                                                       "at least one {prop, value}",
		`{"kind":"conditions","file_id":"f","conditions":null}`:                                                     "at least one {prop, value}",
		`{"kind":"conditions","file_id":"f","conditions":[{"value":"x"}]}`:                                          "needs a prop",
		`{"kind":"conditions","file_id":"f","conditions":[{"prop":"kind","value":{}}]}`:                             "needs a prop",
		`{"kind":"conditions","file_id":"f","conditions":[{"prop":"kind","value":"video"}],"next":{"kind":"nsfw"}}`: "next must be an array",
	} {
		a.send("POST", "/tasks", body).refused(t, http.StatusBadRequest, words)
	}
	assert.Empty(t, a.list("/tasks"), "nothing was created")
}

func TestTask_takesEveryDocumentedKindAndPlainHTTPOnLoopback(t *testing.T) {
	a := open(t, ittybittest.WithBackoff(ittybittest.Backoff{Attempts: 1}))
	for _, kind := range []string{
		"ingest", "video", "image", "audio", "chapters", "subtitles", "thumbnails", "nsfw", "speech",
		"description", "outline", "prompt",
	} {
		a.create("/tasks", `{"kind":"`+kind+`","url":"https://example.com/a"}`)
	}
	for _, host := range []string{"http://localhost:1", "http://127.0.0.1:1", "http://127.9.9.9:1", "http://[::1]:1", "http://LOCALHOST:1", "https://your-app.com"} {
		a.create("/tasks", `{"kind":"nsfw","file_id":"f","webhook_url":"`+host+`/hook"}`)
	}
}

func TestSetResults(t *testing.T) {
	bubble(t, nil, func(t *testing.T, a api) {
		run := func(kind string) map[string]any {
			t.Helper()
			id := a.create("/tasks", `{"kind":"`+kind+`","file_id":"file_1"}`)["id"].(string)
			time.Sleep(time.Second)
			return a.get("/tasks/" + id)
		}
		a.srv.SetResults("nsfw", map[string]any{"is_nsfw": true, "note": "a<b"})
		assert.Equal(t, map[string]any{"is_nsfw": true, "note": "a<b"}, run("nsfw")["results"])

		a.srv.SetResults("nsfw", json.RawMessage("null"))
		task := run("nsfw")
		assert.Contains(t, task, "results")
		assert.Nil(t, task["results"])

		a.srv.SetResults("nsfw", nil)
		assert.Equal(t, 0.97, run("nsfw")["results"].(map[string]any)["confidence"])

		a.srv.SetResults("summary", []int{1})
		assert.Equal(t, []any{1.0}, run("summary")["results"], "a kind that was unknown")

		assert.PanicsWithValue(t, `ittybittest: SetResults("nsfw"): json: unsupported type: func()`, func() {
			a.srv.SetResults("nsfw", func() {})
		})
	})
}

func TestFailTasks(t *testing.T) {
	in := &inbox{}
	bubble(t, in, func(t *testing.T, a api) {
		a.srv.FailTasks("nsfw", "The file is broken.")
		id := a.create("/tasks", `{"kind":"nsfw","file_id":"f","webhook_url":"`+hook+`"}`)["id"].(string)
		other := a.create("/tasks", `{"kind":"speech","file_id":"f"}`)["id"].(string)
		time.Sleep(time.Second)
		task := a.get("/tasks/" + id)
		assert.Equal(t, "failed", task["status"])
		assert.Equal(t, "The file is broken.", task["error"])
		assert.NotContains(t, task, "results")
		assert.NotContains(t, task, "completed")
		assert.Equal(t, "completed", a.get("/tasks/" + other)["status"])
		assert.Equal(t, []map[string]any{task}, in.bodies(t), "a failed task is posted too")

		a.srv.FailTasks("nsfw", "")
		id = a.create("/tasks", `{"kind":"nsfw","file_id":"f"}`)["id"].(string)
		time.Sleep(time.Second)
		assert.Equal(t, "completed", a.get("/tasks/" + id)["status"])
	})
}

func TestResults_byDefault(t *testing.T) {
	bubble(t, nil, func(t *testing.T, a api) {
		run := func(body string) map[string]any {
			t.Helper()
			id := a.create("/tasks", body)["id"].(string)
			time.Sleep(time.Second)
			return a.get("/tasks/" + id)
		}
		for kind, fields := range map[string][]string{
			"nsfw":        {"is_nsfw", "confidence"},
			"description": {"title", "description", "tags"},
			"subtitles":   {"url", "format"},
			"thumbnails":  {"urls", "count"},
			"chapters":    {"chapters"},
			"speech":      {"text", "timeline", "speakers"},
		} {
			results, ok := run(`{"kind":"` + kind + `","url":"https://example.com/a.mp4"}`)["results"].(map[string]any)
			require.True(t, ok, kind)
			for _, field := range fields {
				assert.Contains(t, results, field, kind)
			}
		}
		for kind, url := range map[string]string{"video": "a.mp4", "image": "a.JPG", "audio": "a.mp3?x=1"} {
			task := run(`{"kind":"` + kind + `","url":"https://example.com/` + url + `","ref":"small","filename":"f","folder":"d"}`)
			output := task["output"].(map[string]any)
			assert.NotContains(t, task, "results")
			assert.Regexp(t, `^file_`, output["id"])
			assert.Equal(t, "source", output["object"])
			assert.Equal(t, kind, output["kind"])
			assert.Equal(t, "small", output["ref"])
			assert.Equal(t, "f", output["filename"])
			assert.Equal(t, "d", output["folder"])
			assert.Equal(t, "ready", output["status"])
			assert.Equal(t, "https://files.ittybit.test/d/f", output["url"])
			input := task["input"].(map[string]any)
			assert.Equal(t, kind, input["kind"])
			assert.NotEqual(t, input["id"], output["id"])

			again := run(`{"kind":"speech","file_id":"` + output["id"].(string) + `"}`)
			assert.Equal(t, output, again["input"], "a file this server made is known")
		}
		results := run(`{"kind":"conditions","url":"https://example.com/a.mp4","conditions":[{"prop":"kind","value":"video"},{"prop":"width","value":"1"}]}`)["results"]
		assert.Equal(t, map[string]any{
			"passed":   []any{map[string]any{"prop": "kind", "value": "video"}},
			"failed":   []any{map[string]any{"prop": "width", "value": "1"}},
			"continue": false,
		}, results)
	})
}

func TestListTasks_filters(t *testing.T) {
	bubble(t, nil, func(t *testing.T, a api) {
		a.srv.FailTasks("speech", "no")
		first := a.create("/tasks", nsfwTask)["id"]
		failed := a.create("/tasks", `{"kind":"speech","file_id":"f"}`)["id"]
		time.Sleep(time.Second)
		pending := a.create("/tasks", nsfwTask)["id"]

		ids := func(query string) (ids []any) {
			t.Helper()
			for _, task := range a.list("/tasks" + query) {
				ids = append(ids, task["id"])
			}
			return ids
		}
		assert.Equal(t, []any{pending, failed, first}, ids(""), "newest first")
		assert.Equal(t, []any{pending, first}, ids("?kind=nsfw"))
		assert.Equal(t, []any{failed}, ids("?status=failed"))
		assert.Equal(t, []any{first}, ids("?status=completed&kind=nsfw"))
		assert.Empty(t, ids("?status=completed&kind=speech"))
		for _, query := range []string{"kind=video", "kind=workflow", "kind=http", "kind=nfsw", "status=waiting", "status=done"} {
			assert.Equal(t, "[]", a.send("GET", "/tasks?"+query, "").raw, query)
		}
	})
}

func TestClient_reachesTheServer(t *testing.T) {
	srv := ittybittest.NewServer()
	defer srv.Close()
	client, err := srv.Client(ittybit.WithHTTPClient(&http.Client{}))
	require.NoError(t, err)
	assert.NotNil(t, client)
}
