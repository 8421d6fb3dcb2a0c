package ittybit

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/ittybit/ittybit-go/internal/jsonx"
	"github.com/ittybit/ittybit-go/internal/strict"
)

// DecodeResults decodes the task's results into v, as [json.Unmarshal] does. A task
// without results is [ErrNoResults].
func (t *Task) DecodeResults(v any) error {
	if jsonx.IsNull(t.Results) {
		return fmt.Errorf("%w: %s has none (status %s)", ErrNoResults, t.ID, t.Status)
	}
	if err := json.Unmarshal(t.Results, v); err != nil {
		return fmt.Errorf("ittybit: results of %s: %w", t.ID, err)
	}
	return nil
}

// ConditionsResults are the results of [TaskKindConditions].
type ConditionsResults struct {
	// Passed and Failed are the conditions that held and those that did not. What one
	// looks like is not documented.
	Passed []json.RawMessage `json:"passed,omitempty"`
	Failed []json.RawMessage `json:"failed,omitempty"`
	// Continue reports whether the next steps run. Where Ittybit did not send it, it is
	// whether nothing failed.
	Continue bool `json:"continue"`
}

// Conditions gives the results of a conditions task. Without any of their fields it is
// [ErrNoResults].
func (t *Task) Conditions() (*ConditionsResults, error) {
	return taskResults[ConditionsResults](t, TaskKindConditions)
}

// UnmarshalJSON implements [json.Unmarshaler]. JSON without any of the fields is
// [ErrNoResults].
func (r *ConditionsResults) UnmarshalJSON(data []byte) error {
	return unmarshalResults(r, TaskKindConditions, data)
}

func (r *ConditionsResults) read(o *strict.Object) (found bool) {
	*r = ConditionsResults{Passed: strict.Read(o, "passed", strict.RawList), Failed: strict.Read(o, "failed", strict.RawList)}
	r.Continue = len(r.Failed) == 0
	if goOn := o.Flag("continue"); goOn != nil {
		r.Continue = *goOn
	}
	return o.Has("passed", "failed", "continue")
}

// SpeechResults are the results of [TaskKindSpeech], in the shapes of API version
// 2025-08-20 and of later ones (the speech pages). What a shape leaves out is nil or
// empty.
type SpeechResults struct {
	Detected   *bool    `json:"detected,omitempty"` // whether anybody speaks; API version 2025-08-20 only
	Speakers   *int     `json:"speakers,omitempty"` // how many
	Language   string   `json:"language,omitempty"` // such as en; the first of Languages
	Languages  []string `json:"languages,omitempty"`
	Text       []string `json:"text,omitempty"`       // what was said
	Confidence *float64 `json:"confidence,omitempty"` // 0 to 1; API version 2025-08-20 only

	Timeline []SpeechSegment `json:"timeline,omitempty"`
}

// SpeechSegment is what one speaker said in one go. A Start or End that Ittybit did not
// send is zero.
type SpeechSegment struct {
	Start      float64  `json:"start"`             // seconds
	End        float64  `json:"end"`               // seconds
	Speaker    *int     `json:"speaker,omitempty"` // from 0
	Text       string   `json:"text,omitempty"`
	Detected   *bool    `json:"detected,omitempty"`   // API version 2025-08-20 only
	Confidence *float64 `json:"confidence,omitempty"` // 0 to 1; API version 2025-08-20 only
}

// Speech gives the results of a speech task. Where there is nothing said of detection,
// speakers, text or timeline, it is [ErrNoResults].
func (t *Task) Speech() (*SpeechResults, error) {
	return taskResults[SpeechResults](t, TaskKindSpeech)
}

// UnmarshalJSON implements [json.Unmarshaler]. JSON that says nothing of detection,
// speakers, text or timeline is [ErrNoResults].
func (r *SpeechResults) UnmarshalJSON(data []byte) error {
	return unmarshalResults(r, TaskKindSpeech, data)
}

func (r *SpeechResults) read(o *strict.Object) (found bool) {
	*r = SpeechResults{
		Detected: o.Flag("detected"), Speakers: o.Whole("speakers"), Text: o.Texts("text"), Confidence: o.Number("confidence"),
		Timeline: strict.ReadList(o, "timeline", func(o *strict.Object) SpeechSegment {
			return SpeechSegment{
				Start: o.Seconds("start"), End: o.Seconds("end"), Speaker: o.Whole("speaker"),
				Text: o.Text("text"), Detected: o.Flag("detected"), Confidence: o.Number("confidence"),
			}
		}),
	}
	r.Language, r.Languages = o.Languages()
	return o.Has("detected", "speakers", "text", "timeline")
}

