package blackbox

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/internal/apitest"
)

// apiStepTexts are steps as the API may send them, known to this SDK or not.
var apiStepTexts = map[string]string{
	"webhook":                `{"kind":"webhook","url":"https://your-app.com/hook","ref":"notify-server"}`,
	"typed options":          `{"kind":"video","format":"mp4","quality":75,"width":"50%","height":720,"fps":29.97,"start":1.5,"ref":"r"}`,
	"unknown kind":           `{"kind":"hologram","depth":3,"nested":{"a":[1,{"b":null}]}}`,
	"unknown fields":         `{"kind":"image","filename":"a.png","metadata":{"deep":{"er":[1,2,{"x":null}]}},"id":"step_1"}`,
	"no kind":                `{"ref":"x","task":"video"}`,
	"empty":                  `{}`,
	"nested next":            `{"kind":"speech","next":[{"kind":"subtitle","next":[{"kind":"webhook","url":"https://x.example/","odd":1}]},{"kind":"nsfw"}]}`,
	"conditions":             `{"kind":"conditions","conditions":[{"prop":"kind","value":"video"}],"next":[{"kind":"video"}]}`,
	"odd conditions":         `{"kind":"conditions","conditions":[{"prop":"size","value":2000000,"operator":"gt"},{"value":null},{"prop":null,"value":{"a":[1]}},{"prop":"","value":""},{"prop":7},{"value":false},{}]}`,
	"conditions no objects":  `{"kind":"conditions","conditions":["kind=video",null]}`,
	"conditions an object":   `{"kind":"conditions","conditions":{"all":[]}}`,
	"next an object":         `{"kind":"video","next":{"kind":"nsfw"}}`,
	"next with null":         `{"kind":"video","next":[null,{"kind":"nsfw"}]}`,
	"explicit nulls":         `{"kind":"video","ref":null,"url":null,"next":null,"conditions":null,"width":null,"quality":null,"format":null,"speakers":null,"extra":null}`,
	"explicit zeros":         `{"kind":"video","ref":"","url":"","quality":0,"fps":0,"start":0.0,"width":0,"format":"","zero":0,"no":false}`,
	"empty arrays":           `{"kind":"video","next":[],"conditions":[],"layers":[],"o":{}}`,
	"kind null":              `{"kind":null,"ref":"x"}`,
	"kind a number":          `{"kind":7}`,
	"ref a number":           `{"kind":"nsfw","ref":12345678901234567890}`,
	"options that don't fit": `{"kind":"video","quality":"high","width":"wide","fps":[1],"format":{"a":1}}`,
	"one that doesn't fit":   `{"kind":"speech","speakers":2}`,
	"negative options":       `{"kind":"video","start":-1,"width":-5}`,
	"huge integers":          `{"kind":"video","id":12345678901234567890123,"fps":12345678901234567890,"quality":99999999999999999999,"start":1e400,"end":9007199254740993,"width":9007199254740993}`,
	"long fractions":         `{"kind":"video","fps":29.970000000000000000001,"x":0.1000000000000000000000001}`,
	"spellings of numbers":   `{"kind":"video","fps":30.0,"start":1e1,"quality":75.0}`,
	"spellings of percent":   `{"kind":"image","width":"50.0%","height":"050%"}`,
	"names that differ":      `{"Kind":"a","KIND":"b","kind":"video","Width":1,"width":2,"Next":[]}`,
	"escapes":                `{"kind":"nsfw","ref":"<a&b>\u2028\u0000\"\\ é 😀","<&>":"\u00e9"}`,
	"image":                  `{"kind":"image","width":320,"height":null,"format":"png","quality":0,"layers":[{"kind":"text","text":"x"}]}`,
	"thumbnails":             `{"kind":"thumbnails","count":3,"width":"12.5%","ref":"t"}`,
	"audio":                  `{"kind":"audio","format":"mp3","bitrate":128000}`,
}

func TestWorkflowStep_readAndWrittenLosesNothing(t *testing.T) {
	for name, text := range apiStepTexts {
		var step ittybit.WorkflowStep
		require.NoError(t, json.Unmarshal([]byte(text), &step), name)
		written, err := json.Marshal(step)
		require.NoError(t, err, name)
		clientSameJSON(t, text, string(written), name)

		var again ittybit.WorkflowStep
		require.NoError(t, json.Unmarshal(written, &again), name)
		twice, err := json.Marshal(&again)
		require.NoError(t, err, name)
		clientSameJSON(t, text, string(twice), name+", a second time")
	}
}

// clientSameJSON compares two objects to the last digit, save for the spelling of
// numbers that a float64 holds exactly.
func clientSameJSON(t *testing.T, want, got, name string) {
	t.Helper()
	spelled := strings.NewReplacer(`"fps":30.0,"start":1e1`, `"fps":30,"start":10`)
	wanted, gotten := apitest.Fields(t, want), apitest.Fields(t, got)
	if !assert.ObjectsAreEqual(wanted, gotten) {
		assert.Equal(t, apitest.Fields(t, spelled.Replace(want)), apitest.Fields(t, spelled.Replace(got)), name)
	}
}

