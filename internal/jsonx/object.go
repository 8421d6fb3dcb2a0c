package jsonx

import (
	"bytes"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
)

// Field is one name and value of a JSON object.
type Field struct {
	Name  string
	Value json.RawMessage
}

// Fields takes a JSON object apart, in the order of its text, where the values stay. Of fields with
// the same name the last one counts, as in encoding/json.
func Fields(object []byte) ([]Field, error) {
	if err := Check(object); err != nil {
		return nil, err
	}
	reader := NewObject(object)
	var fields []Field
	at := make(map[string]int)
	for reader.Next() {
		name := string(reader.Name())
		if i, twice := at[name]; twice {
			fields[i].Value = reader.Value()
			continue
		}
		at[name] = len(fields)
		fields = append(fields, Field{name, reader.Value()})
	}
	return fields, reader.Err()
}

// Index gives the place of name in fields, or -1.
func Index(fields []Field, name string) int {
	return slices.IndexFunc(fields, func(m Field) bool { return m.Name == name })
}

// Get gives the value of a field of an object, which must be valid JSON; nil where there is none or
// it is null.
func Get(text []byte, name string) (value json.RawMessage) {
	for object := NewObject(text); object.Next(); {
		if string(object.Name()) == name && !IsNull(object.Value()) {
			value = object.Value()
		}
	}
	return value
}

// Join puts an object together.
func Join(fields []Field) (json.RawMessage, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, m := range fields {
		if i > 0 {
			b.WriteByte(',')
		}
		name, err := Marshal(m.Name)
		if err != nil {
			return nil, err
		}
		b.Write(name)
		b.WriteByte(':')
		b.Write(m.Value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// MarshalFields marshals v, which must become a JSON object, and takes it apart.
func MarshalFields(v any) ([]Field, error) {
	object, err := Marshal(v)
	if err != nil {
		return nil, err
	}
	return Fields(object)
}

// Marshal is json.Marshal without the escaping of <, > and &, which only makes URLs hard to read.
func Marshal(v any) (json.RawMessage, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// DecodeUseNumber decodes text into what to points to. Numbers in values of type any are
// [json.Number], so that writing them back does not change a digit.
func DecodeUseNumber(text []byte, to any) error {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	return dec.Decode(to)
}

// Equal reports whether a and b say the same. Numbers are the same only where that is
// certain: a float64 tells numbers of up to 15 digits apart.
func Equal(a, b json.RawMessage) bool {
	if bytes.Equal(a, b) {
		return true
	}
	var x, y any
	if DecodeUseNumber(a, &x) != nil || DecodeUseNumber(b, &y) != nil {
		return false
	}
	m, okM := x.(json.Number)
	n, okN := y.(json.Number)
	if okM && okN && digits(m) <= 15 && digits(n) <= 15 {
		f, errF := m.Float64()
		g, errG := n.Float64()
		return errF == nil && errG == nil && f == g
	}
	return reflect.DeepEqual(x, y)
}

// digits counts the digits of n's mantissa from the first that is not 0.
func digits(n json.Number) int {
	mantissa, _, _ := strings.Cut(strings.ToLower(n.String()), "e")
	mantissa = strings.TrimLeft(strings.Replace(mantissa, ".", "", 1), "-0")
	return len(mantissa)
}

// FieldNames gives the names of the JSON fields that a type of struct, or of a pointer to one,
// declares.
func FieldNames(t reflect.Type) []string {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	names := make([]string, 0, t.NumField())
	for field := range t.Fields() {
		if name := fieldName(field); name != "" {
			names = append(names, name)
		}
	}
	return names
}

// IsNull reports whether value is missing or null.
func IsNull(value json.RawMessage) bool { return isNull(bytes.TrimSpace(value)) }

// IsObject reports whether value starts as a JSON object does.
func IsObject(value json.RawMessage) bool {
	value = skipSpace(value)
	return len(value) > 0 && value[0] == '{'
}
