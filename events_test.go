package ittybit_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
)

func TestParseEvent_readsThePayloadOfTheDocumentation(t *testing.T) {
	body := []byte(webhookPageBody)
	e, err := ittybit.ParseEvent(body)
	require.NoError(t, err)

	assert.Equal(t, ittybit.EventTaskCompleted, e.Type)
	assert.Empty(t, e.ID)
	assert.Equal(t, "proj_xyz", e.ProjectID)
	assert.Equal(t, "auto_456def", e.AutomationID)
	assert.Nil(t, e.Media)
	assert.Nil(t, e.Job)
	require.NotNil(t, e.Task)
	assert.Equal(t, "task_123abc", e.Task.ID)
	assert.Equal(t, ittybit.TaskKindNSFW, e.Task.Kind)
	assert.Equal(t, ittybit.TaskStatusCompleted, e.Task.Status)
	assert.Equal(t, time.Date(2025, 1, 10, 12, 34, 56, 0, time.UTC), e.Task.Created)
	assert.Equal(t, time.Date(2025, 1, 10, 12, 35, 22, 0, time.UTC), e.Task.Completed)
	assert.Equal(t, e.Task.Completed, e.CreatedAt)
	nsfw, err := e.Task.NSFW()
	require.NoError(t, err)
	assert.True(t, nsfw.IsNSFW)
	require.NotNil(t, nsfw.Confidence)
	assert.InDelta(t, 0.97, *nsfw.Confidence, 1e-9)
	assert.Equal(t, "task:task_123abc:completed", e.Key())
	assert.Equal(t, webhookPageBody, string(e.RawJSON()))
	assert.Equal(t, webhookPageBody, string(e.Task.RawJSON()))

	clear(body) // ParseEvent has a copy of its own
	assert.Equal(t, webhookPageBody, string(e.RawJSON()))
	assert.JSONEq(t, `{"is_nsfw": true, "confidence": 0.97}`, string(e.Task.Results))
}

func TestParseEvent_tellsTheEventOfABareTask(t *testing.T) {
	for status, want := range map[string]ittybit.EventType{
		"completed": ittybit.EventTaskCompleted, "succeeded": ittybit.EventTaskCompleted,
		"failed": ittybit.EventTaskFailed, "error": ittybit.EventTaskFailed,
		"cancelled": ittybit.EventTaskCancelled, "canceled": ittybit.EventTaskCancelled,
		"created": ittybit.EventTaskUpdated, "pending": ittybit.EventTaskUpdated, "waiting": ittybit.EventTaskUpdated,
		"processing": ittybit.EventTaskUpdated, "ready": ittybit.EventTaskUpdated, "": ittybit.EventTaskUpdated,
		"a status of tomorrow": ittybit.EventTaskUpdated,
	} {
		e := webhookParse(t, webhookTask("task_1", status))
		assert.Equal(t, want, e.Type, status)
		require.NotNil(t, e.Task, status)
		assert.Equal(t, ittybit.TaskStatus(status), e.Task.Status)
	}
}

