package engine

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"math"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/ittybit/ittybit-go/ittybittest/internal/ordered"
)

// samples has what tasks of each kind find out or make, whatever their input is.
//
//go:embed samples
var samples embed.FS

// Sample is what the storage serves for a file that a task ends with.
type Sample struct {
	Type string
	Body []byte
	Made time.Time
}

// Sample is that at a path of the storage, which begins with the file's id.
func (e *Engine) Sample(name string) (Sample, bool) {
	id, _, _ := strings.Cut(name, "/")
	e.mu.Lock()
	defer e.mu.Unlock()
	s, ok := e.Samples[id]
	return s, ok
}

// SampleResults are the results of a kind of task, nil if none are documented for it.
func SampleResults(kind string) json.RawMessage { return bytes.TrimSpace(read(kind + ".json")) }

// read gives an embedded file, nil if there is none.
func read(name string) []byte {
	data, err := samples.ReadFile("samples/" + name)
	if err != nil {
		return nil
	}
	return data
}

// fileFamily is the object of the File that a task of this kind ends with, "" if it has none.
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

func isSource(file ordered.Object) bool { return file.String("object") == "source" }

// produce makes a completed task's input, output and results. It returns the id of the media
// object that an ingest task made, if it is one. The caller holds e.mu.
func (e *Engine) produce(t *Task, now time.Time) (newMedia string) {
	e.fetchInput(t, now)
	if t.kind == "ingest" {
		t.MediaID = t.IntoMedia
		if _, err := e.Media.find(t.MediaID); err != nil {
			newMedia = e.addMedia(ordered.Object{}).ID
			t.MediaID = newMedia
		}
	}
	output := e.outputFile(t, now)
	made := e.defaultResults(t, output)
	if t.Results = e.outcome(t).Results; t.Results == nil {
		t.Results = made
	}
	if output != nil {
		t.Output = e.attach(t.MediaID, e.writeSample(t, output, made, now), now)
	}
	return newMedia
}

// fetchInput makes up the file behind a task's url, unless it is known. The caller holds e.mu.
func (e *Engine) fetchInput(t *Task, now time.Time) {
	if t.url == "" || t.Input.Has("id") || t.kind == "ingest" || t.kind == "http" {
		return
	}
	kind, mime := format(extension(t.url))
	t.Input = e.attach(t.MediaID, e.newFile("source", kind, mime, now).Set("url", t.url).Set("ref", "original"), now)
	t.MediaID = t.Input.String("media_id")
}

// defaultResults have the fields that Ittybit documents for the kind. Those of a track name the
// output file. The caller holds e.mu.
func (e *Engine) defaultResults(t *Task, output ordered.Object) json.RawMessage {
	results := ordered.Object{}
	switch address := output.String("url"); t.kind {
	case "chapters":
		results, _ = ordered.Parse(read("chapters.json"))
		results = results.Set("format", output.OrNull("format"))
	case "subtitles":
		results = results.Set("language", "en").Set("format", output.OrNull("format")).Set("url", address)
	case "thumbnails":
		urls := []string{address}
		count := int(max(1, min(100, number(t.options, "count"))))
		for i := 2; i <= count; i++ {
			urls = append(urls, fmt.Sprintf("%s/frame-%d.%s", address, i, output.String("format")))
		}
		results = results.Set("format", output.OrNull("format")).Set("count", count).Set("urls", urls)
	case "conditions":
		passed, failed := compare(t.conditions, e.lookupOrder(subject{file: t.Input, mediaID: t.MediaID}))
		results = results.Set("passed", passed).Set("failed", failed).Set("continue", len(failed) == 0)
	default:
		return SampleResults(t.kind)
	}
	return ordered.Encode(results)
}

// outputFile is the File object that a task ends with, nil if it ends with none.
func (e *Engine) outputFile(t *Task, now time.Time) ordered.Object {
	kind, family := t.kind, fileFamily(t.kind)
	if family == "" {
		return nil
	}
	ext := map[string]string{"video": "mp4", "image": "png", "audio": "mp3"}[kind]
	if t.kind == "ingest" {
		ext = extension(t.url)
		if kind, _ = format(ext); t.Input.Has("kind") {
			kind = t.Input.String("kind")
		}
	}
	_, mime := format(ext)
	file := e.newFile(family, kind, mime, now)
	switch asked := t.options.String("format"); {
	case family != "source":
		file = e.sampleFile(file, t)
	case asked != "":
		known, itsType := format(asked)
		if ext, mime = asked, kind+"/"+asked; known == kind {
			mime = itsType
		}
		file = file.Set("format", asked).Set("type", mime)
	}
	if family == "source" {
		file = sized(likeInput(file, t.kind, t.Input), t.options)
	}
	for _, name := range []string{"ref", "folder", "filename", "metadata", "description"} {
		// A description file's own description is what was found out.
		if value, ok := t.options.Get(name); ok && (name != "description" || kind != "description") {
			file = file.Set(name, value)
		}
	}
	if family == "source" {
		file = located(file, ext)
	}
	if t.kind == "ingest" {
		file = file.Set("original", true)
	}
	return file
}

