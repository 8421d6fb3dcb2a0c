package ittybittest_test

import (
	"io/fs"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The five official SDKs (v1.0.0) send these requests: facts of their wire fixtures, and of
// what was seen on the wire.
func TestOfficialSDKs_requestsAreTaken(t *testing.T) {
	a := open(t)
	known := map[string]string{ // ids to put into paths and bodies
		"MEDIA": a.create("/media", `{}`)["id"].(string),
		"FILE":  a.create("/files", `{"url":"https://ittyb.it/sample.mp4"}`)["id"].(string),
		"AUTO":  a.create("/automations", automation(`[{"kind":"nsfw"}]`))["id"].(string),
	}
	fill := func(text string) string {
		for name, id := range known {
			text = strings.ReplaceAll(text, name, id)
		}
		return text
	}
	for _, c := range []struct {
		sdk, method, path, contentType, body string
		status                               int
		want                                 map[string]any
	}{
		{"typescript", "GET", "/tasks?page=1&limit=20", "", "", 200, nil},
		{"typescript", "POST", "/tasks", "application/json", `{"file_id":"FILE","kind":"image","width":320,"format":"png","ref":"thumbnail"}`, 201, map[string]any{"kind": "image"}},
		{"fetch", "POST", "/tasks", "text/plain;charset=UTF-8", `{"kind":"nsfw","url":"https://ittyb.it/sample.mp4"}`, 201, map[string]any{"kind": "nsfw"}},
		{"curl", "POST", "/tasks", "application/x-www-form-urlencoded", `{"kind":"speech","url":"https://ittyb.it/sample.mp4"}`, 201, map[string]any{"kind": "speech"}},
		{"go", "POST", "/media", "application/json", `{"title":"My Video Example","alt":"An example","metadata":{"customKey":"v"},"Accept-Version":"2025-08-20"}`, 201, map[string]any{"title": "My Video Example", "metadata": map[string]any{"customKey": "v"}}},
		{"python", "POST", "/media", "application/json", "", 201, map[string]any{"title": nil, "metadata": map[string]any{}}},
		{"python", "PATCH", "/media/MEDIA", "application/json", "", 200, map[string]any{"id": "MEDIA"}},
		{"php", "POST", "/media", "application/json", `{"title":"T","metadata":[]}`, 201, map[string]any{"metadata": map[string]any{}}},
		{"php", "PATCH", "/media/MEDIA", "application/json", `{"metadata":[]}`, 200, map[string]any{"metadata": map[string]any{}}},
		{"typescript", "POST", "/files", "application/json", `{"url":"https://ittyb.it/sample.mp4","folder":"ittybit/samples","filename":"video.mp4","metadata":{"customKey":"v"}}`, 201, map[string]any{"folder": "ittybit/samples", "filename": "video.mp4", "object": "source", "kind": "video"}},
		{"php", "POST", "/files", "application/json", `{"url":"https://ittyb.it/sample.mp4","metadata":[]}`, 201, map[string]any{"metadata": map[string]any{}}},
		{"python", "PATCH", "/files/FILE", "application/json", "", 200, map[string]any{"id": "FILE"}},
		{"typescript", "PATCH", "/files/FILE", "application/json", `{"folder":"updated/folder","filename":"new_filename.mp4","metadata":{"customKey":"w"}}`, 200, map[string]any{"folder": "updated/folder"}},
		{"typescript", "POST", "/automations", "application/json", `{"name":"My Example Automation","description":"D","trigger":{"kind":"event","event":"media.created"},"workflow":[{"kind":"description"},{"kind":"image","ref":"thumbnail"},{"kind":"conditions","conditions":[{"prop":"kind","value":"video"}],"next":[{"kind":"subtitle","ref":"subtitle"}]},{"kind":"nsfw","next":[{}]}],"status":"active"}`, 201, map[string]any{"status": "active"}},
		{"go", "PATCH", "/automations/AUTO", "application/json", `{"name":"My Updated Automation","status":"active","Accept-Version":"2025-08-20"}`, 200, map[string]any{"name": "My Updated Automation", "Accept-Version": nil}},
		{"python", "PATCH", "/automations/AUTO", "application/json", "", 200, map[string]any{"name": "My Updated Automation"}},
		{"ruby", "POST", "/signatures", "application/json", `{"filename":"video.mp4","folder":"example","expiry":4102444800,"method":"put"}`, 201, map[string]any{"filename": "video.mp4", "folder": "example", "expiry": 4102444800.0, "method": "put"}},
	} {
		t.Run(c.sdk+" "+c.method+" "+c.path, func(t *testing.T) {
			req := a.request(c.method, fill(c.path), fill(c.body))
			req.Header.Del("Content-Type")
			if c.contentType != "" {
				req.Header.Set("Content-Type", c.contentType)
			}
			got := a.do(req)
			require.Equal(t, c.status, got.status, got.raw)
			for name, value := range c.want {
				if text, ok := value.(string); ok {
					value = fill(text)
				}
				assert.Equal(t, value, got.object(t)[name], name)
			}
		})
	}
}

func TestFiles_allHaveAMediaObject(t *testing.T) {
	bubble(t, nil, func(t *testing.T, a api) {
		a.create("/automations", onNewMedia)
		for _, kind := range []string{"nsfw", "thumbnails", "audio", "conditions"} {
			a.create("/tasks", `{"kind":"`+kind+`","url":"https://example.com/a.mp4","conditions":[{"prop":"kind","value":"video"}],"next":[{"kind":"subtitles"}]}`)
		}
		a.create("/tasks", `{"kind":"speech","file_id":"file_of_another_project"}`)
		time.Sleep(time.Hour)
		files := a.list("/files?limit=100")
		assert.Len(t, files, 12, "four inputs, and eight outputs: of three tasks, of their next steps, and of one more")
		for _, file := range files {
			media := a.get("/media/" + file["media_id"].(string))
			assert.Contains(t, media["files"], file)
		}
		assert.Len(t, a.list("/media"), 5)
		assert.Len(t, a.list("/tasks"), 9, "media of inputs and outputs triggers nothing")
	})
}

func TestFiles_urlFollowsFolderAndFilename(t *testing.T) {
	a := open(t)
	file := a.create("/files", `{"url":"https://example.com/a/clip.mov"}`)
	id := file["id"].(string)
	assert.Equal(t, "https://files.ittybit.test/"+id+".mov", file["url"])
	assert.Equal(t, "video/quicktime", file["type"])
	patch := func(id, body, url string) {
		t.Helper()
		got := a.send("PATCH", "/files/"+id, body)
		require.Equal(t, 200, got.status, got.raw)
		assert.Equal(t, url, got.object(t)["url"])
		assert.Equal(t, url, a.get("/files/" + id)["url"])
	}
	patch(id, `{"folder":"summer/2026"}`, "https://files.ittybit.test/summer/2026/"+id+".mov")
	patch(id, `{"filename":"my clip.mov"}`, "https://files.ittybit.test/summer/2026/my%20clip.mov")
	patch(id, `{"folder":null,"ref":"a"}`, "https://files.ittybit.test/my%20clip.mov")
	both := a.create("/files", `{"url":"https://example.com/a.mov","folder":"summer/2026","filename":"my clip.mov"}`)
	assert.Equal(t, "https://files.ittybit.test/summer/2026/my%20clip.mov", both["url"])

	stored := a.put("/old/a.mp4", "film", "").object(t)
	id = stored["id"].(string)
	patch(id, `{"folder":"new"}`, a.srv.StorageURL+"/new/a.mp4")
	assert.Equal(t, "film", a.stored("new/a.mp4"))
	a.store("GET", "/old/a.mp4", "", "", "").refused(t, 404, "Not found: /")
	task := a.create("/tasks", `{"kind":"nsfw","url":"`+a.srv.StorageURL+`/new/a.mp4"}`)
	assert.Equal(t, id, task["input"].(map[string]any)["id"], "tasks find it at its new address")
	task = a.create("/tasks", `{"kind":"nsfw","url":"`+a.srv.StorageURL+`/old/a.mp4"}`)
	assert.NotContains(t, task["input"], "id", "and not at the old one")
	require.Equal(t, 201, a.put("/new/b.mp4", "other", "").status)
	require.Equal(t, 202, a.put("/new/c.mp4", "o", "bytes=0-0/5").status)
	for _, name := range []string{"b.mp4", "c.mp4"} {
		a.send("PATCH", "/files/"+id, `{"filename":"`+name+`"}`).refused(t, http.StatusConflict, "/new/"+name)
	}
	assert.Equal(t, "film", a.stored("new/a.mp4"))
	assert.Equal(t, "a.mp4", a.get("/files/" + id)["filename"])
	a.send("DELETE", "/files/"+id, "")
	_, err := a.srv.OpenStored("new/a.mp4")
	require.ErrorIs(t, err, fs.ErrNotExist, "its bytes are still its own")
}

func TestFiles_typeIsThatOfTheExtension(t *testing.T) {
	a := open(t)
	for name, want := range map[string][]string{
		"cat.jpg": {"image", "image/jpeg"}, "cat.JPEG": {"image", "image/jpeg"}, "cat.webp": {"image", "image/webp"},
		"cat.png?x=.mp3": {"image", "image/png"}, "talk.mp3": {"audio", "audio/mpeg"}, "talk.m4a": {"audio", "audio/mp4"},
		"talk.flac": {"audio", "audio/flac"}, "film.mkv": {"video", "video/x-matroska"}, "film.avi": {"video", "video/x-msvideo"},
		"film.webm": {"video", "video/webm"}, "film": {"video", "video/mp4"}, "film.xyz": {"video", "video/mp4"},
	} {
		file := a.create("/files", `{"url":"https://example.com/`+name+`"}`)
		assert.Equal(t, want, []string{file["kind"].(string), file["type"].(string)}, name)
	}
	bubble(t, nil, func(t *testing.T, a api) {
		for _, kind := range []string{"nsfw", "ingest"} {
			id := a.create("/tasks", `{"kind":"`+kind+`","url":"https://example.com/cat.jpg"}`)["id"].(string)
			time.Sleep(time.Second)
			file := a.get("/tasks/" + id)["input"]
			if kind == "ingest" {
				file = a.get("/tasks/" + id)["output"]
			}
			assert.Equal(t, "image/jpeg", file.(map[string]any)["type"])
		}
	})
}

func TestThumbnails_areAsManyAsWereAskedFor(t *testing.T) {
	srv, client := local(t)
	for asked, want := range map[any]int{nil: 1, 3: 3, 7: 7, 0: 1, -2: 1, 1e300: 100, "x": 1} {
		options := map[string]any{"count": asked}
		if asked == nil {
			options = nil
		}
		task, _ := served(t, client, "thumbnails", options)
		thumbnails, err := task.Thumbnails()
		require.NoError(t, err)
		assert.Equal(t, want, thumbnails.Count)
		require.Len(t, thumbnails.URLs, want)
		seen := map[string]bool{}
		for _, url := range thumbnails.URLs {
			assert.False(t, seen[url])
			seen[url] = true
		}
		status, kind, _ := fetch(t, thumbnails.URLs[want-1])
		assert.Equal(t, []any{200, "image/jpeg"}, []any{status, kind})
	}
	assert.NotEmpty(t, srv.URL)
}

func TestNotEmulated(t *testing.T) {
	a := open(t)
	for _, c := range [][2]string{
		{"POST", "/tasks/task_1/start"}, {"POST", "/automations/auto_1/run"}, {"POST", "/runs"}, {"GET", "/runs/run_1"},
		{"GET", "/events"}, {"POST", "/webhooks/endpoints"}, {"PATCH", "/webhooks/endpoints/we_1"}, {"GET", "/keys"},
		{"GET", "/connections"}, {"POST", "/uploads"}, {"POST", "/steps"},
	} {
		a.send(c[0], c[1], "").refused(t, http.StatusNotImplemented, "docs/local-server.md")
	}
	for _, kind := range []string{"workflow", "http"} {
		a.send("POST", "/tasks", `{"kind":"`+kind+`","url":"https://example.com/a.mp4"}`).refused(t, http.StatusNotImplemented, kind)
		a.send("POST", "/automations", automation(`[{"kind":"`+kind+`","url":"https://example.com/a"}]`)).refused(t, http.StatusNotImplemented, kind)
	}
	a.send("GET", "/hologram", "").refused(t, http.StatusNotFound, "Not found: /hologram")
}
