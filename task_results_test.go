package ittybit_test

import (
	"encoding/json"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
)

func clientResults(results string) *ittybit.Task {
	return &ittybit.Task{ID: "task_1", Status: ittybit.TaskStatusCompleted, Results: json.RawMessage(results)}
}

func TestDecodeResults_decodesIntoAnything(t *testing.T) {
	var results struct {
		Passed   []string `json:"passed"`
		Continue bool     `json:"continue"`
	}
	require.NoError(t, clientResults(`{"passed":["a"],"continue":true}`).DecodeResults(&results))
	assert.Equal(t, []string{"a"}, results.Passed)
	assert.True(t, results.Continue)

	require.ErrorIs(t, new(ittybit.Task).DecodeResults(&results), ittybit.ErrNoResults)
	require.ErrorIs(t, clientResults(` null `).DecodeResults(&results), ittybit.ErrNoResults)
	require.Error(t, clientResults(`{}`).DecodeResults(results), "what is no pointer can't be decoded into")
}

// apiResultsOf asks a task for its results of a kind.
var apiResultsOf = map[ittybit.TaskKind]func(*ittybit.Task) (any, error){
	ittybit.TaskKindNSFW:        func(t *ittybit.Task) (any, error) { return t.NSFW() },
	ittybit.TaskKindSpeech:      func(t *ittybit.Task) (any, error) { return t.Speech() },
	ittybit.TaskKindDescription: func(t *ittybit.Task) (any, error) { return t.Description() },
	ittybit.TaskKindSubtitles:   func(t *ittybit.Task) (any, error) { return t.Subtitles() },
	ittybit.TaskKindChapters:    func(t *ittybit.Task) (any, error) { return t.Chapters() },
	ittybit.TaskKindThumbnails:  func(t *ittybit.Task) (any, error) { return t.Thumbnails() },
	ittybit.TaskKindConditions:  func(t *ittybit.Task) (any, error) { return t.Conditions() },
}

// apiResultTargets make something to decode the JSON behind a URL into.
var apiResultTargets = map[ittybit.TaskKind]func() any{
	ittybit.TaskKindNSFW:        func() any { return new(ittybit.NSFWResults) },
	ittybit.TaskKindSpeech:      func() any { return new(ittybit.SpeechResults) },
	ittybit.TaskKindDescription: func() any { return new(ittybit.DescriptionResults) },
	ittybit.TaskKindSubtitles:   func() any { return new(ittybit.SubtitlesResults) },
	ittybit.TaskKindChapters:    func() any { return new(ittybit.ChaptersResults) },
	ittybit.TaskKindThumbnails:  func() any { return new(ittybit.ThumbnailsResults) },
	ittybit.TaskKindConditions:  func() any { return new(ittybit.ConditionsResults) },
}

// apiResultTexts are results as Ittybit documents them, one for each kind.
var apiResultTexts = map[ittybit.TaskKind]string{
	ittybit.TaskKindNSFW:        `{"is_nsfw":true,"confidence":0.97}`,
	ittybit.TaskKindSpeech:      apiSpeechFile,
	ittybit.TaskKindDescription: apiDescriptionFile,
	ittybit.TaskKindSubtitles:   apiSubtitlesFile,
	ittybit.TaskKindChapters:    apiChaptersFile,
	ittybit.TaskKindThumbnails:  apiThumbnailsFile,
	ittybit.TaskKindConditions:  `{"passed":[{"prop":"kind","value":"video"}],"failed":[],"continue":true}`,
}

func TestResults_areFoundWhereverAGenerationPutsThem(t *testing.T) {
	for kind, text := range apiResultTexts {
		want := apiResultTargets[kind]()
		require.NoError(t, json.Unmarshal([]byte(text), want), kind)
		for _, body := range []string{
			`"results":` + text,
			`"results":null,"output":` + text,
			`"results":{},"output":` + text,
			`"output":{"id":"file_1","object":"intelligence"},"outputs":[{},` + text + `]`,
			`"output":"https://x.example/a","outputs":["https://x.example/a",` + text + `]`,
		} {
			got, err := apiResultsOf[kind](apiTaskOf(t, `{"id":"task_1","kind":"`+string(kind)+`",`+body+`}`))
			require.NoError(t, err, body)
			assert.Equal(t, want, got, body)
		}
		got, err := apiResultsOf[kind](clientResults(text))
		require.NoError(t, err, "a task made by hand")
		assert.Equal(t, want, got)
	}
}