func TestParseEvent_readsTheOtherPayloads(t *testing.T) {
	seconds := time.Unix(1735689886, 0).UTC()
	millis := time.UnixMilli(1767225600123).UTC()
	tests := map[string]struct {
		body  string
		check func(t *testing.T, e *ittybit.Event)
	}{
		"bare media": {
			`{"id":"med_1","object":"media","kind":"image","title":"A","width":640,"project_id":"prj_1","automation_id":"auto_1",
			  "files":[{"id":"file_1","kind":"image"}],"urls":{"original":"https://you.ittybit.net/a"},"created":"2025-01-01T01:23:45.678Z"}`,
			func(t *testing.T, e *ittybit.Event) {
				assert.Equal(t, ittybit.EventMediaCreated, e.Type)
				require.NotNil(t, e.Media)
				assert.Equal(t, "med_1", e.Media.ID)
				assert.Equal(t, 640, e.Media.Width)
				require.Len(t, e.Media.Files, 1)
				assert.Equal(t, time.Date(2025, 1, 1, 1, 23, 45, 678e6, time.UTC), e.CreatedAt)
				assert.Equal(t, "prj_1", e.ProjectID)
				assert.Equal(t, "auto_1", e.AutomationID)
			},
		},
		"G4: a task": {
			`{"id":"evt_1","object":"event","kind":"task.succeeded","created_at":1735689886,"data":{"id":"task_1","object":"task",
			  "kind":"video","status":"succeeded","run_id":"run_1","project_id":"prj_1","outputs":[{"id":"file_1"}],"finished_at":1735689885}}`,
			func(t *testing.T, e *ittybit.Event) {
				assert.Equal(t, "evt_1", e.ID)
				assert.Equal(t, ittybit.EventTaskSucceeded, e.Type)
				assert.Equal(t, seconds, e.CreatedAt)
				assert.Equal(t, "prj_1", e.ProjectID)
				require.NotNil(t, e.Task)
				assert.Equal(t, "task_1", e.Task.ID)
				assert.Equal(t, ittybit.TaskKindVideo, e.Task.Kind)
				assert.Equal(t, "run_1", e.Task.RunID)
				assert.Equal(t, seconds.Add(-time.Second), e.Task.Completed)
				require.Len(t, e.Task.Outputs, 1)
				assert.True(t, strings.HasPrefix(string(e.Task.RawJSON()), `{"id":"task_1"`))
				assert.Equal(t, "evt:evt_1", e.Key())
			},
		},
		"G4: task.updated": {
			`{"id":"evt_2","object":"event","kind":"task.updated","data":{"id":"task_1","kind":"video","status":"processing","progress":40},"created_at":1735689886}`,
			func(t *testing.T, e *ittybit.Event) {
				assert.Equal(t, ittybit.EventTaskUpdated, e.Type)
				require.NotNil(t, e.Task)
				assert.Equal(t, 40, e.Task.Progress)
			},
		},
		"G4: task.failed": {
			`{"id":"evt_3","object":"event","kind":"task.failed","data":{"id":"task_1","status":"failed","error":{"kind":"bad","message":"no"}}}`,
			func(t *testing.T, e *ittybit.Event) {
				assert.Equal(t, ittybit.EventTaskFailed, e.Type)
				require.NotNil(t, e.Task)
				assert.Equal(t, &ittybit.TaskError{Kind: "bad", Message: "no"}, e.Task.Error)
				assert.True(t, e.CreatedAt.IsZero())
			},
		},
		"G4: media": {
			`{"id":"evt_4","object":"event","kind":"media.created","data":{"id":"med_1","object":"media","automation_id":"auto_1"},"created_at":1735689886}`,
			func(t *testing.T, e *ittybit.Event) {
				assert.Equal(t, ittybit.EventMediaCreated, e.Type)
				require.NotNil(t, e.Media)
				assert.Equal(t, "med_1", e.Media.ID)
				assert.Equal(t, "auto_1", e.AutomationID)
				assert.Equal(t, "evt:evt_4", e.Key())
			},
		},
		"G4: a run, which has no type here": {
			`{"id":"evt_5","object":"event","kind":"run.succeeded","data":{"id":"run_1"},"created_at":1735689886,"project_id":"prj_1"}`,
			func(t *testing.T, e *ittybit.Event) {
				assert.Equal(t, ittybit.EventType("run.succeeded"), e.Type)
				assert.Nil(t, e.Task)
				assert.Equal(t, "prj_1", e.ProjectID)
			},
		},
		"an event with a job": {
			`{"id":"evt_6","object":"event","kind":"job.succeeded","data":{"id":"job_1","status":"succeeded"}}`,
			func(t *testing.T, e *ittybit.Event) {
				require.NotNil(t, e.Job)
				assert.Equal(t, "job_1", e.Job.ID)
				assert.Equal(t, ittybit.EventJobSucceeded, e.Type)
			},
		},
		"an event that does not name itself one": {
			`{"id":"evt_7","kind":"task.completed","data":{"id":"task_1"}}`,
			func(t *testing.T, e *ittybit.Event) {
				assert.Equal(t, ittybit.EventTaskCompleted, e.Type)
				require.NotNil(t, e.Task)
			},
		},
		"G5: a job": {
			`{"id":"job_1","object":"job","kind":"video","input":"https://a/b","output":"https://c/d","status":"succeeded","metadata":{"n":1},
			  "tasks":[{"id":"task_1","kind":"probe"}],"created_at":1767225600000,"started_at":1767225600010,"updated_at":1767225600100,"finished_at":1767225600123,"error":null}`,
			func(t *testing.T, e *ittybit.Event) {
				assert.Equal(t, ittybit.EventJobSucceeded, e.Type)
				require.NotNil(t, e.Job)
				assert.Equal(t, ittybit.TaskKindVideo, e.Job.Kind)
				assert.Equal(t, millis, e.CreatedAt)
				assert.Equal(t, millis, e.Job.Finished)
				assert.Equal(t, millis.Add(-123*time.Millisecond), e.Job.Created)
				assert.Equal(t, millis.Add(-113*time.Millisecond), e.Job.Started)
				assert.Equal(t, millis.Add(-23*time.Millisecond), e.Job.Updated)
				assert.Equal(t, `"https://c/d"`, string(e.Job.Output))
				assert.Nil(t, e.Job.Options)
				assert.Nil(t, e.Job.Error)
				assert.Equal(t, json.Number("1"), e.Job.Metadata["n"])
				require.Len(t, e.Job.Tasks, 1)
				assert.True(t, e.Job.Terminal())
				assert.Equal(t, e.RawJSON(), e.Job.RawJSON())
				assert.Equal(t, "job:job_1:succeeded", e.Key())
			},
		},
		"G5: a job that goes on": {
			`{"id":"job_1","object":"job","status":"queued","error":"none yet"}`,
			func(t *testing.T, e *ittybit.Event) {
				assert.Equal(t, ittybit.EventType("job.queued"), e.Type)
				require.NotNil(t, e.Job)
				assert.False(t, e.Job.Terminal())
				assert.Equal(t, "none yet", e.Job.Error.Message)
			},
		},
		"G5: the guide's task, which names no object": {
			`{"id":"task_a1b2c3d4","status":"succeeded","kind":"video","input":"https://example.com/in.mp4","output":{"url":"https://cdn.ittybit.net/out.mp4"}}`,
			func(t *testing.T, e *ittybit.Event) {
				assert.Equal(t, ittybit.EventTaskCompleted, e.Type)
				require.NotNil(t, e.Task)
				assert.Nil(t, e.Task.Input, "a URL is no file")
				require.NotNil(t, e.Task.Output)
				assert.Equal(t, "https://cdn.ittybit.net/out.mp4", e.Task.Output.URL)
				assert.Equal(t, "task:task_a1b2c3d4:completed", e.Key())
			},
		},
		"an old task id":           {`{"id":"tsk_1","status":"completed"}`, func(t *testing.T, e *ittybit.Event) { assert.Equal(t, ittybit.EventTaskCompleted, e.Type) }},
		"media by its id":          {`{"id":"med_1"}`, func(t *testing.T, e *ittybit.Event) { assert.Equal(t, ittybit.EventMediaCreated, e.Type) }},
		"a job by its id":          {`{"id":"job_1","status":"failed"}`, func(t *testing.T, e *ittybit.Event) { assert.Equal(t, ittybit.EventJobFailed, e.Type) }},
		"white space and newlines": {" \r\n\t" + webhookTask("task_1", "completed") + "\n", func(t *testing.T, e *ittybit.Event) { assert.Equal(t, ittybit.EventTaskCompleted, e.Type) }},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) { tt.check(t, webhookParse(t, tt.body)) })
	}
}

