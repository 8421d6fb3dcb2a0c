package ittybittest_test

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go/ittybittest"
)

func automation(workflow string) string {
	return on("media.created", workflow)
}

func on(event, workflow string) string {
	return `{"name":"A","trigger":{"kind":"event","event":"` + event + `"},"workflow":` + workflow + `}`
}

const notify = `{"kind":"webhook","url":"` + hook + `","ref":"notify-server"}`

func TestAutomation_givesBackWhatWasSent(t *testing.T) {
	a := open(t)
	sent := `{"name":"Notify app when media is ready","color":{"a":[1,2.50,null]},
		"trigger":{"kind":"event","event":"media.created","since":12345678901234567890},
		"workflow":[{"kind":"webhook","url":"` + hook + `","ref":"notify-server","x":"<&>"},
			{"kind":"conditions","conditions":[{"prop":"kind","value":"video","op":"eq"}],"next":[{"kind":"subtitle","next":[{"kind":"nsfw","y":1.0}]}]}]}`
	got := a.send("POST", "/automations", sent)
	assert.Equal(t, http.StatusCreated, got.status, got.raw)
	for _, part := range []string{
		`"since":12345678901234567890`, `"color":{"a":[1,2.50,null]}`, `"x":"<&>"`, `"op":"eq"`, `"y":1.0`, `"kind":"subtitle"`,
	} {
		assert.Contains(t, got.raw, part)
	}
	created, want := got.object(t), decode(t, sent)
	id := created["id"].(string)
	assert.Regexp(t, `^auto_`, id)
	for name, value := range want {
		assert.Equal(t, value, created[name])
	}
	assert.Equal(t, "automation", created["object"])
	assert.Equal(t, "active", created["status"])
	assert.Equal(t, created, a.get("/automations/"+id))

	// What was read can be sent back whole.
	again := a.send("PATCH", "/automations/"+id, got.raw)
	assert.Equal(t, http.StatusOK, again.status, again.raw)
	updated := again.object(t)
	delete(created, "updated")
	delete(updated, "updated")
	assert.Equal(t, created, updated)
}

func TestAutomation_patchChangesOnlyWhatWasSent(t *testing.T) {
	bubble(t, nil, func(t *testing.T, a api) {
		before := a.create("/automations", `{"description":"D","extra":1,`+strings.TrimPrefix(automation(`[`+notify+`]`), "{"))
		path := "/automations/" + before["id"].(string)
		time.Sleep(time.Hour)

		patch := func(body string, changed map[string]any) {
			t.Helper()
			got := a.send("PATCH", path, body)
			assert.Equal(t, http.StatusOK, got.status, got.raw)
			now := got.object(t)
			for name, value := range changed {
				before[name] = value
			}
			before["updated"] = now["updated"]
			assert.Equal(t, before, now)
			assert.Equal(t, before, a.get(path))
		}
		patch(`{"name":"B"}`, map[string]any{"name": "B"})
		assert.NotEqual(t, before["created"], before["updated"])
		patch(`{"status":"paused","created":"x","id":"y"}`, map[string]any{"status": "paused"})
		patch(`{"description":null,"extra":[2]}`, map[string]any{"description": nil, "extra": []any{2.0}})
		patch(`{"workflow":[{"kind":"nsfw"}]}`, map[string]any{"workflow": []any{map[string]any{"kind": "nsfw"}}})
		patch(`{"trigger":{"kind":"event","event":"task.completed"}}`, map[string]any{"trigger": map[string]any{"kind": "event", "event": "task.completed"}})
		patch(`{}`, nil)

		a.send("PATCH", path, `{"name":"C","workflow":[]}`).refused(t, 400, "at least one step")
		assert.Equal(t, "B", a.get(path)["name"], "a refused change changes nothing")
	})
}

