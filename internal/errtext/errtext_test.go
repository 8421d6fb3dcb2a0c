package errtext

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// typedError is a pointer, whose Error panics where it is nil.
type typedError struct{ text string }

func (e *typedError) Error() string { return e.text }

func TestBare(t *testing.T) {
	cause := &typedError{"ittybit: no luck"}
	err := fmt.Errorf("ittybit: trying: %w", Bare(cause))
	require.EqualError(t, err, "ittybit: trying: no luck")
	require.ErrorIs(t, err, cause)
	found, ok := errors.AsType[*typedError](err)
	require.True(t, ok)
	assert.Same(t, cause, found)
}

func TestText(t *testing.T) {
	assert.Equal(t, "no luck", Text(errors.New("ittybit: no luck")))
	assert.Equal(t, "other: ittybit: no luck", Text(errors.New("other: ittybit: no luck")), "only its beginning")
	var missing *typedError
	assert.NotPanics(t, func() { _ = Text(missing) })
}
