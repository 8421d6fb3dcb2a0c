package engine

import (
	"context"
	"encoding/json"
)

// Snapshot is the state as JSON.
func (e *Engine) Snapshot() ([]byte, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return json.Marshal(e.state)
}

// Load takes the state of a snapshot into an engine that is new. Tasks and jobs that were under
// way start again; but the children of a workflow task that does are gone, as it makes new ones.
func (e *Engine) Load(data []byte) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := json.Unmarshal(data, &e.state); err != nil {
		return err
	}
	for _, file := range e.Files.all() {
		e.setFile(file)
	}
	for _, t := range e.Tasks.all() {
		if err := e.loadTask(t); err != nil {
			return err
		}
	}
	for _, j := range e.Jobs.all() {
		if j.FinishedAt.IsZero() {
			e.Life.Go(func() { e.runJob(j) })
		}
	}
	return nil
}

func (e *Engine) loadTask(t *Task) (err error) {
	if t.spec, err = e.parseSpec(t.Body, maxWorkflowDepth); err != nil {
		return err
	}
	if t.kind == "subtitle" {
		t.kind = "subtitles"
	}
	if t.ParentID != "" || t.AutomationID != "" {
		t.options = t.options.Without("next")
	}
	if parent := e.Tasks.byID[t.ParentID]; t.ParentID != "" && (parent == nil || !parent.isFinal()) {
		e.Tasks.remove(t.ID)
		return nil
	}
	if t.hurry, t.finish = context.WithCancel(e.Life.Context()); !t.isFinal() {
		t.Status, t.Progress = "pending", 0
		e.Life.Go(func() { e.run(t) })
	}
	return nil
}
