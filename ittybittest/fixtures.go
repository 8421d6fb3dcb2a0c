package ittybittest

import (
	"fmt"
	"time"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/ittybittest/internal/engine"
	"github.com/ittybit/ittybit-go/ittybittest/internal/ordered"
)

// TaskCompleted is the payload of a completed task's webhook, for tests that call a handler:
//
//	ittybittest.NewWebhookRequest(secret, ittybittest.TaskCompleted(ittybit.TaskKindNSFW, nil))
//
// Nil results are those of [Server.SetResults]; json.RawMessage("null") is a task that has none.
// Each call makes another task, with ids of its own. Like the other fixtures it panics if what
// it is given can't be marshalled as JSON.
func TaskCompleted(kind ittybit.TaskKind, results any) []byte {
	task := taskFixture(kind, ittybit.TaskStatusCompleted, 100)
	if results == nil {
		if sample := engine.SampleResults(string(kind)); len(sample) > 0 {
			results = sample
		}
	}
	if results != nil {
		task = task.Set("results", results)
	}
	return ordered.Encode(task.Set("completed", task.String("updated")))
}

// TaskFailed is the payload of a failed task's webhook.
func TaskFailed(kind ittybit.TaskKind, message string) []byte {
	return ordered.Encode(taskFixture(kind, ittybit.TaskStatusFailed, 50).Set("error", message))
}

// TaskCancelled is the payload of a cancelled task's webhook.
func TaskCancelled(kind ittybit.TaskKind) []byte {
	return ordered.Encode(taskFixture(kind, ittybit.TaskStatusCancelled, 0))
}

// TaskUpdated is the payload of a webhook for a task that is under way, at so many percent.
func TaskUpdated(kind ittybit.TaskKind, progress int) []byte {
	return ordered.Encode(taskFixture(kind, ittybit.TaskStatusProcessing, progress))
}

func taskFixture(kind ittybit.TaskKind, status ittybit.TaskStatus, progress int) ordered.Object {
	now := time.Now().UTC().Format("2006-01-02T15:04:05.000Z")
	return ordered.Object{}.Set("id", randomID("task")).Set("object", "task").Set("kind", kind).
		Set("status", status).Set("progress", progress).
		Set("input", ordered.Object{}.Set("url", "https://example.com/video.mp4")).
		Set("options", ordered.Object{}).Set("project_id", randomID("proj")).Set("created", now).Set("updated", now)
}

// MediaCreated is the payload of a webhook step of an automation for media.created.
func MediaCreated(title string) []byte {
	now := time.Now().UTC().Format("2006-01-02T15:04:05.000Z")
	return ordered.Encode(ordered.Object{}.Set("id", randomID("med")).Set("object", "media").Set("kind", "video").
		Set("title", title).Set("files", []string{}).Set("urls", ordered.Object{}).Set("metadata", ordered.Object{}).
		Set("created", now).Set("updated", now).
		Set("project_id", randomID("proj")).Set("automation_id", randomID("auto")))
}

// JobSucceeded is the payload of a succeeded job's webhook, of the 2026 API.
func JobSucceeded(kind string) []byte {
	job := jobFixture(kind, "succeeded")
	return ordered.Encode(job.Set("output", ordered.Object{}.Set("url", engine.FilesURL+"/"+job.String("id")+".mp4")))
}

// JobFailed is the payload of a failed job's webhook, of the 2026 API.
func JobFailed(kind, message string) []byte {
	return ordered.Encode(jobFixture(kind, "failed").Set("output", nil).Set("error", message))
}

func jobFixture(kind, status string) ordered.Object {
	now := time.Now().UnixMilli()
	return ordered.Object{}.Set("id", randomID("job")).Set("object", "job").Set("status", status).Set("kind", kind).
		Set("input", "https://example.com/video.mp4").
		Set("created_at", now).Set("started_at", now).Set("finished_at", now).Set("updated_at", now)
}

// EventOf wraps a payload in an event of this kind, such as "task.succeeded", as the webhooks of
// API version 2025-12-01 do.
func EventOf(kind ittybit.EventType, payload []byte) []byte {
	data, err := ordered.Parse(payload)
	if err != nil {
		panic("ittybittest: EventOf: the payload " + err.Error())
	}
	return ordered.Encode(ordered.Object{}.Set("id", randomID("evt")).Set("object", "event").Set("kind", kind).
		Set("data", data).Set("created_at", time.Now().Unix()))
}

// fixture is the payload with the name of its event.
func fixture(event, kind string, results any, message string, progress int) ([]byte, error) {
	taskKind := ittybit.TaskKind(kind)
	switch event {
	case "task.completed":
		return TaskCompleted(taskKind, results), nil
	case "task.failed":
		return TaskFailed(taskKind, message), nil
	case "task.cancelled":
		return TaskCancelled(taskKind), nil
	case "task.updated":
		return TaskUpdated(taskKind, progress), nil
	case "media.created":
		return MediaCreated(message), nil
	case "job.succeeded":
		return JobSucceeded(kind), nil
	case "job.failed":
		return JobFailed(kind, message), nil
	}
	return nil, fmt.Errorf("There is no fixture %q: use one of task.completed, task.failed, task.cancelled, task.updated, "+ //nolint:staticcheck // the text of a response
		"media.created, job.succeeded and job.failed", event)
}
