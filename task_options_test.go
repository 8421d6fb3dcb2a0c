package ittybit_test

import (
	"encoding/json"
	"math"
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
		{"nsfw", ittybit.RawOptions{}, `{"kind":"nsfw","file_id":"f"}`},
		{"nsfw", ittybit.RawOptions(nil), `{"kind":"nsfw","file_id":"f"}`},
		{"nsfw", new(ittybit.RawOptions), `{"kind":"nsfw","file_id":"f"}`},
		{"nsfw", nil, `{"kind":"nsfw","file_id":"f"}`},
	} {
		client, seen := apiFake(t, apiAlways(201, apiTask))
		_, err := client.Tasks.Create(t.Context(), ittybit.TaskCreateParams{Kind: c.kind, FileID: "f", Options: c.options})
		require.NoError(t, err, c.want)
		assert.Equal(t, apiMembers(t, c.want), apiMembers(t, seen.all()[0].Body))
	}
}

func TestTaskOptions_readBackInTheTypeOfTheirKind(t *testing.T) {
	for _, c := range []struct {
		kind, options string
		want          ittybit.TaskOptions
	}{
		{"video", `{"width":1280,"height":"50%","fps":29.97}`, ittybit.VideoOptions{Width: ittybit.Pixels(1280), Height: ittybit.Percent(50), FPS: 29.97}},
		{"image", `{"width":null,"quality":80,"ref":"x"}`, ittybit.ImageOptions{Quality: 80}},
		{"audio", `{"format":"mp3"}`, ittybit.AudioOptions{Format: "mp3"}},
		{"thumbnails", `{"count":3}`, ittybit.ThumbnailsOptions{Count: 3}},
		{"speech", `{"speakers":true}`, ittybit.SpeechOptions{Speakers: true}},
		{"speech", `{}`, ittybit.SpeechOptions{}},
		{"nsfw", `{"a":1}`, ittybit.RawOptions{"a": json.RawMessage("1")}},
		{"nsfw", `{}`, nil},
		{"video", `null`, nil},
		{"video", `[]`, nil},
		{"video", `"x"`, nil},
		// What does not fit its type is kept raw, not refused.
		{"speech", `{"speakers":2}`, ittybit.RawOptions{"speakers": json.RawMessage("2")}},
		{"video", `{"quality":"high"}`, ittybit.RawOptions{"quality": json.RawMessage(`"high"`)}},
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
