package ittybit

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ittybit/ittybit-go/internal/jsonx"
)

// EventType says what happened. It is an open type: Ittybit may send types that are not named here.
type EventType string

// The types of events. Ittybit's webhooks documentation lists media.created and task.completed; the
// others come from what else a webhook may carry and from later versions of the API.
const (
	EventMediaCreated  EventType = "media.created"
	EventTaskCreated   EventType = "task.created"
	EventTaskUpdated   EventType = "task.updated"
	EventTaskCompleted EventType = "task.completed"
	EventTaskSucceeded EventType = "task.succeeded" // what later API versions call task.completed
	EventTaskFailed    EventType = "task.failed"
	EventTaskCancelled EventType = "task.cancelled"
	EventJobSucceeded  EventType = "job.succeeded"
	EventJobFailed     EventType = "job.failed"
	EventJobCancelled  EventType = "job.cancelled"

	// EventUnknown is a JSON object that is none of the payloads known here.
	EventUnknown EventType = "unknown"
)

// The errors of [ParseEvent], for [errors.Is].
var (
	// ErrMalformedEvent: a webhook's body is not a JSON object.
	ErrMalformedEvent = errors.New("ittybit: the event is not a JSON object")
	// ErrUnroutableEvent: an event's id, object, kind or status is there, or that of the task,
	// media or job in it, and is not a string: nobody can say which handler it is for.
	ErrUnroutableEvent = errors.New("ittybit: the event cannot be routed")
)

// Event is what a webhook brought. At most one of Task, Media and Job is set.
type Event struct {
	ID           string    // of the event itself; only later API versions have one
	Type         EventType // what happened
	CreatedAt    time.Time // when; zero where the payload does not say
	ProjectID    string
	AutomationID string // of the automation that ran, if one did

	Task  *Task
	Media *Media
	Job   *Job

	decoded
	subject subject
}

// String names the event in a few words, for logs, without its payload.
func (e Event) String() string { return fmt.Sprintf("event %s (%s)", e.Key(), e.Type) }

// GoString is String, so that %#v prints no payload either.
func (e Event) GoString() string { return e.String() }

// RawJSON gives the payload as it was received, and of an event that [EventFromTask] made, the
// task's JSON at that time. It must not be changed, and is nil for an event that was put together
// by hand.
func (e *Event) RawJSON() json.RawMessage { return e.raw }

// MarshalJSON gives the payload as it was received, whatever was changed in e since. That of an
// event that was put together by hand has the form of API version 2025-12-01.
func (e Event) MarshalJSON() ([]byte, error) {
	if e.raw != nil {
		return e.raw, nil
	}
	wire := struct {
		ID           string    `json:"id,omitempty"`
		Object       string    `json:"object"`
		Kind         EventType `json:"kind,omitempty"`
		Data         any       `json:"data,omitempty"`
		ProjectID    string    `json:"project_id,omitempty"`
		AutomationID string    `json:"automation_id,omitempty"`
		CreatedAt    time.Time `json:"created_at,omitzero"`
	}{e.ID, "event", e.Type, nil, e.ProjectID, e.AutomationID, e.CreatedAt}
	switch {
	case e.Task != nil:
		wire.Data = e.Task
	case e.Media != nil:
		wire.Data = e.Media
	case e.Job != nil:
		wire.Data = e.Job
	}
	return jsonx.Marshal(wire)
}

// UnmarshalJSON is [ParseEvent]; null changes nothing.
func (e *Event) UnmarshalJSON(data []byte) error {
	if jsonx.IsNull(data) {
		return nil
	}
	parsed, err := ParseEvent(data)
	if err != nil {
		return err
	}
	*e = *parsed
	return nil
}

// JobStatus is how far a job is. It is an open type: Ittybit may send statuses that are not
// named here.
type JobStatus string

// The statuses of jobs.
const (
	JobStatusQueued     JobStatus = "queued"
	JobStatusProcessing JobStatus = "processing"
	JobStatusSucceeded  JobStatus = "succeeded"
	JobStatusFailed     JobStatus = "failed"
	JobStatusCancelled  JobStatus = "cancelled"
)

// end gives the end that s means, in the spelling of the 2026 API; "" for none.
func (s JobStatus) end() JobStatus {
	switch _, end := TaskStatus(s).meaning(); end {
	case TaskStatusCompleted:
		return JobStatusSucceeded
	case TaskStatusFailed:
		return JobStatusFailed
	case TaskStatusCancelled:
		return JobStatusCancelled
	}
	return ""
}