func TestAutomation_validation(t *testing.T) {
	a := open(t)
	for body, words := range map[string]string{
		`{}`:               "trigger is required",
		`{"trigger":null}`: "trigger is required",
		`{"trigger":{"kind":"event","event":"media.created"}}`:               "workflow is required",
		`{"trigger":"media.created","workflow":[]}`:                          "trigger must be a JSON object",
		`{"trigger":{"event":"media.created"},"workflow":[]}`:                `trigger.kind must be "event"`,
		on("media.deleted", `[`+notify+`]`):                                  "trigger.event must be",
		automation(`{}`):                                                     "workflow must be an array",
		automation(`[]`):                                                     "at least one step",
		automation(`["nsfw"]`):                                               "workflow step must be a JSON object",
		automation(`[{}]`):                                                   "needs a kind",
		automation(`[{"kind":"nfsw"}]`):                                      `"nfsw" is not known`,
		automation(`[{"kind":"webhook"}]`):                                   "webhook step needs a url",
		automation(`[{"kind":"webhook","url":"http://your-app.com"}]`):       "url must be an https URL",
		automation(`[{"kind":"webhook","url":5}]`):                           "url must be a string",
		automation(`[{"kind":"nsfw","webhook_url":"http://your-app.com"}]`):  "webhook_url must be an https URL",
		automation(`[{"kind":"conditions"}]`):                                "at least one {prop, value}",
		automation(`[{"kind":"conditions","conditions":[{"prop":"kind"}]}]`): "needs a prop, and a value",
		automation(`[{"kind":"nsfw","next":{}}]`):                            "next must be an array",
		automation(`[{"kind":"nsfw","next":[{"kind":"webhook"}]}]`):          "webhook step needs a url",
		automation(`[` + strings.Repeat(`{"kind":"nsfw","next":[`, 33) + strings.Repeat(`]}`, 33) + `]`): "32 levels",
		`{"name":5,` + automation(`[` + notify + `]`)[12:]:                                               "name must be a string",
		`{"description":{},` + automation(`[` + notify + `]`)[1:]:                                        "description must be a string",
		`{"status":"stopped",` + automation(`[` + notify + `]`)[1:]:                                      "status must be active or paused",
		`{"status":null,` + automation(`[` + notify + `]`)[1:]:                                           "status must be active or paused",
		`{"status":1,` + automation(`[` + notify + `]`)[1:]:                                              "status must be a string",
	} {
		a.send("POST", "/automations", body).refused(t, http.StatusBadRequest, words)
	}
	assert.Empty(t, a.list("/automations"))
}

func TestAutomation_delete(t *testing.T) {
	in := &inbox{}
	bubble(t, in, func(t *testing.T, a api) {
		id := a.create("/automations", automation(`[`+notify+`]`))["id"].(string)
		got := a.send("DELETE", "/automations/"+id, "")
		assert.Equal(t, http.StatusOK, got.status)
		assert.Equal(t, map[string]any{"message": "Automation " + id + " deleted"}, got.object(t))
		a.send("GET", "/automations/"+id, "").refused(t, 404, id)
		a.send("DELETE", "/automations/"+id, "").refused(t, 404, id)
		a.create("/media", "{}")
		time.Sleep(time.Minute)
		assert.Empty(t, in.all(), "it fires no more")
	})
}

func TestAutomation_mediaCreatedPostsTheMedia(t *testing.T) {
	in := &inbox{}
	bubble(t, in, func(t *testing.T, a api) {
		auto := a.create("/automations", automation(`[`+notify+`]`))
		paused := a.create("/automations", strings.Replace(automation(`[`+notify+`]`), `{`, `{"status":"paused",`, 1))
		a.create("/automations", on("task.completed", `[`+notify+`]`))
		media := a.create("/media", `{"title":"Holiday","metadata":{"a":1}}`)
		time.Sleep(time.Minute)

		want := media
		want["project_id"] = in.bodies(t)[0]["project_id"]
		want["automation_id"] = auto["id"]
		assert.Equal(t, []map[string]any{want}, in.bodies(t))
		assert.Regexp(t, "^proj_", want["project_id"])

		a.send("PATCH", "/automations/"+paused["id"].(string), `{"status":"active"}`)
		a.create("/media", "{}")
		time.Sleep(time.Minute)
		assert.Len(t, in.all(), 3)
	})
}

