package ittybit

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"net/http"
	"reflect"
	"slices"
	"time"

	"github.com/ittybit/ittybit-go/internal/jsonx"
)

// AutomationStatus says whether an automation runs. It is an open type.
type AutomationStatus string

// The statuses of automations (API version 2025-08-20).
const (
	AutomationStatusActive AutomationStatus = "active"
	AutomationStatusPaused AutomationStatus = "paused"
)

// Automation is a workflow and what sets it off.
type Automation struct {
	ID          string  `json:"id"`
	Object      string  `json:"object,omitempty"` // "automation"; not always sent
	Name        string  `json:"name,omitempty"`
	Description string  `json:"description,omitempty"`
	Trigger     Trigger `json:"trigger,omitzero"`
	// Workflow are the steps. A workflow that can't be decoded at all, because it is not a
	// list, is one empty step that stands for it: see [AutomationsService.Update].
	Workflow []WorkflowStep   `json:"workflow"`
	Status   AutomationStatus `json:"status,omitempty"`
	Created  time.Time        `json:"created,omitzero"`
	Updated  time.Time        `json:"updated,omitzero"`

	decoded
}

// String names the automation in a few words, for logs.
func (a Automation) String() string {
	return fmt.Sprintf("automation %s (status %s, %d steps)", a.ID, a.Status, len(a.Workflow))
}

// GoString is String, so that %#v prints no payload either.
func (a Automation) GoString() string { return a.String() }

// UnmarshalJSON implements [json.Unmarshaler].
func (a *Automation) UnmarshalJSON(data []byte) error { return unmarshalObject(a, data) }

// MarshalJSON gives everything that was decoded back, changed fields changed.
func (a Automation) MarshalJSON() ([]byte, error) { return marshalObject(&a, nil) }

func (a *Automation) objectID() string { return a.ID }

func (a *Automation) fromJSON(text []byte) error {
	err := decodeObject(a, "automation", text)
	if err != nil || a.err == nil || a.Workflow != nil {
		return err
	}
	if workflow := jsonx.Get(text, "workflow"); workflow != nil {
		a.Workflow = []WorkflowStep{{preserved: []jsonx.Field{{Name: wholeValue, Value: workflow}}, isWorkflow: true}}
	}
	return nil
}

// TriggerKind says what a trigger waits for. It is an open type.
type TriggerKind string

// TriggerKindEvent is the one kind of trigger that API version 2025-08-20 has.
const TriggerKindEvent TriggerKind = "event"

// Trigger says what sets an automation off. [OnEvent] makes one.
type Trigger struct {
	Kind  TriggerKind `json:"kind,omitempty"`
	Event EventType   `json:"event,omitempty"`

	// Extra are further fields; those read from the API are kept here.
	Extra map[string]any `json:"-"`

	preserved []jsonx.Field
}

// OnEvent is the trigger of an event: [EventMediaCreated], or [EventTaskCompleted],
// which the webhooks documentation lists and the automations documentation does not.
func OnEvent(event EventType) Trigger { return Trigger{Kind: TriggerKindEvent, Event: event} }

// IsZero reports whether t is unset.
func (t Trigger) IsZero() bool {
	return t.Kind == "" && t.Event == "" && len(t.Extra) == 0 && len(t.preserved) == 0
}

// MarshalJSON implements [json.Marshaler].
func (t Trigger) MarshalJSON() ([]byte, error) {
	return flattenParams(t, t.preserved, nil, t.Extra)
}

// UnmarshalJSON implements [json.Unmarshaler].
func (t *Trigger) UnmarshalJSON(data []byte) error {
	*t = Trigger{}
	if jsonx.IsNull(data) { // later API versions have automations without one
		return nil
	}
	unknown, err := readParams(data, t, &t.preserved)
	return cmp.Or(err, setExtra(&t.Extra, unknown))
}