func TestParseEvent_keepsWhatItDoesNotKnow(t *testing.T) {
	for name, body := range map[string]string{
		"an empty object":          `{}`,
		"another object":           `{"id":"auto_1","object":"automation","name":"x"}`,
		"no id":                    `{"object":"task","status":"completed"}`,
		"media without an id":      `{"object":"media"}`,
		"a job without a status":   `{"id":"job_1","object":"job"}`,
		"an event without a kind":  `{"id":"evt_1","object":"event","data":{"id":"task_1"}}`,
		"an id of no known prefix": `{"id":"xyz_1","status":"completed"}`,
		"nulls":                    `{"id":null,"object":null,"kind":null,"status":null,"data":null}`,
	} {
		t.Run(name, func(t *testing.T) {
			e := webhookParse(t, body)
			assert.Equal(t, ittybit.EventUnknown, e.Type)
			assert.Nil(t, e.Task)
			assert.Nil(t, e.Media)
			assert.Nil(t, e.Job)
			assert.Equal(t, body, string(e.RawJSON()))
			assert.NotEmpty(t, e.Key())
		})
	}
}

func TestParseEvent_keepsTheEventWhoseDataItCannotRead(t *testing.T) {
	for _, data := range []string{`null`, `"task_1"`, `[]`, `7`, `{}`} {
		for _, kind := range []string{"task.completed", "media.created", "job.succeeded"} {
			e := webhookParse(t, `{"id":"evt_1","object":"event","kind":"`+kind+`","data":`+data+`}`)
			assert.Equal(t, ittybit.EventType(kind), e.Type, data)
			assert.Equal(t, "evt:evt_1", e.Key())
			assert.Nil(t, e.Task, data)
			assert.Nil(t, e.Media, data)
			assert.Nil(t, e.Job, data)
			if data == `null` || data == `{}` {
				assert.NoError(t, e.DecodeError(), data)
			} else {
				assert.EqualError(t, e.DecodeError(), `ittybit: event evt_1: cannot decode field "data": is not an object`)
			}
		}
	}
}

