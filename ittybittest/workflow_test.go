package ittybittest_test

import (
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/ittybittest"
)

const talk = "https://example.com/talk.mp4"

// flow is a server without sockets, in fake time, and the SDK's client of it.
type flow struct {
	api
	in     *inbox
	client *ittybit.Client
}

func flows(t *testing.T, test func(t *testing.T, f flow), opts ...ittybittest.Option) {
	t.Helper()
	in := &inbox{}
	bubble(t, in, func(t *testing.T, a api) {
		client, err := a.srv.Client()
		require.NoError(t, err)
		test(t, flow{a, in, client})
	}, opts...)
}

func (f flow) post(params ittybit.TaskCreateParams) *ittybit.Task {
	f.t.Helper()
	task, err := f.client.Tasks.Create(f.t.Context(), params)
	require.NoError(f.t, err)
	return task
}

// run creates a task, and gives it as it is when everything ended.
func (f flow) run(params ittybit.TaskCreateParams) *ittybit.Task {
	f.t.Helper()
	task := f.post(params)
	time.Sleep(1000 * time.Hour)
	synctest.Wait()
	task, err := f.client.Tasks.Get(f.t.Context(), task.ID)
	require.NoError(f.t, err)
	return task
}

// tasks are all tasks, the oldest first.
func (f flow) tasks() (tasks []*ittybit.Task) {
	f.t.Helper()
	for task, err := range f.client.Tasks.All(f.t.Context(), ittybit.TaskListParams{}) {
		require.NoError(f.t, err)
		tasks = append([]*ittybit.Task{task}, tasks...)
	}
	return tasks
}

func (f flow) kinds() (kinds []ittybit.TaskKind) {
	f.t.Helper()
	for _, task := range f.tasks() {
		kinds = append(kinds, task.Kind)
	}
	return kinds
}

// hooks are the queries of the webhooks that came.
func (f flow) hooks() (queries []string) {
	for _, got := range f.in.all() {
		queries = append(queries, got.query)
	}
	return queries
}

func (f flow) automate(steps ...ittybit.WorkflowStep) {
	f.t.Helper()
	_, err := f.client.Automations.Create(f.t.Context(), ittybit.AutomationCreateParams{
		Trigger: ittybit.OnEvent(ittybit.EventMediaCreated), Workflow: steps,
	})
	require.NoError(f.t, err)
}

func then(kind ittybit.TaskKind, next ...ittybit.WorkflowStep) ittybit.WorkflowStep {
	return ittybit.WorkflowStep{Kind: kind, Next: next}
}

func when(prop string, value any, next ...ittybit.WorkflowStep) ittybit.WorkflowStep {
	return ittybit.ConditionsStep([]ittybit.Condition{{Prop: prop, Value: value}}, next...)
}

func say(query string) ittybit.WorkflowStep { return ittybit.WebhookStep(hook+"?"+query, "") }

func TestNext_runsAfterATaskOfAnyKind(t *testing.T) {
	flows(t, func(t *testing.T, f flow) {
		next := []ittybit.WorkflowStep{then(ittybit.TaskKindSubtitles, say("subtitles")), say("video")}
		video := f.run(ittybit.TaskCreateParams{Kind: ittybit.TaskKindVideo, URL: talk, Ref: "small", Extra: map[string]any{"next": next}})
		tasks := f.tasks()
		require.Equal(t, []ittybit.TaskKind{"video", "subtitles"}, f.kinds())
		assert.Equal(t, video.ID, tasks[1].ParentID)
		assert.Equal(t, video.Output.ID, tasks[1].Input.ID)
		assert.Equal(t, "small", tasks[1].Input.Ref)
		assert.ElementsMatch(t, []string{"subtitles", "video"}, f.hooks())

		f.srv.FailTasks("video", "no")
		f.run(ittybit.TaskCreateParams{Kind: ittybit.TaskKindVideo, URL: talk, Extra: map[string]any{"next": next}})
		assert.Len(t, f.tasks(), 3, "after a failed task nothing comes")
		assert.Len(t, f.hooks(), 2)
	})
}

