package ittybittest

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
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

// taskSpec is what a request, or a workflow's step, asks for.
type taskSpec struct {
	kind       string
	url        string
	fileID     string
	webhookURL string
	conditions []condition
	workflow   json.RawMessage // as it was sent
	steps      []taskSpec      // of workflow, if the kind is that
	next       []taskSpec
	options    object // everything else, as it was sent
}

// task is a task on its way. Server.mu guards what changes: status, progress,
// input, output, results, failure and the times.
type task struct {
	taskSpec
	id           string
	parentID     string
	automationID string
	mediaID      string
	intoMedia    string // where an ingest task puts its file; "" makes media
	carried      object // the file that its workflow was about before it
	input        object // nil when there is none
	unreachable  string // why the input can't be fetched; "": it can
	output       object // nil until there is one
	status       string
	progress     int
	results      json.RawMessage
	failure      string
	created      time.Time
	updated      time.Time
	completed    time.Time
}

func (s *Server) createTask(r *request) (*response, error) {
	spec, err := s.parseTask(r.body)
	if err != nil {
		return nil, err
	}
	t := &task{taskSpec: spec}
	s.startTask(t)
	s.mu.Lock()
	defer s.mu.Unlock()
	return reply(http.StatusCreated, s.showTask(t)), nil
}

func (s *Server) getTask(r *request) (*response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, ok := s.tasks.get(r.id)
	if !ok {
		return nil, notFound("task", r.id)
	}
	return reply(http.StatusOK, s.showTask(t)), nil
}

