package ittybit

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/ittybit/ittybit-go/internal/jsonx"
)

// TaskOptions are the options of one kind of task: [VideoOptions], [ImageOptions], [AudioOptions],
// [ThumbnailsOptions], [SubtitlesOptions], [ChaptersOptions], [SpeechOptions], [IngestOptions],
// [ConditionsOptions], [WorkflowOptions], or [RawOptions] for any other. The same types serve tasks
// and workflow steps. A zero field is not sent, but for a zero that was read from the API.
//
// Numbers that are negative, and those outside of a range that Ittybit documents, are refused with
// a [*ParamError], such as that of "Options.FPS", before anything is sent; RawOptions are the way
// around. API version 2025-08-20 documents no ranges: they are those of later versions. Read from
// the API, numbers in values of type any are [json.Number].
type TaskOptions interface {
	// check refuses what can't be meant.
	check(insecureHosts) error
}

// VideoOptions are the options of [TaskKindVideo]. Codec and Bitrate are documented for
// later API versions only (the create-job page of 2026).
type VideoOptions struct {
	Width      Dimension `json:"width,omitzero"`
	Height     Dimension `json:"height,omitzero"`
	Format     string    `json:"format,omitempty"`     // such as mp4
	Codec      string    `json:"codec,omitempty"`      // h264, h265, vp9 or av1; h264, where it is not set
	Quality    int       `json:"quality,omitempty"`    // such as 75
	Bitrate    int       `json:"bitrate,omitempty"`    // bits a second, 300,000 to 60,000,000
	FPS        float64   `json:"fps,omitempty"`        // frames a second, 1 to 60 (create-job page); as the input, where it is not set
	Fit        string    `json:"fit,omitempty"`        // how the input fills Width and Height: contain, cover or fill
	Position   string    `json:"position,omitempty"`   // such as center, top or left
	Background string    `json:"background,omitempty"` // such as #20B075
	Start      float64   `json:"start,omitempty"`      // seconds
	End        float64   `json:"end,omitempty"`        // seconds
	Duration   float64   `json:"duration,omitempty"`   // seconds
	Layers     []Layer   `json:"layers,omitzero"`      // what is laid over the picture

	optionRest
}

// ImageOptions are the options of [TaskKindImage].
type ImageOptions struct {
	Width      Dimension `json:"width,omitzero"`
	Height     Dimension `json:"height,omitzero"`
	Format     string    `json:"format,omitempty"`     // such as png; as the input, where it is not set
	Quality    int       `json:"quality,omitempty"`    // 80, where it is not set
	Fit        string    `json:"fit,omitempty"`        // contain, cover, or fill where it is not set
	Position   string    `json:"position,omitempty"`   // center, where it is not set
	Background string    `json:"background,omitempty"` // transparent or #000000, where it is not set
	Start      float64   `json:"start,omitempty"`      // seconds: which frame of a video
	Layers     []Layer   `json:"layers,omitzero"`      // what is laid over the picture

	optionRest
}

// AudioOptions are the options of [TaskKindAudio]. All but Format are documented for later API
// versions only (the audio and create-job pages); the page of version 2025-08-20 is not known.
type AudioOptions struct {
	Format  string  `json:"format,omitempty"`  // such as mp3
	Quality string  `json:"quality,omitempty"` // very_low, low, medium, high or very_high
	Bitrate int     `json:"bitrate,omitempty"` // bits a second, 32,000 to 320,000
	Start   float64 `json:"start,omitempty"`   // seconds
	End     float64 `json:"end,omitempty"`     // seconds

	optionRest
}

// ThumbnailsOptions are the options of [TaskKindThumbnails]. Format is documented for
// later API versions only, which have no Count (the thumbnails pages).
type ThumbnailsOptions struct {
	Count  int       `json:"count,omitempty"`
	Width  Dimension `json:"width,omitzero"`
	Height Dimension `json:"height,omitzero"`
	Format string    `json:"format,omitempty"` // jpeg or png; jpeg, where it is not set

	optionRest
}

// SubtitlesOptions are the options of [TaskKindSubtitles]. None of its own are documented.
type SubtitlesOptions struct {
	// Confidence is the least confidence that counts. It is the general option of the
	// tracks guide (2025), which says neither its range nor for which kinds it works.
	Confidence float64 `json:"confidence,omitempty"`

	optionRest
}

// ChaptersOptions are the options of [TaskKindChapters]. None of its own are documented.
type ChaptersOptions struct {
	// Confidence is as in [SubtitlesOptions].
	Confidence float64 `json:"confidence,omitempty"`

	optionRest
}

