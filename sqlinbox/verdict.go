package sqlinbox

import (
	"context"

	"github.com/ittybit/ittybit-go"
)

// settles reports whether a handler's error settles the event, so that it does not have to
// come again.
func settles(err error) bool {
	switch outcome, _ := ittybit.OutcomeOf(err); outcome {
	case ittybit.OutcomeHandled, ittybit.OutcomeDuplicate, ittybit.OutcomeDiscarded:
		return true
	}
	return false
}

// discards reports whether a handler's error ends an event that it could not handle.
func discards(err error) bool {
	outcome, _ := ittybit.OutcomeOf(err)
	return outcome == ittybit.OutcomeDiscarded
}

// duplicate deals with an event that was handled before: nil, as ittybit.Deduplicate gives,
// which also tells whoever receives the webhook why, and is therefore asked to do it here.
func duplicate(ctx context.Context, e *ittybit.Event) error {
	return ittybit.Deduplicate(always{}, ittybit.EventHandlerFunc(unreachable), ittybit.DeduplicateBy(anyKey)).HandleEvent(ctx, e)
}

func anyKey(*ittybit.Event) string { return "any" }

func unreachable(context.Context, *ittybit.Event) error { panic("sqlinbox: handled again") }

// always is a store that has every key.
type always struct{}

func (always) Claim(context.Context, string) (ittybit.Claim, error) {
	return nil, ittybit.ErrAlreadyHandled
}
