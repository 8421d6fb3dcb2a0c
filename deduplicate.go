package ittybit

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/ittybit/ittybit-go/internal/errtext"
)

// ErrAlreadyHandled is what [Deduplicator.Claim] gives for a key that was completed
// before. A [WebhookHandler] takes it from its EventHandler as success, too.
var ErrAlreadyHandled = errors.New("ittybit: event was already handled")

// Deduplicator remembers which events were handled, so that a redelivery is not handled again.
// [MemoryDeduplicator] serves one process. A store that processes share must lease its claims, so
// that a crash frees them: for longer than a handler may run, which is longer than its deadline
// where it does not follow its context. It must remember keys for longer than Ittybit retries, and
// than [WithTolerance] lets a delivery be repeated.
type Deduplicator interface {
	// Claim waits for a claim on key. It gives ErrAlreadyHandled if key was completed
	// before. While another holder has it, it waits until ctx ends, and gives its error.
	// With any error the event is not handled, and comes again.
	Claim(ctx context.Context, key string) (Claim, error)
}

// Claim is the right to handle one event. Exactly one of its methods is called, once,
// with a context that lives for five seconds, whatever became of the handler's own.
type Claim interface {
	// Complete ends the claim after success, or [Discard]: the key is never handled again. An error
	// (the lease was lost, or a transaction could not be committed) makes the event come again.
	Complete(ctx context.Context) error
	// Release ends the claim after a failure or a panic: the key is free again. An
	// error only joins the handler's own.
	Release(ctx context.Context) error
}

// claimTimeout is how long ending a claim may take. The handler's own deadline may be
// over by then, and its work is not to be forgotten for that.
const claimTimeout = 5 * time.Second

// DeduplicateOption sets up [Deduplicate].
type DeduplicateOption interface {
	applyDeduplicate(*deduplicator)
}

type deduplicateOption func(*deduplicator)

func (o deduplicateOption) applyDeduplicate(d *deduplicator) { o(d) }

// DeduplicateBy replaces [Event.Key] as what names an event. Events with an empty key
// are handled each time.
func DeduplicateBy(key func(*Event) string) DeduplicateOption {
	return deduplicateOption(func(d *deduplicator) {
		if key == nil {
			panic("ittybit: DeduplicateBy: nil function")
		}
		d.key = key
	})
}

// DeduplicateName puts name in front of the keys. Two endpoints that share one store
// need a name each, or an event that one has handled never reaches the other.
func DeduplicateName(name string) DeduplicateOption {
	return deduplicateOption(func(d *deduplicator) { d.name = name })
}

// Deduplicate gives a handler that calls next once for each event, however often the
// event comes: a delivery waits while another one of the same event is being handled, and
// one that comes after it was handled (or discarded) succeeds at once. After an
// error or a panic the event is free to be handled again. It is handled again, too, after
// a crash between the handling and its record: what next does should be idempotent, or
// commit together with the record. A store or next that is nil panics.
func Deduplicate(store Deduplicator, next EventHandler, opts ...DeduplicateOption) EventHandler {
	if store == nil || next == nil {
		panic("ittybit: Deduplicate: nil store or handler")
	}
	d := &deduplicator{store: store, next: next, key: (*Event).Key}
	for _, opt := range opts {
		opt.applyDeduplicate(d)
	}
	return d
}

type deduplicator struct {
	store Deduplicator
	next  EventHandler
	key   func(*Event) string
	name  string
}

func (d *deduplicator) HandleEvent(ctx context.Context, e *Event) error {
	key := d.key(e)
	if key == "" {
		return d.next.HandleEvent(ctx, e)
	}
	if d.name != "" {
		key = d.name + "/" + key
	}
	claim, err := d.store.Claim(ctx, key)
	if errors.Is(err, ErrAlreadyHandled) {
		report(ctx, OutcomeDuplicate)
		return nil
	}
	if err == nil && claim == nil {
		err = errors.New("the deduplicator returned neither a claim nor an error")
	}
	if err != nil {
		return fmt.Errorf("ittybit: claiming %s: %w", key, errtext.Bare(err))
	}
	return d.handle(ctx, e, claim)
}

// handle runs next and ends the claim, also when next panics or ends its goroutine.
func (d *deduplicator) handle(ctx context.Context, e *Event, claim Claim) (err error) {
	outcome := OutcomeAborted // or it panics, which is what gets reported
	defer func() {
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), claimTimeout)
		defer cancel()
		if isFinal(outcome) {
			if completeErr := claim.Complete(ending); completeErr != nil {
				// It may be handled twice; losing it would be worse.
				err = fmt.Errorf("ittybit: the event was handled, but the deduplicator could not record it: %w", errtext.Bare(completeErr))
			}
		} else if releaseErr := claim.Release(ending); releaseErr != nil {
			err = errors.Join(err, fmt.Errorf("ittybit: releasing the event's claim: %w", errtext.Bare(releaseErr)))
		}
	}()
	err = d.next.HandleEvent(ctx, e)
	outcome, _ = OutcomeOf(err)
	return err
}

