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

// decodeObject reads an object, bare (API version 2025-08-20) or in an envelope
// (2025-01-01: meta, data). One without an id is an error, never a zero value. One with
// an id and an odd member comes back together with an error.
func decodeObject[T any, P object[T]](body []byte) (*T, error) {
	if err := jsonx.Check(body); err != nil {
		return nil, err
	}
	result, err := decodeBare[T, P](body)
	if result == nil {
		if data := envelope(body).Data; jsonx.IsObject(data) {
			return decodeBare[T, P](data)
		}
	}
	return result, err
}

func decodeBare[T any, P object[T]](data []byte) (*T, error) {
	result := new(T)
	err := P(result).fromJSON(data)
	switch {
	case P(result).objectID() != "" && err != nil:
		return result, &pipeline.OddAnswerError{Err: err}
	case P(result).objectID() != "":
		return result, nil
	case err == nil:
		err = errNoID
	}
	return nil, err
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
	items = make([]T, len(elements))
	for i, element := range elements {
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

// memberError is what is wrong with a member, if anything is.
type memberError struct {
	member string
	err    error
}

// firstError gives the first of errs that is one, with the name of its member.
func firstError(errs ...memberError) error {
	for _, e := range errs {
		if e.err != nil {
			return fmt.Errorf("member %q: %w", e.member, e.err)
		}
	}
	return nil
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
	value, err := jsonx.Any(raw)
	if err != nil {
		return nil, err
	}
	metadata, ok := value.(map[string]any)
	if !ok {
		return nil, errors.New("is not an object")
	}
	return metadata, nil
}
