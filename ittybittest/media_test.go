package ittybittest_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestMedia(t *testing.T) {
	bubble(t, nil, func(t *testing.T, a api) {
		media := a.create("/media", `{"title":"T","alt":"A","metadata":{"n":1},"Accept-Version":"2025-08-20"}`)
		id := media["id"].(string)
		assert.Regexp(t, `^med_`, id)
		created := media["created"]
		assert.Equal(t, map[string]any{
			"id": id, "object": "media", "kind": nil, "title": "T", "alt": "A", "files": []any{}, "urls": map[string]any{},
			"background": nil, "metadata": map[string]any{"n": 1.0}, "created": created, "updated": created,
		}, media)
		assert.Equal(t, media, a.get("/media/"+id))

		time.Sleep(time.Hour)
		got := a.send("PATCH", "/media/"+id, `{"title":"New","alt":null}`)
		assert.Equal(t, http.StatusOK, got.status)
		changed := got.object(t)
		assert.Equal(t, "New", changed["title"])
		assert.Nil(t, changed["alt"])
		assert.Equal(t, map[string]any{"n": 1.0}, changed["metadata"])
		assert.Equal(t, created, changed["created"])
		assert.NotEqual(t, created, changed["updated"])
		a.send("PATCH", "/media/"+id, `{"alt":[]}`).refused(t, 400, "alt must be a string")

		got = a.send("DELETE", "/media/"+id, "")
		assert.Equal(t, http.StatusOK, got.status)
		assert.Equal(t, map[string]any{"message": id + " deleted"}, got.object(t))
		a.send("GET", "/media/"+id, "").refused(t, 404, id)
		assert.Empty(t, a.list("/media"))
	})
}

func TestMedia_isMadeByIngest(t *testing.T) {
	bubble(t, nil, func(t *testing.T, a api) {
		id := a.create("/tasks", `{"kind":"ingest","url":"https://example.com/cat.webp"}`)["id"].(string)
		assert.Empty(t, a.list("/media"))
		time.Sleep(time.Second)
		output := a.get("/tasks/" + id)["output"].(map[string]any)
		media := a.get("/media/" + output["media_id"].(string))
		assert.Equal(t, "image", media["kind"])
		assert.Equal(t, 1920.0, media["width"])
		assert.Equal(t, []any{output}, media["files"])
		assert.Equal(t, map[string]any{"original": output["url"]}, media["urls"])

		// A task on that file leaves its output with the same media.
		a.create("/tasks", `{"kind":"thumbnails","file_id":"`+output["id"].(string)+`","ref":"thumbs"}`)
		time.Sleep(time.Second)
		media = a.get("/media/" + output["media_id"].(string))
		assert.Len(t, media["files"], 2)
		assert.Len(t, media["urls"], 2)
		assert.Contains(t, media["urls"], "thumbs")
	})
}
