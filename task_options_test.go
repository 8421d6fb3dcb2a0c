package ittybit_test

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
)

func TestTaskOptions_standBesideTheKind(t *testing.T) {
	for _, c := range []struct {
		kind    ittybit.TaskKind
		options ittybit.TaskOptions
		want    string
	}{
		{"video", ittybit.VideoOptions{
			Width: ittybit.Pixels(1280), Height: ittybit.Percent(50), Format: "mp4", Quality: 75, FPS: 29.97, Fit: "cover", Position: "top",
			Background: "#20B075", Start: 1.5, End: 9, Duration: 7.5,
		}, `{"kind":"video","file_id":"f","width":1280,"height":"50%","format":"mp4","quality":75,"fps":29.97,"fit":"cover","position":"top","background":"#20B075","start":1.5,"end":9,"duration":7.5}`},
		{"image", &ittybit.ImageOptions{Width: ittybit.Percent(12.5), Height: ittybit.Pixels(1), Format: "png", Quality: 80, Fit: "fill", Position: "center", Background: "#000", Start: 2},
			`{"kind":"image","file_id":"f","width":"12.5%","height":1,"format":"png","quality":80,"fit":"fill","position":"center","background":"#000","start":2}`},
		{"video", ittybit.VideoOptions{Codec: "av1", Bitrate: 300_000, FPS: 60, Layers: []ittybit.Layer{{Kind: "image", URL: "https://x.example/l.png", Extra: map[string]any{"opacity": 0.5}}}},
			`{"kind":"video","file_id":"f","codec":"av1","bitrate":300000,"fps":60,"layers":[{"kind":"image","url":"https://x.example/l.png","opacity":0.5}]}`},
		{"image", ittybit.ImageOptions{Layers: []ittybit.Layer{{Kind: "text", Text: "Hi", Font: "Inter", FontSize: 12.5, Color: "#fff", Position: "top"}}},
			`{"kind":"image","file_id":"f","layers":[{"kind":"text","text":"Hi","font":"Inter","font_size":12.5,"color":"#fff","position":"top"}]}`},
		{"audio", ittybit.AudioOptions{Format: "opus", Quality: "very_low", Bitrate: 320_000, Start: 0.5, End: 1.5},
			`{"kind":"audio","file_id":"f","format":"opus","quality":"very_low","bitrate":320000,"start":0.5,"end":1.5}`},
		{"thumbnails", ittybit.ThumbnailsOptions{Format: "png"}, `{"kind":"thumbnails","file_id":"f","format":"png"}`},
		{"subtitles", ittybit.SubtitlesOptions{Confidence: 0.8}, `{"kind":"subtitles","file_id":"f","confidence":0.8}`},
		{"chapters", &ittybit.ChaptersOptions{Confidence: 0.8}, `{"kind":"chapters","file_id":"f","confidence":0.8}`},
		{"ingest", ittybit.IngestOptions{Metadata: map[string]any{"n": json.Number("12345678901234567890")}}, `{"kind":"ingest","file_id":"f","metadata":{"n":12345678901234567890}}`},
		{"conditions", ittybit.ConditionsOptions{Conditions: []ittybit.Condition{{Prop: "kind", Value: "video"}}, Next: []ittybit.WorkflowStep{{Kind: "nsfw"}}},
			`{"kind":"conditions","file_id":"f","conditions":[{"prop":"kind","value":"video"}],"next":[{"kind":"nsfw"}]}`},
		{"workflow", ittybit.WorkflowOptions{Workflow: []ittybit.WorkflowStep{{Kind: "video", Options: ittybit.VideoOptions{Quality: 75}}, ittybit.HTTPStep("https://x.example/", "r")}},
			`{"kind":"workflow","file_id":"f","workflow":[{"kind":"video","quality":75},{"kind":"http","url":"https://x.example/","ref":"r"}]}`},
		{"audio", ittybit.AudioOptions{Format: "mp3"}, `{"kind":"audio","file_id":"f","format":"mp3"}`},
		{"thumbnails", ittybit.ThumbnailsOptions{Count: 3, Width: ittybit.Pixels(320), Height: ittybit.Pixels(180)}, `{"kind":"thumbnails","file_id":"f","count":3,"width":320,"height":180}`},
		{"speech", ittybit.SpeechOptions{Speakers: true}, `{"kind":"speech","file_id":"f","speakers":true}`},
		{"hologram", ittybit.RawOptions{"depth": json.RawMessage("12345678901234567890"), "a": json.RawMessage("null")}, `{"kind":"hologram","file_id":"f","depth":12345678901234567890,"a":null}`},
		{"hologram", &ittybit.RawOptions{"depth": json.RawMessage("1")}, `{"kind":"hologram","file_id":"f","depth":1}`},
		// A zero field is not sent, and zero options are none.
		{"video", ittybit.VideoOptions{}, `{"kind":"video","file_id":"f"}`},
		{"image", ittybit.ImageOptions{}, `{"kind":"image","file_id":"f"}`},
		{"audio", ittybit.AudioOptions{}, `{"kind":"audio","file_id":"f"}`},
		{"thumbnails", ittybit.ThumbnailsOptions{}, `{"kind":"thumbnails","file_id":"f"}`},
		{"speech", ittybit.SpeechOptions{}, `{"kind":"speech","file_id":"f"}`},
		{"subtitles", ittybit.SubtitlesOptions{}, `{"kind":"subtitles","file_id":"f"}`},
		{"chapters", ittybit.ChaptersOptions{}, `{"kind":"chapters","file_id":"f"}`},
		{"ingest", ittybit.IngestOptions{}, `{"kind":"ingest","file_id":"f"}`},
		{"nsfw", ittybit.RawOptions{}, `{"kind":"nsfw","file_id":"f"}`},
		{"nsfw", ittybit.RawOptions(nil), `{"kind":"nsfw","file_id":"f"}`},
		{"nsfw", new(ittybit.RawOptions), `{"kind":"nsfw","file_id":"f"}`},
		{"nsfw", nil, `{"kind":"nsfw","file_id":"f"}`},
	} {
		client, seen := apiFake(t, apiAlways(201, apiTask))
		_, err := client.Tasks.Create(t.Context(), ittybit.TaskCreateParams{Kind: c.kind, FileID: "f", Options: c.options})
		require.NoError(t, err, c.want)
		assert.Equal(t, apiFields(t, c.want), apiFields(t, seen.all()[0].Body))
	}
}

