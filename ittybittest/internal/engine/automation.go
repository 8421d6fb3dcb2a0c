package engine

import (
	"encoding/json"
	"maps"
	"slices"

	"github.com/ittybit/ittybit-go/internal/jsonx"
	"github.com/ittybit/ittybit-go/ittybittest/internal/fields"
	"github.com/ittybit/ittybit-go/ittybittest/internal/refusal"
)

// automation has the fields that were sent, as they were.
type automation struct {
	ID               string
	Fields           fields.Object
	Created, Updated Time
}

// CreateAutomation creates an automation.
func (e *Engine) CreateAutomation(body fields.Object) (any, error) {
	for _, name := range []string{"trigger", "workflow"} {
		if jsonx.IsNull(body[name]) {
			return nil, refusal.Invalid("%s is required.", name)
		}
	}
	a := &automation{ID: e.NewID("auto"), Fields: fields.Of(map[string]string{"status": "active"}), Created: now()}
	if err := e.SetAutomation(a, body); err != nil {
		return nil, err
	}
	e.Automations.add(a)
	return showAutomation(a), nil
}

// SetAutomation sets the fields that were sent, known or not, and no others. One that was read may
// be sent back whole, and some generated clients send a header in the body.
func (e *Engine) SetAutomation(a *automation, body fields.Object) error {
	body = body.Without("id", "object", "created", "updated", "Accept-Version")
	for _, name := range slices.Sorted(maps.Keys(body)) {
		value, err := body[name], error(nil)
		switch name {
		case "name", "description":
			_, err = body.Text(name)
		case "trigger":
			err = checkTrigger(value)
		case "workflow":
			_, err = e.parseWorkflow(value)
		case "status":
			var status string
			if status, err = body.Text("status"); err == nil && status != "active" && status != "paused" {
				err = refusal.Invalid("status must be active or paused.")
			}
		}
		if err != nil {
			return err
		}
	}
	a.Fields, a.Updated = a.Fields.Merge(body), now()
	return nil
}

func checkTrigger(raw json.RawMessage) error {
	trigger, err := fields.Parse(raw)
	if err != nil {
		return refusal.Invalid("trigger %s.", err)
	}
	if trigger.String("kind") != "event" {
		return refusal.Invalid("trigger.kind must be \"event\".")
	}
	if event := trigger.String("event"); event != "media.created" && event != "task.completed" {
		return refusal.Invalid("trigger.event must be media.created or task.completed.")
	}
	return nil
}

// showAutomation gives back every field as it was sent.
func showAutomation(a *automation) any {
	return a.Fields.Merge(fields.Of(map[string]any{"id": a.ID, "object": "automation", "created": a.Created, "updated": a.Updated}))
}

// mediaCreated posts a new media object to the endpoint of the server, and runs the automations
// that wait for one, unless it was made by an automation: none can run without end.
func (e *Engine) mediaCreated(mediaID string, byAutomation bool) {
	about := subject{mediaID: mediaID}
	if e.Endpoint != "" {
		e.postStep(e.Endpoint, about)
	}
	if !byAutomation {
		e.trigger("media.created", about)
	}
}

// trigger runs the active automations that wait for an event, each in a goroutine of its own.
func (e *Engine) trigger(event string, about subject) {
	for _, a := range e.Automations.all() {
		awaited, _ := a.Fields.Find("trigger.event")
		if fields.Scalar(awaited) != event || a.Fields.String("status") != "active" {
			continue
		}
		steps, err := e.parseWorkflow(a.Fields["workflow"])
		own := about
		own.automationID = a.ID
		if err == nil { // it was checked before
			e.start(func() { e.runSteps(steps, own) })
		}
	}
}
