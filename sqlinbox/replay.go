package sqlinbox

import (
	"context"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ittybit/ittybit-go"
)

// ErrNoPayloads is what [Inbox.Replay] gives where the inbox keeps no payloads.
var ErrNoPayloads = errors.New("sqlinbox: the inbox keeps no payloads to replay: make it with WithPayloads")

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
	// after the last event that was dealt with.
	After string
	// OnError decides when an event fails: with nil Replay goes on to the next one, with any error it
	// stops. Where it is nil itself, the first failure stops.
	OnError func(key string, err error) error
}

// ReplayResult says what [Inbox.Replay] did.
type ReplayResult struct {
	Handled   int
	Discarded int    // by the handler, again or now; their rows stay as they were
	Failed    int    // where OnError said to go on
	Skipped   int    // pruned, or changed by another Replay, while this one was on its way to them
	Cursor    string // for ReplayParams.After; empty where nothing was dealt with yet
}

const (
	replayPage = 100 // keys that are read at once; payloads come one by one
	maxFilter  = 1000
)

// Replay gives kept events to next again, in the order in which they were received, each in a
// transaction of its own that [Tx] gives. It is for a handler that was wrong, or that learnt
// more; next is the handler itself, not what [Inbox.Wrap] made of it. An event that next handles is
// noted as handled, also where it had been discarded. After an error nothing of that
// event's run is kept, and Replay stops with the error, or asks OnError; when the
// database fails or ctx ends, it stops. The result counts what was done until then, and its Cursor
// lets another call go on from there. Memory use does not grow with the number of events.
//
// Events that came before [WithPayloads] was given are passed over. Parameters that make no sense
// are an [*ittybit.ParamError].
func (in *Inbox) Replay(ctx context.Context, next ittybit.EventHandler, params ReplayParams) (ReplayResult, error) {
	result := ReplayResult{Cursor: params.After}
	if !in.cfg.payloads {
		return result, ErrNoPayloads
	}
	if in.inside(ctx) {
		return result, errNested
	}
	query, args, err := in.replayQuery(next, params)
	if err != nil {
		return result, err
	}
	at, err := parseCursor(params.After)
	if err != nil {
		return result, err
	}
	for {
		page, err := in.replayPage(ctx, query, append(slices.Clone(args), in.dialect.time(at.received), at.key))
		if err != nil {
			return result, err
		}
		for _, at = range page {
			if err := in.replayOne(ctx, next, at.key, params, &result); err != nil {
				return result, err
			}
			result.Cursor = at.String()
		}
		if len(page) < replayPage {
			return result, nil
		}
	}
}

// replayQuery gives the statement that lists a page of keys. Its last two arguments, the place
// after which it begins, are missing.
func (in *Inbox) replayQuery(next ittybit.EventHandler, params ReplayParams) (string, []any, error) {
	if next == nil {
		return "", nil, &ittybit.ParamError{Param: "next", Reason: "is nil"}
	}
	if wrapped, ok := next.(*handler); ok && wrapped.inbox == in {
		return "", nil, &ittybit.ParamError{Param: "next", Reason: "is wrapped by this Inbox: give the handler itself"}
	}
	if !params.Until.IsZero() && !params.Since.Before(params.Until) {
		return "", nil, &ittybit.ParamError{Param: "Until", Reason: "must be after Since"}
	}
	if params.Until.IsZero() {
		params.Until = time.Now()
	}
	var b strings.Builder
	var args []any
	add := func(text string, values ...any) {
		b.WriteString(text)
		for i, value := range values {
			args = append(args, value)
			if i > 0 {
				b.WriteString(", ")
			}
			b.WriteString("$" + strconv.Itoa(len(args)))
		}
	}
	add("SELECT received_at, event_key FROM "+in.table+" WHERE payload IS NOT NULL AND name = ", in.cfg.name)
	add(" AND received_at >= ", in.dialect.time(params.Since))
	add(" AND received_at < ", in.dialect.time(params.Until))
	var types, keys []any
	for _, t := range params.Types {
		types = append(types, cut(string(t), maxText))
	}
	for _, key := range params.Keys {
		keys = append(keys, storedKey(key))
	}
	for _, filter := range []struct {
		param, column string
		values        []any
	}{{"Types", "event_type", types}, {"Keys", "event_key", keys}} {
		if len(filter.values) > maxFilter {
			return "", nil, &ittybit.ParamError{Param: filter.param, Reason: fmt.Sprintf("has more than %d values", maxFilter)}
		}
		if len(filter.values) > 0 {
			add(" AND "+filter.column+" IN (", filter.values...)
			add(")")
		}
	}
	switch params.Outcome {
	case "":
	case ittybit.OutcomeHandled, ittybit.OutcomeDiscarded:
		add(" AND outcome = ", string(params.Outcome))
	default:
		return "", nil, &ittybit.ParamError{Param: "Outcome", Reason: "must be handled or discarded"}
	}
	n := len(args)
	fmt.Fprintf(&b, " AND (received_at, event_key) > ($%d, $%d) ORDER BY received_at, event_key LIMIT %d", n+1, n+2, replayPage)
	return b.String(), args, nil
}

