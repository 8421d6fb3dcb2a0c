package ittybit_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
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

func TestFile_saysWhichMemberCanNotBeRead(t *testing.T) {
	for member, value := range map[string]string{
		"width": `"wide"`, "filesize": `{}`, "duration": `"1 min"`, "created": `"yesterday"`, "updated_at": `true`, "metadata": `[]`,
	} {
		var file ittybit.File
		err := json.Unmarshal([]byte(`{"id":"file_1","`+member+`":`+value+`}`), &file)
		require.ErrorContains(t, err, `member "`+member+`"`)
	}
	require.Error(t, json.Unmarshal([]byte(`{"id":1}`), new(ittybit.File)))
}
