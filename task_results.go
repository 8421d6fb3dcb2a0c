package ittybit

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/ittybit/ittybit-go/internal/errtext"
	"github.com/ittybit/ittybit-go/internal/jsonx"
)

// DecodeResults decodes the task's results into v, as [json.Unmarshal] does. A task
// without results is [ErrNoResults].
func (t *Task) DecodeResults(v any) error {
	if jsonx.IsNull(t.Results) {
		return fmt.Errorf("%w: %s has none (status %s)", ErrNoResults, t.ID, t.Status)
	}
	if err := json.Unmarshal(t.Results, v); err != nil {
		return fmt.Errorf("ittybit: results of %s: %w", t.ID, errtext.Bare(err))
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

// UnmarshalJSON implements [json.Unmarshaler]. JSON without any of the fields is [ErrNoResults].
func (r *ConditionsResults) UnmarshalJSON(data []byte) error {
	return unmarshalResults(r, TaskKindConditions, data)
}

func (r *ConditionsResults) complete(text []byte) error {
	if jsonx.Get(text, "continue") == nil {
		r.Continue = len(r.Failed) == 0
	}
	return noResultsUnless(hasAny(text, "passed", "failed", "continue"))
}

// SpeechResults are the results of [TaskKindSpeech], in the shapes of API version 2025-08-20 and of
// later ones (the speech pages). What a shape leaves out is nil or empty.
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

func (r *SpeechResults) complete(text []byte) error {
	completeLanguages(&r.Language, &r.Languages)
	return noResultsUnless(hasAny(text, "detected", "speakers", "text", "timeline"))
}

// completeLanguages sets a language and a list of them, each from the other where only that is
// there: API version 2025-08-20 has one language, later ones have a list.
func completeLanguages(language *string, languages *[]string) {
	switch {
	case *language == "" && len(*languages) > 0:
		*language = (*languages)[0]
	case *language != "" && len(*languages) == 0:
		*languages = []string{*language}
	}
}

// DescriptionResults are the results of [TaskKindDescription], and of what later API versions call
// "summary" (the description and summary pages). What a shape leaves out is nil or empty.
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
	if hasAny(t.raw, "title", "tags") && (t.Kind == TaskKindDescription || t.Kind == "summary") {
		own = resultPlace{"fields", t.raw}
	}
	return taskResults[DescriptionResults](t, TaskKindDescription, own)
}

// UnmarshalJSON implements [json.Unmarshaler]. JSON without a title, description or tags
// is [ErrNoResults].
func (r *DescriptionResults) UnmarshalJSON(data []byte) error {
	return unmarshalResults(r, TaskKindDescription, data)
}

func (r *DescriptionResults) complete(text []byte) error {
	completeLanguages(&r.Language, &r.Languages)
	return noResultsUnless(hasAny(text, "title", "description", "tags"))
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
	// File says what the thumbnails have in common, such as Format, Width and Height. Its URL is as
	// Ittybit sent it, or else the first of URLs. The tracks guide describes another kind of file
	// here, a sprite sheet's track of Type text/vtt.
	File

	Count int      `json:"count,omitempty"` // as Ittybit sent it, or else the number of URLs
	URLs  []string `json:"urls,omitempty"`  // the images, or else the one URL of File
}

// Subtitles gives the results of a subtitles task. Without a URL it is [ErrNoResults].
func (t *Task) Subtitles() (*SubtitlesResults, error) {
	return taskResults[SubtitlesResults](t, TaskKindSubtitles)
}

// Chapters gives the results of a chapters task. Without a URL and chapters it is [ErrNoResults].
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
	results.fillIn(outputs)
	return results, nil
}

// UnmarshalJSON implements [json.Unmarshaler]. JSON without a URL is [ErrNoResults].
func (r *SubtitlesResults) UnmarshalJSON(data []byte) error {
	return unmarshalResults(r, TaskKindSubtitles, data)
}

// UnmarshalJSON implements [json.Unmarshaler]. JSON without a URL and chapters is [ErrNoResults].
func (r *ChaptersResults) UnmarshalJSON(data []byte) error {
	return unmarshalResults(r, TaskKindChapters, data)
}

// UnmarshalJSON implements [json.Unmarshaler]. JSON without any URL is [ErrNoResults].
func (r *ThumbnailsResults) UnmarshalJSON(data []byte) error {
	err := unmarshalResults(r, TaskKindThumbnails, data)
	if err == nil {
		r.fillIn(nil)
	}
	return err
}

func (r *SubtitlesResults) complete(text []byte) error {
	return cmp.Or(jsonx.DecodeObject(text, &r.File), noResultsUnless(r.URL != ""))
}

func (r *ChaptersResults) complete(text []byte) error {
	return cmp.Or(jsonx.DecodeObject(text, &r.File), noResultsUnless(r.URL != "" || hasAny(text, "chapters")))
}

func (r *ThumbnailsResults) complete(text []byte) error {
	r.URLs = slices.DeleteFunc(r.URLs, func(url string) bool { return url == "" })
	return cmp.Or(jsonx.DecodeObject(text, &r.File), noResultsUnless(r.URL != "" || len(r.URLs) > 0))
}

// fillIn sets what Ittybit did not send as such.
func (r *ThumbnailsResults) fillIn(outputs []string) {
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
	// complete finishes what was decoded by the fields' tags from an object. It is ErrNoResults
	// where that holds no results of their kind.
	complete(text []byte) error
}

func noResultsUnless(found bool) error {
	if found {
		return nil
	}
	return ErrNoResults
}

// hasAny reports whether an object has any of the fields, and not null.
func hasAny(text []byte, names ...string) bool {
	return slices.ContainsFunc(names, func(name string) bool { return jsonx.Get(text, name) != nil })
}

func unmarshalResults[T any, P results[T]](r P, kind TaskKind, data []byte) error {
	decoded, err := decodeResults[T, P](data, kind)
	switch {
	case errors.Is(err, ErrNoResults):
		return fmt.Errorf("%w: the JSON has none of kind %s", ErrNoResults, kind)
	case err != nil:
		return fmt.Errorf("ittybit: results of kind %s: %w", kind, errtext.Bare(err))
	}
	*r = *decoded
	return nil
}

// decodeResults is strict: what can't be read is an error, and never taken for missing.
func decodeResults[T any, P results[T]](data []byte, kind TaskKind) (P, error) {
	if jsonx.IsNull(data) {
		return nil, ErrNoResults
	}
	if err := jsonx.Check(data); err != nil {
		return nil, err
	}
	var head struct {
		Kind TaskKind `json:"kind"`
	}
	if err := jsonx.Decode(data, &head); err != nil {
		return nil, err
	}
	if isOtherKind(head.Kind, kind) {
		return nil, ErrNoResults // the detected of a speech file is no NSFW verdict
	}
	decoded := P(new(T))
	err := jsonx.Decode(data, decoded)
	if err == nil {
		err = decoded.complete(data)
	}
	return decoded, err
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
			decoded, err := decodeResults[T, P](place.json, kind)
			switch {
			case err == nil:
				return decoded, nil
			case !errors.Is(err, ErrNoResults):
				return nil, fmt.Errorf("ittybit: %s of %s: %w", place.name, t.ID, errtext.Bare(err))
			}
		}
	}
	return nil, fmt.Errorf("%w: %s (kind %s, status %s) has none of kind %s; "+
		"they may be in its output file: decode what Output.URL serves into %T", ErrNoResults, t.ID, t.Kind, t.Status, kind, *new(T))
}
