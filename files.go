package ittybit

import (
	"context"
	"fmt"
	"iter"
	"net/http"
	"strings"
	"time"
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

// FileKind says what is in a file. It is an open type: a track or intelligence is of the kind of
// the task that made it, such as subtitles or nsfw.
type FileKind string

// The kinds of sources (API version 2025-08-20).
const (
	FileKindVideo FileKind = "video"
	FileKindImage FileKind = "image"
	FileKindAudio FileKind = "audio"
)

// FileStatus says whether a file can be used. It is an open type.
type FileStatus string

// The statuses of files (API version 2025-08-20).
const (
	FileStatusWaiting    FileStatus = "waiting"
	FileStatusProcessing FileStatus = "processing"
	FileStatusReady      FileStatus = "ready"
	FileStatusFailed     FileStatus = "failed"
)

// Orientation is the shape of a picture. It is an open type.
type Orientation string

// The orientations (API version 2025-08-20).
const (
	OrientationLandscape Orientation = "landscape"
	OrientationPortrait  Orientation = "portrait"
	OrientationSquare    Orientation = "square"
)

// File is a file of a media object, and what a task takes in and puts out. Fields
// that Ittybit did not send are zero; RawJSON has everything.
type File struct {
	ID           string         `json:"id"`
	MediaID      string         `json:"media_id,omitempty"`
	Object       FileObject     `json:"object,omitempty"`
	Kind         FileKind       `json:"kind,omitempty"`
	Type         string         `json:"type,omitempty"` // MIME type
	Status       FileStatus     `json:"status,omitempty"`
	URL          string         `json:"url,omitempty"`
	Filename     string         `json:"filename,omitempty"`
	Folder       string         `json:"folder,omitempty"`
	Ref          string         `json:"ref,omitempty"`
	Label        string         `json:"label,omitempty"`
	Language     string         `json:"language,omitempty"`
	Codec        string         `json:"codec,omitempty"`
	Container    string         `json:"container,omitempty"`
	Format       string         `json:"format,omitempty"`
	Orientation  Orientation    `json:"orientation,omitempty"`
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

	decoded
}

// String names the file in a few words, for logs, without its URL.
func (f File) String() string {
	return fmt.Sprintf("file %s (kind %s, status %s)", f.ID, f.Kind, f.Status)
}

// GoString is String, so that %#v prints no payload either.
func (f File) GoString() string { return f.String() }

// UnmarshalJSON implements [json.Unmarshaler].
func (f *File) UnmarshalJSON(data []byte) error { return unmarshalObject(f, data) }

// MarshalJSON gives everything that was decoded back, changed fields changed.
func (f File) MarshalJSON() ([]byte, error) { return marshalObject(&f, nil) }

func (f *File) objectID() string { return f.ID }

func (f *File) fromJSON(text []byte) error { return decodeObject(f, "file", text) }

// FileCreateParams are the parameters of [FilesService.Create].
type FileCreateParams struct {
	URL      string         `json:"url"` // required: where Ittybit fetches the file, publicly accessible or signed
	MediaID  string         `json:"media_id,omitempty"`
	Folder   string         `json:"folder,omitempty"`
	Filename string         `json:"filename,omitempty"`
	Ref      string         `json:"ref,omitempty"` // names the file in the media's URLs
	Metadata map[string]any `json:"metadata,omitempty"`
}

// String is the JSON of the parameters, for logs, without signatures.
func (p FileCreateParams) String() string { return printedJSON(p) }

// GoString is String, so that %#v prints no signature either.
func (p FileCreateParams) GoString() string { return p.String() }

// FileUpdateParams are the parameters of [FilesService.Update]. What is nil is left alone.
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

// Create has Ittybit fetch a file from a URL, and responds once it is stored, which takes
// its time. Where Ittybit responds with a task in place of the file, as it is seen to do, the
// error is an [*AcceptedError] with that task. Any other error that matches [ErrOutcomeUnknown]
// means that the file may exist. A file of your own machine is uploaded with Upload.
func (s *FilesService) Create(ctx context.Context, params FileCreateParams, opts ...RequestOption) (*File, error) {
	if params.URL == "" {
		return nil, &ParamError{Param: "URL", Reason: "is required"}
	}
	file, err := do[File](ctx, s.client, call{method: http.MethodPost, path: "/files", body: params, creates: true, slow: true}, opts)
	if file == nil || !file.isTask() {
		return file, err
	}
	return nil, file.accepted()
}

// accepted is the error that means the task that was read as a file.
func (f *File) accepted() error {
	task := new(Task)
	_ = task.fromJSON(f.raw) // which is an object, for it was read as a file
	return &AcceptedError{Task: task}
}

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

// All iterates over the files from the page that params choose to the last one, fetching pages as
// it goes. An error is yielded alone, and last. To delete them, collect the ids first: see [Page].
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
