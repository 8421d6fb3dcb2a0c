package engine

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ittybit/ittybit-go/ittybittest/internal/fields"
	"github.com/ittybit/ittybit-go/ittybittest/internal/refusal"
)

// Job is a job of the 2026 API as that shows it.
type Job struct {
	ID         string          `json:"id"`
	Object     string          `json:"object"`
	Status     string          `json:"status"`
	Kind       string          `json:"kind"`
	Input      string          `json:"input"`
	Output     any             `json:"output"` // a url; in a webhook an object that has one
	Options    json.RawMessage `json:"options"`
	Metadata   json.RawMessage `json:"metadata"`
	Error      *string         `json:"error"`
	Tasks      []string        `json:"tasks"`
	CreatedAt  Millis          `json:"created_at"`
	StartedAt  Millis          `json:"started_at"`
	FinishedAt Millis          `json:"finished_at"`
	UpdatedAt  Millis          `json:"updated_at"`
}

// job is a job on its way. Its exported fields are what a snapshot keeps.
type job struct {
	Job
	WebhookURL string
	Wanted     string // where the output is to go
}

// Millis is a time in milliseconds, null if it has not come.
type Millis int64

func nowMillis() Millis { return Millis(time.Now().UnixMilli()) }

// MarshalJSON implements json.Marshaler.
func (m Millis) MarshalJSON() ([]byte, error) {
	if m == 0 {
		return []byte("null"), nil
	}
	return json.Marshal(int64(m))
}

// formatsOfJobs are the kinds of jobs, and the extension of what they make.
func formatsOfJobs() map[string]string {
	return map[string]string{"video": "mp4", "audio": "mp3", "image": "png", "animation": "gif", "adaptive_video": "m3u8"}
}

// CreateJob creates a job and starts it.
func (e *Engine) CreateJob(body fields.Object) (any, error) {
	now := nowMillis()
	j := &job{Job: Job{
		ID: e.NewID("job"), Object: "job", Status: "queued", Options: body["options"], Tasks: []string{}, CreatedAt: now, UpdatedAt: now,
	}}
	err := setFields(body, map[string]*string{"input": &j.Input, "kind": &j.Kind, "output": &j.Wanted, "webhook_url": &j.WebhookURL}, &j.Metadata)
	switch {
	case err != nil:
		return nil, err
	case j.Input == "":
		return nil, refusal.Invalid("input is required.")
	case !isWebURL(j.Input) && !strings.HasPrefix(j.Input, "s3://"):
		return nil, refusal.Invalid("input must be an http, https or s3 URL.")
	case formatsOfJobs()[j.Kind] == "":
		return nil, refusal.Invalid("kind must be one of %s.", strings.Join(slices.Sorted(maps.Keys(formatsOfJobs())), ", "))
	case j.Wanted != "" && !strings.HasPrefix(j.Wanted, "s3://"):
		return nil, refusal.Invalid("output must be an s3 URL.")
	case j.WebhookURL != "":
		if err := e.CheckWebhookURL("webhook_url", j.WebhookURL); err != nil {
			return nil, err
		}
	}
	e.Jobs.add(j)
	e.start(func() { e.runJob(j) })
	return j.Job, nil
}

// ListJobs gives so many jobs after the one with that id, the newest first, and the id to go on
// after, "" at the end.
func (e *Engine) ListJobs(limit int64, after string) (shown []any, next string) {
	ids := e.Jobs.ids
	if i := slices.Index(ids, after); after != "" {
		ids = ids[:max(i, 0)]
	}
	shown = []any{}
	for _, id := range slices.Backward(ids) {
		if int64(len(shown)) == limit {
			return shown, next
		}
		shown, next = append(shown, e.Jobs.byID[id].Job), id
	}
	return shown, ""
}

// runJob takes a job to its end, and posts that.
func (e *Engine) runJob(j *job) {
	quarter := e.TaskDuration / 4
	if !e.pause(e.Life.Context(), quarter) {
		return
	}
	j.Status, j.StartedAt, j.UpdatedAt = "processing", nowMillis(), nowMillis()
	if !e.pause(e.Life.Context(), e.TaskDuration-quarter) {
		return
	}
	j.FinishedAt, j.UpdatedAt = nowMillis(), nowMillis()
	if failure := e.Outcomes[j.Kind].Failure; failure != "" {
		j.Status, j.Error = "failed", &failure
	} else {
		j.Status, j.Output = "succeeded", cmp.Or(j.Wanted, FilesURL+"/"+j.ID+"."+formatsOfJobs()[j.Kind])
	}
	shown := j.Job
	if shown.Output != nil {
		shown.Output = map[string]any{"url": j.Output}
	}
	if j.WebhookURL != "" {
		e.Deliver(j.WebhookURL, fields.Encode(shown))
	}
}
