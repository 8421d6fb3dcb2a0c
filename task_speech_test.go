package ittybit_test

import (
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
)

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
