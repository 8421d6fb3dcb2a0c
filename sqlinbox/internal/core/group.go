package core

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ittybit/ittybit-go"
)

// groupWindow is for how long a group takes on members. A handler that took longer for a kind of
// event runs alone for it the next time, so that it does not make the others late.
const groupWindow = 25 * time.Millisecond

// slowKinds says for which kinds of events a handler's last run took longer than groupWindow. Their
// number is bounded; two kinds that share a place cost a group, at the worst.
type slowKinds [64]atomic.Bool

var slowSeed = maphash.MakeSeed()

// of gives the place of an event's kind: one handler is often a mux of quick and slow ones.
func (k *slowKinds) of(e *ittybit.Event) *atomic.Bool {
	kind := string(e.Type)
	switch {
	case e.Task != nil:
		kind += " " + string(e.Task.Kind)
	case e.Job != nil:
		kind += " " + string(e.Job.Kind)
	}
	return &k[maphash.String(slowSeed, kind)%uint64(len(k))]
}

// groupQueue gives deliveries their turn in a transaction, where one at a time writes. A delivery
// has the turn while its handler runs, in its own goroutine. Then it hands the turn on: to the next
// one in the same group, or it commits for all of the group before it does.
type groupQueue struct {
	max int // members of a group

	mu      sync.Mutex
	taken   bool
	waiting []*groupWaiter
	busy    bool // the last group had several members, so that others may be expected
}

// groupWaiter is a delivery that waits for its turn.
type groupWaiter struct {
	slow bool
	turn chan *group // gives the group to join, or nil: begin a transaction
}

// group is a transaction that several deliveries share, each in a savepoint.
type group struct {
	queue   *groupQueue
	tx      Tx
	closing time.Time // takes on nobody after it
	members int
	pending int           // members whose results wait for the commit
	broken  bool          // SQLite or a handler has ended the transaction
	done    chan struct{} // closed at the end
	err     error         // why the group was not committed; read it after done
}

// The savepoint of a member. Where SQLite, or a handler, has ended the transaction, it is gone.
const (
	savepoint  = "SAVEPOINT ittybit_inbox_member"
	rollbackTo = "ROLLBACK TO ittybit_inbox_member"
	release    = "RELEASE ittybit_inbox_member"
)

// acquire waits for the turn. It gives the group to join, or nil: then crowded says whether others
// are, or were, there at the same time.
func (q *groupQueue) acquire(ctx context.Context, slow bool) (g *group, crowded bool, err error) {
	q.mu.Lock()
	if !q.taken {
		q.taken = true
		crowded = q.busy
		q.mu.Unlock()
		return nil, crowded, nil
	}
	w := &groupWaiter{slow, make(chan *group, 1)}
	q.waiting = append(q.waiting, w)
	q.mu.Unlock()
	select {
	case g = <-w.turn:
		return g, true, nil
	case <-ctx.Done():
	}
	q.mu.Lock()
	i := slices.Index(q.waiting, w)
	if i >= 0 {
		q.waiting = slices.Delete(q.waiting, i, i+1)
	}
	q.mu.Unlock()
	if i < 0 {
		return <-w.turn, true, nil // it has the turn already, and must hand it on
	}
	return nil, false, Failed("waiting for the SQLite write lock", context.Cause(ctx))
}

// handOn gives the turn to the delivery that has waited longest, and reports whether one has it. No
// group is joined by a delivery whose handler is slow.
func (q *groupQueue) handOn(g *group) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == 0 || g != nil && q.waiting[0].slow {
		q.taken = g != nil // the last of a group has the turn until it has committed
		return false
	}
	w := q.waiting[0]
	q.waiting = slices.Delete(q.waiting, 0, 1)
	w.turn <- g
	return true
}

func (q *groupQueue) setBusy(busy bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.busy = busy
}

// handleTogether runs the handler in a transaction that waiting deliveries share. Where that one
// fails as a whole, nobody's result counts, and each member runs again in a transaction of its own.
func (d *delivery) handleTogether(ctx context.Context) error {
	q := d.inbox.groups
	slow := d.slow.of(d.event).Load()
	g, crowded, err := q.acquire(ctx, slow)
	if err != nil {
		return err
	}
	if g == nil {
		if slow || !crowded && !d.inbox.cfg.GroupAlways {
			defer q.handOn(nil)
			q.setBusy(false)
			return d.handleAlone(ctx)
		}
		if g, err = d.beginGroup(ctx); err != nil {
			return err
		}
	}
	m := &member{delivery: d, group: g}
	m.run(ctx)
	if m.pending {
		<-g.done
	}
	switch {
	case m.alone, m.pending && g.err != nil:
		if m.failed && ctx.Err() != nil {
			return m.err // it can't run again
		}
		return d.handleAlone(ctx)
	default:
		return m.err
	}
}

