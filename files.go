package ittybit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"strings"
	"time"

	"github.com/ittybit/ittybit-go/internal/jsonx"
)

// FileObject says what role a file plays. It is an open type: Ittybit may send
// values that are not named here.
type FileObject string

// The roles of files (API version 2025-08-20).
const (
	FileObjectSource       FileObject = "source"       // an original or an encoded copy of it
	FileObjectTrack        FileObject = "track"        // subtitles, chapters, thumbnails
	FileObjectIntelligence FileObject = "intelligence" // what was found out: JSON behind URL
)

// File is a file of a media object, and what a task takes in and puts out. Members
// that Ittybit did not send are zero; RawJSON has everything.
type File struct {
	ID           string         `json:"id"`
	MediaID      string         `json:"media_id,omitempty"`
	Object       FileObject     `json:"object,omitempty"`
	Kind         string         `json:"kind,omitempty"` // video, image, audio; tracks and intelligence have kinds of their own
	Type         string         `json:"type,omitempty"` // MIME type
	Status       string         `json:"status,omitempty"`
	URL          string         `json:"url,omitempty"`
	Filename     string         `json:"filename,omitempty"`
	Folder       string         `json:"folder,omitempty"`
	Ref          string         `json:"ref,omitempty"`
	Label        string         `json:"label,omitempty"`
	Language     string         `json:"language,omitempty"`
	Codec        string         `json:"codec,omitempty"`
	Container    string         `json:"container,omitempty"`
	Format       string         `json:"format,omitempty"`
	Orientation  string         `json:"orientation,omitempty"` // landscape, portrait or square
	Placeholder  string         `json:"placeholder,omitempty"`
	Background   string         `json:"background,omitempty"`
	CreatedBy    string         `json:"created_by,omitempty"`
	Original     bool           `json:"original,omitempty"`
	Transparency bool           `json:"transparency,omitempty"`
	Animated     bool           `json:"animated,omitempty"`
	Width        int            `json:"width,omitempty"`    // pixels
	Height       int            `json:"height,omitempty"`   // pixels
	Rotation     float64        `json:"rotation,omitempty"` // degrees
	Frames       int            `json:"frames,omitempty"`
	Duration     float64        `json:"duration,omitempty"` // seconds
	FPS          float64        `json:"fps,omitempty"`      // frames a second
	Bitrate      int            `json:"bitrate,omitempty"`  // bits a second
	Filesize     int64          `json:"filesize,omitempty"` // bytes
	Metadata     map[string]any `json:"metadata,omitempty"` // its numbers are json.Number
	Created      time.Time      `json:"created,omitzero"`
	Updated      time.Time      `json:"updated,omitzero"`

	raw json.RawMessage
}

// String names the file in a few words, for logs, without its URL.
func (f *File) String() string {
	return fmt.Sprintf("file %s (kind %s, status %s)", f.ID, f.Kind, f.Status)
}

// RawJSON gives the file as Ittybit sent it, also the members that File does not
// know. It must not be changed, and is nil for a File that was not decoded.
func (f *File) RawJSON() json.RawMessage { return f.raw }

// UnmarshalJSON implements [json.Unmarshaler].
func (f *File) UnmarshalJSON(data []byte) error { return unmarshalObject(f, data) }

func (f *File) objectID() string { return f.ID }

// fromJSON reads data and keeps it.
func (f *File) fromJSON(data []byte) error {
	*f = File{raw: data}
	var metadata json.RawMessage
	var createdAt, updatedAt time.Time
	object := jsonx.NewObject(data)
	for object.Next() {
		switch string(object.Name()) {
		case "id":
			jsonx.String(&object, &f.ID)
		case "media_id":
			jsonx.String(&object, &f.MediaID)
		case "object":
			jsonx.String(&object, &f.Object)
		case "kind":
			jsonx.String(&object, &f.Kind)
		case "type":
			jsonx.String(&object, &f.Type)
		case "status":
			jsonx.String(&object, &f.Status)
		case "url":
			jsonx.String(&object, &f.URL)
		case "filename":
			jsonx.String(&object, &f.Filename)
		case "folder":
			jsonx.String(&object, &f.Folder)
		case "ref":
			jsonx.String(&object, &f.Ref)
		case "label":
			jsonx.String(&object, &f.Label)
		case "language":
			jsonx.String(&object, &f.Language)
		case "codec":
			jsonx.String(&object, &f.Codec)
		case "container":
			jsonx.String(&object, &f.Container)
		case "format":
			jsonx.String(&object, &f.Format)
		case "orientation":
			jsonx.String(&object, &f.Orientation)
		case "placeholder":
			jsonx.String(&object, &f.Placeholder)
		case "background":
			jsonx.String(&object, &f.Background)
		case "created_by":
			jsonx.String(&object, &f.CreatedBy)
		case "original":
			object.Bool(&f.Original)
		case "transparency":
			object.Bool(&f.Transparency)
		case "animated":
			object.Bool(&f.Animated)
		case "width":
			jsonx.Whole(&object, &f.Width)
		case "height":
			jsonx.Whole(&object, &f.Height)
		case "frames":
			jsonx.Whole(&object, &f.Frames)
		case "bitrate":
			jsonx.Whole(&object, &f.Bitrate)
		case "filesize":
			jsonx.Whole(&object, &f.Filesize)
		case "rotation":
			object.Float(&f.Rotation)
		case "duration":
			object.Float(&f.Duration)
		case "fps":
			object.Float(&f.FPS)
		case "created":
			object.Time(&f.Created)
		case "created_at":
			object.Time(&createdAt)
		case "updated":
			object.Time(&f.Updated)
		case "updated_at":
			object.Time(&updatedAt)
		case "metadata":
			metadata = object.Value()
		}
	}
	f.Created, f.Updated = firstNonZero(f.Created, createdAt), firstNonZero(f.Updated, updatedAt)
	var err error
	f.Metadata, err = decodeMetadata(metadata)
	object.FailAt("metadata", err)
	return object.Err()
}

