package jsonx

import (
	"errors"
	"fmt"
	"strings"
)

// maxFieldErrors bounds the errors that are kept of one object: a list may have thousands.
const maxFieldErrors = 20

// FieldError says why a field could not be decoded.
type FieldError struct {
	Path string // such as created, or files[2].width
	Err  error
}

// FieldErrors are the fields of an object that could not be decoded, in the order of its text,
// the first twenty of them. The other fields were decoded all the same.
type FieldErrors []FieldError

func (e FieldErrors) Error() string {
	texts := make([]string, len(e))
	for i, field := range e {
		texts[i] = fmt.Sprintf("field %q: %v", field.Path, field.Err)
	}
	return strings.Join(texts, "; ")
}

func (e FieldErrors) Unwrap() []error {
	errs := make([]error, len(e))
	for i, field := range e {
		errs[i] = field.Err
	}
	return errs
}

// Add gives e with what is wrong with the field called name, unless err is nil. Of an error
// that is about the fields of a nested object, those are added, each with its path.
func (e FieldErrors) Add(name string, err error) FieldErrors {
	if err == nil {
		return e
	}
	nested, ok := errors.AsType[FieldErrors](err)
	if !ok {
		nested = FieldErrors{{Err: err}}
	}
	for _, field := range nested[:min(len(nested), maxFieldErrors-len(e))] {
		path := name + field.Path
		if field.Path != "" && field.Path[0] != '[' && name != "" {
			path = name + "." + field.Path
		}
		e = append(e, FieldError{path, field.Err})
	}
	return e
}

func (e FieldErrors) orNil() error {
	if len(e) == 0 {
		return nil
	}
	return e
}
