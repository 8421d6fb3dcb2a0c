package ittybittest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"math"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"
)

// document is what the storage serves for a file that a task made up. Its path is
// the file's id.
type document struct {
	kind string // its Content-Type
	body []byte
	made time.Time
}

// documentAt is the document at a path of the storage, or nil.
func (s *Server) documentAt(name string) *document {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d, ok := s.documents[name]; ok {
		return &d
	}
	return nil
}

// serve answers with the document, or the ranges of it that were asked for.
func (d *document) serve(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", d.kind)
	http.ServeContent(w, r, "", d.made, bytes.NewReader(d.body))
}

// fileIDAt is the id of the file behind an address of this server, "" if the
// address is elsewhere. A signature in it must be valid, as for a download.
func (s *Server) fileIDAt(address string) (string, error) {
	u, err := url.Parse(address)
	if err != nil {
		return "", err
	}
	name := strings.TrimPrefix(u.Path, "/")
	switch u.Host {
	case hostOf(s.StorageURL):
	case hostOf(fileURL("")):
		return name, nil
	default:
		return "", nil
	}
	if u.Query().Has("signature") {
		if err := s.checkSigned(&http.Request{URL: u}, "get"); err != nil {
			return "", err
		}
	}
	id := s.stored.fileIDAt(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.documents[name]; ok && id == "" {
		id = name
	}
	if _, ok := s.files.get(id); !ok {
		return "", refuse(http.StatusNotFound, "There is nothing at /%s in the storage.", name)
	}
	return id, nil
}

// fileIDAt is the id of the file that was uploaded to a path, or "".
func (st *storage) fileIDAt(name string) string {
	st.mu.Lock()
	defer st.mu.Unlock()
	if sl := st.slots[name]; sl != nil && sl.blob != nil {
		return sl.blob.fileID
	}
	return ""
}

// maxThumbnail is the longest side, in pixels, that thumbnails are made with.
const maxThumbnail = 2048

// documentFile makes a new File one of a track or intelligence kind, whose url
// the storage serves.
func (s *Server) documentFile(file object, t *task) object {
	id, _ := file.text("id")
	format, kind := "json", "application/json"
	asked, _ := t.options.text("format")
	switch t.kind {
	case "subtitles":
		format, kind = "vtt", "text/vtt"
		if asked == "srt" {
			format, kind = "srt", "text/srt"
		}
	case "chapters":
		if asked == "vtt" {
			format, kind = "vtt", "text/vtt"
		}
	case "thumbnails":
		format, kind = "jpg", "image/jpeg"
		if asked == "png" {
			format, kind = "png", "image/png"
		}
		file = file.thumbnail(t)
	}
	file = file.set("type", kind).set("format", format).set("url", s.StorageURL+"/"+id)
	if t.kind == "subtitles" || t.kind == "chapters" {
		file = file.set("language", "en")
		if duration, ok := t.input.get("duration"); ok {
			file = file.set("duration", duration)
		}
	}
	return file.set("filename", documentName(t, format))
}

// documentName is that of the input, its kind and its format, such as
// "video-subtitles.vtt".
func documentName(t *task, format string) string {
	stem, _ := t.input.text("filename")
	stem = strings.TrimSuffix(stem, path.Ext(stem))
	if stem == "" {
		stem, _ = t.input.text("kind")
	}
	if stem == "" {
		stem = "media"
	}
	return stem + "-" + t.kind + "." + format
}

// thumbnail sets a picture's size: without options 640 pixels wide, in the
// proportions of the input.
func (o object) thumbnail(t *task) object {
	options := t.options
	if !options.has("width") && !options.has("height") {
		options = options.set("width", 640)
	}
	o = o.set("width", 1920).set("height", 1080).likeInput(t.kind, t.input).sized(options)
	width, height := o.number("width"), o.number("height")
	if longest := max(width, height); longest > maxThumbnail {
		o = o.set("width", max(int(width*maxThumbnail/longest), 1)).set("height", max(int(height*maxThumbnail/longest), 1))
	}
	return o
}

// writeDocument keeps what the storage serves for a track or intelligence file,
// and gives the file its size. The caller holds s.mu.
func (s *Server) writeDocument(t *task, file object, defaults json.RawMessage, now time.Time) object {
	if isSource(file) {
		return file
	}
	format, _ := file.text("format")
	results, err := parseObject(t.results)
	if err != nil { // chosen ones that are none, or no object
		results, _ = parseObject(defaults)
	}
	var body []byte
	switch {
	case t.kind == "thumbnails":
		body = picture(int(file.number("width")), int(file.number("height")), format)
	case t.kind == "subtitles":
		body = cueText(format, []cue{{End: 2.5, Title: "A made-up sentence."}})
	case format == "vtt":
		var chapters []cue
		raw, _ := results.get("chapters")
		_ = json.Unmarshal(raw, &chapters) // chosen chapters of another shape are none
		body = cueText(format, chapters)
	default:
		body = documentJSON(file, results, now)
	}
	id, _ := file.text("id")
	kind, _ := file.text("type")
	s.documents[id] = document{kind: kind, body: body, made: now}
	return file.set("filesize", len(body))
}

// documentJSON are the results with the members that name their file. In the file
// Ittybit calls detected what is is_nsfw in a webhook.
func documentJSON(file, results object, now time.Time) []byte {
	names := []string{"id", "object", "kind"}
	if family, _ := file.text("object"); family == "track" {
		names = append(names, "language", "format", "filename", "duration", "url")
	}
	doc := object{}
	for _, name := range names {
		if value, ok := file.get(name); ok {
			doc = doc.set(name, value)
		}
	}
	for _, m := range results {
		if kind, _ := file.text("kind"); m.name == "is_nsfw" && kind == "nsfw" && !results.has("detected") {
			m.name = "detected"
		}
		if !doc.has(m.name) {
			doc = append(doc, m)
		}
	}
	return encode(doc.set("created", timestamp(now)).set("updated", timestamp(now)))
}

// cue is a subtitle or a chapter, from start to end in seconds.
type cue struct {
	Start float64 `json:"start"`
	End   float64 `json:"end"`
	Title string  `json:"title"`
}

// cueText writes WebVTT or SubRip.
func cueText(format string, cues []cue) []byte {
	var buf bytes.Buffer
	clean := strings.NewReplacer("\r", " ", "\n", " ", "&", "&amp;", "<", "&lt;", ">", "&gt;")
	if format == "vtt" {
		buf.WriteString("WEBVTT\n\n")
	}
	for i, c := range cues {
		_, _ = fmt.Fprintf(&buf, "%d\n%s --> %s\n%s\n\n", i+1, clock(format, c.Start), clock(format, c.End), clean.Replace(c.Title))
	}
	return buf.Bytes()
}

// clock writes seconds as 00:01:02.500, in SubRip with a comma.
func clock(format string, seconds float64) string {
	ms := int64(math.Round(seconds * 1000))
	text := fmt.Sprintf("%02d:%02d:%02d.%03d", ms/3_600_000, ms/60_000%60, ms/1000%60, ms%1000)
	if format == "srt" {
		text = strings.Replace(text, ".", ",", 1)
	}
	return text
}

// picture is an image of one grey.
func picture(width, height int, format string) []byte {
	img := image.NewGray(image.Rect(0, 0, width, height))
	for i := range img.Pix {
		img.Pix[i] = 128
	}
	var buf bytes.Buffer
	if format == "png" {
		_ = png.Encode(&buf, img) // a buffer takes everything
	} else {
		_ = jpeg.Encode(&buf, img, nil)
	}
	return buf.Bytes()
}
