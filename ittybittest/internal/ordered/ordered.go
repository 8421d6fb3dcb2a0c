// Package ordered reads and writes JSON objects whose fields keep their order, each as it was
// sent. The local Ittybit decodes nothing into the client's types, so that client and server
// can't agree on the same mistake.
package ordered

import (
	"bytes"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// Object is a JSON object. Nil is JSON's null.
type Object []Field

// Field is one field of an object.
type Field struct {
	Name  string
	Value json.RawMessage
}

// Error says what is wrong with a text, such as "must be a JSON object".
type Error string

// Error implements error.
func (e Error) Error() string { return string(e) }

// Parse reads one JSON object and nothing after it. Its errors follow the name of the text.
func Parse(data []byte) (Object, error) {
	const invalid = Error("is not valid JSON")
	if !utf8.Valid(data) {
		return nil, Error("is not valid UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	if start, err := dec.Token(); err != nil {
		return nil, invalid
	} else if start != json.Delim('{') {
		return nil, Error("must be a JSON object")
	}
	obj, seen := Object{}, map[string]bool{}
	for dec.More() {
		token, err := dec.Token()
		name, isName := token.(string)
		var value json.RawMessage
		if err != nil || !isName || dec.Decode(&value) != nil {
			return nil, invalid
		}
		if seen[name] {
			return nil, Error(`has the field "` + name + `" twice`)
		}
		seen[name] = true
		obj = append(obj, Field{name, value})
	}
	if _, err := dec.Token(); err != nil {
		return nil, invalid
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, Error("has something after the JSON object")
	}
	return obj, nil
}

// UnmarshalJSON implements json.Unmarshaler.
func (o *Object) UnmarshalJSON(data []byte) error {
	parsed, err := Parse(data)
	if IsNull(data) {
		parsed, err = nil, nil
	}
	*o = parsed
	return err
}

// MarshalJSON implements json.Marshaler.
func (o Object) MarshalJSON() ([]byte, error) {
	if o == nil {
		return []byte("null"), nil
	}
	var buf bytes.Buffer
	buf.WriteByte('{')
	for i, f := range o {
		if i > 0 {
			buf.WriteByte(',')
		}
		buf.Write(Encode(f.Name))
		buf.WriteByte(':')
		buf.Write(f.Value)
	}
	buf.WriteByte('}')
	return buf.Bytes(), nil
}

// Get returns a field's value. A null counts as a field that is not there.
func (o Object) Get(name string) (json.RawMessage, bool) {
	for _, f := range o {
		if f.Name == name {
			return f.Value, !IsNull(f.Value)
		}
	}
	return nil, false
}

// Has reports whether the field is there, null or not.
func (o Object) Has(name string) bool {
	return slices.ContainsFunc(o, func(f Field) bool { return f.Name == name })
}

// Text returns a string field: "" if it is absent or null.
func (o Object) Text(name string) (string, error) {
	value, ok := o.Get(name)
	var s string
	if ok && json.Unmarshal(value, &s) != nil {
		return "", Error(name + " must be a string.")
	}
	return s, nil
}

// String returns a string field: "" if it is no string.
func (o Object) String(name string) string {
	s, _ := o.Text(name)
	return s
}

// OrNull returns a field's value, or null.
func (o Object) OrNull(name string) json.RawMessage {
	if value, ok := o.Get(name); ok {
		return value
	}
	return json.RawMessage("null")
}

// Find is Get, where a dot leads into an object, as in metadata.source.
func (o Object) Find(path string) (json.RawMessage, bool) {
	if value, ok := o.Get(path); ok {
		return value, true
	}
	name, rest, dotted := strings.Cut(path, ".")
	value, _ := o.Get(name)
	inner, err := Parse(value)
	if !dotted || err != nil {
		return nil, false
	}
	return inner.Find(rest)
}

// Set returns a copy in which the field has this value.
func (o Object) Set(name string, value any) Object {
	raw, changed := Encode(value), slices.Clone(o)
	for i := range changed {
		if changed[i].Name == name {
			changed[i].Value = raw
			return changed
		}
	}
	return append(changed, Field{name, raw})
}

// SetText sets a string field unless it is empty.
func (o Object) SetText(name, value string) Object {
	if value == "" {
		return o
	}
	return o.Set(name, value)
}

// Merge sets all fields of another object.
func (o Object) Merge(other Object) Object {
	for _, f := range other {
		o = o.Set(f.Name, f.Value)
	}
	return o
}

// Without returns a copy that lacks the named fields.
func (o Object) Without(names ...string) Object {
	return slices.DeleteFunc(slices.Clone(o), func(f Field) bool { return slices.Contains(names, f.Name) })
}

// IsNull reports whether a value is null, or not there at all.
func IsNull(raw json.RawMessage) bool {
	return len(raw) == 0 || bytes.Equal(bytes.TrimSpace(raw), []byte("null"))
}

// Array reads a JSON array's elements, each as it was sent.
func Array(raw json.RawMessage) ([]json.RawMessage, bool) {
	var items []json.RawMessage
	if IsNull(raw) || json.Unmarshal(raw, &items) != nil {
		return nil, false
	}
	return items, true
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
	raw, err := Marshal(value)
	if err != nil {
		panic("ittybittest: " + err.Error())
	}
	return raw
}

// Marshal is json.Marshal, but leaves <, > and & as they are.
func Marshal(value any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(value); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), nil
}