func TestTaskOptions_readBackInTheTypeOfTheirKind(t *testing.T) {
	for _, c := range []struct {
		kind, options string
		want          ittybit.TaskOptions
	}{
		{"video", `{"width":1280,"height":"50%","fps":29.97}`, ittybit.VideoOptions{Width: ittybit.Pixels(1280), Height: ittybit.Percent(50), FPS: 29.97}},
		{"image", `{"width":null,"quality":80}`, ittybit.ImageOptions{Quality: 80}},
		{"audio", `{"format":"mp3"}`, ittybit.AudioOptions{Format: "mp3"}},
		{"thumbnails", `{"count":3}`, ittybit.ThumbnailsOptions{Count: 3}},
		{"speech", `{"speakers":true}`, ittybit.SpeechOptions{Speakers: true}},
		{"speech", `{}`, ittybit.SpeechOptions{}},
		{"subtitles", `{"confidence":0.5}`, ittybit.SubtitlesOptions{Confidence: 0.5}},
		{"chapters", `{}`, ittybit.ChaptersOptions{}},
		{"ingest", `{"metadata":{"n":12345678901234567890}}`, ittybit.IngestOptions{Metadata: map[string]any{"n": json.Number("12345678901234567890")}}},
		{"conditions", `{"conditions":[{"prop":"width","value":1920}],"next":[{"kind":"nsfw"}]}`, ittybit.ConditionsOptions{
			Conditions: []ittybit.Condition{{Prop: "width", Value: json.Number("1920")}}, Next: []ittybit.WorkflowStep{{Kind: "nsfw"}},
		}},
		{"workflow", `{"workflow":[{"kind":"audio","bitrate":64000}]}`, ittybit.WorkflowOptions{
			Workflow: []ittybit.WorkflowStep{{Kind: "audio", Options: ittybit.AudioOptions{Bitrate: 64_000}, Extra: map[string]any{}}},
		}},
		{"image", `{"layers":[{"kind":"text","text":"x","shadow":{"blur":2}}]}`, ittybit.ImageOptions{Layers: []ittybit.Layer{
			{Kind: "text", Text: "x", Extra: map[string]any{"shadow": map[string]any{"blur": json.Number("2")}}},
		}}},
		{"video", `{"fps":120,"bitrate":1}`, ittybit.VideoOptions{FPS: 120, Bitrate: 1}}, // the ranges are for what is sent
		{"nsfw", `{"a":1}`, ittybit.RawOptions{"a": json.RawMessage("1")}},
		{"nsfw", `{}`, nil},
		{"video", `null`, nil},
		{"video", `[]`, nil},
		{"video", `"x"`, nil},
		// What does not fit its type is kept raw, not refused.
		{"speech", `{"speakers":2}`, ittybit.RawOptions{"speakers": json.RawMessage("2")}},
		{"video", `{"quality":"high"}`, ittybit.RawOptions{"quality": json.RawMessage(`"high"`)}},
		{"workflow", `{"workflow":["x"]}`, ittybit.RawOptions{"workflow": json.RawMessage(`["x"]`)}},
		{"conditions", `{"conditions":"x"}`, ittybit.RawOptions{"conditions": json.RawMessage(`"x"`)}},
		{"ingest", `{"metadata":[]}`, ittybit.RawOptions{"metadata": json.RawMessage(`[]`)}},
		{"video", `{"layers":{}}`, ittybit.RawOptions{"layers": json.RawMessage(`{}`)}},
		{"image", `{"width":"wide"}`, ittybit.RawOptions{"width": json.RawMessage(`"wide"`)}},
	} {
		task := apiTaskOf(t, `{"id":"task_1","kind":"`+c.kind+`","options":`+c.options+`}`)
		assert.Equal(t, c.want, task.Options, "%s %s", c.kind, c.options)
	}
}

