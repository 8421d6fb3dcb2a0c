package ittybit_test

import (
	"encoding/json"
	"maps"
	"math"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
)

var apiSteps = []ittybit.WorkflowStep{{Kind: ittybit.TaskKindNSFW}}

func TestAutomationsCreate_sendsEveryField(t *testing.T) {
	client, seen := apiFake(t, apiAlways(201, `{"id":"auto_1"}`))
	_, err := client.Automations.Create(t.Context(), ittybit.AutomationCreateParams{
		Name: "N", Description: "D", Status: ittybit.AutomationStatusPaused,
		Trigger: ittybit.Trigger{Kind: "event", Event: ittybit.EventTaskCompleted, Extra: map[string]any{"conditions": []string{"x"}}},
		Workflow: []ittybit.WorkflowStep{
			{Kind: ittybit.TaskKindVideo, Ref: "small", Options: ittybit.VideoOptions{Width: ittybit.Percent(50), Quality: 75}, Extra: map[string]any{"filename": "a.mp4"}},
			ittybit.ConditionsStep([]ittybit.Condition{{Prop: "kind", Value: "video"}, {Prop: "n", Value: false, Extra: map[string]any{"op": "ne"}}},
				ittybit.WorkflowStep{Kind: ittybit.TaskKindSpeech, Next: []ittybit.WorkflowStep{{Kind: ittybit.TaskKindSubtitles}}}),
			ittybit.WebhookStep("http://localhost:8080/hook", ""),
			ittybit.HTTPStep("https://your-app.com/hook", "r"),
			{Kind: ittybit.TaskKindHTTP, Extra: map[string]any{"endpoint": "x"}}, // its fields are not documented
		},
	})
	require.NoError(t, err)
	assert.Equal(t, apiFields(t, `{
		"name":"N","description":"D","status":"paused",
		"trigger":{"kind":"event","event":"task.completed","conditions":["x"]},
		"workflow":[
			{"kind":"video","ref":"small","width":"50%","quality":75,"filename":"a.mp4"},
			{"kind":"conditions","conditions":[{"prop":"kind","value":"video"},{"prop":"n","value":false,"op":"ne"}],"next":[{"kind":"speech","next":[{"kind":"subtitles"}]}]},
			{"kind":"webhook","url":"http://localhost:8080/hook"},
			{"kind":"http","url":"https://your-app.com/hook","ref":"r"},
			{"kind":"http","endpoint":"x"}
		]}`), apiFields(t, seen.all()[0].Body))
}