func TestResults_thatAreNotThereAreErrNoResults(t *testing.T) {
	for kind, results := range apiResultsOf {
		for _, body := range []string{
			``, `,"results":null`, `,"results":{}`, `,"output":null,"outputs":null`, `,"output":"https://x.example/a","outputs":["https://x.example/a"]`,
			`,"results":{"confidence":0.9,"language":"en"}`, `,"output":{"id":"file_1","object":"intelligence","type":"application/json"}`, `,"outputs":[]`,
			`,"results":{"is_nsfw":null,"detected":null,"text":null,"title":null,"tags":null,"url":null,"urls":null,"chapters":null,"passed":null,"failed":null,"continue":null}`,
		} {
			got, err := results(apiTaskOf(t, `{"id":"task_1","kind":"`+string(kind)+`","status":"completed"`+body+`}`))
			require.ErrorIs(t, err, ittybit.ErrNoResults, "%s %s", kind, body)
			require.ErrorContains(t, err, "task_1")
			require.ErrorContains(t, err, "may be in its output file")
			assert.Nil(t, got)
		}
		for _, text := range []string{`null`, `{}`, `{"new":1}`} {
			require.ErrorIs(t, json.Unmarshal([]byte(text), apiResultTargets[kind]()), ittybit.ErrNoResults, "%s %s", kind, text)
		}
	}
}

func TestResults_ofAnotherKindAreErrNoResults(t *testing.T) {
	for kind, results := range apiResultsOf {
		for other, text := range apiResultTexts {
			if other == kind {
				continue
			}
			_, err := results(apiTaskOf(t, `{"id":"task_1","kind":"`+string(other)+`","results":`+text+`}`))
			require.ErrorIs(t, err, ittybit.ErrNoResults, "%s of %s", kind, other)
		}
		// The fields of a file say nothing where the task makes something else.
		for _, other := range []string{"video", "image", "audio", "ingest"} {
			_, err := results(apiTaskOf(t, `{"id":"task_1","kind":"`+other+`","output":{"id":"file_1","kind":"`+other+`","url":"https://x.example/a"}}`))
			require.ErrorIs(t, err, ittybit.ErrNoResults, "%s of %s", kind, other)
		}
	}
	// An image may be a thumbnail, but nothing else.
	image := `{"id":"task_1","kind":"brand_new","output":{"id":"file_1","kind":"image","url":"https://x.example/a"}}`
	_, err := apiTaskOf(t, image).Thumbnails()
	require.NoError(t, err)
	_, err = apiTaskOf(t, image).Subtitles()
	require.ErrorIs(t, err, ittybit.ErrNoResults)
	// Without the task's kind, that of the file tells: speech is no verdict.
	_, err = clientResults(apiSpeechFile).NSFW()
	require.ErrorIs(t, err, ittybit.ErrNoResults)
}

func TestResults_ofUnknownKindsAreReadByTheirShape(t *testing.T) {
	for kind, text := range apiResultTexts {
		if kind != ittybit.TaskKindNSFW && kind != ittybit.TaskKindConditions {
			continue // the others say of what kind they are
		}
		_, err := apiResultsOf[kind](apiTaskOf(t, `{"id":"task_1","kind":"brand_new","results":`+text+`}`))
		require.NoError(t, err, kind)
	}
}

