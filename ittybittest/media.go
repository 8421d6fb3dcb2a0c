package ittybittest

import (
	"encoding/json"
	"net/http"
	"time"
)

// media is a media object. Server.mu guards it.
type media struct {
	id      string
	fields  object // title, alt and metadata, as they were sent
	files   []object
	created time.Time
	updated time.Time
}

func (s *Server) createMedia(r *request) (*response, error) {
	fields, err := mediaFields(r.body)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	m := s.addMedia(fields, time.Now())
	resp := reply(http.StatusCreated, s.showMedia(m))
	s.mu.Unlock()
	s.trigger("media.created", subject{mediaID: m.id})
	return resp, nil
}

func (s *Server) getMedia(r *request) (*response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m, ok := s.media.get(r.id)
	if !ok {
		return nil, notFound("media", r.id)
	}
	return reply(http.StatusOK, s.showMedia(m)), nil
}

func (s *Server) listMedia(r *request) (*response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return page(s, r, s.media.newestFirst(nil), defaultLimit, s.showMedia)
}

func (s *Server) updateMedia(r *request) (*response, error) {
	fields, err := mediaFields(r.body)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	m, ok := s.media.get(r.id)
	if !ok {
		return nil, notFound("media", r.id)
	}
	for _, field := range fields {
		m.fields = m.fields.set(field.name, field.value)
	}
	m.updated = time.Now()
	return reply(http.StatusOK, s.showMedia(m)), nil
}

// deleteMedia deletes the media object's files too, and their bytes.
func (s *Server) deleteMedia(r *request) (*response, error) {
	s.mu.Lock()
	m, ok := s.media.get(r.id)
	s.media.remove(r.id)
	s.mu.Unlock()
	if !ok {
		return nil, notFound("media", r.id)
	}
	for _, file := range m.files { // nobody reaches them any more
		id, _ := file.text("id")
		s.removeFile(id)
		s.stored.forget(id)
	}
	return reply(http.StatusOK, object{}.set("message", r.id+" deleted")), nil
}

// mediaFields checks and takes what a request may set. Other members are left
// alone: generated clients are known to send some.
func mediaFields(body object) (object, error) {
	fields := object{}
	for _, name := range []string{"title", "alt"} {
		if _, err := body.text(name); err != nil {
			return nil, err
		}
	}
	if raw, ok := body.get("metadata"); ok {
		if _, err := parseObject(raw); err != nil {
			return nil, badRequest("metadata %s.", err)
		}
	}
	for _, m := range body {
		if m.name == "title" || m.name == "alt" || m.name == "metadata" {
			fields = append(fields, m)
		}
	}
	return fields, nil
}

// addMedia stores a new media object. The caller holds s.mu.
func (s *Server) addMedia(fields object, now time.Time) *media {
	m := &media{id: newID("med"), fields: fields, created: now, updated: now}
	s.media.add(m.id, m)
	return m
}

// attach stores a file and, if it belongs to a media object, adds it there.
// The caller holds s.mu.
func (s *Server) attach(mediaID string, file object, now time.Time) object {
	m, ok := s.media.get(mediaID)
	if ok {
		file = file.set("media_id", mediaID)
		m.files = append(m.files, file)
		m.updated = now
	}
	id, _ := file.text("id")
	s.files.add(id, file)
	return file
}

// mediaOf is the id of the media object a file belongs to. The caller holds
// s.mu.
func (s *Server) mediaOf(fileID string) string {
	file, _ := s.files.get(fileID)
	id, _ := file.text("media_id")
	return id
}

// source is its first source file, or nil if it has none.
func (m *media) source() object {
	for _, file := range m.files {
		if isSource(file) {
			return file
		}
	}
	return nil
}

// showMedia is a media object as the API and webhooks show it: its kind and
// size are those of its first source file. The caller holds s.mu.
func (s *Server) showMedia(m *media) object {
	first, urls, files := m.source(), object{}, []object{}
	firstID, _ := first.text("id")
	for _, file := range m.files {
		files = append(files, file)
		ref, _ := file.text("ref")
		url, _ := file.text("url")
		if ref == "" && hasID(file, firstID) {
			ref = "original"
		}
		if ref != "" {
			urls = urls.set(ref, url)
		}
	}
	o := object{}.set("id", m.id).set("object", "media").set("kind", first.orNull("kind"))
	for _, name := range []string{"title", "alt"} {
		o = o.set(name, m.fields.orNull(name))
	}
	for _, name := range []string{"width", "height", "duration"} {
		if value, ok := first.get(name); ok {
			o = o.set(name, value)
		}
	}
	o = o.set("files", files).set("urls", urls).set("background", nil)
	metadata, ok := m.fields.get("metadata")
	if !ok {
		metadata = json.RawMessage("{}")
	}
	return o.set("metadata", metadata).
		set("created", timestamp(m.created)).
		set("updated", timestamp(m.updated))
}
