package ittybit_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
)

func TestEventKey_isTheSameForTheSameHappening(t *testing.T) {
	polled := new(ittybit.Task)
	// As the API gives it: with members that the webhook does not have, and without some that it has.
	require.NoError(t, json.Unmarshal([]byte(`{"id":"task_123abc","object":"task","kind":"nsfw","status":"completed","progress":100,
		"created":"2025-01-10T12:34:56Z","updated":"2025-01-10T12:35:22Z"}`), polled))
	tests := map[string]struct{ a, b *ittybit.Event }{
		"a redelivery":             {webhookParse(t, webhookPageBody), webhookParse(t, webhookPageBody)},
		"the end, spelled anew":    {webhookParse(t, webhookPageBody), webhookParse(t, webhookTask("task_123abc", "completed"))},
		"by webhook and polled":    {webhookParse(t, webhookPageBody), ittybit.EventFromTask(polled)},
		"put together by hand":     {webhookParse(t, webhookPageBody), &ittybit.Event{Task: polled}},
		"a task put together":      {webhookParse(t, webhookPageBody), ittybit.EventFromTask(&ittybit.Task{ID: "task_123abc", Status: "completed"})},
		"progress, redelivered":    {webhookParse(t, webhookProgress("task_1", 40)), webhookParse(t, webhookProgress("task_1", 40))},
		"the end of a job":         {webhookParse(t, `{"id":"job_1","status":"failed","error":"a"}`), webhookParse(t, `{"id":"job_1","object":"job","status":"failed"}`)},
		"an event id":              {webhookParse(t, `{"id":"evt_1","object":"event","kind":"run.created","data":{}}`), webhookParse(t, `{"id":"evt_1","object":"event","kind":"run.updated"}`)},
		"an unknown payload":       {webhookParse(t, `{"a":1}`), webhookParse(t, `{"a":1}`)},
		"no task, twice":           {ittybit.EventFromTask(nil), ittybit.EventFromTask(nil)},
		"an event that is empty":   {&ittybit.Event{}, &ittybit.Event{}},
		"a hand-made media":        {&ittybit.Event{Media: &ittybit.Media{ID: "med_1"}}, &ittybit.Event{Media: &ittybit.Media{ID: "med_1"}}},
		"a hand-made job's ending": {&ittybit.Event{Job: &ittybit.Job{ID: "job_1", Status: "failed"}}, webhookParse(t, `{"id":"job_1","status":"failed"}`)},
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
		webhookTask("task_1", "failed"), webhookTask("task_1", "error"), webhookTask("task_1", "cancelled"), webhookTask("task_1", "processing"),
		webhookTask("task_1", "ready"), `{"id":"task_1","object":"task","status":"ready","results":{}}`,
		webhookProgress("task_1", 40), webhookProgress("task_1", 41), webhookProgress("task_2", 40),
		`{"id":"med_1","object":"media","title":"a"}`, `{"id":"med_1","object":"media","title":"b"}`, `{"id":"med_2","object":"media","title":"a"}`,
		`{"id":"job_1","object":"job","status":"succeeded"}`, `{"id":"job_1","object":"job","status":"failed"}`,
		`{"id":"job_1","object":"job","status":"processing"}`, `{"id":"job_1","object":"job","status":"processing","tasks":[]}`,
		`{"id":"evt_1","object":"event","kind":"task.updated","data":{"id":"task_1"}}`,
		`{"id":"evt_2","object":"event","kind":"task.updated","data":{"id":"task_1"}}`,
		// Without an id nothing may be taken for something else, however much it looks like the end of it.
		`{"object":"task","status":"completed"}`, `{"object":"task","status":"completed","kind":"nsfw"}`, `{"object":"task","status":"completed","n":1}`,
		`{"object":"job","status":"succeeded"}`, `{"object":"job","status":"succeeded","n":1}`, `{"object":"media"}`, `{"object":"media","n":1}`,
		`{"object":"event","kind":"task.completed","data":{"status":"completed"}}`, `{"object":"event","kind":"task.completed","data":{"status":"completed","n":1}}`,
		`{}`, `{"n":1}`, `{"n":2}`, `{ }`,
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
		ittybit.TaskStatusCompleted, ittybit.TaskStatusSucceeded, ittybit.TaskStatusFailed, ittybit.TaskStatusError, ittybit.TaskStatusCancelled,
	} {
		states[string(status)] = &ittybit.Task{ID: "task_1", Status: status}
	}
	return states
}

func TestSupersedes_ranksTheStatuses(t *testing.T) {
	ranks := map[string]int{
		"": 0, "created": 0, "pending": 1, "waiting": 1, "queued": 1, "validating": 1,
		"processing": 2, "finishing": 2, "a status of tomorrow": 2, "ready": 2,
		"ready, with results": 3, "ready, with output": 3, "completed": 3, "succeeded": 3, "failed": 3, "error": 3, "cancelled": 3,
	}
	states := webhookStates()
	require.Len(t, states, len(ranks))
	for a, mine := range states {
		for b, theirs := range states {
			want := ranks[a] > ranks[b] && ranks[b] < 3
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