func TestResults_membersOfTheWrongShapeAreNamed(t *testing.T) {
	for _, c := range []struct {
		kind        ittybit.TaskKind
		text, field string
	}{
		{"nsfw", `{"is_nsfw":"yes"}`, `field "is_nsfw"`},
		{"nsfw", `{"is_nsfw":true,"confidence":"high"}`, `field "confidence"`},
		{"nsfw", `{"is_nsfw":true,"severity":{"gore":3}}`, `field "severity.gore"`},
		{"nsfw", `{"is_nsfw":true,"severity":[]}`, `field "severity"`},
		{"nsfw", `{"is_nsfw":true,"categories":{}}`, `field "categories"`},
		{"nsfw", `{"is_nsfw":true,"timeline":[{"start":0},{"start":[]}]}`, `field "timeline[1].start"`},
		{"nsfw", `{"is_nsfw":true,"timeline":[null,{"start":0},null,{"start":[]}]}`, `field "timeline[3].start"`},
		{"nsfw", `{"is_nsfw":true,"confidence":"1_000"}`, `field "confidence"`},
		{"nsfw", `{"is_nsfw":true,"confidence":"0x1p-2"}`, `field "confidence"`},
		{"nsfw", `{"is_nsfw":true,"confidence":"+1"}`, `field "confidence"`},
		{"nsfw", `{"is_nsfw":true,"confidence":"Infinity"}`, `field "confidence"`},
		{"nsfw", `{"is_nsfw":true,"confidence":"\"1\""}`, `field "confidence"`},
		{"speech", `{"detected":1}`, `field "detected"`},
		{"speech", `{"text":["a"],"speakers":"two"}`, `field "speakers"`},
		{"speech", `{"text":["a"],"speakers":1e300}`, `field "speakers"`},
		{"speech", `{"text":["a",7]}`, `field "text[1]"`},
		{"speech", `{"text":[null,"a",null,7]}`, `field "text[3]"`},
		{"speech", `{"text":["a"],"speakers":"1_000"}`, `field "speakers"`},
		{"speech", `{"text":["a"],"language":["en"]}`, `field "language"`},
		{"speech", `{"timeline":{}}`, `field "timeline"`},
		{"speech", `{"timeline":["x"]}`, `field "timeline[0]"`},
		{"speech", `{"timeline":[{"speaker":"Ann"}]}`, `field "timeline[0].speaker"`},
		{"speech", `{"kind":7,"text":"a"}`, `field "kind"`},
		{"description", `{"title":["a"]}`, `field "title"`},
		{"description", `{"title":"a","tags":7}`, `field "tags"`},
		{"subtitles", `{"url":7}`, `url`},
		{"subtitles", `{"url":"https://x.example/","duration":"long"}`, `field "duration"`},
		{"chapters", `{"chapters":"x"}`, `field "chapters"`},
		{"chapters", `{"chapters":[{"index":"first"}]}`, `field "chapters[0].index"`},
		{"thumbnails", `{"urls":[{}]}`, `field "urls[0]"`},
		{"thumbnails", `{"url":"https://x.example/","count":"some"}`, `field "count"`},
		{"conditions", `{"passed":{}}`, `field "passed"`},
		{"conditions", `{"continue":"yes"}`, `field "continue"`},
		{"conditions", `[]`, `is not a JSON object`},
		{"speech", `"a"`, `is not a JSON object`},
	} {
		got, err := apiResultsOf[c.kind](clientResults(c.text))
		require.ErrorContains(t, err, "ittybit: results of task_1: ", c.text)
		require.ErrorContains(t, err, c.field, c.text)
		require.NotErrorIs(t, err, ittybit.ErrNoResults, c.text)
		assert.Nil(t, got, c.text)

		target := apiResultTargets[c.kind]()
		err = json.Unmarshal([]byte(c.text), target)
		require.ErrorContains(t, err, "ittybit: results of kind "+string(c.kind)+": ", c.text)
		require.ErrorContains(t, err, c.field, c.text)
		assert.Equal(t, apiResultTargets[c.kind](), target, "nothing is half read")
	}
	_, err := apiTaskOf(t, `{"id":"task_1","kind":"chapters","output":{"chapters":7}}`).Chapters()
	require.ErrorContains(t, err, `ittybit: output of task_1: field "chapters"`)
}

