package ittybit_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
)

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
	_, err := clientResults(`{"urls":[],"count":3,"format":"jpg"}`).Thumbnails()
	require.ErrorIs(t, err, ittybit.ErrNoResults)

	task := clientResults(`{"url":"https://x.example/1.jpg"}`)
	task.Outputs = []*ittybit.File{nil}
	_, err = task.Thumbnails()
	require.NoError(t, err, "a task made by hand")
}
