package jsonx

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"
)

// maxObjects bounds the objects that one list in an object is decoded into: their text may be
// as short as {}, and they are not.
const maxObjects = 10_000

var (
	timeType     = reflect.TypeFor[time.Time]()
	unmarshalers = reflect.TypeFor[json.Unmarshaler]()
)

type structField struct {
	index int
	other bool // the name is not the tag's own
}

// structs has, for each type of struct, its fields by their names in JSON.
var structs sync.Map // reflect.Type to map[string]structField

// Decode decodes text, a JSON object that is known to be valid, into the struct that to points
// to, as leniently as [Object] does: a field that can't be decoded is left as it is, and named
// in the error. Names come from the json tags. The name of a [time.Time] may also have _at
// at its end, or lack it; where both are there, the tag's own counts. Raw JSON and the
// text of nested objects stay where they are in text.
func Decode(text []byte, to any) error {
	target := reflect.ValueOf(to).Elem()
	fields := fieldsOf(target.Type())
	object := NewObject(text)
	set := make(map[int]bool) // by a tag's own name
	for object.Next() {
		field, known := fields[string(object.Name())]
		if !known || field.other && set[field.index] || IsNull(object.Value()) {
			continue
		}
		if err := decodeValue(object.Value(), target.Field(field.index)); err != nil {
			object.Fail(err)
		} else if !field.other {
			set[field.index] = true
		}
	}
	return object.Err()
}

func fieldsOf(t reflect.Type) map[string]structField {
	if known, ok := structs.Load(t); ok {
		return known.(map[string]structField) //nolint:errcheck // nothing else is stored
	}
	fields := make(map[string]structField)
	for i := range t.NumField() {
		name := fieldName(t.Field(i))
		if name == "" {
			continue
		}
		fields[name] = structField{index: i}
		if t.Field(i).Type == timeType {
			fields[otherTimeName(name)] = structField{index: i, other: true}
		}
	}
	known, _ := structs.LoadOrStore(t, fields)
	return known.(map[string]structField) //nolint:errcheck // nothing else is stored
}

// FieldByName gives the field that has the name in JSON, of the struct that object points to.
func FieldByName(object any, name string) (reflect.Value, bool) {
	value := reflect.ValueOf(object).Elem()
	field, found := fieldsOf(value.Type())[name]
	return value.Field(field.index), found
}

// fieldName gives the name of a field in JSON; it is empty for one that JSON never has.
func fieldName(field reflect.StructField) string {
	name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
	if name == "-" || !field.IsExported() {
		return ""
	}
	return name
}

// otherTimeName gives created_at for created, and the other way around.
func otherTimeName(name string) string {
	if short, long := strings.CutSuffix(name, "_at"); long {
		return short
	}
	return name + "_at"
}

// DecodeValue decodes text into what to points to, as [Decode] does with a field of its type.
func DecodeValue(text []byte, to any) error {
	if IsNull(text) {
		return nil
	}
	return decodeValue(text, reflect.ValueOf(to).Elem())
}

// decodeValue decodes text, which is not null, into to.
func decodeValue(text []byte, to reflect.Value) error {
	switch p := to.Addr().Interface().(type) {
	case *time.Time:
		at, err := ParseTime(text)
		if err == nil && !at.IsZero() {
			*p = at
		}
		return err
	case *json.RawMessage:
		*p = text
		return nil
	case *map[string]any:
		value, err := DecodeAnyMap(text)
		if err == nil {
			*p = value
		}
		return err
	case *[]string:
		return decodeTexts(text, p)
	case *map[string]string:
		return decodeTextMap(text, p)
	case json.Unmarshaler:
		return DecodeObject(text, p)
	}
	switch to.Kind() {
	case reflect.String:
		value, err := unquote(text)
		if err == nil {
			to.SetString(value)
		}
		return err
	case reflect.Int, reflect.Int64:
		number, found, err := ParseInt(text)
		if err == nil && to.OverflowInt(number) {
			return errOutOfRange
		}
		if err == nil && found {
			to.SetInt(number)
		}
		return err
	case reflect.Float64:
		number, found, err := ParseFloat(text)
		if err == nil && found {
			to.SetFloat(number)
		}
		return err
	case reflect.Bool:
		if string(text) != "true" && string(text) != "false" {
			return errors.New("is neither true nor false")
		}
		to.SetBool(string(text) == "true")
		return nil
	case reflect.Pointer:
		return decodePointer(text, to)
	case reflect.Slice:
		return decodeSlice(text, to)
	case reflect.Struct:
		return Decode(text, to.Addr().Interface())
	default:
		return DecodeObject(text, to.Addr().Interface())
	}
}

