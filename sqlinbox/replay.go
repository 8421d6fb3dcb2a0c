package sqlinbox

import (
	"context"
	"time"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/sqlinbox/internal/core"
)

// ErrNoPayloads is what [Inbox.Replay] gives where the inbox keeps no payloads.
var ErrNoPayloads = core.ErrNoPayloads

// ReplayParams say which of the kept events [Inbox.Replay] handles again. The zero value
// means all of them.
type ReplayParams struct {
	Since time.Time           // received then or later; zero: from the oldest
	Until time.Time           // received before then; zero: before Replay was called
	Types []ittybit.EventType // at most 1,000
	Keys  []string            // as Event.Key or WithKey gives them; at most 1,000
	// Outcome is ittybit.OutcomeHandled or ittybit.OutcomeDiscarded; empty: both.
	Outcome ittybit.Outcome
	// After is the Cursor of an earlier ReplayResult, with the same parameters: it goes on
	// after the last event that was handled again. No event is stored before it afterwards.
	After string
	// OnError decides when an event fails: with nil Replay goes on to the next one, with any error
	// it stops. Where it is nil itself, the first failure stops.
	OnError func(key string, err error) error
}

// ReplayResult says what [Inbox.Replay] did.
type ReplayResult struct {
	Handled   int
	Discarded int    // by the handler, again or now; their rows stay as they were
	Failed    int    // where OnError said to go on
	Skipped   int    // pruned, or changed by another Replay, before this one came to them
	Cursor    string // for ReplayParams.After; empty where no event was handled yet
	// Until is when the first event was received that was left out because a transaction that began
	// before it is still under way; or the Until of ReplayParams, or when Replay was called, where
	// none was. One that stays far behind shows a transaction of the server's that somebody has
	// forgotten to end. In MySQL it does not show what was left out: go on with the Cursor.
	Until time.Time
}

// Replay gives kept events to next again, in the order in which their transactions began to write,
// each in a transaction of its own that [Tx] gives. It is for a handler that was wrong, or that
// learnt more; next is the handler itself, not what [Inbox.Wrap] made of it. An event that next
// handles is noted as handled, also where it had been discarded. After an error nothing of that
// event's run is kept, and Replay stops with the error, or asks OnError; when the database fails or
// ctx ends, it stops. The result counts what was done until then, and its Cursor lets another call
// go on from there. Memory use does not grow with the number of events.
//
// In MySQL the order is that in which Replay found the events committed, those of one call by the
// time at which they were received. What is not committed when Replay is called is left out, and
// comes behind the Cursor.
//
// In Postgres, Replay leaves out events that are behind a transaction which is still under way, of
// any database of the server: an event that this one stores would come before them. The next call
// with the Cursor has them.
//
// Events that came before [WithPayloads] was given are passed over. Parameters that make no sense
// are an [*ittybit.ParamError].
func (in *Inbox) Replay(ctx context.Context, next ittybit.EventHandler, params ReplayParams) (ReplayResult, error) {
	result, err := in.core.Replay(ctx, next, core.ReplayParams(params))
	return ReplayResult(result), err
}
