package core

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/ittybit/ittybit-go"
)

// ErrNoPayloads says that there is nothing to replay.
var ErrNoPayloads = errors.New("sqlinbox: the inbox keeps no payloads to replay: make it with WithPayloads")

// ReplayParams is sqlinbox's, which documents it.
type ReplayParams struct {
	Since   time.Time
	Until   time.Time
	Types   []ittybit.EventType
	Keys    []string
	Outcome ittybit.Outcome
	After   string
	OnError func(key string, err error) error
}

// ReplayResult is sqlinbox's, which documents it.
type ReplayResult struct {
	Handled   int
	Discarded int
	Failed    int
	Skipped   int
	Cursor    string
	Until     time.Time
}

const (
	replayPage  = 100 // keys that are read at once; payloads come one by one
	numberBatch = 500 // events that get a number at once
	maxFilter   = 1000
)

// Replay gives stored events to next again, in the order of seq.
func (in *Inbox) Replay(ctx context.Context, next ittybit.EventHandler, params ReplayParams) (ReplayResult, error) {
	r := &replay{Inbox: in, next: next, params: params, result: ReplayResult{Cursor: params.After}}
	if !in.cfg.Payloads {
		return r.result, ErrNoPayloads
	}
	if in.nested(ctx) {
		return r.result, errNested
	}
	err := r.check()
	if err == nil {
		err = r.run(ctx)
	}
	return r.result, err
}

// replay is one call of Replay.
type replay struct {
	*Inbox

	next   ittybit.EventHandler
	params ReplayParams
	result ReplayResult
	at     cursor
	bound  *int64 // events below it are stored; nil: all that are visible are
	runID  int64  // of the run under way, where there are pendingStatements

	untilNow bool // params.Until was not given
}

func (r *replay) check() (err error) {
	p := &r.params
	if r.next == nil {
		return &ittybit.ParamError{Param: "next", Reason: "is nil"}
	}
	if wrapped, ok := r.next.(*handler); ok && wrapped.inbox == r.Inbox {
		return &ittybit.ParamError{Param: "next", Reason: "is wrapped by this Inbox: give the handler itself"}
	}
	if !p.Until.IsZero() && !p.Since.Before(p.Until) {
		return &ittybit.ParamError{Param: "Until", Reason: "must be after Since"}
	}
	if p.Until.IsZero() {
		p.Until, r.untilNow = time.Now(), true
	}
	for param, n := range map[string]int{"Types": len(p.Types), "Keys": len(p.Keys)} {
		if n > maxFilter {
			return &ittybit.ParamError{Param: param, Reason: fmt.Sprintf("has more than %d values", maxFilter)}
		}
	}
	switch p.Outcome {
	case "", ittybit.OutcomeHandled, ittybit.OutcomeDiscarded:
	default:
		return &ittybit.ParamError{Param: "Outcome", Reason: "must be handled or discarded"}
	}
	r.at, err = parseCursor(p.After)
	return err
}

func (r *replay) run(ctx context.Context) error {
	if err := r.findBound(ctx); err != nil {
		return r.explain(err)
	}
	for {
		page, err := r.page(ctx)
		if err != nil {
			return r.explain(err)
		}
		for _, at := range page {
			if err := r.one(ctx, at.key); err != nil {
				return err
			}
			r.at, r.result.Cursor = at, at.String()
		}
		if len(page) < replayPage {
			return nil
		}
	}
}