func TestAutomations_refuseBadParametersBeforeAnythingIsSent(t *testing.T) {
	client, seen := apiFake(t, apiAlways(201, `{"id":"auto_1"}`))
	onMedia := ittybit.OnEvent(ittybit.EventMediaCreated)
	type step = ittybit.WorkflowStep
	for _, c := range []struct {
		param string
		steps []step
	}{
		{"Workflow", []step{}},
		{"Workflow[0].Kind", []step{{URL: "https://x.example/"}}},
		{"Workflow[1].URL", []step{{Kind: "nsfw"}, {Kind: "webhook"}}},
		{"Workflow[0].URL", []step{ittybit.WebhookStep("http://your-app.com/hook", "")}},
		{"Workflow[0].URL", []step{ittybit.WebhookStep("/hook", "")}},
		{"Workflow[0].URL", []step{ittybit.WebhookStep("https://a b", "")}},
		{"Workflow[0].URL", []step{ittybit.HTTPStep("http://your-app.com/hook", "")}},
		{"Workflow[0].URL", []step{ittybit.HTTPStep("", "r")}},
		{"Workflow[0].URL", []step{{Kind: "http", URL: "/hook", Extra: map[string]any{"method": "PUT"}}}},
		{"Workflow[0].Conditions", []step{{Kind: "conditions"}}},
		// A step has fields of its own for these.
		{"Workflow[0].Conditions", []step{{Kind: "conditions", Options: ittybit.ConditionsOptions{Conditions: []ittybit.Condition{{}}}}}},
		{`Options["conditions"]`, []step{{Kind: "conditions", Conditions: []ittybit.Condition{{}}, Options: ittybit.ConditionsOptions{Conditions: []ittybit.Condition{{}}}}}},
		{"Workflow[0].Options.Workflow[0].Kind", []step{{Kind: "workflow", Options: ittybit.WorkflowOptions{Workflow: []step{{}}}}}},
		{"Workflow[0].Options.Bitrate", []step{{Kind: "audio", Options: ittybit.AudioOptions{Bitrate: 1}}}},
		{"Workflow[0].Next[1].Next[0].URL", []step{{Kind: "video", Next: []step{{Kind: "nsfw"}, {Kind: "speech", Next: []step{{Kind: "webhook"}}}}}}},
		{"Workflow[0].Options", []step{{Kind: "nsfw", Options: ittybit.ImageOptions{}}}},
		{"Workflow[0].Options.Start", []step{{Kind: "image", Options: ittybit.ImageOptions{Start: math.NaN()}}}},
		{`Extra["ref"]`, []step{{Kind: "nsfw", Extra: map[string]any{"ref": "x"}}}},
		{`Extra["width"]`, []step{{Kind: "image", Options: ittybit.ImageOptions{}, Extra: map[string]any{"width": 1}}}},
		{`Extra["a"]`, []step{{Kind: "x", Options: ittybit.RawOptions{"a": json.RawMessage("1")}, Extra: map[string]any{"a": 1}}}},
		{`Options["next"]`, []step{{Kind: "x", Options: ittybit.RawOptions{"next": json.RawMessage("1")}}}},
		{`Extra["prop"]`, []step{ittybit.ConditionsStep([]ittybit.Condition{{Extra: map[string]any{"prop": "x"}}})}},
		{`Extra["f"]`, []step{{Kind: "video", Next: []step{{Kind: "x", Extra: map[string]any{"f": make(chan int)}}}}}},
	} {
		_, err := client.Automations.Create(t.Context(), ittybit.AutomationCreateParams{Trigger: onMedia, Workflow: c.steps})
		clientParamError(t, err, c.param)
		_, err = client.Automations.Update(t.Context(), "auto_1", ittybit.AutomationUpdateParams{Workflow: c.steps})
		clientParamError(t, err, c.param)
	}
	_, err := client.Automations.Create(t.Context(), ittybit.AutomationCreateParams{Trigger: onMedia})
	clientParamError(t, err, "Workflow")
	for param, trigger := range map[string]ittybit.Trigger{
		"Trigger": {}, "Trigger.Event": {Kind: "event"}, `Extra["event"]`: {Kind: "x", Extra: map[string]any{"event": "y"}},
	} {
		_, err := client.Automations.Create(t.Context(), ittybit.AutomationCreateParams{Trigger: trigger, Workflow: apiSteps})
		clientParamError(t, err, param)
		_, err = client.Automations.Update(t.Context(), "auto_1", ittybit.AutomationUpdateParams{Trigger: &trigger})
		clientParamError(t, err, param)
	}
	assert.Zero(t, seen.count())
}

func TestAutomationsUpdate_leavesAloneWhatIsNil(t *testing.T) {
	client, seen := apiFake(t, apiAlways(200, `{"id":"auto_1"}`))
	for want, params := range map[string]ittybit.AutomationUpdateParams{
		`{}`:                             {},
		`{"name":""}`:                    {Name: new("")},
		`{"description":"D"}`:            {Description: new("D")},
		`{"status":"paused"}`:            {Status: new(ittybit.AutomationStatusPaused)},
		`{"workflow":[{"kind":"nsfw"}]}`: {Workflow: apiSteps},
		`{"trigger":{"kind":"event","event":"media.created"}}`: {Trigger: new(ittybit.OnEvent(ittybit.EventMediaCreated))},
	} {
		_, err := client.Automations.Update(t.Context(), "auto_1", params)
		require.NoError(t, err)
		requests := seen.all()
		last := requests[len(requests)-1]
		assert.Equal(t, http.MethodPatch, last.Method)
		assert.JSONEq(t, want, last.Body)
	}
}

func TestAutomation_readsTheDocumentedResponse(t *testing.T) {
	const body = `{"id":"auto_1","object":"automation","name":"N","description":"D","trigger":{"kind":"event","event":"media.created"},
		"workflow":[{"kind":"conditions","conditions":[{"prop":"kind","value":"video"}],"next":[{"kind":"subtitle","ref":"s"}]}],
		"status":"active","created":"2025-01-01T01:23:45Z","updated":1735694626,"brand_new":true}`
	client, _ := apiFake(t, apiAlways(200, body))
	automation, err := client.Automations.Get(t.Context(), "auto_1")
	require.NoError(t, err)
	assert.Equal(t, "auto_1", automation.ID)
	assert.Equal(t, ittybit.OnEvent(ittybit.EventMediaCreated), automation.Trigger)
	assert.Equal(t, ittybit.AutomationStatusActive, automation.Status)
	require.Len(t, automation.Workflow, 1)
	assert.Equal(t, []ittybit.Condition{{Prop: "kind", Value: "video"}}, automation.Workflow[0].Conditions)
	assert.Equal(t, []ittybit.WorkflowStep{{Kind: "subtitle", Ref: "s"}}, automation.Workflow[0].Next)
	assert.Equal(t, time.Date(2025, 1, 1, 1, 23, 45, 0, time.UTC), automation.Created)
	assert.Equal(t, time.Date(2025, 1, 1, 1, 23, 46, 0, time.UTC), automation.Updated)
	assert.JSONEq(t, body, string(automation.RawJSON()))
	assert.Nil(t, new(ittybit.Automation).RawJSON())
}