func TestWorkflowStep_readsOptionsIntoTheirType(t *testing.T) {
	for text, want := range map[string]ittybit.WorkflowStep{
		`{"kind":"video","quality":75,"width":"50%","fps":30.0,"filename":"a"}`: {
			Kind: "video", Options: ittybit.VideoOptions{Quality: 75, Width: ittybit.Percent(50), FPS: 30}, Extra: map[string]any{"filename": "a"},
		},
		`{"kind":"speech","speakers":2}`: {Kind: "speech", Options: ittybit.RawOptions{"speakers": json.RawMessage("2")}, Extra: map[string]any{}},
		`{"kind":"nsfw","speakers":2}`:   {Kind: "nsfw", Extra: map[string]any{"speakers": json.Number("2")}},
		`{"kind":"video"}`:               {Kind: "video"},
	} {
		var got ittybit.WorkflowStep
		require.NoError(t, json.Unmarshal([]byte(text), &got), text)
		assert.Equal(t, want, got, text)
	}
}

func TestWorkflowStep_whatIsNoObjectIsRefused(t *testing.T) {
	for _, text := range []string{`null`, `[]`, `"video"`, `7`} {
		var step ittybit.WorkflowStep
		require.Error(t, step.UnmarshalJSON([]byte(text)), text)
		var condition ittybit.Condition
		require.Error(t, condition.UnmarshalJSON([]byte(text)), text)
	}
}

func TestWorkflowStep_fieldsThatWereSetAnewWinOverWhatWasRead(t *testing.T) {
	var step ittybit.WorkflowStep
	require.NoError(t, json.Unmarshal([]byte(`{"kind":null,"ref":null,"url":"","next":null,"conditions":"odd","quality":0}`), &step))
	step.Kind, step.Ref, step.URL = "webhook", "r", "https://x.example/"
	step.Next = []ittybit.WorkflowStep{{Kind: "nsfw"}}
	step.Conditions = []ittybit.Condition{{Prop: "p", Value: 1}}
	written, err := json.Marshal(step)
	require.NoError(t, err)
	assert.JSONEq(t, `{"kind":"webhook","ref":"r","url":"https://x.example/","next":[{"kind":"nsfw"}],"conditions":[{"prop":"p","value":1}],"quality":0}`, string(written))

	require.NoError(t, json.Unmarshal([]byte(`{"kind":"video","quality":0,"width":null}`), &step))
	step.Options = ittybit.VideoOptions{Quality: 75, Width: ittybit.Pixels(640)}
	written, err = json.Marshal(step)
	require.NoError(t, err)
	assert.JSONEq(t, `{"kind":"video","quality":75,"width":640}`, string(written))
}

func TestAutomations_getChangeUpdateKeepsEverythingElse(t *testing.T) {
	var kept []string
	for name, text := range apiStepTexts {
		switch name {
		case "no kind", "empty", "kind null", "kind a number", "explicit nulls": // an update needs a kind
		case "spellings of numbers": // see clientSameJSON
		default:
			kept = append(kept, text)
		}
	}
	const trigger = `{"kind":"event","event":"brand.new","conditions":[{"prop":"kind","value":12345678901234567890}],"off":null}`
	workflow := `[` + strings.Join(kept, ",") + `,{"kind":"nsfw","ref":"old","odd":[1]}]`
	client, seen := apitest.Fake(t, apitest.Always(200, `{"id":"auto_1","trigger":`+trigger+`,"workflow":`+workflow+`}`))
	automation, err := client.Automations.Get(t.Context(), "auto_1")
	require.NoError(t, err)
	automation.Workflow[len(kept)].Ref = "new"
	_, err = client.Automations.Update(t.Context(), automation.ID, ittybit.AutomationUpdateParams{Workflow: automation.Workflow, Trigger: &automation.Trigger})
	require.NoError(t, err)
	update := seen.All()[1]
	assert.Equal(t, http.MethodPatch, update.Method)
	want := `{"trigger":` + trigger + `,"workflow":` + strings.Replace(workflow, `"ref":"old"`, `"ref":"new"`, 1) + `}`
	assert.Equal(t, apitest.Fields(t, want), apitest.Fields(t, update.Body))
}

func TestUpdate_sendsBackStepsThatWereReadAsTheyWere(t *testing.T) {
	for _, workflow := range []string{
		`[{"kind":"video","next":[{"ref":"x"},{"kind":"subtitle","ref":"y"},{}]}]`,
		`[{"kind":{"of":"tomorrow"}}]`,
		`[{"kind":"webhook","url":["https://your-app.com"]}]`,
		`[{"kind":"conditions","conditions":"kind=video","next":[{"kind":"video"}]}]`,
	} {
		response := `{"id":"auto_1","trigger":{"kind":"event","event":"media.created"},"workflow":` + workflow + `,"status":"active"}`
		client, seen := apitest.Fake(t, apitest.Always(200, response))
		automation, err := client.Automations.Get(t.Context(), "auto_1")
		require.NoError(t, err, workflow)
		_, err = client.Automations.Update(t.Context(), "auto_1", ittybit.AutomationUpdateParams{Workflow: automation.Workflow})
		require.NoError(t, err, workflow)
		assert.JSONEq(t, `{"workflow":`+workflow+`}`, seen.All()[1].Body)
	}
}

