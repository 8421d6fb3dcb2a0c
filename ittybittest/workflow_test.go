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

func workflow(steps ...ittybit.WorkflowStep) ittybit.WorkflowOptions {
	return ittybit.WorkflowOptions{Workflow: steps}
}

func then(kind ittybit.TaskKind, next ...ittybit.WorkflowStep) ittybit.WorkflowStep {
	return ittybit.WorkflowStep{Kind: kind, Next: next}
}

func when(prop string, value any, next ...ittybit.WorkflowStep) ittybit.WorkflowStep {
	return ittybit.ConditionsStep([]ittybit.Condition{{Prop: prop, Value: value}}, next...)
}

func say(query string) ittybit.WorkflowStep { return ittybit.WebhookStep(hook+"?"+query, "") }

func TestWorkflowTask_runsItsStepsAsChildrenInOrder(t *testing.T) {
	flows(t, func(t *testing.T, f flow) {
		begin := time.Now()
		created := f.post(ittybit.TaskCreateParams{
			Kind: ittybit.TaskKindWorkflow, URL: talk, WebhookURL: hook + "?end",
			Options: workflow(
				ittybit.WorkflowStep{
					Kind: ittybit.TaskKindVideo, Ref: "small", Options: ittybit.VideoOptions{Width: ittybit.Pixels(640)},
					Next: []ittybit.WorkflowStep{then(ittybit.TaskKindNSFW), say("small")},
				},
				when("kind", "video", then(ittybit.TaskKindSpeech, say("speech"))),
				when("kind", "image", say("never")),
				say("within"),
			),
		})
		assert.Equal(t, ittybit.TaskStatusPending, created.Status)
		now := func() *ittybit.Task {
			task, err := f.client.Tasks.Get(t.Context(), created.ID)
			require.NoError(t, err)
			return task
		}
		time.Sleep(2*time.Hour + time.Minute) // the nsfw task is at work
		running := now()
		assert.Equal(t, ittybit.TaskStatusProcessing, running.Status)
		assert.Empty(t, running.Output)
		assert.NotContains(t, f.hooks(), "end", "its own webhook comes at the end")
		time.Sleep(24 * time.Hour)

		task, tasks := now(), f.tasks()
		require.Equal(t, []ittybit.TaskKind{"workflow", "video", "nsfw", "speech"}, f.kinds())
		video, nsfw, speech := tasks[1], tasks[2], tasks[3]
		assert.Equal(t, ittybit.TaskStatusCompleted, task.Status)
		assert.Equal(t, 100, task.Progress)
		assert.Equal(t, begin.Add(3*time.Hour+15*time.Minute).UTC(), task.Completed.UTC(), "a quarter pending, and then three hours of children")
		assert.Equal(t, []string{task.ID, video.ID, task.ID}, []string{video.ParentID, nsfw.ParentID, speech.ParentID})
		assert.Equal(t, talk, task.Input.URL)
		assert.NotEmpty(t, task.Input.ID)
		assert.Equal(t, task.Input.ID, video.Input.ID)
		assert.Equal(t, task.Input.ID, speech.Input.ID, "steps side by side have the same input")
		assert.Equal(t, video.Output.ID, nsfw.Input.ID, "a next step has the output before it")
		assert.Equal(t, "small", nsfw.Input.Ref)

		assert.ElementsMatch(t, []string{"small", "speech", "within", "end"}, f.hooks())
		for _, got := range f.in.all() {
			body := decode(t, got.body)
			about := map[string]string{"small": video.ID, "speech": speech.ID, "within": task.ID, "end": task.ID}
			assert.Equal(t, about[got.query], body["id"], got.query)
			assert.NotContains(t, body, "automation_id")
			if got.query == "end" {
				assert.Equal(t, "completed", body["status"])
				event, err := ittybit.ParseEvent([]byte(got.body))
				require.NoError(t, err)
				assert.Equal(t, ittybit.EventTaskCompleted, event.Type)
			}
		}
	}, ittybittest.WithTaskDuration(time.Hour))
}

func TestWorkflowTask_failsWhenATaskBelowItFailed(t *testing.T) {
	flows(t, func(t *testing.T, f flow) {
		f.srv.FailTasks("nsfw", "too dark")
		task := f.run(ittybit.TaskCreateParams{
			Kind: ittybit.TaskKindWorkflow, URL: talk, WebhookURL: hook + "?end", Extra: map[string]any{"next": []any{say("next")}},
			Options: workflow(
				then(ittybit.TaskKindVideo, then(ittybit.TaskKindNSFW, say("nsfw"))),
				ittybit.WorkflowStep{Kind: ittybit.TaskKindWorkflow, Options: workflow(then(ittybit.TaskKindNSFW))},
				then(ittybit.TaskKindSpeech, say("speech")),
			),
		})
		assert.Equal(t, ittybit.TaskStatusFailed, task.Status)
		assert.Equal(t, []ittybit.TaskKind{"workflow", "video", "nsfw", "workflow", "nsfw", "speech"}, f.kinds(), "a failed task ends its own branch only")
		tasks := f.tasks()
		assert.Equal(t, "2 of the workflow's tasks failed, the first of them "+tasks[2].ID+" (nsfw): too dark", task.Error.Message)
		assert.Equal(t, "1 of the workflow's tasks failed, the first of them "+tasks[4].ID+" (nsfw): too dark", tasks[3].Error.Message)
		assert.Equal(t, tasks[3].ID, tasks[4].ParentID)
		assert.ElementsMatch(t, []string{"speech", "end"}, f.hooks())
	})
}

