package engine

import (
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/ittybit/ittybit-go/ittybittest/internal/fields"
	"github.com/ittybit/ittybit-go/ittybittest/internal/refusal"
)

// Task is a task as the API and webhooks show it.
type Task struct {
	ID           string          `json:"id"`
	Object       string          `json:"object"`
	Kind         string          `json:"kind"`
	Status       string          `json:"status"`
	Progress     int             `json:"progress"`
	Input        *File           `json:"input,omitempty"`
	Options      fields.Object   `json:"options"`
	Output       *File           `json:"output"`
	Results      json.RawMessage `json:"results,omitempty"`
	Error        string          `json:"error,omitempty"`
	ParentID     string          `json:"parent_id,omitempty"`
	ProjectID    string          `json:"project_id,omitempty"`
	AutomationID string          `json:"automation_id,omitempty"`
	Created      Time            `json:"created"`
	Updated      Time            `json:"updated"`
	Completed    Time            `json:"completed,omitzero"`
}

// task is a task on its way. Its exported fields are what a snapshot keeps.
type task struct {
	Task
	spec        `json:"Spec"`
	MediaID     string
	IntoMedia   string // where an ingest task puts its file; "" makes media
	Unreachable string // why the input can't be fetched; "": it can

	chosen *Outcome           // for this task alone
	hurry  context.Context    // is over when the task is to end at once
	finish context.CancelFunc // ends hurry
}

// product is the File that a task ends with: its object, and the formats that there are samples of;
// the first one is the default.
type product struct {
	object  string
	formats []string
}

// kinds are those of tasks of the 2025-08-20 API.
func kinds() map[string]product {
	findings := product{"intelligence", []string{"json"}}
	return map[string]product{
		"ingest": {"source", nil}, "video": {"source", []string{"mp4"}}, "image": {"source", []string{"png"}}, "audio": {"source", []string{"mp3"}},
		"chapters": {"track", []string{"json", "vtt"}}, "subtitles": {"track", []string{"vtt", "srt"}}, "thumbnails": {"track", []string{"jpg", "png"}},
		"nsfw": findings, "speech": findings, "description": findings, "outline": findings, "prompt": findings,
		"conditions": {},
	}
}

// CreateTask creates a task and starts it.
func (e *Engine) CreateTask(body fields.Object) (any, error) {
	sp, err := e.parseSpec(body, maxWorkflowDepth)
	if err == nil && sp.Kind != "" {
		err = e.checkKind("kind", sp.Kind)
	}
	switch {
	case err != nil:
		return nil, err
	case sp.Kind == "":
		return nil, refusal.Invalid("kind is required.")
	case sp.URL == "" && sp.FileID == "":
		return nil, refusal.Invalid("One of url and file_id is required.")
	case sp.URL != "" && sp.FileID != "":
		return nil, refusal.Invalid("Only one of url and file_id is allowed.")
	case sp.Kind == "ingest" && sp.URL == "":
		return nil, refusal.Invalid("An ingest task needs a url.")
	case sp.Kind == "conditions" && sp.Conditions == nil:
		return nil, refusal.Invalid("A conditions task needs conditions.")
	}
	return e.begin(&task{spec: sp, Task: Task{Options: optionsOf(body)}}), nil
}

func (e *Engine) begin(t *task) Task {
	shown := e.add(t)
	e.start(func() { e.run(t) })
	return shown
}

// checkKind refuses a kind that is not known.
func (e *Engine) checkKind(what, kind string) error {
	_, chosen := e.Outcomes[kind]
	if _, known := kinds()[kind]; known || chosen {
		return nil
	}
	if kind == "workflow" || kind == "http" { // nothing but their names is documented
		return refusal.NotEmulated("A task of kind " + kind)
	}
	return refusal.Invalid("%s %q is not known: it must be one of %s.", what, kind, strings.Join(slices.Sorted(maps.Keys(kinds())), ", "))
}

// ListTasks gives a page of the tasks, and how many there are.
func (e *Engine) ListTasks(w Window) (shown []any, total int64) {
	return e.Tasks.page(w, func(t *task) bool {
		return (w.Status == "" || t.Status == w.Status) && (w.Kind == "" || t.spec.Kind == w.Kind)
	})
}

// arm lets a task be ended at once.
func (e *Engine) arm(t *task) { t.hurry, t.finish = context.WithCancel(e.Life.Context()) }