func TestAutomation_stepsRunFromTopToBottomAndNextAfterItsParent(t *testing.T) {
	in := &inbox{}
	bubble(t, in, func(t *testing.T, a api) {
		auto := a.create("/automations", automation(`[
			{"kind":"video","width":640,"ref":"small","next":[{"kind":"nsfw","webhook_url":"`+hook+`?step=nsfw"},`+notify+`]},
			{"kind":"speech"}]`))["id"]
		media := a.create("/media", "{}")["id"].(string)
		begin := time.Now()
		time.Sleep(10 * time.Hour)

		tasks := a.list("/tasks")
		assert.Len(t, tasks, 3)
		speech, nsfw, video := tasks[0], tasks[1], tasks[2]
		for i, task := range []map[string]any{video, nsfw, speech} {
			assert.Equal(t, []string{"video", "nsfw", "speech"}[i], task["kind"])
			assert.Equal(t, auto, task["automation_id"])
			assert.Equal(t, begin.Add(time.Duration(i)*time.Hour).UTC().Format("2006-01-02T15:04:05.000Z"), task["created"])
		}
		assert.Equal(t, map[string]any{"width": 640.0, "ref": "small"}, video["options"])
		assert.NotContains(t, video, "parent_id")
		assert.NotContains(t, speech, "parent_id")
		assert.Equal(t, video["id"], nsfw["parent_id"])
		assert.Equal(t, video["output"], nsfw["input"])

		got := in.all()
		require.Len(t, got, 2)
		if got[0].query == "" { // the order of deliveries is not promised
			got[0], got[1] = got[1], got[0]
		}
		assert.Equal(t, "step=nsfw", got[0].query)
		assert.Equal(t, nsfw, decode(t, got[0].body))
		assert.Equal(t, video, decode(t, got[1].body), "a nested webhook step posts the parent task")

		owner := a.get("/media/" + media)
		output := video["output"].(map[string]any)
		assert.Equal(t, media, output["media_id"])
		assert.Equal(t, []any{output, nsfw["output"], speech["output"]}, owner["files"])
		assert.Equal(t, map[string]any{"small": output["url"]}, owner["urls"])
		assert.Equal(t, "video", owner["kind"])
	}, ittybittest.WithTaskDuration(time.Hour))
}

func TestAutomation_aFailedTaskEndsItsBranchOnly(t *testing.T) {
	bubble(t, &inbox{}, func(t *testing.T, a api) {
		a.srv.FailTasks("video", "no")
		a.create("/automations", automation(`[{"kind":"video","next":[`+notify+`,{"kind":"nsfw"}]},{"kind":"subtitle"}]`))
		a.create("/media", "{}")
		time.Sleep(time.Hour)
		tasks := a.list("/tasks")
		assert.Len(t, tasks, 2)
		assert.Equal(t, "subtitles", tasks[0]["kind"])
		assert.Equal(t, "failed", tasks[1]["status"])
		assert.Empty(t, a.srv.Deliveries())
	})
}

func TestAutomation_taskCompletedFiresAndCannotLoop(t *testing.T) {
	in := &inbox{}
	bubble(t, in, func(t *testing.T, a api) {
		id := a.create("/automations", on("task.completed", `[`+notify+`,{"kind":"ingest","url":"https://example.com/b.mp4"},{"kind":"nsfw"}]`))["id"]
		a.create("/automations", automation(`[{"kind":"ingest","url":"https://example.com/c.mp4"}]`))
		task := a.create("/tasks", nsfwTask)["id"]
		time.Sleep(24 * time.Hour)

		assert.Len(t, a.list("/tasks"), 3)
		assert.Len(t, a.list("/media"), 2, "that of the first task's input, and that of ingest")
		bodies := in.bodies(t)
		assert.Len(t, bodies, 1)
		assert.Equal(t, task, bodies[0]["id"])
		assert.Equal(t, id, bodies[0]["automation_id"])
		assert.Equal(t, "completed", bodies[0]["status"])

		a.srv.FailTasks("nsfw", "no")
		a.create("/tasks", nsfwTask)
		time.Sleep(time.Hour)
		assert.Len(t, in.all(), 1, "a failed task did not complete")
	})
}

