package engine

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/ittybit/ittybit-go/ittybittest/internal/ordered"
)

// maxWorkflowDepth is how deep next steps may be nested.
const maxWorkflowDepth = 32

// automation keeps its fields as they were sent, known or not.
type automation struct {
	ID      string
	Fields  ordered.Object
	Status  string
	Created time.Time
	Updated time.Time
	event   string
	steps   []spec
}

// condition is one pair of a conditions step.
type condition struct {
	Prop  string          `json:"prop"`
	Value json.RawMessage `json:"value"`
}

// CreateAutomation creates an automation.
func (e *Engine) CreateAutomation(body ordered.Object) (ordered.Object, error) {
	for _, name := range []string{"trigger", "workflow"} {
		if _, ok := body.Get(name); !ok {
			return nil, invalid("%s is required.", name)
		}
	}
	now := time.Now()
	a := &automation{ID: e.NewID("auto"), Status: "active", Created: now, Updated: now}
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.change(a, body); err != nil {
		return nil, err
	}
	e.automations.set(a.ID, a)
	return showAutomation(a), nil
}

// GetAutomation gives an automation.
func (e *Engine) GetAutomation(id string) (ordered.Object, error) {
	return getFrom(e, &e.automations, "Automation", id, showAutomation)
}

// ListAutomations gives a page of the automations.
func (e *Engine) ListAutomations(w Window) ([]ordered.Object, int64) {
	return pageOf(e, &e.automations, w, showAutomation)
}

// UpdateAutomation changes the fields that were sent.
func (e *Engine) UpdateAutomation(id string, body ordered.Object) (ordered.Object, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	a, ok := e.automations.get(id)
	if !ok {
		return nil, notFound("Automation", id)
	}
	changed := *a
	if err := e.change(&changed, body); err != nil {
		return nil, err
	}
	changed.Updated = time.Now()
	*a = changed
	return showAutomation(a), nil
}

// DeleteAutomation deletes an automation.
func (e *Engine) DeleteAutomation(id string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.automations.remove(id) {
		return notFound("Automation", id)
	}
	return nil
}

// change sets the fields that were sent, and no others. The caller holds e.mu.
func (e *Engine) change(a *automation, body ordered.Object) error {
	for _, f := range body {
		switch f.Name {
		case "id", "object", "created", "updated":
			continue // an automation that was read may be sent back whole
		case "Accept-Version":
			continue // some generated clients send this header in the body
		case "name", "description":
			if _, err := body.Text(f.Name); err != nil {
				return err
			}
		case "trigger":
			event, err := parseTrigger(f.Value)
			if err != nil {
				return err
			}
			a.event = event
		case "workflow":
			steps, err := e.parseSteps("workflow", f.Value, maxWorkflowDepth)
			if err != nil {
				return err
			}
			if len(steps) == 0 {
				return invalid("workflow must have at least one step.")
			}
			a.steps = steps
		case "status":
			status, err := body.Text("status")
			if err != nil {
				return err
			}
			if status != "active" && status != "paused" {
				return invalid("status must be active or paused.")
			}
			a.Status = status
		}
		a.Fields = a.Fields.Set(f.Name, f.Value)
	}
	return nil
}

func parseTrigger(raw json.RawMessage) (event string, err error) {
	trigger, err := ordered.Parse(raw)
	if err != nil {
		return "", invalid("trigger %s.", err)
	}
	if trigger.String("kind") != "event" {
		return "", invalid("trigger.kind must be \"event\".")
	}
	event = trigger.String("event")
	if event != "media.created" && event != "task.completed" {
		return "", invalid("trigger.event must be media.created or task.completed.")
	}
	return event, nil
}

// parseSteps checks a workflow, or the next steps of a step or task. The caller holds e.mu.
func (e *Engine) parseSteps(where string, raw json.RawMessage, depth int) ([]spec, error) {
	items, ok := ordered.Array(raw)
	if !ok {
		return nil, invalid("%s must be an array of steps.", where)
	}
	if depth == 0 {
		return nil, invalid("next steps can be nested %d levels deep at most.", maxWorkflowDepth)
	}
	steps := make([]spec, 0, len(items))
	for _, item := range items {
		st, err := e.parseStep(where, item, depth)
		if err != nil {
			return nil, err
		}
		steps = append(steps, st)
	}
	return steps, nil
}

func (e *Engine) parseStep(where string, raw json.RawMessage, depth int) (spec, error) {
	fields, err := ordered.Parse(raw)
	if err != nil {
		return spec{}, invalid("A workflow step %s.", err)
	}
	st, err := e.parseSpec(fields, depth-1)
	if err != nil {
		return spec{}, err
	}
	st.options = st.options.Without("next")
	switch st.kind {
	case "":
		if where != "next" { // where Ittybit's SDKs let a step have none
			return spec{}, invalid("A workflow step needs a kind.")
		}
		return st, nil
	case "webhook":
		if st.url == "" {
			return spec{}, invalid("A webhook step needs a url.")
		}
		return st, e.CheckWebhookURL("url", st.url)
	case "conditions":
		if len(st.conditions) == 0 {
			return spec{}, errNoConditions()
		}
		return st, nil
	case "subtitle": // as Ittybit's own examples spell it
		st.kind = "subtitles"
		return st, nil
	}
	if e.checkKind(st.kind) != nil {
		kinds := slices.Concat(taskKinds(), []string{"webhook"})
		return spec{}, invalid("A workflow step of kind %q is not known: it must be one of %s.", st.kind, strings.Join(kinds, ", "))
	}
	return st, nil
}

func parseConditions(raw json.RawMessage) ([]condition, error) {
	var pairs []condition
	if len(raw) == 0 || json.Unmarshal(raw, &pairs) != nil || len(pairs) == 0 {
		return nil, errNoConditions()
	}
	for _, pair := range pairs {
		if pair.Prop == "" || ordered.IsNull(pair.Value) || pair.Value[0] == '{' || pair.Value[0] == '[' {
			return nil, invalid("Each of conditions needs a prop, and a value that is a string, a number or a boolean.")
		}
	}
	return pairs, nil
}

func errNoConditions() error {
	return invalid("conditions must be an array of at least one {prop, value}.")
}

// showAutomation gives back every field as it was sent. The caller holds Engine.mu.
func showAutomation(a *automation) ordered.Object {
	o := ordered.Object{}.Set("id", a.ID).Set("object", "automation")
	first := []string{"name", "description", "trigger", "workflow"}
	for _, name := range first {
		if a.Fields.Has(name) {
			o = o.Set(name, a.Fields.OrNull(name))
		}
	}
	o = o.Set("status", a.Status).Merge(a.Fields.Without(append(first, "status")...))
	return o.Set("created", timestamp(a.Created)).Set("updated", timestamp(a.Updated))
}