// What decides which handler an event is for is never guessed.
func TestParseEvent_refusesWhatItCannotRoute(t *testing.T) {
	for body, fields := range map[string][]string{
		`{"id":"task_1","object":"task","kind":"nsfw","status":7}`:                                {"status"},
		`{"id":["task_1"],"object":"task","status":"completed"}`:                                  {"id"},
		`{"id":"task_1","object":{"is":"task"},"status":"completed"}`:                             {"object"},
		`{"id":"task_1","object":"task","kind":false,"status":"completed"}`:                       {"kind"},
		`{"id":{"a":1},"object":"media"}`:                                                         {"id"},
		`{"id":"job_1","object":"job","status":["succeeded"]}`:                                    {"status"},
		`{"id":1.5,"object":["task"],"kind":{},"status":true,"data":"x"}`:                         {"id", "object", "kind", "status"},
		`{"id":7,"object":"event","kind":"task.completed","data":{"id":"task_1"}}`:                {"id"},
		`{"id":"evt_1","object":"event","kind":["task.completed"],"data":{"id":"task_1"}}`:        {"kind"},
		`{"id":"evt_1","object":"event","kind":"task.completed","data":{"id":7}}`:                 {"data.id"},
		`{"id":"evt_1","object":"event","kind":"task.updated","data":{"id":"task_1","status":1}}`: {"data.status"},
		`{"id":"evt_1","object":"event","kind":"task.failed","data":{"id":"task_1","kind":[]}}`:   {"data.kind"},
		`{"id":"evt_1","object":"event","kind":"media.created","data":{"id":{}}}`:                 {"data.id"},
		`{"id":"evt_1","object":"event","kind":"job.failed","data":{"id":"job_1","status":0}}`:    {"data.status"},
		`{"id":"task_1","id":7,"object":"task","status":"completed"}`:                             {"id"},
		// More fields than an error names, before the one that counts.
		`{"progress":"x","created":"x","updated":"x","completed":"x","started":"x","created_at":{},"updated_at":{},"started_at":{},"finished_at":{},
		  "created_by":1,"parent_id":1,"project_id":1,"automation_id":1,"run_id":1,"progress":"x","created":"x","updated":"x","completed":"x","started":"x",
		  "run_id":2,"parent_id":2,"id":"task_1","object":"task","status":3}`: {"status"},
	} {
		e, err := ittybit.ParseEvent([]byte(body))
		assert.Nil(t, e, body)
		require.ErrorIs(t, err, ittybit.ErrUnroutableEvent, body)
		require.NotErrorIs(t, err, ittybit.ErrMalformedEvent, body)
		var want []string
		for _, field := range fields {
			want = append(want, fmt.Sprintf("field %q: is not a string", field))
		}
		assert.EqualError(t, err, "ittybit: the event cannot be routed: "+strings.Join(want, "; "), body)
		var event ittybit.Event
		require.ErrorIs(t, json.Unmarshal([]byte(body), &event), ittybit.ErrUnroutableEvent)
	}
	// The last of two fields with one name counts; null is none; a field of another object is not
	// asked.
	for _, body := range []string{
		`{"id":7,"id":"task_1","object":"task","status":"completed"}`, `{"id":"task_1","object":"task","kind":null,"status":null}`,
		`{"id":"med_1","object":"media","files":[{"id":7,"kind":[]}]}`, `{"id":"evt_1","object":"event","kind":"run.failed","data":{"id":7}}`,
	} {
		_, err := ittybit.ParseEvent([]byte(body))
		assert.NoError(t, err, body)
	}
}

