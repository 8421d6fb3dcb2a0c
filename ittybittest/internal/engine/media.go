package engine

import (
	"encoding/json"
	"slices"

	"github.com/ittybit/ittybit-go/internal/jsonx"
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
	m := &Media{}
	if err := m.Set(body); err != nil {
		return nil, err
	}
	e.addMedia(m)
	e.mediaCreated(m.ID, false)
	return m.show(), nil
}

// Set changes the fields that were sent.
func (m *Media) Set(body fields.Object) error {
	for _, name := range []string{"alt", "title"} {
		if _, err := body.Text(name); err != nil {
			return err
		}
	}
	if body.Has("alt") {
		m.Alt = body["alt"]
	}
	if body.Has("title") {
		m.Title = body["title"]
	}
	m.Updated = now()
	return setFields(body, nil, &m.Metadata)
}

// DeleteMedia deletes a media object and its files, whose ids it returns.
func (e *Engine) DeleteMedia(id string) (files []string, err error) {
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

// addMedia stores a new media object.
func (e *Engine) addMedia(m *Media) *Media {
	m.ID, m.Object, m.Created, m.Updated = e.NewID("med"), "media", now(), now()
	e.Media.add(m)
	return m
}

// source is a media object's first source file, nil if it has none.
func (m *Media) source() *File {
	if i := slices.IndexFunc(m.files, (*File).isSource); i >= 0 {
		return m.files[i]
	}
	return nil
}

// show is a media object with its files.
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
	if jsonx.IsNull(shown.Metadata) {
		shown.Metadata = json.RawMessage("{}")
	}
	return shown
}