func TestDimension_isPixelsOrPercent(t *testing.T) {
	var unset ittybit.Dimension
	pixels, percent := ittybit.Pixels(320), ittybit.Percent(12.5)

	n, ok := pixels.Pixels()
	assert.True(t, ok)
	assert.Equal(t, 320, n)
	_, ok = pixels.Percent()
	assert.False(t, ok)

	p, ok := percent.Percent()
	assert.True(t, ok)
	assert.InDelta(t, 12.5, p, 0)
	_, ok = percent.Pixels()
	assert.False(t, ok)

	_, ok = unset.Pixels()
	assert.False(t, ok)
	_, ok = unset.Percent()
	assert.False(t, ok)

	assert.True(t, unset.IsZero())
	assert.False(t, percent.IsZero())
	assert.False(t, ittybit.Percent(0).IsZero(), "0% is set")
	assert.Equal(t, []string{"", "320", "12.5%", "0%"}, []string{unset.String(), pixels.String(), percent.String(), ittybit.Percent(0).String()})
	assert.Equal(t, ittybit.Pixels(320), pixels)
	assert.NotEqual(t, ittybit.Percent(320), pixels)
}

func TestDimension_roundTripsThroughJSON(t *testing.T) {
	for _, text := range []string{`320`, `1`, `"50%"`, `"12.5%"`, `"0%"`, `8192`} {
		var d ittybit.Dimension
		require.NoError(t, json.Unmarshal([]byte(text), &d), text)
		written, err := json.Marshal(d)
		require.NoError(t, err)
		assert.Equal(t, text, string(written))
	}
	d := ittybit.Pixels(7)
	require.NoError(t, json.Unmarshal([]byte(`null`), &d))
	assert.Equal(t, ittybit.Pixels(7), d, "null leaves it alone, as in encoding/json")
	for _, text := range []string{`"320"`, `"wide"`, `"%"`, `"-5%"`, `"NaN%"`, `"Inf%"`, `1.5`, `true`, `{}`, `[]`, `99999999999999999999`} {
		require.Error(t, json.Unmarshal([]byte(text), &d), text)
	}
}

