package ittybit_test

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
)

func TestEventKey_isTheSameForTheSameHappening(t *testing.T) {
	polled := new(ittybit.Task)
	// As the API gives it: with fields that the webhook does not have, and without some that it
	// has.
	require.NoError(t, json.Unmarshal([]byte(`{"id":"task_123abc","object":"task","kind":"nsfw","status":"completed","progress":100,
		"created":"2025-01-10T12:34:56Z","updated":"2025-01-10T12:35:22Z"}`), polled))
	tests := map[string]struct{ a, b *ittybit.Event }{
		"a redelivery":              {webhookParse(t, webhookPageBody), webhookParse(t, webhookPageBody)},
		"the end, spelled anew":     {webhookParse(t, webhookPageBody), webhookParse(t, webhookTask("task_123abc", "completed"))},
		"by webhook and polled":     {webhookParse(t, webhookPageBody), ittybit.EventFromTask(polled)},
		"put together by hand":      {webhookParse(t, webhookPageBody), &ittybit.Event{Task: polled}},
		"a task put together":       {webhookParse(t, webhookPageBody), ittybit.EventFromTask(&ittybit.Task{ID: "task_123abc", Status: "completed"})},
		"progress, redelivered":     {webhookParse(t, webhookProgress("task_1", 40)), webhookParse(t, webhookProgress("task_1", 40))},
		"the end of a job":          {webhookParse(t, `{"id":"job_1","status":"failed","error":"a"}`), webhookParse(t, `{"id":"job_1","object":"job","status":"failed"}`)},
		"an event id":               {webhookParse(t, `{"id":"evt_1","object":"event","kind":"run.created","data":{}}`), webhookParse(t, `{"id":"evt_1","object":"event","kind":"run.updated"}`)},
		"an unknown payload":        {webhookParse(t, `{"a":1}`), webhookParse(t, `{"a":1}`)},
		"white space":               {webhookParse(t, `{"a":1}`), webhookParse(t, "{ \"a\" : 1 }\n")},
		"an escape of json.Marshal": {webhookParse(t, `{"a":"x&<y>"}`), webhookParse(t, `{"a":"x\u0026\u003cy\u003e"}`)},
		"no task, twice":            {ittybit.EventFromTask(nil), ittybit.EventFromTask(nil)},
		"an event that is empty":    {&ittybit.Event{}, &ittybit.Event{}},
		"a hand-made media":         {&ittybit.Event{Media: &ittybit.Media{ID: "med_1"}}, &ittybit.Event{Media: &ittybit.Media{ID: "med_1"}}},
		"a hand-made job's ending":  {&ittybit.Event{Job: &ittybit.Job{ID: "job_1", Status: "failed"}}, webhookParse(t, `{"id":"job_1","status":"failed"}`)},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			assert.NotEmpty(t, tt.a.Key())
			assert.Equal(t, tt.a.Key(), tt.b.Key())
		})
	}
}

func TestEventKey_differsForEveryOtherHappening(t *testing.T) {
	bodies := []string{
		webhookPageBody, webhookTask("task_1", "completed"), webhookTask("task_2", "completed"),
		webhookTask("task_1", "failed"), webhookTask("task_1", "cancelled"), webhookTask("task_1", "processing"),
		webhookTask("task_1", "ready"), `{"id":"task_1","object":"task","status":"ready","results":{}}`,
		webhookProgress("task_1", 40), webhookProgress("task_1", 41), webhookProgress("task_2", 40),
		`{"id":"med_1","object":"media","title":"a"}`, `{"id":"med_1","object":"media","title":"b"}`, `{"id":"med_2","object":"media","title":"a"}`,
		`{"id":"job_1","object":"job","status":"succeeded"}`, `{"id":"job_1","object":"job","status":"failed"}`,
		`{"id":"job_1","object":"job","status":"processing"}`, `{"id":"job_1","object":"job","status":"processing","tasks":[]}`,
		`{"id":"evt_1","object":"event","kind":"task.updated","data":{"id":"task_1"}}`,
		`{"id":"evt_2","object":"event","kind":"task.updated","data":{"id":"task_1"}}`,
		// Without an id nothing may be taken for something else, however much it looks like the end
		// of it.
		`{"object":"task","status":"completed"}`, `{"object":"task","status":"completed","kind":"nsfw"}`, `{"object":"task","status":"completed","n":1}`,
		`{"object":"job","status":"succeeded"}`, `{"object":"job","status":"succeeded","n":1}`, `{"object":"media"}`, `{"object":"media","n":1}`,
		`{"object":"event","kind":"task.completed","data":{"status":"completed"}}`, `{"object":"event","kind":"task.completed","data":{"status":"completed","n":1}}`,
		`{}`, `{"n":1}`, `{"n":2}`, `{"n":"2"}`,
	}
	seen := map[string]string{}
	for _, body := range bodies {
		key := webhookParse(t, body).Key()
		assert.NotEmpty(t, key)
		other, twice := seen[key]
		assert.False(t, twice, "%s names both %s and %s", key, other, body)
		seen[key] = body
	}
	for i, e := range []*ittybit.Event{
		ittybit.EventFromTask(nil), ittybit.EventFromTask(&ittybit.Task{}), ittybit.EventFromTask(&ittybit.Task{Status: "completed"}),
		ittybit.EventFromTask(&ittybit.Task{Status: "completed", Progress: 1}), {Type: "a"}, {Type: "a", ProjectID: "p"},
	} {
		assert.NotContains(t, seen, e.Key(), "event %d", i)
		seen[e.Key()] = "made by hand"
	}
}

