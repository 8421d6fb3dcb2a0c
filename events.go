package ittybit

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ittybit/ittybit-go/internal/jsonx"
)

// EventType says what happened. It is an open type: Ittybit may send types that are
// not named here.
type EventType string

// The types of events. Ittybit's webhooks documentation lists media.created and
// task.completed; the others come from what else a webhook may carry and from later
// versions of the API.
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

// canonical gives the type that stands for t: a task's end has one type, whichever of its
// spellings t is in.
func (t EventType) canonical() EventType {
	status, isTask := strings.CutPrefix(string(t), "task.")
	if !isTask {
		return t
	}
	_, end := TaskStatus(status).meaning()
	return cmp.Or(taskEndType(end), t)
}

// taskEndType gives the type of event that the end of a task is; "" for none.
func taskEndType(end TaskStatus) EventType {
	switch end {
	case TaskStatusCompleted:
		return EventTaskCompleted
	case TaskStatusFailed:
		return EventTaskFailed
	case TaskStatusCancelled:
		return EventTaskCancelled
	}
	return ""
}

// ErrMalformedEvent is matched when a webhook's body is not a JSON object.
var ErrMalformedEvent = errors.New("ittybit: the event is not a JSON object")

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

	raw     json.RawMessage
	subject subject
}

// subject is what the event is about, for the key.
type subject struct {
	object, id, status string
	end                bool // the event is the end of the object, and status its usual spelling
}

// String names the event in a few words, for logs, without its payload.
func (e Event) String() string { return fmt.Sprintf("event %s (%s)", e.Key(), e.Type) }

// GoString is String, so that %#v prints no payload either.
func (e Event) GoString() string { return e.String() }

// RawJSON gives the payload as it was received, and of an event that [EventFromTask] made, the
// task's JSON. It must not be changed, and is nil for an event that was put together by hand.
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

// Key names what happened: it is the same on every redelivery, and different for every
// other happening. Keys are stored in databases and do not change between versions:
//
//	event                                                        key
//	with an id of its own (API version 2025-12-01)               evt:<id>
//	end of a task: completed, succeeded                          task:<id>:completed
//	end of a task: ready, with an output or results              task:<id>:ready
//	end of a task: failed, error                                 task:<id>:failed
//	end of a task: cancelled, canceled                           task:<id>:cancelled
//	end of a job: succeeded, completed                           job:<id>:succeeded
//	end of a job: failed, error                                  job:<id>:failed
//	end of a job: cancelled, canceled                            job:<id>:cancelled
//	any other state of a task or job                             <object>:<id>:<status>:<digest>
//	media                                                        media:<id>:<digest>
//	anything else                                                <object or type>:<id>[:<status>]:<digest>
//
// A task ends once, and the key of its end is the same whether it came by webhook, in the
// payload of any API version, or by polling (see [EventFromTask]). The digest is that of
// the body, 32 hex digits: two progress updates are two events, and so are two payloads
// about one media object.
func (e *Event) Key() string {
	if e.ID != "" {
		return "evt:" + e.ID
	}
	s := e.subject
	if s == (subject{}) {
		s = e.findSubject()
	}
	key := s.object + ":" + s.id
	if s.status != "" {
		key += ":" + s.status
	}
	if s.end && s.id != "" {
		return key
	}
	digest := sha256.Sum256(e.canonicalJSON())
	return key + ":" + hex.EncodeToString(digest[:16])
}

// canonicalJSON gives the payload in the one form that json.Marshal puts it into, so that an
// event has the same digest before and after it was marshalled. What can't be marshalled
// has that of nothing.
func (e *Event) canonicalJSON() []byte {
	text, err := e.MarshalJSON()
	var compact, escaped bytes.Buffer
	if err != nil || json.Compact(&compact, text) != nil {
		return nil
	}
	json.HTMLEscape(&escaped, compact.Bytes())
	return escaped.Bytes()
}

