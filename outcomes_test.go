package ittybit_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/ittybit/ittybit-go"
)

// errorOfNone wraps a list of errors in which there is none.
type errorOfNone struct{ errs []error }

func (errorOfNone) Error() string     { return "something went wrong" }
func (e errorOfNone) Unwrap() []error { return e.errs }

// errorOfNil wraps nothing.
type errorOfNil struct{}

func (errorOfNil) Error() string { return "something went wrong" }
func (errorOfNil) Unwrap() error { return nil }

func TestOutcomeOf_settlesNothingThatIsAnError(t *testing.T) {
	for _, err := range []error{errorOfNone{}, errorOfNone{[]error{nil, nil}}, errorOfNil{}, fmt.Errorf("db: %w", errorOfNone{})} {
		outcome, after := ittybit.OutcomeOf(err)
		assert.Equal(t, ittybit.OutcomeFailed, outcome, "%#v", err)
		assert.Zero(t, after)
	}
	outcome, after := ittybit.OutcomeOf(nil)
	assert.Equal(t, ittybit.OutcomeHandled, outcome)
	assert.Zero(t, after)
}

func TestOutcomeOf_givesTheLongestTimeToWaitWhereverItStands(t *testing.T) {
	short, long := ittybit.RetryLater(3*time.Second, nil), ittybit.RetryLater(7*time.Second, nil)
	for _, err := range []error{errors.Join(short, long), errors.Join(long, short), errors.Join(errors.Join(long), short, errors.New("no"))} {
		outcome, after := ittybit.OutcomeOf(err)
		assert.Equal(t, ittybit.OutcomeRetryLater, outcome)
		assert.Equal(t, 7*time.Second, after)
	}
}

func TestOutcomeOf_findsAVerdictAsDeepAsAnErrorIsWrapped(t *testing.T) {
	err := ittybit.Discard(errors.New("hopeless"))
	for range 50 {
		err = fmt.Errorf("layer: %w", err)
	}
	outcome, _ := ittybit.OutcomeOf(err)
	assert.Equal(t, ittybit.OutcomeDiscarded, outcome)
}

// errorOfItself joins itself.
type errorOfItself struct{}

func (errorOfItself) Error() string     { return "in a circle" }
func (e errorOfItself) Unwrap() []error { return []error{e} }

func TestOutcomeOf_comesToAnEndWhereAnErrorJoinsItself(t *testing.T) {
	outcome, _ := ittybit.OutcomeOf(errorOfItself{})
	assert.Equal(t, ittybit.OutcomeFailed, outcome)
}

// errorTwice holds itself twice: a walk that only minds its depth takes 2 to the power of it.
type errorTwice struct{}

func (errorTwice) Error() string     { return "twice" }
func (e errorTwice) Unwrap() []error { return []error{e, e} }

func TestOutcomeOf_anErrorThatHoldsItselfTwiceComesToAnEnd(t *testing.T) {
	outcome, _ := ittybit.OutcomeOf(errorTwice{})
	assert.Equal(t, ittybit.OutcomeFailed, outcome)
}
