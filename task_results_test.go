package ittybit_test

import (
	"encoding/json"
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
		// The members of a file say nothing where the task makes something else.
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
		kind         ittybit.TaskKind
		text, member string
	}{
		{"nsfw", `{"is_nsfw":"yes"}`, `field "is_nsfw"`},
		{"nsfw", `{"is_nsfw":true,"confidence":"high"}`, `field "confidence"`},
		{"nsfw", `{"is_nsfw":true,"severity":{"gore":3}}`, `field "severity": field "gore"`},
		{"nsfw", `{"is_nsfw":true,"severity":[]}`, `field "severity"`},
		{"nsfw", `{"is_nsfw":true,"categories":{}}`, `field "categories"`},
		{"nsfw", `{"is_nsfw":true,"timeline":[{"start":0},{"start":[]}]}`, `field "timeline": element 1: field "start"`},
		{"nsfw", `{"is_nsfw":true,"timeline":[null,{"start":0},null,{"start":[]}]}`, `field "timeline": element 3: field "start"`},
		{"nsfw", `{"is_nsfw":true,"confidence":"1_000"}`, `field "confidence"`},
		{"nsfw", `{"is_nsfw":true,"confidence":"0x1p-2"}`, `field "confidence"`},
		{"nsfw", `{"is_nsfw":true,"confidence":"+1"}`, `field "confidence"`},
		{"nsfw", `{"is_nsfw":true,"confidence":"Infinity"}`, `field "confidence"`},
		{"nsfw", `{"is_nsfw":true,"confidence":"\"1\""}`, `field "confidence"`},
		{"speech", `{"detected":1}`, `field "detected"`},
		{"speech", `{"text":["a"],"speakers":"two"}`, `field "speakers"`},
		{"speech", `{"text":["a"],"speakers":1e300}`, `field "speakers"`},
		{"speech", `{"text":["a",7]}`, `field "text": element 1`},
		{"speech", `{"text":[null,"a",null,7]}`, `field "text": element 3`},
		{"speech", `{"text":["a"],"speakers":"1_000"}`, `field "speakers"`},
		{"speech", `{"text":["a"],"language":["en"]}`, `field "language"`},
		{"speech", `{"timeline":{}}`, `field "timeline"`},
		{"speech", `{"timeline":["x"]}`, `field "timeline": element 0`},
		{"speech", `{"timeline":[{"speaker":"Ann"}]}`, `field "timeline": element 0: field "speaker"`},
		{"speech", `{"kind":7,"text":"a"}`, `field "kind"`},
		{"description", `{"title":["a"]}`, `field "title"`},
		{"description", `{"title":"a","tags":7}`, `field "tags"`},
		{"subtitles", `{"url":7}`, `url`},
		{"subtitles", `{"url":"https://x.example/","duration":"long"}`, `field "duration"`},
		{"chapters", `{"chapters":"x"}`, `field "chapters"`},
		{"chapters", `{"chapters":[{"index":"first"}]}`, `field "chapters": element 0: field "index"`},
		{"thumbnails", `{"urls":[{}]}`, `field "urls": element 0`},
		{"thumbnails", `{"url":"https://x.example/","count":"some"}`, `field "count"`},
		{"conditions", `{"passed":{}}`, `field "passed"`},
		{"conditions", `{"continue":"yes"}`, `field "continue"`},
		{"conditions", `[]`, `is not a JSON object`},
		{"speech", `"a"`, `is not a JSON object`},
	} {
		got, err := apiResultsOf[c.kind](clientResults(c.text))
		require.ErrorContains(t, err, "ittybit: results of task_1: ", c.text)
		require.ErrorContains(t, err, c.member, c.text)
		require.NotErrorIs(t, err, ittybit.ErrNoResults, c.text)
		assert.Nil(t, got, c.text)

		target := apiResultTargets[c.kind]()
		err = json.Unmarshal([]byte(c.text), target)
		require.ErrorContains(t, err, "ittybit: results of kind "+string(c.kind)+": ", c.text)
		require.ErrorContains(t, err, c.member, c.text)
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