func TestEvent_namesTheFieldsThatItCannotDecode(t *testing.T) {
	for body, want := range map[string]string{
		webhookPageBody: "",
		`{"id":"task_1","object":"task","status":"completed","created":"soon","output":{"id":"file_1","width":"wide"}}`: `ittybit: task task_1: cannot decode field "created": is neither ISO 8601 nor unix seconds or milliseconds; field "output.width": `,
		`{"id":"med_1","object":"media","title":5}`:                                                  `ittybit: media med_1: cannot decode field "title": is not a string`,
		`{"id":"job_1","object":"job","status":"failed","metadata":[]}`:                              `ittybit: job job_1: cannot decode field "metadata": is not an object`,
		`{"id":"evt_1","object":"event","kind":"run.created","created_at":{},"project_id":4}`:        `ittybit: event evt_1: cannot decode field "created_at": is neither ISO 8601 nor unix seconds or milliseconds; field "project_id": is not a string`,
		`{"id":"evt_1","object":"event","kind":"run.created","progress":"x","workflow":7}`:           "", // an event has no such fields
		`{"id":"evt_1","object":"event","kind":"task.failed","data":{"id":"task_1","run_id":4}}`:     `ittybit: event evt_1: cannot decode field "data.run_id": is not a string`,
		`{"id":"evt_1","object":"event","kind":"media.created","data":{"id":"med_1","files":["x"]}}`: `ittybit: event evt_1: cannot decode field "data.files[0]": is not an object`,
		`{"hello":[]}`: "",
	} {
		err := webhookParse(t, body).DecodeError()
		if want == "" {
			assert.NoError(t, err, body)
			continue
		}
		require.Error(t, err, body)
		assert.Contains(t, err.Error(), want, body)
	}
}

func TestParseEvent_refusesWhatIsNoObject(t *testing.T) {
	for _, body := range []string{
		"", " ", "null", "true", "0", `"text"`, "[]", `[{"id":"task_1"}]`, "{", `{"id":}`, `{"id":"task_1"`, `{"id":"task_1"} {}`,
		`{"id":"task_1"}x`, "\xef\xbb\xbf{}", "{'id':1}", "<html></html>", "id=task_1", strings.Repeat(`{"a":`, 20_000),
	} {
		e, err := ittybit.ParseEvent([]byte(body))
		require.ErrorIs(t, err, ittybit.ErrMalformedEvent, "%.40q", body)
		assert.Nil(t, e)
		assert.Equal(t, 1, strings.Count(err.Error(), "ittybit:"))
	}
}

