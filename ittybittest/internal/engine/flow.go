package engine

import (
	"encoding/json"
	"strconv"

	"github.com/ittybit/ittybit-go/ittybittest/internal/ordered"
)

// subject is what the steps of a workflow are about.
type subject struct {
	task         *Task          // what triggered it, or the task before; nil for media
	after        bool           // the steps come after the task, or belong to it
	file         ordered.Object // what they work on; nil: the first source file of the media
	mediaID      string
	parentID     string // of the tasks that they make
	automationID string
}

// announce posts a new media object to the endpoint of the server.
func (e *Engine) announce(mediaID string) {
	if payload := e.stepPayload(subject{mediaID: mediaID}); payload != nil && e.Endpoint != "" {
		e.Deliver(e.Endpoint, payload)
	}
}

// trigger runs the active automations that wait for an event, each in a goroutine of its own.
func (e *Engine) trigger(event string, about subject) {
	if event == "media.created" {
		e.announce(about.mediaID)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, a := range e.Automations.all() {
		awaited, _ := a.Fields.Find("trigger.event")
		if ordered.Scalar(awaited) != event || a.Fields.String("status") != "active" {
			continue
		}
		workflow, _ := a.Fields.Get("workflow")
		steps, err := e.parseWorkflow(workflow, maxWorkflowDepth)
		own := about
		own.automationID = a.ID
		if err == nil { // it was checked before
			e.Life.Go(func() { e.runSteps(steps, own) })
		}
	}
}

// runSteps runs steps from top to bottom. It returns when all of them ended, with the tasks
// among them that failed, except for webhooks, whose deliveries take their own time.
func (e *Engine) runSteps(steps []spec, about subject) (failed []*Task) {
	for _, st := range steps {
		if e.Life.Over() {
			return failed
		}
		switch st.kind {
		case "": // there is nothing to do
		case "webhook":
			if payload := e.stepPayload(about); payload != nil {
				e.Deliver(st.url, payload)
			}
			failed = append(failed, e.runSteps(st.next, about)...)
		case "conditions":
			if e.meets(st.conditions, about) {
				failed = append(failed, e.runSteps(st.next, about)...)
			}
		default:
			t := e.stepTask(st, about)
			e.add(t)
			failed = append(failed, e.run(t)...)
		}
	}
	return failed
}

// stepTask is the task a step asks for. Unless the step names its own input, that is the file
// the steps are about.
func (e *Engine) stepTask(st spec, about subject) *Task {
	e.mu.Lock()
	defer e.mu.Unlock()
	file := e.fileOf(about)
	return &Task{
		spec: st, AutomationID: about.automationID, ParentID: about.parentID, MediaID: about.mediaID,
		Input: file, InheritedFile: file,
	}
}

// childSubject is what the steps of a workflow task are about: the task and its input. The
// caller holds e.mu.
func (t *Task) childSubject() subject {
	return subject{task: t, after: true, file: t.Input, mediaID: t.MediaID, parentID: t.ID, automationID: t.AutomationID}
}

// nextSubject is what the next steps of a task are about. They work on its output, or where
// that is no media, such as subtitles, on its input. The caller holds e.mu.
func (t *Task) nextSubject() subject {
	about := t.childSubject()
	switch {
	case isSource(t.Output):
		about.file = t.Output
	case t.kind == "http": // its url is no media
		about.file = t.InheritedFile
	}
	return about
}

// stepPayload is what a webhook step posts, or nil if the media was deleted.
func (e *Engine) stepPayload(about subject) []byte {
	e.mu.Lock()
	defer e.mu.Unlock()
	var shown ordered.Object
	if m, err := e.Media.find(about.mediaID); about.task != nil {
		shown = e.showTask(about.task)
	} else if err == nil {
		shown = e.showMedia(m)
	} else {
		return nil
	}
	return ordered.Encode(shown.Set("project_id", e.ProjectID).SetText("automation_id", about.automationID))
}

// fileOf is the file that steps work on, or nil. The caller holds e.mu.
func (e *Engine) fileOf(about subject) ordered.Object {
	if m, err := e.Media.find(about.mediaID); err == nil && about.file == nil {
		return e.source(m)
	}
	return about.file
}

// meets reports whether every pair of a conditions step is met.
func (e *Engine) meets(pairs []condition, about subject) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	_, failed := compare(pairs, e.lookupOrder(about))
	return len(failed) == 0
}

// lookupOrder are the objects in which a condition's prop is looked up: after a task its output
// (its input if there is none), its results and the task; for a task that triggered an
// automation the task first. Then the file the steps work on, the media and its files; and by
// the names task, media and file each of them alone. The caller holds e.mu.
func (e *Engine) lookupOrder(about subject) (order []ordered.Object) {
	named, file := ordered.Object{}, e.fileOf(about)
	if t := about.task; t != nil {
		shown, output := e.showTask(t), t.Output
		results, _ := ordered.Parse(t.Results)
		if output == nil {
			output = file
		}
		order = []ordered.Object{shown, results, output}
		if about.after {
			order = []ordered.Object{output, results, shown}
		}
		named = named.Set("task", shown)
	}
	if about.task != nil || about.file != nil {
		order = append(order, file)
	}
	if m, err := e.Media.find(about.mediaID); err == nil {
		shown := e.showMedia(m)
		order = append(append(order, shown, file), e.filesOf(m)...)
		named = named.Set("media", shown)
	}
	if file != nil {
		named = named.Set("file", file)
	}
	return append(order, named)
}

// compare separates the conditions that are met from those that are not.
func compare(pairs []condition, order []ordered.Object) (passed, failed []condition) {
	passed, failed = []condition{}, []condition{}
	for _, pair := range pairs {
		if value, ok := lookup(order, pair.Prop); ok && equal(value, pair.Value) {
			passed = append(passed, pair)
		} else {
			failed = append(failed, pair)
		}
	}
	return passed, failed
}

// lookup returns the value of the first object that has one.
func lookup(order []ordered.Object, prop string) (json.RawMessage, bool) {
	for _, o := range order {
		if value, ok := o.Find(prop); ok {
			return value, true
		}
	}
	return nil, false
}

// equal compares two JSON scalars. As the value of a condition is documented as a string, "100"
// equals 100 and "true" equals true.
func equal(a, b json.RawMessage) bool {
	x, y := ordered.Scalar(a), ordered.Scalar(b)
	m, errM := strconv.ParseFloat(x, 64)
	n, errN := strconv.ParseFloat(y, 64)
	return x == y || errM == nil && errN == nil && m == n
}
