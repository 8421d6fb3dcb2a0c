package engine

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/ittybit/ittybit-go/internal/jsonx"
	"github.com/ittybit/ittybit-go/ittybittest/internal/fields"
	"github.com/ittybit/ittybit-go/ittybittest/internal/refusal"
)

// File is a File as the API shows it. As the input of a task it has no more than an id or a url
// where no more is known.
type File struct {
	ID          string          `json:"id,omitempty"`
	MediaID     string          `json:"media_id,omitempty"`
	Object      string          `json:"object,omitempty"`
	Kind        string          `json:"kind,omitempty"`
	Type        string          `json:"type,omitempty"`
	Format      string          `json:"format,omitempty"`
	Language    string          `json:"language,omitempty"`
	Width       int             `json:"width,omitempty"`
	Height      int             `json:"height,omitempty"`
	Duration    float64         `json:"duration,omitempty"`
	Filesize    *int64          `json:"filesize,omitempty"`
	Ref         string          `json:"ref,omitempty"`
	Folder      string          `json:"folder,omitempty"`
	Filename    string          `json:"filename,omitempty"`
	Description string          `json:"description,omitempty"`
	URL         string          `json:"url,omitempty"`
	Metadata    json.RawMessage `json:"metadata,omitempty"`
	Original    bool            `json:"original,omitempty"`
	Status      string          `json:"status,omitempty"`
	Created     Time            `json:"created,omitzero"`
	Updated     Time            `json:"updated,omitzero"`
}

func (f *File) isSource() bool { return f != nil && f.Object == "source" }

// formats are the media types of files, by the extension.
func formats() map[string]string {
	return map[string]string{
		"mp4": "video/mp4", "mov": "video/quicktime", "mkv": "video/x-matroska", "avi": "video/x-msvideo", "webm": "video/webm",
		"jpg": "image/jpeg", "jpeg": "image/jpeg", "png": "image/png", "webp": "image/webp", "avif": "image/avif", "gif": "image/gif",
		"heic": "image/heic", "heif": "image/heif", "mp3": "audio/mpeg", "m4a": "audio/mp4", "wav": "audio/wav", "ogg": "audio/ogg",
		"aac": "audio/aac", "flac": "audio/flac", "vtt": "text/vtt", "srt": "text/srt", "json": "application/json",
	}
}

// kindOf is the kind of a media type: video, image, audio, or another.
func kindOf(mime string) string {
	kind, _, _ := strings.Cut(mime, "/")
	return kind
}

// extension is that of an address's path: "mp4" if it has none of a video, an image or a sound.
func extension(address string) string {
	ext := strings.ToLower(strings.TrimPrefix(path.Ext(pathOf(address)), "."))
	switch kindOf(formats()[ext]) {
	case "video", "image", "audio":
		return ext
	}
	return "mp4"
}

// newFile makes up a File, which has no url yet.
func (e *Engine) newFile(object, kind, mime string) *File {
	f := &File{
		ID: e.NewID("file"), Object: object, Kind: kind, Type: mime, Filesize: new(int64(12345678)), Status: "ready",
		Created: now(), Updated: now(),
	}
	if kind == "video" || kind == "image" {
		f.Width, f.Height = 1920, 1080
	}
	if kind == "video" || kind == "audio" {
		f.Duration = 63.2
	}
	return f
}

func (e *Engine) newSource(ext string) *File {
	mime := formats()[ext]
	return e.newFile("source", kindOf(mime), mime)
}

// set takes the fields that a request may set. Others are left alone: generated clients are known
// to send some.
func (f *File) set(body fields.Object) error {
	f.Updated = now()
	return setFields(body, map[string]*string{"folder": &f.Folder, "filename": &f.Filename, "ref": &f.Ref}, &f.Metadata)
}

func setFields(body fields.Object, texts map[string]*string, metadata *json.RawMessage) error {
	for _, name := range slices.Sorted(maps.Keys(texts)) { // the same wrong one is named each time
		text, err := body.Text(name)
		if err != nil {
			return err
		}
		if body.Has(name) {
			*texts[name] = text
		}
	}
	raw, sent := body["metadata"]
	switch _, err := fields.Parse(raw); {
	case !sent:
		return nil
	case jsonx.IsNull(raw):
		raw = nil
	case string(raw) == "[]": // PHP's empty map
		raw = json.RawMessage("{}")
	case err != nil:
		return refusal.Invalid("metadata %s.", err)
	}
	*metadata = raw
	return nil
}

