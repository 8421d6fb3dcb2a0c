package ittybit

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/ittybit/ittybit-go/internal/jsonx"
)

// TaskOptions are the options of one kind of task: [VideoOptions], [ImageOptions],
// [AudioOptions], [ThumbnailsOptions], [SpeechOptions], or [RawOptions] for any other.
// The same types serve tasks and workflow steps. A zero field is not sent.
type TaskOptions interface {
	// optionsOf gives the kind that the options are for; empty: any.
	optionsOf() TaskKind
	// check refuses what can't be meant.
	check() error
}

// VideoOptions are the options of [TaskKindVideo].
type VideoOptions struct {
	Width      Dimension `json:"width,omitzero"`
	Height     Dimension `json:"height,omitzero"`
	Format     string    `json:"format,omitempty"`     // such as mp4
	Quality    int       `json:"quality,omitempty"`    // such as 75
	FPS        float64   `json:"fps,omitempty"`        // frames a second; as the input, where it is not set
	Fit        string    `json:"fit,omitempty"`        // how the input fills Width and Height: contain, cover or fill
	Position   string    `json:"position,omitempty"`   // such as center, top or left
	Background string    `json:"background,omitempty"` // such as #20B075
	Start      float64   `json:"start,omitempty"`      // seconds
	End        float64   `json:"end,omitempty"`        // seconds
	Duration   float64   `json:"duration,omitempty"`   // seconds
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
}

// AudioOptions are the options of [TaskKindAudio].
type AudioOptions struct {
	Format string `json:"format,omitempty"` // such as mp3
}

// ThumbnailsOptions are the options of [TaskKindThumbnails].
type ThumbnailsOptions struct {
	Count  int       `json:"count,omitempty"`
	Width  Dimension `json:"width,omitzero"`
	Height Dimension `json:"height,omitzero"`
}

// SpeechOptions are the options of [TaskKindSpeech].
type SpeechOptions struct {
	Speakers bool `json:"speakers,omitempty"` // tell the speakers apart
}

// RawOptions are options without a type: those of a kind that this SDK has no type
// for, and those read from the API that do not fit their type.
type RawOptions map[string]json.RawMessage

func (VideoOptions) optionsOf() TaskKind      { return TaskKindVideo }
func (ImageOptions) optionsOf() TaskKind      { return TaskKindImage }
func (AudioOptions) optionsOf() TaskKind      { return TaskKindAudio }
func (ThumbnailsOptions) optionsOf() TaskKind { return TaskKindThumbnails }
func (SpeechOptions) optionsOf() TaskKind     { return TaskKindSpeech }
func (RawOptions) optionsOf() TaskKind        { return "" }

func (o VideoOptions) check() error {
	return errors.Join(o.Width.check("Width"), o.Height.check("Height"), notNegative("Quality", float64(o.Quality)),
		notNegative("FPS", o.FPS), notNegative("Start", o.Start), notNegative("End", o.End), notNegative("Duration", o.Duration))
}

func (o ImageOptions) check() error {
	return errors.Join(o.Width.check("Width"), o.Height.check("Height"),
		notNegative("Quality", float64(o.Quality)), notNegative("Start", o.Start))
}

func (AudioOptions) check() error { return nil }

func (o ThumbnailsOptions) check() error {
	return errors.Join(notNegative("Count", float64(o.Count)), o.Width.check("Width"), o.Height.check("Height"))
}

func (SpeechOptions) check() error { return nil }

func (o RawOptions) check() error {
	for name, value := range o {
		if !json.Valid(value) {
			return &ParamError{Param: name, Reason: "is not JSON"}
		}
	}
	return nil
}

