package engine

import (
	"slices"
	"strings"
	"time"

	"github.com/ittybit/ittybit-go/ittybittest/internal/ordered"
)

// job is a job of the 2026 API.
type job struct {
	ID         string
	Body       ordered.Object // as it was sent
	Status     string
	Output     string
	Failure    string
	CreatedAt  time.Time
	StartedAt  time.Time
	FinishedAt time.Time
	UpdatedAt  time.Time
}

func jobKinds() []string { return []string{"video", "audio", "image", "animation", "adaptive_video"} }

// CreateJob creates a job and starts it.
func (e *Engine) CreateJob(body ordered.Object) (ordered.Object, error) {
	texts := map[string]string{}
	for _, name := range []string{"input", "kind", "output", "webhook_url"} {
		text, err := body.Text(name)
		if err != nil {
			return nil, err
		}
		texts[name] = text
	}
	if _, err := takeFields(body); err != nil { // metadata
		return nil, err
	}
	switch input := texts["input"]; {
	case input == "":
		return nil, invalid("input is required.")
	case !isWebURL(input) && !strings.HasPrefix(input, "s3://"):
		return nil, invalid("input must be an http, https or s3 URL.")
	case !slices.Contains(jobKinds(), texts["kind"]):
		return nil, invalid("kind must be one of %s.", strings.Join(jobKinds(), ", "))
	case texts["output"] != "" && !strings.HasPrefix(texts["output"], "s3://"):
		return nil, invalid("output must be an s3 URL.")
	}
	if address := texts["webhook_url"]; address != "" {
		if err := e.CheckWebhookURL("webhook_url", address); err != nil {
			return nil, err
		}
	}
	now := time.Now()
	j := &job{ID: e.NewID("job"), Body: body, Status: "queued", CreatedAt: now, UpdatedAt: now}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.Jobs.set(j)
	e.Life.Go(func() { e.runJob(j) })
	return showJob(j), nil
}

// ListJobs gives so many jobs after the one with that id, the newest first.
func (e *Engine) ListJobs(limit int64, after string) []ordered.Object {
	e.mu.Lock()
	defer e.mu.Unlock()
	begun := after == ""
	shown, _ := e.Jobs.page(Window{1, limit}, func(j *job) bool {
		skip := !begun
		begun = begun || j.ID == after
		return !skip
	})
	return shown
}

// runJob takes a job to its end, and posts that.
func (e *Engine) runJob(j *job) {
	quarter := e.TaskDuration / 4
	if !e.Life.Pause(e.Life.Context(), quarter) {
		return
	}
	e.mu.Lock()
	j.Status, j.StartedAt, j.UpdatedAt = "processing", time.Now(), time.Now()
	e.mu.Unlock()
	if !e.Life.Pause(e.Life.Context(), e.TaskDuration-quarter) {
		return
	}
	e.mu.Lock()
	kind, now := j.Body.String("kind"), time.Now()
	j.Failure, j.FinishedAt, j.UpdatedAt = e.Outcomes[kind].Failure, now, now
	if j.Status = "failed"; j.Failure == "" {
		ext := map[string]string{"audio": "mp3", "image": "png", "animation": "gif", "adaptive_video": "m3u8"}[kind]
		if ext == "" {
			ext = "mp4"
		}
		if j.Status, j.Output = "succeeded", j.Body.String("output"); j.Output == "" {
			j.Output = FilesURL + "/" + j.ID + "." + ext
		}
	}
	shown := showJob(j)
	if j.Output != "" { // a webhook has an object here, where the API has a string
		shown = shown.Set("output", ordered.Object{}.Set("url", j.Output))
	}
	payload := ordered.Encode(shown)
	e.mu.Unlock()
	if address := j.Body.String("webhook_url"); address != "" {
		e.Deliver(address, payload)
	}
}

// showJob is a job as the API shows it. The caller holds Engine.mu.
func showJob(j *job) ordered.Object {
	ms := func(t time.Time) any {
		if t.IsZero() {
			return nil
		}
		return t.UnixMilli()
	}
	o := ordered.Object{}.Set("id", j.ID).Set("object", "job").Set("status", j.Status).
		Set("kind", j.Body.String("kind")).Set("input", j.Body.String("input")).Set("output", nil).
		Set("options", j.Body.OrNull("options")).Set("metadata", j.Body.OrNull("metadata")).Set("error", nil)
	return o.SetText("output", j.Output).SetText("error", j.Failure).Set("tasks", []string{}).
		Set("created_at", ms(j.CreatedAt)).Set("started_at", ms(j.StartedAt)).
		Set("finished_at", ms(j.FinishedAt)).Set("updated_at", ms(j.UpdatedAt))
}
