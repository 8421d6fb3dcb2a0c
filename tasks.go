package ittybit

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"slices"
	"time"

	"github.com/ittybit/ittybit-go/internal/jsonx"
)

// TaskKind says what a task does. It is an open type: Ittybit may know kinds that are
// not named here.
type TaskKind string

// The kinds of tasks (API version 2025-08-20).
const (
	TaskKindIngest      TaskKind = "ingest"
	TaskKindVideo       TaskKind = "video"
	TaskKindImage       TaskKind = "image"
	TaskKindAudio       TaskKind = "audio"
	TaskKindChapters    TaskKind = "chapters"
	TaskKindSubtitles   TaskKind = "subtitles"
	TaskKindThumbnails  TaskKind = "thumbnails"
	TaskKindNSFW        TaskKind = "nsfw"
	TaskKindSpeech      TaskKind = "speech"
	TaskKindDescription TaskKind = "description"
	TaskKindOutline     TaskKind = "outline"
	TaskKindPrompt      TaskKind = "prompt"
	TaskKindWorkflow    TaskKind = "workflow"
	TaskKindConditions  TaskKind = "conditions"
	TaskKindHTTP        TaskKind = "http"

	// TaskKindWebhook is a kind of workflow steps only (webhooks documentation).
	TaskKindWebhook TaskKind = "webhook"
)

// TaskStatus is how far a task is. It is an open type: Ittybit may send statuses that are
// not named here.
//
// This table is what [Task.Succeeded], [Task.Failed], [Task.Cancelled], [Task.Terminal],
// [Task.Supersedes], the types of events, [TasksService.Wait] and [Reconcile] go by. A higher
// rank supersedes a lower one.
//
//	status                                rank  end
//	anything else                         0     none
//	created                               1     none
//	pending, waiting, queued, validating  2     none
//	processing, finishing                 3     none
//	ready, no output and no results       3     none
//	ready, with an output or results      4     succeeded
//	completed, succeeded                  4     succeeded
//	failed, error                         4     failed
//	cancelled, canceled                   4     cancelled
//
// A status that is not in the table is never an end, also where the task has a time of
// completion, and everything that is in the table supersedes it.
type TaskStatus string

// The statuses of tasks.
const (
	TaskStatusCreated    TaskStatus = "created"
	TaskStatusPending    TaskStatus = "pending"
	TaskStatusWaiting    TaskStatus = "waiting"
	TaskStatusProcessing TaskStatus = "processing"
	TaskStatusReady      TaskStatus = "ready" // the end of a task that has an output or results
	TaskStatusCompleted  TaskStatus = "completed"
	TaskStatusSucceeded  TaskStatus = "succeeded" // what later API versions call completed
	TaskStatusFailed     TaskStatus = "failed"
	TaskStatusError      TaskStatus = "error" // a failure too; how it differs is not documented
	TaskStatusCancelled  TaskStatus = "cancelled"
)

// Ranks of statuses.
const (
	rankUnknown = iota
	rankCreated
	rankWaiting
	rankProcessing
	rankEnded
)

// meaning is the table of [TaskStatus], but for what ready depends on: the rank of a status,
// and the end that it means, in the spelling of API version 2025-08-20; "" for none.
func (s TaskStatus) meaning() (rank int, end TaskStatus) {
	switch s {
	case TaskStatusCreated:
		return rankCreated, ""
	case TaskStatusPending, TaskStatusWaiting, "queued", "validating":
		return rankWaiting, ""
	case TaskStatusProcessing, "finishing", TaskStatusReady:
		return rankProcessing, ""
	case TaskStatusCompleted, TaskStatusSucceeded:
		return rankEnded, TaskStatusCompleted
	case TaskStatusFailed, TaskStatusError:
		return rankEnded, TaskStatusFailed
	case TaskStatusCancelled, "canceled":
		return rankEnded, TaskStatusCancelled
	}
	return rankUnknown, ""
}