// add stores a task. An input of this server is known at once; what is elsewhere would have to
// be fetched first.
func (e *Engine) add(t *task) Task {
	t.ID, t.Object, t.Task.Kind, t.Status, t.ProjectID = e.NewID("task"), "task", t.spec.Kind, "pending", e.ProjectID
	t.Created = now()
	t.Updated = t.Created
	e.arm(t)
	file := e.Files.byID[t.FileID]
	if t.FileID != "" {
		t.Input = &File{ID: t.FileID}
	}
	if t.URL != "" {
		var err error
		t.Input = &File{URL: t.URL}
		if file, err = e.fileAt(t.URL); err != nil {
			t.Unreachable = "The url can't be fetched: " + err.Error()
		}
	}
	if file != nil {
		t.Input, t.MediaID = new(*file), file.MediaID
	}
	e.Tasks.add(t)
	e.Changed(t.Task)
	return t.Task
}

// fileAt is the file behind an address of this server, nil if the address is elsewhere.
func (e *Engine) fileAt(address string) (*File, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	if !strings.HasPrefix(address, e.StorageURL+"/") && !strings.HasPrefix(address, FilesURL+"/") {
		return nil, nil //nolint:nilnil // it is elsewhere
	}
	at := (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
	for f := range e.Files.newestFirst() {
		if f.URL == at {
			return f, nil
		}
	}
	return nil, refusal.New(http.StatusNotFound, "Not found: %s.", u.Path)
}

// run takes a task from pending to its end, and then runs its next steps. It returns when all of
// that ended.
func (e *Engine) run(t *task) {
	defer t.finish()
	quarter := e.TaskDuration / 4
	if e.pause(t.hurry, quarter); e.Life.Over() {
		return
	}
	e.setProgress(t, 0)
	if e.pause(t.hurry, quarter) {
		e.setProgress(t, 50)
		e.reportProgress(t)
		e.pause(t.hurry, e.TaskDuration-2*quarter)
	}
	if e.Life.Over() {
		return
	}
	if next, continues := e.end(t); continues {
		e.runSteps(t.Next, next)
	}
}

func (e *Engine) setProgress(t *task, progress int) {
	t.Status, t.Progress, t.Updated = "processing", progress, now()
	e.Changed(t.Task)
}

// reportProgress posts a task that is under way, if the server was asked to.
func (e *Engine) reportProgress(t *task) {
	if e.ProgressWebhooks && t.WebhookURL != "" {
		e.Deliver(t.WebhookURL, fields.Encode(t.Task))
	}
}

// end completes a task, or lets it fail, and starts what follows from it. It returns what the
// task's next steps are about, and whether they run at all.
func (e *Engine) end(t *task) (next subject, continues bool) {
	newMedia, o := "", e.outcome(t)
	t.Updated = now()
	if t.Error = cmp.Or(o.Failure, t.Unreachable); t.chosen != nil {
		t.Error = o.Failure
	}
	completed := t.Error == ""
	if t.Status = "failed"; completed {
		t.Status, t.Progress, t.Completed = "completed", 100, t.Updated
		newMedia = e.produce(t)
	}
	e.Changed(t.Task)
	for _, address := range slices.Compact([]string{t.WebhookURL, e.Endpoint}) {
		if address != "" {
			e.Deliver(address, fields.Encode(t.Task))
		}
	}
	next = t.nextSubject()
	if newMedia != "" {
		e.mediaCreated(newMedia, t.AutomationID != "")
	}
	if completed && t.AutomationID == "" {
		e.trigger("task.completed", subject{task: t, file: next.file, mediaID: t.MediaID})
	}
	return next, completed && t.continues()
}

// continues reports whether the next steps of a completed task run. Those of a conditions task
// do if its results say so.
func (t *task) continues() bool {
	results, _ := fields.Parse(t.Results)
	continues := false
	return t.spec.Kind != "conditions" || json.Unmarshal(results["continue"], &continues) == nil && continues
}

// outcome is what was chosen for a task, or else for its kind.
func (e *Engine) outcome(t *task) Outcome {
	if t.chosen != nil {
		return *t.chosen
	}
	return e.Outcomes[t.spec.Kind]
}

// Control changes a task that is under way: its progress, or what becomes of it, where these
// are not nil, and whether it ends at once. It locks by itself.
func (e *Engine) Control(id string, progress *int, chosen *Outcome, end bool) error {
	e.Lock()
	defer e.Unlock()
	t, err := e.Tasks.find(id)
	if err != nil {
		return err
	}
	if t.isFinal() {
		return refusal.New(http.StatusConflict, "Task %q has ended: it is %s.", id, t.Status)
	}
	if t.chosen = cmp.Or(chosen, t.chosen); progress != nil { // before it can end
		e.setProgress(t, *progress)
		e.reportProgress(t)
	}
	if end {
		t.finish()
	}
	return nil
}

// isFinal reports whether a task has ended.
func (t *task) isFinal() bool { return t.Status == "completed" || t.Status == "failed" }
