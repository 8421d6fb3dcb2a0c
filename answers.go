package ittybit

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/ittybit/ittybit-go/internal/jsonx"
	"github.com/ittybit/ittybit-go/internal/pipeline"
)

// unmarshalObject is the UnmarshalJSON of every API object: null changes nothing.
func unmarshalObject[T any, P interface {
	*T
	fromJSON(data []byte) error
}](to P, data []byte) error {
	if err := jsonx.Check(data); err != nil || jsonx.IsNull(data) {
		return err
	}
	return to.fromJSON(bytes.Clone(data))
}

// errNoID is why an answer that is valid JSON may still be no answer.
var errNoID = errors.New("it has no id")

// objectAnswer is an answer that is one object: where object is not nil, it is all or, with
// an error, some of value.
type objectAnswer[T any, P object[T]] struct {
	object *T
	value  T
}

// Decode implements [pipeline.Decoder].
func (a *objectAnswer[T, P]) Decode(resp pipeline.Response) error {
	return unusable(resp, a.read(resp.Body))
}

// read reads an object, bare (API version 2025-08-20) or in an envelope (2025-01-01: meta,
// data). One without an id is an error, never a zero value. One with an id and an odd
// member is there together with an error.
func (a *objectAnswer[T, P]) read(body []byte) error {
	if err := jsonx.Check(body); err != nil {
		return err
	}
	err := a.readBare(body)
	if a.object == nil {
		if data := envelope(body).Data; jsonx.IsObject(data) {
			return a.readBare(data)
		}
	}
	return err
}

func (a *objectAnswer[T, P]) readBare(data []byte) error {
	err := P(&a.value).fromJSON(data)
	if P(&a.value).objectID() == "" {
		return cmp.Or(err, errNoID)
	}
	a.object = &a.value
	if err != nil {
		return &pipeline.OddAnswerError{Err: err}
	}
	return nil
}

// unusable says that an answer can't be used, unless err is nil.
func unusable(resp pipeline.Response, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("ittybit: can't use the answer (status %d): %w", resp.StatusCode, err)
}

// isOddAnswer reports whether err comes together with what could be read of an answer.
func isOddAnswer(err error) bool { return errors.As(err, new(*pipeline.OddAnswerError)) }

// decodeList reads a list, bare or in an envelope, and where the envelope says that the
// next page is. What is odd about an item is told in odd, and all of it in err.
func decodeList[T any, P object[T]](body []byte) (items []T, odd map[int]error, next string, err error) {
	if err := jsonx.Check(body); err != nil {
		return nil, nil, "", fmt.Errorf("it is not a list: %w", err)
	}
	list := json.RawMessage(body)
	if jsonx.IsObject(body) {
		wrapped := envelope(body)
		list, next = wrapped.Data, wrapped.Links.Next
	}
	elements, ok := jsonx.Elements(list)
	if !ok {
		return nil, nil, "", errors.New("it is not a list")
	}
	items = make([]T, 0, min(len(elements), maxLimit))
	for i, element := range elements {
		items = append(items, *new(T)) // as they come: what is no list of objects may be long
		item := P(&items[i])
		itemErr := item.fromJSON(bytes.Clone(element)) // one item that is kept does not keep the page
		if item.objectID() == "" {
			return nil, nil, "", fmt.Errorf("item %d: %w", i, cmp.Or(itemErr, errNoID))
		}
		if itemErr != nil {
			if odd == nil {
				odd = make(map[int]error)
			}
			odd[i] = fmt.Errorf("ittybit: item %d, %s: %w", i, item.objectID(), itemErr)
			err = cmp.Or(err, error(&pipeline.OddAnswerError{Err: fmt.Errorf("item %d: %w", i, itemErr)}))
		}
	}
	return items, odd, next, err
}

type answerEnvelope struct {
	Data  json.RawMessage `json:"data"`
	Links struct {
		Next string `json:"next"`
	} `json:"links"`
}

func envelope(body []byte) answerEnvelope {
	var e answerEnvelope
	if json.Unmarshal(body, &e) != nil {
		return answerEnvelope{Data: e.Data} // odd links do not spoil the data
	}
	return e
}

// marshalBody makes the JSON of a request.
func marshalBody(body any) ([]byte, error) {
	data, err := jsonx.Marshal(body)
	if err == nil {
		return data, nil
	}
	if param := (*ParamError)(nil); errors.As(err, &param) {
		return nil, param
	}
	return nil, &ParamError{Param: "parameters", Reason: "can't be made JSON: " + err.Error()}
}

// orNil turns a JSON null into nil.
func orNil(value json.RawMessage) json.RawMessage {
	if jsonx.IsNull(value) {
		return nil
	}
	return bytes.TrimSpace(value)
}

// decodeMetadata reads an object of the user's own, its numbers as [json.Number].
func decodeMetadata(raw json.RawMessage) (map[string]any, error) {
	if jsonx.IsNull(raw) {
		return nil, nil //nolint:nilnil // no metadata is no error
	}
	value, err := jsonx.DecodeUseNumber(raw)
	if err != nil {
		return nil, err
	}
	metadata, ok := value.(map[string]any)
	if !ok {
		return nil, errors.New("is not an object")
	}
	return metadata, nil
}

// decodePart decodes a member on its own, so that an odd one does not spoil the others.
func decodePart(raw json.RawMessage, target any) error {
	if raw == nil {
		return nil
	}
	return json.Unmarshal(raw, target)
}

// maxObjects bounds the objects that one list in an object is read into: their text may be as
// short as {}, and they are not.
const maxObjects = 10_000

// decodeObjects reads a list of objects. An odd member of one does not spoil the others,
// and neither does an element that is no object: it is left out and, unless it is null,
// told of.
func decodeObjects[T any, P object[T]](raw json.RawMessage) ([]*T, error) {
	return decodeObjectsBut[T, P](raw, jsonx.IsNull)
}

// decodeObjectsBut is decodeObjects with another notion of what need not be told of.
func decodeObjectsBut[T any, P object[T]](raw json.RawMessage, skip func(json.RawMessage) bool) ([]*T, error) {
	if jsonx.IsNull(raw) {
		return nil, nil
	}
	elements, ok := jsonx.Elements(raw)
	if !ok {
		return nil, errors.New("is not a list")
	}
	var objects []*T
	var odd error
	for i, element := range elements {
		switch {
		case i >= maxObjects:
			return objects, fmt.Errorf("has more than %d elements", maxObjects)
		case jsonx.IsObject(element):
			decoded := new(T)
			odd = cmp.Or(odd, P(decoded).fromJSON(bytes.Clone(element))) // one that is kept does not keep all
			objects = append(objects, decoded)
		case !skip(element):
			odd = cmp.Or(odd, fmt.Errorf("item %d is not an object", i))
		}
	}
	return objects, odd
}

func isNullOrText(value json.RawMessage) bool {
	return jsonx.IsNull(value) || bytes.HasPrefix(bytes.TrimSpace(value), []byte(`"`))
}