// Task is a piece of work on a file. Fields that Ittybit did not send are zero;
// RawJSON has everything.
type Task struct {
	ID       string     `json:"id"`
	Object   string     `json:"object,omitempty"` // "task"
	Kind     TaskKind   `json:"kind,omitempty"`
	Status   TaskStatus `json:"status,omitempty"`
	Progress int        `json:"progress,omitempty"` // percent, 0 to 100

	// Input and Output are the files, where Ittybit sent an object; nil otherwise, such
	// as for the URLs of later API versions: RawInput and RawOutput have those. Inputs
	// and Outputs are what the API versions in between have instead.
	Input   *File   `json:"input,omitempty"`
	Output  *File   `json:"output,omitempty"`
	Inputs  []*File `json:"inputs,omitempty"`
	Outputs []*File `json:"outputs,omitempty"`

	// Options are the options of the task's kind, such as [ImageOptions], or
	// [RawOptions] where there is no type for them or they do not fit it.
	Options TaskOptions `json:"options,omitempty"`
	// Results are as Ittybit sent them. NSFW, Speech, Description, Subtitles, Chapters,
	// Thumbnails and Conditions read them, and what stands in Output in their place;
	// DecodeResults reads those of any other kind.
	Results json.RawMessage `json:"results,omitempty"`
	// Workflow are the steps of a task of [TaskKindWorkflow].
	Workflow []WorkflowStep `json:"workflow,omitempty"`
	// Error says why the task failed; nil where it did not.
	Error *TaskError `json:"error,omitempty"`

	CreatedBy    string         `json:"created_by,omitempty"`
	ParentID     string         `json:"parent_id,omitempty"`
	ProjectID    string         `json:"project_id,omitempty"`    // in webhooks only
	AutomationID string         `json:"automation_id,omitempty"` // in webhooks only
	RunID        string         `json:"run_id,omitempty"`        // in later API versions only
	Metadata     map[string]any `json:"metadata,omitempty"`      // its numbers are json.Number
	Created      time.Time      `json:"created,omitzero"`
	Started      time.Time      `json:"started,omitzero"` // in later API versions only
	Updated      time.Time      `json:"updated,omitzero"`
	Completed    time.Time      `json:"completed,omitzero"` // when it ended; in webhooks and later API versions only

	rawInput, rawOutput json.RawMessage
	decoded
}

// String names the task in a few words, for logs.
func (t Task) String() string {
	return fmt.Sprintf("task %s (kind %s, status %s)", t.ID, t.Kind, t.Status)
}

// GoString is String, so that %#v prints no payload either.
func (t Task) GoString() string { return t.String() }

// RawInput gives the task's input as Ittybit sent it: a file object, or a URL in later
// API versions. It must not be changed, and is nil where there is none or null.
func (t *Task) RawInput() json.RawMessage { return t.rawInput }

// RawOutput gives the task's output as [Task.RawInput] does the input.
func (t *Task) RawOutput() json.RawMessage { return t.rawOutput }

// Terminal reports whether the task has ended, well or badly: it has succeeded, failed or
// been cancelled. The table of [TaskStatus] says which status means what.
func (t *Task) Terminal() bool { _, end := t.meaning(); return end != "" }

// Succeeded reports whether the task has ended well. The status ready, which the
// documentation leaves unclear, counts once there is an output or a result.
func (t *Task) Succeeded() bool { _, end := t.meaning(); return end == TaskStatusCompleted }

// Failed reports whether the task has failed. One that was cancelled has not.
func (t *Task) Failed() bool { _, end := t.meaning(); return end == TaskStatusFailed }

// Cancelled reports whether the task was cancelled.
func (t *Task) Cancelled() bool { _, end := t.meaning(); return end == TaskStatusCancelled }

// meaning is that of the task's status, and of what ready depends on.
func (t *Task) meaning() (rank int, end TaskStatus) {
	if t.Status == TaskStatusReady && (t.Output != nil || len(t.Outputs) > 0 || t.Results != nil) {
		return rankEnded, TaskStatusCompleted
	}
	return t.Status.meaning()
}

// hasUnknownEnd reports whether the task has a time of completion, and a status that is not
// known: it has ended in a way that this version of the SDK can't name.
func (t *Task) hasUnknownEnd() bool {
	rank, _ := t.meaning()
	return rank == rankUnknown && !t.Completed.IsZero()
}

// Supersedes reports whether t is a newer state than other, an earlier or later state of the
// same task: webhooks promise no order. States have the ranks of the table of [TaskStatus];
// nothing supersedes an end. Within a rank the later Updated wins, else the higher Progress.
// A nil other is superseded by everything, and a different task by nothing.
func (t *Task) Supersedes(other *Task) bool {
	switch {
	case other == nil:
		return true
	case t.ID != other.ID || other.Terminal():
		return false
	}
	mine, _ := t.meaning()
	if theirs, _ := other.meaning(); mine != theirs {
		return mine > theirs
	}
	if !t.Updated.IsZero() && !other.Updated.IsZero() && !t.Updated.Equal(other.Updated) {
		return t.Updated.After(other.Updated)
	}
	return t.Progress > other.Progress
}

// UnmarshalJSON implements [json.Unmarshaler].
func (t *Task) UnmarshalJSON(data []byte) error { return unmarshalObject(t, data) }