// findBound finds up to where no event can be stored any more, and since when there are others.
func (r *replay) findBound(ctx context.Context) error {
	r.result.Until = r.params.Until.UTC().Round(0)
	if r.sql.bound == "" {
		return nil // one writer at a time: what is visible is all
	}
	bound := Statement{SQL: r.sql.bound}
	if r.sql.adopt != "" {
		if err := r.execute(ctx, Statement{SQL: r.sql.adopt, Args: []any{r.cfg.Name}}, nil); err != nil {
			return err
		}
	}
	if r.sql.numbers != nil {
		if err := r.number(ctx); err != nil {
			return err
		}
		bound.Args = []any{r.cfg.Name}
	}
	r.bound = new(int64)
	err := r.db.Query(ctx, bound, func(row Row) error { return row.Scan(r.bound) })
	if err != nil {
		return Failed("finding the transactions under way", err)
	}
	if r.at.seq >= *r.bound {
		return &ittybit.ParamError{Param: "After", Reason: "is of another database, from which this one was restored: replay from a Since in its place"}
	}
	if r.sql.next == "" {
		return nil // none is left out
	}
	var first *time.Time
	next := Statement{SQL: r.sql.next, Args: []any{r.cfg.Name, *r.bound, r.dialect.time(r.params.Until)}}
	err = r.db.Query(ctx, next, func(row Row) error { return row.Scan(&first) })
	if err != nil {
		return Failed("finding events that are left out", err)
	}
	if first != nil {
		r.result.Until = first.UTC()
	}
	return nil
}

// number gives numbers to the events that are committed and have none yet. All that one transaction
// numbers have the same.
func (r *replay) number(ctx context.Context) error {
	s := r.sql.numbers
	for {
		var keys []any
		list := Statement{SQL: s.list, Args: []any{r.cfg.Name, numberBatch}}
		err := r.db.Query(ctx, list, func(row Row) error {
			var key string
			err := row.Scan(&key)
			keys = append(keys, key)
			return err
		})
		if err != nil {
			return Failed("listing new events", err)
		}
		if len(keys) == 0 {
			return nil
		}
		next := Statement{SQL: s.next, Args: []any{r.cfg.Name}}
		number := Statement{SQL: s.number + parameters(2, len(keys)) + ")", Args: append([]any{r.cfg.Name}, keys...)}
		err = r.transact(ctx, func() Statement { return next }, func(tx Tx, _ int64) error {
			if _, err := tx.Run(ctx, number); err != nil {
				return Failed("numbering new events", err)
			}
			return nil
		})
		if err != nil || len(keys) < numberBatch {
			return err
		}
	}
}

// parameters gives n parameters of a statement, from the first number on.
func parameters(first, n int) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString("$" + strconv.Itoa(first+i))
	}
	return b.String()
}

// page lists the next keys. In SQLite a reader may have to wait for a writer.
func (r *replay) page(ctx context.Context) ([]cursor, error) {
	query := r.query()
	for n := 1; ; n++ {
		var page []cursor
		err := r.db.Query(ctx, query, func(row Row) error {
			var at cursor
			err := row.Scan(&at.seq, r.dialect.scanTime(&at.received), &at.key)
			page = append(page, at)
			return err
		})
		if err == nil {
			return page, nil
		}
		if !r.dialect.retryable(err) {
			return nil, Failed("listing events", err)
		}
		if waitErr := Pause(ctx, n); waitErr != nil {
			return nil, Failed("listing events", errors.Join(err, waitErr))
		}
	}
}

// query gives the statement that lists a page of keys.
func (r *replay) query() Statement {
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
	p := r.params
	add("SELECT seq, " + r.sql.receivedColumn + ", " + r.sql.keyColumn + " FROM " + r.table.Quoted)
	add(" WHERE payload IS NOT NULL AND name = ", r.cfg.Name)
	add(" AND received_at >= ", r.dialect.time(p.Since))
	if r.sql.numbers == nil || !r.untilNow { // else bound says it, also for events that came by a clock that is ahead
		add(" AND received_at < ", r.dialect.time(p.Until))
	}
	if r.bound != nil {
		add(" AND seq < ", *r.bound)
	}
	if r.sql.numbers != nil {
		add(" AND seq >= ", max(r.at.seq, 1)) // 0 is no number yet; the comparison of rows below uses no index
	}
	if len(p.Types) > 0 {
		add(" AND event_type IN (", stored(p.Types, func(t ittybit.EventType) string { return cut(string(t), MaxText) })...)
		add(")")
	}
	if len(p.Keys) > 0 {
		add(" AND event_key IN (", stored(p.Keys, storedKey)...)
		add(")")
	}
	if p.Outcome != "" {
		add(" AND outcome = ", string(p.Outcome))
	}
	add(" AND (seq, received_at, event_key) > (", r.at.seq, r.dialect.time(r.at.received), r.at.key)
	add(") ORDER BY seq, received_at, event_key LIMIT " + strconv.Itoa(replayPage))
	return Statement{SQL: b.String(), Args: args}
}