// WorkflowStep is one step of an automation's workflow: a task, or one of the kinds
// "webhook" and "conditions". A step that was read from the API and is sent back
// loses nothing, also not what this SDK does not know.
type WorkflowStep struct {
	Kind TaskKind `json:"kind,omitempty"` // required, but for steps in Next
	Ref  string   `json:"ref,omitempty"`  // names the output in the media's URLs
	URL  string   `json:"url,omitempty"`  // of a webhook or http step

	// Conditions decide whether Next runs. They are for steps of kind "conditions".
	Conditions []Condition `json:"conditions,omitzero"`
	// Next runs after this step, with its output.
	Next []WorkflowStep `json:"next,omitzero"`

	// Options are those of the kind, such as [VideoOptions]. They stand beside Kind on the wire.
	Options TaskOptions `json:"-"`
	// Extra are further fields. Those read from the API that neither WorkflowStep
	// nor the type of Options knows are kept here, their numbers as [json.Number].
	Extra map[string]any `json:"-"`

	preserved  []jsonx.Field // fields that were read and would not be written the same
	isWorkflow bool          // it stands for a workflow that is not a list of steps
}

// WebhookStep is a step that posts to url what set the automation off, or what the
// step before it made.
func WebhookStep(url, ref string) WorkflowStep {
	return WorkflowStep{Kind: TaskKindWebhook, URL: url, Ref: ref}
}

// HTTPStep is a step of kind "http" that calls url. The API's enumeration of step kinds
// has it, but nothing else about it is documented: it may be what the webhooks page calls
// a webhook step. Further fields go into [RawOptions].
func HTTPStep(url, ref string) WorkflowStep {
	return WorkflowStep{Kind: TaskKindHTTP, URL: url, Ref: ref}
}

// ConditionsStep is a step whose next steps run where the conditions hold.
func ConditionsStep(conditions []Condition, next ...WorkflowStep) WorkflowStep {
	return WorkflowStep{Kind: TaskKindConditions, Conditions: conditions, Next: next}
}

// Condition compares a property of the media or file, such as "kind", with a value.
// Only equality is documented.
type Condition struct {
	Prop  string `json:"prop,omitempty"`
	Value any    `json:"value,omitempty"` // a string, as far as is documented

	// Extra are further fields; those read from the API are kept here.
	Extra map[string]any `json:"-"`

	preserved []jsonx.Field
}

// MarshalJSON implements [json.Marshaler].
func (c Condition) MarshalJSON() ([]byte, error) {
	return flattenParams(c, c.preserved, nil, c.Extra)
}

// UnmarshalJSON implements [json.Unmarshaler].
func (c *Condition) UnmarshalJSON(data []byte) error {
	*c = Condition{}
	unknown, err := readParams(data, c, &c.preserved)
	return cmp.Or(err, setExtra(&c.Extra, unknown))
}

// String is the JSON of the step, for logs, without signatures.
func (s WorkflowStep) String() string { return printedJSON(s) }

// GoString is String, so that %#v prints no signature either.
func (s WorkflowStep) GoString() string { return s.String() }

// MarshalJSON puts the options and the extra fields beside the others.
func (s WorkflowStep) MarshalJSON() ([]byte, error) {
	return flattenParams(s, s.preserved, s.Options, s.Extra)
}

// UnmarshalJSON implements [json.Unmarshaler].
func (s *WorkflowStep) UnmarshalJSON(data []byte) error {
	*s = WorkflowStep{}
	unknown, err := readParams(data, s, &s.preserved)
	if t := typedOptions[s.Kind]; t != nil {
		unknown = s.readOptions(jsonx.FieldNames(t), unknown)
	}
	return cmp.Or(err, setExtra(&s.Extra, unknown))
}

// readOptions reads the fields with these names as options of the step's kind, and gives the
// others. What does not fit, or would be refused, is kept raw.
func (s *WorkflowStep) readOptions(names []string, fields []jsonx.Field) (others []jsonx.Field) {
	isOther := func(f jsonx.Field) bool { return !slices.Contains(names, f.Name) }
	own := slices.DeleteFunc(slices.Clone(fields), isOther)
	if len(own) == 0 {
		return fields
	}
	s.Options = decodeOptions(s.Kind, own)
	if s.Options == nil || s.Options.check(nil) != nil {
		s.Options = rawOptions(own)
	}
	return slices.DeleteFunc(fields, func(f jsonx.Field) bool { return !isOther(f) })
}