func TestWorkflowTask_inAnAutomation(t *testing.T) {
	flows(t, func(t *testing.T, f flow) {
		f.automate(ittybit.WorkflowStep{
			Kind: ittybit.TaskKindWorkflow, Options: workflow(then(ittybit.TaskKindImage), then(ittybit.TaskKindNSFW)),
			Next: []ittybit.WorkflowStep{say("next")},
		})
		file, err := f.client.Files.Create(t.Context(), ittybit.FileCreateParams{URL: talk})
		require.NoError(t, err)
		time.Sleep(time.Hour)
		tasks := f.tasks()
		require.Equal(t, []ittybit.TaskKind{"workflow", "image", "nsfw"}, f.kinds())
		for _, task := range tasks {
			assert.NotEmpty(t, task.AutomationID)
			assert.Equal(t, file.ID, task.Input.ID)
			assert.Equal(t, ittybit.TaskStatusCompleted, task.Status)
		}
		assert.Equal(t, tasks[0].ID, tasks[1].ParentID)
		assert.Equal(t, file.MediaID, tasks[1].Output.MediaID, "outputs go to the media of the input")
		assert.Equal(t, []string{"next"}, f.hooks())
	})
}

func TestWorkflowTask_reportsItsProgress(t *testing.T) {
	flows(t, func(t *testing.T, f flow) {
		f.run(ittybit.TaskCreateParams{
			Kind: ittybit.TaskKindWorkflow, URL: talk, WebhookURL: hook,
			Options: workflow(then(ittybit.TaskKindVideo), then(ittybit.TaskKindNSFW), then(ittybit.TaskKindSpeech)),
		})
		var progress []any
		for _, body := range f.in.bodies(t) {
			progress = append(progress, body["progress"])
		}
		assert.Equal(t, []any{66.0, 100.0}, progress)
	}, ittybittest.WithProgressWebhooks())
}

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
					when("kind", "image", say("output")), when("kind", "video", say("never")), when("media.kind", "video", say("media")),
					when("width", "320", say("width")), when("height", 180, say("height")), when("ref", "poster", say("ref")),
					when("status", "ready", say("status")), when("task.status", "completed", say("task")),
					when("duration", 63.2, say("duration")), when("title", "Talk", say("title")),
				},
			},
			then(ittybit.TaskKindNSFW,
				when("is_nsfw", true, say("results")), when("title", "found", say("results-before-media")), when("title", "Talk", say("never")),
				when("file.kind", "video", say("file")), when("width", 1920, say("its-input")), when("object", "intelligence", say("its-output")),
				when("is_nsfw", true, when("confidence", "0.9", then(ittybit.TaskKindAudio, when("kind", "audio", say("deep")))))),
		)
		file, err := f.client.Files.Create(t.Context(), ittybit.FileCreateParams{URL: talk})
		require.NoError(t, err)
		_, err = f.client.Media.Update(t.Context(), file.MediaID, ittybit.MediaUpdateParams{Title: ptr("Talk")})
		require.NoError(t, err)
		time.Sleep(time.Hour)
		assert.ElementsMatch(t, []string{
			"output", "media", "width", "height", "ref", "status", "task", "duration", "title",
			"results", "results-before-media", "file", "its-input", "its-output", "deep",
		}, f.hooks())
	})
}

func ptr[T any](value T) *T { return &value }

