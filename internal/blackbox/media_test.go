package blackbox

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/internal/apitest"
)

func TestMedia_readsTheDocumentedResponse(t *testing.T) {
	const body = `{"id":"med_1","object":"media","kind":"video","title":"T","alt":"A","width":1920,"height":"1080","duration":"63.2",
		"files":[{"id":"file_1","object":"source","kind":"video","type":"video/mp4","codec":"h264","container":"mp4","width":1920,"height":1080,"orientation":"landscape",
			"rotation":90,"transparency":false,"frames":1500,"duration":63.2,"fps":23.976,"filesize":9007199254740992,"bitrate":5000000,"original":true,"status":"ready",
			"url":"https://you.ittybit.net/a.mp4","metadata":{"n":1.50},"created":"2025-01-01T00:00:00Z","updated":1735689601000,"brand_new":1}],
		"urls":{"thumb":"https://you.ittybit.net/t.png"},"background":null,"metadata":{"big":12345678901234567890},"project_id":"prj_1","automation_id":"auto_1",
		"created":"2025-01-01T00:00:00.5Z","updated_at":1735689600,"brand_new":{"a":1}}`
	client, _ := apitest.Fake(t, apitest.Always(200, body))
	media, err := client.Media.Get(t.Context(), "med_1")
	require.NoError(t, err)
	assert.Equal(t, []any{"med_1", "media", ittybit.FileKindVideo, "T", "A", 1920, 1080, 63.2, "", "prj_1", "auto_1"},
		[]any{media.ID, media.Object, media.Kind, media.Title, media.Alt, media.Width, media.Height, media.Duration, media.Background, media.ProjectID, media.AutomationID})
	assert.Equal(t, map[string]string{"thumb": "https://you.ittybit.net/t.png"}, media.URLs)
	assert.Equal(t, json.Number("12345678901234567890"), media.Metadata["big"])
	assert.Equal(t, time.Date(2025, 1, 1, 0, 0, 0, 5e8, time.UTC), media.Created)
	assert.Equal(t, time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC), media.Updated)
	assert.JSONEq(t, body, string(media.RawJSON()))
	require.Len(t, media.Files, 1)
	file := media.Files[0]
	assert.Equal(t, []any{"h264", "mp4", 90.0, 1500, 23.976, int64(9007199254740992), 5000000, true, ittybit.FileStatusReady, json.Number("1.50")},
		[]any{file.Codec, file.Container, file.Rotation, file.Frames, file.FPS, file.Filesize, file.Bitrate, file.Original, file.Status, file.Metadata["n"]})
	assert.Equal(t, int64(1735689601), file.Updated.Unix())
	assert.Contains(t, string(file.RawJSON()), `"brand_new":1`)
}

func TestMedia_nullsAndEnvelopesAreNoErrors(t *testing.T) {
	for _, body := range []string{
		`{"id":"med_1","kind":null,"title":null,"width":null,"duration":null,"files":null,"urls":null,"metadata":null,"created":null}`,
		`{"meta":{},"data":{"id":"med_1","files":[]},"error":null}`,
		`{"id":"med_1","kind":"hologram","files":[{"id":"file_1","object":"brand new","kind":null,"fps":null,"metadata":null}]}`,
	} {
		client, _ := apitest.Fake(t, apitest.Always(200, body))
		media, err := client.Media.Get(t.Context(), "med_1")
		require.NoError(t, err, body)
		assert.Equal(t, "med_1", media.ID)
		assert.Zero(t, media.Duration)
	}
}

func TestMedia_membersThatCannotBeReadAreNamed(t *testing.T) {
	for field, value := range map[string]string{
		"width": `"wide"`, "height": `{}`, "duration": `"long"`, "metadata": `[]`, "created": `"x"`, "updated": `"x"`, "created_at": `"x"`, "updated_at": `"x"`,
	} {
		for _, body := range []string{`{"id":"med_1","` + field + `":` + value + `}`, `{"id":"med_1","files":[{"id":"file_1","` + field + `":` + value + `}]}`} {
			client, _ := apitest.Fake(t, apitest.Always(200, body))
			media, err := client.Media.Get(t.Context(), "med_1")
			require.NoError(t, err)
			require.ErrorContains(t, media.DecodeError(), "ittybit: media med_1: cannot decode field ", body)
			require.ErrorContains(t, media.DecodeError(), field+`": `, body)
		}
	}
	for _, body := range []string{`{"id":"med_1","title":7}`, `{"id":"med_1","files":[{"url":7}]}`} {
		client, _ := apitest.Fake(t, apitest.Always(200, body))
		media, err := client.Media.Get(t.Context(), "med_1")
		require.NoError(t, err)
		require.Error(t, media.DecodeError(), body)
	}
}

