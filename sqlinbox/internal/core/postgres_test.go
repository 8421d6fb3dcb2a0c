package core

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
)

// fieldError is an error as bun's pgdriver gives it.
type fieldError struct{ code string }

func (e fieldError) Error() string       { return "ERROR" }
func (e fieldError) Field(f byte) string { return map[byte]string{'C': e.code}[f] }

// stateError is one as pgx and lib/pq give it.
type stateError struct{ code string }

func (e *stateError) Error() string    { return "ERROR" }
func (e *stateError) SQLState() string { return e.code }

func TestPostgresRetryable(t *testing.T) {
	for code, want := range map[string]bool{"40001": true, "40P01": true, "23505": false, "": false} {
		for _, err := range []error{fieldError{code}, &stateError{code}} {
			within := errors.Join(errors.New("in a handler"), fmt.Errorf("charging: %w", err))
			assert.Equal(t, want, postgresRetryable(err), "%T %s", err, code)
			assert.Equal(t, want, postgresRetryable(within), "%T %s", err, code)
			state, _ := sqlState(within)
			assert.Equal(t, code, state)
		}
	}
}
