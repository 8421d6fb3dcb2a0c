// Package bodyread reads request bodies of unknown senders into buffers whose sizes grow
// with what arrives, under a limit for each body and a budget for all.
//
// Buffers of up to 64 KiB, which is what nearly all deliveries need, are pooled. Larger ones
// are not, because the pool would hold them past the budget. They count twice, because the
// garbage collector leaves as much of them as is in use before it collects; where the sender gives
// no length, their buffers double, and count up to four times the body's size, but never more than
// twice the limit of a body. A smaller body counts 2 KiB at least, and up to three times its size
// while one buffer is moved into the next.
package bodyread

import (
	"bytes"
	"errors"
	"io"
	"math/bits"
	"sync"
	"sync/atomic"
	"time"
)

// Why a body was not read.
var (
	ErrTooLarge   = errors.New("ittybit: the body is larger than allowed")
	ErrOverBudget = errors.New("ittybit: too many bytes are being read at once")
	ErrTooSlow    = errors.New("ittybit: the body did not arrive in time")
)

const (
	minSize    = 2 << 10 // bytes; most deliveries fit
	minSizeLog = 11
	smallBody  = 64 << 10 // bytes; the largest buffer that is pooled
	classes    = 6        // 2 KiB to 64 KiB
	largeCount = 2        // how often the bytes of a larger buffer count
)

// Budget bounds the bytes that all readers hold together.
type Budget struct {
	max  int64
	used atomic.Int64
}

// NewBudget makes a budget of so many bytes.
func NewBudget(limit int64) *Budget { return &Budget{max: limit} }

// Used gives the bytes that are held just now.
func (b *Budget) Used() int64 { return b.used.Load() }

// take reserves n bytes. The last quarter is kept for small bodies, which is what nearly
// all deliveries are: senders of large ones can't shut them out.
func (b *Budget) take(n int64, large bool) bool {
	limit := b.max
	if large {
		limit -= b.max / 4
	}
	for {
		used := b.used.Load()
		if n > limit-used {
			return false
		}
		if b.used.CompareAndSwap(used, used+n) { // never more than there is, not even for a moment
			return true
		}
	}
}

// Reader reads bodies. It is safe for concurrent use.
type Reader struct {
	limit  int64
	budget *Budget
	pools  [classes]sync.Pool // of *[]byte, by size
}

// NewReader makes a reader for bodies of up to limit bytes.
func NewReader(limit int64, budget *Budget) *Reader { return &Reader{limit: limit, budget: budget} }

// Body is a body that was read. Release it when its bytes are no longer used.
type Body struct {
	reader  *Reader
	claimed int64 // the length that the sender gave, if it did
	buffer  *[]byte
	length  int
	held    int64
	next    [1]byte
}

// Bytes gives the body. They are valid until Release.
func (b *Body) Bytes() []byte { return (*b.buffer)[:b.length] }

// Release gives the buffer back to the pool, and what the body holds to the budget. It
// may be called again.
func (b *Body) Release() {
	if b.buffer != nil {
		b.reader.put(b.buffer)
		b.buffer = nil
	}
	b.reader.budget.used.Add(-b.held)
	b.held = 0
}

// Detach makes the body the caller's own. Of a small one, or one whose buffer is much too
// large, it gives a copy, and a small buffer back to the pool. The budget counts the buffer of
// a large one, and a small copy, until Release. There are no Bytes any more.
func (b *Body) Detach() []byte {
	if size := len(*b.buffer); size > smallBody {
		own := (*b.buffer)[:b.length:b.length]
		if size-b.length > size/4 {
			own = bytes.Clone(own)
		}
		b.buffer = nil
		return own
	}
	own := make([]byte, b.length)
	copy(own, b.Bytes())
	b.reader.put(b.buffer)
	b.reader.budget.used.Add(int64(len(own)) - b.held)
	b.held = int64(len(own))
	b.buffer = nil
	return own
}

// Read reads src to its end. A positive length that src claims for itself is used only
// to refuse it early, and not to grow past it; deadline is looked at between two reads.
func (r *Reader) Read(src io.Reader, claimed int64, deadline time.Time) (*Body, error) {
	if claimed > r.limit {
		return nil, ErrTooLarge
	}
	if !r.budget.take(minSize, false) {
		return nil, ErrOverBudget
	}
	body, whole := &Body{reader: r, claimed: claimed, buffer: r.get(minSize), held: minSize}, false
	defer func() {
		if !whole { // nor if src panics
			body.Release()
		}
	}()
	for {
		err := body.readFrom(src)
		switch {
		case int64(body.length) > r.limit:
			err = ErrTooLarge
		case err == io.EOF: //nolint:errorlint // wrapped, it is no regular end
			whole = true
			return body, nil
		case err == nil && time.Now().After(deadline):
			err = ErrTooSlow
		}
		if err != nil {
			return nil, err
		}
	}
}

// readFrom reads some more. Into a full buffer, that is one byte beside it: most often there
// is none, and it need not grow.
func (b *Body) readFrom(src io.Reader) error {
	if b.length < len(*b.buffer) {
		n, err := src.Read((*b.buffer)[b.length:])
		b.length += n
		return err
	}
	n, err := src.Read(b.next[:])
	switch {
	case n == 0:
		return err
	case int64(b.length) >= b.reader.limit:
		return ErrTooLarge
	}
	if err := b.grow(b.nextSize()); err != nil {
		return err
	}
	(*b.buffer)[b.length] = b.next[0]
	b.length++
	return err
}

// nextSize doubles. A large buffer is no larger than a body may be, nor than the sender says
// that this one is.
func (b *Body) nextSize() int {
	length, size := int64(len(*b.buffer)), 2*int64(len(*b.buffer))
	if size <= smallBody {
		return int(size)
	}
	if b.claimed > length {
		size = min(size, b.claimed)
	}
	return int(max(min(size, b.reader.limit), smallBody+1))
}

// grow moves the body into a buffer of that size. While it moves, a large one counts for the
// one that it leaves too.
func (b *Body) grow(size int) error {
	taken, left := int64(size), b.held
	if size > smallBody {
		taken *= largeCount
		if len(*b.buffer) > smallBody {
			taken, left = taken-b.held, 0
		}
	}
	if !b.reader.budget.take(taken, size > smallBody) {
		return ErrOverBudget
	}
	larger := b.reader.get(size)
	copy(*larger, b.Bytes())
	b.reader.put(b.buffer)
	b.reader.budget.used.Add(-left)
	b.buffer, b.held = larger, b.held+taken-left
	return nil
}

// class gives the pool for buffers of size bytes: up to smallBody they are powers of two.
func class(size int) (int, bool) {
	return bits.TrailingZeros(uint(size)) - minSizeLog, size <= smallBody
}

func (r *Reader) get(size int) *[]byte {
	if c, ok := class(size); ok {
		if buffer, ok := r.pools[c].Get().(*[]byte); ok {
			return buffer
		}
	}
	buffer := make([]byte, size)
	return &buffer
}

func (r *Reader) put(buffer *[]byte) {
	if c, ok := class(len(*buffer)); ok {
		r.pools[c].Put(buffer)
	}
}