func stored[T any](values []T, form func(T) string) []any {
	var all []any
	for _, value := range values {
		all = append(all, form(value))
	}
	return all
}

// one handles one event again, and counts what became of it.
func (r *replay) one(ctx context.Context, key string) error {
	var payload []byte
	mark := func() Statement {
		payload = nil
		s := Statement{SQL: r.sql.mark, Args: []any{r.dialect.time(time.Now()), r.cfg.Name, key, string(r.params.Outcome)}}
		if r.sql.pending == nil {
			s.Into = []any{&payload}
			return s
		}
		r.runID = newRunID()
		s.Args = append(s.Args, r.runID)
		return s
	}
	err := r.transact(ctx, mark, func(tx Tx, rows int64) error {
		if rows == 0 {
			return errGone
		}
		if pending := r.sql.pending; pending != nil {
			s := Statement{SQL: pending.payload, Args: []any{r.cfg.Name, key}, Into: []any{&payload}}
			if _, err := tx.Run(ctx, s); err != nil {
				return Failed("reading the payload", err)
			}
		}
		e, err := ittybit.ParseEvent(payload)
		if err != nil {
			return err
		}
		err = r.call(ctx, r.next, tx, e)
		if err != nil && (!isFinal(err) || isDiscard(err) || r.dialect.retryable(err)) { // else handled before, it says
			return r.beyondTx(ctx, err)
		}
		return r.finishOne(ctx, tx, key)
	})
	switch {
	case err == nil:
		r.result.Handled++
		return nil
	case errors.Is(err, errGone):
		r.result.Skipped++
		return nil
	case isFinal(err) && !isDatabaseError(err) && ctx.Err() == nil && !r.dialect.retryable(err):
		r.result.Discarded++
		return nil
	}
	failed := fmt.Errorf("sqlinbox: replaying %s: %w", key, r.explain(err))
	if isDatabaseError(err) || ctx.Err() != nil || r.params.OnError == nil {
		return failed
	}
	if err := r.params.OnError(key, failed); err != nil {
		return err
	}
	r.result.Failed++
	return nil
}

// finishOne marks the event as handled, where mark has not.
func (r *replay) finishOne(ctx context.Context, tx Tx, key string) error {
	if r.sql.pending == nil {
		return nil
	}
	args := []any{r.dialect.time(time.Now()), r.cfg.Name, key, r.runID}
	return r.finish(ctx, tx, Statement{SQL: r.sql.pending.finishReplay, Args: args})
}

// errGone says that the row of an event is not there any more, or not as it was.
var errGone = errors.New("sqlinbox: the event is gone")

// cursor is a place in the order of the events.
type cursor struct {
	seq      int64
	received time.Time
	key      string
}

// String encodes the place, for ReplayResult.Cursor.
func (c cursor) String() string {
	text := fmt.Sprintf("v2 %d %d %s", c.seq, c.received.UnixMicro(), c.key)
	return base64.RawURLEncoding.EncodeToString([]byte(text))
}

// parseCursor decodes a place. The empty one is before all events. Cursors from before seq
// begin with the time.
func parseCursor(s string) (c cursor, err error) {
	if s == "" {
		return cursor{}, nil
	}
	invalid := &ittybit.ParamError{Param: "After", Reason: "is not the Cursor of a ReplayResult"}
	decoded, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		return cursor{}, invalid
	}
	text, hasSeq := strings.CutPrefix(string(decoded), "v2 ")
	if hasSeq {
		var seq string
		seq, text, _ = strings.Cut(text, " ")
		if c.seq, err = strconv.ParseInt(seq, 10, 64); err != nil || c.seq < 0 {
			return cursor{}, invalid
		}
	}
	micros, key, ok := strings.Cut(text, " ")
	received, err := strconv.ParseInt(micros, 10, 64)
	if err != nil || !ok || key != Clean(key) {
		return cursor{}, invalid
	}
	c.received, c.key = time.UnixMicro(received).UTC(), key
	return c, nil
}
