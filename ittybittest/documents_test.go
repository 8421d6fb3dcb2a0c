package ittybittest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"image"
	_ "image/jpeg"
	_ "image/png"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/ittybittest"
)

// local is a server with sockets, and the SDK's client of it.
func local(t *testing.T) (*ittybittest.Server, *ittybit.Client) {
	t.Helper()
	srv := ittybittest.NewServer()
	t.Cleanup(srv.Close)
	client, err := srv.Client()
	require.NoError(t, err)
	return srv, client
}

// done creates a task, and waits for its end.
func done(t *testing.T, client *ittybit.Client, params ittybit.TaskCreateParams) (*ittybit.Task, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	return client.Tasks.CreateAndWait(ctx, params, ittybit.WithPollInterval(5*time.Millisecond))
}

func fetch(t *testing.T, address string) (status int, kind string, body []byte) {
	t.Helper()
	resp, err := http.Get(address)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err = io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, resp.Header.Get("Content-Type"), body
}

// served runs a task, and gives it with what its output's url serves.
func served(t *testing.T, client *ittybit.Client, kind ittybit.TaskKind, extra map[string]any) (*ittybit.Task, []byte) {
	t.Helper()
	task, err := done(t, client, ittybit.TaskCreateParams{Kind: kind, URL: "https://example.com/a/talk.mp4", Extra: extra})
	require.NoError(t, err)
	require.NotNil(t, task.Output, kind)
	status, contentType, body := fetch(t, task.Output.URL)
	assert.Equal(t, http.StatusOK, status)
	assert.Equal(t, task.Output.Type, contentType)
	assert.Equal(t, task.Output.Filesize, int64(len(body)))
	assert.EqualValues(t, "ready", task.Output.Status)
	return task, body
}

func TestOutputs_ofIntelligenceServeTheirResults(t *testing.T) {
	srv, client := local(t)
	srv.SetResults("outline", map[string]any{"points": []string{"a"}})
	for _, kind := range []ittybit.TaskKind{"nsfw", "speech", "description", "outline", "prompt"} {
		task, body := served(t, client, kind, nil)
		assert.Equal(t, ittybit.FileObjectIntelligence, task.Output.Object)
		assert.Equal(t, "application/json", task.Output.Type)
		assert.EqualValues(t, kind, task.Output.Kind)
		assert.Equal(t, "video-"+string(kind)+".json", task.Output.Filename)
		doc := decode(t, string(body))
		assert.Equal(t, []any{task.Output.ID, "intelligence", string(kind)}, []any{doc["id"], doc["object"], doc["kind"]})
		if task.Results == nil {
			assert.Equal(t, ittybit.TaskKindPrompt, kind, "the one kind here without results")
			continue
		}
		for name, value := range decode(t, string(task.Results)) {
			if name == "is_nsfw" {
				name = "detected"
			}
			assert.Equal(t, value, doc[name], name)
		}
	}
}

func TestOutputs_canBeTheOnlyPlaceOfResults(t *testing.T) {
	srv, client := local(t)
	for _, kind := range []ittybit.TaskKind{"nsfw", "speech", "description", "chapters"} {
		srv.SetResults(kind, json.RawMessage("null"))
	}
	task, body := served(t, client, "nsfw", nil)
	_, err := task.NSFW()
	require.ErrorIs(t, err, ittybit.ErrNoResults)
	var nsfw ittybit.NSFWResults
	require.NoError(t, json.Unmarshal(body, &nsfw))
	assert.False(t, nsfw.IsNSFW)
	assert.InDelta(t, 0.97, *nsfw.Confidence, 0)

	_, body = served(t, client, "speech", nil)
	var speech ittybit.SpeechResults
	require.NoError(t, json.Unmarshal(body, &speech))
	assert.Equal(t, []string{"A made-up sentence."}, speech.Text)

	task, err = done(t, client, ittybit.TaskCreateParams{Kind: "description", URL: talk, Description: "that of the task"})
	require.NoError(t, err)
	_, _, body = fetch(t, task.Output.URL)
	_, err = task.Description()
	require.ErrorIs(t, err, ittybit.ErrNoResults, "the task's description is no result")
	var description ittybit.DescriptionResults
	require.NoError(t, json.Unmarshal(body, &description))
	assert.Equal(t, "A made-up description.", description.Description)

	_, body = served(t, client, "chapters", nil)
	var chapters ittybit.ChaptersResults
	require.NoError(t, json.Unmarshal(body, &chapters))
	assert.Len(t, chapters.Chapters, 1)

	srv.SetResults("nsfw", map[string]any{"is_nsfw": true})
	_, body = served(t, client, "nsfw", nil)
	require.NoError(t, json.Unmarshal(body, &nsfw))
	assert.True(t, nsfw.IsNSFW, "chosen results are in the file too")
}