// webhookTables reads the tables below a heading of the documentation: their rows' cells.
func webhookTable(t *testing.T, heading string) [][]string {
	t.Helper()
	text, err := os.ReadFile("docs/webhooks.md")
	require.NoError(t, err)
	_, section, found := strings.Cut(string(text), "\n"+heading+"\n")
	require.True(t, found, heading)
	var rows [][]string
	for line := range strings.SplitSeq(section, "\n") {
		if strings.HasPrefix(line, "| ") {
			rows = append(rows, strings.Split(strings.Trim(line, "| "), " | "))
		} else if len(rows) > 0 && !strings.HasPrefix(line, "|") {
			break
		}
	}
	require.Greater(t, len(rows), 1, heading)
	return rows[1:]
}

// webhookInBackticks gives the code in a cell.
func webhookInBackticks(cell string) []string {
	var code []string
	for i, part := range strings.Split(cell, "`") {
		if i%2 == 1 {
			code = append(code, part)
		}
	}
	return code
}

// webhookKeyPattern is the regular expression of a key of the documentation.
func webhookKeyPattern(key string) string {
	return "^" + strings.ReplaceAll(regexp.QuoteMeta(key), "<digest>", "[0-9a-f]{32}") + "$"
}

func TestEventKey_isAsDocumented(t *testing.T) {
	rows := webhookTable(t, "### Keys")
	for _, row := range rows {
		e := webhookParse(t, webhookInBackticks(row[0])[0])
		assert.Regexp(t, webhookKeyPattern(webhookInBackticks(row[1])[0]), e.Key(), row[0])
	}
	assert.GreaterOrEqual(t, len(rows), 10)
}

// webhookForms are the payloads that API versions have for the end or another state of
// task_1, by name; fields are those of the task.
func webhookForms(status, fields string) map[string]string {
	task := fmt.Sprintf(`{"id":"task_1","object":"task","kind":"nsfw","status":%q%s}`, status, fields)
	kind := map[string]string{
		"completed": "task.completed", "succeeded": "task.succeeded", "failed": "task.failed", "error": "task.failed",
		"cancelled": "task.cancelled", "canceled": "task.canceled",
	}[status]
	if kind == "" && fields != "" {
		kind = "task.succeeded"
	}
	if kind == "" {
		kind = "task.updated"
	}
	return map[string]string{
		"2025-08-20":                        task,
		"2025-08-20, pretty":                strings.NewReplacer(`,`, ",\n  ", `:`, ": ").Replace(task),
		"2025-12-01, without an id":         fmt.Sprintf(`{"object":"event","kind":%q,"created_at":1735689886,"data":%s}`, kind, task),
		"2025-12-01":                        fmt.Sprintf(`{"id":"evt_1","object":"event","kind":%q,"data":%s}`, kind, task),
		"2026, which names no object":       strings.Replace(task, `"object":"task",`, "", 1),
		"2026, with a time in milliseconds": strings.Replace(task, `"id"`, `"updated_at":1767225600000,"id"`, 1),
	}
}