func TestMedia_createAndUpdateSendWhatIsSet(t *testing.T) {
	client, seen := apitest.Fake(t, apitest.Always(200, `{"id":"med_1"}`))
	last := func() apitest.Request { requests := seen.All(); return requests[len(requests)-1] }
	for want, params := range map[string]ittybit.MediaCreateParams{
		`{}`: {},
		`{"title":"T","alt":"A","metadata":{"a":1}}`: {Title: "T", Alt: "A", Metadata: map[string]any{"a": 1}},
	} {
		_, err := client.Media.Create(t.Context(), params)
		require.NoError(t, err)
		assert.JSONEq(t, want, last().Body)
		assert.Equal(t, http.MethodPost, last().Method)
	}
	for want, params := range map[string]ittybit.MediaUpdateParams{
		`{}`:                      {},
		`{"title":"","alt":""}`:   {Title: new(""), Alt: new("")},
		`{"metadata":{}}`:         {Metadata: map[string]any{}},
		`{"metadata":{"a":null}}`: {Metadata: map[string]any{"a": nil}},
	} {
		_, err := client.Media.Update(t.Context(), "med_1", params)
		require.NoError(t, err)
		assert.JSONEq(t, want, last().Body)
		assert.Equal(t, http.MethodPatch, last().Method)
	}
}

func TestFile_decodesLikeAnyGoType(t *testing.T) {
	var file ittybit.File
	require.NoError(t, json.Unmarshal([]byte(`{"id":"file_1","width":"640","fps":"29.97","brand_new":1}`), &file))
	assert.Equal(t, 640, file.Width)
	assert.InDelta(t, 29.97, file.FPS, 1e-9)
	assert.JSONEq(t, `{"id":"file_1","width":"640","fps":"29.97","brand_new":1}`, string(file.RawJSON()))
	written, err := json.Marshal(&file)
	require.NoError(t, err)
	assert.JSONEq(t, `{"id":"file_1","width":"640","fps":"29.97","brand_new":1}`, string(written))
	assert.Nil(t, new(ittybit.File).RawJSON())
	for field, value := range map[string]string{"rotation": `"x"`, "frames": `"x"`, "fps": `"x"`, "bitrate": `"x"`, "filesize": `"x"`} {
		require.NoError(t, json.Unmarshal([]byte(`{"`+field+`":`+value+`}`), &file))
		require.ErrorContains(t, file.DecodeError(), `field "`+field+`"`)
	}
}

func TestMedia_decodesLikeAnyGoType(t *testing.T) {
	var media ittybit.Media
	require.NoError(t, json.Unmarshal([]byte(`{"id":"med_1","width":"640","brand_new":1}`), &media))
	assert.Equal(t, 640, media.Width)
	assert.Contains(t, string(media.RawJSON()), "brand_new")
	assert.Nil(t, new(ittybit.Media).RawJSON())
}

func TestMedia_findsItsFiles(t *testing.T) {
	client, _ := apitest.Fake(t, apitest.Always(200, `{"id":"med_1","files":[{"id":"file_1","object":"source","ref":"original"},{"id":"file_2","object":"track","ref":"subs"},
		{"id":"file_3","object":"source","ref":"small"},{"id":"file_4","object":"source","ref":"small"}]}`))
	media, err := client.Media.Get(t.Context(), "med_1")
	require.NoError(t, err)
	assert.Same(t, media.Files[0], media.FileByRef("original"))
	assert.Same(t, media.Files[2], media.FileByRef("small"), "the first of them")
	assert.Nil(t, media.FileByRef("Original"))
	assert.Nil(t, media.FileByRef("none"))
	assert.Equal(t, []*ittybit.File{media.Files[0], media.Files[2], media.Files[3]}, media.FilesByObject(ittybit.FileObjectSource))
	assert.Equal(t, []*ittybit.File{media.Files[1]}, media.FilesByObject(ittybit.FileObjectTrack))
	assert.Empty(t, media.FilesByObject(ittybit.FileObjectIntelligence))

	empty := new(ittybit.Media)
	assert.Nil(t, empty.FileByRef("original"))
	assert.Empty(t, empty.FilesByObject(ittybit.FileObjectSource))
}

func TestMedia_deleteAndString(t *testing.T) {
	server, seen := apitest.Server(t, apitest.Respond(200, `{"message":"med_1 deleted"}`), apitest.Respond(200, `{"id":"med_1","kind":"video","files":[{"id":"file_1","url":"https://you.ittybit.net/a"}]}`))
	client := apitest.Client(t, server.URL)
	require.NoError(t, client.Media.Delete(t.Context(), "med_1"))
	media, err := client.Media.Get(t.Context(), "med_1")
	require.NoError(t, err)
	assert.Equal(t, "media med_1 (kind video, 1 files)", media.String())
	requests := seen.All()
	assert.Equal(t, []string{"DELETE", "/media/med_1", "GET", "/media/med_1"}, []string{requests[0].Method, requests[0].Path, requests[1].Method, requests[1].Path})
}