func TestOutputs_ofTracksAreServed(t *testing.T) {
	srv, client := local(t)
	task, body := served(t, client, "subtitles", nil)
	assert.Equal(t, ittybit.FileObjectTrack, task.Output.Object)
	assert.Equal(t, []string{"text/vtt", "vtt", "en", "video-subtitles.vtt"}, []string{task.Output.Type, task.Output.Format, task.Output.Language, task.Output.Filename})
	assert.InDelta(t, 63.2, task.Output.Duration, 0)
	assert.Equal(t, "WEBVTT\n\n1\n00:00:00.000 --> 00:00:02.500\nA made-up sentence.\n", string(body))
	subtitles, err := task.Subtitles()
	require.NoError(t, err)
	assert.Equal(t, task.Output.URL, subtitles.URL)

	task, body = served(t, client, "subtitles", map[string]any{"format": "srt"})
	assert.Equal(t, "text/srt", task.Output.Type)
	assert.Equal(t, "1\n00:00:00,000 --> 00:00:02,500\nA made-up sentence.\n", string(body))
	subtitles, err = task.Subtitles()
	require.NoError(t, err)
	assert.Equal(t, "srt", subtitles.Format)

	srv.SetResults("chapters", map[string]any{"chapters": []any{map[string]any{"start": 1.001, "end": 3723.004, "title": "A"}}})
	task, body = served(t, client, "chapters", nil)
	assert.Equal(t, "application/json", task.Output.Type)
	doc := decode(t, string(body))
	assert.Equal(t, []any{"json", "en", "video-chapters.json", task.Output.URL}, []any{doc["format"], doc["language"], doc["filename"], doc["url"]})
	assert.Len(t, doc["chapters"], 1)
	task, body = served(t, client, "chapters", map[string]any{"format": "vtt"})
	assert.Equal(t, "text/vtt", task.Output.Type)
	assert.Equal(t, "WEBVTT\n\n1\n00:00:00.000 --> 00:01:03.200\nA made-up chapter\n", string(body), "an embedded file, whatever was chosen")

	for size, options := range map[image.Point]map[string]any{
		{X: 640, Y: 360}:   nil,
		{X: 192, Y: 108}:   {"width": "10%", "format": "png"},
		{X: 100, Y: 200}:   {"width": 100, "height": 200, "format": "jpeg"},
		{X: 4096, Y: 2304}: {"width": 4096},
	} {
		task, body = served(t, client, "thumbnails", options)
		decoded, format, err := image.Decode(bytes.NewReader(body))
		require.NoError(t, err)
		assert.Equal(t, "image/"+format, task.Output.Type)
		assert.Equal(t, image.Pt(640, 360), decoded.Bounds().Size(), "an embedded file, whatever was asked for")
		assert.Equal(t, size, image.Pt(task.Output.Width, task.Output.Height))
		thumbnails, err := task.Thumbnails()
		require.NoError(t, err)
		assert.Equal(t, []string{task.Output.URL}, thumbnails.URLs)
	}
}