func TestNext_ofAConditionsTaskRunsOnlyWhereTheyHold(t *testing.T) {
	flows(t, func(t *testing.T, f flow) {
		ask := func(prop, value, query string) *ittybit.ConditionsResults {
			t.Helper()
			task := f.run(ittybit.TaskCreateParams{Kind: ittybit.TaskKindConditions, URL: talk, Options: ittybit.ConditionsOptions{
				Conditions: []ittybit.Condition{{Prop: prop, Value: value}}, Next: []ittybit.WorkflowStep{say(query), then(ittybit.TaskKindAudio)},
			}})
			results, err := task.Conditions()
			require.NoError(t, err)
			return results
		}
		assert.True(t, ask("kind", "video", "video").Continue)
		tasks := f.tasks()
		require.Equal(t, []ittybit.TaskKind{"conditions", "audio"}, f.kinds())
		assert.Equal(t, tasks[0].Input.ID, tasks[1].Input.ID, "a conditions task hands its input on")
		assert.Equal(t, tasks[0].ID, tasks[1].ParentID)
		assert.False(t, ask("kind", "conditions", "itself").Continue)
		assert.False(t, ask("kind", "image", "image").Continue)

		f.srv.SetResults("conditions", map[string]any{"continue": true})
		ask("kind", "image", "chosen")
		f.srv.SetResults("conditions", map[string]any{"continue": false})
		ask("kind", "video", "refused")
		assert.Equal(t, []string{"video", "chosen"}, f.hooks())
	})
}

func TestConditions_inNextAreJudgedOnTheOutputFirst(t *testing.T) {
	flows(t, func(t *testing.T, f flow) {
		f.srv.SetResults("nsfw", map[string]any{"is_nsfw": true, "confidence": 0.9, "title": "found"})
		f.automate(
			ittybit.WorkflowStep{
				Kind: ittybit.TaskKindImage, Ref: "poster", Options: ittybit.ImageOptions{Width: ittybit.Pixels(320)},
				Next: []ittybit.WorkflowStep{
					when("kind", "image", say("output")), when("kind", "video", say("never")),
					when("width", "320", say("width")), when("height", 180, say("height")), when("ref", "poster", say("ref")),
					when("status", "ready", say("status")), when("progress", 100, say("task")),
					when("duration", 63.2, say("duration")), when("title", "Talk", say("title")),
				},
			},
			then(ittybit.TaskKindNSFW,
				when("is_nsfw", true, say("results")), when("title", "found", say("results-before-media")), when("title", "Talk", say("never")),
				when("width", 1920, say("its-input")), when("object", "intelligence", say("its-output")),
				when("is_nsfw", true, when("confidence", "0.9", then(ittybit.TaskKindAudio, when("kind", "audio", say("deep")))))),
		)
		file, err := f.client.Files.Create(t.Context(), ittybit.FileCreateParams{URL: talk})
		require.NoError(t, err)
		_, err = f.client.Media.Update(t.Context(), file.MediaID, ittybit.MediaUpdateParams{Title: ptr("Talk")})
		require.NoError(t, err)
		time.Sleep(time.Hour)
		assert.ElementsMatch(t, []string{
			"output", "width", "height", "ref", "status", "task", "duration", "title",
			"results", "results-before-media", "its-input", "its-output", "deep",
		}, f.hooks())
	})
}

func ptr[T any](value T) *T { return &value }

func TestNext_worksOnMediaNotOnWhatWasFoundOut(t *testing.T) {
	flows(t, func(t *testing.T, f flow) {
		f.automate(then(ittybit.TaskKindVideo,
			then(ittybit.TaskKindSpeech, then(ittybit.TaskKindSubtitles, then(ittybit.TaskKindThumbnails,
				then(ittybit.TaskKindNSFW))))))
		_, err := f.client.Files.Create(t.Context(), ittybit.FileCreateParams{URL: talk})
		require.NoError(t, err)
		time.Sleep(time.Hour)
		tasks := f.tasks()
		require.Equal(t, []ittybit.TaskKind{"video", "speech", "subtitles", "thumbnails", "nsfw"}, f.kinds())
		for i, task := range tasks[1:] {
			assert.Equal(t, tasks[i].ID, task.ParentID)
			assert.Equal(t, tasks[0].Output.ID, task.Input.ID, task.Kind)
		}
	})
}

func TestSteps_nameWhatTheyMake(t *testing.T) {
	flows(t, func(t *testing.T, f flow) {
		extra := map[string]any{"folder": "films", "filename": "name.bin", "description": "For phones", "metadata": map[string]any{"a": "b"}}
		step := func(kind ittybit.TaskKind, ref string, next ...ittybit.WorkflowStep) ittybit.WorkflowStep {
			return ittybit.WorkflowStep{Kind: kind, Ref: ref, Extra: extra, Next: next}
		}
		f.automate(step(ittybit.TaskKindVideo, "video", step(ittybit.TaskKindImage, "image", step(ittybit.TaskKindNSFW, "nsfw", step(ittybit.TaskKindDescription, "description")))))
		file, err := f.client.Files.Create(t.Context(), ittybit.FileCreateParams{URL: talk})
		require.NoError(t, err)
		time.Sleep(time.Hour)
		media, err := f.client.Media.Get(t.Context(), file.MediaID)
		require.NoError(t, err)
		for _, ref := range []string{"video", "image", "nsfw", "description"} {
			made := media.FileByRef(ref)
			require.NotNil(t, made, ref)
			assert.Equal(t, made.URL, media.URLs[ref])
			assert.Equal(t, []string{"films", "name.bin"}, []string{made.Folder, made.Filename}, ref)
			assert.Equal(t, map[string]any{"a": "b"}, made.Metadata)
			var fields struct {
				Description string `json:"description"`
			}
			require.NoError(t, json.Unmarshal(made.RawJSON(), &fields))
			assert.Equal(t, ref != "description", fields.Description == "For phones", ref)
		}
		assert.Equal(t, file.URL, media.URLs["original"])
	})
}

