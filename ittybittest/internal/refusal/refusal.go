// Package refusal is why a request to the local Ittybit is refused, and with which status.
package refusal

import (
	"fmt"
	"net/http"
)

// Error is a refusal.
type Error struct {
	Status  int
	Message string
	Header  http.Header // of the response; nil: no more than usual
}

// Error implements error.
func (e *Error) Error() string { return e.Message }

// New makes a refusal.
func New(status int, format string, args ...any) error {
	return &Error{Status: status, Message: fmt.Sprintf(format, args...)}
}

// Invalid is the refusal of a request that asks for something wrong.
func Invalid(format string, args ...any) error { return New(http.StatusBadRequest, format, args...) }

// NotEmulated is the refusal of what Ittybit has, or had, and documents too little of.
func NotEmulated(what string) error {
	return New(http.StatusNotImplemented, "%s is not emulated by the local Ittybit: see docs/local-server.md.", what)
}
