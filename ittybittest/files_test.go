package ittybittest_test

import (
	"net/http"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go/ittybittest"
)

const onNewMedia = `{"trigger":{"kind":"event","event":"media.created"},"workflow":[{"kind":"nsfw"}]}`

func TestFiles(t *testing.T) {
	bubble(t, nil, func(t *testing.T, a api) {
		a.create("/automations", onNewMedia)
		file := a.create("/files", `{"url":"https://example.com/a.png","folder":"f","ref":"big","metadata":{"a":1}}`)
		id := file["id"].(string)
		assert.Equal(t, "image", file["kind"])
		assert.Equal(t, "f", file["folder"])
		assert.Equal(t, file, a.get("/files/"+id))
		synctest.Wait()
		assert.Len(t, a.list("/tasks"), 1, "media.created was triggered")

		mediaID := file["media_id"].(string)
		second := a.create("/files", `{"url":"https://example.com/b.png","media_id":"`+mediaID+`"}`)
		assert.Equal(t, mediaID, second["media_id"])
		synctest.Wait()
		assert.Len(t, a.list("/tasks"), 1, "no media was made")

		page := a.send("GET", "/files?limit=1", "")
		assert.Contains(t, page.header.Get("Links"), `rel="next"`)
		assert.Equal(t, second["id"], a.list("/files?limit=1")[0]["id"], "the newest is first")

		patched := a.send("PATCH", "/files/"+id, `{"filename":"new.png"}`).object(t)
		assert.Equal(t, "new.png", patched["filename"])
		assert.Equal(t, "f", patched["folder"])
		files := a.get("/media/" + mediaID)["files"].([]any)
		require.Len(t, files, 2)
		assert.Equal(t, "new.png", files[0].(map[string]any)["filename"])

		gone := a.send("DELETE", "/files/"+id, "")
		assert.Equal(t, id+" deleted", gone.object(t)["message"])
		a.send("GET", "/files/"+id, "").refused(t, http.StatusNotFound, id)
		a.send("DELETE", "/files/"+id, "").refused(t, http.StatusNotFound, id)
		assert.Len(t, a.get("/media/" + mediaID)["files"], 1)
	})
}

func TestFiles_refused(t *testing.T) {
	a := open(t)
	a.send("POST", "/files", `{}`).refused(t, 400, "url is required")
	a.send("POST", "/files", `{"url":"a.png"}`).refused(t, 400, "absolute")
	a.send("POST", "/files", `{"url":"https://a.b/c","metadata":[1]}`).refused(t, 400, "metadata")
	a.send("POST", "/files", `{"url":"https://a.b/c","media_id":"med_1"}`).refused(t, 404, "med_1")
	a.send("PATCH", "/files/file_1", `{}`).refused(t, 404, "file_1")
}

func TestWithAsyncFiles(t *testing.T) {
	bubble(t, nil, func(t *testing.T, a api) {
		med := a.create("/media", `{}`)["id"].(string)
		got := a.send("POST", "/files", `{"url":"https://example.com/a.png","filename":"b.png","metadata":[],"x":1,"media_id":"`+med+`"}`)
		require.Equal(t, http.StatusAccepted, got.status, got.raw)
		task := got.object(t)
		assert.Equal(t, "ingest", task["kind"])
		assert.Equal(t, map[string]any{"filename": "b.png", "metadata": map[string]any{}}, task["options"])
		<-after(t, 1)
		output := a.get("/tasks/" + task["id"].(string))["output"].(map[string]any)
		assert.Equal(t, "b.png", output["filename"])
		assert.Equal(t, med, output["media_id"])
		assert.Len(t, a.list("/files"), 1)
		assert.Len(t, a.list("/media"), 1)
	}, ittybittest.WithAsyncFiles())
}