// Defaults of a [MemoryDeduplicator].
const (
	DefaultDeduplicatorCapacity = 100_000
	DefaultDeduplicatorTTL      = 72 * time.Hour
)

// MemoryDeduplicator remembers events in memory: for one process, and only as long as it lives.
// After a restart, an event that is delivered again is handled again. It is safe for concurrent
// use, and must not be copied. The zero one is ready, and has the default capacity and time.
type MemoryDeduplicator struct {
	mu       sync.Mutex
	capacity int
	ttl      time.Duration

	handled map[digest]int           // the place in the ring
	ring    []handledKey             // by completion, and so by expiry; at capacity it goes round
	oldest  int                      // place of the oldest entry
	claimed map[digest]chan struct{} // closed in the end; nil until somebody waits for it
}

// init sets d up on its first claim, which is how the zero one is ready.
func (d *MemoryDeduplicator) init() {
	if d.capacity <= 0 {
		d.capacity = DefaultDeduplicatorCapacity
	}
	if d.ttl <= 0 {
		d.ttl = DefaultDeduplicatorTTL
	}
	d.claimed, d.handled = make(map[digest]chan struct{}), make(map[digest]int)
}

// digest stands for a key: half a SHA-256, so that keys may be long and nobody can
// make two of them meet.
type digest [16]byte

type handledKey struct {
	key     digest
	expires int64 // unix nanoseconds
}

// NewMemoryDeduplicator remembers the latest handled events, up to capacity, for ttl each. Values
// that are not positive mean [DefaultDeduplicatorCapacity] and [DefaultDeduplicatorTTL]. Claims in
// progress come on top and are never forgotten.
func NewMemoryDeduplicator(capacity int, ttl time.Duration) *MemoryDeduplicator {
	return &MemoryDeduplicator{capacity: capacity, ttl: ttl}
}

// Claim implements [Deduplicator].
func (d *MemoryDeduplicator) Claim(ctx context.Context, key string) (Claim, error) {
	var room [128]byte // most keys are shorter
	sum := sha256.Sum256(append(room[:0], key...))
	id := digest(sum[:16])
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		wait, err := d.claim(id, time.Now().UnixNano())
		if err != nil {
			return nil, err
		}
		if wait == nil {
			return &memoryClaim{store: d, key: id}, nil
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// claim takes the key, or gives a channel that is closed when its holder is done.
func (d *MemoryDeduplicator) claim(key digest, now int64) (wait <-chan struct{}, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if at, ok := d.handled[key]; ok && d.ring[at].expires > now {
		return nil, ErrAlreadyHandled
	}
	if d.claimed == nil {
		d.init()
	}
	done, ok := d.claimed[key]
	if ok && done == nil {
		done = make(chan struct{})
	}
	d.claimed[key] = done
	return done, nil
}

type memoryClaim struct {
	store *MemoryDeduplicator
	key   digest
	once  sync.Once
}

func (c *memoryClaim) Complete(context.Context) error { return c.end(true) }

func (c *memoryClaim) Release(context.Context) error { return c.end(false) }

// end lets the next one in, the first time that it is called.
func (c *memoryClaim) end(handled bool) error {
	c.once.Do(func() {
		d := c.store
		d.mu.Lock()
		defer d.mu.Unlock()
		if handled {
			d.remember(c.key, time.Now().UnixNano())
		}
		if done := d.claimed[c.key]; done != nil {
			close(done)
		}
		delete(d.claimed, c.key)
	})
	return nil
}

// remember puts a key at the end of the ring, once it is full in the place of the oldest one.
func (d *MemoryDeduplicator) remember(key digest, now int64) {
	entry := handledKey{key, now + int64(d.ttl)}
	if entry.expires < now {
		entry.expires = math.MaxInt64 // further away than an int64 goes
	}
	if len(d.ring) < d.capacity {
		d.handled[key] = len(d.ring)
		d.ring = append(d.ring, entry)
		return
	}
	old := d.ring[d.oldest]
	if d.handled[old.key] == d.oldest { // the key may have been handled anew since, further on
		delete(d.handled, old.key)
	}
	d.ring[d.oldest] = entry
	d.handled[key] = d.oldest
	d.oldest = (d.oldest + 1) % len(d.ring)
}