// check says what is wrong with the step at path, such as "Workflow[0]".
func (s WorkflowStep) check(path string, top bool, insecure insecureHosts) error {
	switch {
	case s.Kind == "" && top && !s.hasPreserved("kind"):
		return &ParamError{Param: path + ".Kind", Reason: "is required"}
	case s.Kind == AnyTaskKind:
		return &ParamError{Param: path + ".Kind", Reason: "must be one kind: AnyTaskKind is for handlers"}
	case s.posts() && s.URL == "" && !s.hasPreserved("url"):
		return &ParamError{Param: path + ".URL", Reason: fmt.Sprintf("is required for a %s step", s.Kind)}
	case s.posts() && s.URL != "":
		if err := insecure.checkWebhookURL(path+".URL", s.URL); err != nil {
			return err
		}
	case s.Kind == TaskKindConditions && len(s.Conditions) == 0 && !s.hasPreserved("conditions"):
		return &ParamError{Param: path + ".Conditions", Reason: "are required for a conditions step"}
	}
	if s.Conditions != nil && s.isUndecoded("conditions") {
		return &ParamError{Param: path + ".Conditions", Reason: undecodedReason}
	}
	if s.Next != nil && s.isUndecoded("next") {
		return &ParamError{Param: path + ".Next", Reason: undecodedReason}
	}
	if err := checkOptions(path+".Options", s.Kind, s.Options, insecure); err != nil {
		return err
	}
	return checkSteps(path+".Next", s.Next, false, insecure)
}

// posts reports whether the step calls its URL. One of kind http may have that elsewhere,
// for its fields are not documented.
func (s WorkflowStep) posts() bool {
	return s.Kind == TaskKindWebhook || s.Kind == TaskKindHTTP && (s.URL != "" || s.Options == nil && len(s.Extra) == 0)
}

// hasPreserved reports whether a field was read that does not fit its field.
func (s WorkflowStep) hasPreserved(name string) bool {
	return jsonx.Index(s.preserved, name) >= 0 || jsonx.Index(s.preserved, wholeValue) >= 0
}

// isUnreadWorkflow reports whether the step stands for a workflow that is not a list of steps,
// and was not changed.
func (s WorkflowStep) isUnreadWorkflow() bool {
	return s.isWorkflow && reflect.DeepEqual(s, WorkflowStep{preserved: s.preserved, isWorkflow: true})
}

// undecodedReason refuses a list that was appended to what could not be decoded.
const undecodedReason = "would replace what was read in its place and cannot be decoded: to replace it, make a new step"

// isUndecoded reports whether a field was read whose value does not fit, and is not null.
func (s WorkflowStep) isUndecoded(name string) bool {
	i := jsonx.Index(s.preserved, name)
	return i >= 0 && !jsonx.IsNull(s.preserved[i].Value)
}

// checkSteps checks a workflow, or the steps below one, which Ittybit lets go without a kind.
func checkSteps(path string, steps []WorkflowStep, top bool, insecure insecureHosts) error {
	for i, step := range steps {
		if step.isWorkflow {
			return &ParamError{Param: fmt.Sprintf("%s[%d]", path, i), Reason: "stands for a workflow that cannot be decoded (see DecodeError): to replace that, leave this step out"}
		}
		if err := step.check(fmt.Sprintf("%s[%d]", path, i), top, insecure); err != nil {
			return err
		}
	}
	return nil
}

func checkWorkflow(steps []WorkflowStep, insecure insecureHosts) error {
	if len(steps) == 0 {
		return &ParamError{Param: "Workflow", Reason: "must have at least one step"}
	}
	return checkSteps("Workflow", steps, true, insecure)
}

func checkTrigger(t Trigger) error {
	switch {
	case t.IsZero():
		return &ParamError{Param: "Trigger", Reason: "is required, such as OnEvent(EventMediaCreated)"}
	case t.Kind == TriggerKindEvent && t.Event == "":
		return &ParamError{Param: "Trigger.Event", Reason: "is required for a trigger of kind event"}
	}
	return nil
}