func TestParseEvent_isNotSpoiledByFieldsThatCannotBeDecoded(t *testing.T) {
	t.Run("of a task", func(t *testing.T) {
		e := webhookParse(t, `{"parent_id":5,"metadata":"x","progress":"many","input":5,"inputs":{},"options":7,"error":[1],"created":"soon","updated":{},
			"run_id":[],"id":"task_1","object":"task","kind":"nsfw","status":"completed","completed":"2025-01-10T12:35:22Z","results":{"is_nsfw":true}}`)
		require.NotNil(t, e.Task)
		assert.Equal(t, ittybit.EventTaskCompleted, e.Type)
		assert.Equal(t, ittybit.TaskKindNSFW, e.Task.Kind)
		assert.Equal(t, time.Date(2025, 1, 10, 12, 35, 22, 0, time.UTC), e.CreatedAt)
		nsfw, err := e.Task.NSFW()
		require.NoError(t, err)
		assert.True(t, nsfw.IsNSFW)
		assert.Equal(t, "task:task_1:completed", e.Key())
	})
	t.Run("of the task in an event", func(t *testing.T) {
		e := webhookParse(t, `{"id":"evt_1","object":"event","kind":"task.succeeded","created_at":"?","data":{"run_id":5,"progress":[],"id":"task_1","status":"succeeded"}}`)
		require.NotNil(t, e.Task)
		assert.Equal(t, ittybit.TaskStatusSucceeded, e.Task.Status)
		assert.True(t, e.CreatedAt.IsZero())
	})
	mediaBody := `{"title":5,"files":[{"id":"file_1","width":"wide"}],"urls":[],"duration":"long","id":"med_1","object":"media","alt":"A","height":480,"created":"2025-01-10T12:35:22Z"}`
	for name, body := range map[string]string{
		"of media":             mediaBody,
		"of media in an event": `{"id":"evt_1","object":"event","kind":"media.created","data":` + mediaBody + `}`,
	} {
		t.Run(name, func(t *testing.T) {
			e := webhookParse(t, body)
			assert.Equal(t, ittybit.EventMediaCreated, e.Type)
			require.NotNil(t, e.Media)
			assert.Equal(t, "med_1", e.Media.ID)
			assert.Equal(t, "A", e.Media.Alt)
			assert.Equal(t, 480, e.Media.Height)
			assert.Equal(t, 2025, e.Media.Created.Year())
			assert.JSONEq(t, mediaBody, string(e.Media.RawJSON()))
		})
	}
	jobBody := `{"options":5,"tasks":[{"id":"task_1","progress":"x"}],"metadata":[],"error":1,"created_at":"?","id":"job_1","object":"job","status":"succeeded","finished_at":1767225600123}`
	for name, body := range map[string]string{
		"of a job":             jobBody,
		"of a job in an event": `{"id":"evt_1","object":"event","kind":"job.succeeded","data":` + jobBody + `}`,
	} {
		t.Run(name, func(t *testing.T) {
			e := webhookParse(t, body)
			assert.Equal(t, ittybit.EventJobSucceeded, e.Type)
			require.NotNil(t, e.Job)
			assert.Equal(t, "job_1", e.Job.ID)
			assert.Equal(t, ittybit.JobStatusSucceeded, e.Job.Status)
			assert.Equal(t, time.UnixMilli(1767225600123).UTC(), e.Job.Finished)
			assert.JSONEq(t, jobBody, string(e.Job.RawJSON()))
		})
	}
}