func TestConditions_readsWhetherTheNextStepsRun(t *testing.T) {
	for text, want := range map[string]ittybit.ConditionsResults{
		`{"passed":[{"prop":"kind"}],"failed":["a",null],"continue":true}`: {
			Passed: []json.RawMessage{json.RawMessage(`{"prop":"kind"}`)}, Failed: []json.RawMessage{json.RawMessage(`"a"`), json.RawMessage(`null`)}, Continue: true,
		},
		`{"continue":false}`:             {},
		`{"continue":true}`:              {Continue: true},
		`{"passed":[]}`:                  {Passed: []json.RawMessage{}, Continue: true},
		`{"failed":[],"continue":null}`:  {Failed: []json.RawMessage{}, Continue: true},
		`{"failed":[7],"continue":null}`: {Failed: []json.RawMessage{json.RawMessage(`7`)}},
	} {
		got, err := clientResults(text).Conditions()
		require.NoError(t, err, text)
		assert.Equal(t, &want, got, text)
	}
}

func TestResults_areWrittenSoThatTheyReadTheSame(t *testing.T) {
	for kind, text := range apiResultTexts {
		read := apiResultTargets[kind]()
		require.NoError(t, json.Unmarshal([]byte(text), read), kind)
		written, err := json.Marshal(read)
		require.NoError(t, err, kind)
		again := apiResultTargets[kind]()
		require.NoError(t, json.Unmarshal(written, again), kind)
		twice, err := json.Marshal(again)
		require.NoError(t, err, kind)
		assert.JSONEq(t, string(written), string(twice), kind)
	}
}

// apiSpeechFile is what the file of a speech task holds (API version 2025-08-20).
const apiSpeechFile = `{"id":"file_1","object":"intelligence","kind":"speech","detected":true,"speakers":2,"language":"en","text":["Hello.","Good morning."],"confidence":0.72,
	"timeline":[{"index":0,"start":12.0,"end":14.5,"detected":true,"speaker":0,"text":"Hello.","confidence":0.89}],"created":"2025-01-01T01:23:45Z","updated":"2025-01-01T01:23:45Z"}`

func TestSpeech_readsTheFilesShape(t *testing.T) {
	got, err := clientResults(apiSpeechFile).Speech()
	require.NoError(t, err)
	assert.Equal(t, &ittybit.SpeechResults{
		Detected: new(true), Speakers: new(2), Language: "en", Languages: []string{"en"}, Text: []string{"Hello.", "Good morning."}, Confidence: new(0.72),
		Timeline: []ittybit.SpeechSegment{{Start: 12, End: 14.5, Speaker: new(0), Text: "Hello.", Detected: new(true), Confidence: new(0.89)}},
	}, got)
}

func TestSpeech_readsTheLaterShape(t *testing.T) {
	got, err := clientResults(`{"kind":"speech","text":["Hello."],"languages":["en","fr"],"speakers":1,"timeline":[{"start":1,"end":2.5,"speaker":0,"text":"Hello."}]}`).Speech()
	require.NoError(t, err)
	assert.Equal(t, &ittybit.SpeechResults{
		Speakers: new(1), Language: "en", Languages: []string{"en", "fr"}, Text: []string{"Hello."},
		Timeline: []ittybit.SpeechSegment{{Start: 1, End: 2.5, Speaker: new(0), Text: "Hello."}},
	}, got)
}

func TestSpeech_readsWhatLooksABitDifferent(t *testing.T) {
	got, err := clientResults(`{"detected":null,"speakers":"2","language":null,"languages":"en","text":"Hello.","confidence":"0.72","timeline":[null,{"start":"1.5","speaker":"1","text":null}],"new":{}}`).Speech()
	require.NoError(t, err)
	assert.Equal(t, &ittybit.SpeechResults{
		Speakers: new(2), Language: "en", Languages: []string{"en"}, Text: []string{"Hello."}, Confidence: new(0.72),
		Timeline: []ittybit.SpeechSegment{{Start: 1.5, Speaker: new(1)}},
	}, got)
}

