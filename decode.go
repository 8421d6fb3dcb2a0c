package ittybit

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/ittybit/ittybit-go/internal/errtext"
	"github.com/ittybit/ittybit-go/internal/jsonx"
	"github.com/ittybit/ittybit-go/internal/pipeline"
	"github.com/ittybit/ittybit-go/internal/redact"
)

// decoded is what an object keeps of the JSON that it was decoded from.
type decoded struct {
	raw json.RawMessage
	err error
}

// RawJSON gives the object as Ittybit sent it, also the fields that this version does not know.
// It must not be changed, and is nil for an object that was not decoded.
func (d *decoded) RawJSON() json.RawMessage { return d.raw }

// DecodeError names the fields that could not be decoded, those of nested objects too. They are
// zero; RawJSON has them. It is nil as a rule.
func (d *decoded) DecodeError() error { return d.err }

func (d *decoded) json() *decoded { return d }

// keep keeps the text of an object and which of its fields could not be decoded. Any other error
// is returned.
func (d *decoded) keep(text []byte, name, id string, err error) error {
	d.raw = text
	if err == nil {
		return nil
	}
	fields, ok := errors.AsType[jsonx.FieldErrors](err)
	if !ok {
		return err
	}
	d.err = fmt.Errorf("ittybit: %s %s: cannot decode %w", name, oneLine(id), fields)
	return nil
}

// object is what every API object's pointer type can do.
type object[T any] interface {
	*T
	fromJSON(text []byte) error // text is valid JSON, and becomes the object's own
	objectID() string
	json() *decoded
}

// decodeObject is the fromJSON of the objects that jsonx decodes by their tags.
func decodeObject[T any, P object[T]](to P, name string, text []byte) error {
	*to = *new(T)
	err := jsonx.Decode(text, to)
	return to.json().keep(text, name, to.objectID(), err)
}

// unmarshalObject is the UnmarshalJSON of every API object: null changes nothing.
func unmarshalObject[T any, P object[T]](to P, text []byte) error {
	if err := jsonx.Check(text); err != nil || jsonx.IsNull(text) {
		return err
	}
	return to.fromJSON(bytes.Clone(text))
}

// marshalObject is the MarshalJSON of every API object: what was decoded is written as it was,
// but for the fields that were changed since. aliases are other names of its fields.
func marshalObject[T any, P object[T]](now P, aliases map[string]string) ([]byte, error) {
	text := now.json().raw
	if text == nil {
		fields, err := jsonx.StructFields(now)
		if err != nil {
			return nil, err
		}
		return jsonx.Join(fields)
	}
	before := P(new(T))
	if err := before.fromJSON(text); err != nil {
		return nil, err
	}
	return jsonx.MarshalDecoded(text, now, before, aliases)
}

var errNoID = errors.New("it has no id")

type objectResponse[T any, P object[T]] struct {
	object *T // nil: there is none
	value  T
}

func (r *objectResponse[T, P]) Decode(resp pipeline.Response) error {
	return unusable(resp, r.read(resp.Body))
}

// read reads an object, bare (API version 2025-08-20) or in an envelope (2025-01-01: meta,
// data). One without an id is an error, never a zero value.
func (r *objectResponse[T, P]) read(body []byte) error {
	if err := jsonx.Check(body); err != nil {
		return err
	}
	err := r.readBare(body)
	if err != nil {
		if data := envelope(body).Data; jsonx.IsObject(data) {
			return r.readBare(data)
		}
	}
	return err
}

func (r *objectResponse[T, P]) readBare(text []byte) error {
	if err := decodeWithID(P(&r.value), text); err != nil {
		return err
	}
	r.object = &r.value
	return nil
}

// decodeWithID decodes an object that is worth nothing without its id.
func decodeWithID[T any, P object[T]](to P, text []byte) error {
	err := to.fromJSON(text)
	if err == nil && to.objectID() == "" {
		err = cmp.Or(errors.Unwrap(to.json().err), errNoID)
	}
	return err
}

// unusable says that a response can't be used, unless err is nil.
func unusable(resp pipeline.Response, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("ittybit: cannot use the response (status %d): %w", resp.StatusCode, errtext.Bare(err))
}