// TestTaskEnds_agree holds everything that asks whether a task has ended to the table in the
// documentation, for every status in every API version's payload.
func TestTaskEnds_agree(t *testing.T) {
	keys := map[string]string{} // of ends, to the end
	digests := map[string]bool{}
	statuses := map[string]bool{}
	for _, row := range webhookTable(t, "### Ends") {
		end := strings.HasPrefix(row[1], "the end")
		fields := []string{""}
		if strings.Contains(row[0], "with an output") {
			fields = []string{`,"output":{"id":"file_1"}`, `,"results":{"is_nsfw":true}`, `,"outputs":[{"id":"file_1"}]`}
		}
		for _, status := range webhookInBackticks(row[0]) {
			statuses[status] = true
			for _, more := range fields {
				for form, body := range webhookForms(status, more) {
					name := fmt.Sprintf("%s%s, %s", status, more, form)
					e := webhookParse(t, body)
					require.NotNil(t, e.Task, name)
					assert.Equal(t, end, e.Task.Terminal(), name)
					assert.Equal(t, row[1] == "the end, well", e.Task.Succeeded(), name)
					assert.Equal(t, row[1] == "the end, failed", e.Task.Failed(), name)
					assert.Equal(t, row[1] == "the end, cancelled", e.Task.Cancelled(), name)
					assert.Equal(t, !end, (&ittybit.Task{ID: "task_1", Status: "completed"}).Supersedes(e.Task), name)
					assert.Equal(t, webhookInBackticks(row[3])[0], webhookRoute(t, e), name)
					polled := ittybit.EventFromTask(e.Task)
					assert.Equal(t, webhookInBackticks(row[2])[0], string(polled.Type), name)
					assert.Equal(t, webhookRoute(t, e), webhookRoute(t, polled), name)
					if e.ID != "" {
						assert.Equal(t, "evt:"+e.ID, e.Key(), name)
						continue
					}
					key := strings.NewReplacer("<id>", "task_1", "<status>", status).Replace(webhookInBackticks(row[4])[0])
					require.Regexp(t, webhookKeyPattern(key), e.Key(), name)
					if !end {
						digests[e.Key()] = true
						continue
					}
					assert.Equal(t, e.Key(), polled.Key(), name)
					assert.Equal(t, e.Key(), (&ittybit.Event{Task: e.Task}).Key(), name)
					what := row[1] + strings.Repeat(" by ready", strings.Count(row[0], "ready"))
					if other, known := keys[e.Key()]; known {
						assert.Equal(t, other, what, name)
					}
					keys[e.Key()] = what
				}
			}
		}
	}
	assert.Len(t, keys, 4, "completed, ready, failed, cancelled: %v", keys)
	assert.Len(t, digests, 9*4, "every state that is not an end, in every payload that differs by more than spaces")
	for status := range webhookStates() {
		if name, _, _ := strings.Cut(status, ","); name != "" && name != "a status of tomorrow" {
			assert.Contains(t, statuses, name)
		}
	}
}

// webhookRoute names the registration that takes e.
func webhookRoute(t *testing.T, e *ittybit.Event) string {
	t.Helper()
	var calls webhookCalls
	m := ittybit.NewEventMux()
	m.OnTaskCompleted(ittybit.TaskKindNSFW, calls.named("OnTaskCompleted"))
	m.OnTaskFailed(ittybit.AnyTaskKind, calls.named("OnTaskFailed"))
	m.OnTaskCancelled(ittybit.TaskKindNSFW, calls.named("OnTaskCancelled"))
	m.On(ittybit.EventTaskUpdated, calls.named(`On("task.updated", …)`))
	require.NoError(t, m.HandleEvent(t.Context(), e))
	require.Len(t, calls.names, 1)
	return calls.names[0]
}

