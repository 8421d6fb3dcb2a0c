package ittybit_test

import (
	"encoding/json"
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
)

// apiOptionTexts are all documented options of each kind, of any API version.
var apiOptionTexts = map[ittybit.TaskKind]string{
	ittybit.TaskKindVideo: `{"width":1280,"height":"50%","format":"mp4","codec":"h265","quality":75,"bitrate":4000000,"fps":29.97,"fit":"cover","position":"top",
		"background":"#20B075","start":1.5,"end":9,"duration":7.5,"layers":[{"kind":"image","url":"https://x.example/logo.png","opacity":0.5}]}`,
	ittybit.TaskKindImage: `{"width":"12.5%","height":720,"format":"webp","quality":80,"fit":"fill","position":"center","background":"#000000","start":2,
		"layers":[{"kind":"text","text":"Hi","font":"Inter","font_size":24,"color":"#fff","position":"top"}]}`,
	ittybit.TaskKindAudio:       `{"format":"opus","quality":"very_high","bitrate":128000,"start":0.5,"end":1}`,
	ittybit.TaskKindThumbnails:  `{"count":3,"width":640,"height":"50%","format":"png"}`,
	ittybit.TaskKindSubtitles:   `{"confidence":0.8}`,
	ittybit.TaskKindChapters:    `{"confidence":0.8}`,
	ittybit.TaskKindSpeech:      `{"speakers":true}`,
	ittybit.TaskKindIngest:      `{"metadata":{"n":12345678901234567890,"deep":{"er":[null,1.50]}}}`,
	ittybit.TaskKindConditions:  `{"conditions":[{"prop":"kind","value":"video","op":"ne"}],"next":[{"kind":"speech","speakers":true,"next":[{"ref":"x"}]}]}`,
	ittybit.TaskKindWorkflow:    `{"workflow":[{"kind":"video","quality":75,"odd":null},{"kind":"workflow","workflow":[{"kind":"nsfw"}]}]}`,
	ittybit.TaskKindHTTP:        `{"method":"PUT"}`, // none are documented, of this and those below
	ittybit.TaskKindWebhook:     `{"secret":null}`,
	ittybit.TaskKindNSFW:        `{"threshold":0.5}`,
	ittybit.TaskKindDescription: `{"length":1}`,
	ittybit.TaskKindOutline:     `{"depth":2}`,
	ittybit.TaskKindPrompt:      `{"prompt":"Why?"}`,
	"hologram":                  `{"layers":[1],"fps":"many"}`,
}

// apiOddValues are what may stand where something else was expected.
var apiOddValues = []string{`null`, `0`, `-1`, `99999999999999999999`, `1e400`, `0.1000000000000000000000001`, `""`, `"odd"`, `"007%"`, `true`, `false`, `[]`, `[null]`, `["x"]`, `[{}]`, `{}`, `{"a":{"b":[1]}}`}

func TestWorkflowStep_losesNothingOfAnyKind(t *testing.T) {
	for kind, text := range apiOptionTexts {
		var options map[string]json.RawMessage
		require.NoError(t, json.Unmarshal([]byte(text), &options), kind)
		step := maps.Clone(options)
		step["kind"] = json.RawMessage(`"` + string(kind) + `"`)
		step["ref"], step["url"], step["new"] = json.RawMessage(`"r"`), json.RawMessage(`"https://x.example/"`), json.RawMessage(`{"n":12345678901234567890}`)
		requireStepRoundTrip(t, step)
		for _, name := range slices.Sorted(maps.Keys(options)) {
			odd := maps.Clone(step)
			delete(odd, name)
			requireStepRoundTrip(t, odd)
			for _, value := range apiOddValues {
				odd[name] = json.RawMessage(value)
				requireStepRoundTrip(t, odd)
			}
		}
	}
}

func requireStepRoundTrip(t *testing.T, members map[string]json.RawMessage) {
	t.Helper()
	text, err := json.Marshal(members)
	require.NoError(t, err)
	var step ittybit.WorkflowStep
	require.NoError(t, json.Unmarshal(text, &step), string(text))
	written, err := json.Marshal(step)
	require.NoError(t, err, string(text))
	require.Equal(t, apiMembers(t, string(text)), apiMembers(t, string(written)))
}

func TestTaskOptions_everyDocumentedOptionHasAField(t *testing.T) {
	for kind, text := range apiOptionTexts {
		task := apiTaskOf(t, `{"id":"task_1","kind":"`+string(kind)+`","options":`+text+`}`)
		_, raw := task.Options.(ittybit.RawOptions)
		switch kind {
		case ittybit.TaskKindHTTP, ittybit.TaskKindWebhook, ittybit.TaskKindNSFW, ittybit.TaskKindDescription, ittybit.TaskKindOutline, ittybit.TaskKindPrompt, "hologram":
			assert.True(t, raw, kind)
		default:
			assert.False(t, raw, kind)
		}
		written, err := json.Marshal(task.Options)
		require.NoError(t, err, kind)
		assert.Equal(t, apiMembers(t, text), apiMembers(t, string(written)), kind)

		client, seen := apiFake(t, apiAlways(201, apiTask))
		_, err = client.Tasks.Create(t.Context(), ittybit.TaskCreateParams{Kind: kind, FileID: "f", Options: task.Options})
		require.NoError(t, err, kind)
		want := apiMembers(t, text)
		want["kind"], want["file_id"] = string(kind), "f"
		assert.Equal(t, want, apiMembers(t, seen.all()[0].Body), kind)
	}
}
