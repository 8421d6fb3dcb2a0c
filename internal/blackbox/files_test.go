package blackbox

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/internal/apitest"
)

func TestFile_readsTheDocumentedFileAndLargerOnes(t *testing.T) {
	const body = `{"id":"file_abcdefgh1234","media_id":"med_abcdefgh1234","object":"source","kind":"video","type":"video/mp4",
		"width":1920,"height":"1080","fps":29.97,"duration":123.45,"filesize":5368709120,"bitrate":null,"original":true,
		"url":"https://you.ittybit.net/file_abcdefgh1234","ref":"original","metadata":{"shop":{"id":12345678901234567890}},
		"created":"2025-01-01T01:23:45.678Z","updated":1735694626,"status":"ready","of_tomorrow":[1]}`
	var file ittybit.File
	require.NoError(t, json.Unmarshal([]byte(body), &file))

	assert.JSONEq(t, body, string(file.RawJSON()))
	assert.Equal(t, time.Date(2025, 1, 1, 1, 23, 45, 678_000_000, time.UTC), file.Created)
	assert.Equal(t, time.Date(2025, 1, 1, 1, 23, 46, 0, time.UTC), file.Updated)
	assert.Equal(t, ittybit.FileObjectSource, file.Object)
	assert.Equal(t, []any{1920, 1080, 0, int64(5368709120)}, []any{file.Width, file.Height, file.Bitrate, file.Filesize},
		"a number may be quoted or null, and 5 GiB fit on 32 bits too")
	assert.InDelta(t, 29.97, file.FPS, 0)
	assert.InDelta(t, 123.45, file.Duration, 0)
	assert.True(t, file.Original)
	assert.Equal(t, map[string]any{"shop": map[string]any{"id": json.Number("12345678901234567890")}}, file.Metadata)
}

func TestFile_saysWhichFieldCanNotBeRead(t *testing.T) {
	for field, value := range map[string]string{
		"width": `"wide"`, "filesize": `{}`, "duration": `"1 min"`, "created": `"yesterday"`, "updated_at": `true`, "metadata": `[]`,
	} {
		var file ittybit.File
		require.NoError(t, json.Unmarshal([]byte(`{"id":"file_1","`+field+`":`+value+`}`), &file))
		require.ErrorContains(t, file.DecodeError(), `ittybit: file file_1: cannot decode field "`+field+`"`)
	}
	var file ittybit.File
	require.NoError(t, json.Unmarshal([]byte(`{"id":1}`), &file))
	require.ErrorContains(t, file.DecodeError(), `field "id": is not a string`)
}

const filesDocumented = `{"id":"file_1","media_id":"med_1","object":"track","kind":"subtitles","type":"text/vtt","status":"ready","url":"https://you.ittybit.net/s.vtt",
	"filename":"s.vtt","folder":"f","ref":"subs","label":"English","language":"en","codec":"h264","container":"mp4","format":"vtt","orientation":"portrait",
	"placeholder":"data:p","background":"#fff","created_by":"task_1","original":true,"transparency":true,"animated":true,
	"width":1080,"height":1920,"rotation":90,"frames":1500,"duration":63.25,"fps":24.5,"bitrate":5000000,"filesize":5368709120,"metadata":{"a":"b"},
	"created":"2025-01-01T00:00:00Z","updated":"2025-01-02T00:00:00Z"}`