func TestEventKey_reads(t *testing.T) {
	assert.Equal(t, "task:task_1:failed", webhookParse(t, webhookTask("task_1", "failed")).Key())
	assert.Equal(t, "evt:evt_1", webhookParse(t, `{"id":"evt_1","object":"event","kind":"x"}`).Key())
	assert.Regexp(t, `^task:task_1:processing:[0-9a-f]{32}$`, webhookParse(t, webhookProgress("task_1", 1)).Key())
	assert.Regexp(t, `^media:med_1:[0-9a-f]{32}$`, webhookParse(t, `{"id":"med_1","object":"media"}`).Key())
	assert.Regexp(t, `^automation:auto_1:[0-9a-f]{32}$`, webhookParse(t, `{"id":"auto_1","object":"automation"}`).Key())
	assert.Equal(t, "task:task_1:ready", webhookParse(t, `{"id":"task_1","object":"task","status":"ready","output":{"id":"file_1"}}`).Key())
}

func TestEventFromTask_makesWhatTheWebhookBrings(t *testing.T) {
	webhook := webhookParse(t, webhookPageBody)
	polled := new(ittybit.Task)
	require.NoError(t, json.Unmarshal([]byte(webhookPageBody), polled))
	assert.Equal(t, webhook, ittybit.EventFromTask(polled))

	made := ittybit.EventFromTask(&ittybit.Task{ID: "task_1", Status: ittybit.TaskStatusFailed, ProjectID: "prj_1"})
	assert.Equal(t, ittybit.EventTaskFailed, made.Type)
	assert.Equal(t, "prj_1", made.ProjectID)
	assert.Equal(t, "task:task_1:failed", made.Key())
	assert.Equal(t, made.Key(), webhookParse(t, string(made.RawJSON())).Key())

	for _, text := range []string{
		`{"id":"task_1", "object":"task","status":"processing","progress":40,"brand_new":[1.50,"<&>"]}`, `{"id":"task_1","status":"waiting","finished_at":1767225600000}`,
	} {
		task := new(ittybit.Task)
		require.NoError(t, json.Unmarshal([]byte(text), task))
		asRead := ittybit.EventFromTask(task)
		assert.Equal(t, text, string(asRead.RawJSON()), "what was not changed is as it was received")
		task.Status, task.Progress, task.Completed = ittybit.TaskStatusFailed, 100, time.Unix(1767225601, 0).UTC()
		changed := ittybit.EventFromTask(task)
		written, err := json.Marshal(changed)
		require.NoError(t, err)
		again := webhookParse(t, string(written))
		assert.Equal(t, []any{ittybit.EventTaskFailed, "task:task_1:failed", changed.CreatedAt}, []any{again.Type, again.Key(), again.CreatedAt}, "what was changed goes with it: %s", written)
		assert.Equal(t, []any{again.Type, again.Key()}, []any{changed.Type, changed.Key()})
		assert.Equal(t, strings.Contains(text, "brand_new"), strings.Contains(string(written), `"brand_new":[1.50,`), "and loses nothing")
		progress := ittybit.EventFromTask(&ittybit.Task{ID: "task_1", Status: "processing", Progress: 41})
		assert.NotEqual(t, asRead.Key(), progress.Key())
	}

	none := ittybit.EventFromTask(nil)
	assert.Equal(t, ittybit.EventUnknown, none.Type)
	assert.Nil(t, none.Task)
}

// webhookStates are tasks in every status, with what makes "ready" an end or not.
func webhookStates() map[string]*ittybit.Task {
	states := map[string]*ittybit.Task{
		"ready, with results": {ID: "task_1", Status: ittybit.TaskStatusReady, Results: json.RawMessage(`{}`)},
		"ready, with output":  {ID: "task_1", Status: ittybit.TaskStatusReady, Output: &ittybit.File{}},
	}
	for _, status := range []ittybit.TaskStatus{
		"", ittybit.TaskStatusCreated, ittybit.TaskStatusPending, ittybit.TaskStatusWaiting, "queued", "validating",
		ittybit.TaskStatusProcessing, "finishing", "a status of tomorrow", ittybit.TaskStatusReady,
		ittybit.TaskStatusCompleted, ittybit.TaskStatusSucceeded, ittybit.TaskStatusFailed, ittybit.TaskStatusError,
		ittybit.TaskStatusCancelled, "canceled",
	} {
		states[string(status)] = &ittybit.Task{ID: "task_1", Status: status}
	}
	return states
}