// FileCreateParams are the parameters of [FilesService.Create].
type FileCreateParams struct {
	URL      string         `json:"url"` // required: where Ittybit fetches the file, publicly accessible or signed
	MediaID  string         `json:"media_id,omitempty"`
	Folder   string         `json:"folder,omitempty"`
	Filename string         `json:"filename,omitempty"`
	Ref      string         `json:"ref,omitempty"` // names the file in the media's URLs
	Metadata map[string]any `json:"metadata,omitempty"`
}

// FileUpdateParams are the parameters of [FilesService.Update]. What is nil is left
// alone.
type FileUpdateParams struct {
	Folder   *string        `json:"folder,omitempty"`
	Filename *string        `json:"filename,omitempty"`
	Ref      *string        `json:"ref,omitempty"`
	Metadata map[string]any `json:"metadata,omitzero"` // replaces the metadata; an empty map empties it
}

// FileListParams choose a page of [FilesService.List].
type FileListParams struct {
	Page  int `url:"page,omitempty"`  // from 1; 0 is the first
	Limit int `url:"limit,omitempty"` // items a page, 1 to 100; 0 leaves it to Ittybit, which takes 20
}

// FilesService calls /files, and uploads. Use it as Client.Files.
type FilesService struct{ client *Client }

// Create has Ittybit fetch a file from a URL, and answers once it is stored, which takes
// its time. Where Ittybit answers with a task in place of the file, as it is seen to do, the
// error is an [*AcceptedError] with that task. Any other error that matches [ErrOutcomeUnknown]
// means that the file may exist. A file of your own machine is uploaded with Upload.
func (s *FilesService) Create(ctx context.Context, params FileCreateParams, opts ...RequestOption) (*File, error) {
	if params.URL == "" {
		return nil, &ParamError{Param: "URL", Reason: "is required"}
	}
	file, err := do[File](ctx, s.client, call{method: http.MethodPost, path: "/files", body: params, creates: true, patient: true}, opts)
	if file == nil || !file.isTask() {
		return file, err
	}
	return nil, file.accepted()
}

// accepted is the error that means the task that was read as a file.
func (f *File) accepted() error {
	task := new(Task)
	if err := task.fromJSON(f.raw); err != nil {
		return errors.Join(&AcceptedError{Task: task}, fmt.Errorf("ittybit: %w", err))
	}
	return &AcceptedError{Task: task}
}

// isTask reports whether what was read as a file is a task.
func (f *File) isTask() bool {
	return f.Object == "task" || f.Object == "" && (strings.HasPrefix(f.ID, "task_") || strings.HasPrefix(f.ID, "tsk_"))
}

// Get fetches a file object. The file itself is behind its URL.
func (s *FilesService) Get(ctx context.Context, id string, opts ...RequestOption) (*File, error) {
	return doByID[File](ctx, s.client, http.MethodGet, "/files/", id, nil, opts)
}

// List fetches a page of files.
func (s *FilesService) List(ctx context.Context, params FileListParams, opts ...RequestOption) (*Page[File], error) {
	return list[File](ctx, s.client, "/files", params, params.Page, params.Limit, opts)
}

// All iterates over the files from the page that params choose to the last one,
// fetching pages as it goes. An item with a member that can't be read is yielded together
// with the error, and the iteration goes on. Any other error is yielded alone, and last.
func (s *FilesService) All(ctx context.Context, params FileListParams, opts ...RequestOption) iter.Seq2[*File, error] {
	return all(ctx, func() (*Page[File], error) { return s.List(ctx, params, opts...) })
}

// Update changes a file object.
func (s *FilesService) Update(ctx context.Context, id string, params FileUpdateParams, opts ...RequestOption) (*File, error) {
	return doByID[File](ctx, s.client, http.MethodPatch, "/files/", id, params, opts)
}

// Delete deletes a file.
func (s *FilesService) Delete(ctx context.Context, id string, opts ...RequestOption) error {
	return deleteByID(ctx, s.client, "/files/", id, opts)
}