// replayPage lists a page of keys. In SQLite a reader may have to wait for a writer.
func (in *Inbox) replayPage(ctx context.Context, query string, args []any) ([]cursor, error) {
	for n := 1; ; n++ {
		page, err := in.listPage(ctx, query, args)
		if err == nil || !in.dialect.wantsAgain(err) {
			return page, err
		}
		if waitErr := pause(ctx, n); waitErr != nil {
			return nil, errors.Join(err, waitErr)
		}
	}
}

func (in *Inbox) listPage(ctx context.Context, query string, args []any) (page []cursor, err error) {
	rows, err := in.db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, failed("listing events", because(ctx, err))
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var received timeScanner
		var at cursor
		if err := rows.Scan(&received, &at.key); err != nil {
			return nil, failed("listing events", because(ctx, err))
		}
		at.received = received.Time
		page = append(page, at)
	}
	if err := rows.Err(); err != nil {
		return nil, failed("listing events", because(ctx, err))
	}
	return page, nil
}

// replayOne handles one event again, and counts what became of it.
func (in *Inbox) replayOne(ctx context.Context, next ittybit.EventHandler, key string, params ReplayParams, result *ReplayResult) error {
	var payload []byte
	err := in.transact(ctx, func(ctx context.Context, tx *sql.Tx) (err error) {
		payload, err = in.replayMark(ctx, tx, key, params.Outcome)
		return err
	}, func(ctx context.Context, tx *sql.Tx) error {
		e, err := ittybit.ParseEvent(payload)
		if err != nil {
			return err
		}
		err = next.HandleEvent(context.WithValue(ctx, runKey{}, &run{in, tx, runOf(ctx)}), e)
		if err != nil && settles(err) && !discards(err) {
			return nil // handled before, it says
		}
		return err
	})
	var own *databaseError
	switch {
	case err == nil:
		result.Handled++
	case errors.Is(err, errGone):
		result.Skipped++
	case errors.As(err, &own) || ctx.Err() != nil:
		return fmt.Errorf("sqlinbox: replaying %s: %w", key, err)
	case !in.dialect.wantsAgain(err) && settles(err):
		result.Discarded++
	default:
		err = fmt.Errorf("sqlinbox: replaying %s: %w", key, err)
		if params.OnError != nil {
			err = params.OnError(key, err)
		}
		if params.OnError == nil || err != nil {
			return err
		}
		result.Failed++
	}
	return nil
}

// errGone says that the row of an event is not there any more, or not as it was.
var errGone = errors.New("sqlinbox: the event is gone")

// replayMark notes that the event is handled, which locks its row, and gives its payload.
func (in *Inbox) replayMark(ctx context.Context, tx *sql.Tx, key string, outcome ittybit.Outcome) (payload []byte, err error) {
	query := `UPDATE ` + in.table + ` SET outcome = $1, error = NULL, handled_at = $2
		WHERE name = $3 AND event_key = $4 AND payload IS NOT NULL`
	args := []any{string(ittybit.OutcomeHandled), in.dialect.time(time.Now()), in.cfg.name, key}
	if outcome != "" {
		query, args = query+" AND outcome = $5", append(args, string(outcome))
	}
	err = tx.QueryRowContext(ctx, query+" RETURNING payload", args...).Scan(&payload)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, errGone
	case err != nil:
		return nil, failed("marking the event", because(ctx, err))
	}
	return payload, nil
}

// cursor is a place in the order of the events.
type cursor struct {
	received time.Time
	key      string
}

// String encodes the place, for ReplayResult.Cursor.
func (c cursor) String() string {
	return base64.RawURLEncoding.EncodeToString([]byte(strconv.FormatInt(c.received.UnixMicro(), 10) + " " + c.key))
}

// parseCursor decodes a place. The empty one is before all events.
func parseCursor(s string) (cursor, error) {
	if s == "" {
		return cursor{}, nil
	}
	invalid := &ittybit.ParamError{Param: "After", Reason: "is not the Cursor of a ReplayResult"}
	decoded, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		return cursor{}, invalid
	}
	micros, key, ok := strings.Cut(string(decoded), " ")
	received, err := strconv.ParseInt(micros, 10, 64)
	if err != nil || !ok || key != clean(key) {
		return cursor{}, invalid
	}
	return cursor{time.UnixMicro(received).UTC(), key}, nil
}