// likeInput takes over what a file has in common with the one it is made of.
func likeInput(file ordered.Object, kind string, input ordered.Object) ordered.Object {
	names := []string{"width", "height", "duration"}
	if kind == "ingest" {
		names = append(names, "type", "filesize")
	}
	for _, name := range names {
		if value, ok := input.Get(name); ok && file.Has(name) {
			file = file.Set(name, value)
		}
	}
	return file
}

// sized applies the width and the height of the options. One alone keeps the proportions.
func sized(file, options ordered.Object) ordered.Object {
	if !file.Has("width") {
		return file
	}
	oldWidth, oldHeight := number(file, "width"), number(file, "height")
	width, height := side(options, "width", oldWidth), side(options, "height", oldHeight)
	switch {
	case width == 0 && height == 0:
		return file
	case width == 0:
		width = height * oldWidth / oldHeight
	case height == 0:
		height = width * oldHeight / oldWidth
	}
	return file.Set("width", max(int(math.Round(width)), 1)).Set("height", max(int(math.Round(height)), 1))
}

// side reads an option in pixels, or as a percentage such as "50%" of the original. It is 0 if
// it is not there, or is not understood.
func side(options ordered.Object, name string, original float64) float64 {
	raw, _ := options.Get(name)
	text, percentage := strings.CutSuffix(ordered.Scalar(raw), "%")
	pixels, err := strconv.ParseFloat(text, 64)
	if percentage {
		pixels *= original / 100
	}
	if err != nil || !(pixels > 0) || pixels > math.MaxInt32 {
		return 0
	}
	return pixels
}

// number is a field's value, or 1 if it is no positive number.
func number(o ordered.Object, name string) float64 {
	value := 1.0
	raw, _ := o.Get(name)
	if json.Unmarshal(raw, &value) != nil || !(value > 0) {
		return 1
	}
	return value
}

// sampleFile completes a File of a track or intelligence kind, whose url the storage serves.
func (e *Engine) sampleFile(file ordered.Object, t *Task) ordered.Object {
	ext, mime, asked := "json", "application/json", t.options.String("format")
	switch {
	case t.kind == "subtitles" && asked == "srt":
		ext, mime = "srt", "text/srt"
	case t.kind == "subtitles", t.kind == "chapters" && asked == "vtt":
		ext, mime = "vtt", "text/vtt"
	case t.kind == "thumbnails":
		if ext, mime = "jpg", "image/jpeg"; asked == "png" {
			ext, mime = "png", "image/png"
		}
		options := t.options
		if !options.Has("width") && !options.Has("height") {
			options = options.Set("width", 640)
		}
		file = sized(likeInput(file.Set("width", 1920).Set("height", 1080), t.kind, t.Input), options)
	}
	file = file.Set("type", mime).Set("format", ext).Set("url", e.StorageURL+"/"+file.String("id"))
	if t.kind == "subtitles" || t.kind == "chapters" {
		file = file.Set("language", "en")
		if duration, ok := t.Input.Get("duration"); ok {
			file = file.Set("duration", duration)
		}
	}
	stem := t.Input.String("filename")
	stem = strings.TrimSuffix(stem, path.Ext(stem))
	for _, other := range []string{t.Input.String("kind"), "media"} {
		if stem == "" {
			stem = other
		}
	}
	return file.Set("filename", stem+"-"+t.kind+"."+ext)
}

// writeSample keeps what the storage serves for a track or intelligence file, and gives the file
// its size: an embedded file, or the results as JSON. The caller holds e.mu.
func (e *Engine) writeSample(t *Task, file ordered.Object, defaults json.RawMessage, now time.Time) ordered.Object {
	if isSource(file) {
		return file
	}
	body := read(t.kind + "." + file.String("format"))
	if file.String("format") == "json" {
		results, err := ordered.Parse(t.Results)
		if err != nil { // chosen ones that are none, or no object
			results, _ = ordered.Parse(defaults)
		}
		body = resultsJSON(file, results, now)
	}
	e.Samples[file.String("id")] = Sample{Type: file.String("type"), Body: body, Made: now}
	return file.Set("filesize", len(body))
}

// resultsJSON are the results with the fields that name their file. In the file Ittybit calls
// detected what is is_nsfw in a webhook.
func resultsJSON(file, results ordered.Object, now time.Time) []byte {
	names := []string{"id", "object", "kind"}
	if file.String("object") == "track" {
		names = append(names, "language", "format", "filename", "duration", "url")
	}
	doc := ordered.Object{}
	for _, name := range names {
		if value, ok := file.Get(name); ok {
			doc = doc.Set(name, value)
		}
	}
	for _, f := range results {
		if f.Name == "is_nsfw" && file.String("kind") == "nsfw" && !results.Has("detected") {
			f.Name = "detected"
		}
		if !doc.Has(f.Name) {
			doc = append(doc, f)
		}
	}
	return ordered.Encode(doc.Set("created", timestamp(now)).Set("updated", timestamp(now)))
}
