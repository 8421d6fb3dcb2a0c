package ittybit

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"math"
	"sync"
	"time"
)

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
// safe for concurrent use.
type MemoryDeduplicator struct {
	shards []memoryShard
	ttl    time.Duration
}

// NewMemoryDeduplicator remembers the latest handled events, up to capacity, for ttl each. In a
// store for 16,384 or more, both hold about: it has 16 parts, each with its share. Values that
// are not positive mean [DefaultDeduplicatorCapacity] and [DefaultDeduplicatorTTL]. Claims in
// progress come on top and are never forgotten.
func NewMemoryDeduplicator(capacity int, ttl time.Duration) *MemoryDeduplicator {
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
	d := &MemoryDeduplicator{shards: make([]memoryShard, shards), ttl: ttl}
	for i := range d.shards {
		d.shards[i].capacity = (capacity-1)/shards + 1
		d.shards[i].handled = make(map[digest]int)
		d.shards[i].claimed = make(map[digest]chan struct{})
	}
	return d
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