// SpeechOptions are the options of [TaskKindSpeech].
type SpeechOptions struct {
	Speakers bool `json:"speakers,omitempty"` // tell the speakers apart

	optionRest
}

// IngestOptions are the options of [TaskKindIngest].
type IngestOptions struct {
	// Metadata goes to the file. POST /files documents it; for tasks of kind ingest the
	// documentation leaves it unconfirmed.
	Metadata map[string]any `json:"metadata,omitzero"`

	optionRest
}

// ConditionsOptions are the options of a task of [TaskKindConditions]. A
// [WorkflowStep] has fields of its own for them; [ConditionsStep] makes such a step.
type ConditionsOptions struct {
	Conditions []Condition    `json:"conditions,omitzero"` // required
	Next       []WorkflowStep `json:"next,omitzero"`       // runs where the conditions hold

	optionRest
}

// WorkflowOptions are the options of [TaskKindWorkflow].
type WorkflowOptions struct {
	Workflow []WorkflowStep `json:"workflow,omitzero"` // required, at least one step

	optionRest
}

// RawOptions are options without a type: those of a kind that this SDK has no type for, and those
// read from the API that do not fit their type. They are not checked, but for being JSON.
type RawOptions map[string]json.RawMessage

// String is the JSON of the options, for logs, without signatures.
func (o RawOptions) String() string { return printedJSON(o) }

// GoString is String, so that %#v prints no signature either.
func (o RawOptions) GoString() string { return o.String() }

// optionRest is what the options of a task that was read have beside the fields of their type:
// the shared ones, such as ref, folder and filename, and those that this version does not know.
type optionRest struct{ rest *[]jsonx.Field } // a pointer: fmt prints what it points to nowhere

func (r *optionRest) setRest(fields []jsonx.Field) {
	if len(fields) > 0 {
		r.rest = &fields
	}
}

// marshal writes the options that r is part of.
func (r optionRest) marshal(options any) ([]byte, error) {
	var rest []jsonx.Field
	if r.rest != nil {
		rest = *r.rest
	}
	return flattenParams(options, rest, nil, nil)
}

// isSharedOption reports whether an option is one of every kind, and stands among the parameters
// of a task too (API version 2025-08-20).
func isSharedOption(name string) bool {
	return slices.Contains([]string{"ref", "folder", "filename", "description", "webhook_url"}, name)
}

func (o VideoOptions) check(insecureHosts) error {
	return errors.Join(o.Width.check("Width"), o.Height.check("Height"), notNegative("Quality", float64(o.Quality)),
		zeroOrWithin("Bitrate", float64(o.Bitrate), 300_000, 60_000_000), zeroOrWithin("FPS", o.FPS, 1, 60),
		notNegative("Start", o.Start), notNegative("End", o.End), notNegative("Duration", o.Duration), checkLayers(o.Layers))
}

func (o ImageOptions) check(insecureHosts) error {
	return errors.Join(o.Width.check("Width"), o.Height.check("Height"),
		notNegative("Quality", float64(o.Quality)), notNegative("Start", o.Start), checkLayers(o.Layers))
}

func (o AudioOptions) check(insecureHosts) error {
	return errors.Join(zeroOrWithin("Bitrate", float64(o.Bitrate), 32_000, 320_000), notNegative("Start", o.Start), notNegative("End", o.End))
}

func (o ThumbnailsOptions) check(insecureHosts) error {
	return errors.Join(notNegative("Count", float64(o.Count)), o.Width.check("Width"), o.Height.check("Height"))
}

func (o SubtitlesOptions) check(insecureHosts) error { return notNegative("Confidence", o.Confidence) }
func (o ChaptersOptions) check(insecureHosts) error  { return notNegative("Confidence", o.Confidence) }
func (SpeechOptions) check(insecureHosts) error      { return nil }
func (IngestOptions) check(insecureHosts) error      { return nil }

func (o ConditionsOptions) check(insecure insecureHosts) error {
	if len(o.Conditions) == 0 {
		return &ParamError{Param: "Conditions", Reason: "are required for kind conditions"}
	}
	return checkSteps("Next", o.Next, false, insecure)
}

func (o WorkflowOptions) check(insecure insecureHosts) error {
	return checkWorkflow(o.Workflow, insecure)
}

func (o RawOptions) check(insecureHosts) error {
	for name, value := range o {
		if !json.Valid(value) {
			return &ParamError{Param: name, Reason: "is not JSON"}
		}
	}
	return nil
}

// MarshalJSON implements [json.Marshaler].
func (o VideoOptions) MarshalJSON() ([]byte, error) { return o.marshal(o) }

