package core

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/ittybit/ittybit-go"
)

// retryAfterFailure is what a sender is asked to wait when the database failed.
const retryAfterFailure = time.Second

// Wrap gives a handler that calls next once for each event.
func (in *Inbox) Wrap(next ittybit.EventHandler) ittybit.EventHandler {
	return &handler{inbox: in, next: next}
}

type handler struct {
	inbox *Inbox
	next  ittybit.EventHandler
	slow  slowKinds
}

// HandleEvent implements [ittybit.EventHandler].
func (h *handler) HandleEvent(ctx context.Context, e *ittybit.Event) error {
	if h.inbox.nested(ctx) {
		return errNested
	}
	d := &delivery{handler: h, event: e, key: storedKey(h.inbox.cfg.Key(e))}
	handle := d.handleAlone
	if h.inbox.groups != nil && d.key != "" { // without a key it could not be run again after a commit that failed
		handle = d.handleTogether
	}
	err := handle(ctx)
	var discard *discardError
	if errors.As(err, &discard) {
		err = d.markDiscarded(ctx, discard.reason)
	}
	switch {
	case err == nil:
		return d.result
	case errors.Is(err, errHandledBefore):
		return ittybit.ErrAlreadyHandled
	default:
		return h.inbox.retryLater(err)
	}
}

var errHandledBefore = errors.New("sqlinbox: handled before")

// discardError has a transaction rolled back, after which the event is marked as discarded.
type discardError struct{ reason error }

func (e *discardError) Error() string { return fmt.Sprint(e.reason) } // fmt recovers from an error that panics

// retryLater asks for the event once more, if the database is why it failed. A handler's own
// error stays what it is.
func (in *Inbox) retryLater(err error) error {
	explained := in.explain(err)
	if isDatabaseError(err) || in.dialect.retryable(err) {
		return ittybit.RetryLater(retryAfterFailure, explained)
	}
	return explained
}

// delivery is an event on its way through one handler.
type delivery struct {
	*handler

	event  *ittybit.Event
	key    string
	runID  int64 // of the run under way, where there are pendingStatements
	result error // the handler's, where the event is not to come again
}

// handleAlone inserts the key and runs the handler in one transaction. While another transaction
// has the key, the insertion waits for that one's end.
func (d *delivery) handleAlone(ctx context.Context) error {
	in := d.inbox
	first := func() Statement { return d.insert(ittybit.OutcomeHandled, nil) }
	if d.key == "" {
		first = func() Statement { return Statement{SQL: in.sql.lock} }
	}
	return in.transact(ctx, first, func(tx Tx, rows int64) error {
		if err := d.claim(ctx, tx, rows); err != nil {
			return err
		}
		d.result = nil
		err := d.callHandler(ctx, tx)
		switch {
		case err == nil:
			return d.finish(ctx, tx, ittybit.OutcomeHandled, nil)
		case in.dialect.retryable(err) || !isFinal(err):
			return in.beyondTx(ctx, err)
		case isDiscard(err):
			return &discardError{err}
		default: // handled before, it says
			d.result = err
			return d.finish(ctx, tx, ittybit.OutcomeHandled, nil)
		}
	})
}

// claim gives errHandledBefore where insert, which has changed so many rows, found that the event
// was.
func (d *delivery) claim(ctx context.Context, tx Tx, rows int64) error {
	pending := d.inbox.sql.pending
	switch {
	case d.key == "" || rows == 1:
		return nil
	case pending == nil:
		return errHandledBefore
	}
	var outcome string
	s := Statement{SQL: pending.outcome, Args: []any{d.inbox.cfg.Name, d.key}, Into: []any{&outcome}}
	if _, err := tx.Run(ctx, s); err != nil {
		return Failed("reading the outcome", err)
	}
	if outcome != pendingOutcome {
		return errHandledBefore
	}
	return nil
}

// finish gives a pending row its outcome. It does not end with ctx: a success that comes late is
// one.
func (d *delivery) finish(ctx context.Context, tx Tx, outcome ittybit.Outcome, reason any) error {
	in := d.inbox
	switch {
	case in.sql.pending == nil:
		return nil
	case d.key == "":
		return in.finish(ctx, tx, Statement{SQL: in.sql.pending.release})
	}
	return in.finish(ctx, tx, Statement{
		SQL: in.sql.pending.finish, Args: []any{string(outcome), reason, in.cfg.Name, d.key, d.runID},
	})
}

