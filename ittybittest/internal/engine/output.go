package engine

import (
	"bytes"
	"cmp"
	"embed"
	"encoding/json"
	"fmt"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/ittybit/ittybit-go/internal/jsonx"
	"github.com/ittybit/ittybit-go/ittybittest/internal/fields"
)

// samples has what tasks of each kind find out or make, whatever their input is.
//
//go:embed samples
var samples embed.FS

// Sample gives what the storage serves at a path that begins with the id of a file that a task
// ended with. It locks by itself.
func (e *Engine) Sample(name string) (File, []byte, bool) {
	e.Lock()
	defer e.Unlock()
	id, _, _ := strings.Cut(name, "/")
	f, err := e.Files.find(id)
	body, ok := e.Samples[id]
	if err != nil || !ok {
		return File{}, nil, false
	}
	return *f, body, true
}

// SampleResults are the results of a kind of task, nil if none are documented for it.
func SampleResults(kind string) json.RawMessage { return bytes.TrimSpace(read(kind + ".json")) }

// read gives an embedded file, nil if there is none.
func read(name string) []byte {
	data, _ := samples.ReadFile("samples/" + name)
	return data
}

// produce makes a completed task's input, output and results. It returns the id of the media
// object that an ingest task made, if it is one.
func (e *Engine) produce(t *task) (newMedia string) {
	kind := t.spec.Kind
	if kind == "ingest" {
		t.MediaID = t.IntoMedia
		if _, err := e.Media.find(t.MediaID); err != nil {
			newMedia = e.addMedia(&Media{}).ID
			t.MediaID = newMedia
		}
	} else if t.URL != "" && t.Input.ID == "" { // its file is made up
		f := e.newSource(extension(t.URL))
		f.URL, f.Ref = t.URL, "original"
		e.attach(t.MediaID, f)
		t.Input, t.MediaID = new(*f), f.MediaID
	}
	output := e.output(t)
	results := e.defaultResults(t, output)
	if t.Results = e.outcome(t).Results; t.Results == nil {
		t.Results = results
	}
	if output != nil {
		e.attach(t.MediaID, output)
		if !output.isSource() {
			body := sample(output, results, t.Results)
			e.Samples[output.ID] = body
			output.Filesize = new(int64(len(body)))
		}
		t.Output = new(*output)
	}
	return newMedia
}

// output is the File that a task ends with, nil if it ends with none.
func (e *Engine) output(t *task) *File {
	kind, asked, input := t.spec.Kind, t.Options.String("format"), cmp.Or(t.Input, &File{})
	var f *File
	ext := ""
	switch made := kinds()[kind]; {
	case made.object == "":
		return nil
	case made.object != "source":
		f = e.newFile(made.object, kind, "")
		if f.Format = asked; !slices.Contains(made.formats, asked) {
			f.Format = made.formats[0]
		}
		e.nameSample(f, input, t.Options)
	case kind == "ingest":
		ext = extension(t.URL)
		f = e.newSource(ext)
		f.Original = true
		f.Kind, f.Type, f.Filesize = cmp.Or(input.Kind, f.Kind), cmp.Or(input.Type, f.Type), cmp.Or(input.Filesize, f.Filesize)
	default:
		ext = made.formats[0]
		f = e.newSource(ext)
		if asked != "" {
			if ext, f.Format, f.Type = asked, asked, formats()[asked]; kindOf(f.Type) != kind {
				f.Type = kind + "/" + asked
			}
		}
	}
	if f.isSource() {
		f.scale(input, t.Options)
	}
	for name, target := range map[string]*string{"ref": &f.Ref, "folder": &f.Folder, "filename": &f.Filename, "description": &f.Description} {
		// A description file's own description is what was found out.
		if text := t.Options.String(name); text != "" && (name != "description" || kind != "description") {
			*target = text
		}
	}
	if metadata := t.Options["metadata"]; !jsonx.IsNull(metadata) {
		f.Metadata = metadata
	}
	if f.isSource() {
		f.locate(FilesURL, ext)
	}
	return f
}

