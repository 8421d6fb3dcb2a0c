package engine

import (
	"context"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/ittybit/ittybit-go/ittybittest/internal/ordered"
)

// taskKinds are the kinds of the 2025-08-20 API.
func taskKinds() []string {
	return []string{
		"ingest", "video", "image", "audio", "chapters", "subtitles", "thumbnails", "nsfw", "speech",
		"description", "outline", "prompt", "workflow", "conditions", "http",
	}
}

func taskStatuses() []string {
	return []string{"pending", "waiting", "processing", "ready", "completed", "failed", "error", "cancelled"}
}

// spec is what a request, or a workflow's step, asks for.
type spec struct {
	kind       string
	url        string
	fileID     string
	webhookURL string
	conditions []condition
	workflow   json.RawMessage // as it was sent
	steps      []spec          // of workflow, if the kind is that
	next       []spec
	options    ordered.Object // everything else, as it was sent
	body       ordered.Object
}

// Task is a task on its way. Its exported fields are what a snapshot keeps.
type Task struct {
	spec
	Body          ordered.Object
	ID            string
	ParentID      string          `json:",omitempty"`
	AutomationID  string          `json:",omitempty"`
	MediaID       string          `json:",omitempty"`
	IntoMedia     string          `json:",omitempty"` // where an ingest task puts its file; "" makes media
	InheritedFile ordered.Object  `json:",omitempty"` // the file that its workflow works on
	Input         ordered.Object  `json:",omitempty"`
	Unreachable   string          `json:",omitempty"` // why the input can't be fetched; "": it can
	Output        ordered.Object  `json:",omitempty"`
	Results       json.RawMessage `json:",omitempty"`
	Failure       string          `json:",omitempty"`
	Status        string
	Progress      int
	Created       time.Time
	Updated       time.Time
	Completed     time.Time

	chosen *Outcome           // for this task alone
	hurry  context.Context    // is over when the task is to end at once
	finish context.CancelFunc // ends hurry
}

// CreateTask creates a task and starts it.
func (e *Engine) CreateTask(body ordered.Object) (ordered.Object, error) {
	sp, err := e.parseTask(body)
	if err != nil {
		return nil, err
	}
	return e.begin(&Task{spec: sp}), nil
}

func (e *Engine) begin(t *Task) ordered.Object {
	e.add(t)
	e.mu.Lock()
	shown := e.showTask(t)
	e.mu.Unlock()
	e.Life.Go(func() { e.run(t) })
	return shown
}

