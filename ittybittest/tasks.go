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
	workflow   json.RawMessage // of a workflow task; shown, but not run
	options    object          // everything else, as it was sent
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
	input        object // nil when there is none
	output       object // nil until there is one
	status       string
	progress     int
	results      json.RawMessage
	failure      string
	created      time.Time
	updated      time.Time
	completed    time.Time
	done         chan struct{} // closed when the task ended
}

func (s *Server) createTask(r *request) (*response, error) {
	spec, err := s.parseTask(r.body)
	if err != nil {
		return nil, err
	}
	t := &task{taskSpec: spec}
	s.addTask(t)
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
	spec, err := parseTaskSpec(body)
	if err != nil {
		return taskSpec{}, err
	}
	if spec.kind == "" {
		return taskSpec{}, badRequest("kind is required.")
	}
	s.mu.Lock()
	err = s.checkKind(spec.kind)
	s.mu.Unlock()
	switch {
	case err != nil:
		return taskSpec{}, err
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

// parseTaskSpec checks the types of what a request and a step have in common.
func parseTaskSpec(body object) (taskSpec, error) {
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
	if raw, _ := body.get("conditions"); body.has("conditions") {
		if _, err := parseConditions(raw); err != nil {
			return taskSpec{}, err
		}
	}
	for _, name := range []string{"workflow", "next"} {
		raw, ok := body.get(name)
		if _, isArray := splitArray(raw); ok && !isArray {
			return taskSpec{}, badRequest("%s must be an array.", name)
		}
	}
	spec.workflow, _ = body.get("workflow")
	spec.options = body.without("kind", "url", "file_id", "webhook_url", "workflow")
	return spec, nil
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

// addTask stores a task and sets it going.
func (s *Server) addTask(t *task) {
	now := time.Now()
	t.id, t.status, t.created, t.updated = newID("task"), "pending", now, now
	t.done = make(chan struct{})
	s.mu.Lock()
	switch {
	case t.url != "":
		t.input = object{}.set("url", t.url)
	case t.fileID != "":
		t.input = object{}.set("id", t.fileID)
		if file, known := s.files.get(t.fileID); known {
			t.input = file
			t.mediaID = s.mediaOf(t.fileID)
		}
	}
	s.tasks.add(t.id, t)
	s.mu.Unlock()
	s.life.start(func() { s.runTask(t) })
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