// AutomationCreateParams are the parameters of [AutomationsService.Create].
type AutomationCreateParams struct {
	Name        string           `json:"name,omitempty"`
	Description string           `json:"description,omitempty"`
	Trigger     Trigger          `json:"trigger"`          // required
	Workflow    []WorkflowStep   `json:"workflow"`         // required, at least one step
	Status      AutomationStatus `json:"status,omitempty"` // active, where it is not set
}

func (p AutomationCreateParams) check(insecure insecureHosts) error {
	if err := checkTrigger(p.Trigger); err != nil {
		return err
	}
	return checkWorkflow(p.Workflow, insecure)
}

// AutomationUpdateParams are the parameters of [AutomationsService.Update]. What is
// nil is left alone.
type AutomationUpdateParams struct {
	Name        *string           `json:"name,omitempty"`
	Description *string           `json:"description,omitempty"`
	Trigger     *Trigger          `json:"trigger,omitempty"`
	Workflow    []WorkflowStep    `json:"workflow,omitzero"` // replaces the workflow
	Status      *AutomationStatus `json:"status,omitempty"`
}

func (p AutomationUpdateParams) check(insecure insecureHosts) error {
	if p.Trigger != nil {
		if err := checkTrigger(*p.Trigger); err != nil {
			return err
		}
	}
	if p.Workflow == nil {
		return nil
	}
	return checkWorkflow(p.Workflow, insecure)
}

// AutomationListParams choose a page of [AutomationsService.List].
type AutomationListParams struct {
	Page  int `url:"page,omitempty"`  // from 1; 0 is the first
	Limit int `url:"limit,omitempty"` // items a page, 1 to 100; 0 leaves it to Ittybit, which takes 10
}

// AutomationsService calls /automations. Use it as Client.Automations.
type AutomationsService struct{ client *Client }

// Create makes an automation. What is wrong with params is a [*ParamError], before anything is
// sent. An error that matches [ErrOutcomeUnknown] means that the automation may exist.
func (s *AutomationsService) Create(ctx context.Context, params AutomationCreateParams, opts ...RequestOption) (*Automation, error) {
	if err := params.check(s.client.insecure); err != nil {
		return nil, err
	}
	return do[Automation](ctx, s.client, call{method: http.MethodPost, path: "/automations", body: params, creates: true}, opts)
}

// Get fetches an automation.
func (s *AutomationsService) Get(ctx context.Context, id string, opts ...RequestOption) (*Automation, error) {
	return doByID[Automation](ctx, s.client, http.MethodGet, "/automations/", id, nil, opts)
}

// List fetches a page of automations.
func (s *AutomationsService) List(ctx context.Context, params AutomationListParams, opts ...RequestOption) (*Page[Automation], error) {
	return list[Automation](ctx, s.client, "/automations", params, params.Page, params.Limit, opts)
}

// All iterates over the automations from the page that params choose to the last one, fetching
// pages as it goes. An error is yielded alone, and last. To delete them, collect the ids first: see
// [Page].
func (s *AutomationsService) All(ctx context.Context, params AutomationListParams, opts ...RequestOption) iter.Seq2[*Automation, error] {
	return all(ctx, func() (*Page[Automation], error) { return s.List(ctx, params, opts...) })
}

// Update changes an automation; what params leave nil stays as it is. To change one
// step, get the automation, change it in its Workflow, and send that back whole.
//
// A workflow that can't be decoded stays as it is where it is sent back unchanged; with steps
// appended, which would replace it, it is a [*ParamError].
func (s *AutomationsService) Update(ctx context.Context, id string, params AutomationUpdateParams, opts ...RequestOption) (*Automation, error) {
	if len(params.Workflow) == 1 && params.Workflow[0].isUnreadWorkflow() {
		params.Workflow = nil
	}
	if err := params.check(s.client.insecure); err != nil {
		return nil, err
	}
	return doByID[Automation](ctx, s.client, http.MethodPatch, "/automations/", id, params, opts)
}

// Delete deletes an automation.
func (s *AutomationsService) Delete(ctx context.Context, id string, opts ...RequestOption) error {
	return deleteByID(ctx, s.client, "/automations/", id, opts)
}
