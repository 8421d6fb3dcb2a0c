// Package errtext keeps the module's name from standing twice in the text of an error.
package errtext

import (
	"fmt"
	"strings"
)

// Text is an error's text without the module's name at its beginning. Where err panics, as a nil
// pointer may, fmt recovers.
func Text(err error) string { return strings.TrimPrefix(fmt.Sprint(err), "ittybit: ") }

// Bare is an error whose text is [Text], for the %w of [fmt.Errorf]; it wraps err.
func Bare(err error) error { return bare{err} }

type bare struct{ error }

func (b bare) Error() string { return Text(b.error) }

func (b bare) Unwrap() error { return b.error }
