package core

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
)

// numbered is an error as a driver for MySQL has it.
type numbered struct {
	Number  uint16
	Message string
}

func (e *numbered) Error() string { return e.Message }

// around is an application's error that embeds a driver's, which need not be there.
type around struct {
	*numbered

	text string
}

func (e around) Error() string { return e.text }

func (e around) Unwrap() error {
	if e.numbered == nil {
		return nil
	}
	return e.numbered
}

type wide struct{ Number int }

func (wide) Error() string { return "not a driver's" }

func TestMySQLNumber(t *testing.T) {
	deadlock := &numbered{Number: mysqlDeadlock, Message: "Deadlock found"}
	for _, test := range []struct {
		err  error
		want uint16
	}{
		{deadlock, mysqlDeadlock},
		{fmt.Errorf("saving: %w", deadlock), mysqlDeadlock},
		{errors.Join(errors.New("first"), deadlock), mysqlDeadlock},
		{around{deadlock, "saving"}, mysqlDeadlock},
		{around{nil, "nothing embedded"}, 0},
		{wide{mysqlDeadlock}, 0},
		{(*numbered)(nil), 0},
		{errors.New("plain"), 0},
		{nil, 0},
	} {
		got, from := mysqlNumber(test.err)
		assert.Equal(t, test.want, got, "%T", test.err)
		assert.Equal(t, test.want == mysqlDeadlock, errors.Is(from, deadlock), "%T", test.err)
		assert.Equal(t, test.want == mysqlDeadlock, mysqlRetryable(test.err), "%T", test.err)
	}
}