// MarshalJSON implements [json.Marshaler].
func (o ImageOptions) MarshalJSON() ([]byte, error) { return o.marshal(o) }

// MarshalJSON implements [json.Marshaler].
func (o AudioOptions) MarshalJSON() ([]byte, error) { return o.marshal(o) }

// MarshalJSON implements [json.Marshaler].
func (o ThumbnailsOptions) MarshalJSON() ([]byte, error) { return o.marshal(o) }

// MarshalJSON implements [json.Marshaler].
func (o SubtitlesOptions) MarshalJSON() ([]byte, error) { return o.marshal(o) }

// MarshalJSON implements [json.Marshaler].
func (o ChaptersOptions) MarshalJSON() ([]byte, error) { return o.marshal(o) }

// MarshalJSON implements [json.Marshaler].
func (o SpeechOptions) MarshalJSON() ([]byte, error) { return o.marshal(o) }

// MarshalJSON implements [json.Marshaler].
func (o IngestOptions) MarshalJSON() ([]byte, error) { return o.marshal(o) }

// MarshalJSON implements [json.Marshaler].
func (o ConditionsOptions) MarshalJSON() ([]byte, error) { return o.marshal(o) }

// MarshalJSON implements [json.Marshaler].
func (o WorkflowOptions) MarshalJSON() ([]byte, error) { return o.marshal(o) }

func notNegative(param string, value float64) error {
	if !(value >= 0 && value <= math.MaxFloat64) { // the negation also catches NaN
		return &ParamError{Param: param, Reason: "must not be negative"}
	}
	return nil
}

// zeroOrWithin lets a zero go, which is unset.
func zeroOrWithin(param string, value, low, high float64) error {
	if value != 0 && !(value >= low && value <= high) { // the negation also catches NaN
		return &ParamError{Param: param, Reason: fmt.Sprintf("is not between %.0f and %.0f", low, high)}
	}
	return nil
}

// Dimension is a width or a height, in pixels or in percent of the input's. The zero
// Dimension is unset. Dimensions can be compared with ==.
type Dimension struct {
	value   float64
	percent bool
}

// Pixels is a Dimension of n pixels.
func Pixels(n int) Dimension { return Dimension{value: float64(n)} }

// Percent is a Dimension of p percent of the input's.
func Percent(p float64) Dimension { return Dimension{value: p, percent: true} }

// Pixels gives the number of pixels; it is false for a percentage and for an unset Dimension.
func (d Dimension) Pixels() (int, bool) { return int(d.value), !d.percent && d.value != 0 }

// Percent gives the percentage; it is false for pixels and for an unset Dimension.
func (d Dimension) Percent() (float64, bool) { return d.value, d.percent }

// IsZero reports whether d is unset.
func (d Dimension) IsZero() bool { return d == Dimension{} }

// String gives "320", "50%" or "".
func (d Dimension) String() string {
	switch {
	case d.IsZero():
		return ""
	case d.percent:
		return strconv.FormatFloat(d.value, 'f', -1, 64) + "%"
	default:
		return strconv.FormatFloat(d.value, 'f', -1, 64)
	}
}

func (d Dimension) check(param string) error { return notNegative(param, d.value) }

// MarshalJSON gives a number of pixels, or a string such as "50%".
func (d Dimension) MarshalJSON() ([]byte, error) {
	if d.percent {
		return []byte(`"` + d.String() + `"`), nil
	}
	return []byte(strconv.FormatFloat(d.value, 'f', -1, 64)), nil
}

// UnmarshalJSON takes a whole number, or a string such as "50%".
func (d *Dimension) UnmarshalJSON(data []byte) error {
	text := string(data)
	if text == "null" {
		return nil
	}
	percentage, quoted := strings.CutPrefix(text, `"`)
	if !quoted {
		pixels, err := strconv.Atoi(text)
		if err != nil {
			return fmt.Errorf("ittybit: %s is not a number of pixels", text)
		}
		*d = Pixels(pixels)
		return nil
	}
	percentage, isPercent := strings.CutSuffix(percentage, `%"`)
	value, err := strconv.ParseFloat(percentage, 64)
	if !isPercent || err != nil || notNegative("", value) != nil {
		return fmt.Errorf("ittybit: %s is not a percentage", text)
	}
	*d = Percent(value)
	return nil
}