func TestFiles_everyResponseIsTheDocumentedFile(t *testing.T) {
	want := ittybit.File{
		ID: "file_1", MediaID: "med_1", Object: ittybit.FileObjectTrack, Kind: "subtitles", Type: "text/vtt", Status: "ready", URL: "https://you.ittybit.net/s.vtt",
		Filename: "s.vtt", Folder: "f", Ref: "subs", Label: "English", Language: "en", Codec: "h264", Container: "mp4", Format: "vtt", Orientation: "portrait",
		Placeholder: "data:p", Background: "#fff", CreatedBy: "task_1", Original: true, Transparency: true, Animated: true,
		Width: 1080, Height: 1920, Rotation: 90, Frames: 1500, Duration: 63.25, FPS: 24.5, Bitrate: 5000000, Filesize: 5368709120, Metadata: map[string]any{"a": "b"},
		Created: time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC), Updated: time.Date(2025, 1, 2, 0, 0, 0, 0, time.UTC),
	}
	wantJSON, err := json.Marshal(want)
	require.NoError(t, err)
	for shape, body := range map[string]string{"bare": filesDocumented, "enveloped": `{"meta":{"request_id":"req_1"},"data":` + filesDocumented + `,"error":null,"links":{"self":"x"}}`} {
		client, _ := apitest.Fake(t, apitest.Always(200, body))
		for method, call := range map[string]func() (*ittybit.File, error){
			"Create": func() (*ittybit.File, error) {
				return client.Files.Create(t.Context(), ittybit.FileCreateParams{URL: "https://example.com/s.vtt"})
			},
			"Get": func() (*ittybit.File, error) { return client.Files.Get(t.Context(), "file_1") },
			"Update": func() (*ittybit.File, error) {
				return client.Files.Update(t.Context(), "file_1", ittybit.FileUpdateParams{})
			},
		} {
			file, err := call()
			require.NoError(t, err, shape+" "+method)
			got, err := json.Marshal(file)
			require.NoError(t, err)
			assert.Equal(t, string(wantJSON), string(got), shape+" "+method)
			assert.JSONEq(t, filesDocumented, string(file.RawJSON()))
			assert.Equal(t, "file file_1 (kind subtitles, status ready)", file.String())
		}
	}
}

func TestFiles_nullsAndQuotedNumbers(t *testing.T) {
	client, _ := apitest.Fake(t, apitest.Always(200, `{"id":"file_1","media_id":null,"object":null,"kind":null,"url":null,"original":null,"width":null,"height":null,"rotation":null,
		"frames":null,"duration":null,"fps":null,"bitrate":null,"filesize":null,"metadata":null,"created":null,"updated":null}`))
	file, err := client.Files.Get(t.Context(), "file_1")
	require.NoError(t, err)
	nothing := reflect.ValueOf(*file)
	for i := range nothing.NumField() {
		if name := nothing.Type().Field(i).Name; name != "ID" && nothing.Type().Field(i).IsExported() {
			assert.True(t, nothing.Field(i).IsZero(), name)
		}
	}

	client, _ = apitest.Fake(t, apitest.Always(200, `{"id":"file_1","width":"1","height":"2","rotation":"-90","frames":"3","duration":"4.5","fps":"29.97","bitrate":"6","filesize":"9007199254740991"}`))
	file, err = client.Files.Get(t.Context(), "file_1")
	require.NoError(t, err)
	assert.Equal(t, []any{1, 2, -90.0, 3, 4.5, 29.97, 6, int64(9007199254740991)},
		[]any{file.Width, file.Height, file.Rotation, file.Frames, file.Duration, file.FPS, file.Bitrate, file.Filesize})
}

func TestFilesCreate_answeredByATask(t *testing.T) {
	for _, task := range []string{
		`{"id":"task_1","object":"task","kind":"ingest","status":"pending","input":{"url":"https://example.com/a.mp4"}}`,
		`{"id":"any_1","object":"task","kind":"ingest"}`,
		`{"id":"task_1","kind":"ingest","status":"pending"}`,
		`{"id":"tsk_1","kind":"ingest","status":"pending"}`,
	} {
		for _, body := range []string{task, `{"meta":{},"data":` + task + `,"error":null}`} {
			for _, status := range []int{201, 202} {
				client, seen := apitest.Fake(t, apitest.Always(status, body))
				file, err := client.Files.Create(t.Context(), ittybit.FileCreateParams{URL: "https://example.com/a.mp4"})
				assert.Nil(t, file)
				var accepted *ittybit.AcceptedError
				require.ErrorAs(t, err, &accepted, "%d %s", status, body)
				assert.Equal(t, apitest.Fields(t, task)["id"], accepted.Task.ID)
				assert.Equal(t, ittybit.TaskKind("ingest"), accepted.Task.Kind)
				assert.JSONEq(t, task, string(accepted.Task.RawJSON()))
				assert.Contains(t, err.Error(), accepted.Task.ID)
				require.NotErrorIs(t, err, ittybit.ErrOutcomeUnknown)
				assert.Equal(t, 1, seen.Count())
			}
		}
	}
}

