package ittybittest

import (
	"encoding/json"
	"strconv"
	"strings"
)

// subject is what a workflow is about: a media object, or a task and, if it
// has one, its media object.
type subject struct {
	task    *task
	mediaID string
}

// trigger runs the active automations that wait for an event, each in a
// goroutine of its own.
func (s *Server) trigger(event string, about subject) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.automations.oldestFirst() {
		if a.event != event || a.status != "active" {
			continue
		}
		id, steps := a.id, a.steps
		s.life.start(func() { s.runSteps(id, steps, about, "") })
	}
}

// runSteps runs steps from top to bottom. It returns when each ended, except
// for webhooks, whose deliveries take their own time.
func (s *Server) runSteps(automationID string, steps []step, about subject, parentID string) {
	for _, st := range steps {
		if s.life.ctx.Err() != nil {
			return
		}
		switch st.kind {
		case "": // there is nothing to do
		case "webhook":
			if payload := s.stepPayload(automationID, about); payload != nil {
				s.deliver(st.url, payload)
			}
			s.runSteps(automationID, st.next, about, parentID)
		case "conditions":
			if s.holds(st.conditions, about) {
				s.runSteps(automationID, st.next, about, parentID)
			}
		default:
			t := s.stepTask(automationID, st, about, parentID)
			s.addTask(t)
			select {
			case <-t.done:
			case <-s.life.ctx.Done():
				return
			}
			if s.completed(t) {
				s.runSteps(automationID, st.next, subject{task: t, mediaID: about.mediaID}, t.id)
			}
		}
	}
}

// stepTask is the task a step asks for. Unless the step names its own input, it
// is the output of the parent task, or else the first file of the media.
func (s *Server) stepTask(automationID string, st step, about subject, parentID string) *task {
	t := &task{taskSpec: st.spec, automationID: automationID, mediaID: about.mediaID, parentID: parentID}
	s.mu.Lock()
	defer s.mu.Unlock()
	if files := s.filesOf(about); len(files) > 0 {
		t.input = files[0]
	}
	return t
}

func (s *Server) completed(t *task) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return t.status == "completed"
}

// stepPayload is what a webhook step posts, or nil if the media was deleted.
func (s *Server) stepPayload(automationID string, about subject) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	shown := s.show(about)
	if shown == nil {
		return nil
	}
	return encode(shown.set("project_id", s.projectID).set("automation_id", automationID))
}

// show is the subject as the API shows it. The caller holds s.mu.
func (s *Server) show(about subject) object {
	if about.task != nil {
		return s.showTask(about.task)
	}
	if m, ok := s.media.get(about.mediaID); ok {
		return s.showMedia(m)
	}
	return nil
}

// filesOf are the files of a subject, the one that matters most first. The
// caller holds s.mu.
func (s *Server) filesOf(about subject) []object {
	var files []object
	if t := about.task; t != nil {
		for _, file := range []object{t.output, t.input} {
			if file != nil {
				files = append(files, file)
			}
		}
	}
	if m, ok := s.media.get(about.mediaID); ok {
		files = append(files, m.files...)
	}
	return files
}

// holds reports whether every pair of a conditions step is met.
func (s *Server) holds(pairs []condition, about subject) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, failed := compare(pairs, s.places(about))
	return len(failed) == 0
}

// places are where a condition's prop is looked for: the subject, its media
// object, its files; and then, by the names task, media and file, in one of them
// alone. The caller holds s.mu.
func (s *Server) places(about subject) []object {
	named := object{}
	places := []object{s.show(about)}
	if about.task != nil {
		named = named.set("task", places[0])
	}
	if m, ok := s.media.get(about.mediaID); ok {
		shown := s.showMedia(m)
		places = append(places, shown)
		named = named.set("media", shown)
	}
	if files := s.filesOf(about); len(files) > 0 {
		places = append(places, files...)
		named = named.set("file", files[0])
	}
	return append(places, named)
}

// compare tells the conditions that are met from those that are not.
func compare(pairs []condition, places []object) (passed, failed []condition) {
	passed, failed = []condition{}, []condition{}
	for _, pair := range pairs {
		if value, ok := lookup(places, pair.Prop); ok && equal(value, pair.Value) {
			passed = append(passed, pair)
		} else {
			failed = append(failed, pair)
		}
	}
	return passed, failed
}

// lookup returns the value of the first place that has one. A dot leads into
// an object, as in metadata.source.
func lookup(places []object, prop string) (json.RawMessage, bool) {
	for _, place := range places {
		if value, ok := place.find(prop); ok {
			return value, true
		}
	}
	return nil, false
}

func (o object) find(prop string) (json.RawMessage, bool) {
	if value, ok := o.get(prop); ok {
		return value, true
	}
	name, rest, dotted := strings.Cut(prop, ".")
	if !dotted {
		return nil, false
	}
	value, _ := o.get(name)
	inner, err := parseObject(value)
	if err != nil {
		return nil, false
	}
	return inner.find(rest)
}

// equal compares two JSON scalars. As the value of a condition is documented
// as a string, "100" equals 100 and "true" equals true.
func equal(a, b json.RawMessage) bool {
	x, y := scalar(a), scalar(b)
	if x == y {
		return true
	}
	m, errM := strconv.ParseFloat(x, 64)
	n, errN := strconv.ParseFloat(y, 64)
	return errM == nil && errN == nil && m == n
}

func scalar(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	return string(raw)
}