func TestTaskOptions_notNegativeCatchesWhatIsNoNumber(t *testing.T) {
	client, seen := apiFake(t, apiAlways(201, apiTask))
	for _, value := range []float64{-0.5, math.NaN(), math.Inf(1), math.Inf(-1)} {
		for param, options := range map[string]ittybit.VideoOptions{
			"Options.FPS": {FPS: value}, "Options.Start": {Start: value}, "Options.End": {End: value}, "Options.Duration": {Duration: value},
			"Options.Width": {Width: ittybit.Percent(value)}, "Options.Height": {Height: ittybit.Percent(value)},
		} {
			_, err := client.Tasks.Create(t.Context(), ittybit.TaskCreateParams{Kind: "video", FileID: "f", Options: options})
			clientParamError(t, err, param)
		}
	}
	_, err := client.Tasks.Create(t.Context(), ittybit.TaskCreateParams{Kind: "thumbnails", FileID: "f", Options: ittybit.ThumbnailsOptions{Width: ittybit.Pixels(-1)}})
	clientParamError(t, err, "Options.Width")
	assert.Zero(t, seen.count())
}

func TestTaskOptions_areCheckedAgainstWhatIsDocumented(t *testing.T) {
	client, seen := apiFake(t, apiAlways(201, apiTask))
	nsfw := ittybit.WorkflowStep{Kind: "nsfw"}
	isVideo := []ittybit.Condition{{Prop: "kind", Value: "video"}}
	for _, c := range []struct {
		param   string
		kind    ittybit.TaskKind
		options ittybit.TaskOptions
	}{
		{"Options.FPS", "video", ittybit.VideoOptions{FPS: 0.99}},
		{"Options.FPS", "video", ittybit.VideoOptions{FPS: 60.01}},
		{"Options.Bitrate", "video", ittybit.VideoOptions{Bitrate: 299_999}},
		{"Options.Bitrate", "video", &ittybit.VideoOptions{Bitrate: 60_000_001}},
		{"Options.Layers[1].FontSize", "video", ittybit.VideoOptions{Layers: []ittybit.Layer{{}, {FontSize: math.NaN()}}}},
		{"Options.Layers[0].FontSize", "image", ittybit.ImageOptions{Layers: []ittybit.Layer{{FontSize: -1}}}},
		{`Extra["url"]`, "image", ittybit.ImageOptions{Layers: []ittybit.Layer{{Extra: map[string]any{"url": "x"}}}}},
		{"Options.Bitrate", "audio", ittybit.AudioOptions{Bitrate: 31_999}},
		{"Options.Bitrate", "audio", ittybit.AudioOptions{Bitrate: 320_001}},
		{"Options.Bitrate", "audio", ittybit.AudioOptions{Bitrate: -1}},
		{"Options.Start", "audio", ittybit.AudioOptions{Start: -1}},
		{"Options.End", "audio", ittybit.AudioOptions{End: math.Inf(1)}},
		{"Options.Confidence", "subtitles", ittybit.SubtitlesOptions{Confidence: -0.1}},
		{"Options.Confidence", "chapters", ittybit.ChaptersOptions{Confidence: math.NaN()}},
		{"Options", "conditions", nil},
		{"Options", "conditions", ittybit.RawOptions{"next": json.RawMessage("[]")}},
		{"Options.Conditions", "conditions", ittybit.ConditionsOptions{Next: []ittybit.WorkflowStep{nsfw}}},
		{"Options.Next[0].URL", "conditions", ittybit.ConditionsOptions{Conditions: isVideo, Next: []ittybit.WorkflowStep{ittybit.WebhookStep("", "")}}},
		{"Options.Workflow", "workflow", ittybit.WorkflowOptions{}},
		{"Options.Workflow[1].Kind", "workflow", ittybit.WorkflowOptions{Workflow: []ittybit.WorkflowStep{nsfw, {}}}},
		{"Options.Workflow[0].Options.FPS", "workflow", ittybit.WorkflowOptions{Workflow: []ittybit.WorkflowStep{{Kind: "video", Options: ittybit.VideoOptions{FPS: 61}}}}},
		// Those of another kind, and nil pointers.
		{"Options", "nsfw", ittybit.AudioOptions{}},
		{"Options", "nsfw", ittybit.ThumbnailsOptions{}},
		{"Options", "chapters", ittybit.SubtitlesOptions{}},
		{"Options", "subtitles", ittybit.ChaptersOptions{}},
		{"Options", "video", ittybit.IngestOptions{}},
		{"Options", "workflow", ittybit.ConditionsOptions{Conditions: isVideo}},
		{"Options", "conditions", ittybit.WorkflowOptions{Workflow: []ittybit.WorkflowStep{nsfw}}},
		{"Options", "subtitles", (*ittybit.SubtitlesOptions)(nil)},
		{"Options", "chapters", (*ittybit.ChaptersOptions)(nil)},
		{"Options", "ingest", (*ittybit.IngestOptions)(nil)},
		{"Options", "conditions", (*ittybit.ConditionsOptions)(nil)},
		{"Options", "conditions", (*ittybit.RawOptions)(nil)},
		{"Options", "workflow", (*ittybit.WorkflowOptions)(nil)},
	} {
		_, err := client.Tasks.Create(t.Context(), ittybit.TaskCreateParams{Kind: c.kind, FileID: "f", Options: c.options})
		clientParamError(t, err, c.param)
	}
	for name, params := range map[string]ittybit.TaskCreateParams{
		"codec":      {Kind: "video", Options: ittybit.VideoOptions{}},
		"confidence": {Kind: "subtitles", Options: ittybit.SubtitlesOptions{}},
		"metadata":   {Kind: "ingest", Options: ittybit.IngestOptions{}},
		"workflow":   {Kind: "workflow", Options: ittybit.WorkflowOptions{Workflow: []ittybit.WorkflowStep{nsfw}}},
		"next":       {Kind: "conditions", Options: &ittybit.ConditionsOptions{Conditions: isVideo}},
	} {
		params.FileID, params.Extra = "f", map[string]any{name: "x"}
		_, err := client.Tasks.Create(t.Context(), params)
		clientParamError(t, err, `Extra["`+name+`"]`)
	}
	assert.Zero(t, seen.count())
}