func TestAutomation_conditions(t *testing.T) {
	for condition, met := range map[string]bool{
		`{"prop":"kind","value":"video"}`:                                  true,
		`{"prop":"kind","value":"image"}`:                                  false,
		`{"prop":"width","value":"1920"}`:                                  true,
		`{"prop":"width","value":1920.0}`:                                  true,
		`{"prop":"filesize","value":1}`:                                    false,
		`{"prop":"original","value":"true"}`:                               true,
		`{"prop":"type","value":"video/mp4"}`:                              true,
		`{"prop":"title","value":"null"}`:                                  false,
		`{"prop":"nothing.at.all","value":"x"}`:                            false,
		`{"prop":"kind.video","value":"x"}`:                                false,
		`{"prop":"kind","value":"video"},{"prop":"width","value":"1"}`:     false,
		`{"prop":"kind","value":"video"},{"prop":"height","value":"1080"}`: true,
	} {
		t.Run(condition, func(t *testing.T) {
			in := &inbox{}
			bubble(t, in, func(t *testing.T, a api) {
				a.create("/automations", automation(`[{"kind":"conditions","conditions":[`+condition+`],"next":[`+notify+`]}]`))
				a.create("/tasks", `{"kind":"ingest","url":"https://example.com/a.mp4"}`)
				time.Sleep(time.Minute)
				assert.Equal(t, met, len(in.all()) == 1)
				for _, body := range in.bodies(t) {
					assert.Equal(t, "media", body["object"], "conditions are no task, and the media is what it is about")
				}
				assert.Len(t, a.list("/tasks"), 1)
			})
		})
	}
}

func TestAutomation_conditionsOnMembersOfMediaAndTasks(t *testing.T) {
	in := &inbox{}
	bubble(t, in, func(t *testing.T, a api) {
		when := func(prop, value, name string) string {
			return `[{"kind":"conditions","conditions":[{"prop":"` + prop + `","value":"` + value + `"}],"next":[{"kind":"webhook","url":"` + hook + `?` + name + `"}]}]`
		}
		a.create("/automations", automation(when("metadata.source.name", "phone", "metadata")))
		a.create("/automations", on("task.completed", when("results.is_nsfw", "true", "results")))
		a.create("/automations", on("task.completed", when("kind", "speech", "kind")))
		a.srv.SetResults("nsfw", map[string]any{"is_nsfw": true})
		a.create("/media", `{"metadata":{"source":{"name":"phone"}}}`)
		a.create("/media", `{"metadata":{"source":"phone"}}`)
		a.create("/tasks", nsfwTask)
		time.Sleep(time.Minute)
		var queries []string
		for _, r := range in.all() {
			queries = append(queries, r.query)
		}
		assert.ElementsMatch(t, []string{"metadata", "results"}, queries)
	})
}

func TestAutomation_deletedMediaIsNotPosted(t *testing.T) {
	in := &inbox{}
	bubble(t, in, func(t *testing.T, a api) {
		a.create("/automations", automation(`[{"kind":"nsfw"},`+notify+`]`))
		id := a.create("/media", "{}")["id"].(string)
		synctest.Wait()
		a.send("DELETE", "/media/"+id, "")
		time.Sleep(time.Minute)
		assert.Empty(t, in.all())
		assert.Len(t, a.list("/tasks"), 1)
	})
}
