// Package fields reads and writes JSON objects, each field as it was sent. The local Ittybit
// decodes nothing into the client's types, so that client and server can't agree on the same
// mistake.
package fields

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"unicode/utf8"

	"github.com/ittybit/ittybit-go/internal/jsonx"
	"github.com/ittybit/ittybit-go/ittybittest/internal/refusal"
)

// Object is a JSON object. Nil is JSON's null.
type Object map[string]json.RawMessage

// Parse reads one JSON object and nothing after it. Its errors follow the name of the text.
func Parse(data []byte) (Object, error) {
	if !utf8.Valid(data) {
		return nil, errors.New("is not valid UTF-8")
	}
	var o Object
	var syntax *json.SyntaxError
	if err := json.Unmarshal(data, &o); errors.As(err, &syntax) {
		return nil, fmt.Errorf("is not valid JSON: %w", err)
	} else if err != nil || o == nil {
		return nil, errors.New("must be a JSON object")
	}
	return o, nil
}

// Of is a value's JSON object, nil if it is none.
func Of(value any) Object {
	o, _ := Parse(Encode(value))
	return o
}

// Has reports whether the field is there, null or not.
func (o Object) Has(name string) bool {
	_, ok := o[name]
	return ok
}

// Text returns a string field, "" if it is absent or null, or a refusal if it is no string.
func (o Object) Text(name string) (text string, err error) {
	if o.Has(name) && json.Unmarshal(o[name], &text) != nil {
		return "", refusal.Invalid("%s must be a string.", name)
	}
	return text, nil
}

// String returns a string field: "" if it is no string.
func (o Object) String(name string) string {
	text, _ := o.Text(name)
	return text
}

// Find returns a field that is not null. A dot leads into an object, as in metadata.source.
func (o Object) Find(path string) (json.RawMessage, bool) {
	if value := o[path]; !jsonx.IsNull(value) {
		return value, true
	}
	name, rest, dotted := strings.Cut(path, ".")
	inner, err := Parse(o[name])
	if !dotted || err != nil {
		return nil, false
	}
	return inner.Find(rest)
}

// Merge returns a copy with all fields of another object.
func (o Object) Merge(other Object) Object {
	merged := Object{}
	maps.Copy(merged, o)
	maps.Copy(merged, other)
	return merged
}

// Without returns a copy that lacks the named fields.
func (o Object) Without(names ...string) Object {
	left := o.Merge(nil)
	for _, name := range names {
		delete(left, name)
	}
	return left
}

// Scalar is the text of a string, and the JSON of anything else.
func Scalar(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	return string(raw)
}

// Encode is Marshal for a value that is known to be encodable.
func Encode(value any) json.RawMessage {
	raw, err := jsonx.Marshal(value)
	if err != nil {
		panic("ittybittest: " + err.Error())
	}
	return raw
}