// typedOptions are the options that have a type, by the kind of their tasks.
var typedOptions = map[TaskKind]reflect.Type{
	TaskKindVideo:      reflect.TypeFor[VideoOptions](),
	TaskKindImage:      reflect.TypeFor[ImageOptions](),
	TaskKindAudio:      reflect.TypeFor[AudioOptions](),
	TaskKindThumbnails: reflect.TypeFor[ThumbnailsOptions](),
	TaskKindSubtitles:  reflect.TypeFor[SubtitlesOptions](),
	TaskKindChapters:   reflect.TypeFor[ChaptersOptions](),
	TaskKindSpeech:     reflect.TypeFor[SpeechOptions](),
	TaskKindIngest:     reflect.TypeFor[IngestOptions](),
	TaskKindConditions: reflect.TypeFor[ConditionsOptions](),
	TaskKindWorkflow:   reflect.TypeFor[WorkflowOptions](),
}

// decodeTaskOptions reads the options that a task echoes. Null stands for what is not set.
func decodeTaskOptions(kind TaskKind, raw json.RawMessage) TaskOptions {
	if !jsonx.IsObject(raw) {
		return nil
	}
	fields, err := jsonx.Fields(raw)
	if err != nil {
		return nil
	}
	given := slices.DeleteFunc(slices.Clone(fields), func(f jsonx.Field) bool { return jsonx.IsNull(f.Value) })
	if options := decodeOptions(kind, given); options != nil || len(fields) == 0 {
		return options
	}
	return rawOptions(fields)
}

// decodeOptions reads the options of a kind into their type, which keeps what it would not write
// again. It is nil where there is no type, or they do not fit it.
func decodeOptions(kind TaskKind, fields []jsonx.Field) TaskOptions {
	t := typedOptions[kind]
	if t == nil {
		return nil
	}
	target := reflect.New(t)
	misfits, unwritten, unknown := readFields(fields, target.Interface())
	if misfits != nil {
		return nil
	}
	if carrier, ok := target.Interface().(interface{ setRest(rest []jsonx.Field) }); ok {
		carrier.setRest(slices.Concat(unwritten, unknown))
	}
	options, _ := target.Elem().Interface().(TaskOptions)
	return options
}

func rawOptions(fields []jsonx.Field) RawOptions {
	raw := make(RawOptions, len(fields))
	for _, field := range fields {
		raw[field.Name] = slices.Clone(field.Value)
	}
	return raw
}

// checkOptions refuses options of another kind, and values that can't be meant.
func checkOptions(param string, kind TaskKind, options TaskOptions, insecure insecureHosts) error {
	if options == nil {
		return nil
	}
	value := reflect.Indirect(reflect.ValueOf(options))
	if !value.IsValid() {
		return &ParamError{Param: param, Reason: "are a nil pointer"}
	}
	for own, t := range typedOptions {
		if t == value.Type() && own != kind {
			return &ParamError{Param: param, Reason: fmt.Sprintf("are those of kind %q, but the kind is %q", own, kind)}
		}
	}
	if invalid, ok := errors.AsType[*ParamError](options.check(insecure)); ok {
		return &ParamError{Param: param + "." + invalid.Param, Reason: invalid.Reason}
	}
	return nil
}

// Layer is something that is laid over a picture, such as a logo or a line of text. API
// version 2025-08-20 names the option "layers", and no more; the fields here are those
// that the video and image pages of later versions show, which are not known whole.
type Layer struct {
	Kind     string  `json:"kind,omitempty"` // image or text
	URL      string  `json:"url,omitempty"`  // of an image
	Text     string  `json:"text,omitempty"`
	Font     string  `json:"font,omitempty"`
	FontSize float64 `json:"font_size,omitempty"` // its unit is not documented
	Color    string  `json:"color,omitempty"`
	Position string  `json:"position,omitempty"` // such as center, top or left

	// Extra are further fields; those read from the API are kept here, their numbers as
	// [json.Number]. A name that has a field of its own is a [*ParamError].
	Extra map[string]any `json:"-"`

	preserved []jsonx.Field // fields that were read and would not be written the same
}

// String is the JSON of the layer, for logs, without signatures.
func (l Layer) String() string { return printedJSON(l) }

// GoString is String, so that %#v prints no signature either.
func (l Layer) GoString() string { return l.String() }

// MarshalJSON implements [json.Marshaler].
func (l Layer) MarshalJSON() ([]byte, error) { return flattenParams(l, l.preserved, nil, l.Extra) }

// UnmarshalJSON implements [json.Unmarshaler].
func (l *Layer) UnmarshalJSON(data []byte) error {
	*l = Layer{}
	unknown, err := readParams(data, l, &l.preserved)
	return cmp.Or(err, setExtra(&l.Extra, unknown))
}

func checkLayers(layers []Layer) error {
	for i, layer := range layers {
		if err := notNegative(fmt.Sprintf("Layers[%d].FontSize", i), layer.FontSize); err != nil {
			return err
		}
	}
	return nil
}
