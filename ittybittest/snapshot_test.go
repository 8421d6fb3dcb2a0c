package ittybittest_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go/ittybittest"
)

func TestSnapshot_isLoadedElsewhere(t *testing.T) {
	in := &inbox{}
	var saved bytes.Buffer
	paths := []string{"/tasks", "/files", "/media", "/automations", "/jobs"}
	before := map[string]string{}
	bubble(t, in, func(t *testing.T, a api) {
		a.create("/automations", automation(`[{"kind":"nsfw"},`+notify+`]`))
		require.Equal(t, 201, a.put("/films/a b.mp4", "film", "").status)
		require.Equal(t, 202, a.put("/half.mp4", "ab", "bytes=0-1/4").status)
		a.srv.SetResults("summary", []int{1})
		a.create("/tasks", `{"kind":"summary","file_id":"f"}`)
		a.create("/jobs", `{"input":"https://example.com/a.mov","kind":"image"}`)
		a.srv.FailTasks("speech", "no")
		a.srv.SetResults("prompt", json.RawMessage("null"))
		a.create("/tasks", `{"kind":"prompt","file_id":"f","next":[{"kind":"subtitle"}]}`)
		time.Sleep(time.Hour)
		for _, path := range paths {
			before[path] = a.send("GET", path+"?limit=100", "").raw
		}
		require.NoError(t, a.srv.Snapshot(&saved))
	}, ittybittest.WithAPIKey("k"), ittybittest.WithFixedIDs())
	in.got = nil
	bubble(t, in, func(t *testing.T, a api) {
		a.create("/media", "")
		require.NoError(t, a.srv.Load(bytes.NewReader(saved.Bytes())))
		for _, path := range paths {
			assert.JSONEq(t, before[path], a.send("GET", path+"?limit=100", "").raw, path)
		}
		assert.Equal(t, "film", a.stored("films/a b.mp4"))
		file := a.list("/files?limit=100")
		for _, f := range file {
			if f["object"] != "source" {
				assert.Equal(t, 200, a.store("GET", "/"+f["id"].(string), "", "", "").status)
			}
		}
		id := a.create("/tasks", `{"kind":"speech","url":"`+a.srv.StorageURL+`/films/a%20b.mp4"}`)["id"].(string)
		time.Sleep(time.Minute)
		assert.Equal(t, "no", a.get("/tasks/" + id)["error"])
		assert.Empty(t, in.all(), "nothing happens again")
		a.create("/media", "")
		time.Sleep(time.Minute)
		assert.Len(t, in.all(), 1, "automations run")

		media, deliveries := len(a.list("/media")), len(a.srv.Deliveries())
		require.Error(t, a.srv.Load(strings.NewReader("not a snapshot")))
		require.ErrorContains(t, a.srv.Load(strings.NewReader("")), "state.json")
		assert.Len(t, a.list("/media"), media, "it is what it was")
		require.NoError(t, a.srv.Load(bytes.NewReader(saved.Bytes())))
		assert.Len(t, a.list("/media"), media-1)
		assert.Len(t, a.srv.Deliveries(), deliveries)
		a.srv.Close()
		require.ErrorContains(t, a.srv.Load(bytes.NewReader(saved.Bytes())), "closed")
	}, ittybittest.WithAPIKey("k"))
}

func TestSnapshot_startsWhatWasUnderWayAgain(t *testing.T) {
	in := &inbox{}
	var saved bytes.Buffer
	bubble(t, in, func(t *testing.T, a api) {
		a.create("/tasks", hookedTask)
		a.create("/tasks", `{"kind":"video","url":"https://example.com/a.mp4","next":[{"kind":"nsfw"},{"kind":"speech"}],"webhook_url":"`+hook+`"}`)
		a.create("/jobs", `{"input":"https://example.com/a.mov","kind":"image","webhook_url":"`+hook+`"}`)
		time.Sleep(30 * time.Minute)
		require.NoError(t, a.srv.Snapshot(&saved))
	}, ittybittest.WithTaskDuration(time.Hour))
	require.Empty(t, in.all())
	bubble(t, in, func(t *testing.T, a api) {
		require.NoError(t, a.srv.Load(bytes.NewReader(saved.Bytes())))
		assert.Len(t, a.list("/tasks"), 2)
		time.Sleep(100 * time.Hour)
		assert.Len(t, in.all(), 3)
		tasks := a.list("/tasks")
		assert.Len(t, tasks, 4)
		for _, task := range tasks {
			assert.Equal(t, "completed", task["status"])
		}
	}, ittybittest.WithTaskDuration(time.Hour))
}
