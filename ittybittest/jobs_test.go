package ittybittest_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/ittybittest"
)

func TestJob_runsAndPostsItsEnd(t *testing.T) {
	in := &inbox{}
	bubble(t, in, func(t *testing.T, a api) {
		begin := time.Now()
		job := a.create("/jobs", `{"input":"https://example.com/a.mov","kind":"video","options":{"width":640},"metadata":{"a":"b"},"webhook_url":"`+hook+`"}`)
		path := "/jobs/" + job["id"].(string)
		assert.Regexp(t, "^job_", job["id"])
		assert.Equal(t, map[string]any{
			"id": job["id"], "object": "job", "status": "queued", "kind": "video", "input": "https://example.com/a.mov", "output": nil,
			"options": map[string]any{"width": 640.0}, "metadata": map[string]any{"a": "b"}, "error": nil, "tasks": []any{},
			"created_at": float64(begin.UnixMilli()), "started_at": nil, "finished_at": nil, "updated_at": float64(begin.UnixMilli()),
		}, job)
		time.Sleep(2 * time.Hour)
		assert.Equal(t, "processing", a.get(path)["status"])
		assert.Empty(t, in.all())
		time.Sleep(24 * time.Hour)
		job = a.get(path)
		assert.Equal(t, "succeeded", job["status"])
		assert.Equal(t, float64(begin.Add(4*time.Hour).UnixMilli()), job["finished_at"])

		require.Len(t, in.all(), 1)
		got := in.all()[0]
		checkSignature(t, a.srv.APIKey, got.header.Get("Ittybit-Signature"), got.body)
		event, err := ittybit.ParseEvent([]byte(got.body))
		require.NoError(t, err)
		assert.Equal(t, ittybit.EventJobSucceeded, event.Type)
		assert.Equal(t, map[string]any{"url": job["output"]}, decode(t, got.body)["output"])

		a.srv.FailTasks("audio", "It is silent.")
		failed := a.create("/jobs", `{"input":"s3://bucket/a.mp3","kind":"audio","webhook_url":"`+hook+`"}`)["id"].(string)
		time.Sleep(24 * time.Hour)
		assert.Equal(t, []any{"failed", "It is silent.", nil}, []any{a.get("/jobs/" + failed)["status"], a.get("/jobs/" + failed)["error"], a.get("/jobs/" + failed)["output"]})
		event, err = ittybit.ParseEvent([]byte(in.all()[1].body))
		require.NoError(t, err)
		assert.Equal(t, ittybit.EventJobFailed, event.Type)
	}, ittybittest.WithTaskDuration(4*time.Hour))
}

func TestJob_validation(t *testing.T) {
	a := open(t)
	for body, words := range map[string]string{
		`{}`:                                    "input is required",
		`{"input":"a.mov","kind":"video"}`:      "http, https or s3",
		`{"input":"https://example.com/a.mov"}`: "kind must be one of",
		`{"input":"https://example.com/a.mov","kind":"nsfw"}`:                                       "kind must be one of",
		`{"input":"https://example.com/a.mov","kind":"video","output":"https://example.com"}`:       "output must be",
		`{"input":"https://example.com/a.mov","kind":"video","webhook_url":"http://example.com/h"}`: "webhook_url must be",
		`{"input":"https://example.com/a.mov","kind":"video","metadata":[1]}`:                       "metadata must be",
		`{"input":{"url":"https://example.com/a.mov"},"kind":"video"}`:                              "input must be a string",
	} {
		a.send("POST", "/jobs", body).refused(t, 400, words)
	}
	a.send("GET", "/jobs/job_1", "").refused(t, 404, "job_1")
	assert.Empty(t, a.list("/jobs"))
}

func TestJob_listPagesByCursor(t *testing.T) {
	a := open(t)
	var ids []string
	for range 7 {
		ids = append([]string{a.create("/jobs", `{"input":"https://example.com/a.mov","kind":"image"}`)["id"].(string)}, ids...)
	}
	var seen []string
	for path := "/jobs?limit=3"; path != ""; {
		for _, job := range a.list(path) {
			seen = append(seen, job["id"].(string))
		}
		next := a.send("GET", path, "").header.Get("Link")
		if path = ""; next != "" {
			path = strings.TrimSuffix(strings.TrimPrefix(next, "<"+a.srv.URL), `>; rel="next"`)
		}
	}
	assert.Equal(t, ids, seen)
	a.send("GET", "/jobs?limit=101", "").refused(t, 400, "limit must be")
}