func TestSupersedes_ranksTheStatuses(t *testing.T) {
	ranks := map[string]int{
		"": 0, "a status of tomorrow": 0, "created": 1, "pending": 2, "waiting": 2, "queued": 2, "validating": 2,
		"processing": 3, "finishing": 3, "ready": 3, "ready, with results": 4, "ready, with output": 4,
		"completed": 4, "succeeded": 4, "failed": 4, "error": 4, "cancelled": 4, "canceled": 4,
	}
	states := webhookStates()
	require.Len(t, states, len(ranks))
	for a, mine := range states {
		for b, theirs := range states {
			want := ranks[a] > ranks[b] && ranks[b] < 4
			assert.Equal(t, want, mine.Supersedes(theirs), "%q over %q", a, b)
		}
		assert.True(t, mine.Supersedes(nil), a)
		assert.False(t, mine.Supersedes(mine), a)
		assert.False(t, mine.Supersedes(&ittybit.Task{ID: "task_2", Status: "created"}), "another task")
	}
}

func TestSupersedes_isAnOrder(t *testing.T) {
	var all []*ittybit.Task
	names := map[*ittybit.Task]string{}
	for name, state := range webhookStates() {
		for _, updated := range []int64{1, 2} {
			for _, progress := range []int{0, 50, 100} {
				task := *state
				task.Updated, task.Progress = time.Unix(updated, 0), progress
				all = append(all, &task)
				names[&task] = fmt.Sprintf("%s at %d, %d %%", name, updated, progress)
			}
		}
	}
	for _, a := range all {
		require.False(t, a.Supersedes(a), names[a])
		for _, b := range all {
			if !a.Supersedes(b) {
				continue
			}
			require.False(t, b.Supersedes(a), "%s and %s", names[a], names[b])
			for _, c := range all {
				if b.Supersedes(c) {
					require.True(t, a.Supersedes(c), "%s > %s > %s", names[a], names[b], names[c])
				}
			}
		}
	}
}

func TestSupersedes_withinARank(t *testing.T) {
	at := func(seconds int64, progress int) *ittybit.Task {
		task := &ittybit.Task{ID: "task_1", Status: ittybit.TaskStatusProcessing, Progress: progress}
		if seconds > 0 {
			task.Updated = time.Unix(seconds, 0)
		}
		return task
	}
	tests := map[string]struct {
		a, b *ittybit.Task
		want bool
	}{
		"later":                           {at(2, 10), at(1, 90), true},
		"earlier":                         {at(1, 90), at(2, 10), false},
		"at the same time, further":       {at(1, 11), at(1, 10), true},
		"at the same time, as far":        {at(1, 10), at(1, 10), false},
		"at no known time, further":       {at(0, 11), at(0, 10), true},
		"at no known time, less far":      {at(0, 10), at(0, 11), false},
		"the time of one, further":        {at(5, 11), at(0, 10), true},
		"the same instant, another place": {&ittybit.Task{ID: "task_1", Status: "processing", Updated: time.Unix(1, 0).UTC()}, at(1, 0), false},
	}
	for name, tt := range tests {
		assert.Equal(t, tt.want, tt.a.Supersedes(tt.b), name)
	}
}

// TestEvent_marshalsToWhatWasReceived: through json.Marshal and back, as in a queue, an event is the
// same one.
func TestEvent_marshalsToWhatWasReceived(t *testing.T) {
	for name, body := range map[string]string{
		"a task":               webhookPageBody,
		"progress, with a URL": `{"id":"task_1","object":"task","status":"processing","input":{"id":"file_1","url":"https://a.example/?a=1&b=<2>"}}`,
		"line separators":      `{"id":"task_1","object":"task","status":"waiting","description":"a` + "\u2028" + `b"}`,
		"media":                `{ "id" : "med_1", "object" : "media", "title" : "a & b" }`,
		"an event":             `{"id":"evt_1","object":"event","kind":"task.failed","data":{"id":"task_1","error":"x"},"created_at":1735689886}`,
		"an event without id":  `{"object":"event","kind":"run.created","data":{"id":"run_1"},"created_at":1735689886}`,
		"a job":                `{"id":"job_1","object":"job","status":"processing","tasks":[{"id":"task_1"}],"new":{"a":[1.0,2e3]}}`,
		"unknown":              `{"hello":["wörld",1.50]}`,
	} {
		t.Run(name, func(t *testing.T) {
			e := webhookParse(t, body)
			for _, value := range []any{e, *e} {
				text, err := json.Marshal(value)
				require.NoError(t, err)
				assert.JSONEq(t, body, string(text))
				assert.Contains(t, strings.ReplaceAll(string(text), " ", ""), strings.NewReplacer(" ", "", "\n", "",
					"&", `\u0026`, "<", `\u003c`, ">", `\u003e`, "\u2028", `\u2028`).Replace(body), "numbers are as they were written")
				var again ittybit.Event
				require.NoError(t, json.Unmarshal(text, &again))
				assert.Equal(t, e.Key(), again.Key())
				assert.Equal(t, e.Type, again.Type)
				assert.Equal(t, e.CreatedAt, again.CreatedAt)
				assert.Equal(t, []bool{e.Task == nil, e.Media == nil, e.Job == nil}, []bool{again.Task == nil, again.Media == nil, again.Job == nil})
				more, err := json.Marshal(&again)
				require.NoError(t, err)
				assert.Equal(t, string(text), string(more))
			}
		})
	}
}