// decodeList reads a list, bare or in an envelope, and where the envelope says that the
// next page is.
func decodeList[T any, P object[T]](body []byte) (items []T, next string, err error) {
	if err := jsonx.Check(body); err != nil {
		return nil, "", fmt.Errorf("it is not a list: %w", err)
	}
	list := json.RawMessage(body)
	if jsonx.IsObject(body) {
		wrapped := envelope(body)
		list, next = wrapped.Data, wrapped.Links.Next
	}
	elements, ok := jsonx.Elements(list)
	if !ok {
		return nil, "", errors.New("it is not a list")
	}
	items = make([]T, 0, min(len(elements), maxLimit))
	for i, element := range elements {
		items = append(items, *new(T)) // as they come: what is no list of objects may be long
		text := bytes.Clone(element)   // one item that is kept does not keep the page
		if err := decodeWithID(P(&items[i]), text); err != nil {
			return nil, "", fmt.Errorf("item %d: %w", i, err)
		}
	}
	return items, next, nil
}

type responseEnvelope struct {
	Data  json.RawMessage `json:"data"`
	Links struct {
		Next string `json:"next"`
	} `json:"links"`
}

func envelope(body []byte) responseEnvelope {
	var e responseEnvelope
	if json.Unmarshal(body, &e) != nil {
		return responseEnvelope{Data: e.Data} // links of another form do not spoil the data
	}
	return e
}

const maxLoggedFields = 1000

// listIndex finds the places of elements in a field's path: they are all one field.
var listIndex = regexp.MustCompile(`\[\d+\]`)

// decodeLog logs the fields that could not be decoded, each once.
type decodeLog struct {
	logger *slog.Logger // nil: the default one

	mu     sync.Mutex
	logged map[string]struct{}
}

func (l *decodeLog) report(ctx context.Context, object *decoded) {
	if object.err == nil {
		return
	}
	fields, _ := errors.AsType[jsonx.FieldErrors](object.err) // keep has put them there
	name, _, _ := strings.Cut(strings.TrimPrefix(object.err.Error(), "ittybit: "), " ")
	for _, field := range fields {
		path := listIndex.ReplaceAllString(field.Path, "[]")
		if !l.isFirst(name + " " + path) {
			continue
		}
		loggerOrDefault(l.logger).LogAttrs(ctx, slog.LevelWarn, "ittybit: a field cannot be decoded; it is left zero, and RawJSON has it",
			slog.String("object", name), slog.String("field", path), slog.String("error", redact.Text(object.err.Error())))
	}
}

func (l *decodeLog) isFirst(field string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, logged := l.logged[field]; logged || len(l.logged) >= maxLoggedFields {
		return false
	}
	if l.logged == nil {
		l.logged = make(map[string]struct{})
	}
	l.logged[field] = struct{}{}
	return true
}

func marshalBody(body any) ([]byte, error) {
	data, err := jsonx.Marshal(body)
	if err == nil {
		return data, nil
	}
	if param, ok := errors.AsType[*ParamError](err); ok {
		return nil, param
	}
	return nil, &ParamError{Param: "parameters", Reason: "cannot be encoded as JSON: " + err.Error()}
}

// printedJSON is the JSON of v as it may be printed.
func printedJSON(v any) string {
	text, err := jsonx.Marshal(v)
	if err != nil {
		return fmt.Sprintf("%T that cannot be encoded as JSON", v)
	}
	return redact.Text(string(text))
}

// orNil turns a JSON null into nil.
func orNil(value json.RawMessage) json.RawMessage {
	if jsonx.IsNull(value) {
		return nil
	}
	return bytes.TrimSpace(value)
}

func isNullOrText(value json.RawMessage) bool {
	return jsonx.IsNull(value) || bytes.HasPrefix(bytes.TrimSpace(value), []byte(`"`))
}

// wholeValue stands for the name of a field that is all of a value, which is no object.
const wholeValue = "\x00"

// readParams reads an object into the struct that to points to, and gives the fields that it does
// not know. preserved gets those that it knows and would not write again as they are. What is no
// object is preserved whole, and an error.
func readParams(data []byte, to any, preserved *[]jsonx.Field) (unknown []jsonx.Field, err error) {
	fields, err := jsonx.Fields(data)
	if err != nil {
		*preserved = []jsonx.Field{{Name: wholeValue, Value: bytes.Clone(data)}}
		return nil, err
	}
	misfits, unwritten, unknown := readFields(fields, to)
	*preserved = slices.Concat(misfits, unwritten)
	return unknown, nil
}