// nameSample completes a File of a track or intelligence kind, whose url the storage serves.
func (e *Engine) nameSample(f, input *File, options fields.Object) {
	f.Type, f.URL = formats()[f.Format], e.StorageURL+"/"+f.ID
	switch f.Kind {
	case "thumbnails":
		f.Width, f.Height = 1920, 1080
		if !options.Has("width") && !options.Has("height") {
			options = options.Merge(fields.Of(map[string]int{"width": 640}))
		}
		f.scale(input, options)
	case "subtitles", "chapters":
		f.Language, f.Duration = "en", input.Duration
	}
	stem := strings.TrimSuffix(input.Filename, path.Ext(input.Filename))
	f.Filename = cmp.Or(stem, input.Kind, "media") + "-" + f.Kind + "." + f.Format
}

// scale gives a file the length and the size of the one that it is made of, or that of the
// options. One side alone keeps the proportions.
func (f *File) scale(input *File, options fields.Object) {
	if f.Duration > 0 && input.Duration > 0 {
		f.Duration = input.Duration
	}
	if f.Width == 0 {
		return
	}
	if input.Width > 0 {
		f.Width, f.Height = input.Width, input.Height
	}
	oldWidth, oldHeight := float64(f.Width), float64(f.Height)
	width, height := side(options["width"], oldWidth), side(options["height"], oldHeight)
	switch {
	case width == 0 && height == 0:
		return
	case width == 0:
		width = height * oldWidth / oldHeight
	case height == 0:
		height = width * oldHeight / oldWidth
	}
	f.Width, f.Height = max(int(math.Round(width)), 1), max(int(math.Round(height)), 1)
}

// side reads an option in pixels, or as a percentage such as "50%" of the original. It is 0 if
// it is not there, or is not understood.
func side(option json.RawMessage, original float64) float64 {
	text, percentage := strings.CutSuffix(fields.Scalar(option), "%")
	pixels, err := strconv.ParseFloat(text, 64)
	if percentage {
		pixels *= original / 100
	}
	if err != nil || !(pixels > 0) || pixels > math.MaxInt32 {
		return 0
	}
	return pixels
}

// defaultResults have the fields that Ittybit documents for the kind. Those of a track name the
// output file.
func (e *Engine) defaultResults(t *task, output *File) json.RawMessage {
	switch kind := t.spec.Kind; kind {
	case "chapters":
		results, _ := fields.Parse(SampleResults(kind))
		return fields.Encode(results.Merge(fields.Of(map[string]string{"format": output.Format})))
	case "subtitles":
		return fields.Encode(map[string]string{"language": "en", "format": output.Format, "url": output.URL})
	case "thumbnails":
		asked := 1.0
		if json.Unmarshal(t.Options["count"], &asked) != nil {
			asked = 1
		}
		urls := []string{output.URL}
		for i := 2; i <= int(min(100, asked)); i++ {
			urls = append(urls, fmt.Sprintf("%s/frame-%d.%s", output.URL, i, output.Format))
		}
		return fields.Encode(map[string]any{"format": output.Format, "count": len(urls), "urls": urls})
	case "conditions":
		passed, failed := compare(t.Conditions, e.lookupOrder(subject{file: t.Input, mediaID: t.MediaID}))
		return fields.Encode(map[string]any{"passed": passed, "failed": failed, "continue": len(failed) == 0})
	default:
		return SampleResults(kind)
	}
}

// sample is what the storage serves for a track or intelligence file: an embedded file, or as JSON
// the results, with the fields that name their file; the default ones if those that were chosen
// are no object. In the file Ittybit calls detected what is is_nsfw in a webhook.
func sample(f *File, defaults, chosen json.RawMessage) []byte {
	if f.Format != "json" {
		return read(f.Kind + "." + f.Format)
	}
	results, err := fields.Parse(chosen)
	if err != nil {
		results, _ = fields.Parse(defaults)
	}
	named := File{ID: f.ID, Object: f.Object, Kind: f.Kind, Created: f.Created, Updated: f.Updated}
	if f.Object == "track" {
		named.Language, named.Format, named.Filename, named.Duration, named.URL = f.Language, f.Format, f.Filename, f.Duration, f.URL
	}
	if f.Kind == "nsfw" && results.Has("is_nsfw") && !results.Has("detected") {
		results["detected"] = results["is_nsfw"]
		delete(results, "is_nsfw")
	}
	return fields.Encode(results.Merge(fields.Of(named)))
}
