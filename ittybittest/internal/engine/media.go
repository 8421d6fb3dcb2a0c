package engine

import (
	"encoding/json"
	"slices"

	"github.com/ittybit/ittybit-go/ittybittest/internal/fields"
)

// Media is a media object as the API shows it. Its kind, size and duration are those of its first
// source file.
type Media struct {
	ID         string            `json:"id"`
	Object     string            `json:"object"`
	Kind       *string           `json:"kind"`
	Title      json.RawMessage   `json:"title"`
	Alt        json.RawMessage   `json:"alt"`
	Width      int               `json:"width,omitempty"`
	Height     int               `json:"height,omitempty"`
	Duration   float64           `json:"duration,omitempty"`
	Files      []File            `json:"files"`
	URLs       map[string]string `json:"urls"`
	Background *string           `json:"background"`
	Metadata   json.RawMessage   `json:"metadata"`
	Created    Time              `json:"created"`
	Updated    Time              `json:"updated"`

	files []*File
}

// MediaPayload is what a webhook about media posts.
type MediaPayload struct {
	Media
	ProjectID    string `json:"project_id"`
	AutomationID string `json:"automation_id,omitempty"`
}

// CreateMedia creates a media object without files.
func (e *Engine) CreateMedia(body fields.Object) (any, error) {
	var asked Media
	if err := asked.set(body); err != nil {
		return nil, err
	}
	e.mu.Lock()
	m := e.addMedia()
	_ = m.set(body) // it was checked
	shown := m.show()
	e.mu.Unlock()
	e.mediaCreated(m.ID, false)
	return shown, nil
}

// UpdateMedia changes the fields that were sent.
func (e *Engine) UpdateMedia(id string, body fields.Object) (any, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	m, err := e.Media.find(id)
	if err != nil {
		return nil, err
	}
	changed := *m
	if err := changed.set(body); err != nil {
		return nil, err
	}
	changed.Updated = now()
	*m = changed
	return m.show(), nil
}

func (m *Media) set(body fields.Object) error {
	for name, target := range map[string]*json.RawMessage{"title": &m.Title, "alt": &m.Alt} {
		if _, err := body.Text(name); err != nil {
			return err
		}
		if body.Has(name) {
			*target = body[name]
		}
	}
	return setFields(body, nil, &m.Metadata)
}

// DeleteMedia deletes a media object and its files, whose ids it returns.
func (e *Engine) DeleteMedia(id string) (files []string, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	m, err := e.Media.find(id)
	if err != nil {
		return nil, err
	}
	for _, f := range slices.Clone(m.files) {
		e.removeFile(f)
		files = append(files, f.ID)
	}
	e.Media.remove(id)
	return files, nil
}

// addMedia stores a new media object. The caller holds e.mu.
func (e *Engine) addMedia() *Media {
	m := &Media{ID: e.NewID("med"), Object: "media", Created: now(), Updated: now()}
	e.Media.add(m)
	return m
}

// source is a media object's first source file, nil if it has none. The caller holds Engine.mu.
func (m *Media) source() *File {
	if i := slices.IndexFunc(m.files, (*File).isSource); i >= 0 {
		return m.files[i]
	}
	return nil
}

// show is a media object with its files. The caller holds Engine.mu.
func (m *Media) show() Media {
	shown := *m
	shown.Files, shown.URLs = []File{}, map[string]string{}
	first := m.source()
	if first != nil {
		shown.Kind, shown.Width, shown.Height, shown.Duration = &first.Kind, first.Width, first.Height, first.Duration
	}
	for _, f := range m.files {
		shown.Files = append(shown.Files, *f)
		switch {
		case f.Ref != "":
			shown.URLs[f.Ref] = f.URL
		case f == first:
			shown.URLs["original"] = f.URL
		}
	}
	if fields.IsNull(shown.Metadata) {
		shown.Metadata = json.RawMessage("{}")
	}
	return shown
}