func notNegative(param string, value float64) error {
	if !(value >= 0 && value <= math.MaxFloat64) { // the negation also catches NaN
		return &ParamError{Param: param, Reason: "is negative or no number"}
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

// Pixels gives the number of pixels; it is false for a percentage and for an unset
// Dimension.
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

// typedOptions gives the options type of kind, ready to decode into, or nil.
func typedOptions(kind TaskKind) func(json.RawMessage) (TaskOptions, error) {
	switch kind {
	case TaskKindVideo:
		return decodeOptions[VideoOptions]
	case TaskKindImage:
		return decodeOptions[ImageOptions]
	case TaskKindAudio:
		return decodeOptions[AudioOptions]
	case TaskKindThumbnails:
		return decodeOptions[ThumbnailsOptions]
	case TaskKindSpeech:
		return decodeOptions[SpeechOptions]
	}
	return nil
}

func decodeOptions[T TaskOptions](raw json.RawMessage) (TaskOptions, error) {
	var options T
	err := json.Unmarshal(raw, &options)
	return options, err
}

// decodeTaskOptions reads the options that a task echoes.
func decodeTaskOptions(kind TaskKind, raw json.RawMessage) TaskOptions {
	if !jsonx.IsObject(raw) {
		return nil
	}
	if decode := typedOptions(kind); decode != nil {
		if options, err := decode(raw); err == nil {
			return options
		}
	}
	var options RawOptions
	if json.Unmarshal(raw, &options) != nil || len(options) == 0 {
		return nil
	}
	return options
}

// optionNames gives the members that options could have on the wire.
func optionNames(options TaskOptions) []string {
	switch o := options.(type) {
	case nil:
		return nil
	case RawOptions:
		return slices.Sorted(maps.Keys(o))
	case *RawOptions:
		return slices.Sorted(maps.Keys(*o))
	default:
		return jsonx.FieldNames(o)
	}
}

// checkOptions refuses options of another kind, and values that can't be meant.
func checkOptions(param string, kind TaskKind, options TaskOptions) error {
	if options == nil {
		return nil
	}
	if v := reflect.ValueOf(options); v.Kind() == reflect.Pointer && v.IsNil() {
		return &ParamError{Param: param, Reason: "are a nil pointer"}
	}
	if own := options.optionsOf(); own != "" && own != kind {
		return &ParamError{Param: param, Reason: fmt.Sprintf("are those of kind %q, but the kind is %q", own, kind)}
	}
	var invalid *ParamError
	if err := options.check(); errors.As(err, &invalid) {
		return &ParamError{Param: param + "." + invalid.Param, Reason: invalid.Reason}
	}
	return nil
}

// flattenParams makes one object of known, options and extra, in this order, and of
// the members in kept whose names nothing else sets. A name that two of the first
// three know is a *ParamError.
func flattenParams(known any, kept []jsonx.Member, options TaskOptions, extra map[string]any) (json.RawMessage, error) {
	members, err := jsonx.Flatten(known)
	if err != nil {
		return nil, err
	}
	reserved := jsonx.FieldNames(known)
	if names := optionNames(options); len(names) > 0 {
		if err := checkCollision("Options", names, reserved); err != nil {
			return nil, err
		}
		optionMembers, err := jsonx.Flatten(options)
		if err != nil {
			return nil, err
		}
		members = append(members, optionMembers...)
		reserved = append(reserved, names...)
	}
	names := slices.Sorted(maps.Keys(extra))
	if err := checkCollision("Extra", names, reserved); err != nil {
		return nil, err
	}
	for _, name := range names {
		value, err := jsonx.Marshal(extra[name])
		if err != nil {
			return nil, &ParamError{Param: "Extra[" + strconv.Quote(name) + "]", Reason: "can't be made JSON: " + err.Error()}
		}
		members = append(members, jsonx.Member{Name: name, Value: value})
	}
	for _, member := range kept {
		if jsonx.Index(members, member.Name) < 0 {
			members = append(members, member)
		}
	}
	return jsonx.Join(members)
}

func checkCollision(param string, names, reserved []string) error {
	for _, name := range names {
		if slices.Contains(reserved, name) {
			return &ParamError{Param: param + "[" + strconv.Quote(name) + "]", Reason: "is a member that has a field of its own; set that one"}
		}
	}
	return nil
}