func TestJob_decodes(t *testing.T) {
	var job ittybit.Job
	data := []byte(`{"id":"job_1","status":"cancelled","created_at":1767225600000}`)
	require.NoError(t, json.Unmarshal(data, &job))
	assert.True(t, job.Terminal())
	assert.JSONEq(t, `{"id":"job_1","status":"cancelled","created_at":1767225600000}`, string(job.RawJSON()))

	require.NoError(t, json.Unmarshal([]byte(`{"id":"job_1","created_at":"soon"}`), &job))
	require.ErrorContains(t, job.DecodeError(), `field "created_at"`)
	require.NoError(t, json.Unmarshal([]byte(`{"id":["job_1"]}`), &job))
	require.ErrorContains(t, job.DecodeError(), `field "id"`)
}

func TestParseEvent_aFileWithAFieldThatCannotBeDecodedIsAFile(t *testing.T) {
	e := webhookParse(t, `{"id":"task_1","object":"task","status":"ready",
		"output":{"id":"file_1","width":"wide","url":"https://you.ittybit.net/1"},
		"outputs":[{"id":"file_2","created":"yesterday"},{"id":"file_3"}]}`)
	require.NotNil(t, e.Task)
	require.NotNil(t, e.Task.Output)
	assert.Equal(t, "file_1", e.Task.Output.ID)
	assert.Equal(t, "https://you.ittybit.net/1", e.Task.Output.URL)
	assert.Len(t, e.Task.Outputs, 2)
	assert.True(t, e.Task.Succeeded(), "it is ready, and there is an output")

	require.ErrorContains(t, e.Task.DecodeError(), `field "output.width": is not a number; field "outputs[0].created": `)
	require.ErrorContains(t, e.Task.Output.DecodeError(), `ittybit: file file_1: cannot decode field "width": is not a number`)
	require.NoError(t, e.Task.Outputs[1].DecodeError())
}

func TestString_namesThingsInAFewWords(t *testing.T) {
	e := webhookParse(t, `{"id":"task_1","object":"task","kind":"nsfw","status":"completed","output":{"id":"file_1","kind":"image","status":"ready","url":"https://x?signature=abc"}}`)
	job := webhookParse(t, `{"id":"job_1","object":"job","kind":"video","status":"succeeded"}`)
	media := webhookParse(t, `{"id":"med_1","object":"media","kind":"video","files":[{"id":"file_1"}]}`)
	for want, value := range map[string]any{
		"event task:task_1:completed (task.completed)": e,
		"task task_1 (kind nsfw, status completed)":    e.Task,
		"file file_1 (kind image, status ready)":       e.Task.Output,
		"job job_1 (kind video, status succeeded)":     job.Job,
		"media med_1 (kind video, 1 files)":            media.Media,
		"automation auto_1 (status active, 2 steps)": &ittybit.Automation{
			ID: "auto_1", Status: ittybit.AutomationStatusActive, Workflow: make([]ittybit.WorkflowStep, 2),
		},
	} {
		assert.Equal(t, want, fmt.Sprint(value))
		assert.Equal(t, want, fmt.Sprintf("%+v", value))
	}
}

func TestEventAndJob_arePrintedWithoutTheirPayload(t *testing.T) {
	const hidden = "the customer's own words"
	numbers := strings.Trim(fmt.Sprintf("%d", []byte(hidden)), "[]")
	e := webhookParse(t, `{"id":"job_1","object":"job","status":"failed","options":{"prompt":"`+hidden+`"},"metadata":{"x":"`+hidden+`"}}`)
	delivery := ittybit.Delivery{Event: e}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X"} {
		for _, value := range []any{e, *e, e.Job, *e.Job, []any{*e, *e.Job}, map[string]ittybit.Event{"e": *e}, delivery, &delivery} {
			text := fmt.Sprintf(verb, value)
			assert.NotContains(t, text, hidden, "%s of %T", verb, value)
			assert.NotContains(t, strings.ToLower(text), fmt.Sprintf("%x", hidden), "%s of %T", verb, value)
			assert.NotContains(t, text, numbers, "%s of %T", verb, value)
		}
	}
	assert.Contains(t, fmt.Sprintf("%+v", *e), "job:job_1:failed")
	assert.Equal(t, "job job_1 (kind , status failed)", fmt.Sprintf("%+v", *e.Job))
}