func TestOutputs_haveTheSizeThatWasAskedFor(t *testing.T) {
	_, client := local(t)
	for _, c := range []struct {
		options ittybit.VideoOptions
		want    image.Point
	}{
		{ittybit.VideoOptions{}, image.Pt(1920, 1080)},
		{ittybit.VideoOptions{Width: ittybit.Pixels(640)}, image.Pt(640, 360)},
		{ittybit.VideoOptions{Height: ittybit.Percent(50)}, image.Pt(960, 540)},
		{ittybit.VideoOptions{Width: ittybit.Pixels(300), Height: ittybit.Pixels(300)}, image.Pt(300, 300)},
	} {
		options, want := c.options, c.want
		options.Format = "webm"
		task, err := done(t, client, ittybit.TaskCreateParams{Kind: "video", URL: "https://example.com/a.mp4", Options: options})
		require.NoError(t, err)
		assert.Equal(t, want, image.Pt(task.Output.Width, task.Output.Height))
		assert.Equal(t, "video/webm", task.Output.Type)
		smaller, err := done(t, client, ittybit.TaskCreateParams{Kind: "image", FileID: task.Output.ID, Options: ittybit.ImageOptions{Width: ittybit.Percent(50)}})
		require.NoError(t, err)
		assert.Equal(t, want.Div(2), image.Pt(smaller.Output.Width, smaller.Output.Height), "an output is measured by its input")
	}
}

func TestTask_knowsTheFilesOfTheStorage(t *testing.T) {
	srv, client := local(t)
	uploaded, err := client.Files.Upload(t.Context(), ittybit.UploadParams{
		Domain: srv.StorageURL, Folder: "films", Filename: "beach.mp3", Body: strings.NewReader("waves"),
	})
	require.NoError(t, err)
	sign := func(expiry time.Time, method ittybit.SignedURLMethod) string {
		signed, err := ittybit.SignURL(srv.APIKey, ittybit.SignURLParams{Domain: srv.StorageURL, Path: "films/beach.mp3", Expiry: expiry, Method: method})
		require.NoError(t, err)
		return signed.URL
	}
	soon := time.Now().Add(time.Hour)
	for _, address := range []string{uploaded.URL, sign(soon, ittybit.SignedURLMethodGet)} {
		created, err := client.Tasks.Create(t.Context(), ittybit.TaskCreateParams{Kind: "nsfw", URL: address})
		require.NoError(t, err)
		assert.Equal(t, uploaded.File.ID, created.Input.ID, "known at once")
		task, err := done(t, client, ittybit.TaskCreateParams{Kind: "speech", URL: address})
		require.NoError(t, err)
		assert.Equal(t, uploaded.File.ID, task.Input.ID)
		assert.Equal(t, int64(5), task.Input.Filesize)
		assert.EqualValues(t, "audio", task.Input.Kind)
		assert.Equal(t, uploaded.File.MediaID, task.Output.MediaID)
		assert.Equal(t, "beach-speech.json", task.Output.Filename)

		again, err := done(t, client, ittybit.TaskCreateParams{Kind: "ingest", URL: address})
		require.NoError(t, err)
		assert.Equal(t, uploaded.File.ID, again.Input.ID)
		assert.Equal(t, []any{"audio", int64(5)}, []any{string(again.Output.Kind), again.Output.Filesize})
		assert.NotEqual(t, uploaded.File.MediaID, again.Output.MediaID, "ingest makes media of its own")
	}

	audio, err := done(t, client, ittybit.TaskCreateParams{Kind: "audio", FileID: uploaded.File.ID})
	require.NoError(t, err)
	speech, err := done(t, client, ittybit.TaskCreateParams{Kind: "speech", FileID: audio.Output.ID})
	require.NoError(t, err)
	for _, made := range []*ittybit.Task{audio, speech} {
		task, err := done(t, client, ittybit.TaskCreateParams{Kind: "nsfw", URL: made.Output.URL})
		require.NoError(t, err)
		assert.Equal(t, made.Output.ID, task.Input.ID, "what a task made is known by its url")
	}

	for _, kind := range []ittybit.TaskKind{"nsfw", "ingest"} {
		task, err := done(t, client, ittybit.TaskCreateParams{Kind: kind, URL: srv.StorageURL + "/nothing.mp4"})
		var failed *ittybit.TaskFailedError
		require.ErrorAs(t, err, &failed)
		assert.Contains(t, task.Error.Message, "Not found: /nothing.mp4")
		assert.Nil(t, task.Output)
	}
}

