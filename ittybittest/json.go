package ittybittest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"unicode/utf8"
)

// object is a JSON object that keeps its members in order, each as it was
// sent. This package decodes nothing into the client's types, so that client and
// server can't agree on the same mistake.
type object []member

type member struct {
	name  string
	value json.RawMessage
}

// parseObject reads one JSON object and nothing after it.
func parseObject(data []byte) (object, error) {
	if !utf8.Valid(data) {
		return nil, fmt.Errorf("is not valid UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	start, err := dec.Token()
	if err == io.EOF {
		return nil, fmt.Errorf("is empty; a JSON object is required")
	}
	if err != nil {
		return nil, fmt.Errorf("is not valid JSON")
	}
	if start != json.Delim('{') {
		return nil, fmt.Errorf("must be a JSON object")
	}
	obj, seen := object{}, make(map[string]bool)
	for dec.More() {
		token, err := dec.Token()
		key, isName := token.(string)
		if err != nil || !isName {
			return nil, fmt.Errorf("is not valid JSON")
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, fmt.Errorf("is not valid JSON")
		}
		if seen[key] {
			return nil, fmt.Errorf("has the member %q twice", key)
		}
		seen[key] = true
		obj = append(obj, member{key, value})
	}
	if _, err := dec.Token(); err != nil {
		return nil, fmt.Errorf("is not valid JSON")
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, fmt.Errorf("has something after the JSON object")
	}
	return obj, nil
}

// MarshalJSON writes null for a nil object.
func (o object) MarshalJSON() ([]byte, error) {
	if o == nil {
		return []byte("null"), nil
	}
	var buf bytes.Buffer
	buf.WriteByte('{')
	for i, m := range o {
		if i > 0 {
			buf.WriteByte(',')
		}
		buf.Write(encode(m.name))
		buf.WriteByte(':')
		buf.Write(m.value)
	}
	buf.WriteByte('}')
	return buf.Bytes(), nil
}

// get returns a member's value. A null counts as a member that isn't there.
func (o object) get(name string) (json.RawMessage, bool) {
	for _, m := range o {
		if m.name == name {
			return m.value, !isNull(m.value)
		}
	}
	return nil, false
}

// has reports whether the member is there, null or not.
func (o object) has(name string) bool {
	return slices.ContainsFunc(o, func(m member) bool { return m.name == name })
}

// text returns a string member: "" if it is absent or null.
func (o object) text(name string) (string, error) {
	value, ok := o.get(name)
	if !ok {
		return "", nil
	}
	var s string
	if json.Unmarshal(value, &s) != nil {
		return "", badRequest("%s must be a string", name)
	}
	return s, nil
}

// set returns a copy in which the member has this value.
func (o object) set(name string, value any) object {
	raw := encode(value)
	changed := slices.Clone(o)
	for i := range changed {
		if changed[i].name == name {
			changed[i].value = raw
			return changed
		}
	}
	return append(changed, member{name, raw})
}

// setText sets a string member unless it is empty.
func (o object) setText(name, value string) object {
	if value == "" {
		return o
	}
	return o.set(name, value)
}

// without returns a copy that lacks the named members.
func (o object) without(names ...string) object {
	return slices.DeleteFunc(slices.Clone(o), func(m member) bool { return slices.Contains(names, m.name) })
}

func isNull(raw json.RawMessage) bool {
	return len(raw) == 0 || bytes.Equal(bytes.TrimSpace(raw), []byte("null"))
}

// encode marshals a value of this package, which can't fail.
func encode(value any) json.RawMessage {
	raw, err := marshal(value)
	if err != nil {
		panic("ittybittest: " + err.Error())
	}
	return raw
}

// marshal is json.Marshal, but leaves <, > and & as they are.
func marshal(value any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(value); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), nil
}

// splitArray reads a JSON array's elements, each as it was sent.
func splitArray(raw json.RawMessage) ([]json.RawMessage, bool) {
	var items []json.RawMessage
	if isNull(raw) || json.Unmarshal(raw, &items) != nil {
		return nil, false
	}
	return items, true
}

// orNull returns a member's value, or null.
func (o object) orNull(name string) json.RawMessage {
	if value, ok := o.get(name); ok {
		return value
	}
	return json.RawMessage("null")
}