// Every number of every options type is checked, also of types and fields to come.
func TestTaskOptions_everyNumberIsCheckedAtItsBorders(t *testing.T) {
	borders := map[string][2]float64{ // the create-job page; elsewhere any number from 0 on
		"video.FPS": {1, 60}, "video.Bitrate": {300_000, 60_000_000}, "audio.Bitrate": {32_000, 320_000},
	}
	client, seen := apiFake(t, apiAlways(201, apiTask))
	type in = ittybit.TaskOptions
	numbers := 0
	for kind, zero := range map[ittybit.TaskKind]in{
		"video": ittybit.VideoOptions{}, "image": ittybit.ImageOptions{}, "audio": ittybit.AudioOptions{}, "thumbnails": ittybit.ThumbnailsOptions{},
		"subtitles": ittybit.SubtitlesOptions{}, "chapters": ittybit.ChaptersOptions{}, "speech": ittybit.SpeechOptions{}, "ingest": ittybit.IngestOptions{},
	} {
		create := func(field reflect.StructField, value any) (inTask, inStep error) {
			options := reflect.New(reflect.TypeOf(zero)).Elem()
			options.FieldByIndex(field.Index).Set(reflect.ValueOf(value).Convert(field.Type))
			typed := options.Interface().(in)
			_, inTask = client.Tasks.Create(t.Context(), ittybit.TaskCreateParams{Kind: kind, FileID: "f", Options: typed})
			_, inStep = client.Automations.Update(t.Context(), "auto_1", ittybit.AutomationUpdateParams{Workflow: []ittybit.WorkflowStep{{Kind: kind, Options: typed}}})
			return inTask, inStep
		}
		for _, field := range reflect.VisibleFields(reflect.TypeOf(zero)) {
			if !field.IsExported() {
				continue
			}
			var good, bad []any
			switch field.Type.Kind() {
			case reflect.Int, reflect.Float64:
				good, bad = []any{0, 1}, []any{-1}
				if ends, ok := borders[string(kind)+"."+field.Name]; ok {
					good, bad = []any{0, ends[0], ends[1]}, []any{-1, ends[0] - 1, ends[1] + 1}
					if ends[0] == 1 {
						bad[1] = 0.999
					}
				}
			case reflect.Struct:
				good, bad = []any{ittybit.Pixels(0), ittybit.Pixels(1), ittybit.Percent(0), ittybit.Percent(100)}, []any{ittybit.Pixels(-1), ittybit.Percent(-0.1)}
			default:
				continue
			}
			numbers++
			for _, value := range good {
				inTask, inStep := create(field, value)
				assert.NoError(t, inTask, "%s.%s: %v", kind, field.Name, value)
				assert.NoError(t, inStep, "%s.%s: %v", kind, field.Name, value)
			}
			sent := seen.count()
			for _, value := range bad {
				inTask, inStep := create(field, value)
				clientParamError(t, inTask, "Options."+field.Name)
				clientParamError(t, inStep, "Workflow[0].Options."+field.Name)
			}
			assert.Equal(t, sent, seen.count(), "%s.%s", kind, field.Name)
		}
	}
	assert.Equal(t, 20, numbers)
}