// DescriptionResults are the results of [TaskKindDescription], and of what later API
// versions call "summary" (the description and summary pages). What a shape leaves out is
// nil or empty.
type DescriptionResults struct {
	Title       string   `json:"title,omitempty"`
	Description string   `json:"description,omitempty"`
	Tags        []string `json:"tags,omitempty"`
	Language    string   `json:"language,omitempty"` // such as en; the first of Languages
	Languages   []string `json:"languages,omitempty"`
	Confidence  *float64 `json:"confidence,omitempty"` // 0 to 1; API version 2025-08-20 only
}

// Description gives the results of a description task. Without a title, description or
// tags it is [ErrNoResults].
func (t *Task) Description() (*DescriptionResults, error) {
	// Later API versions put them into the task itself, where the description alone may
	// be the one that the task was created with.
	var own resultPlace
	if o, err := strict.Open(t.raw); err == nil && o.Has("title", "tags") && (t.Kind == TaskKindDescription || t.Kind == "summary") {
		own = resultPlace{"fields", t.raw}
	}
	return taskResults[DescriptionResults](t, TaskKindDescription, own)
}

// UnmarshalJSON implements [json.Unmarshaler]. JSON without a title, description or tags
// is [ErrNoResults].
func (r *DescriptionResults) UnmarshalJSON(data []byte) error {
	return unmarshalResults(r, TaskKindDescription, data)
}

func (r *DescriptionResults) read(o *strict.Object) (found bool) {
	*r = DescriptionResults{
		Title: o.Text("title"), Description: o.Text("description"), Tags: o.Texts("tags"), Confidence: o.Number("confidence"),
	}
	r.Language, r.Languages = o.Languages()
	return o.Has("title", "description", "tags")
}

// SubtitlesResults are the results of [TaskKindSubtitles]: the file with the subtitles.
// Its URL, Format (such as vtt) and Language are those that Ittybit documents.
type SubtitlesResults struct {
	File
}

// ChaptersResults are the results of [TaskKindChapters]: the file with the chapters, and
// the chapters where Ittybit sent them along.
type ChaptersResults struct {
	File

	Chapters []Chapter `json:"chapters,omitempty"`
}

// Chapter is a part of a video or audio. A Start or End that Ittybit did not send is zero.
type Chapter struct {
	Index *int    `json:"index,omitempty"` // from 0
	Start float64 `json:"start"`           // seconds
	End   float64 `json:"end"`             // seconds
	Title string  `json:"title,omitempty"`
}

// ThumbnailsResults are the results of [TaskKindThumbnails].
type ThumbnailsResults struct {
	// File says what the thumbnails have in common, such as Format, Width and Height. Its URL is
	// as Ittybit sent it, or else the first of URLs.
	// The tracks guide describes another kind of file here, a sprite sheet's track of
	// Type text/vtt.
	File

	Count int      `json:"count,omitempty"` // as Ittybit sent it, or else the number of URLs
	URLs  []string `json:"urls,omitempty"`  // the images, or else the one URL of File
}

// Subtitles gives the results of a subtitles task. Without a URL it is [ErrNoResults].
func (t *Task) Subtitles() (*SubtitlesResults, error) {
	return taskResults[SubtitlesResults](t, TaskKindSubtitles)
}

// Chapters gives the results of a chapters task. Without a URL and chapters it is
// [ErrNoResults].
func (t *Task) Chapters() (*ChaptersResults, error) {
	return taskResults[ChaptersResults](t, TaskKindChapters)
}

// Thumbnails gives the results of a thumbnails task. Without any URL it is
// [ErrNoResults]. Where each image is an output of its own, as in later API versions, File
// is the first, and URLs are those of all.
func (t *Task) Thumbnails() (*ThumbnailsResults, error) {
	results, err := taskResults[ThumbnailsResults](t, TaskKindThumbnails)
	if err != nil {
		return nil, err
	}
	var outputs []string
	for _, output := range t.Outputs {
		if output != nil && output.URL != "" {
			outputs = append(outputs, output.URL)
		}
	}
	results.complete(outputs)
	return results, nil
}

// UnmarshalJSON implements [json.Unmarshaler]. JSON without a URL is [ErrNoResults].
func (r *SubtitlesResults) UnmarshalJSON(data []byte) error {
	return unmarshalResults(r, TaskKindSubtitles, data)
}

// UnmarshalJSON implements [json.Unmarshaler]. JSON without a URL and chapters is
// [ErrNoResults].
func (r *ChaptersResults) UnmarshalJSON(data []byte) error {
	return unmarshalResults(r, TaskKindChapters, data)
}

// UnmarshalJSON implements [json.Unmarshaler]. JSON without any URL is [ErrNoResults].
func (r *ThumbnailsResults) UnmarshalJSON(data []byte) error {
	err := unmarshalResults(r, TaskKindThumbnails, data)
	if err == nil {
		r.complete(nil)
	}
	return err
}

func (r *SubtitlesResults) read(o *strict.Object) (found bool) {
	o.Decode(&r.File)
	return r.URL != ""
}