// ListTasks gives a page of the tasks of a status and a kind, where these are not "".
func (e *Engine) ListTasks(w Window, status, kind string) ([]ordered.Object, int64, error) {
	if status != "" && !slices.Contains(taskStatuses(), status) {
		return nil, 0, invalid("status must be one of %s.", strings.Join(taskStatuses(), ", "))
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if kind != "" {
		if err := e.checkKind(kind); err != nil {
			return nil, 0, err
		}
	}
	shown, total := e.Tasks.page(w, func(t *Task) bool {
		return (status == "" || t.Status == status) && (kind == "" || t.kind == kind)
	})
	return shown, total, nil
}

// parseTask checks the body of a request that creates a task.
func (e *Engine) parseTask(body ordered.Object) (spec, error) {
	e.mu.Lock()
	sp, err := e.parseSpec(body, maxWorkflowDepth)
	if err == nil && sp.kind != "" {
		err = e.checkKind(sp.kind)
	}
	e.mu.Unlock()
	switch {
	case err != nil:
		return spec{}, err
	case sp.kind == "":
		return spec{}, invalid("kind is required.")
	case sp.url == "" && sp.fileID == "":
		return spec{}, invalid("One of url and file_id is required.")
	case sp.url != "" && sp.fileID != "":
		return spec{}, invalid("Only one of url and file_id is allowed.")
	case sp.kind == "ingest" && sp.url == "":
		return spec{}, invalid("An ingest task needs a url.")
	case sp.kind == "conditions" && !body.Has("conditions"):
		return spec{}, invalid("A conditions task needs conditions.")
	}
	return sp, nil
}

// parseSpec checks what a request and a step have in common. Its steps may be nested depth
// levels deep. The caller holds e.mu.
func (e *Engine) parseSpec(body ordered.Object, depth int) (sp spec, err error) {
	sp.body = body
	for name, target := range map[string]*string{
		"kind": &sp.kind, "url": &sp.url, "file_id": &sp.fileID, "webhook_url": &sp.webhookURL,
		"filename": nil, "folder": nil, "ref": nil, "description": nil,
	} {
		value, err := body.Text(name)
		if err != nil {
			return spec{}, err
		}
		if target != nil {
			*target = value
		}
	}
	if sp.url != "" && !isWebURL(sp.url) {
		return spec{}, invalid("url must be an absolute http or https URL.")
	}
	if sp.webhookURL != "" {
		if err := e.CheckWebhookURL("webhook_url", sp.webhookURL); err != nil {
			return spec{}, err
		}
	}
	if err := e.parseFlow(&sp, body, depth); err != nil {
		return spec{}, err
	}
	sp.options = body.Without("kind", "url", "file_id", "webhook_url", "workflow")
	return sp, nil
}

// parseFlow checks conditions, workflow and next. The caller holds e.mu.
func (e *Engine) parseFlow(sp *spec, body ordered.Object, depth int) (err error) {
	if raw, _ := body.Get("conditions"); body.Has("conditions") {
		if sp.conditions, err = parseConditions(raw); err != nil {
			return err
		}
	}
	if next, ok := body.Get("next"); ok {
		if sp.next, err = e.parseSteps("next", next, depth); err != nil {
			return err
		}
	}
	workflow, ok := body.Get("workflow")
	_, isArray := ordered.Array(workflow)
	switch {
	case ok && !isArray:
		return invalid("workflow must be an array of steps.")
	case sp.kind == "workflow":
		sp.steps, err = e.parseWorkflow(workflow, depth)
	}
	if ok {
		sp.workflow = workflow
	}
	return err
}

// checkKind refuses a kind nobody knows. The caller holds e.mu.
func (e *Engine) checkKind(kind string) error {
	if _, known := e.Outcomes[kind]; known || slices.Contains(taskKinds(), kind) {
		return nil
	}
	return invalid("kind %q is not known: it must be one of %s.", kind, strings.Join(taskKinds(), ", "))
}

// add stores a task. An input of this server is known at once; what is elsewhere would have to
// be fetched first.
func (e *Engine) add(t *Task) {
	now := time.Now()
	t.ID, t.Body, t.Status, t.Created, t.Updated = e.NewID("task"), t.body, "pending", now, now
	t.hurry, t.finish = context.WithCancel(e.Life.Context())
	fileID := t.fileID
	if t.url != "" {
		t.Input = ordered.Object{}.Set("url", t.url)
		if t.kind != "http" {
			id, err := e.fileAt(t.url)
			if fileID = id; err != nil {
				t.Unreachable = "The url can't be fetched: " + err.Error()
			}
		}
	} else if fileID != "" {
		t.Input = ordered.Object{}.Set("id", fileID)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if file, err := e.Files.find(fileID); err == nil {
		t.Input, t.MediaID = file, file.String("media_id")
	}
	e.Tasks.set(t)
	e.Changed(e.showTask(t))
}

// fileAt is the id of the file behind an address of this server, "" if the address is
// elsewhere. A signature in it must be valid, as for a download.
func (e *Engine) fileAt(address string) (string, error) {
	u, err := url.Parse(address)
	if err != nil {
		return "", err
	}
	storage, _, _ := strings.Cut(place(e.StorageURL), "/")
	made, _, _ := strings.Cut(place(FilesURL), "/")
	if u.Host != storage && u.Host != made {
		return "", nil
	}
	if u.Host == storage && u.Query().Has("signature") {
		if err := e.CheckSigned(u); err != nil {
			return "", err
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	id, ok := e.places[place(address)]
	if !ok {
		return "", &Error{NotFound, "Not found: " + u.Path + "."}
	}
	return id, nil
}

// showTask is a task as the API and webhooks show it. The caller holds e.mu.
func (e *Engine) showTask(t *Task) ordered.Object {
	o := ordered.Object{}.
		Set("id", t.ID).
		Set("object", "task").
		Set("kind", t.kind).
		Set("status", t.Status).
		Set("progress", t.Progress)
	if t.Input != nil {
		o = o.Set("input", t.Input)
	}
	if t.workflow != nil {
		o = o.Set("workflow", t.workflow)
	}
	o = o.Set("options", t.options).Set("output", t.Output)
	if t.Results != nil {
		o = o.Set("results", t.Results)
	}
	o = o.SetText("error", t.Failure).
		SetText("parent_id", t.ParentID).
		SetText("project_id", e.ProjectID).
		SetText("automation_id", t.AutomationID).
		Set("created", timestamp(t.Created)).
		Set("updated", timestamp(t.Updated))
	if !t.Completed.IsZero() {
		o = o.Set("completed", timestamp(t.Completed))
	}
	return o
}
