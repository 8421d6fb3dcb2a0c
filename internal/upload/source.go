package upload

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// source is what is uploaded: at, where it can be read anywhere, or a stream.
type source struct {
	at     io.ReaderAt
	seeker io.Seeker // of at
	base   int64
	stream io.Reader
	size   int64
}

// newSource finds out what body can do, and how long it is.
func newSource(body io.Reader, size int64) (*source, error) {
	if body == nil {
		return nil, &InputError{Param: "Body", Reason: "is required"}
	}
	source := &source{stream: body, size: size}
	known := int64(-1)
	if sized, ok := body.(interface{ Len() int }); ok {
		known = int64(sized.Len())
	}
	if seeker, ok := body.(io.Seeker); ok {
		start, end, seekable, err := extent(seeker)
		if err != nil {
			return nil, &InputError{Param: "Body", Reason: "cannot be read: " + err.Error()}
		}
		if seekable {
			known = end - start
			if at, ok := body.(io.ReaderAt); ok {
				source.at, source.seeker, source.base = at, seeker, start
			}
		}
	}
	switch {
	case known < 0 && size == 0:
		return nil, &InputError{Param: "Size", Reason: "is required: the length of Body is not known"}
	case known == 0:
		return nil, &InputError{Param: "Body", Reason: "is empty; a file that was just written stands at its end: seek to where it begins"}
	case known > 0 && size > 0 && known != size:
		return nil, &InputError{Param: "Size", Reason: fmt.Sprintf("is %d, but Body has %d bytes; io.NewSectionReader takes a part", size, known)}
	case known > 0:
		source.size = known
	}
	return source, nil
}

// extent gives where seeker stands and where it ends, and leaves it where it was. A pipe is an
// [*os.File] that can't seek. With an error, nobody knows where it was left.
func extent(seeker io.Seeker) (start, end int64, seekable bool, err error) {
	if start, err = seeker.Seek(0, io.SeekCurrent); err != nil {
		return 0, 0, false, nil //nolint:nilerr // it is read as it comes
	}
	if end, err = seeker.Seek(0, io.SeekEnd); err != nil {
		return 0, 0, false, err
	}
	_, err = seeker.Seek(start, io.SeekStart)
	return start, max(end, start), true, err
}

// section is a part of a source that can be read anywhere.
func (s *source) section(start, length int64) *io.SectionReader {
	return io.NewSectionReader(s.at, s.base+start, length)
}

// checkSize refuses a body that has grown or shrunk since the upload was begun.
func (s *source) checkSize() error {
	if s.seeker == nil {
		return nil
	}
	_, end, _, err := extent(s.seeker)
	switch size := end - s.base; {
	case err != nil:
		return bodyError(err)
	case size != s.size:
		return fmt.Errorf("%w: it had %d bytes, and has %d now", ErrChanged, s.size, size)
	}
	return nil
}

// checkEnd refuses a stream that goes on past its size.
func (s *source) checkEnd() error {
	switch n, err := io.ReadFull(s.stream, make([]byte, 1)); {
	case n > 0:
		return fmt.Errorf("ittybit: Body has more bytes than its Size of %d", s.size)
	case errors.Is(err, io.EOF):
		return nil
	default:
		return bodyError(err)
	}
}

// castagnoli is the polynomial that processors compute themselves.
func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// bodyError says that it was the body that could not be read. One that ends too early is
// io.ErrUnexpectedEOF.
func bodyError(err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("ittybit: Body has fewer bytes than its Size: %w", err)
	}
	return fmt.Errorf("ittybit: Body cannot be read: %w", err)
}
