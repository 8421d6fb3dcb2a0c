// Package strict reads JSON objects whose fields must be what they are documented to be, such as the
// results of tasks: what can't be read is an error, and never taken for missing.
package strict

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/ittybit/ittybit-go/internal/jsonx"
)

// Object is a JSON object that is being read.
type Object struct {
	Source []byte
	Values map[string]json.RawMessage
	Err    error // what is wrong with the first field that could not be read
}

// Open takes an object apart.
func Open(text []byte) (*Object, error) {
	o := &Object{Source: text}
	if !jsonx.IsObject(text) {
		return o, errors.New("is not a JSON object")
	}
	return o, json.Unmarshal(text, &o.Values)
}

// Has reports whether any of the fields is there, and not null.
func (o *Object) Has(names ...string) bool {
	return slices.ContainsFunc(names, func(name string) bool { return !jsonx.IsNull(o.Values[name]) })
}

// Flag reads true or false; nil where there is none. Like all readers it gives the zero value for a
// field that is not there or null, and for all after one that could not be read.
func (o *Object) Flag(name string) *bool { return Read(o, name, flag) }

// Number reads a number, also one in quotes.
func (o *Object) Number(name string) *float64 { return Read(o, name, Number) }

// Whole reads a whole number.
func (o *Object) Whole(name string) *int { return Read(o, name, whole) }

// Text reads a string.
func (o *Object) Text(name string) string { return Read(o, name, Text) }

// Texts reads a list of strings, or one string.
func (o *Object) Texts(name string) []string { return Read(o, name, texts) }

// Seconds reads a number of seconds.
func (o *Object) Seconds(name string) float64 {
	if at := o.Number(name); at != nil {
		return *at
	}
	return 0
}

// Languages gives a language and a list of them, each from the other where only that
// is there: API version 2025-08-20 has one language, later ones have a list.
func (o *Object) Languages() (language string, languages []string) {
	language, languages = o.Text("language"), o.Texts("languages")
	switch {
	case language == "" && len(languages) > 0:
		language = languages[0]
	case language != "" && len(languages) == 0:
		languages = []string{language}
	}
	return language, languages
}

// Read reads a field, and notes what is wrong with it.
func Read[V any](o *Object, name string, read func(json.RawMessage) (V, error)) V {
	var none V
	if o.Err != nil || !o.Has(name) {
		return none
	}
	value, err := read(o.Values[name])
	if err != nil {
		o.Fail(name, err)
		return none
	}
	return value
}

// ReadList reads a list of objects.
func ReadList[V any](o *Object, name string, read func(*Object) V) []V {
	return Read(o, name, func(raw json.RawMessage) ([]V, error) {
		elements, err := RawList(raw)
		if err != nil {
			return nil, err
		}
		return readElements(elements, func(element json.RawMessage) (V, error) {
			o, err := Open(element)
			if err != nil {
				var none V
				return none, err
			}
			value := read(o)
			return value, o.Err
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

// RawList reads a list, its nulls too.
func RawList(raw json.RawMessage) ([]json.RawMessage, error) {
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) != nil {
		return nil, errors.New("is not a list")
	}
	return list, nil
}

func flag(raw json.RawMessage) (*bool, error) {
	var flag bool
	if json.Unmarshal(raw, &flag) != nil {
		return nil, errors.New("is neither true nor false")
	}
	return &flag, nil
}

// Number reads a number, also one in quotes.
func Number(raw json.RawMessage) (*float64, error) {
	number, found, err := jsonx.ParseFloat(raw)
	if !found {
		return nil, err
	}
	return &number, nil
}

func whole(raw json.RawMessage) (*int, error) {
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

// Text reads a string.
func Text(raw json.RawMessage) (string, error) {
	var text string
	if json.Unmarshal(raw, &text) != nil {
		return "", errors.New("is not a string")
	}
	return text, nil
}

// texts reads a list of strings, or one string.
func texts(raw json.RawMessage) ([]string, error) {
	switch text, err := Text(raw); {
	case err == nil && text != "":
		return []string{text}, nil
	case err == nil:
		return []string{}, nil
	}
	elements, err := RawList(raw)
	if err != nil {
		return nil, errors.New("is neither a string nor a list of strings")
	}
	return readElements(elements, Text)
}

// Fail notes what is wrong with a field, unless another one was before.
func (o *Object) Fail(name string, err error) {
	if o.Err == nil && err != nil {
		o.Err = fmt.Errorf("field %q: %w", name, err)
	}
}

// Decode decodes the object leniently into one of jsonx.
func (o *Object) Decode(to any) {
	if err := jsonx.DecodeObject(o.Source, to); o.Err == nil {
		o.Err = err
	}
}
