package upload

import (
	"errors"
	"hash/crc32"
	"io"
	"sync"

	"github.com/ittybit/ittybit-go/internal/pipeline"
)

// partBody is the body of a PUT, opened anew for each attempt. Once it is closed nothing
// reads the source: net/http may still be about to when a call has ended.
type partBody struct {
	part    part
	tracker *tracker

	mu     sync.Mutex // held while the source is read
	closed bool
	latest *partReader
}

type partReader struct {
	body *partBody
	read int64
	sum  uint32
}

func (b *partBody) open() io.ReadCloser {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.latest != nil {
		b.tracker.sent(-b.latest.read)
	}
	b.latest = &partReader{body: b}
	return b.latest
}

// close ends all attempts, and gives the checksum of the last one, if that was read whole.
func (b *partBody) close() (sum uint32, complete bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	if b.latest == nil {
		return 0, false
	}
	return b.latest.sum, b.latest.read == b.part.length
}

func (b *partBody) rollbackSent() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.latest != nil {
		b.tracker.sent(-b.latest.read)
	}
}

var errPartClosed = errors.New("ittybit: this attempt is over")

func (r *partReader) Read(p []byte) (int, error) {
	b := r.body
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed || b.latest != r {
		return 0, errPartClosed
	}
	left := b.part.length - r.read
	if left == 0 {
		return 0, io.EOF
	}
	n, err := b.part.body.ReadAt(p[:min(int64(len(p)), left)], r.read)
	r.read += int64(n)
	r.sum = crc32.Update(r.sum, castagnoli(), p[:n])
	b.tracker.sent(int64(n))
	switch {
	case r.read == b.part.length, err == nil:
		return n, nil
	default:
		return n, &pipeline.SourceError{Err: bodyError(err)}
	}
}

func (r *partReader) Close() error { return nil }
