package engine

import (
	"context"
	"encoding/json"

	"github.com/ittybit/ittybit-go/ittybittest/internal/ordered"
)

// state is what a snapshot keeps.
type state struct {
	ProjectID   string
	Tasks       []*Task
	Automations []*automation
	Media       []*media
	Files       []ordered.Object
	Jobs        []*job
	Samples     map[string]Sample
	Outcomes    map[string]Outcome
}

// Snapshot is the state as JSON.
func (e *Engine) Snapshot() ([]byte, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return json.Marshal(state{
		e.projectID, e.tasks.all(), e.automations.all(), e.media.all(), e.files.all(), e.jobs.all(), e.samples, e.outcomes,
	})
}

// Load takes the state of a snapshot into an engine that is new. Tasks and jobs that were under
// way start again; but the children of a workflow task that does are gone, as it makes new ones.
func (e *Engine) Load(data []byte) error {
	var s state
	if err := json.Unmarshal(data, &s); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.projectID = s.ProjectID
	for kind, o := range s.Outcomes {
		e.outcomes[kind] = o
	}
	for id, sample := range s.Samples {
		e.samples[id] = sample
	}
	for _, m := range s.Media {
		e.media.set(m.ID, m)
	}
	for _, file := range s.Files {
		e.setFile(file)
	}
	for _, a := range s.Automations {
		if err := e.change(a, a.Fields); err != nil {
			return err
		}
		e.automations.set(a.ID, a)
	}
	for _, t := range s.Tasks {
		if err := e.loadTask(t); err != nil {
			return err
		}
	}
	for _, j := range s.Jobs {
		if e.jobs.set(j.ID, j); j.FinishedAt.IsZero() {
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
	parent, known := e.tasks.get(t.ParentID)
	if t.ParentID != "" && (!known || !parent.isFinal()) {
		return nil
	}
	t.hurry, t.finish = context.WithCancel(e.Life.Context())
	if e.tasks.set(t.ID, t); !t.isFinal() {
		t.Status, t.Progress = "pending", 0
		e.Life.Go(func() { e.run(t) })
	}
	return nil
}