func (s *Server) listTasks(r *request) (*response, error) {
	query := r.URL.Query()
	status, kind := query.Get("status"), query.Get("kind")
	if status != "" && !slices.Contains(taskStatuses(), status) {
		return nil, badRequest("status must be one of %s.", strings.Join(taskStatuses(), ", "))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if kind != "" {
		if err := s.checkKind(kind); err != nil {
			return nil, err
		}
	}
	tasks := s.tasks.newestFirst(func(t *task) bool {
		return (status == "" || t.status == status) && (kind == "" || t.kind == kind)
	})
	return page(s, r, tasks, defaultLimit, s.showTask)
}

// parseTask checks the body of a request that creates a task.
func (s *Server) parseTask(body object) (taskSpec, error) {
	s.mu.Lock()
	spec, err := s.parseTaskSpec(body, maxWorkflowDepth)
	if err == nil && spec.kind != "" {
		err = s.checkKind(spec.kind)
	}
	s.mu.Unlock()
	switch {
	case err != nil:
		return taskSpec{}, err
	case spec.kind == "":
		return taskSpec{}, badRequest("kind is required.")
	case spec.url == "" && spec.fileID == "":
		return taskSpec{}, badRequest("One of url and file_id is required.")
	case spec.url != "" && spec.fileID != "":
		return taskSpec{}, badRequest("Only one of url and file_id is allowed.")
	case spec.kind == "ingest" && spec.url == "":
		return taskSpec{}, badRequest("An ingest task needs a url.")
	case spec.kind == "conditions" && !body.has("conditions"):
		return taskSpec{}, badRequest("A conditions task needs conditions.")
	}
	return spec, nil
}

// parseTaskSpec checks the types of what a request and a step have in common. Its
// steps may be nested depth levels deep. The caller holds s.mu.
func (s *Server) parseTaskSpec(body object, depth int) (taskSpec, error) {
	var spec taskSpec
	known := map[string]*string{
		"kind": &spec.kind, "url": &spec.url, "file_id": &spec.fileID, "webhook_url": &spec.webhookURL,
		"filename": nil, "folder": nil, "ref": nil, "description": nil,
	}
	for _, m := range body {
		target, ok := known[m.name]
		if !ok {
			continue
		}
		value, err := body.text(m.name)
		if err != nil {
			return taskSpec{}, err
		}
		if target != nil {
			*target = value
		}
	}
	if spec.url != "" && !isWebURL(spec.url) {
		return taskSpec{}, badRequest("url must be an absolute http or https URL.")
	}
	if spec.webhookURL != "" {
		if err := checkWebhookURL("webhook_url", spec.webhookURL); err != nil {
			return taskSpec{}, err
		}
	}
	if err := s.parseFlow(&spec, body, depth); err != nil {
		return taskSpec{}, err
	}
	spec.options = body.without("kind", "url", "file_id", "webhook_url", "workflow")
	return spec, nil
}

// parseFlow checks what decides how it goes on: conditions, workflow and next. The
// caller holds s.mu.
func (s *Server) parseFlow(spec *taskSpec, body object, depth int) (err error) {
	if raw, _ := body.get("conditions"); body.has("conditions") {
		if spec.conditions, err = parseConditions(raw); err != nil {
			return err
		}
	}
	if next, ok := body.get("next"); ok {
		if spec.next, err = s.parseSteps("next", next, depth); err != nil {
			return err
		}
	}
	workflow, ok := body.get("workflow")
	_, isArray := splitArray(workflow)
	switch {
	case ok && !isArray:
		return badRequest("workflow must be an array of steps.")
	case spec.kind == "workflow":
		if spec.steps, err = s.parseSteps("workflow", workflow, depth); err != nil {
			return err
		}
		if len(spec.steps) == 0 {
			return badRequest("workflow must have at least one step.")
		}
	}
	if ok {
		spec.workflow = workflow
	}
	return nil
}

// checkKind refuses a kind nobody knows. The caller holds s.mu.
func (s *Server) checkKind(kind string) error {
	if _, known := s.outcomes[kind]; known || slices.Contains(taskKinds(), kind) {
		return nil
	}
	return badRequest("kind %q is not known: it must be one of %s.", kind, strings.Join(taskKinds(), ", "))
}

func isWebURL(address string) bool {
	u, err := url.Parse(address)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Hostname() != ""
}

// startTask stores a task and sets it going.
func (s *Server) startTask(t *task) {
	s.addTask(t)
	s.life.start(func() { s.runTask(t) })
}

// addTask stores a task. An input of this server is known at once; what is
// elsewhere would have to be fetched first.
func (s *Server) addTask(t *task) {
	now := time.Now()
	t.id, t.status, t.created, t.updated = newID("task"), "pending", now, now
	fileID, unreachable := t.fileID, error(nil)
	if t.url != "" {
		t.input = object{}.set("url", t.url)
		if t.kind != "http" {
			fileID, unreachable = s.fileIDAt(t.url)
		}
	} else if t.fileID != "" {
		t.input = object{}.set("id", t.fileID)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if file, known := s.files.get(fileID); known {
		t.input = file
		t.mediaID = s.mediaOf(fileID)
	}
	if unreachable != nil {
		t.unreachable = "The url can't be fetched: " + unreachable.Error()
	}
	s.tasks.add(t.id, t)
}

// showTask is a task as the API and webhooks show it. The caller holds s.mu.
func (s *Server) showTask(t *task) object {
	o := object{}.
		set("id", t.id).
		set("object", "task").
		set("kind", t.kind).
		set("status", t.status).
		set("progress", t.progress)
	if t.input != nil {
		o = o.set("input", t.input)
	}
	if t.workflow != nil {
		o = o.set("workflow", t.workflow)
	}
	o = o.set("options", t.options).set("output", t.output)
	if t.results != nil {
		o = o.set("results", t.results)
	}
	o = o.setText("error", t.failure).
		setText("parent_id", t.parentID).
		setText("project_id", s.projectID).
		setText("automation_id", t.automationID).
		set("created", timestamp(t.created)).
		set("updated", timestamp(t.updated))
	if !t.completed.IsZero() {
		o = o.set("completed", timestamp(t.completed))
	}
	return o
}