// What a list was appended to, and could not be decoded, must not be replaced in silence.
func TestAutomationsUpdate_replacesNothingThatCouldNotBeDecoded(t *testing.T) {
	more := ittybit.WebhookStep("https://your-app.com/hook", "")
	for name, workflow := range map[string]string{
		"an object": `{"steps":[{"kind":"nsfw"}]}`, "an object like a step": `{"kind":"nsfw","ref":"a"}`, "a text": `"flow_1"`, "a number": `7.50`, "false": `false`,
		"a list that is too long": `[` + strings.Repeat(`{},`, 10_000) + `{}]`,
	} {
		body := `{"id":"auto_1","name":"a","workflow":` + workflow + `}`
		client, seen := apitest.Fake(t, apitest.Always(200, body))
		automation, err := client.Automations.Get(t.Context(), "auto_1")
		require.NoError(t, err, name)
		require.ErrorContains(t, automation.DecodeError(), `field "workflow"`, name)
		automation.Name = "b"
		written, err := json.Marshal(automation)
		require.NoError(t, err, name)
		assert.Equal(t, strings.Replace(body, `"name":"a"`, `"name":"b"`, 1), string(written), name)

		_, err = client.Automations.Update(t.Context(), "auto_1", ittybit.AutomationUpdateParams{Workflow: append(automation.Workflow, more)})
		apitest.RequireParamError(t, err, "Workflow[0]")
		changed := automation.Workflow[0]
		changed.Kind = ittybit.TaskKindNSFW
		_, err = client.Automations.Update(t.Context(), "auto_1", ittybit.AutomationUpdateParams{Workflow: []ittybit.WorkflowStep{changed}})
		apitest.RequireParamError(t, err, "Workflow[0]")
		_, err = client.Automations.Create(t.Context(), ittybit.AutomationCreateParams{Trigger: ittybit.OnEvent("a"), Workflow: automation.Workflow})
		apitest.RequireParamError(t, err, "Workflow[0]")
		require.Equal(t, 1, seen.Count(), name)

		_, err = client.Automations.Update(t.Context(), "auto_1", ittybit.AutomationUpdateParams{Name: &automation.Name, Workflow: automation.Workflow})
		require.NoError(t, err, name)
		assert.JSONEq(t, `{"name":"b"}`, seen.All()[1].Body, "the workflow is left alone")
		_, err = client.Automations.Update(t.Context(), "auto_1", ittybit.AutomationUpdateParams{Workflow: []ittybit.WorkflowStep{more}})
		require.NoError(t, err, "who replaces it, replaces it")
	}
	client, seen := apitest.Fake(t, apitest.Always(200, `{"id":"auto_1"}`))
	update := func(read string, change func(*ittybit.WorkflowStep)) error {
		var step ittybit.WorkflowStep
		require.NoError(t, json.Unmarshal([]byte(read), &step))
		change(&step)
		_, err := client.Automations.Update(t.Context(), "auto_1", ittybit.AutomationUpdateParams{Workflow: []ittybit.WorkflowStep{step}})
		return err
	}
	appendNext := func(s *ittybit.WorkflowStep) { s.Next = append(s.Next, more) }
	for _, next := range []string{`{"kind":"nsfw"}`, `"step_1"`, `[{"kind":"nsfw"},7]`} {
		apitest.RequireParamError(t, update(`{"kind":"video","next":`+next+`}`, appendNext), "Workflow[0].Next")
		apitest.RequireParamError(t, update(`{"kind":"nsfw","next":[{"next":`+next+`}]}`, func(s *ittybit.WorkflowStep) { appendNext(&s.Next[0]) }), "Workflow[0].Next[0].Next")
	}
	apitest.RequireParamError(t, update(`{"kind":"conditions","conditions":{"all":[]}}`, func(s *ittybit.WorkflowStep) {
		s.Conditions = append(s.Conditions, ittybit.Condition{Prop: "kind"})
	}), "Workflow[0].Conditions")
	require.Zero(t, seen.Count())
	for _, next := range []string{`null`, `[]`, `[{"kind":"nsfw"}]`} {
		require.NoError(t, update(`{"kind":"video","next":`+next+`}`, appendNext), next)
	}
	require.NoError(t, update(`{"kind":"video","next":{"kind":"nsfw"}}`, func(s *ittybit.WorkflowStep) { s.Ref = "a" }), "the rest can be changed")
}