// finish runs the last statement before a commit, which must find what the first one wrote.
func (in *Inbox) finish(ctx context.Context, tx Tx, s Statement) error {
	ctx, cancel := cleanupContext(ctx)
	defer cancel()
	rows, err := tx.Run(ctx, s)
	if err == nil && rows == 0 && s.Args != nil {
		err = errUndone
	}
	if err != nil {
		return Failed("ending the transaction", err)
	}
	return nil
}

// callHandler calls the handler in a transaction, and notes whether it is slow for this kind of
// event.
func (d *delivery) callHandler(ctx context.Context, tx Tx) error {
	if d.inbox.groups == nil {
		return d.inbox.call(ctx, d.next, tx, d.event)
	}
	began := time.Now()
	defer func() { d.slow.of(d.event).Store(time.Since(began) > groupWindow) }()
	return d.inbox.call(ctx, d.next, tx, d.event)
}

// beyondTx adds what may have happened to the error of a handler that met the lock of its own
// transaction.
func (in *Inbox) beyondTx(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	met := in.dialect.retryable(err) || ctx.Err() != nil && errors.Is(err, ctx.Err())
	if !in.dialect.SingleWriter || !met {
		return err
	}
	return fmt.Errorf("%w (%s)", err, beyondTxFix)
}

// markDiscarded inserts the event as discarded, after what the handler wrote was rolled back. Where
// another delivery has handled it in between, that one's outcome stands.
func (d *delivery) markDiscarded(ctx context.Context, reason error) error {
	d.result = reason
	if d.key == "" {
		return nil
	}
	ctx, cancel := cleanupContext(ctx)
	defer cancel()
	text := cut(fmt.Sprint(reason), maxError) // fmt recovers from an error that panics
	err := d.inbox.transact(ctx, func() Statement { return d.insert(ittybit.OutcomeDiscarded, text) },
		func(tx Tx, rows int64) error {
			if err := d.claim(ctx, tx, rows); err != nil {
				return err
			}
			return d.finish(ctx, tx, ittybit.OutcomeDiscarded, text)
		})
	if err != nil && !errors.Is(err, errHandledBefore) {
		return Failed("marking the event as discarded", errors.Join(err, reason))
	}
	return err
}

// insert gives the statement that inserts the event's row, if its key is not there.
func (d *delivery) insert(outcome ittybit.Outcome, reason any) Statement {
	in, now := d.inbox, time.Now()
	var payload any
	if raw := d.event.RawJSON(); in.cfg.Payloads && raw != nil {
		payload = []byte(raw)
	}
	if in.sql.pending != nil {
		outcome, reason = pendingOutcome, nil // finish sets them
	}
	args := []any{
		in.cfg.Name, d.key, cut(string(d.event.Type), MaxText), cut(subjectID(d.event), MaxText),
		string(outcome), reason, payload, in.dialect.time(now),
	}
	switch {
	case in.sql.pending != nil:
		d.runID = newRunID()
		var seq any // none: Replay passes it over
		if payload != nil {
			seq = 0 // Replay gives a number
		}
		args = append(args, d.runID, seq)
	case in.sql.seq:
		args = append(args, now.UnixMicro())
	}
	return Statement{SQL: in.sql.insert, Args: args}
}

// isFinal reports whether a handler's error means that the event is not to come again.
func isFinal(err error) bool {
	switch outcome, _ := ittybit.OutcomeOf(err); outcome {
	case ittybit.OutcomeHandled, ittybit.OutcomeDuplicate, ittybit.OutcomeDiscarded:
		return true
	}
	return false
}

func isDiscard(err error) bool {
	outcome, _ := ittybit.OutcomeOf(err)
	return outcome == ittybit.OutcomeDiscarded
}

// storedKey gives a key as the table has it.
func storedKey(key string) string {
	if len(key) <= maxKey && Clean(key) == key {
		return key
	}
	digest := sha256.Sum256([]byte(key))
	return "sha256:" + hex.EncodeToString(digest[:])
}

// subjectID gives the id of what the event is about.
func subjectID(e *ittybit.Event) string {
	switch {
	case e.Task != nil:
		return e.Task.ID
	case e.Media != nil:
		return e.Media.ID
	case e.Job != nil:
		return e.Job.ID
	}
	return ""
}
