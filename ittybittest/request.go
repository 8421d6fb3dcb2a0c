package ittybittest

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/internal/jsonx"
	"github.com/ittybit/ittybit-go/ittybittest/internal/engine"
	"github.com/ittybit/ittybit-go/ittybittest/internal/fields"
)

// NewWebhookRequest makes a request as a server receives it from Ittybit,
// signed with the secret at the current time, for tests that call a handler:
//
//	handler.ServeHTTP(httptest.NewRecorder(), ittybittest.NewWebhookRequest(secret, task))
//
// Its path is /ittybit-webhook. A []byte, a string and a json.RawMessage are the
// body as they are; anything else is marshalled as JSON. Like
// httptest.NewRequest it panics on an error: the payload can't be marshalled.
func NewWebhookRequest(secret string, payload any) *http.Request {
	return NewWebhookRequestTo("/ittybit-webhook", secret, payload)
}

// NewWebhookRequestTo is [NewWebhookRequest] for another target: a path, or an absolute URL, as
// in httptest.NewRequest.
func NewWebhookRequestTo(target, secret string, payload any) *http.Request {
	var body []byte
	switch p := payload.(type) {
	case []byte:
		body = p
	case string:
		body = []byte(p)
	case json.RawMessage:
		body = p
	default:
		encoded, err := jsonx.Marshal(payload)
		if err != nil {
			panic("ittybittest: NewWebhookRequest: " + err.Error())
		}
		body = encoded
	}
	r := httptest.NewRequestWithContext(context.Background(), http.MethodPost, target, bytes.NewReader(body))
	setWebhookHeader(r.Header, ittybit.SignWebhook(secret, time.Now(), body))
	return r
}

// TaskCompleted is the payload of a completed task's webhook, for tests that call a handler:
//
//	ittybittest.NewWebhookRequest(secret, ittybittest.TaskCompleted(ittybit.TaskKindNSFW, nil))
//
// Nil results are those of [Server.SetResults]; json.RawMessage("null") is a task that has none.
// Each call makes another task, with ids of its own. Like the other fixtures it panics if what
// it is given can't be marshalled as JSON.
func TaskCompleted(kind ittybit.TaskKind, results any) []byte {
	task := taskFixture(kind, ittybit.TaskStatusCompleted, 100)
	task.Completed, task.Results = task.Updated, engine.SampleResults(string(kind))
	if results != nil {
		task.Results = fields.Encode(results)
	}
	return fields.Encode(task)
}

// TaskFailed is the payload of a failed task's webhook.
func TaskFailed(kind ittybit.TaskKind, message string) []byte {
	task := taskFixture(kind, ittybit.TaskStatusFailed, 50)
	task.Error = message
	return fields.Encode(task)
}

// TaskCancelled is the payload of a cancelled task's webhook.
func TaskCancelled(kind ittybit.TaskKind) []byte {
	return fields.Encode(taskFixture(kind, ittybit.TaskStatusCancelled, 0))
}

// TaskUpdated is the payload of a webhook for a task that is under way, at so many percent.
func TaskUpdated(kind ittybit.TaskKind, progress int) []byte {
	return fields.Encode(taskFixture(kind, ittybit.TaskStatusProcessing, progress))
}

func taskFixture(kind ittybit.TaskKind, status ittybit.TaskStatus, progress int) engine.Task {
	now := engine.Time{Time: time.Now()}
	return engine.Task{
		ID: randomID("task"), Object: "task", Kind: string(kind), Status: string(status), Progress: progress,
		Input: &engine.File{URL: "https://example.com/video.mp4"}, Options: fields.Object{},
		ProjectID: randomID("proj"), Created: now, Updated: now,
	}
}

// MediaCreated is the payload of a webhook step of an automation for media.created.
func MediaCreated(title string) []byte {
	now := engine.Time{Time: time.Now()}
	return fields.Encode(engine.MediaPayload{
		Media: engine.Media{
			ID: randomID("med"), Object: "media", Kind: new("video"), Title: fields.Encode(title), Files: []engine.File{},
			URLs: map[string]string{}, Metadata: []byte("{}"), Created: now, Updated: now,
		},
		ProjectID: randomID("proj"), AutomationID: randomID("auto"),
	})
}

// JobSucceeded is the payload of a succeeded job's webhook, of the 2026 API.
func JobSucceeded(kind string) []byte {
	job := jobFixture(kind, "succeeded")
	job.Output = map[string]string{"url": engine.FilesURL + "/" + job.ID + ".mp4"}
	return fields.Encode(job)
}

// JobFailed is the payload of a failed job's webhook, of the 2026 API.
func JobFailed(kind, message string) []byte {
	job := jobFixture(kind, "failed")
	job.Error = &message
	return fields.Encode(job)
}

func jobFixture(kind, status string) engine.Job {
	now := engine.Millis(time.Now().UnixMilli())
	return engine.Job{
		ID: randomID("job"), Object: "job", Status: status, Kind: kind, Input: "https://example.com/video.mp4", Tasks: []string{},
		CreatedAt: now, StartedAt: now, FinishedAt: now, UpdatedAt: now,
	}
}

// EventOf wraps a payload in an event of this kind, such as "task.succeeded", as the webhooks of
// API version 2025-12-01 do.
func EventOf(kind ittybit.EventType, payload []byte) []byte {
	data, err := fields.Parse(payload)
	if err != nil {
		panic("ittybittest: EventOf: the payload " + err.Error())
	}
	return fields.Encode(struct {
		ID        string            `json:"id"`
		Object    string            `json:"object"`
		Kind      ittybit.EventType `json:"kind"`
		Data      fields.Object     `json:"data"`
		CreatedAt int64             `json:"created_at"`
	}{randomID("evt"), "event", kind, data, time.Now().Unix()})
}