// findSubject finds what the event is about.
func (e *Event) findSubject() subject {
	switch {
	case e.Task != nil:
		s := subject{object: "task", id: e.Task.ID, status: string(e.Task.Status)}
		// Where the type says something else, such as a late task.updated with a task that
		// has ended meanwhile, the key of the end stays free for the event that is the end.
		_, end := e.Task.meaning()
		if end != "" && (e.Type == "" || e.Type.canonical() == taskEndType(end)) {
			s.end = true
			if e.Task.Status != TaskStatusReady {
				s.status = string(end)
			}
		}
		return s
	case e.Media != nil:
		return subject{object: "media", id: e.Media.ID}
	case e.Job != nil:
		s := subject{object: "job", id: e.Job.ID, status: string(e.Job.Status)}
		status, isJob := strings.CutPrefix(string(e.Type), "job.")
		if end := e.Job.Status.end(); end != "" && (e.Type == "" || isJob && JobStatus(status).end() == end) {
			s.end, s.status = true, string(end)
		}
		return s
	default:
		return subject{object: string(e.Type)}
	}
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
func (j Job) MarshalJSON() ([]byte, error) {
	type plain Job
	return marshalObject(&j, plain(j), nil)
}

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
// object is an [EventUnknown], so that nothing Ittybit may send one day is refused;
// what is no JSON object is [ErrMalformedEvent]. Odd members never spoil the rest.
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
	wire := taskWire{Task: task} // any other payload is told by the members that it shares with a task
	object := jsonx.NewObject(body)
	wire.scan(&object)
	e.raw, e.ProjectID, e.AutomationID = body, task.ProjectID, task.AutomationID
	switch payloadOf(task.Object, task.ID, wire.data) {
	case "event":
		e.readEvent(task, wire.createdAt, orNil(wire.data))
	case "task":
		wire.finish(&object)
		_ = task.keep(body, "task", task.ID, object.Err()) // a field does not spoil the end of a task
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

// payloadOf tells the payloads apart: by their object member, else (one of Ittybit's
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
	e.Task = task
	_, end := task.meaning()
	e.Type = cmp.Or(taskEndType(end), EventTaskUpdated)
	e.CreatedAt = firstNonZero(task.Completed, task.Updated, task.Created)
	e.subject = e.findSubject()
}

func (e *Event) readMedia(body []byte) {
	media := new(Media)
	_ = media.fromJSON(body) // an odd member does not spoil the rest
	if media.ID == "" {
		return
	}
	e.Media, e.Type = media, EventMediaCreated
	e.CreatedAt = firstNonZero(media.Created, media.Updated)
	e.subject = e.findSubject()
}

func (e *Event) readJob(body []byte) {
	job := new(Job)
	_ = job.fromJSON(body) // an odd member does not spoil the rest
	if job.ID == "" || job.Status == "" {
		return
	}
	e.Job, e.Type = job, EventType("job."+job.Status)
	e.CreatedAt = firstNonZero(job.Finished, job.Updated, job.Created)
	e.subject = e.findSubject()
}

// readEvent reads the form {id, object: "event", kind, data, created_at}, whose members have
// been scanned as if they were a task's.
func (e *Event) readEvent(event *Task, createdAt time.Time, data json.RawMessage) {
	kind := EventType(event.Kind)
	if kind == "" {
		return
	}
	e.ID, e.Type = event.ID, kind
	e.CreatedAt = firstNonZero(createdAt, event.Created)
	object, _, _ := strings.Cut(string(kind), ".")
	switch object {
	case "task":
		task := event           // whose memory is free by now
		_ = task.fromJSON(data) // an odd member does not spoil the rest
		if task.ID == "" {
			break
		}
		e.Task = task
		e.ProjectID, e.AutomationID = cmp.Or(e.ProjectID, task.ProjectID), cmp.Or(e.AutomationID, task.AutomationID)
	case "media":
		media := new(Media)
		_ = media.fromJSON(data) // an odd member does not spoil the rest
		if media.ID == "" {
			break
		}
		e.Media = media
		e.ProjectID, e.AutomationID = cmp.Or(e.ProjectID, media.ProjectID), cmp.Or(e.AutomationID, media.AutomationID)
	case "job":
		job := new(Job)
		_ = job.fromJSON(data) // an odd member does not spoil the rest
		if job.ID != "" {
			e.Job = job
		}
	}
	e.subject = e.findSubject()
}

// EventFromTask makes the event that a webhook would have brought for the task as it
// is now, so that a task that was polled goes through the same handlers, under the
// same key. A nil task gives an [EventUnknown].
func EventFromTask(task *Task) *Event {
	if task == nil {
		return &Event{Type: EventUnknown}
	}
	e := &Event{raw: task.raw, ProjectID: task.ProjectID, AutomationID: task.AutomationID}
	if e.raw == nil {
		e.raw, _ = jsonx.Marshal(task) // a task that was put together by hand; nil where it can't be
	}
	e.readTask(task)
	return e
}

func firstNonZero(times ...time.Time) time.Time {
	for _, t := range times {
		if !t.IsZero() {
			return t
		}
	}
	return time.Time{}
}