func TestSpeech_silenceIsAResult(t *testing.T) {
	for text, want := range map[string]ittybit.SpeechResults{
		`{"detected":false}`:        {Detected: new(false)},
		`{"text":""}`:               {Text: []string{}},
		`{"text":[],"speakers":0}`:  {Text: []string{}, Speakers: new(0)},
		`{"timeline":[],"text":[]}`: {Text: []string{}, Timeline: []ittybit.SpeechSegment{}},
	} {
		got, err := clientResults(text).Speech()
		require.NoError(t, err, text)
		assert.Equal(t, &want, got, text)
	}
}

func TestSpeech_refusesANumberThatHasNoRoom(t *testing.T) {
	got, err := clientResults(`{"text":["a"],"speakers":4294967298}`).Speech() // the last 32 bits of it are 2
	if strconv.IntSize == 32 {
		require.ErrorContains(t, err, `field "speakers": is out of range`)
		assert.Nil(t, got)
		return
	}
	require.NoError(t, err)
	assert.Equal(t, "4294967298", strconv.Itoa(*got.Speakers))
}

// apiDescriptionFile is what the file of a description task holds (API version
// 2025-08-20).
const apiDescriptionFile = `{"id":"file_1","object":"intelligence","kind":"description","title":"A cat","description":"A cat sleeps.","tags":["cat","sleep"],"language":"en","confidence":0.94,
	"created":"2025-01-01T01:23:45Z","updated":"2025-01-01T01:23:45Z"}`

func TestDescription_readsTheFilesShape(t *testing.T) {
	got, err := clientResults(apiDescriptionFile).Description()
	require.NoError(t, err)
	assert.Equal(t, &ittybit.DescriptionResults{
		Title: "A cat", Description: "A cat sleeps.", Tags: []string{"cat", "sleep"}, Language: "en", Languages: []string{"en"}, Confidence: new(0.94),
	}, got)
}

func TestDescription_readsTheWebhooksShape(t *testing.T) {
	got, err := clientResults(`{"title":"A cat","description":"A cat sleeps.","tags":"cat"}`).Description()
	require.NoError(t, err)
	assert.Equal(t, &ittybit.DescriptionResults{Title: "A cat", Description: "A cat sleeps.", Tags: []string{"cat"}}, got)

	got, err = clientResults(`{"description":"A cat sleeps.","title":null,"confidence":"0.5"}`).Description()
	require.NoError(t, err)
	assert.Equal(t, &ittybit.DescriptionResults{Description: "A cat sleeps.", Confidence: new(0.5)}, got)
}

func TestDescription_readsTheLaterShapeFromTheTaskItself(t *testing.T) {
	got, err := apiTaskOf(t, `{"id":"task_1","object":"task","kind":"summary","status":"succeeded","title":"A cat","description":"A cat sleeps.","tags":["cat"],"languages":["en","fr"],
		"inputs":[{"id":"file_1","kind":"video"}],"outputs":[]}`).Description()
	require.NoError(t, err)
	assert.Equal(t, &ittybit.DescriptionResults{
		Title: "A cat", Description: "A cat sleeps.", Tags: []string{"cat"}, Language: "en", Languages: []string{"en", "fr"},
	}, got)
}

func TestDescription_isNotTheOneThatTheTaskWasCreatedWith(t *testing.T) {
	for _, body := range []string{
		`{"id":"task_1","kind":"description","status":"completed","description":"for the start page"}`,
		`{"id":"task_1","kind":"summary","status":"succeeded","title":null,"tags":null,"description":"for the start page"}`,
		`{"id":"task_1","kind":"brand_new","title":"a task of another kind","description":"for the start page"}`,
		`{"id":"task_1","kind":"video","title":"a task of another kind"}`,
	} {
		got, err := apiTaskOf(t, body).Description()
		require.ErrorIs(t, err, ittybit.ErrNoResults, body)
		assert.Nil(t, got)
	}
	// What is in the results goes before what is in the task.
	got, err := apiTaskOf(t, `{"id":"task_1","kind":"description","title":"the task","results":{"title":"the result"}}`).Description()
	require.NoError(t, err)
	assert.Equal(t, "the result", got.Title)
}

