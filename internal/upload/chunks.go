package upload

import (
	"bytes"
	"context"
	"errors"
	"hash/crc32"
	"io"
	"sync"
	"sync/atomic"
)

// sendChunks sends the file in chunks. The last one goes last and alone: it is what makes
// Ittybit check whether it has them all (resumable uploads guide).
func (s *session) sendChunks(ctx context.Context) error {
	if s.source.at == nil {
		return s.sendStream(ctx)
	}
	final := s.tracker.count() - 1
	var before, rest []int
	for i := range final {
		if _, confirmed := s.tracker.sum(i); confirmed {
			before = append(before, i)
		} else {
			rest = append(rest, i)
		}
	}
	// What was confirmed is compared first: nothing of another body goes out.
	if err := s.inParallel(ctx, before, s.compare); err != nil {
		return err
	}
	// The first one that is still to be sent goes alone too, so that an upload that is
	// refused is refused once.
	if len(rest) > 0 {
		if err := s.send(ctx, rest[0], true); err != nil {
			return err
		}
		rest = rest[1:]
	}
	if err := s.inParallel(ctx, rest, func(ctx context.Context, i int) error { return s.send(ctx, i, false) }); err != nil {
		return err
	}
	return s.send(ctx, final, final == 0)
}

// inParallel does something with chunks until that fails.
func (s *session) inParallel(ctx context.Context, chunks []int, do func(context.Context, int) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var (
		workers sync.WaitGroup
		next    atomic.Int64
		once    sync.Once
		failure error
	)
	for range min(s.request.Concurrency, len(chunks)) {
		workers.Go(func() {
			for ctx.Err() == nil {
				i := next.Add(1) - 1
				if i >= int64(len(chunks)) {
					return
				}
				if err := do(ctx, chunks[i]); err != nil {
					once.Do(func() { failure = err })
					cancel()
				}
			}
		})
	}
	workers.Wait()
	if failure == nil {
		failure = ctx.Err()
	}
	return failure
}

// compare reads chunk i, a confirmed one, of a source that can be read anywhere.
func (s *session) compare(ctx context.Context, i int) error {
	start, length := s.tracker.bounds(i)
	sum, _ := s.tracker.sum(i)
	return compare(ctx, s.source.section(start, length), sum)
}

// send sends chunk i of a source that can be read anywhere.
func (s *session) send(ctx context.Context, i int, first bool) error {
	start, length := s.tracker.bounds(i)
	return s.put(ctx, s.partOf(i, s.source.section(start, length), first))
}

// partOf is the PUT of chunk i. A file of one chunk is no resumable upload.
func (s *session) partOf(i int, body io.ReaderAt, first bool) part {
	start, length := s.tracker.bounds(i)
	return part{
		index: i, start: start, length: length, body: body, first: first,
		chunk: s.tracker.count() > 1, finishes: i == s.tracker.count()-1,
	}
}

// sendStream sends a source that can be read once, a chunk at a time.
func (s *session) sendStream(ctx context.Context) error {
	final := s.tracker.count() - 1
	_, length := s.tracker.bounds(0)
	buffer := make([]byte, length)
	first := s.tracker.firstUnconfirmed()
	for i := range final + 1 {
		if err := ctx.Err(); err != nil {
			return err
		}
		_, length := s.tracker.bounds(i)
		chunk := buffer[:length]
		if _, err := io.ReadFull(s.source.stream, chunk); err != nil {
			return bodyError(err)
		}
		if sum, confirmed := s.tracker.sum(i); confirmed {
			if err := compare(ctx, bytes.NewReader(chunk), sum); err != nil {
				return err
			}
			continue
		}
		if i == final {
			if err := s.source.checkEnd(); err != nil {
				return err
			}
		}
		if err := s.put(ctx, s.partOf(i, bytes.NewReader(chunk), i == first)); err != nil {
			return err
		}
	}
	return nil
}

// compare refuses a body that is not what was sent before.
func compare(ctx context.Context, body io.Reader, want uint32) error {
	hash := crc32.New(castagnoli())
	buffer := make([]byte, 64<<10)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := body.Read(buffer)
		_, _ = hash.Write(buffer[:n]) // a hash takes everything
		switch {
		case errors.Is(err, io.EOF):
			if hash.Sum32() != want {
				return ErrChanged
			}
			return nil
		case err != nil:
			return bodyError(err)
		}
	}
}
