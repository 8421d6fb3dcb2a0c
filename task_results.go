package ittybit

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/ittybit/ittybit-go/internal/jsonx"
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

// Conditions gives the results of a conditions task. Without any of their members it is
// [ErrNoResults].
func (t *Task) Conditions() (*ConditionsResults, error) {
	return taskResults[ConditionsResults](t, TaskKindConditions)
}

// UnmarshalJSON implements [json.Unmarshaler]. JSON without any of the members is
// [ErrNoResults].
func (r *ConditionsResults) UnmarshalJSON(data []byte) error {
	return unmarshalResults(r, TaskKindConditions, data)
}

func (r *ConditionsResults) read(m *resultMembers) (found bool) {
	*r = ConditionsResults{Passed: readResult(m, "passed", readRawList), Failed: readResult(m, "failed", readRawList)}
	r.Continue = len(r.Failed) == 0
	if goOn := m.flag("continue"); goOn != nil {
		r.Continue = *goOn
	}
	return m.has("passed", "failed", "continue")
}

// results is the pointer to a type of results.
type results[T any] interface {
	*T
	// read fills the results from the members of an object, and reports whether that
	// object holds results of their kind at all.
	read(m *resultMembers) (found bool)
}

// unmarshalResults is the UnmarshalJSON of a type of results.
func unmarshalResults[T any, P results[T]](r P, kind TaskKind, data []byte) error {
	decoded, found, err := decodeResults[T, P](data, kind)
	switch {
	case err != nil:
		return fmt.Errorf("ittybit: results of kind %s: %w", kind, err)
	case !found:
		return fmt.Errorf("%w: the JSON holds none of kind %s", ErrNoResults, kind)
	}
	*r = *decoded
	return nil
}

func decodeResults[T any, P results[T]](data []byte, kind TaskKind) (decoded P, found bool, err error) {
	if jsonx.IsNull(data) {
		return nil, false, nil
	}
	m, err := resultMembersOf(data)
	if err != nil {
		return nil, false, err
	}
	if own := readResult(m, "kind", readResultText); isOtherKind(TaskKind(own), kind) {
		return nil, false, m.err // so that the detected of a speech file is no NSFW verdict
	}
	decoded = new(T)
	found = decoded.read(m)
	return decoded, found, m.err
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

// taskResults looks for results of a kind in the places where the generations of the
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
	return nil, fmt.Errorf("%w: %s (kind %s, status %s) holds none of kind %s; "+
		"they may be in its output file: decode what Output.URL serves into %T", ErrNoResults, t.ID, t.Kind, t.Status, kind, *new(T))
}

// resultMembers are the members of an object in results. What is wrong with the first
// odd one is kept in err.
type resultMembers struct {
	object []byte
	values map[string]json.RawMessage
	err    error
}

func resultMembersOf(object []byte) (*resultMembers, error) {
	m := &resultMembers{object: object}
	if !jsonx.IsObject(object) {
		return m, errors.New("is not a JSON object")
	}
	return m, json.Unmarshal(object, &m.values)
}

// has reports whether any of the members is there.
func (m *resultMembers) has(names ...string) bool {
	return slices.ContainsFunc(names, func(name string) bool { return !jsonx.IsNull(m.values[name]) })
}

// The readers of members give the zero value for those that are not there or null.

func (m *resultMembers) flag(name string) *bool      { return readResult(m, name, readResultFlag) }
func (m *resultMembers) number(name string) *float64 { return readResult(m, name, readResultNumber) }
func (m *resultMembers) whole(name string) *int      { return readResult(m, name, readResultWhole) }
func (m *resultMembers) text(name string) string     { return readResult(m, name, readResultText) }
func (m *resultMembers) texts(name string) []string  { return readResult(m, name, readResultTexts) }

func (m *resultMembers) seconds(name string) float64 {
	if at := m.number(name); at != nil {
		return *at
	}
	return 0
}

// languages gives a language and a list of them, each from the other where only that
// is there: API version 2025-08-20 has one language, later ones have a list.
func (m *resultMembers) languages() (language string, languages []string) {
	language, languages = m.text("language"), m.texts("languages")
	switch {
	case language == "" && len(languages) > 0:
		language = languages[0]
	case language != "" && len(languages) == 0:
		languages = []string{language}
	}
	return language, languages
}

// readResult reads a member, and notes what is wrong with it.
func readResult[V any](m *resultMembers, name string, read func(json.RawMessage) (V, error)) V {
	var none V
	if m.err != nil || !m.has(name) {
		return none
	}
	value, err := read(m.values[name])
	if err != nil {
		m.err = firstError(memberError{name, err})
		return none
	}
	return value
}

// readResultList reads a list of objects.
func readResultList[V any](m *resultMembers, name string, read func(*resultMembers) V) []V {
	return readResult(m, name, func(raw json.RawMessage) ([]V, error) {
		elements, err := readRawList(raw)
		if err != nil {
			return nil, err
		}
		return readElements(elements, func(element json.RawMessage) (V, error) {
			m, err := resultMembersOf(element)
			if err != nil {
				var none V
				return none, err
			}
			value := read(m)
			return value, m.err
		})
	})
}

// readElements reads the elements of a list, and leaves out those that are null.
func readElements[V any](elements []json.RawMessage, read func(json.RawMessage) (V, error)) ([]V, error) {
	list := make([]V, 0, len(elements))
	for i, element := range elements {
		if jsonx.IsNull(element) {
			continue
		}
		value, err := read(element)
		if err != nil {
			return nil, fmt.Errorf("element %d: %w", i, err)
		}
		list = append(list, value)
	}
	return list, nil
}

// readRawList reads a list, its nulls too.
func readRawList(raw json.RawMessage) ([]json.RawMessage, error) {
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) != nil {
		return nil, errors.New("is not a list")
	}
	return list, nil
}

func readResultFlag(raw json.RawMessage) (*bool, error) {
	var flag bool
	if json.Unmarshal(raw, &flag) != nil {
		return nil, errors.New("is neither true nor false")
	}
	return &flag, nil
}

func readResultNumber(raw json.RawMessage) (*float64, error) {
	number, found, err := jsonx.ParseFloat(raw)
	if !found {
		return nil, err
	}
	return &number, nil
}

func readResultWhole(raw json.RawMessage) (*int, error) {
	number, found, err := jsonx.ParseInt(raw)
	if !found {
		return nil, err
	}
	value := int(number)
	if int64(value) != number {
		return nil, errors.New("is out of range")
	}
	return &value, nil
}

func readResultText(raw json.RawMessage) (string, error) {
	var text string
	if json.Unmarshal(raw, &text) != nil {
		return "", errors.New("is not a string")
	}
	return text, nil
}

// readResultTexts reads a list of strings, or one string.
func readResultTexts(raw json.RawMessage) ([]string, error) {
	switch text, err := readResultText(raw); {
	case err == nil && text != "":
		return []string{text}, nil
	case err == nil:
		return []string{}, nil
	}
	elements, err := readRawList(raw)
	if err != nil {
		return nil, errors.New("is neither a string nor a list of strings")
	}
	return readElements(elements, readResultText)
}

// memberError is what is wrong with a member, if anything is.
type memberError struct {
	member string
	err    error
}

// firstError gives the first of errs that is one, with the name of its member.
func firstError(errs ...memberError) error {
	for _, e := range errs {
		if e.err != nil {
			return fmt.Errorf("field %q: %w", e.member, e.err)
		}
	}
	return nil
}