// decodePointer leaves nil where a number is an empty text.
func decodePointer(text []byte, to reflect.Value) error {
	elem := to.Type().Elem()
	switch elem.Kind() {
	case reflect.Int, reflect.Float64:
		if isNull(unquoted(text)) {
			return nil
		}
	case reflect.Bool:
	default:
		return DecodeObject(text, to.Addr().Interface())
	}
	value := reflect.New(elem)
	err := decodeValue(text, value.Elem())
	if err == nil {
		to.Set(value)
	}
	return err
}

// decodeTexts decodes a list of strings, or one string. It leaves out null, and the one string that
// is empty.
func decodeTexts(text []byte, to *[]string) error {
	if one, err := unquote(text); err == nil {
		*to = []string{one}
		if one == "" {
			*to = []string{}
		}
		return nil
	}
	if !bytes.HasPrefix(text, []byte("[")) {
		return errors.New("is neither a string nor a list of strings")
	}
	return decodeList(text, reflect.ValueOf(to).Elem(), math.MaxInt, decodeElement)
}

// decodeTextMap decodes an object of strings, and leaves out null.
func decodeTextMap(text []byte, to *map[string]string) error {
	texts := make(map[string]string)
	object := NewObject(text)
	for object.Next() {
		if IsNull(object.Value()) {
			continue
		}
		one, err := unquote(object.Value())
		object.Fail(err)
		texts[string(object.Name())] = one
	}
	*to = texts
	return object.Err()
}

func decodeSlice(text []byte, list reflect.Value) error {
	elem := list.Type().Elem()
	switch {
	case elem.Implements(unmarshalers):
		return decodeObjects(text, list, IsNull)
	case reflect.PointerTo(elem).Implements(unmarshalers): // they keep what they can't decode: none is left out
		err := decodeList(text, list, maxObjects, func(element []byte, to reflect.Value) (bool, error) {
			return true, DecodeObject(element, to.Addr().Interface())
		})
		if errors.Is(err, errTooMany) {
			list.SetZero() // sent back, the first ones would replace all
		}
		return err
	case elem.Kind() == reflect.Struct:
		return decodeList(text, list, math.MaxInt, decodeElement)
	default:
		return DecodeObject(text, list.Addr().Interface())
	}
}

// decodeElement leaves out null.
func decodeElement(element []byte, to reflect.Value) (keep bool, err error) {
	if IsNull(element) {
		return false, nil
	}
	return true, decodeValue(element, to)
}

// DecodeObjects decodes a list of objects into the slice of pointers that to points to. The
// elements that skip names are left out, and so are, with an error, others that are no objects. Of
// more than 10,000 elements the first ones are decoded, and the error says that there are more.
func DecodeObjects(text []byte, to any, skip func(json.RawMessage) bool) error {
	if IsNull(text) {
		return nil
	}
	return decodeObjects(text, reflect.ValueOf(to).Elem(), skip)
}

func decodeObjects(text []byte, list reflect.Value, skip func(json.RawMessage) bool) error {
	return decodeList(text, list, maxObjects, func(element []byte, to reflect.Value) (bool, error) {
		switch {
		case IsObject(element):
			to.Set(reflect.New(to.Type().Elem()))
			return true, DecodeObject(element, to.Interface())
		case !skip(element):
			return false, errors.New("is not an object")
		}
		return false, nil
	})
}

var errTooMany = fmt.Errorf("has more than %d elements", maxObjects)

