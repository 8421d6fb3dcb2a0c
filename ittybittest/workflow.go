package ittybittest

import (
	"encoding/json"
	"strconv"
	"strings"
)

// subject is what the steps of a workflow are about.
type subject struct {
	task         *task  // what set it off, or the task before; nil for media
	after        bool   // the steps come after the task, or belong to it
	file         object // what they work on; nil: the first source file of the media
	mediaID      string
	parentID     string // of the tasks that they make
	automationID string
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
		steps, own := a.steps, about
		own.automationID = a.id
		s.life.start(func() { s.runSteps(steps, own) })
	}
}

// runSteps runs steps from top to bottom. It returns when all of them ended,
// with the tasks among them that failed, except for webhooks, whose deliveries take
// their own time.
func (s *Server) runSteps(steps []taskSpec, about subject) (failed []*task) {
	for _, st := range steps {
		if s.life.ctx.Err() != nil {
			return failed
		}
		switch st.kind {
		case "": // there is nothing to do
		case "webhook":
			if payload := s.stepPayload(about); payload != nil {
				s.deliver(st.url, payload)
			}
			failed = append(failed, s.runSteps(st.next, about)...)
		case "conditions":
			if s.holds(st.conditions, about) {
				failed = append(failed, s.runSteps(st.next, about)...)
			}
		default:
			t := s.stepTask(st, about)
			s.addTask(t)
			failed = append(failed, s.runTask(t)...)
		}
	}
	return failed
}

// stepTask is the task a step asks for. Unless the step names its own input, that
// is the file the steps are about.
func (s *Server) stepTask(st taskSpec, about subject) *task {
	s.mu.Lock()
	defer s.mu.Unlock()
	file := s.fileOf(about)
	return &task{
		taskSpec: st, automationID: about.automationID, parentID: about.parentID, mediaID: about.mediaID,
		input: file, carried: file,
	}
}

// within is what the steps of a workflow task are about: the task and its input.
// The caller holds s.mu.
func (t *task) within() subject {
	return subject{task: t, after: true, file: t.input, mediaID: t.mediaID, parentID: t.id, automationID: t.automationID}
}

// handsOn is what the next steps of a task are about. They work on its output, or
// where that is no media, such as subtitles, on its input. The caller holds s.mu.
func (t *task) handsOn() subject {
	about := t.within()
	switch {
	case isSource(t.output):
		about.file = t.output
	case t.kind == "http": // its url is no media
		about.file = t.carried
	}
	return about
}

// stepPayload is what a webhook step posts, or nil if the media was deleted.
func (s *Server) stepPayload(about subject) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	shown := s.show(about)
	if shown == nil {
		return nil
	}
	return encode(shown.set("project_id", s.projectID).setText("automation_id", about.automationID))
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

// fileOf is the file that steps work on, or nil. The caller holds s.mu.
func (s *Server) fileOf(about subject) object {
	if about.file != nil {
		return about.file
	}
	if m, ok := s.media.get(about.mediaID); ok {
		return m.source()
	}
	return nil
}

// holds reports whether every pair of a conditions step is met.
func (s *Server) holds(pairs []condition, about subject) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, failed := compare(pairs, s.places(about))
	return len(failed) == 0
}

// places are where a condition's prop is looked for. After a task that is what it
// made (or else what it was about), its results, the task; for a task that set off
// an automation the task comes first. Then the file the steps work on, the media and
// its files; and then, by the names task, media and file, in one of them alone. The
// caller holds s.mu.
func (s *Server) places(about subject) []object {
	var places []object
	add := func(more ...object) {
		for _, place := range more {
			if place != nil {
				places = append(places, place)
			}
		}
	}
	named, file := object{}, s.fileOf(about)
	if t := about.task; t != nil {
		shown, made := s.showTask(t), t.output
		results, _ := parseObject(t.results)
		if made == nil {
			made = file
		}
		if about.after {
			add(made, results, shown)
		} else {
			add(shown, results, made)
		}
		named = named.set("task", shown)
	}
	if about.task != nil || about.file != nil {
		add(file)
	}
	if m, ok := s.media.get(about.mediaID); ok {
		shown := s.showMedia(m)
		add(shown, file)
		add(m.files...)
		named = named.set("media", shown)
	}
	if file != nil {
		named = named.set("file", file)
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
