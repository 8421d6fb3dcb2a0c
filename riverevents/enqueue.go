package riverevents

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/ittybit/ittybit-go"
)

const (
	// retryAfterFailure is how long the sender is asked to wait while the database is away.
	retryAfterFailure = 5 * time.Second
	// cleanupTimeout is how long it may take to end a transaction when the context of the work is
	// over.
	cleanupTimeout = 5 * time.Second
	// maxName bounds what goes into an index, whose entries PostgreSQL limits to a third of a
	// page.
	maxName = 512
	// inTransaction is how PostgreSQL's protocol names a transaction in which no statement has
	// failed.
	inTransaction = 'T'
)

// EnqueueOption sets up [Enqueue].
type EnqueueOption interface {
	applyEnqueue(*enqueuer)
}

type enqueueOption func(*enqueuer)

func (o enqueueOption) applyEnqueue(q *enqueuer) { o(q) }

// WithName names the endpoint. Two endpoints that share a database need a name each, or an
// event that comes to both is worked for one of them only; see [WithHandlerFor]. The default
// is no name. One that is no text, or longer than 512 bytes, panics.
func WithName(name string) EnqueueOption {
	return enqueueOption(func(q *enqueuer) {
		if storable(name) != name {
			panic("riverevents: WithName: must be valid UTF-8 without NUL, at most 512 bytes")
		}
		q.name = name
	})
}

// WithInsertOpts sets the queue, priority, maximum of attempts, tags and so on of the jobs. The
// queue must be one of the workers' Config.Queues. UniqueOpts and Pending panic: a job that River
// skips, or does not work, would be an event that is lost.
func WithInsertOpts(opts river.InsertOpts) EnqueueOption {
	return enqueueOption(func(q *enqueuer) {
		u := opts.UniqueOpts
		if u.ByArgs || u.ByPeriod != 0 || u.ByQueue || u.ByState != nil || u.ExcludeKind {
			panic("riverevents: WithInsertOpts: events are unique by their key; leave UniqueOpts out")
		}
		if opts.Pending {
			panic("riverevents: WithInsertOpts: nobody works pending jobs; leave Pending out")
		}
		q.opts = opts
	})
}

// WithKey replaces [ittybit.Event.Key] as what names an event. An event with an empty key is
// enqueued each time that it comes. A nil function panics.
func WithKey(key func(*ittybit.Event) string) EnqueueOption {
	return enqueueOption(func(q *enqueuer) {
		if key == nil {
			panic("riverevents: WithKey: nil function")
		}
		q.key = key
	})
}

// WithMetadata adds what fn gives to the job's arguments, for the worker to find in
// [JobFromContext]: the trace of the request, for instance, as W3C's traceparent. NUL and what is
// not UTF-8, which PostgreSQL refuses, become U+FFFD. River's middleware and hooks for insertion
// (otelriver's, say) see the same context as fn only for an event that is inserted by itself: see
// [WithoutBatches]. A nil function panics.
func WithMetadata(fn func(ctx context.Context, e *ittybit.Event) map[string]string) EnqueueOption {
	return enqueueOption(func(q *enqueuer) {
		if fn == nil {
			panic("riverevents: WithMetadata: nil function")
		}
		q.metadata = fn
	})
}

// WithoutBatches has each event inserted in a transaction of its own, and not together with those
// that arrive at the same time. It is for River's middleware and hooks for insertion, where they
// use values of a delivery's context: those of a batch are called once for all of it, with a
// context without values.
func WithoutBatches() EnqueueOption {
	return enqueueOption(func(q *enqueuer) { q.single = true })
}

// Enqueue gives a handler that inserts a River job for each event, for [Worker] to do. It
// returns nil when the job is committed, so that a webhook is answered 200 only then;
// [ittybit.ErrAlreadyHandled] for an event that was enqueued before, whatever has become of
// it (200, too); and [ittybit.RetryLater] when the database fails (503). Events that arrive at the
// same time are inserted together; see the package's overview. A client without Workers will do. A
// nil client panics.
//
// What River itself refuses (because the client has Workers, but none for these jobs, or because of
// a queue's name that is none) is a mistake that waiting does not mend: the error is not RetryLater
// (500). So it is with an event that has no payload, because it was made by hand.
func Enqueue(client *river.Client[pgx.Tx], opts ...EnqueueOption) ittybit.EventHandler {
	if client == nil {
		panic("riverevents: Enqueue: nil client")
	}
	q := &enqueuer{client: client, tables: tablesOf(client), key: (*ittybit.Event).Key}
	q.batches = newBatcher(q.insert, q.insertMany)
	q.batches.bytes = func(a Args) int { return len(a.Payload) }
	for _, opt := range opts {
		opt.applyEnqueue(q)
	}
	return q
}

