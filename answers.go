package ittybit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/ittybit/ittybit-go/internal/jsonx"
	"github.com/ittybit/ittybit-go/internal/pipeline"
)

// errNoID is why an answer that is valid JSON may still be no answer.
var errNoID = errors.New("it has no id")

// decodeObject reads an object, bare (API version 2025-08-20) or in an envelope
// (2025-01-01: meta, data). One without an id is an error, never a zero value. One with
// an id and an odd member comes back together with an error.
func decodeObject[T any, P object[T]](body []byte) (*T, error) {
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

// decodeList reads a list, bare or in an envelope, and where the envelope says that
// the next page is.
func decodeList[T any, P object[T]](body []byte) (items []*T, next string, err error) {
	list := json.RawMessage(body)
	if jsonx.IsObject(body) {
		wrapped := envelope(body)
		list, next = wrapped.Data, wrapped.Links.Next
	}
	var elements []json.RawMessage
	if err := json.Unmarshal(list, &elements); err != nil || elements == nil {
		return nil, "", errors.New("it is not a list")
	}
	items = make([]*T, 0, len(elements))
	for i, element := range elements {
		item := new(T)
		if err := P(item).fromJSON(element); err != nil {
			return nil, "", fmt.Errorf("item %d: %w", i, err)
		}
		if P(item).objectID() == "" {
			return nil, "", fmt.Errorf("item %d: %w", i, errNoID)
		}
		items = append(items, item)
	}
	return items, next, nil
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

// firstError gives the first of errs that is not nil, with the name of its member.
type memberError struct {
	member string
	err    error
}

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