// locate gives a file its url, which ends in its folder and filename, or in its id.
func (f *File) locate(base, ext string) {
	name := f.Filename
	if name == "" {
		name = f.ID + "." + ext
	}
	f.URL = base + (&url.URL{Path: path.Join("/", f.Folder, name)}).EscapedPath()
}

// CreateFile makes the file of an address, or if async says so an ingest task that will.
func (e *Engine) CreateFile(body fields.Object, async bool) (any, error) {
	var address, mediaID string
	f := e.newSource(extension(body.String("url")))
	f.Original = true
	err := setFields(body, map[string]*string{
		"url": &address, "media_id": &mediaID, "folder": &f.Folder, "filename": &f.Filename, "ref": &f.Ref,
	}, &f.Metadata)
	switch {
	case err != nil:
		return nil, err
	case address == "":
		return nil, refusal.Invalid("url is required.")
	case !isWebURL(address):
		return nil, refusal.Invalid("url must be an absolute http or https URL.")
	}
	if _, err := e.Media.find(mediaID); mediaID != "" && err != nil {
		return nil, err
	}
	if async {
		options := fields.Object{}
		for _, name := range []string{"folder", "filename", "ref"} {
			if body.Has(name) {
				options[name] = body[name]
			}
		}
		if f.Metadata != nil {
			options["metadata"] = f.Metadata
		}
		return e.begin(&task{spec: spec{Kind: "ingest", URL: address}, Task: Task{Options: options}, IntoMedia: mediaID}), nil
	}
	f.locate(FilesURL, extension(address))
	return e.addFile(mediaID, f), nil
}

// addFile stores a file with its media object, which it makes if there is none, and starts the
// automations for that.
func (e *Engine) addFile(mediaID string, f *File) File {
	_, unknown := e.Media.find(mediaID)
	if e.attach(mediaID, f); unknown != nil {
		e.mediaCreated(f.MediaID, false)
	}
	return *f
}

// attach stores a file with its media object; one is made if it is not there, as Ittybit's
// clients require a media_id of every file.
func (e *Engine) attach(mediaID string, f *File) {
	m, err := e.Media.find(mediaID)
	if err != nil {
		m = e.addMedia(&Media{})
	}
	f.MediaID, m.Updated, m.files = m.ID, now(), append(m.files, f)
	e.Files.add(f)
}

// Uploaded makes the File of an upload to the storage, in place of the one with that id.
func (e *Engine) Uploaded(name, mime string, size int64, replaced string) File {
	f := e.newSource(extension("/" + path.Base(name)))
	f.Type, f.Filesize, f.Original = mime, &size, true
	f.Filename, f.Folder = path.Base(name), strings.TrimPrefix(path.Dir("/"+name), "/")
	f.locate(e.StorageURL, "")
	if replaced != "" {
		_ = e.DeleteFile(replaced) // it may have been deleted before
	}
	return e.addFile("", f)
}

// SetFile changes the fields that were sent. The url follows folder and filename, except where the
// file is a task's result. Of an upload, move is given the old path and the new one first.
func (e *Engine) SetFile(move func(id, from, to string) error) func(*File, fields.Object) error {
	return func(f *File, body fields.Object) error {
		old := f.URL
		err := f.set(body)
		switch madeUp := strings.HasPrefix(old, FilesURL); {
		case err != nil || !body.Has("folder") && !body.Has("filename"):
		case madeUp:
			f.locate(FilesURL, extension(old))
		case f.isSource():
			if f.locate(e.StorageURL, extension(old)); move(f.ID, pathOf(old), pathOf(f.URL)) != nil {
				err = refusal.New(http.StatusConflict, "Something is stored at %s, or arriving.", f.URL)
			}
		}
		return err
	}
}

// DeleteFile deletes a file, and what was made up for it.
func (e *Engine) DeleteFile(id string) error {
	f, err := e.Files.find(id)
	if err == nil {
		e.removeFile(f)
	}
	return err
}

func (e *Engine) removeFile(f *File) {
	delete(e.Samples, f.ID)
	e.Files.remove(f.ID)
	if m, err := e.Media.find(f.MediaID); err == nil {
		m.files = slices.DeleteFunc(m.files, func(other *File) bool { return other == f })
	}
}
