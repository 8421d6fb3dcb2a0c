package ittybit

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"time"

	"github.com/ittybit/ittybit-go/internal/jsonx"
)

// Media is a media object: an original, everything that was made of it, and the URLs
// under which the outputs with a ref are found.
type Media struct {
	ID         string            `json:"id"`
	Object     string            `json:"object,omitempty"` // "media"
	Kind       string            `json:"kind,omitempty"`   // video, image or audio; empty for a media without files
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

	raw json.RawMessage
}

// String names the media in a few words, for logs.
func (m *Media) String() string {
	return fmt.Sprintf("media %s (kind %s, %d files)", m.ID, m.Kind, len(m.Files))
}

// RawJSON gives the media as Ittybit sent it, also the members that Media does not
// know. It must not be changed, and is nil for a Media that was not decoded.
func (m *Media) RawJSON() json.RawMessage { return m.raw }

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

func (m *Media) objectID() string { return m.ID }

// fromJSON reads data and keeps it.
func (m *Media) fromJSON(data []byte) error {
	*m = Media{raw: data}
	var files, urls, metadata json.RawMessage
	var createdAt, updatedAt time.Time
	object := jsonx.NewObject(data)
	for object.Next() {
		switch string(object.Name()) {
		case "id":
			jsonx.String(&object, &m.ID)
		case "object":
			jsonx.String(&object, &m.Object)
		case "kind":
			jsonx.String(&object, &m.Kind)
		case "title":
			jsonx.String(&object, &m.Title)
		case "alt":
			jsonx.String(&object, &m.Alt)
		case "background":
			jsonx.String(&object, &m.Background)
		case "project_id":
			jsonx.String(&object, &m.ProjectID)
		case "automation_id":
			jsonx.String(&object, &m.AutomationID)
		case "width":
			jsonx.Whole(&object, &m.Width)
		case "height":
			jsonx.Whole(&object, &m.Height)
		case "duration":
			object.Float(&m.Duration)
		case "created":
			object.Time(&m.Created)
		case "created_at":
			object.Time(&createdAt)
		case "updated":
			object.Time(&m.Updated)
		case "updated_at":
			object.Time(&updatedAt)
		case "files":
			files = object.Value()
		case "urls":
			urls = object.Value()
		case "metadata":
			metadata = object.Value()
		}
	}
	m.Created, m.Updated = firstNonZero(m.Created, createdAt), firstNonZero(m.Updated, updatedAt)
	var err error
	m.Files, err = decodeObjects[File](files)
	object.FailAt("files", err)
	m.Metadata, err = decodeMetadata(metadata)
	object.FailAt("metadata", err)
	object.FailAt("urls", decodePart(urls, &m.URLs))
	return object.Err()
}

// MediaCreateParams are the parameters of [MediaService.Create]. All are optional.
type MediaCreateParams struct {
	Title    string         `json:"title,omitempty"`
	Alt      string         `json:"alt,omitempty"`
	Metadata map[string]any `json:"metadata,omitempty"`
}

// MediaUpdateParams are the parameters of [MediaService.Update]. What is nil is left
// alone.
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

// All iterates over the media objects from the page that params choose to the last one,
// fetching pages as it goes. An item with a member that can't be read is yielded together
// with the error, and the iteration goes on. Any other error is yielded alone, and last.
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