// readFields reads fields into the struct that to points to, by its tags. It gives those that do
// not fit their field, those that would not be written again because they are null or zero, and
// those that the struct does not know, each with a copy of its text.
func readFields(fields []jsonx.Field, to any) (misfits, unwritten, unknown []jsonx.Field) {
	for _, field := range fields {
		target, known := jsonx.FieldByName(to, field.Name)
		fits := known && readField(field.Value, target)
		if fits && !target.IsZero() {
			continue
		}
		field.Value = bytes.Clone(field.Value)
		switch {
		case !known:
			unknown = append(unknown, field)
		case fits:
			unwritten = append(unwritten, field)
		default:
			target.SetZero()
			misfits = append(misfits, field)
		}
	}
	return misfits, unwritten, unknown
}

// readField decodes a value, and reports whether the target can say the same.
func readField(value json.RawMessage, target reflect.Value) bool {
	if jsonx.DecodeUseNumber(value, target.Addr().Interface()) != nil {
		return false
	}
	if kind := target.Kind(); target.IsZero() || kind != reflect.Float64 && kind != reflect.Struct {
		return true // only floats, and the structs that have one, round
	}
	written, err := jsonx.Marshal(target.Interface())
	return err == nil && jsonx.Equal(value, written)
}

// setExtra decodes fields into extra, unless there are none.
func setExtra(extra *map[string]any, fields []jsonx.Field) error {
	if fields == nil {
		return nil
	}
	*extra = make(map[string]any, len(fields))
	for _, field := range fields {
		var value any
		if err := jsonx.DecodeUseNumber(field.Value, &value); err != nil {
			return err
		}
		(*extra)[field.Name] = value
	}
	return nil
}

// flattenParams makes one object of known, options and extra, in this order, and of the fields in
// preserved, and those that options carry of a task that was read, whose names nothing else sets.
// A name that two of the first three know is a *ParamError, but for a shared option that known
// leaves unset.
func flattenParams(known any, preserved []jsonx.Field, options TaskOptions, extra map[string]any) (json.RawMessage, error) {
	fields, err := jsonx.StructFields(known)
	if err != nil {
		return nil, err
	}
	reserved := jsonx.FieldNames(reflect.TypeOf(known))
	if names := optionNames(options); len(names) > 0 {
		isUnset := func(name string) bool { return isSharedOption(name) && jsonx.Index(fields, name) < 0 }
		if err := checkCollision("Options", slices.DeleteFunc(slices.Clone(names), isUnset), reserved); err != nil {
			return nil, err
		}
		optionFields, err := jsonx.MarshalFields(options)
		if err != nil {
			return nil, err
		}
		for _, field := range optionFields {
			switch {
			case slices.Contains(names, field.Name):
				fields = append(fields, field)
			case !slices.Contains(reserved, field.Name) || isSharedOption(field.Name):
				preserved = append(slices.Clip(preserved), field) // of a task that was read
			}
		}
		reserved = append(reserved, names...)
	}
	names := slices.Sorted(maps.Keys(extra))
	if err := checkCollision("Extra", names, reserved); err != nil {
		return nil, err
	}
	for _, name := range names {
		value, err := jsonx.Marshal(extra[name])
		if err != nil {
			return nil, &ParamError{Param: "Extra[" + strconv.Quote(name) + "]", Reason: "cannot be encoded as JSON: " + err.Error()}
		}
		fields = append(fields, jsonx.Field{Name: name, Value: value})
	}
	for _, field := range preserved {
		if field.Name == wholeValue {
			if len(fields) == 0 { // it was not changed
				return field.Value, nil
			}
			continue
		}
		if jsonx.Index(fields, field.Name) < 0 {
			fields = append(fields, field)
		}
	}
	return jsonx.Join(fields)
}

func checkCollision(param string, names, reserved []string) error {
	for _, name := range names {
		if slices.Contains(reserved, name) {
			return &ParamError{Param: param + "[" + strconv.Quote(name) + "]", Reason: "has a field of its own: set that one"}
		}
	}
	return nil
}

// optionNames gives the fields that options could have on the wire.
func optionNames(options TaskOptions) []string {
	switch o := options.(type) {
	case nil:
		return nil
	case RawOptions:
		return slices.Sorted(maps.Keys(o))
	case *RawOptions:
		return slices.Sorted(maps.Keys(*o))
	default:
		return jsonx.FieldNames(reflect.TypeOf(o))
	}
}
