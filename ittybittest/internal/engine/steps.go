package engine

import (
	"encoding/json"
	"strconv"

	"github.com/ittybit/ittybit-go/internal/jsonx"
	"github.com/ittybit/ittybit-go/ittybittest/internal/fields"
	"github.com/ittybit/ittybit-go/ittybittest/internal/refusal"
)

// maxWorkflowDepth is how deep next steps may be nested.
const maxWorkflowDepth = 32

// spec is what a request for a task, or a workflow's step, asks for.
type spec struct {
	Kind, URL, FileID, WebhookURL string
	Conditions                    []condition
	Next                          []step
}

// step is one step of a workflow.
type step struct {
	spec
	Options fields.Object
}

// condition is one pair of a conditions step.
type condition struct {
	Prop  string          `json:"prop"`
	Value json.RawMessage `json:"value"`
}

// parseSpec checks what a request and a step have in common. Its steps may be nested depth
// levels deep.
func (e *Engine) parseSpec(body fields.Object, depth int) (sp spec, err error) {
	var unused string
	for _, field := range []struct {
		name string
		into *string
	}{
		{"kind", &sp.Kind}, {"url", &sp.URL}, {"file_id", &sp.FileID}, {"webhook_url", &sp.WebhookURL},
		{"filename", &unused}, {"folder", &unused}, {"ref", &unused}, {"description", &unused},
	} {
		if *field.into, err = body.Text(field.name); err != nil {
			return spec{}, err
		}
	}
	if sp.URL != "" && !isWebURL(sp.URL) {
		return spec{}, refusal.Invalid("url must be an absolute http or https URL.")
	}
	if sp.WebhookURL != "" {
		if err := e.CheckWebhookURL("webhook_url", sp.WebhookURL); err != nil {
			return spec{}, err
		}
	}
	if raw, sent := body["conditions"]; sent {
		if sp.Conditions, err = parseConditions(raw); err != nil {
			return spec{}, err
		}
	}
	if raw := body["next"]; !jsonx.IsNull(raw) {
		sp.Next, err = e.parseSteps("next", raw, depth)
	}
	return sp, err
}

// optionsOf are what a task shows as its options: all fields of the request, as they were sent, but
// for those that the task shows by themselves.
func optionsOf(body fields.Object) fields.Object {
	return body.Without("kind", "url", "file_id", "webhook_url")
}

// parseWorkflow checks a workflow, which has at least one step.
func (e *Engine) parseWorkflow(raw json.RawMessage) ([]step, error) {
	steps, err := e.parseSteps("workflow", raw, maxWorkflowDepth)
	if err == nil && len(steps) == 0 {
		err = refusal.Invalid("workflow must have at least one step.")
	}
	return steps, err
}

// parseSteps checks a workflow, or the next steps of a step or task.
func (e *Engine) parseSteps(where string, raw json.RawMessage, depth int) (steps []step, err error) {
	var items []json.RawMessage
	if jsonx.IsNull(raw) || json.Unmarshal(raw, &items) != nil {
		return nil, refusal.Invalid("%s must be an array of steps.", where)
	}
	if depth == 0 {
		return nil, refusal.Invalid("next steps can be nested %d levels deep at most.", maxWorkflowDepth)
	}
	for _, item := range items {
		st, err := e.parseStep(where, item, depth)
		if err != nil {
			return nil, err
		}
		steps = append(steps, st)
	}
	return steps, nil
}

func (e *Engine) parseStep(where string, raw json.RawMessage, depth int) (step, error) {
	body, err := fields.Parse(raw)
	if err != nil {
		return step{}, refusal.Invalid("A workflow step %s.", err)
	}
	sp, err := e.parseSpec(body, depth-1)
	if err != nil {
		return step{}, err
	}
	switch sp.Kind {
	case "":
		if where != "next" { // where Ittybit's SDKs let a step have none
			err = refusal.Invalid("A workflow step needs a kind.")
		}
	case "webhook":
		if err = e.CheckWebhookURL("url", sp.URL); sp.URL == "" {
			err = refusal.Invalid("A webhook step needs a url.")
		}
	case "conditions":
		if sp.Conditions == nil {
			err = errNoConditions()
		}
	case "subtitle": // as Ittybit's own examples spell it
		sp.Kind = "subtitles"
	default:
		err = e.checkKind("The kind of a workflow step", sp.Kind)
	}
	return step{sp, optionsOf(body).Without("next")}, err
}

