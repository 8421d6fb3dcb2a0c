package ittybittest

import (
	"encoding/json"
	"math"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"
)

// fileFamily is the object of the File that a task of this kind ends with, "" if
// it ends with none.
func fileFamily(kind string) string {
	switch kind {
	case "video", "image", "audio", "ingest":
		return "source"
	case "subtitles", "chapters", "thumbnails":
		return "track"
	case "nsfw", "speech", "description", "outline", "prompt":
		return "intelligence"
	}
	return ""
}

func isSource(file object) bool {
	family, _ := file.text("object")
	return family == "source"
}

// outputFile is the File object that a task ends with, nil if it ends with none.
func (s *Server) outputFile(t *task, now time.Time) object {
	kind, family := t.kind, fileFamily(t.kind)
	switch {
	case family == "":
		return nil
	case t.kind == "ingest":
		if kind, _ = t.input.text("kind"); kind == "" {
			kind = mediaKind(t.url)
		}
	}
	file := newFile(family, kind, now)
	if family == "source" {
		file = file.likeInput(t.kind, t.input).sized(t.options)
		if format, _ := t.options.text("format"); format != "" {
			file = file.set("format", format).set("type", mimeType(kind, format))
		}
	} else {
		file = s.documentFile(file, t)
	}
	for _, name := range []string{"ref", "folder", "filename", "metadata", "description"} {
		// A description file's own description is what was found out.
		if value, ok := t.options.get(name); ok && (name != "description" || kind != "description") {
			file = file.set(name, value)
		}
	}
	if t.kind == "ingest" {
		file = file.set("original", true)
	}
	return file
}

// likeInput takes over what a file has in common with the one it is made of.
func (o object) likeInput(kind string, input object) object {
	names := []string{"width", "height", "duration"}
	if kind == "ingest" {
		names = append(names, "type", "filesize")
	}
	for _, name := range names {
		if value, ok := input.get(name); ok && o.has(name) {
			o = o.set(name, value)
		}
	}
	return o
}

// sized applies the width and the height of the options. One alone keeps the
// proportions.
func (o object) sized(options object) object {
	if !o.has("width") {
		return o
	}
	oldWidth, oldHeight := o.number("width"), o.number("height")
	width, height := sideOf(options, "width", oldWidth), sideOf(options, "height", oldHeight)
	switch {
	case width == 0 && height == 0:
		return o
	case width == 0:
		width = height * oldWidth / oldHeight
	case height == 0:
		height = width * oldHeight / oldWidth
	}
	return o.set("width", max(int(math.Round(width)), 1)).set("height", max(int(math.Round(height)), 1))
}

// sideOf reads an option in pixels, or as a percentage such as "50%" of the
// original. It is 0 if it is not there, or is not understood.
func sideOf(options object, name string, original float64) float64 {
	raw, _ := options.get(name)
	text, percentage := strings.CutSuffix(scalar(raw), "%")
	side, err := strconv.ParseFloat(text, 64)
	if percentage {
		side *= original / 100
	}
	if err != nil || !(side > 0) || side > math.MaxInt32 {
		return 0
	}
	return side
}

// number is a member's value, or 1 if it is no positive number.
func (o object) number(name string) float64 {
	value := 1.0
	raw, _ := o.get(name)
	if json.Unmarshal(raw, &value) != nil || !(value > 0) {
		return 1
	}
	return value
}

func mimeType(kind, format string) string {
	switch format {
	case "jpg":
		format = "jpeg"
	case "mp3":
		format = "mpeg"
	case "mov":
		format = "quicktime"
	}
	return kind + "/" + format
}

// newFile makes up a File object.
func newFile(family, kind string, now time.Time) object {
	id := newID("file")
	types := map[string]string{"video": "video/mp4", "image": "image/png", "audio": "audio/mpeg"}
	file := object{}.set("id", id).set("object", family).set("kind", kind).set("type", types[kind])
	if kind == "video" || kind == "image" {
		file = file.set("width", 1920).set("height", 1080)
	}
	if kind == "video" || kind == "audio" {
		file = file.set("duration", 63.2)
	}
	return file.
		set("filesize", 12345678).
		set("url", fileURL(id)).
		set("status", "ready").
		set("created", timestamp(now)).
		set("updated", timestamp(now))
}

// fileURL is an address that serves nothing: .test is a reserved domain.
func fileURL(id string) string { return "https://files.ittybit.test/" + id }

// mediaKind guesses from the address's extension, and else takes it for video.
func mediaKind(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "video"
	}
	switch strings.ToLower(path.Ext(u.Path)) {
	case ".jpg", ".jpeg", ".png", ".webp", ".avif", ".gif", ".heic", ".heif":
		return "image"
	case ".mp3", ".m4a", ".wav", ".ogg", ".aac", ".flac":
		return "audio"
	}
	return "video"
}
