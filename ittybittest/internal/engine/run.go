package engine

import (
	"cmp"
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"github.com/ittybit/ittybit-go/ittybittest/internal/fields"
	"github.com/ittybit/ittybit-go/ittybittest/internal/refusal"
)

// run takes a task from pending to its end, and then runs its next steps. It returns when all of
// that ended.
func (e *Engine) run(t *task) {
	defer t.finish()
	quarter := e.TaskDuration / 4
	if e.pause(t, quarter); e.Life.Over() {
		return
	}
	e.advance(t, 0)
	if e.pause(t, quarter) {
		e.report(t, e.advance(t, 50))
		e.pause(t, e.TaskDuration-2*quarter)
	}
	if e.Life.Over() {
		return
	}
	if next, continues := e.end(t); continues {
		e.runSteps(t.Next, next)
	}
}

// pause lets time pass, unless the task is to end at once.
func (e *Engine) pause(t *task, d time.Duration) bool { return e.Life.Pause(t.hurry, d) }

// report posts a task that is under way, if the server was asked to.
func (e *Engine) report(t *task, payload []byte) {
	if e.ProgressWebhooks && t.WebhookURL != "" {
		e.Deliver(t.WebhookURL, payload)
	}
}

// advance sets the progress of a task that is processing, and returns it as a webhook shows it.
func (e *Engine) advance(t *task, progress int) []byte {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.setProgress(t, progress)
}

// setProgress is advance for a caller that holds e.mu.
func (e *Engine) setProgress(t *task, progress int) []byte {
	t.Status, t.Progress, t.Updated = "processing", progress, now()
	e.Changed(t.Task)
	return fields.Encode(t.Task)
}

// end completes a task, or lets it fail, and starts what follows from it. It returns what the
// task's next steps are about, and whether they run at all.
func (e *Engine) end(t *task) (next subject, continues bool) {
	e.mu.Lock()
	newMedia := ""
	t.Updated = now()
	if t.Error = cmp.Or(e.outcome(t).Failure, t.Unreachable); t.chosen != nil {
		t.Error = t.chosen.Failure
	}
	completed := t.Error == ""
	if t.Status = "failed"; completed {
		t.Status, t.Progress, t.Completed = "completed", 100, t.Updated
		newMedia = e.produce(t)
	}
	payload := fields.Encode(t.Task)
	next, continues = t.nextSubject(), completed && t.continues()
	e.Changed(t.Task)
	e.mu.Unlock()

	for _, address := range slices.Compact([]string{t.WebhookURL, e.Endpoint}) {
		if address != "" {
			e.Deliver(address, payload)
		}
	}
	if newMedia != "" {
		e.mediaCreated(newMedia, t.AutomationID != "")
	}
	if completed && t.AutomationID == "" {
		e.trigger("task.completed", subject{task: t, file: next.file, mediaID: t.MediaID})
	}
	return next, continues
}

// continues reports whether the next steps of a completed task run. Those of a conditions task
// do if its results say so. The caller holds e.mu.
func (t *task) continues() bool {
	results, _ := fields.Parse(t.Results)
	continues := false
	return t.spec.Kind != "conditions" || json.Unmarshal(results["continue"], &continues) == nil && continues
}

// outcome is what was chosen for a task, or else for its kind. The caller holds e.mu.
func (e *Engine) outcome(t *task) Outcome {
	if t.chosen != nil {
		return *t.chosen
	}
	return e.Outcomes[t.spec.Kind]
}

// Control changes a task that is under way: its progress, or what becomes of it, where these
// are not nil, and whether it ends at once.
func (e *Engine) Control(id string, progress *int, chosen *Outcome, end bool) error {
	e.mu.Lock()
	t, err := e.Tasks.find(id)
	if err == nil && t.isFinal() {
		err = refusal.New(http.StatusConflict, "Task %q has ended: it is %s.", id, t.Status)
	}
	if err == nil && chosen != nil {
		t.chosen = chosen
	}
	var payload []byte
	if err == nil && progress != nil { // before it can end: what has ended is not processing again
		payload = e.setProgress(t, *progress)
	}
	e.mu.Unlock()
	if err != nil {
		return err
	}
	if payload != nil {
		e.report(t, payload)
	}
	if end {
		t.finish()
	}
	return nil
}

// isFinal reports whether a task has ended. The caller holds e.mu.
func (t *task) isFinal() bool { return t.Status == "completed" || t.Status == "failed" }
