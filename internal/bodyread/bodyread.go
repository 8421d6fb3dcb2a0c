// Package bodyread reads request bodies of unknown senders into pooled buffers, whose
// sizes grow with what arrives, under a limit for each body and a budget for all.
package bodyread

import (
	"errors"
	"io"
	"math/bits"
	"sync"
	"sync/atomic"
	"time"
)

// Why a body was not read.
var (
	ErrTooLarge   = errors.New("the body is larger than allowed")
	ErrOverBudget = errors.New("too many bytes are being read at once")
	ErrTooSlow    = errors.New("the body did not arrive in time")
)

const (
	minSize    = 2 << 10 // bytes; most deliveries fit
	minSizeLog = 11
	smallBody  = 64 << 10 // bytes
	classes    = 16       // 2 KiB to 64 MiB; larger buffers are not pooled
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
func (b *Budget) take(n int64) bool {
	limit := b.max
	if n > smallBody {
		limit -= b.max / 4
	}
	if b.used.Add(n) > limit {
		b.used.Add(-n)
		return false
	}
	return true
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
	reader *Reader
	buffer *[]byte
	length int
	held   int64
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

// Detach gives a copy of the body that is the caller's own, and the buffer back to the
// pool. The budget counts the copy until Release. There are no Bytes any more.
func (b *Body) Detach() []byte {
	own := make([]byte, b.length)
	copy(own, b.Bytes())
	b.reader.put(b.buffer)
	b.reader.budget.used.Add(int64(len(own)) - b.held)
	b.held = int64(len(own))
	b.buffer = nil
	return own
}

// Read reads src to its end. A positive length that src claims for itself is used only
// to refuse it early; deadline is looked at between two reads.
func (r *Reader) Read(src io.Reader, claimed int64, deadline time.Time) (*Body, error) {
	if claimed > r.limit {
		return nil, ErrTooLarge
	}
	body, whole := &Body{reader: r}, false
	defer func() {
		if !whole { // nor if src panics
			body.Release()
		}
	}()
	if err := body.grow(); err != nil {
		return nil, err
	}
	for {
		if body.length == len(*body.buffer) {
			if err := body.grow(); err != nil {
				return nil, err
			}
		}
		n, err := src.Read((*body.buffer)[body.length:])
		body.length += n
		switch {
		case int64(body.length) > r.limit:
			err = ErrTooLarge
		case err == io.EOF:
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

// grow moves the body into a buffer of the next size.
func (b *Body) grow() error {
	size := minSize
	if b.buffer != nil {
		size = 2 * len(*b.buffer)
	}
	if !b.reader.budget.take(int64(size)) {
		return ErrOverBudget
	}
	larger := b.reader.get(size)
	if b.buffer != nil {
		copy(*larger, b.Bytes())
		b.reader.put(b.buffer)
		b.reader.budget.used.Add(-b.held)
	}
	b.buffer, b.held = larger, int64(size)
	return nil
}

// class gives the pool for buffers of size bytes, a power of two.
func class(size int) (int, bool) {
	c := bits.TrailingZeros(uint(size)) - minSizeLog
	return c, c < classes
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
