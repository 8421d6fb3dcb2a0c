package ittybittest

import (
	"net/http"
	"slices"
	"time"
)

func (s *Server) createFile(r *request) (*response, error) {
	fields, err := fileFields(r.body)
	if err != nil {
		return nil, err
	}
	address, err := r.body.text("url")
	switch {
	case err != nil:
		return nil, err
	case address == "":
		return nil, badRequest("url is required.")
	case !isWebURL(address):
		return nil, badRequest("url must be an absolute http or https URL.")
	}
	mediaID, err := r.body.text("media_id")
	if err != nil {
		return nil, err
	}
	if mediaID != "" && !s.hasMedia(mediaID) {
		return nil, notFound("media", mediaID)
	}
	if s.config.asyncFiles {
		t := &task{taskSpec: taskSpec{kind: "ingest", url: address, options: fields}, intoMedia: mediaID}
		s.startTask(t)
		s.mu.Lock()
		defer s.mu.Unlock()
		return reply(http.StatusAccepted, s.showTask(t)), nil
	}
	file := newFile("source", mediaKind(address), time.Now()).set("original", true)
	return reply(http.StatusCreated, s.addFile(mediaID, withFields(file, fields))), nil
}

func (s *Server) hasMedia(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.media.get(id)
	return ok
}

// addFile stores a file with its media object, which it makes if there is none,
// and starts the automations for that.
func (s *Server) addFile(mediaID string, file object) object {
	now, made := time.Now(), false
	s.mu.Lock()
	if _, ok := s.media.get(mediaID); !ok {
		mediaID, made = s.addMedia(object{}, now).id, true
	}
	file = s.attach(mediaID, file, now)
	s.mu.Unlock()
	if made {
		s.trigger("media.created", subject{mediaID: mediaID})
	}
	return file
}

func (s *Server) getFile(r *request) (*response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	file, ok := s.files.get(r.id)
	if !ok {
		return nil, notFound("file", r.id)
	}
	return reply(http.StatusOK, file), nil
}

func (s *Server) listFiles(r *request) (*response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return page(s, r, s.files.newestFirst(nil), defaultLimit, func(file object) object { return file })
}

func (s *Server) updateFile(r *request) (*response, error) {
	fields, err := fileFields(r.body)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	file, ok := s.files.get(r.id)
	if !ok {
		return nil, notFound("file", r.id)
	}
	file = withFields(file, fields).set("updated", timestamp(time.Now()))
	s.files.replace(r.id, file)
	if m, ok := s.media.get(s.mediaOf(r.id)); ok {
		for i := range m.files {
			if hasID(m.files[i], r.id) {
				m.files[i] = file
			}
		}
	}
	return reply(http.StatusOK, file), nil
}

func (s *Server) deleteFile(r *request) (*response, error) {
	if !s.removeFile(r.id) {
		return nil, notFound("file", r.id)
	}
	s.stored.forget(r.id)
	return reply(http.StatusOK, object{}.set("message", r.id+" deleted")), nil
}

// removeFile removes a file, also from its media object, and what was made up for
// it. Uploaded bytes stay.
func (s *Server) removeFile(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m, ok := s.media.get(s.mediaOf(id)); ok {
		m.files = slices.DeleteFunc(m.files, func(file object) bool { return hasID(file, id) })
	}
	delete(s.documents, id)
	return s.files.remove(id)
}

func hasID(file object, id string) bool {
	own, _ := file.text("id")
	return own == id
}

// fileFields checks and takes what a request may set.
func fileFields(body object) (object, error) {
	fields := object{}
	for _, m := range body {
		switch m.name {
		case "folder", "filename", "ref":
			if _, err := body.text(m.name); err != nil {
				return nil, err
			}
		case "metadata":
			if _, err := parseObject(m.value); err != nil && !isNull(m.value) {
				return nil, badRequest("metadata %s.", err)
			}
		default:
			continue
		}
		fields = append(fields, m)
	}
	return fields, nil
}

func withFields(file, fields object) object {
	for _, field := range fields {
		file = file.set(field.name, field.value)
	}
	return file
}