// beginGroup begins a transaction that others may join.
func (d *delivery) beginGroup(ctx context.Context) (g *group, err error) {
	in := d.inbox
	defer func() {
		if g == nil {
			in.groups.handOn(nil)
		}
	}()
	if ctx.Err() != nil {
		return nil, Failed("context ended before the transaction began", context.Cause(ctx))
	}
	tx, _, err := in.db.Begin(ctx, func() Statement { return Statement{SQL: in.sql.lock} })
	if err != nil {
		return nil, err
	}
	return &group{queue: in.groups, tx: tx, closing: time.Now().Add(groupWindow), done: make(chan struct{})}, nil
}

// member is a delivery that has the turn in a group.
type member struct {
	*delivery

	group   *group
	pending bool  // its result counts when the group is committed
	alone   bool  // it is to run again, in a transaction of its own
	failed  bool  // err is the handler's
	err     error // its result
}

// run runs the handler in a savepoint, and hands the turn on, also when the handler panics or ends
// its goroutine.
func (m *member) run(ctx context.Context) {
	g := m.group
	g.members++
	returned := false
	defer func() {
		if !returned {
			m.undo(ctx)
		}
		if m.pending {
			g.pending++
		}
		g.handOn(ctx, m.pending)
	}()
	m.handle(ctx)
	returned = true
}

// handle runs the handler in a savepoint.
func (m *member) handle(ctx context.Context) {
	if ctx.Err() != nil {
		m.err = Failed("context ended before the transaction began", context.Cause(ctx))
		return
	}
	if _, ok := m.exec(ctx, Statement{SQL: savepoint}); !ok {
		return
	}
	rows, ok := m.exec(ctx, m.insert(ittybit.OutcomeHandled, nil))
	if !ok {
		return
	}
	if rows == 0 {
		m.err = errHandledBefore
		m.keep(ctx)
		return
	}
	m.result = nil
	err := m.callHandler(ctx, m.group.tx)
	switch {
	case err == nil:
		m.keep(ctx)
	case m.inbox.dialect.retryable(err), !isFinal(err):
		m.alone = m.inbox.dialect.retryable(err)
		m.err, m.failed = m.inbox.beyondTx(ctx, err), true
		m.undo(ctx)
	case isDiscard(err):
		m.discard(ctx, err)
	default: // handled before, it says
		m.result = err
		m.keep(ctx)
	}
}

// exec runs a statement of the inbox's own, and reports whether that worked. It does not end with
// ctx, at which SQLite would roll the other members back too; and it waits for no lock.
func (m *member) exec(ctx context.Context, s Statement) (rows int64, ok bool) {
	s.Again = true // for the other members
	rows, err := m.group.tx.Run(context.WithoutCancel(ctx), s)
	if err != nil {
		m.fail()
	}
	return rows, err == nil
}

// fail takes the group for lost: none of its results count.
func (m *member) fail() { m.group.broken, m.pending = true, true }

// keep ends the savepoint. Its result counts when the group is committed.
func (m *member) keep(ctx context.Context) {
	m.pending = true
	m.exec(ctx, Statement{SQL: release})
}

// undo takes back what the member wrote.
func (m *member) undo(ctx context.Context) {
	if _, ok := m.exec(ctx, Statement{SQL: rollbackTo}); ok {
		m.exec(ctx, Statement{SQL: release})
	}
}

// discard takes back what the member wrote, and inserts the event as discarded.
func (m *member) discard(ctx context.Context, reason error) {
	m.result = reason
	text := cut(fmt.Sprint(reason), maxError) // fmt recovers from an error that panics
	if _, ok := m.exec(ctx, Statement{SQL: rollbackTo}); !ok {
		return
	}
	if _, ok := m.exec(ctx, m.insert(ittybit.OutcomeDiscarded, text)); ok {
		m.keep(ctx)
	}
}

// handOn gives the turn to the next delivery. Where the group takes on no other one, the group is
// ended before.
func (g *group) handOn(ctx context.Context, pending bool) {
	if deadline, ok := ctx.Deadline(); ok && pending {
		if last := deadline.Add(-2 * groupWindow); last.Before(g.closing) {
			g.closing = last // so that it is answered in time
		}
	}
	if !g.broken && g.members < g.queue.max && time.Now().Before(g.closing) && g.queue.handOn(g) {
		return
	}
	g.end()
}

// end commits for all members, where the transaction is intact, and hands the turn on.
func (g *group) end() {
	q := g.queue
	defer q.handOn(nil)
	q.setBusy(g.members > 1)
	defer g.tx.Close()
	g.err = errGroupBroken
	defer close(g.done)
	switch {
	case g.broken, g.pending == 0:
		_ = g.tx.Rollback() // it may be gone
	default:
		g.err = g.tx.Commit()
	}
}

var errGroupBroken = errors.New("sqlinbox: the transaction of the group was lost")
