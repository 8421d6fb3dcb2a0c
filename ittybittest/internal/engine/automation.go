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
	e.mu.Lock()
	defer e.mu.Unlock()
	a := e.newRecord("auto", nil)
	if err := e.change(a, ordered.Object{}.Set("status", "active").Merge(body)); err != nil {
		return nil, err
	}
	e.Automations.set(a)
	return showAutomation(a), nil
}

// UpdateAutomation changes the fields that were sent.
func (e *Engine) UpdateAutomation(id string, body ordered.Object) (ordered.Object, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	a, err := e.Automations.find(id)
	if err == nil {
		err = e.change(a, body)
	}
	if err != nil {
		return nil, err
	}
	return showAutomation(a), nil
}

// change sets the fields that were sent, known or not, and no others. The caller holds e.mu.
func (e *Engine) change(a *record, body ordered.Object) error {
	body = body.Without("id", "object", "created", "updated", // one that was read may be sent back whole
		"Accept-Version") // some generated clients send this header in the body
	for _, f := range body {
		var err error
		switch f.Name {
		case "name", "description":
			_, err = body.Text(f.Name)
		case "trigger":
			err = checkTrigger(f.Value)
		case "workflow":
			_, err = e.parseWorkflow(f.Value, maxWorkflowDepth)
		case "status":
			var status string
			if status, err = body.Text("status"); err == nil && status != "active" && status != "paused" {
				err = invalid("status must be active or paused.")
			}
		}
		if err != nil {
			return err
		}
	}
	a.Fields, a.Updated = a.Fields.Merge(body), time.Now()
	return nil
}

func checkTrigger(raw json.RawMessage) error {
	trigger, err := ordered.Parse(raw)
	if err != nil {
		return invalid("trigger %s.", err)
	}
	if trigger.String("kind") != "event" {
		return invalid("trigger.kind must be \"event\".")
	}
	if event := trigger.String("event"); event != "media.created" && event != "task.completed" {
		return invalid("trigger.event must be media.created or task.completed.")
	}
	return nil
}

// parseWorkflow checks a workflow, which has at least one step. The caller holds e.mu.
func (e *Engine) parseWorkflow(raw json.RawMessage, depth int) ([]spec, error) {
	steps, err := e.parseSteps("workflow", raw, depth)
	if err == nil && len(steps) == 0 {
		err = invalid("workflow must have at least one step.")
	}
	return steps, err
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
func showAutomation(a *record) ordered.Object {
	return ordered.Object{}.Set("id", a.ID).Set("object", "automation").Merge(a.Fields).
		Set("created", timestamp(a.Created)).Set("updated", timestamp(a.Updated))
}