func TestAutomation_readsOtherGenerationsAndUnknownValues(t *testing.T) {
	for _, body := range []string{
		`{"id":"auto_1","trigger":null,"workflow":null,"status":null,"name":null}`, // later versions have no trigger
		`{"id":"auto_1"}`,
		`{"id":"auto_1","trigger":{"event":"media.ready","conditions":[{"prop":"media.kind","value":"video"}]},"workflow":[{"kind":"brand new"}],"status":"dozing","created_at":1735689600}`,
		`{"meta":{"type":"object"},"data":{"id":"auto_1","trigger":{"kind":"schedule"},"workflow":[]},"error":null}`,
	} {
		client, _ := apiFake(t, apiAlways(200, body))
		automation, err := client.Automations.Get(t.Context(), "auto_1")
		require.NoError(t, err, body)
		assert.Equal(t, "auto_1", automation.ID)
	}
	for field, value := range map[string]string{"created": `"x"`, "updated": `"x"`, "created_at": `{}`, "updated_at": `true`} {
		client, _ := apiFake(t, apiAlways(200, `{"id":"auto_1","`+field+`":`+value+`}`))
		automation, err := client.Automations.Get(t.Context(), "auto_1")
		require.NoError(t, err)
		require.ErrorContains(t, automation.DecodeError(), `field "`+field+`"`)
	}
	for _, body := range []string{`{"id":"auto_1","trigger":"x"}`, `{"id":"auto_1","workflow":["x"]}`, `{"id":"auto_1","workflow":[null]}`} {
		client, _ := apiFake(t, apiAlways(200, body))
		automation, err := client.Automations.Get(t.Context(), "auto_1")
		require.NoError(t, err)
		require.ErrorContains(t, automation.DecodeError(), "is not a JSON object", body)
		written, err := json.Marshal(ittybit.AutomationUpdateParams{Trigger: &automation.Trigger, Workflow: automation.Workflow})
		require.NoError(t, err)
		for name, value := range apiFields(t, body) {
			if name != "id" {
				assert.Equal(t, value, apiFields(t, string(written))[name], "an update loses nothing that could not be read")
			}
		}
	}
}

func TestAutomationsDelete_doesNotCareWhatAResponseOfTheAPISays(t *testing.T) {
	for _, body := range []string{`{"message":"Automation auto_1 deleted"}`, ``, `{"message":7}`} {
		client, seen := apiFake(t, apiAlways(200, body))
		require.NoError(t, client.Automations.Delete(t.Context(), "auto_1"), body)
		assert.Equal(t, "DELETE /automations/auto_1", seen.all()[0].Method+" "+seen.all()[0].Path)
	}
}

func TestTrigger_isZeroWhenUnset(t *testing.T) {
	assert.True(t, ittybit.Trigger{}.IsZero())
	assert.False(t, ittybit.OnEvent(ittybit.EventMediaCreated).IsZero())
	assert.False(t, ittybit.Trigger{Extra: map[string]any{"a": 1}}.IsZero())
	var read ittybit.Trigger
	require.NoError(t, json.Unmarshal([]byte(`{"kind":null}`), &read))
	assert.False(t, read.IsZero(), "what was read is there")
}

func TestAutomation_decodesLikeAnyGoType(t *testing.T) {
	data := []byte(`{"id":"auto_1","trigger":{"kind":"event","event":"media.created"},"workflow":[{"kind":"nsfw"}],"brand_new":1}`)
	var automation ittybit.Automation
	require.NoError(t, json.Unmarshal(data, &automation))
	assert.Equal(t, apiSteps, automation.Workflow)
	assert.Contains(t, string(automation.RawJSON()), "brand_new")
	written, err := json.Marshal(&automation)
	require.NoError(t, err)
	assert.JSONEq(t, string(data), string(written))
}

