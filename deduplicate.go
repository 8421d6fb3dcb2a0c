package ittybit

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"
)

// ErrAlreadyHandled is what [Deduplicator.Claim] gives for a key that was completed
// before. A [WebhookHandler] takes it from its EventHandler as success, too.
var ErrAlreadyHandled = errors.New("ittybit: event was already handled")

// Deduplicator remembers which events were handled, so that a redelivery is not
// handled again. [MemoryDeduplicator] serves one process. A store that processes share
// must lease its claims, so that a crash frees them: for longer than a handler may run,
// which is longer than its deadline where it does not follow its context. It must
// remember keys for longer than Ittybit retries, and than [WithTolerance] lets a delivery
// be repeated.
type Deduplicator interface {
	// Claim waits for a claim on key. It gives ErrAlreadyHandled if key was completed
	// before. While another holder has it, it waits until ctx ends, and gives its error.
	// With any error the event is not handled, and comes again.
	Claim(ctx context.Context, key string) (Claim, error)
}

// Claim is the right to handle one event. Exactly one of its methods is called, once,
// with a context that lives for five seconds, whatever became of the handler's own.
type Claim interface {
	// Complete ends the claim after success, or [Discard]: the key is never handled
	// again. An error (the lease was lost, or a transaction could not be committed)
	// makes the event come again.
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

// HandleEvent implements [EventHandler].
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
		return fmt.Errorf("ittybit: claiming %s: %w", key, err)
	}
	return d.handle(ctx, e, claim)
}

// handle runs next and ends the claim, also when next panics or ends its goroutine.
func (d *deduplicator) handle(ctx context.Context, e *Event, claim Claim) (err error) {
	returned := false
	defer func() {
		if returned {
			return
		}
		ending, cancel := claimContext(ctx)
		defer cancel()
		_ = claim.Release(ending) // the panic is what gets reported
	}()
	err = d.next.HandleEvent(ctx, e)
	outcome, _ := OutcomeOf(err)
	returned = true

	ending, cancel := claimContext(ctx)
	defer cancel()
	if isFinal(outcome) {
		if completeErr := claim.Complete(ending); completeErr != nil {
			// It may be handled twice; losing it would be worse.
			return fmt.Errorf("ittybit: the event was handled, but the deduplicator could not record it: %w", completeErr)
		}
		return err
	}
	if releaseErr := claim.Release(ending); releaseErr != nil {
		return errors.Join(err, fmt.Errorf("ittybit: releasing the event's claim: %w", releaseErr))
	}
	return err
}

// claimContext is for ending a claim: it outlives the handler's own.
func claimContext(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), claimTimeout)
}

// Defaults of a [MemoryDeduplicator].
const (
	DefaultDeduplicatorCapacity = 100_000
	DefaultDeduplicatorTTL      = 72 * time.Hour
)

// memoryShards is how many locks a large store has. A small one has one, so that its
// capacity is exact.
const (
	memoryShards      = 16
	minShardedEntries = 16 * 1024
)

// MemoryDeduplicator remembers events in memory: for one process, and only as long as
// it lives. After a restart, an event that is delivered again is handled again. It is
// safe for concurrent use, and must not be copied. The zero one is ready, and has the default
// capacity and time.
type MemoryDeduplicator struct {
	once   sync.Once // sets up a zero one
	shards []memoryShard
	ttl    time.Duration
}

// NewMemoryDeduplicator remembers the latest handled events, up to capacity, for ttl each. In a
// store for 16,384 or more, both hold about: it has 16 parts, each with its share. Values that
// are not positive mean [DefaultDeduplicatorCapacity] and [DefaultDeduplicatorTTL]. Claims in
// progress come on top and are never forgotten.
func NewMemoryDeduplicator(capacity int, ttl time.Duration) *MemoryDeduplicator {
	d := new(MemoryDeduplicator)
	d.once.Do(func() { d.init(capacity, ttl) })
	return d
}