func TestMedia_isOfTheKindOfItsFirstSource(t *testing.T) {
	flows(t, func(t *testing.T, f flow) {
		f.automate(then("nsfw"), ittybit.WorkflowStep{Kind: "image", Ref: "poster"})
		media, err := f.client.Media.Create(t.Context(), ittybit.MediaCreateParams{})
		require.NoError(t, err)
		time.Sleep(time.Hour)
		empty, err := f.client.Media.Get(t.Context(), media.ID)
		require.NoError(t, err)
		require.Len(t, empty.Files, 2)
		assert.EqualValues(t, "nsfw", empty.Files[0].Kind)
		assert.EqualValues(t, "image", empty.Kind, "what was found out of it is no media")
		assert.NotContains(t, empty.URLs, "original")
	})
	flows(t, func(t *testing.T, f flow) {
		media, err := f.client.Media.Create(t.Context(), ittybit.MediaCreateParams{})
		require.NoError(t, err)
		for _, name := range []string{"a.mp3", "b.mp4"} {
			_, err = f.client.Files.Create(t.Context(), ittybit.FileCreateParams{URL: "https://example.com/" + name, MediaID: media.ID})
			require.NoError(t, err)
		}
		media, err = f.client.Media.Get(t.Context(), media.ID)
		require.NoError(t, err)
		assert.EqualValues(t, "audio", media.Kind)
		assert.Zero(t, media.Width)
		assert.Equal(t, map[string]string{"original": media.Files[0].URL}, media.URLs)
	})
}

func TestDelete_takesTheBytesAlong(t *testing.T) {
	srv, client := local(t)
	upload := func(name string) *ittybit.File {
		result, err := client.Files.Upload(t.Context(), ittybit.UploadParams{Domain: srv.StorageURL, Filename: name, Body: strings.NewReader("film")})
		require.NoError(t, err)
		return result.File
	}
	find := func(file *ittybit.File) *ittybit.File {
		task, err := done(t, client, ittybit.TaskCreateParams{Kind: "nsfw", FileID: file.ID})
		require.NoError(t, err)
		return task.Output
	}
	isThere := func(want bool, files ...*ittybit.File) {
		t.Helper()
		for _, file := range files {
			status, _, _ := fetch(t, file.URL)
			assert.Equal(t, want, status == http.StatusOK, file)
			_, err := client.Files.Get(t.Context(), file.ID)
			assert.Equal(t, !want, err != nil, file)
		}
	}
	one, other := upload("one.mp4"), upload("other.mp4")
	oneFound, otherFound := find(one), find(other)
	isThere(true, one, oneFound, other, otherFound)
	require.NoError(t, client.Media.Delete(t.Context(), one.MediaID))
	isThere(false, one, oneFound)
	isThere(true, other, otherFound)
	require.NoError(t, client.Files.Delete(t.Context(), otherFound.ID))
	isThere(false, otherFound)
	isThere(true, other)
	require.NoError(t, client.Files.Delete(t.Context(), other.ID))
	isThere(false, other)
	media, err := client.Media.Get(t.Context(), other.MediaID)
	require.NoError(t, err)
	assert.Empty(t, media.Files)
}