func TestAutomation_partsThatCannotBeDecodedDoNotSpoilTheRest(t *testing.T) {
	for _, field := range []string{`"trigger":"media.created"`, `"workflow":["x"]`, `"workflow":{}`} {
		client, _ := apiFake(t, apiAlways(200, `[{`+field+`,"id":"auto_1","name":"first","status":"active","created":"2025-01-10T12:34:56Z"},{"id":"auto_2"}]`))
		page, err := client.Automations.List(t.Context(), ittybit.AutomationListParams{})
		require.NoError(t, err)
		require.ErrorContains(t, page.Items[0].DecodeError(), "ittybit: automation auto_1: cannot decode field", field)
		require.Len(t, page.Items, 2, field)
		assert.Equal(t, "first", page.Items[0].Name, field)
		assert.False(t, page.Items[0].Created.IsZero(), field)
	}
}

// apiUnexpectedValues are what may stand where something else was expected.
var apiUnexpectedValues = []string{`null`, `0`, `-1`, `99999999999999999999`, `1e400`, `0.1000000000000000000000001`, `""`, `"odd"`, `"007%"`, `true`, `false`, `[]`, `[null]`, `["x"]`, `[{}]`, `{}`, `{"a":{"b":[1]}}`}

func TestWorkflowStep_losesNothingOfAnyKind(t *testing.T) {
	for kind, text := range apiOptionTexts {
		var options map[string]json.RawMessage
		require.NoError(t, json.Unmarshal([]byte(text), &options), kind)
		step := maps.Clone(options)
		step["kind"] = json.RawMessage(`"` + string(kind) + `"`)
		step["ref"], step["url"], step["new"] = json.RawMessage(`"r"`), json.RawMessage(`"https://x.example/"`), json.RawMessage(`{"n":12345678901234567890}`)
		requireStepRoundTrip(t, step)
		for _, name := range slices.Sorted(maps.Keys(options)) {
			changed := maps.Clone(step)
			delete(changed, name)
			requireStepRoundTrip(t, changed)
			for _, value := range apiUnexpectedValues {
				changed[name] = json.RawMessage(value)
				requireStepRoundTrip(t, changed)
			}
		}
	}
}

func requireStepRoundTrip(t *testing.T, fields map[string]json.RawMessage) {
	t.Helper()
	text, err := json.Marshal(fields)
	require.NoError(t, err)
	var step ittybit.WorkflowStep
	require.NoError(t, json.Unmarshal(text, &step), string(text))
	written, err := json.Marshal(step)
	require.NoError(t, err, string(text))
	require.Equal(t, apiFields(t, string(text)), apiFields(t, string(written)))
}

// A workflow in a workflow, and so on: the inner ones are not decoded anew and written for each
// level, which would take eight times as much for twice the levels.
func TestWorkflowStep_nestedWorkflowsAreDecodedOnce(t *testing.T) {
	allocated := func(levels int) uint64 {
		text := []byte(strings.Repeat(`{"kind":"workflow","workflow":[`, levels) + `{}` + strings.Repeat(`]}`, levels))
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		require.NoError(t, new(ittybit.WorkflowStep).UnmarshalJSON(text))
		runtime.ReadMemStats(&after)
		return after.TotalAlloc - before.TotalAlloc
	}
	assert.Less(t, allocated(200), 5*allocated(100))
}

func TestWorkflowStep_optionsThatWereReplacedDoNotComeBack(t *testing.T) {
	const text = `{"kind":"video","quality":0,"width":null,"fps":30,"filename":"a"}`
	for want, change := range map[string]func(*ittybit.WorkflowStep){
		text: func(*ittybit.WorkflowStep) {},
		`{"kind":"video","quality":0,"width":null,"fps":24,"filename":"a"}`: func(s *ittybit.WorkflowStep) {
			options, ok := s.Options.(ittybit.VideoOptions)
			require.True(t, ok)
			options.FPS = 24
			s.Options = options
		},
		`{"kind":"video","fps":24,"filename":"a"}`: func(s *ittybit.WorkflowStep) { s.Options = ittybit.VideoOptions{FPS: 24} },
		`{"kind":"video","filename":"a"}`:          func(s *ittybit.WorkflowStep) { s.Options = nil },
	} {
		var read ittybit.WorkflowStep
		require.NoError(t, json.Unmarshal([]byte(text), &read))
		step := read
		change(&step)
		written, err := json.Marshal(step)
		require.NoError(t, err)
		assert.Equal(t, apiFields(t, want), apiFields(t, string(written)))
		written, err = json.Marshal(read)
		require.NoError(t, err)
		assert.Equal(t, apiFields(t, text), apiFields(t, string(written)), "the step that was copied stays as it is")
	}
}