// decodeList decodes those elements of a list that decode does not leave out, up to a limit.
func decodeList(text []byte, list reflect.Value, limit int, decode func([]byte, reflect.Value) (keep bool, err error)) error {
	elements, ok := Elements(text)
	if !ok {
		return errors.New("is not a list")
	}
	var tooMany error
	if len(elements) > limit {
		elements, tooMany = elements[:limit], errTooMany
	}
	var errs FieldErrors
	decoded := reflect.MakeSlice(list.Type(), 0, len(elements))
	for i, element := range elements {
		to := reflect.New(list.Type().Elem()).Elem()
		keep, err := decode(element, to)
		errs = errs.Add(fmt.Sprintf("[%d]", i), err)
		if keep {
			decoded = reflect.Append(decoded, to)
		}
	}
	list.Set(decoded)
	return cmp.Or(tooMany, errs.orNil())
}

// DecodeAnyMap decodes an object into the usual Go types, its numbers as [json.Number]. null is
// a nil map.
func DecodeAnyMap(text []byte) (map[string]any, error) {
	if IsNull(text) {
		return nil, nil //nolint:nilnil // no object is no error
	}
	if !IsObject(text) {
		return nil, errors.New("is not an object")
	}
	var object map[string]any
	err := DecodeUseNumber(text, &object)
	return object, err
}

// DecodeObject decodes text into object, a pointer, which may know which of its fields could
// not be decoded.
func DecodeObject(text []byte, object any) error {
	if err := json.Unmarshal(text, object); err != nil {
		return err
	}
	if lenient, ok := object.(interface{ DecodeError() error }); ok {
		return lenient.DecodeError()
	}
	return nil
}

// MarshalDecoded writes the struct that now points to, which was decoded from text, so that
// nothing is lost: fields are written as they stand in text, also those that the struct does
// not know or could not decode, but for those whose value is another one than that of decoded,
// which is what text decodes into. aliases are names in text of the struct's fields, beside
// those that [Decode] knows.
func MarshalDecoded(text []byte, now, decoded any, aliases map[string]string) (json.RawMessage, error) {
	fields, err := Fields(text)
	if err != nil {
		return nil, err
	}
	changed, before := reflect.ValueOf(now).Elem(), reflect.ValueOf(decoded).Elem()
	for i := range changed.NumField() {
		field, value := changed.Type().Field(i), changed.Field(i)
		name := fieldName(field)
		if name == "" || reflect.DeepEqual(value.Interface(), before.Field(i).Interface()) {
			continue
		}
		fields = slices.DeleteFunc(fields, func(f Field) bool { // they would go on saying what it was
			return aliases[f.Name] == name || field.Type == timeType && f.Name == otherTimeName(name)
		})
		if fields, err = setField(fields, name, value, field.Tag.Get("json")); err != nil {
			return nil, err
		}
	}
	return Join(fields)
}

// StructFields gives the fields of a struct, or of what a pointer points to, as their tags say and
// without its own MarshalJSON.
func StructFields(v any) (fields []Field, err error) {
	object := reflect.Indirect(reflect.ValueOf(v))
	for i := range object.NumField() {
		field := object.Type().Field(i)
		if name := fieldName(field); name != "" && err == nil {
			fields, err = setField(fields, name, object.Field(i), field.Tag.Get("json"))
		}
	}
	return fields, err
}

// setField sets a field to value, or takes it away where its tag says that it is omitted.
func setField(fields []Field, name string, value reflect.Value, tag string) ([]Field, error) {
	isField := func(f Field) bool { return f.Name == name }
	empty := value.IsZero() || (value.Kind() == reflect.Map || value.Kind() == reflect.Slice) && value.Len() == 0
	if strings.HasSuffix(tag, ",omitempty") && empty || strings.HasSuffix(tag, ",omitzero") && isZero(value) {
		return slices.DeleteFunc(fields, isField), nil
	}
	encoded, err := Marshal(value.Interface())
	if err != nil {
		return nil, err
	}
	if i := slices.IndexFunc(fields, isField); i >= 0 {
		fields[i].Value = encoded
		return fields, nil
	}
	return append(fields, Field{Name: name, Value: encoded}), nil
}

func isZero(value reflect.Value) bool {
	if zero, ok := value.Interface().(interface{ IsZero() bool }); ok && value.Kind() != reflect.Pointer {
		return zero.IsZero()
	}
	return value.IsZero()
}
