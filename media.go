package ittybit

import (
	"context"
	"fmt"
	"iter"
	"net/http"
	"time"
)

// Media is a media object: an original, everything that was made of it, and the URLs
// under which the outputs with a ref are found.
type Media struct {
	ID         string            `json:"id"`
	Object     string            `json:"object,omitempty"` // "media"
	Kind       FileKind          `json:"kind,omitempty"`   // empty for a media without files
	Title      string            `json:"title,omitempty"`
	Alt        string            `json:"alt,omitempty"`
	Width      int               `json:"width,omitempty"`    // pixels
	Height     int               `json:"height,omitempty"`   // pixels
	Duration   float64           `json:"duration,omitempty"` // seconds
	Files      []*File           `json:"files,omitempty"`
	URLs       map[string]string `json:"urls,omitempty"` // by ref
	Background string            `json:"background,omitempty"`
	Metadata   map[string]any    `json:"metadata,omitempty"` // its numbers are json.Number
	Created    time.Time         `json:"created,omitzero"`
	Updated    time.Time         `json:"updated,omitzero"`

	// In webhooks only.
	ProjectID    string `json:"project_id,omitempty"`
	AutomationID string `json:"automation_id,omitempty"`

	decoded
}

// String names the media in a few words, for logs.
func (m Media) String() string {
	return fmt.Sprintf("media %s (kind %s, %d files)", m.ID, m.Kind, len(m.Files))
}

// GoString is String, so that %#v prints no payload either.
func (m Media) GoString() string { return m.String() }

// FileByRef gives the file with that ref, such as "original" or the Ref of the task or
// step that made it; nil where there is none.
func (m *Media) FileByRef(ref string) *File {
	for _, file := range m.Files {
		if file.Ref == ref {
			return file
		}
	}
	return nil
}

// FilesByObject gives the files that play that role: sources, tracks or intelligence.
func (m *Media) FilesByObject(object FileObject) []*File {
	var files []*File
	for _, file := range m.Files {
		if file.Object == object {
			files = append(files, file)
		}
	}
	return files
}

// UnmarshalJSON implements [json.Unmarshaler].
func (m *Media) UnmarshalJSON(data []byte) error { return unmarshalObject(m, data) }

// MarshalJSON gives everything that was decoded back, changed fields changed.
func (m Media) MarshalJSON() ([]byte, error) { return marshalObject(&m, nil) }

func (m *Media) objectID() string { return m.ID }

func (m *Media) fromJSON(text []byte) error { return decodeObject(m, "media", text) }

// MediaCreateParams are the parameters of [MediaService.Create]. All are optional.
type MediaCreateParams struct {
	Title    string         `json:"title,omitempty"`
	Alt      string         `json:"alt,omitempty"`
	Metadata map[string]any `json:"metadata,omitempty"`
}

// MediaUpdateParams are the parameters of [MediaService.Update]. What is nil is left alone.
type MediaUpdateParams struct {
	Title    *string        `json:"title,omitempty"`
	Alt      *string        `json:"alt,omitempty"`
	Metadata map[string]any `json:"metadata,omitzero"` // replaces the metadata; an empty map empties it
}

// MediaListParams choose a page of [MediaService.List].
type MediaListParams struct {
	Page  int `url:"page,omitempty"`  // from 1; 0 is the first
	Limit int `url:"limit,omitempty"` // items a page, 1 to 100; 0 leaves it to Ittybit
}

// MediaService calls /media. Use it as Client.Media.
type MediaService struct{ client *Client }

// Create makes an empty media object; it gets its files from tasks and uploads.
func (s *MediaService) Create(ctx context.Context, params MediaCreateParams, opts ...RequestOption) (*Media, error) {
	return do[Media](ctx, s.client, call{method: http.MethodPost, path: "/media", body: params, creates: true}, opts)
}

// Get fetches a media object.
func (s *MediaService) Get(ctx context.Context, id string, opts ...RequestOption) (*Media, error) {
	return doByID[Media](ctx, s.client, http.MethodGet, "/media/", id, nil, opts)
}

// List fetches a page of media objects.
func (s *MediaService) List(ctx context.Context, params MediaListParams, opts ...RequestOption) (*Page[Media], error) {
	return list[Media](ctx, s.client, "/media", params, params.Page, params.Limit, opts)
}

// All iterates over the media objects from the page that params choose to the last one, fetching
// pages as it goes. An error is yielded alone, and last. To delete them, collect the ids first: see
// [Page].
func (s *MediaService) All(ctx context.Context, params MediaListParams, opts ...RequestOption) iter.Seq2[*Media, error] {
	return all(ctx, func() (*Page[Media], error) { return s.List(ctx, params, opts...) })
}

// Update changes a media object.
func (s *MediaService) Update(ctx context.Context, id string, params MediaUpdateParams, opts ...RequestOption) (*Media, error) {
	return doByID[Media](ctx, s.client, http.MethodPatch, "/media/", id, params, opts)
}

// Delete deletes a media object.
func (s *MediaService) Delete(ctx context.Context, id string, opts ...RequestOption) error {
	return deleteByID(ctx, s.client, "/media/", id, opts)
}