func TestTaskOptions_whatIsNotCheckedIsSent(t *testing.T) {
	client, seen := apiFake(t, apiAlways(201, apiTask))
	for _, params := range []ittybit.TaskCreateParams{
		{Kind: "video", Options: ittybit.RawOptions{"fps": json.RawMessage("120"), "bitrate": json.RawMessage("1")}},
		{Kind: "video", Options: ittybit.VideoOptions{Codec: "h266", FPS: 1, Bitrate: 60_000_000}},
		{Kind: "audio", Options: ittybit.AudioOptions{Quality: "best", Bitrate: 32_000}},
		{Kind: "conditions", Options: ittybit.RawOptions{"conditions": json.RawMessage(`"kind=video"`)}},
		{Kind: "conditions", Extra: map[string]any{"conditions": []any{}}},
		{Kind: "workflow"},
	} {
		params.FileID = "f"
		_, err := client.Tasks.Create(t.Context(), params)
		assert.NoError(t, err, params)
	}
	assert.Equal(t, 6, seen.count())
}

// What a task echoes beside the options that have a field is not lost on the way to a new task.
func TestTaskOptions_goIntoANewTaskWhole(t *testing.T) {
	for kind, tt := range map[ittybit.TaskKind]struct {
		options string
		typed   ittybit.TaskOptions
	}{
		ittybit.TaskKindImage:      {`{"height":"40%","quality":61,"ref":"poster","folder":"a/b","filename":"p.png","description":"d","crop":{"x":[1,2.50]}}`, ittybit.ImageOptions{}},
		ittybit.TaskKindVideo:      {`{"fps":24,"ref":"hd","layers":[{"kind":"text","text":"x","blur":3}],"loudness":-14.0}`, ittybit.VideoOptions{}},
		ittybit.TaskKindAudio:      {`{"format":"aac","folder":"sounds","channels":1}`, ittybit.AudioOptions{}},
		ittybit.TaskKindThumbnails: {`{"count":7,"ref":"thumbs","sprite":true}`, ittybit.ThumbnailsOptions{}},
		ittybit.TaskKindSubtitles:  {`{"confidence":0.5,"ref":"subs","language":"de"}`, ittybit.SubtitlesOptions{}},
		ittybit.TaskKindChapters:   {`{"filename":"c.json","most":12345678901234567890}`, ittybit.ChaptersOptions{}},
		ittybit.TaskKindSpeech:     {`{"speakers":true,"ref":"words","vocabulary":["a","b"]}`, ittybit.SpeechOptions{}},
		ittybit.TaskKindIngest:     {`{"metadata":{"n":1.0},"folder":"in","checksum":"abc"}`, ittybit.IngestOptions{}},
		ittybit.TaskKindConditions: {`{"conditions":[{"prop":"width","value":1}],"ref":"wide","mode":"all"}`, ittybit.ConditionsOptions{}},
		ittybit.TaskKindWorkflow:   {`{"workflow":[{"kind":"image","ref":"x"}],"ref":"flow","strict":false}`, ittybit.WorkflowOptions{}},
		"hologram":                 {`{"depth":3,"ref":"holo","folder":"h"}`, ittybit.RawOptions{}},
	} {
		task := apiTaskOf(t, fmt.Sprintf(`{"id":"task_1","kind":%q,"options":%s}`, kind, tt.options))
		assert.IsType(t, tt.typed, task.Options, kind)
		alone, err := json.Marshal(task.Options)
		require.NoError(t, err, kind)
		assert.JSONEq(t, tt.options, string(alone), kind)
		again, err := json.Marshal(ittybit.TaskCreateParams{Kind: task.Kind, FileID: "file_9", Options: task.Options})
		require.NoError(t, err, kind)
		want := apiFields(t, tt.options)
		want["kind"], want["file_id"] = string(kind), "file_9"
		assert.Equal(t, want, apiFields(t, string(again)), kind)
	}
}

