package jsonx

import (
	"bytes"
	"encoding/json"
	"errors"
	"time"
	"unicode/utf8"
)

// ErrNotObject is what [Object.Err] gives for any other JSON value.
var ErrNotObject = errors.New("is not a JSON object")

// Object reads the fields of a JSON object one after the other: the values stay where they are in
// the text, nothing is copied, and a value is decoded only where it is asked for. Names differ in
// every letter, where encoding/json would fold their case. As there, null changes nothing, and of
// fields with the same name the last one counts. A value that can't be read changes nothing either:
// [Object.Err] names its field, and the others are read all the same.
//
// It is for the objects of the API, whose fields' forms differ between its documents and
// API versions, and several times as fast as decoding by reflection.
type Object struct {
	rest        []byte // what follows the field that was read
	name, value []byte
	notObject   bool
	errs        FieldErrors
}

// NewObject reads text, which must be valid JSON (see [Check]); it is not checked again. What is no
// object has no fields, and an error. text must not change as long as values of it are in use.
func NewObject(text []byte) Object {
	text = skipSpace(text)
	if len(text) == 0 || text[0] != '{' {
		return Object{notObject: true}
	}
	return Object{rest: text[1:]}
}

// Next goes on to the next field, in the order of the text. A name can come twice.
func (o *Object) Next() bool {
	rest := skipSeparator(o.rest)
	if len(rest) == 0 || rest[0] != '"' {
		o.rest = nil
		return false
	}
	n := stringLen(rest)
	o.name = rest[1:max(1, n-1)]
	if !isPlain(o.name) {
		name, _ := unescape(rest[:n]) // the text is valid
		o.name = []byte(name)
	}
	rest = skipSpace(rest[n:])
	if len(rest) > 0 { // the colon
		rest = skipSpace(rest[1:])
	}
	n = valueLen(rest)
	o.value, o.rest = rest[:n:n], rest[n:]
	return true
}

// Name gives the name of the field that Next went on to.
func (o *Object) Name() []byte { return o.name }

// Value gives the text of the field's value, without white space around it.
func (o *Object) Value() []byte { return o.value }

// Err gives the [FieldErrors] of the fields that could not be decoded, [ErrNotObject], or nil.
func (o *Object) Err() error {
	if o.notObject {
		return ErrNotObject
	}
	return o.errs.orNil()
}

// Fail keeps err, unless it is nil, as what is wrong with the field.
func (o *Object) Fail(err error) {
	if err != nil {
		o.FailAt(string(o.name), err)
	}
}

// FailAt is Fail for a field that was passed before.
func (o *Object) FailAt(name string, err error) { o.errs = o.errs.Add(name, err) }

// String reads a string. One of the usual ones costs no allocation.
func String[T ~string](o *Object, to *T, usual ...T) {
	if isNull(o.value) {
		return
	}
	for _, text := range usual {
		if len(o.value) == len(text)+2 && o.value[0] == '"' && string(o.value[1:len(o.value)-1]) == string(text) {
			*to = text
			return
		}
	}
	text, err := unquote(o.value)
	if err != nil {
		o.Fail(err)
		return
	}
	*to = T(text)
}

func unquote(value []byte) (string, error) {
	if len(value) < 2 || value[0] != '"' {
		return "", errors.New("is not a string")
	}
	inner := value[1 : len(value)-1]
	if isPlain(inner) {
		return string(inner), nil
	}
	return unescape(value)
}

// isPlain reports whether a string says just what stands between its quotes.
func isPlain(inner []byte) bool { return bytes.IndexByte(inner, '\\') < 0 && utf8.Valid(inner) }

// unescape is unquote for a string with escapes, or with what is not UTF-8, which
// encoding/json mends.
func unescape(value []byte) (text string, err error) {
	err = json.Unmarshal(value, &text)
	return text, err
}

// Whole reads a whole number as [ParseInt] does. One that T has no room for can't be read.
func Whole[T ~int | ~int64](o *Object, to *T) {
	number, found, err := ParseInt(o.value)
	if err == nil && int64(T(number)) != number {
		err = errOutOfRange
	}
	if err != nil {
		o.Fail(err)
	} else if found {
		*to = T(number)
	}
}

// Time reads a time as [ParseTime] does.
func (o *Object) Time(to *time.Time) {
	if at, err := ParseTime(o.value); err != nil {
		o.Fail(err)
	} else if !at.IsZero() {
		*to = at
	}
}

// Elements gives the elements of a JSON list, each where it stands in the text, which must
// be valid JSON. It is false for what is no list.
func Elements(text []byte) ([]json.RawMessage, bool) {
	rest := skipSpace(text)
	if len(rest) == 0 || rest[0] != '[' {
		return nil, false
	}
	elements := []json.RawMessage{}
	for rest = skipSpace(rest[1:]); len(rest) > 0 && rest[0] != ']'; rest = skipSeparator(rest) {
		n := valueLen(rest)
		elements, rest = append(elements, rest[:n:n]), rest[n:]
	}
	return elements, true
}

// The functions below find their way in JSON that is known to be valid, and end at the
// end of any other.

// valueLen gives the length of the value that text starts with.
func valueLen(text []byte) int {
	if len(text) == 0 {
		return 0
	}
	switch text[0] {
	case '"':
		return stringLen(text)
	case '{', '[':
		return nestedLen(text)
	}
	for i, c := range text {
		if c == ',' || c == '}' || c == ']' || isSpace(c) {
			return max(1, i) // never nothing, or nobody would get on
		}
	}
	return len(text)
}

func nestedLen(text []byte) int {
	depth := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			i += stringLen(text[i:]) - 1
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return len(text)
}

// stringLen gives the length of the string that text starts with, quotes and all.
func stringLen(text []byte) int {
	for from := 1; from < len(text); {
		n := bytes.IndexByte(text[from:], '"')
		if n < 0 {
			break
		}
		quote := from + n
		slashes := quote
		for slashes > from && text[slashes-1] == '\\' {
			slashes--
		}
		from = quote + 1
		if (quote-slashes)%2 == 0 { // an odd number of them escapes the quote
			return from
		}
	}
	return len(text)
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

func skipSpace(text []byte) []byte { return text[skipSpaceAt(text, 0):] }

// skipSeparator skips the comma between two values, and white space.
func skipSeparator(text []byte) []byte {
	text = skipSpace(text)
	if len(text) > 0 && text[0] == ',' {
		text = skipSpace(text[1:])
	}
	return text
}

func isNull(value []byte) bool { return len(value) == 0 || string(value) == "null" }