// Job is the unit of work of the 2026 API version, as its webhooks carry it.
type Job struct {
	ID       string          `json:"id"`
	Object   string          `json:"object,omitempty"` // "job"
	Kind     TaskKind        `json:"kind,omitempty"`
	Status   JobStatus       `json:"status,omitempty"`
	Input    json.RawMessage `json:"input,omitempty"`  // a URL, as a rule
	Output   json.RawMessage `json:"output,omitempty"` // a URL, as a rule
	Options  json.RawMessage `json:"options,omitempty"`
	Metadata map[string]any  `json:"metadata,omitempty"` // its numbers are json.Number
	Error    *TaskError      `json:"error,omitempty"`
	Tasks    []*Task         `json:"tasks,omitempty"`
	Created  time.Time       `json:"created_at,omitzero"`
	Started  time.Time       `json:"started_at,omitzero"`
	Updated  time.Time       `json:"updated_at,omitzero"`
	Finished time.Time       `json:"finished_at,omitzero"`

	decoded
}

// String names the job in a few words, for logs.
func (j Job) String() string {
	return fmt.Sprintf("job %s (kind %s, status %s)", j.ID, j.Kind, j.Status)
}

// GoString is String, so that %#v prints no payload either.
func (j Job) GoString() string { return j.String() }

// Terminal reports whether the job has ended, well or badly: a spelling of succeeded, failed
// or cancelled, as in the table of [TaskStatus].
func (j *Job) Terminal() bool { return j.Status.end() != "" }

// UnmarshalJSON implements [json.Unmarshaler].
func (j *Job) UnmarshalJSON(data []byte) error { return unmarshalObject(j, data) }

// MarshalJSON gives everything that was decoded back, changed fields changed.
func (j Job) MarshalJSON() ([]byte, error) { return marshalObject(&j, nil) }

func (j *Job) objectID() string { return j.ID }

func (j *Job) fromJSON(text []byte) error {
	err := decodeObject(j, "job", text)
	if j.Error != nil && *j.Error == (TaskError{}) {
		j.Error = nil // an empty text says nothing
	}
	return err
}

// ParseEvent reads the body of a webhook: a bare task or media object (API version
// 2025-08-20), an event with its data (2025-12-01), or a job (2026). Any other JSON
// object is an [EventUnknown], so that nothing Ittybit may send one day is refused. What is
// not a JSON object is [ErrMalformedEvent]. A field that can't be decoded is left zero, and
// named by DecodeError; where it is one that routes the event, that is [ErrUnroutableEvent].
//
// ParseEvent does not verify anything: see [WebhookVerifier] and [WebhookHandler].
func ParseEvent(body []byte) (*Event, error) { return parseEvent(bytes.Clone(body)) }

// parseEvent reads body and keeps it.
func parseEvent(body []byte) (*Event, error) {
	if !jsonx.IsObject(body) {
		return nil, ErrMalformedEvent
	}
	if err := jsonx.Check(body); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformedEvent, err)
	}
	both := &struct { // one piece of memory: the common event is about a task
		event Event
		task  Task
	}{task: Task{decoded: decoded{raw: body}}}
	e, task := &both.event, &both.task
	wire := taskWire{Task: task} // the fields of any other payload have the names of a task's
	object := jsonx.NewObject(body)
	wire.scan(&object)
	if object.Err() != nil {
		if err := routingError("", body); err != nil {
			return nil, err
		}
	}
	e.raw, e.ProjectID, e.AutomationID = body, task.ProjectID, task.AutomationID
	switch payloadOf(task.Object, task.ID, wire.data) {
	case "event":
		if err := e.readEvent(task, wire.createdAt, orNil(wire.data), object.Err()); err != nil {
			return nil, err
		}
	case "task":
		wire.finish(&object)
		_ = task.keep(body, "task", task.ID, object.Err()) // body is an object
		e.readTask(task)
	case "media":
		e.readMedia(body)
	case "job":
		e.readJob(body)
	}
	if e.Type == "" {
		e.Type = EventUnknown
		e.subject = subject{object: task.Object, id: task.ID, status: string(task.Status)}
	}
	return e, nil
}

// routingError names the fields of an object, at path, that are there, decide what becomes of
// an event, and are not strings. Of fields with the same name the last one counts.
func routingError(path string, text []byte) error {
	names := [...]string{"id", "object", "kind", "status"}
	var wrong [len(names)]bool
	object := jsonx.NewObject(text)
	for object.Next() {
		if i := slices.Index(names[:], string(object.Name())); i >= 0 {
			wrong[i] = !jsonx.IsNull(object.Value()) && object.Value()[0] != '"'
		}
	}
	var errs jsonx.FieldErrors
	for i, name := range names {
		if wrong[i] {
			errs = errs.Add(path+name, errNotString)
		}
	}
	if errs == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrUnroutableEvent, errs)
}

var (
	errNotString = errors.New("is not a string")
	errNotObject = errors.New("is not an object")
)

