package engine

import (
	"cmp"
	"encoding/json"
	"net/http"
	"slices"

	"github.com/ittybit/ittybit-go/ittybittest/internal/fields"
	"github.com/ittybit/ittybit-go/ittybittest/internal/refusal"
)

// run takes a task from pending to its end, and then runs its next steps. It returns when all of
// that ended.
func (e *Engine) run(t *task) {
	defer t.finish()
	quarter := e.TaskDuration / 4
	if e.pause(t.hurry, quarter); e.Life.Over() {
		return
	}
	e.setProgress(t, 0)
	if e.pause(t.hurry, quarter) {
		e.setProgress(t, 50)
		e.reportProgress(t)
		e.pause(t.hurry, e.TaskDuration-2*quarter)
	}
	if e.Life.Over() {
		return
	}
	if next, continues := e.end(t); continues {
		e.runSteps(t.Next, next)
	}
}

func (e *Engine) setProgress(t *task, progress int) {
	t.Status, t.Progress, t.Updated = "processing", progress, now()
	e.Changed(t.Task)
}

// reportProgress posts a task that is under way, if the server was asked to.
func (e *Engine) reportProgress(t *task) {
	if e.ProgressWebhooks && t.WebhookURL != "" {
		e.Deliver(t.WebhookURL, fields.Encode(t.Task))
	}
}

// end completes a task, or lets it fail, and starts what follows from it. It returns what the
// task's next steps are about, and whether they run at all.
func (e *Engine) end(t *task) (next subject, continues bool) {
	newMedia, o := "", e.outcome(t)
	t.Updated = now()
	if t.Error = cmp.Or(o.Failure, t.Unreachable); t.chosen != nil {
		t.Error = o.Failure
	}
	completed := t.Error == ""
	if t.Status = "failed"; completed {
		t.Status, t.Progress, t.Completed = "completed", 100, t.Updated
		newMedia = e.produce(t)
	}
	e.Changed(t.Task)
	for _, address := range slices.Compact([]string{t.WebhookURL, e.Endpoint}) {
		if address != "" {
			e.Deliver(address, fields.Encode(t.Task))
		}
	}
	next = t.nextSubject()
	if newMedia != "" {
		e.mediaCreated(newMedia, t.AutomationID != "")
	}
	if completed && t.AutomationID == "" {
		e.trigger("task.completed", subject{task: t, file: next.file, mediaID: t.MediaID})
	}
	return next, completed && t.continues()
}

// continues reports whether the next steps of a completed task run. Those of a conditions task
// do if its results say so.
func (t *task) continues() bool {
	results, _ := fields.Parse(t.Results)
	continues := false
	return t.spec.Kind != "conditions" || json.Unmarshal(results["continue"], &continues) == nil && continues
}

// outcome is what was chosen for a task, or else for its kind.
func (e *Engine) outcome(t *task) Outcome {
	if t.chosen != nil {
		return *t.chosen
	}
	return e.Outcomes[t.spec.Kind]
}

// Control changes a task that is under way: its progress, or what becomes of it, where these
// are not nil, and whether it ends at once. It locks by itself.
func (e *Engine) Control(id string, progress *int, chosen *Outcome, end bool) error {
	e.Lock()
	defer e.Unlock()
	t, err := e.Tasks.find(id)
	if err != nil {
		return err
	}
	if t.isFinal() {
		return refusal.New(http.StatusConflict, "Task %q has ended: it is %s.", id, t.Status)
	}
	if t.chosen = cmp.Or(chosen, t.chosen); progress != nil { // before it can end
		e.setProgress(t, *progress)
		e.reportProgress(t)
	}
	if end {
		t.finish()
	}
	return nil
}

// isFinal reports whether a task has ended.
func (t *task) isFinal() bool { return t.Status == "completed" || t.Status == "failed" }
