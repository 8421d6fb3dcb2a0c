package engine

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/ittybit/ittybit-go/ittybittest/internal/ordered"
)

// run takes a task from pending to its end, and then runs its next steps. It returns when all
// of that ended, with the tasks that failed.
func (e *Engine) run(t *Task) (failed []*Task) {
	defer t.finish()
	quarter := e.TaskDuration / 4
	if e.pause(t, quarter); e.Life.Over() {
		return nil
	}
	e.advance(t, 0)
	var children []*Task
	if t.kind == "workflow" && t.Unreachable == "" {
		children = e.runWorkflow(t)
	} else if e.pause(t, quarter) {
		e.report(t, e.advance(t, 50))
		e.pause(t, e.TaskDuration-2*quarter)
	}
	if e.Life.Over() {
		return nil
	}
	subject, continues, completed := e.end(t, children)
	if !completed {
		failed = append(failed, t)
	}
	if continues {
		failed = append(failed, e.runSteps(t.next, subject)...)
	}
	return failed
}

// pause lets time pass, unless the task is to end at once.
func (e *Engine) pause(t *Task, d time.Duration) bool { return e.Life.Pause(t.hurry, d) }

// runWorkflow runs the steps of a workflow task. Its progress is the share of them that ended.
func (e *Engine) runWorkflow(t *Task) (failed []*Task) {
	e.mu.Lock()
	e.fetchInput(t, time.Now())
	subject := t.childSubject()
	e.mu.Unlock()
	for i, all := 1, len(t.steps); i <= all; i++ {
		failed = append(failed, e.runSteps(t.steps[i-1:i], subject)...)
		if i == all || t.hurry.Err() != nil {
			break
		}
		payload := e.advance(t, 100*i/all)
		if i == (all+1)/2 {
			e.report(t, payload)
		}
	}
	return failed
}

// report posts a task that is under way, if the server was asked to.
func (e *Engine) report(t *Task, payload []byte) {
	if e.ProgressWebhooks && t.webhookURL != "" {
		e.Deliver(t.webhookURL, payload)
	}
}

// advance sets the progress of a task that is processing, and returns the task as a webhook shows it.
func (e *Engine) advance(t *Task, progress int) []byte {
	e.mu.Lock()
	defer e.mu.Unlock()
	t.Status, t.Progress, t.Updated = "processing", progress, time.Now()
	shown := e.showTask(t)
	e.Changed(shown)
	return ordered.Encode(shown)
}

// end completes a task, or lets it fail, and starts what follows from it. It returns what the
// task's next steps are about, and whether they run at all. Children that failed let a workflow
// task fail too.
func (e *Engine) end(t *Task, children []*Task) (next subject, continues, completed bool) {
	e.mu.Lock()
	now := time.Now()
	t.Updated = now
	newMedia := ""
	t.Failure = cmp.Or(e.outcome(t).Failure, t.Unreachable, failureOf(children))
	if t.chosen != nil {
		t.Failure = t.chosen.Failure
	}
	if completed = t.Failure == ""; completed {
		t.Status, t.Progress, t.Completed = "completed", 100, now
		newMedia = e.produce(t, now)
	} else {
		t.Status = "failed"
	}
	shown := e.showTask(t)
	payload := ordered.Encode(shown)
	next = t.nextSubject()
	continues = completed && t.continues()
	e.Changed(shown)
	e.mu.Unlock()

	for _, address := range slices.Compact([]string{t.webhookURL, e.Endpoint}) {
		if address != "" {
			e.Deliver(address, payload)
		}
	}
	if newMedia != "" && t.AutomationID != "" {
		e.announce(newMedia)
	}
	if t.AutomationID != "" {
		return next, continues, completed // what an automation made triggers none
	}
	if newMedia != "" {
		e.trigger("media.created", subject{mediaID: newMedia})
	}
	if completed {
		e.trigger("task.completed", subject{task: t, file: next.file, mediaID: t.MediaID})
	}
	return next, continues, completed
}

// failureOf is why a workflow task fails: "" if none of its children did. The caller holds e.mu.
func failureOf(failed []*Task) string {
	if len(failed) == 0 {
		return ""
	}
	first := failed[0]
	return fmt.Sprintf("%d of the workflow's tasks failed, the first of them %s (%s): %s", len(failed), first.ID, first.kind, first.Failure)
}

// continues reports whether the next steps of a completed task run. Those of a conditions task
// do if its results say so. The caller holds e.mu.
func (t *Task) continues() bool {
	if t.kind != "conditions" {
		return true
	}
	results, _ := ordered.Parse(t.Results)
	raw, _ := results.Get("continue")
	continues := false
	return json.Unmarshal(raw, &continues) == nil && continues
}

// outcome is what was chosen for a task, or else for its kind. The caller holds e.mu.
func (e *Engine) outcome(t *Task) Outcome {
	if t.chosen != nil {
		return *t.chosen
	}
	return e.Outcomes[t.kind]
}

// Control changes a task that is under way: its progress, or what becomes of it, where these
// are not nil, and whether it ends at once.
func (e *Engine) Control(id string, progress *int, chosen *Outcome, end bool) error {
	e.mu.Lock()
	t, err := e.Tasks.find(id)
	switch {
	case err != nil:
		e.mu.Unlock()
		return err
	case t.isFinal():
		e.mu.Unlock()
		return &Error{Conflict, fmt.Sprintf("Task %q has ended: it is %s.", id, t.Status)}
	}
	if chosen != nil {
		t.chosen = chosen
	}
	e.mu.Unlock()
	if progress != nil {
		e.report(t, e.advance(t, *progress))
	}
	if end {
		t.finish()
	}
	return nil
}

// isFinal reports whether a task has ended. The caller holds e.mu.
func (t *Task) isFinal() bool { return t.Status == "completed" || t.Status == "failed" }