type enqueuer struct {
	client   *river.Client[pgx.Tx]
	tables   tables
	name     string
	opts     river.InsertOpts
	key      func(*ittybit.Event) string
	metadata func(context.Context, *ittybit.Event) map[string]string
	batches  *batcher[Args, bool]
	single   bool // without batches
}

// HandleEvent implements [ittybit.EventHandler].
func (q *enqueuer) HandleEvent(ctx context.Context, e *ittybit.Event) error {
	args := Args{Name: q.name, Key: storable(q.key(e)), Payload: Payload(e.RawJSON())}
	if len(args.Payload) == 0 {
		return errors.New("riverevents: event has no payload: it was not made by ParseEvent")
	}
	if args.Key == "" {
		args.Key = "each:" + rand.Text()
	}
	if q.metadata != nil {
		args.Metadata = clean(q.metadata(ctx, e))
	}
	insert := q.batches.do
	if q.single {
		insert = q.insert
	}
	inserted, err := insert(ctx, args)
	var refused *refusedError
	switch {
	case err == nil && inserted:
		return nil
	case err == nil:
		return ittybit.ErrAlreadyHandled
	case errors.As(err, &refused):
		return fmt.Errorf("riverevents: enqueuing: %w", err)
	default:
		return ittybit.RetryLater(retryAfterFailure, explain(fmt.Errorf("riverevents: enqueuing: %w", err)))
	}
}

// refusedError says why River, and not the database, did not take a job.
type refusedError struct{ err error }

func (e *refusedError) Error() string { return e.err.Error() }
func (e *refusedError) Unwrap() error { return e.err }

// clean gives metadata as PostgreSQL's jsonb takes it: without NUL. What is not UTF-8, JSON can't
// hold.
func clean(metadata map[string]string) map[string]string {
	cleaned := make(map[string]string, len(metadata))
	for name, value := range metadata {
		cleaned[strings.ReplaceAll(name, "\x00", "\uFFFD")] = strings.ReplaceAll(value, "\x00", "\uFFFD")
	}
	return cleaned
}

// txUsable reports whether a transaction still can: an error of the database's, or of the way to
// it, would have ended it.
func txUsable(tx pgx.Tx) bool {
	conn := tx.Conn().PgConn()
	return !conn.IsClosed() && conn.TxStatus() == inTransaction
}

// begin begins a transaction on the client's own pool. River calls its driver's methods
// unstable; they are the only way there.
func begin(ctx context.Context, client *river.Client[pgx.Tx]) (pgx.Tx, error) {
	driver := client.Driver()
	tx, err := driver.GetExecutor().Begin(ctx)
	if err != nil {
		return nil, err
	}
	return driver.UnwrapTx(tx), nil
}

// rollback ends a transaction that may have ended already.
func rollback(ctx context.Context, tx pgx.Tx) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
	defer cancel()
	_ = tx.Rollback(ctx) // where it fails, the connection is gone, and the transaction with it
}

// cleanupContext is the context for ending what was begun in ctx, which may be over: it ends
// cleanupTimeout after ctx. While ctx lives, there is time to wait for a connection, or for
// another event of the same task.
func cleanupContext(ctx context.Context) (context.Context, context.CancelFunc) {
	longer, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(cleanupTimeout, cancel) })
	return longer, func() { stop(); cancel() }
}

// storable gives s, or its digest where PostgreSQL can't keep or index s: it has a NUL, or is
// not UTF-8, or too long.
func storable(s string) string {
	if len(s) <= maxName && utf8.ValidString(s) && !strings.ContainsRune(s, 0) {
		return s
	}
	digest := sha256.Sum256([]byte(s))
	return "sha256:" + hex.EncodeToString(digest[:])
}
