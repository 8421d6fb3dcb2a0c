package sqlinbox

import (
	"context"
	"errors"

	"github.com/ittybit/ittybit-go"
)

// What an error says of an event is judged in one place, which is not exported:
// ittybit.Deduplicate asks it, and these two stores listen.

// settles reports whether a handler's error settles the event, so that it does not have to
// come again.
func settles(ctx context.Context, err error) bool {
	var l listener
	_ = ittybit.Deduplicate(&l, ittybit.EventHandlerFunc(func(context.Context, *ittybit.Event) error { return err }),
		ittybit.DeduplicateBy(anyKey)).HandleEvent(ctx, nil)
	return l.settled
}

// discards reports whether an error that settles the event discards it.
func discards(err error) bool {
	var discarded *ittybit.DiscardError
	return errors.As(err, &discarded)
}

// duplicate deals with an event that was handled before: nil, and whoever receives the
// webhook learns why.
func duplicate(ctx context.Context, e *ittybit.Event) error {
	return ittybit.Deduplicate(always{}, ittybit.EventHandlerFunc(unreachable), ittybit.DeduplicateBy(anyKey)).HandleEvent(ctx, e)
}

func anyKey(*ittybit.Event) string { return "any" }

func unreachable(context.Context, *ittybit.Event) error { panic("sqlinbox: handled again") }

// listener is a store that grants each claim and notes how it ended.
type listener struct{ settled bool }

func (l *listener) Claim(context.Context, string) (ittybit.Claim, error) { return l, nil }
func (l *listener) Complete(context.Context) error                       { l.settled = true; return nil }
func (l *listener) Release(context.Context) error                        { return nil }

// always is a store that has every key.
type always struct{}

func (always) Claim(context.Context, string) (ittybit.Claim, error) {
	return nil, ittybit.ErrAlreadyHandled
}