// payloadOf tells the payloads apart: by their object field, else (one of Ittybit's
// 2026 guides shows none) by the prefix of the id.
func payloadOf(object, id string, data json.RawMessage) string {
	switch {
	case object == "event", object == "" && strings.HasPrefix(id, "evt_") && jsonx.IsObject(data):
		return "event"
	case id == "":
		return "" // whatever it is: it can't be told from its like
	case object != "":
		return object
	case strings.HasPrefix(id, "task_"), strings.HasPrefix(id, "tsk_"):
		return "task"
	case strings.HasPrefix(id, "med_"):
		return "media"
	case strings.HasPrefix(id, "job_"):
		return "job"
	}
	return ""
}

func (e *Event) readTask(task *Task) {
	e.Task, e.err = task, task.err
	_, end := task.meaning()
	e.Type = cmp.Or(taskEndType(end), EventTaskUpdated)
	e.CreatedAt = cmp.Or(task.Completed, task.Updated, task.Created)
	e.subject = e.findSubject()
}

func (e *Event) readMedia(body []byte) {
	media := new(Media)
	_ = media.fromJSON(body) // it is an object
	if media.ID == "" {
		return
	}
	e.Media, e.Type, e.err = media, EventMediaCreated, media.err
	e.CreatedAt = cmp.Or(media.Created, media.Updated)
	e.subject = e.findSubject()
}

func (e *Event) readJob(body []byte) {
	job := new(Job)
	_ = job.fromJSON(body) // it is an object
	if job.ID == "" || job.Status == "" {
		return
	}
	e.Job, e.Type, e.err = job, EventType("job."+job.Status), job.err
	e.CreatedAt = cmp.Or(job.Finished, job.Updated, job.Created)
	e.subject = e.findSubject()
}

// readEvent reads the form {id, object: "event", kind, data, created_at}, whose fields have
// been scanned as if they were a task's, with the errors in scanned.
func (e *Event) readEvent(event *Task, createdAt time.Time, data json.RawMessage, scanned error) error {
	kind := EventType(event.Kind)
	if kind == "" {
		return nil
	}
	e.ID, e.Type = event.ID, kind
	e.CreatedAt = cmp.Or(createdAt, event.Created)
	errs := eventFields(scanned)
	var dataErr error
	if prefix, _, _ := strings.Cut(string(kind), "."); data != nil {
		dataErr = e.readData(prefix, event, data)
	}
	if dataErr != nil {
		if err := routingError("data.", data); err != nil {
			return err
		}
		errs = errs.Add("data", dataErr)
	}
	if len(errs) > 0 {
		_ = e.keep(e.raw, "event", e.ID, errs) // which it keeps
	}
	e.subject = e.findSubject()
	return nil
}

// eventFields chooses those of the errors of a scan that are about fields of an event.
func eventFields(scanned error) jsonx.FieldErrors {
	if scanned == nil {
		return nil // before anything is allocated
	}
	all, _ := errors.AsType[jsonx.FieldErrors](scanned) // a scan has no others
	return slices.DeleteFunc(slices.Clone(all), func(f jsonx.FieldError) bool {
		return !slices.Contains([]string{"created", "created_at", "project_id", "automation_id"}, f.Path)
	})
}

// readData reads what an event is about. An error names the fields that could not be decoded.
func (e *Event) readData(prefix string, spare *Task, data json.RawMessage) error {
	var about *decoded
	switch prefix {
	case "task":
		task := spare // whose memory is free by now
		if about = &task.decoded; task.fromJSON(data) == nil && task.ID != "" {
			e.Task = task
			e.ProjectID, e.AutomationID = cmp.Or(e.ProjectID, task.ProjectID), cmp.Or(e.AutomationID, task.AutomationID)
		}
	case "media":
		media := new(Media)
		if about = &media.decoded; media.fromJSON(data) == nil && media.ID != "" {
			e.Media = media
			e.ProjectID, e.AutomationID = cmp.Or(e.ProjectID, media.ProjectID), cmp.Or(e.AutomationID, media.AutomationID)
		}
	case "job":
		job := new(Job)
		if about = &job.decoded; job.fromJSON(data) == nil && job.ID != "" {
			e.Job = job
		}
	default:
		return nil
	}
	if !jsonx.IsObject(data) {
		return errNotObject
	}
	return about.err
}

// EventFromTask makes the event that a webhook would have brought for the task as it
// is now, so that a task that was polled goes through the same handlers, under the
// same key, and marshals as it is now. A nil task gives an [EventUnknown].
func EventFromTask(task *Task) *Event {
	if task == nil {
		return &Event{Type: EventUnknown}
	}
	e := &Event{decoded: decoded{raw: task.raw}, ProjectID: task.ProjectID, AutomationID: task.AutomationID}
	var read bytes.Buffer
	_ = json.Compact(&read, task.raw) // stays empty for a task that was put together by hand
	if text, err := jsonx.Marshal(task); err == nil && !bytes.Equal(text, read.Bytes()) {
		e.raw = text // it was changed since
	}
	e.readTask(task)
	return e
}