// MarshalJSON gives everything that was decoded back, changed fields changed.
func (t Task) MarshalJSON() ([]byte, error) {
	return marshalObject(&t, map[string]string{"finished_at": "completed"})
}

func (t *Task) objectID() string { return t.ID }

func (t *Task) fromJSON(data []byte) error {
	*t = Task{}
	wire := taskWire{Task: t}
	object := jsonx.NewObject(data)
	wire.scan(&object)
	wire.finish(&object)
	return t.keep(data, "task", t.ID, object.Err())
}

// taskWire is a task that is being read: what is nested waits here, for in the payload of
// a webhook it may turn out to be no task's.
type taskWire struct {
	*Task
	input, output, inputs, outputs         json.RawMessage
	options, workflow, taskError, metadata json.RawMessage
	data                                   json.RawMessage // of an event

	createdAt, startedAt, updatedAt, finishedAt time.Time // of other API versions
}

// scan goes through the fields once. What is nested stays as it is.
func (w *taskWire) scan(o *jsonx.Object) {
	for o.Next() {
		switch string(o.Name()) {
		case "id":
			jsonx.String(o, &w.ID)
		case "object":
			jsonx.String(o, &w.Object, "task", "event", "media", "job")
		case "kind":
			jsonx.String(o, &w.Kind)
		case "status":
			jsonx.String(o, &w.Status, TaskStatusCompleted, TaskStatusSucceeded, TaskStatusFailed, TaskStatusProcessing)
		case "progress":
			jsonx.Whole(o, &w.Progress)
		case "created_by":
			jsonx.String(o, &w.CreatedBy)
		case "parent_id":
			jsonx.String(o, &w.ParentID)
		case "project_id":
			jsonx.String(o, &w.ProjectID)
		case "automation_id":
			jsonx.String(o, &w.AutomationID)
		case "run_id":
			jsonx.String(o, &w.RunID)
		case "created":
			o.Time(&w.Created)
		case "created_at":
			o.Time(&w.createdAt)
		case "started":
			o.Time(&w.Started)
		case "started_at":
			o.Time(&w.startedAt)
		case "updated":
			o.Time(&w.Updated)
		case "updated_at":
			o.Time(&w.updatedAt)
		case "completed":
			o.Time(&w.Completed)
		case "finished_at":
			o.Time(&w.finishedAt)
		case "input":
			w.input = o.Value()
		case "output":
			w.output = o.Value()
		case "inputs":
			w.inputs = o.Value()
		case "outputs":
			w.outputs = o.Value()
		case "options":
			w.options = o.Value()
		case "results":
			w.Results = o.Value()
		case "workflow":
			w.workflow = o.Value()
		case "error":
			w.taskError = o.Value()
		case "metadata":
			w.metadata = o.Value()
		case "data":
			w.data = o.Value()
		}
	}
}

// finish moves what scan has found into the task. What can not be decoded is reported to o; the
// rest is there all the same.
func (w *taskWire) finish(o *jsonx.Object) {
	t := w.Task
	t.Created, t.Started = cmp.Or(t.Created, w.createdAt), cmp.Or(t.Started, w.startedAt)
	t.Updated, t.Completed = cmp.Or(t.Updated, w.updatedAt), cmp.Or(t.Completed, w.finishedAt)
	t.Results = orNil(t.Results)
	t.rawInput, t.rawOutput = orNil(w.input), orNil(w.output)
	t.Options = decodeTaskOptions(t.Kind, w.options)
	var err error
	t.Input, err = decodeFileField(w.input)
	o.FailAt("input", err)
	t.Output, err = decodeFileField(w.output)
	o.FailAt("output", err)
	o.FailAt("inputs", jsonx.DecodeObjects(w.inputs, &t.Inputs, isNullOrText)) // later API versions have URLs here
	o.FailAt("outputs", jsonx.DecodeObjects(w.outputs, &t.Outputs, isNullOrText))
	t.Metadata, err = jsonx.DecodeAnyMap(w.metadata)
	o.FailAt("metadata", err)
	t.Error, err = decodeTaskError(w.taskError)
	o.FailAt("error", err)
	o.FailAt("workflow", jsonx.DecodeValue(w.workflow, &t.Workflow))
}

// decodeFileField reads a file object. What is no object (later API versions have
// URLs in its place) is no file, and is kept raw.
func decodeFileField(raw json.RawMessage) (*File, error) {
	if !jsonx.IsObject(raw) {
		return nil, nil //nolint:nilnil // no file is no error
	}
	file := new(File)
	err := file.fromJSON(raw)
	return file, cmp.Or(err, file.err)
}