func TestEvent_putTogetherByHandSurvivesMarshalling(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for name, e := range map[string]*ittybit.Event{
		"a task": {ID: "evt_1", Type: ittybit.EventTaskUpdated, CreatedAt: at, ProjectID: "prj_1", AutomationID: "auto_1",
			Task: &ittybit.Task{ID: "task_1", Kind: ittybit.TaskKindSpeech, Status: ittybit.TaskStatusProcessing, Progress: 40}},
		"an end, without an id": {Type: ittybit.EventTaskSucceeded, Task: &ittybit.Task{ID: "task_1", Status: ittybit.TaskStatusSucceeded}},
		"media":                 {Type: ittybit.EventMediaCreated, Media: &ittybit.Media{ID: "med_1", Title: "a & b"}},
		"a job":                 {Type: "job.queued", Job: &ittybit.Job{ID: "job_1", Status: ittybit.JobStatusQueued}},
		"nothing":               {Type: ittybit.EventUnknown},
		"made of a task":        ittybit.EventFromTask(&ittybit.Task{ID: "task_1", Status: ittybit.TaskStatusFailed, Error: &ittybit.TaskError{Message: "no"}}),
		"made of none":          ittybit.EventFromTask(nil),
	} {
		t.Run(name, func(t *testing.T) {
			text, err := json.Marshal(e)
			require.NoError(t, err)
			var again ittybit.Event
			require.NoError(t, json.Unmarshal(text, &again), "%s", text)
			assert.Equal(t, e.Key(), again.Key())
			assert.Equal(t, []any{e.ID, e.Type, e.ProjectID, e.AutomationID}, []any{again.ID, again.Type, again.ProjectID, again.AutomationID})
			assert.True(t, e.CreatedAt.Equal(again.CreatedAt))
			assert.Equal(t, []bool{e.Task == nil, e.Media == nil, e.Job == nil}, []bool{again.Task == nil, again.Media == nil, again.Job == nil})
			if e.Task != nil {
				assert.Equal(t, []any{e.Task.ID, e.Task.Kind, e.Task.Status, e.Task.Progress, e.Task.Error},
					[]any{again.Task.ID, again.Task.Kind, again.Task.Status, again.Task.Progress, again.Task.Error})
			}
		})
	}
	e := webhookParse(t, webhookPageBody)
	require.NoError(t, json.Unmarshal([]byte("null"), e))
	assert.Equal(t, "task:task_123abc:completed", e.Key(), "null changes nothing")
	require.ErrorIs(t, json.Unmarshal([]byte("[]"), e), ittybit.ErrMalformedEvent)
}

// What is done to a task's options does not change what was received, nor the event's key.
func TestRawOptions_areTheTasksOwn(t *testing.T) {
	const body = `{"id":"task_1","object":"task","kind":"hologram","status":"processing","options":{"depth":"12"}}`
	event, err := ittybit.ParseEvent([]byte(body))
	require.NoError(t, err)
	key := event.Key()
	options, ok := event.Task.Options.(ittybit.RawOptions)
	require.True(t, ok)
	copy(options["depth"], `"99"`)
	assert.Equal(t, body, string(event.RawJSON()))
	assert.Equal(t, body, string(event.Task.RawJSON()))
	assert.Equal(t, key, event.Key())
}