func parseConditions(raw json.RawMessage) ([]condition, error) {
	var pairs []condition
	if json.Unmarshal(raw, &pairs) != nil || len(pairs) == 0 {
		return nil, errNoConditions()
	}
	for _, pair := range pairs {
		if pair.Prop == "" || jsonx.IsNull(pair.Value) || pair.Value[0] == '{' || pair.Value[0] == '[' {
			return nil, refusal.Invalid("Each of conditions needs a prop, and a value that is a string, a number or a boolean.")
		}
	}
	return pairs, nil
}

func errNoConditions() error {
	return refusal.Invalid("conditions must be an array of at least one {prop, value}.")
}

// subject is what the steps of a workflow are about.
type subject struct {
	task         *task // what triggered it, or the task before; nil for media
	after        bool  // the steps come after the task
	file         *File // what they work on; nil: the first source file of the media
	mediaID      string
	parentID     string // of the tasks that they make
	automationID string
}

// nextSubject is what the next steps of a task are about. They work on its output, or where that
// is no media, such as subtitles, on its input.
func (t *task) nextSubject() subject {
	about := subject{task: t, after: true, file: t.Input, mediaID: t.MediaID, parentID: t.ID, automationID: t.AutomationID}
	if t.Output.isSource() {
		about.file = t.Output
	}
	return about
}

// fileOf is the file that steps work on, or nil.
func (e *Engine) fileOf(about subject) *File {
	if about.file != nil {
		return about.file
	}
	if m, err := e.Media.find(about.mediaID); err == nil {
		return m.source()
	}
	return nil
}

// runSteps runs steps from top to bottom. It returns when all of them ended.
func (e *Engine) runSteps(steps []step, about subject) {
	for _, st := range steps {
		if e.Life.Over() {
			return
		}
		switch st.Kind {
		case "": // there is nothing to do
		case "webhook":
			e.postStep(st.URL, about)
			e.runSteps(st.Next, about)
		case "conditions":
			if _, failed := compare(st.Conditions, e.lookupOrder(about)); len(failed) == 0 {
				e.runSteps(st.Next, about)
			}
		default: // a task whose input is the file the steps are about, unless the step names its own
			t := &task{spec: st.spec, Task: Task{Options: st.Options, AutomationID: about.automationID, ParentID: about.parentID}, MediaID: about.mediaID}
			if file := e.fileOf(about); file != nil {
				t.Input = new(*file)
			}
			e.add(t)
			e.run(t)
		}
	}
}

// postStep posts what a workflow is about, unless that is media which was deleted.
func (e *Engine) postStep(address string, about subject) {
	if about.task != nil {
		shown := about.task.Task
		shown.AutomationID = about.automationID
		e.Deliver(address, fields.Encode(shown))
	} else if m, err := e.Media.find(about.mediaID); err == nil {
		e.Deliver(address, fields.Encode(MediaPayload{m.show(), e.ProjectID, about.automationID}))
	}
}

// lookupOrder are the objects in which a condition's prop is looked up: after a task its output
// (its input if there is none), its results and the task; for a task that triggered an
// automation the task first; then the media, and the file that the steps work on, which comes
// first for a conditions task.
func (e *Engine) lookupOrder(about subject) (order []fields.Object) {
	file := fields.Of(e.fileOf(about))
	if t := about.task; t != nil {
		shown, output := fields.Of(t.Task), file
		results, _ := fields.Parse(t.Results)
		if t.Output != nil {
			output = fields.Of(t.Output)
		}
		if order = []fields.Object{shown, results, output}; about.after {
			order = []fields.Object{output, results, shown}
		}
	}
	if about.file != nil {
		order = append(order, file)
	}
	if m, err := e.Media.find(about.mediaID); err == nil {
		order = append(order, fields.Of(m.show()))
	}
	return append(order, file)
}

// compare separates the conditions that are met from those that are not.
func compare(pairs []condition, order []fields.Object) (passed, failed []condition) {
	passed, failed = []condition{}, []condition{}
	for _, pair := range pairs {
		if equal(lookup(order, pair.Prop), pair.Value) {
			passed = append(passed, pair)
		} else {
			failed = append(failed, pair)
		}
	}
	return passed, failed
}

// lookup returns the value of the first object that has one.
func lookup(order []fields.Object, prop string) json.RawMessage {
	for _, o := range order {
		if value, ok := o.Find(prop); ok {
			return value
		}
	}
	return nil
}

// equal compares two JSON scalars. As the value of a condition is documented as a string, "100"
// equals 100 and "true" equals true.
func equal(a, b json.RawMessage) bool {
	x, y := fields.Scalar(a), fields.Scalar(b)
	m, errM := strconv.ParseFloat(x, 64)
	n, errN := strconv.ParseFloat(y, 64)
	return len(a) > 0 && (x == y || errM == nil && errN == nil && m == n)
}