// What the files of tasks that make tracks look like (API version 2025-08-20).
const (
	apiSubtitlesFile = `{"id":"file_1","object":"track","kind":"subtitles","language":"en","format":"vtt","filename":"video-subtitles.vtt","duration":63.2,"filesize":2048,
		"url":"https://you.ittybit.net/file_1.vtt","metadata":{},"created":"2025-01-01T01:23:45Z","updated":"2025-01-01T01:23:45Z"}`
	apiChaptersFile = `{"id":"file_1","object":"track","kind":"chapters","language":"en","format":"json","filename":"video-chapters.json","duration":600.0,"filesize":1450,
		"url":"https://you.ittybit.net/file_1.json","chapters":[{"index":0,"start":0.0,"end":60.2,"title":"Introduction"},{"index":1,"start":60.2,"end":600,"title":"The rest"}],
		"created":"2025-01-01T01:23:45Z","updated":"2025-01-01T01:23:45Z"}`
	apiThumbnailsFile = `{"id":"file_1","object":"track","kind":"thumbnails","format":"jpg","count":2,"width":640,"height":360,
		"urls":["https://you.ittybit.net/frame-1.jpg","https://you.ittybit.net/frame-2.jpg"],"created":"2025-01-01T01:23:45Z","updated":"2025-01-01T01:23:45Z"}`
)

func TestSubtitles_readsTheFilesShape(t *testing.T) {
	got, err := clientResults(apiSubtitlesFile).Subtitles()
	require.NoError(t, err)
	assert.Equal(t, "file_1", got.ID)
	assert.Equal(t, "https://you.ittybit.net/file_1.vtt", got.URL)
	assert.Equal(t, []string{"vtt", "en", "video-subtitles.vtt"}, []string{got.Format, got.Language, got.Filename})
	assert.Equal(t, ittybit.FileObjectTrack, got.Object)
	assert.InDelta(t, 63.2, got.Duration, 0)
	assert.Equal(t, int64(2048), got.Filesize)
	assert.False(t, got.Created.IsZero())
	assert.JSONEq(t, apiSubtitlesFile, string(got.RawJSON()))
}

func TestSubtitles_readsTheWebhooksShape(t *testing.T) {
	got, err := clientResults(`{"url":"https://you.ittybit.net/a.srt","format":"srt","duration":"63.2","language":null,"new":1}`).Subtitles()
	require.NoError(t, err)
	assert.Equal(t, []string{"https://you.ittybit.net/a.srt", "srt", ""}, []string{got.URL, got.Format, got.Language})
	assert.InDelta(t, 63.2, got.Duration, 0)

	_, err = clientResults(`{"url":"","format":"srt"}`).Subtitles()
	require.ErrorIs(t, err, ittybit.ErrNoResults)
}

func TestSubtitles_haveTheirOwnCopyOfTheJSON(t *testing.T) {
	data := []byte(apiSubtitlesFile)
	var results ittybit.SubtitlesResults
	require.NoError(t, json.Unmarshal(data, &results))
	clear(data)
	assert.JSONEq(t, apiSubtitlesFile, string(results.RawJSON()))
}

func TestChapters_readsTheFilesShape(t *testing.T) {
	got, err := clientResults(apiChaptersFile).Chapters()
	require.NoError(t, err)
	assert.Equal(t, []string{"https://you.ittybit.net/file_1.json", "json", "en"}, []string{got.URL, got.Format, got.Language})
	assert.Equal(t, []ittybit.Chapter{
		{Index: new(0), End: 60.2, Title: "Introduction"}, {Index: new(1), Start: 60.2, End: 600, Title: "The rest"},
	}, got.Chapters)
	assert.JSONEq(t, apiChaptersFile, string(got.RawJSON()))
}