func TestTaskOptions_ofAnotherTaskYieldToTheParameters(t *testing.T) {
	task := apiTaskOf(t, `{"id":"task_1","kind":"image","options":{"width":320,"ref":"thumb","folder":"old","crop":"smart","url":"https://example.com/old","kind":"video"}}`)
	options, ok := task.Options.(ittybit.ImageOptions)
	require.True(t, ok)
	options.Width = ittybit.Percent(50)
	written, err := json.Marshal(ittybit.TaskCreateParams{
		Kind: ittybit.TaskKindImage, FileID: "file_2", Folder: "new", Options: options, Extra: map[string]any{"crop": "centre"},
	})
	require.NoError(t, err)
	assert.JSONEq(t, `{"kind":"image","file_id":"file_2","width":"50%","ref":"thumb","folder":"new","crop":"centre"}`, string(written))

	task.Options = options
	whole, err := json.Marshal(task)
	require.NoError(t, err)
	assert.Contains(t, string(whole), `"ref":"thumb"`)
	assert.Contains(t, string(whole), `"width":"50%"`)

	raw := apiTaskOf(t, `{"id":"task_1","kind":"hologram","options":{"ref":"a"}}`)
	_, err = json.Marshal(ittybit.TaskCreateParams{Kind: "hologram", FileID: "file_2", Ref: "b", Options: raw.Options})
	require.ErrorContains(t, err, `Options["ref"]`, "it can be deleted there")
}

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
		assert.Equal(t, apiFields(t, text), apiFields(t, string(written)), kind)

		client, seen := apiFake(t, apiAlways(201, apiTask))
		_, err = client.Tasks.Create(t.Context(), ittybit.TaskCreateParams{Kind: kind, FileID: "f", Options: task.Options})
		require.NoError(t, err, kind)
		want := apiFields(t, text)
		want["kind"], want["file_id"] = string(kind), "f"
		assert.Equal(t, want, apiFields(t, seen.all()[0].Body), kind)
	}
}

func TestLayer_readAndWrittenLosesNothing(t *testing.T) {
	for _, text := range []string{
		`{"kind":"image","url":"https://x.example/logo.png","position":"bottom right"}`,
		`{"kind":"text","text":"Hi <b> & all","font":"Inter","font_size":24,"color":"#ffffff","position":"top"}`,
		`{"kind":"text","font_size":"2em","text":{"en":"Hi"},"color":null,"position":"","font":0,"url":[]}`,
		`{"kind":"sticker","scale":0.1000000000000000000000001,"id":12345678901234567890,"nested":{"a":[null,{"b":1}]}}`,
		`{"font_size":0}`,
		`{}`,
	} {
		var layer ittybit.Layer
		require.NoError(t, json.Unmarshal([]byte(text), &layer), text)
		written, err := json.Marshal(layer)
		require.NoError(t, err, text)
		assert.Equal(t, apiFields(t, text), apiFields(t, string(written)))
	}
	for _, text := range []string{`null`, `[]`, `"x"`, `1`} {
		require.Error(t, new(ittybit.Layer).UnmarshalJSON([]byte(text)), text)
	}
}

func TestTaskOptions_ofATaskLoseNothingInANewOne(t *testing.T) {
	for kind, text := range map[ittybit.TaskKind]string{
		"video":      `{"quality":0,"fps":30,"format":"","Width":1,"width":640}`,
		"audio":      `{"start":9007199254740993}`,
		"speech":     `{"speakers":false,"SPEAKERS":true}`,
		"image":      `{"layers":[{"font_size":12.000000000000000000001}]}`,
		"thumbnails": `{"width":"12.500000000000000000001%"}`,
	} {
		task := apiTaskOf(t, `{"id":"task_1","kind":"`+string(kind)+`","options":`+text+`}`)
		sent, err := json.Marshal(ittybit.TaskCreateParams{Kind: kind, FileID: "f", Options: task.Options})
		require.NoError(t, err)
		want := apiFields(t, text)
		want["kind"], want["file_id"] = string(kind), "f"
		assert.Equal(t, want, apiFields(t, string(sent)))
	}
}
