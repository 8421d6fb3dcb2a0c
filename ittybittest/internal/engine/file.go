package engine

import (
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/ittybit/ittybit-go/ittybittest/internal/ordered"
)

// CreateFile makes the file of an address, or if async says so an ingest task that will.
func (e *Engine) CreateFile(body ordered.Object, async bool) (ordered.Object, error) {
	fields, err := takeFields(body, "folder", "filename", "ref")
	if err != nil {
		return nil, err
	}
	address, err := body.Text("url")
	switch {
	case err != nil:
		return nil, err
	case address == "":
		return nil, invalid("url is required.")
	case !isWebURL(address):
		return nil, invalid("url must be an absolute http or https URL.")
	}
	mediaID, err := body.Text("media_id")
	if err != nil {
		return nil, err
	}
	if mediaID != "" {
		if _, err := e.Media.Get(mediaID); err != nil {
			return nil, err
		}
	}
	if async {
		request := fields.Set("kind", "ingest").Set("url", address)
		return e.begin(&Task{spec: spec{kind: "ingest", url: address, options: fields, body: request}, IntoMedia: mediaID}), nil
	}
	ext := extension(address)
	kind, mime := format(ext)
	file := e.newFile("source", kind, mime, time.Now()).Set("original", true).Merge(fields)
	return e.AddFile(mediaID, located(file, ext)), nil
}

// AddFile stores a file with its media object, which it makes if there is none, and starts the
// automations for that.
func (e *Engine) AddFile(mediaID string, file ordered.Object) ordered.Object {
	e.mu.Lock()
	_, unknown := e.Media.find(mediaID)
	file = e.attach(mediaID, file, time.Now())
	e.mu.Unlock()
	if unknown != nil {
		e.trigger("media.created", subject{mediaID: file.String("media_id")})
	}
	return file
}

// Uploaded makes the File of an upload to the storage, in place of the one with that id. The
// path is as it is in the address.
func (e *Engine) Uploaded(name, escaped, mime string, size int64, replaced string) ordered.Object {
	kind, _ := format(extension("/" + path.Base(name)))
	file := e.newFile("source", kind, mime, time.Now()).
		Set("filesize", size).
		Set("filename", path.Base(name)).
		SetText("folder", strings.TrimPrefix(path.Dir("/"+name), "/")).
		Set("url", e.StorageURL+escaped).
		Set("original", true)
	if replaced != "" {
		_ = e.DeleteFile(replaced) // it may have been deleted before
	}
	return e.AddFile("", file)
}

// UpdateFile changes the fields that were sent. The url follows folder and filename, except where
// the file is a task's result. Of an upload, move is given the old path and the new one first.
func (e *Engine) UpdateFile(id string, body ordered.Object, move func(id, from, to string) error) (ordered.Object, error) {
	fields, err := takeFields(body, "folder", "filename", "ref")
	if err != nil {
		return nil, err
	}
	e.updating.Lock()
	defer e.updating.Unlock()
	file, err := e.Files.Get(id)
	if err != nil {
		return nil, err
	}
	address := file.String("url")
	changed := file.Merge(fields).Set("updated", timestamp(time.Now()))
	madeUp := strings.HasPrefix(address, FilesURL)
	if (fields.Has("folder") || fields.Has("filename")) && (madeUp || isSource(file)) {
		changed = located(changed, extension(address))
		if !madeUp {
			moved := strings.Replace(changed.String("url"), FilesURL, e.StorageURL, 1)
			changed = changed.Set("url", moved)
			if err := move(id, storagePath(address), storagePath(moved)); err != nil {
				return nil, &Error{Conflict, "Something is stored at " + moved + ", or arriving."}
			}
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, err := e.Files.find(id); err != nil {
		return nil, err
	}
	delete(e.places, place(address))
	e.setFile(changed)
	return changed, nil
}

func storagePath(address string) string {
	_, name, _ := strings.Cut(place(address), "/")
	return name
}

// DeleteFile deletes a file, also from its media object, and what was made up for it.
func (e *Engine) DeleteFile(id string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	_, err := e.Files.find(id)
	e.removeFile(id)
	return err
}

func (e *Engine) removeFile(id string) {
	file, _ := e.Files.find(id)
	if m, err := e.Media.find(file.String("media_id")); err == nil {
		m.FileIDs = slices.DeleteFunc(slices.Clone(m.FileIDs), func(other string) bool { return other == id })
	}
	if at := place(file.String("url")); e.places[at] == id {
		delete(e.places, at)
	}
	delete(e.Samples, id)
	e.Files.remove(id)
}

// setFile stores a file. The caller holds e.mu.
func (e *Engine) setFile(file ordered.Object) {
	e.places[place(file.String("url"))] = file.String("id")
	e.Files.set(file)
}

// attach stores a file with its media object; one is made if it is not there, as Ittybit's
// clients require a media_id of every file. The caller holds e.mu.
func (e *Engine) attach(mediaID string, file ordered.Object, now time.Time) ordered.Object {
	m, err := e.Media.find(mediaID)
	if err != nil {
		m = e.addMedia(ordered.Object{})
	}
	file = file.Set("media_id", m.ID)
	m.FileIDs, m.Updated = append(m.FileIDs, file.String("id")), now
	e.setFile(file)
	return file
}

// newFile makes up a File object, which has no url yet.
func (e *Engine) newFile(family, kind, mime string, now time.Time) ordered.Object {
	file := ordered.Object{}.Set("id", e.NewID("file")).Set("object", family).Set("kind", kind).SetText("type", mime)
	if kind == "video" || kind == "image" {
		file = file.Set("width", 1920).Set("height", 1080)
	}
	if kind == "video" || kind == "audio" {
		file = file.Set("duration", 63.2)
	}
	return file.Set("filesize", 12345678).Set("url", "").Set("status", "ready").
		Set("created", timestamp(now)).Set("updated", timestamp(now))
}

// located gives a made-up file its url, which ends in its folder and filename, or in its id.
func located(file ordered.Object, ext string) ordered.Object {
	name := file.String("filename")
	if name == "" {
		name = file.String("id") + "." + ext
	}
	at := url.URL{Path: path.Join("/", file.String("folder"), name)}
	return file.Set("url", FilesURL+at.EscapedPath())
}

// extension is that of an address's path: "mp4" if it has none that is known.
func extension(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "mp4"
	}
	ext := strings.ToLower(strings.TrimPrefix(path.Ext(u.Path), "."))
	if _, mime := format(ext); ext == "" || mime == "video/mp4" {
		return "mp4"
	}
	return ext
}

// format is the kind and the media type of a file with this extension.
func format(ext string) (kind, mime string) {
	switch ext {
	case "jpg", "jpeg":
		return "image", "image/jpeg"
	case "png", "webp", "avif", "gif", "heic", "heif":
		return "image", "image/" + ext
	case "mp3":
		return "audio", "audio/mpeg"
	case "m4a":
		return "audio", "audio/mp4"
	case "wav", "ogg", "aac", "flac":
		return "audio", "audio/" + ext
	case "mov":
		return "video", "video/quicktime"
	case "mkv":
		return "video", "video/x-matroska"
	case "avi":
		return "video", "video/x-msvideo"
	case "webm":
		return "video", "video/webm"
	}
	return "video", "video/mp4"
}