func TestChapters_readsChaptersOrAFileAlone(t *testing.T) {
	got, err := clientResults(`{"chapters":[{"start":"1.5","end":null,"title":null},null]}`).Chapters()
	require.NoError(t, err)
	assert.Equal(t, []ittybit.Chapter{{Start: 1.5}}, got.Chapters)
	assert.Empty(t, got.URL)

	got, err = clientResults(`{"url":"https://you.ittybit.net/a.vtt","type":"text/vtt","chapters":null}`).Chapters()
	require.NoError(t, err)
	assert.Nil(t, got.Chapters)
	assert.Equal(t, "text/vtt", got.Type)

	got, err = clientResults(`{"chapters":[]}`).Chapters()
	require.NoError(t, err)
	assert.Empty(t, got.Chapters)
}

func TestThumbnails_readsTheFilesShape(t *testing.T) {
	got, err := clientResults(apiThumbnailsFile).Thumbnails()
	require.NoError(t, err)
	assert.Equal(t, 2, got.Count)
	assert.Equal(t, []string{"https://you.ittybit.net/frame-1.jpg", "https://you.ittybit.net/frame-2.jpg"}, got.URLs)
	assert.Equal(t, []int{640, 360}, []int{got.Width, got.Height})
	assert.Equal(t, "jpg", got.Format)
	assert.Equal(t, "https://you.ittybit.net/frame-1.jpg", got.URL, "the first")
	assert.JSONEq(t, apiThumbnailsFile, string(got.RawJSON()))
}

func TestThumbnails_readsTheLaterShape(t *testing.T) {
	got, err := apiTaskOf(t, `{"id":"task_1","kind":"thumbnails","status":"succeeded","outputs":[
		{"kind":"source","type":"image/jpeg","width":640,"height":360,"url":"https://x.example/1.jpg"},{"kind":"image","url":"https://x.example/2.jpg"},{"kind":"source"}]}`).Thumbnails()
	require.NoError(t, err)
	assert.Equal(t, []string{"https://x.example/1.jpg", "https://x.example/2.jpg"}, got.URLs)
	assert.Equal(t, 2, got.Count)
	assert.Equal(t, 640, got.Width)
	assert.Equal(t, "https://x.example/1.jpg", got.URL)
}

func TestThumbnails_readsWhatLooksABitDifferent(t *testing.T) {
	for text, want := range map[string]ittybit.ThumbnailsResults{
		`{"url":"https://x.example/a.vtt","type":"text/vtt"}`:             {Count: 1, URLs: []string{"https://x.example/a.vtt"}},
		`{"urls":"https://x.example/1.jpg"}`:                              {Count: 1, URLs: []string{"https://x.example/1.jpg"}},
		`{"urls":["https://x.example/1.jpg",null],"count":"3"}`:           {Count: 3, URLs: []string{"https://x.example/1.jpg"}},
		`{"urls":[],"url":"https://x.example/sprite.jpg","count":20}`:     {Count: 20, URLs: []string{"https://x.example/sprite.jpg"}},
		`{"urls":["","https://x.example/1.jpg"]}`:                         {Count: 1, URLs: []string{"https://x.example/1.jpg"}},
		`{"urls":null,"url":"https://x.example/1.jpg","count":null}`:      {Count: 1, URLs: []string{"https://x.example/1.jpg"}},
		`{"urls":["https://x.example/1.jpg"],"url":"https://x.example/"}`: {Count: 1, URLs: []string{"https://x.example/1.jpg"}},
	} {
		got, err := clientResults(text).Thumbnails()
		require.NoError(t, err, text)
		assert.Equal(t, want.Count, got.Count, text)
		assert.Equal(t, want.URLs, got.URLs, text)
		assert.NotEmpty(t, got.URL, text)
		var decoded ittybit.ThumbnailsResults
		require.NoError(t, json.Unmarshal([]byte(text), &decoded), text)
		assert.Equal(t, *got, decoded, text)
	}
	for _, text := range []string{`{"urls":[],"count":3,"format":"jpg"}`, `{"urls":[""]}`} {
		_, err := clientResults(text).Thumbnails()
		require.ErrorIs(t, err, ittybit.ErrNoResults, text)
	}

	task := clientResults(`{"url":"https://x.example/1.jpg"}`)
	task.Outputs = []*ittybit.File{nil}
	_, err := task.Thumbnails()
	require.NoError(t, err, "a task made by hand")
}