func (d *MemoryDeduplicator) init(capacity int, ttl time.Duration) {
	if capacity <= 0 {
		capacity = DefaultDeduplicatorCapacity
	}
	if ttl <= 0 {
		ttl = DefaultDeduplicatorTTL
	}
	shards := 1
	if capacity >= minShardedEntries {
		shards = memoryShards
	}
	d.shards, d.ttl = make([]memoryShard, shards), ttl
	for i := range d.shards {
		d.shards[i].capacity = (capacity-1)/shards + 1
		d.shards[i].handled = make(map[digest]int)
		d.shards[i].claimed = make(map[digest]chan struct{})
	}
}

// digest stands for a key: half a SHA-256, so that keys may be long and nobody can
// make two of them meet.
type digest [16]byte

// digestOf gives the digest of key, and a number that tells nothing of it.
func digestOf(key string) (digest, uint32) {
	var room [128]byte // most keys are shorter
	sum := sha256.Sum256(append(room[:0], key...))
	return digest(sum[:16]), binary.LittleEndian.Uint32(sum[16:])
}

// memoryShard is a part of the store with a lock of its own. Handled keys lie in a
// ring in the order in which they were completed, which is also the order in which
// they expire.
type memoryShard struct {
	mu       sync.Mutex
	capacity int
	handled  map[digest]int           // the place in the ring
	ring     []handledKey             // grows up to capacity, then goes round
	oldest   int                      // place of the oldest entry
	claimed  map[digest]chan struct{} // closed in the end; nil until somebody waits for it
}

type handledKey struct {
	key     digest
	expires int64 // unix nanoseconds
}

// Claim implements [Deduplicator].
func (d *MemoryDeduplicator) Claim(ctx context.Context, key string) (Claim, error) {
	d.once.Do(func() { d.init(0, 0) })
	id, number := digestOf(key)
	shard := &d.shards[number%uint32(len(d.shards))] //nolint:gosec // there are 16 shards at most
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		wait, err := shard.claim(id, time.Now().UnixNano())
		if err != nil {
			return nil, err
		}
		if wait == nil {
			return &memoryClaim{shard: shard, key: id, ttl: d.ttl}, nil
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// claim takes the key, or gives a channel that is closed when its holder is done.
func (s *memoryShard) claim(key digest, now int64) (wait <-chan struct{}, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if at, ok := s.handled[key]; ok && s.ring[at].expires > now {
		return nil, ErrAlreadyHandled
	}
	done, ok := s.claimed[key]
	if ok && done == nil {
		done = make(chan struct{})
	}
	s.claimed[key] = done
	return done, nil
}

// memoryClaim is a key that is being handled.
type memoryClaim struct {
	shard *memoryShard
	key   digest
	ttl   time.Duration
	once  sync.Once
}

// Complete implements [Claim].
func (c *memoryClaim) Complete(context.Context) error {
	c.once.Do(func() {
		c.shard.mu.Lock()
		defer c.shard.mu.Unlock()
		c.shard.remember(handledKey{c.key, expiry(time.Now().UnixNano(), c.ttl)})
		c.shard.free(c.key)
	})
	return nil
}

// expiry is now plus ttl, or the end of time where that is further than an int64 goes.
func expiry(now int64, ttl time.Duration) int64 {
	if expires := now + int64(ttl); expires > now {
		return expires
	}
	return math.MaxInt64
}

// Release implements [Claim].
func (c *memoryClaim) Release(context.Context) error {
	c.once.Do(func() {
		c.shard.mu.Lock()
		defer c.shard.mu.Unlock()
		c.shard.free(c.key)
	})
	return nil
}

// free lets the next one in.
func (s *memoryShard) free(key digest) {
	if done := s.claimed[key]; done != nil {
		close(done)
	}
	delete(s.claimed, key)
}

// remember puts an entry at the end of the ring, once it is full in the place of the
// oldest one.
func (s *memoryShard) remember(entry handledKey) {
	if len(s.ring) < s.capacity {
		s.handled[entry.key] = len(s.ring)
		s.ring = append(s.ring, entry)
		return
	}
	old := s.ring[s.oldest]
	if s.handled[old.key] == s.oldest { // the key may have been handled anew since, further on
		delete(s.handled, old.key)
	}
	s.ring[s.oldest] = entry
	s.handled[entry.key] = s.oldest
	s.oldest = (s.oldest + 1) % len(s.ring)
}