func TestFilesCreate_acceptedAsATaskWithAFieldThatCannotBeDecoded(t *testing.T) {
	client, _ := apitest.Fake(t, apitest.Always(202, `{"id":"task_1","object":"task","created":"someday"}`))
	file, err := client.Files.Create(t.Context(), ittybit.FileCreateParams{URL: "https://example.com/a.mp4"})
	assert.Nil(t, file)
	var accepted *ittybit.AcceptedError
	require.ErrorAs(t, err, &accepted)
	assert.Equal(t, "task_1", accepted.Task.ID)
	require.ErrorContains(t, accepted.Task.DecodeError(), `field "created"`)
}

func TestFilesCreate_aFileIsNoTask(t *testing.T) {
	for _, body := range []string{`{"id":"task_1","object":"source"}`, `{"id":"file_1"}`, `{"id":"file_1","object":"of tomorrow"}`} {
		client, _ := apitest.Fake(t, apitest.Always(202, body))
		file, err := client.Files.Create(t.Context(), ittybit.FileCreateParams{URL: "https://example.com/a.mp4"})
		require.NoError(t, err, body)
		assert.NotNil(t, file)
	}
}

func TestFilesCreate_withoutAnIDTheOutcomeIsUnknown(t *testing.T) {
	for _, body := range []string{``, `{}`, `null`, `[]`, `{"url":"https://you.ittybit.net/a.mp4"}`, `{"object":"task"}`, `{"data":{"object":"source"}}`, `<html>`} {
		client, seen := apitest.Fake(t, apitest.Always(201, body))
		file, err := client.Files.Create(t.Context(), ittybit.FileCreateParams{URL: "https://example.com/a.mp4"})
		assert.Nil(t, file)
		require.ErrorIs(t, err, ittybit.ErrOutcomeUnknown, body)
		assert.Equal(t, 1, seen.Count())
	}
}

func TestFiles_refuseWhatCanNotBeMeant(t *testing.T) {
	client, seen := apitest.Fake(t, apitest.Always(200, `{"id":"file_1"}`))
	_, err := client.Files.Create(t.Context(), ittybit.FileCreateParams{Filename: "a.mp4"})
	apitest.RequireParamError(t, err, "URL")
	var paramError *ittybit.ParamError
	_, err = client.Files.Get(t.Context(), "")
	require.ErrorAs(t, err, &paramError)
	_, err = client.Files.Update(t.Context(), "", ittybit.FileUpdateParams{})
	require.ErrorAs(t, err, &paramError)
	require.ErrorAs(t, client.Files.Delete(t.Context(), ""), &paramError)
	_, err = client.Files.List(t.Context(), ittybit.FileListParams{Limit: 101})
	apitest.RequireParamError(t, err, "Limit")
	assert.Zero(t, seen.Count())
}

func TestFilesUpdate_sendsWhatIsSet(t *testing.T) {
	client, seen := apitest.Fake(t, apitest.Always(200, `{"id":"file_1"}`))
	for want, params := range map[string]ittybit.FileUpdateParams{
		`{}`:                      {},
		`{"folder":""}`:           {Folder: new("")},
		`{"filename":"n"}`:        {Filename: new("n")},
		`{"ref":"r"}`:             {Ref: new("r")},
		`{"metadata":{}}`:         {Metadata: map[string]any{}},
		`{"metadata":{"a":null}}`: {Metadata: map[string]any{"a": nil}},
	} {
		_, err := client.Files.Update(t.Context(), "file_1", params)
		require.NoError(t, err)
		requests := seen.All()
		assert.Equal(t, want, requests[len(requests)-1].Body)
	}
}