func (r *ChaptersResults) read(o *strict.Object) (found bool) {
	o.Decode(&r.File)
	r.Chapters = strict.ReadList(o, "chapters", func(o *strict.Object) Chapter {
		return Chapter{Index: o.Whole("index"), Start: o.Seconds("start"), End: o.Seconds("end"), Title: o.Text("title")}
	})
	return r.URL != "" || o.Has("chapters")
}

func (r *ThumbnailsResults) read(o *strict.Object) (found bool) {
	o.Decode(&r.File)
	r.URLs = o.Texts("urls")
	if count := o.Whole("count"); count != nil {
		r.Count = *count
	}
	return r.URL != "" || len(r.URLs) > 0
}

// complete fills in what Ittybit did not send as such.
func (r *ThumbnailsResults) complete(outputs []string) {
	if len(r.URLs) == 0 {
		r.URLs = outputs
	}
	if len(r.URLs) == 0 {
		r.URLs = []string{r.URL}
	}
	if r.URL == "" {
		r.URL = r.URLs[0]
	}
	if r.Count == 0 {
		r.Count = len(r.URLs)
	}
}

// MarshalJSON writes the chapters beside the fields of the file.
func (r ChaptersResults) MarshalJSON() ([]byte, error) {
	return marshalTrack(r.File, struct {
		Chapters []Chapter `json:"chapters,omitempty"`
	}{r.Chapters})
}

// MarshalJSON writes the URLs and their number beside the fields of the file.
func (r ThumbnailsResults) MarshalJSON() ([]byte, error) {
	return marshalTrack(r.File, struct {
		URLs  []string `json:"urls,omitempty"`
		Count int      `json:"count,omitempty"`
	}{r.URLs, r.Count})
}

func marshalTrack(file File, more any) ([]byte, error) {
	fields, err := jsonx.MarshalFields(file)
	if err != nil {
		return nil, err
	}
	return flattenParams(more, fields, nil, nil)
}

// results is the pointer to a type of results.
type results[T any] interface {
	*T
	// read fills the results from the fields of an object, and reports whether that
	// object holds results of their kind at all.
	read(o *strict.Object) (found bool)
}

// unmarshalResults is the UnmarshalJSON of a type of results.
func unmarshalResults[T any, P results[T]](r P, kind TaskKind, data []byte) error {
	decoded, found, err := decodeResults[T, P](data, kind)
	switch {
	case err != nil:
		return fmt.Errorf("ittybit: results of kind %s: %w", kind, err)
	case !found:
		return fmt.Errorf("%w: the JSON has none of kind %s", ErrNoResults, kind)
	}
	*r = *decoded
	return nil
}

func decodeResults[T any, P results[T]](data []byte, kind TaskKind) (decoded P, found bool, err error) {
	if jsonx.IsNull(data) {
		return nil, false, nil
	}
	o, err := strict.Open(data)
	if err != nil {
		return nil, false, err
	}
	if own := strict.Read(o, "kind", strict.Text); isOtherKind(TaskKind(own), kind) {
		return nil, false, o.Err // so that the detected of a speech file is no NSFW verdict
	}
	decoded = new(T)
	found = decoded.read(o)
	return decoded, found, o.Err
}

// isOtherKind reports whether kind names something else than want. What this SDK does not
// know may be a new name for it; a thumbnail is an image.
func isOtherKind(kind, want TaskKind) bool {
	switch kind {
	case want:
		return false
	case TaskKindImage:
		return want != TaskKindThumbnails
	case TaskKindIngest, TaskKindVideo, TaskKindAudio, TaskKindChapters, TaskKindSubtitles, TaskKindThumbnails, TaskKindNSFW,
		TaskKindSpeech, TaskKindDescription, TaskKindConditions, TaskKindHTTP, TaskKindWebhook:
		return true
	}
	return false
}

// resultPlace is a place where results may be.
type resultPlace struct {
	name string
	json json.RawMessage
}

// taskResults finds results of a kind in the places where the versions of the
// API put them, and then in more.
func taskResults[T any, P results[T]](t *Task, kind TaskKind, more ...resultPlace) (P, error) {
	places := []resultPlace{{"results", t.Results}}
	for _, output := range append([]*File{t.Output}, t.Outputs...) {
		if output != nil {
			places = append(places, resultPlace{"output", output.RawJSON()})
		}
	}
	if t.Kind != TaskKindImage && !isOtherKind(t.Kind, kind) {
		for _, place := range slices.Concat(places, more) {
			decoded, found, err := decodeResults[T, P](place.json, kind)
			switch {
			case err != nil:
				return nil, fmt.Errorf("ittybit: %s of %s: %w", place.name, t.ID, err)
			case found:
				return decoded, nil
			}
		}
	}
	return nil, fmt.Errorf("%w: %s (kind %s, status %s) has none of kind %s; "+
		"they may be in its output file: decode what Output.URL serves into %T", ErrNoResults, t.ID, t.Kind, t.Status, kind, *new(T))
}