func TestNext_worksOnMediaNotOnWhatWasFoundOut(t *testing.T) {
	flows(t, func(t *testing.T, f flow) {
		f.automate(then(ittybit.TaskKindVideo,
			then(ittybit.TaskKindSpeech, then(ittybit.TaskKindSubtitles, then(ittybit.TaskKindThumbnails,
				ittybit.WorkflowStep{Kind: ittybit.TaskKindHTTP, URL: "https://example.com/hook", Next: []ittybit.WorkflowStep{then(ittybit.TaskKindNSFW)}})))))
		_, err := f.client.Files.Create(t.Context(), ittybit.FileCreateParams{URL: talk})
		require.NoError(t, err)
		time.Sleep(time.Hour)
		tasks := f.tasks()
		require.Equal(t, []ittybit.TaskKind{"video", "speech", "subtitles", "thumbnails", "http", "nsfw"}, f.kinds())
		for i, task := range tasks[1:] {
			assert.Equal(t, tasks[i].ID, task.ParentID)
			if task.Kind != ittybit.TaskKindHTTP {
				assert.Equal(t, tasks[0].Output.ID, task.Input.ID, task.Kind)
			}
		}
		assert.Equal(t, "https://example.com/hook", tasks[4].Input.URL)
		assert.Nil(t, tasks[4].Output)
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
		`{"kind":"workflow","file_id":"f"}`:                                                     "workflow must be an array",
		`{"kind":"workflow","file_id":"f","workflow":[]}`:                                       "at least one step",
		`{"kind":"workflow","file_id":"f","workflow":[{}]}`:                                     "needs a kind",
		`{"kind":"workflow","file_id":"f","workflow":[{"kind":"nfsw"}]}`:                        `"nfsw" is not known`,
		`{"kind":"workflow","file_id":"f","workflow":[{"kind":"workflow"}]}`:                    "workflow must be an array",
		`{"kind":"workflow","file_id":"f","workflow":[{"kind":"workflow","workflow":[{}]}]}`:    "needs a kind",
		`{"kind":"workflow","file_id":"f","workflow":[{"kind":"conditions"}]}`:                  "at least one {prop, value}",
		`{"kind":"video","file_id":"f","next":[{"kind":"webhook"}]}`:                            "webhook step needs a url",
		`{"kind":"video","file_id":"f","next":[{"kind":"webhook","url":"http://example.com"}]}`: "https",
		`{"kind":"video","file_id":"f","next":["nsfw"]}`:                                        "must be a JSON object",
	} {
		a.send("POST", "/tasks", body).refused(t, 400, words)
	}
	assert.Empty(t, a.list("/tasks"))
	a.create("/tasks", `{"kind":"video","file_id":"f","next":[{"ref":"as the SDKs allow"}]}`)
}

func TestWorkflowTask_whatItMakesTriggersAutomations(t *testing.T) {
	flows(t, func(t *testing.T, f flow) {
		f.automate(say("media"), then(ittybit.TaskKindOutline))
		_, err := f.client.Automations.Create(t.Context(), ittybit.AutomationCreateParams{
			Trigger: ittybit.OnEvent(ittybit.EventTaskCompleted), Workflow: []ittybit.WorkflowStep{say("task"), then(ittybit.TaskKindSpeech)},
		})
		require.NoError(t, err)
		task := f.run(ittybit.TaskCreateParams{Kind: ittybit.TaskKindWorkflow, URL: talk, Options: workflow(
			then(ittybit.TaskKindVideo), ittybit.WorkflowStep{Kind: ittybit.TaskKindIngest, URL: talk, Next: []ittybit.WorkflowStep{then(ittybit.TaskKindImage)}},
		)})
		assert.Equal(t, ittybit.TaskStatusCompleted, task.Status)
		assert.ElementsMatch(t, []string{"task", "task", "task", "task", "media"}, f.hooks(), "video, ingest, image and workflow; the media of ingest")
		assert.ElementsMatch(t, []ittybit.TaskKind{"workflow", "video", "ingest", "image", "outline", "speech", "speech", "speech", "speech"}, f.kinds())
		for _, task := range f.tasks() {
			if task.Kind == ittybit.TaskKindImage {
				media, err := f.client.Media.Get(t.Context(), task.Output.MediaID)
				require.NoError(t, err, "what comes after ingest goes to the new media")
				assert.Equal(t, task.Input.ID, media.Files[0].ID)
			}
		}
	})
}

func TestWorkflowTask_endsWithTheServer(t *testing.T) {
	flows(t, func(t *testing.T, f flow) {
		f.post(ittybit.TaskCreateParams{
			Kind: ittybit.TaskKindWorkflow, URL: talk, WebhookURL: hook,
			Options: workflow(then(ittybit.TaskKindVideo, then(ittybit.TaskKindNSFW)), then(ittybit.TaskKindSpeech)),
		})
		time.Sleep(30 * time.Minute) // its first child is at work
		f.srv.Close()
		time.Sleep(24 * time.Hour)
		assert.Empty(t, f.in.all())
	}, ittybittest.WithTaskDuration(time.Hour))
}

func TestConditions_onATaskThatTriggeredAreJudgedOnItFirst(t *testing.T) {
	flows(t, func(t *testing.T, f flow) {
		_, err := f.client.Automations.Create(t.Context(), ittybit.AutomationCreateParams{
			Trigger: ittybit.OnEvent(ittybit.EventTaskCompleted), Workflow: []ittybit.WorkflowStep{
				when("status", "completed", say("task")), when("status", "ready", say("never")), when("is_nsfw", false, say("results")),
				when("kind", "nsfw", say("kind")), when("type", "application/json", say("output")), when("file.type", "video/mp4", say("file")),
			},
		})
		require.NoError(t, err)
		f.run(ittybit.TaskCreateParams{Kind: ittybit.TaskKindNSFW, URL: talk})
		assert.ElementsMatch(t, []string{"task", "results", "kind", "output", "file"}, f.hooks())
	})
}

func TestHTTPTask_takesItsURLForNoMedia(t *testing.T) {
	flows(t, func(t *testing.T, f flow) {
		task := f.run(ittybit.TaskCreateParams{Kind: ittybit.TaskKindHTTP, URL: f.srv.StorageURL + "/nothing"})
		assert.Equal(t, ittybit.TaskStatusCompleted, task.Status)
		assert.Empty(t, task.Input.ID)
		assert.Empty(t, f.list("/files"))
	})
}
