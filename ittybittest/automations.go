package ittybittest

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"
)

// maxWorkflowDepth is how deep next steps may be nested.
const maxWorkflowDepth = 32

// automation keeps its fields as they were sent, known or not. Server.mu
// guards it.
type automation struct {
	id      string
	fields  object
	event   string
	status  string
	steps   []taskSpec
	created time.Time
	updated time.Time
}

// condition is one pair of a conditions step.
type condition struct {
	Prop  string          `json:"prop"`
	Value json.RawMessage `json:"value"`
}

func (s *Server) createAutomation(r *request) (*response, error) {
	for _, name := range []string{"trigger", "workflow"} {
		if _, ok := r.body.get(name); !ok {
			return nil, badRequest("%s is required.", name)
		}
	}
	now := time.Now()
	a := &automation{id: newID("auto"), status: "active", created: now, updated: now}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.change(a, r.body); err != nil {
		return nil, err
	}
	s.automations.add(a.id, a)
	return reply(http.StatusCreated, s.showAutomation(a)), nil
}

func (s *Server) getAutomation(r *request) (*response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, ok := s.automations.get(r.id)
	if !ok {
		return nil, notFound("automation", r.id)
	}
	return reply(http.StatusOK, s.showAutomation(a)), nil
}

func (s *Server) listAutomations(r *request) (*response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return page(s, r, s.automations.newestFirst(nil), defaultAutomationLimit, s.showAutomation)
}

func (s *Server) updateAutomation(r *request) (*response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, ok := s.automations.get(r.id)
	if !ok {
		return nil, notFound("automation", r.id)
	}
	changed := *a
	if err := s.change(&changed, r.body); err != nil {
		return nil, err
	}
	*a = changed
	a.updated = time.Now()
	return reply(http.StatusOK, s.showAutomation(a)), nil
}

func (s *Server) deleteAutomation(r *request) (*response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.automations.remove(r.id) {
		return nil, notFound("automation", r.id)
	}
	return reply(http.StatusOK, object{}.set("message", "Automation "+r.id+" deleted")), nil
}

// change sets the members that were sent, and no others. The caller holds s.mu.
func (s *Server) change(a *automation, body object) error {
	for _, m := range body {
		switch m.name {
		case "id", "object", "created", "updated":
			continue // an automation that was read may be sent back whole
		case "name", "description":
			if _, err := body.text(m.name); err != nil {
				return err
			}
		case "trigger":
			event, err := parseTrigger(m.value)
			if err != nil {
				return err
			}
			a.event = event
		case "workflow":
			steps, err := s.parseSteps("workflow", m.value, maxWorkflowDepth)
			if err != nil {
				return err
			}
			if len(steps) == 0 {
				return badRequest("workflow must have at least one step.")
			}
			a.steps = steps
		case "status":
			status, err := body.text("status")
			if err != nil {
				return err
			}
			if status != "active" && status != "paused" {
				return badRequest("status must be active or paused.")
			}
			a.status = status
		}
		a.fields = a.fields.set(m.name, m.value)
	}
	return nil
}

func parseTrigger(raw json.RawMessage) (event string, err error) {
	trigger, parseErr := parseObject(raw)
	if parseErr != nil {
		return "", badRequest("trigger %s.", parseErr)
	}
	kind, err := trigger.text("kind")
	if err != nil || kind != "event" {
		return "", badRequest("trigger.kind must be \"event\".")
	}
	event, err = trigger.text("event")
	if err != nil || (event != "media.created" && event != "task.completed") {
		return "", badRequest("trigger.event must be media.created or task.completed.")
	}
	return event, nil
}

// parseSteps checks a workflow, or the next steps of a step or task. The caller
// holds s.mu.
func (s *Server) parseSteps(where string, raw json.RawMessage, depth int) ([]taskSpec, error) {
	items, ok := splitArray(raw)
	if !ok {
		return nil, badRequest("%s must be an array of steps.", where)
	}
	if depth == 0 {
		return nil, badRequest("next steps can be nested %d levels deep at most.", maxWorkflowDepth)
	}
	steps := make([]taskSpec, 0, len(items))
	for _, item := range items {
		st, err := s.parseStep(where, item, depth)
		if err != nil {
			return nil, err
		}
		steps = append(steps, st)
	}
	return steps, nil
}

func (s *Server) parseStep(where string, raw json.RawMessage, depth int) (taskSpec, error) {
	fields, parseErr := parseObject(raw)
	if parseErr != nil {
		return taskSpec{}, badRequest("A workflow step %s.", parseErr)
	}
	st, err := s.parseTaskSpec(fields, depth-1)
	if err != nil {
		return taskSpec{}, err
	}
	st.options = st.options.without("next")
	switch st.kind {
	case "":
		if where != "next" { // where Ittybit's SDKs let a step have none
			return taskSpec{}, badRequest("A workflow step needs a kind.")
		}
		return st, nil
	case "webhook":
		if st.url == "" {
			return taskSpec{}, badRequest("A webhook step needs a url.")
		}
		return st, checkWebhookURL("url", st.url)
	case "conditions":
		if len(st.conditions) == 0 {
			return taskSpec{}, errNoConditions()
		}
		return st, nil
	case "subtitle": // as Ittybit's own examples spell it
		st.kind = "subtitles"
		return st, nil
	}
	if kinds := slices.Concat(taskKinds(), []string{"webhook"}); s.checkKind(st.kind) != nil {
		return taskSpec{}, badRequest("A workflow step of kind %q is not known: it must be one of %s.", st.kind, strings.Join(kinds, ", "))
	}
	return st, nil
}

func parseConditions(raw json.RawMessage) ([]condition, error) {
	var pairs []condition
	if len(raw) == 0 || json.Unmarshal(raw, &pairs) != nil || len(pairs) == 0 {
		return nil, errNoConditions()
	}
	for _, pair := range pairs {
		if pair.Prop == "" || !isScalar(pair.Value) {
			return nil, badRequest("Each of conditions needs a prop, and a value that is a string, a number or a boolean.")
		}
	}
	return pairs, nil
}

func errNoConditions() error {
	return badRequest("conditions must be an array of at least one {prop, value}.")
}

func isScalar(raw json.RawMessage) bool {
	return !isNull(raw) && raw[0] != '{' && raw[0] != '['
}

// showAutomation gives back every member as it was sent. The caller holds s.mu.
func (s *Server) showAutomation(a *automation) object {
	o := object{}.set("id", a.id).set("object", "automation")
	for _, name := range []string{"name", "description", "trigger", "workflow"} {
		if a.fields.has(name) {
			o = o.set(name, a.fields.orNull(name))
		}
	}
	o = append(o.set("status", a.status), a.fields.without("name", "description", "trigger", "workflow", "status")...)
	return o.set("created", timestamp(a.created)).set("updated", timestamp(a.updated))
}