// TaskCreateParams are the parameters of [TasksService.Create].
type TaskCreateParams struct {
	Kind        TaskKind `json:"kind"`                  // required
	URL         string   `json:"url,omitempty"`         // the input; either this or FileID
	FileID      string   `json:"file_id,omitempty"`     // the input, a file of the project
	Filename    string   `json:"filename,omitempty"`    // of the output
	Folder      string   `json:"folder,omitempty"`      // of the output
	Ref         string   `json:"ref,omitempty"`         // names the output in the media's URLs
	Description string   `json:"description,omitempty"` // for people
	// WebhookURL is where the task is posted when it has ended: https, or http for a loopback host.
	WebhookURL string `json:"webhook_url,omitempty"`

	// Options are those of the kind, such as [ImageOptions]. They stand beside Kind on the wire.
	Options TaskOptions `json:"-"`
	// Extra are further fields, for what this SDK does not know yet. A name that it
	// does know is a [*ParamError].
	Extra map[string]any `json:"-"`
}

func (p TaskCreateParams) check(insecure insecureHosts) error {
	switch {
	case p.Kind == "":
		return &ParamError{Param: "Kind", Reason: "is required"}
	case p.Kind == AnyTaskKind:
		return &ParamError{Param: "Kind", Reason: "must be one kind: AnyTaskKind is for handlers"}
	case p.URL == "" && p.FileID == "":
		return &ParamError{Param: "URL", Reason: "or FileID is required"}
	case p.URL != "" && p.FileID != "":
		return &ParamError{Param: "URL", Reason: "and FileID are mutually exclusive"}
	case p.WebhookURL != "":
		if err := insecure.checkWebhookURL("WebhookURL", p.WebhookURL); err != nil {
			return err
		}
	}
	if err := checkOptions("Options", p.Kind, p.Options, insecure); err != nil {
		return err
	}
	if _, extra := p.Extra["conditions"]; p.Kind == TaskKindConditions && !extra && !slices.Contains(optionNames(p.Options), "conditions") {
		return &ParamError{Param: "Options", Reason: "are required for kind conditions, such as ConditionsOptions"}
	}
	return nil
}

// String is the JSON of the parameters, for logs, without signatures.
func (p TaskCreateParams) String() string { return printedJSON(p) }

// GoString is String, so that %#v prints no signature either.
func (p TaskCreateParams) GoString() string { return p.String() }

// MarshalJSON puts the options and the extra fields beside the others, where API
// version 2025-08-20 wants them.
func (p TaskCreateParams) MarshalJSON() ([]byte, error) {
	return flattenParams(p, nil, p.Options, p.Extra)
}

// TaskListParams choose a page of [TasksService.List].
type TaskListParams struct {
	Page   int        `url:"page,omitempty"`  // from 1; 0 is the first
	Limit  int        `url:"limit,omitempty"` // items a page, 1 to 100; 0 leaves it to Ittybit, which takes 20
	Status TaskStatus `url:"status,omitempty"`
	Kind   TaskKind   `url:"kind,omitempty"` // empty or [AnyTaskKind]: of every kind
}

// TasksService calls /tasks. Use it as Client.Tasks.
type TasksService struct{ client *Client }

// Create starts a task. What is wrong with params is a [*ParamError], before anything
// is sent. An error that matches [ErrOutcomeUnknown] means that the task may exist.
func (s *TasksService) Create(ctx context.Context, params TaskCreateParams, opts ...RequestOption) (*Task, error) {
	if err := params.check(s.client.insecure); err != nil {
		return nil, err
	}
	return do[Task](ctx, s.client, call{method: http.MethodPost, path: "/tasks", body: params, creates: true}, opts)
}

// Get fetches a task.
func (s *TasksService) Get(ctx context.Context, id string, opts ...RequestOption) (*Task, error) {
	return doByID[Task](ctx, s.client, http.MethodGet, "/tasks/", id, nil, opts)
}

// List fetches a page of tasks. API version 2025-08-20 documents no order.
func (s *TasksService) List(ctx context.Context, params TaskListParams, opts ...RequestOption) (*Page[Task], error) {
	if params.Kind == AnyTaskKind {
		params.Kind = ""
	}
	return list[Task](ctx, s.client, "/tasks", params, params.Page, params.Limit, opts)
}

// All iterates over the tasks from the page that params choose to the last one,
// fetching pages as it goes. An error is yielded alone, and last.
func (s *TasksService) All(ctx context.Context, params TaskListParams, opts ...RequestOption) iter.Seq2[*Task, error] {
	return all(ctx, func() (*Page[Task], error) { return s.List(ctx, params, opts...) })
}
