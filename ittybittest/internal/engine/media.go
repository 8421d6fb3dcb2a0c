package engine

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/ittybit/ittybit-go/ittybittest/internal/ordered"
)

// CreateMedia creates a media object without files.
func (e *Engine) CreateMedia(body ordered.Object) (ordered.Object, error) {
	fields, err := takeFields(body, "title", "alt")
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	m := e.addMedia(fields)
	shown := e.showMedia(m)
	e.mu.Unlock()
	e.trigger("media.created", subject{mediaID: m.ID})
	return shown, nil
}

// UpdateMedia changes the fields that were sent.
func (e *Engine) UpdateMedia(id string, body ordered.Object) (ordered.Object, error) {
	fields, err := takeFields(body, "title", "alt")
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	m, err := e.Media.find(id)
	if err != nil {
		return nil, err
	}
	m.Fields, m.Updated = m.Fields.Merge(fields), time.Now()
	return e.showMedia(m), nil
}

// DeleteMedia deletes a media object and its files, whose ids it returns.
func (e *Engine) DeleteMedia(id string) ([]string, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	m, err := e.Media.find(id)
	if err != nil {
		return nil, err
	}
	e.Media.remove(id)
	for _, fileID := range m.FileIDs {
		e.removeFile(fileID)
	}
	return m.FileIDs, nil
}

// takeFields checks and takes what a request may set: the texts and metadata. Other fields are
// left alone: generated clients are known to send some, and PHP's empty map as [].
func takeFields(body ordered.Object, texts ...string) (ordered.Object, error) {
	fields := ordered.Object{}
	for _, f := range body {
		switch {
		case f.Name == "metadata" && !ordered.IsNull(f.Value):
			if items, isArray := ordered.Array(f.Value); isArray && len(items) == 0 {
				f.Value = json.RawMessage("{}")
			}
			if _, err := ordered.Parse(f.Value); err != nil {
				return nil, invalid("metadata %s.", err)
			}
		case slices.Contains(texts, f.Name):
			if _, err := body.Text(f.Name); err != nil {
				return nil, err
			}
		case f.Name != "metadata":
			continue
		}
		fields = append(fields, f)
	}
	return fields, nil
}

// addMedia stores a new media object. The caller holds e.mu.
func (e *Engine) addMedia(fields ordered.Object) *record {
	m := e.newRecord("med", fields)
	e.Media.set(m)
	return m
}

// filesOf are the files of a media object. The caller holds e.mu.
func (e *Engine) filesOf(m *record) []ordered.Object {
	files := make([]ordered.Object, 0, len(m.FileIDs))
	for _, id := range m.FileIDs {
		if file, err := e.Files.find(id); err == nil {
			files = append(files, file)
		}
	}
	return files
}

// source is a media object's first source file, or nil. The caller holds e.mu.
func (e *Engine) source(m *record) ordered.Object {
	for _, file := range e.filesOf(m) {
		if isSource(file) {
			return file
		}
	}
	return nil
}

// showMedia is a media object as the API and webhooks show it: its kind and size are those of
// its first source file. The caller holds e.mu.
func (e *Engine) showMedia(m *record) ordered.Object {
	first, urls, files := e.source(m), ordered.Object{}, e.filesOf(m)
	for _, file := range files {
		ref := file.String("ref")
		if ref == "" && file.String("id") == first.String("id") {
			ref = "original"
		}
		if ref != "" {
			urls = urls.Set(ref, file.String("url"))
		}
	}
	o := ordered.Object{}.Set("id", m.ID).Set("object", "media").Set("kind", first.OrNull("kind"))
	for _, name := range []string{"title", "alt"} {
		o = o.Set(name, m.Fields.OrNull(name))
	}
	for _, name := range []string{"width", "height", "duration"} {
		if value, ok := first.Get(name); ok {
			o = o.Set(name, value)
		}
	}
	metadata, ok := m.Fields.Get("metadata")
	if !ok {
		metadata = json.RawMessage("{}")
	}
	return o.Set("files", files).Set("urls", urls).Set("background", nil).Set("metadata", metadata).
		Set("created", timestamp(m.Created)).Set("updated", timestamp(m.Updated))
}