func TestFlow_validation(t *testing.T) {
	a := open(t)
	for body, words := range map[string]string{
		`{"kind":"video","file_id":"f","next":[{"kind":"webhook"}]}`:                            "webhook step needs a url",
		`{"kind":"video","file_id":"f","next":[{"kind":"webhook","url":"http://example.com"}]}`: "https",
		`{"kind":"video","file_id":"f","next":["nsfw"]}`:                                        "must be a JSON object",
	} {
		a.send("POST", "/tasks", body).refused(t, 400, words)
	}
	assert.Empty(t, a.list("/tasks"))
	a.create("/tasks", `{"kind":"video","file_id":"f","next":[{"ref":"as the SDKs allow"}]}`)
}

func TestNext_whatItMakesTriggersAutomations(t *testing.T) {
	flows(t, func(t *testing.T, f flow) {
		f.automate(say("media"), then(ittybit.TaskKindOutline))
		_, err := f.client.Automations.Create(t.Context(), ittybit.AutomationCreateParams{
			Trigger: ittybit.OnEvent(ittybit.EventTaskCompleted), Workflow: []ittybit.WorkflowStep{say("task"), then(ittybit.TaskKindSpeech)},
		})
		require.NoError(t, err)
		task := f.run(ittybit.TaskCreateParams{Kind: ittybit.TaskKindVideo, URL: talk, Extra: map[string]any{"next": []ittybit.WorkflowStep{
			then(ittybit.TaskKindAudio), {Kind: ittybit.TaskKindIngest, URL: talk, Next: []ittybit.WorkflowStep{then(ittybit.TaskKindImage)}},
		}}})
		assert.Equal(t, ittybit.TaskStatusCompleted, task.Status)
		assert.ElementsMatch(t, []string{"task", "task", "task", "task", "media"}, f.hooks(), "video, audio, ingest and image; the media of ingest")
		assert.ElementsMatch(t, []ittybit.TaskKind{"video", "audio", "ingest", "image", "outline", "speech", "speech", "speech", "speech"}, f.kinds())
		for _, task := range f.tasks() {
			if task.Kind == ittybit.TaskKindImage {
				media, err := f.client.Media.Get(t.Context(), task.Output.MediaID)
				require.NoError(t, err, "what comes after ingest goes to the new media")
				assert.Equal(t, task.Input.ID, media.Files[0].ID)
			}
		}
	})
}

func TestNext_endsWithTheServer(t *testing.T) {
	flows(t, func(t *testing.T, f flow) {
		f.post(ittybit.TaskCreateParams{
			Kind: ittybit.TaskKindVideo, URL: talk, WebhookURL: hook,
			Extra: map[string]any{"next": []ittybit.WorkflowStep{then(ittybit.TaskKindNSFW), say("next"), then(ittybit.TaskKindSpeech)}},
		})
		time.Sleep(90 * time.Minute) // the first step is at work
		f.srv.Close()
		time.Sleep(24 * time.Hour)
		assert.Len(t, f.in.all(), 1, "the webhook of the task itself")
	}, ittybittest.WithTaskDuration(time.Hour))
}

func TestConditions_onATaskThatTriggeredAreJudgedOnItFirst(t *testing.T) {
	flows(t, func(t *testing.T, f flow) {
		_, err := f.client.Automations.Create(t.Context(), ittybit.AutomationCreateParams{
			Trigger: ittybit.OnEvent(ittybit.EventTaskCompleted), Workflow: []ittybit.WorkflowStep{
				when("status", "completed", say("task")), when("status", "ready", say("never")), when("is_nsfw", false, say("results")),
				when("kind", "nsfw", say("kind")), when("type", "application/json", say("output")),
			},
		})
		require.NoError(t, err)
		f.run(ittybit.TaskCreateParams{Kind: ittybit.TaskKindNSFW, URL: talk})
		assert.ElementsMatch(t, []string{"task", "results", "kind", "output"}, f.hooks())
	})
}
