package blobs

import (
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"slices"
	"sort"
	"time"
)

// Range is a range of bytes, both ends included, of a file of Total bytes. That of a whole body
// has the Total -1.
type Range struct{ Start, End, Total int64 }

// Whole reports whether it is that of a whole body.
func (r Range) Whole() bool { return r.Total < 0 }

// Length is the number of its bytes.
func (r Range) Length() int64 { return r.End - r.Start + 1 }

// last reports whether it ends the file.
func (r Range) last() bool { return r.End == r.Total-1 }

// String writes it as Content-Range does, without the total.
func (r Range) String() string { return fmt.Sprintf("%d-%d", r.Start, r.End) }

// file is a temporary file, and the ranges of it that are there: of a complete one, all.
type file struct {
	path   string // "" until something is there
	total  int64
	parts  []part // in order, without overlaps
	have   int64  // bytes of all parts
	fresh  int    // how many of an upload's parts the complete file does not have
	owner  string
	kind   string
	stored time.Time
}

type part struct {
	Range
	sum    [sha256.Size]byte
	repeat bool // the complete file has it, too
}

// Result is what became of a body.
type Result struct {
	State State
	// Owner is that of the complete file.
	Owner string
	// Missing says what an upload lacks after a chunk; "" if that is nothing.
	Missing string
}

// State is the kind of a Result.
type State int

const (
	// Stored is a chunk that is a part of the upload under way, or of the complete file.
	Stored State = iota
	// Repeated is a body that completes the file that is there already.
	Repeated
	// Completed is a body that completed a file.
	Completed
)

// Commit adds a received body to what its name has. If that completes a file, create is asked
// for its owner; it is given the file's size and the owner of the file that is replaced.
func (st *Store) Commit(b *Body, kind string, create func(size int64, replaced string) (owner string)) (Result, error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	e := st.entries[b.name]
	state, err := e.accept(st, b)
	if err != nil {
		return Result{}, err
	}
	if state == Completed {
		e.complete(b, kind, create)
	}
	result := Result{State: state}
	if e.file != nil {
		result.Owner = e.file.owner
	}
	if state == Stored && b.upload == e.upload && !e.repeatsOnly() {
		result.Missing = "Bytes " + e.upload.missing().String() + " are among those that are missing."
		if e.upload.have == e.upload.total {
			result.Missing = "All other chunks are stored: send the last chunk again."
		}
	}
	return result, nil
}

// accept adds a chunk to its upload, and says what that means.
func (e *entry) accept(st *Store, b *Body) (State, error) {
	if b.span.Whole() {
		whole := part{Range: Range{0, b.Size - 1, b.Size}, sum: b.sum}
		if e.repeatsOnly() && e.file.find(whole) && len(e.file.parts) == 1 {
			return Repeated, nil
		}
		return Completed, nil
	}
	p := part{Range: b.span, sum: b.sum}
	p.repeat = e.file.find(p)
	switch fits := e.upload != nil && e.upload.conflict(p.Range) == nil; {
	case b.upload == e.upload:
	case p.repeat && p.last():
		return Repeated, nil // late, and not a part of the upload under way
	case p.repeat:
		return Stored, nil
	case b.restarts && fits: // another chunk has restarted it
		b.upload, b.claimed = e.upload, 0
	case b.restarts:
		e.dropUpload()
		e.upload, b.claimed = b.upload, 0
	default:
		return 0, ErrEnded
	}
	if err := e.upload.conflict(p.Range); err != nil {
		return 0, err
	}
	if err := e.upload.write(st, b); err != nil {
		return 0, err
	}
	e.upload.add(p)
	switch {
	case p.repeat && p.last() && e.repeatsOnly():
		e.dropUpload()
		return Repeated, nil
	case p.last() && e.upload.have == e.upload.total:
		return Completed, nil
	}
	return Stored, nil
}

// complete makes the name's new file, in place of the one that it had.
func (e *entry) complete(b *Body, kind string, create func(int64, string) string) {
	done, replaced := e.upload, ""
	if b.span.Whole() {
		e.dropUpload()
		whole := part{Range: Range{0, b.Size - 1, b.Size}, sum: b.sum}
		done = &file{path: b.path, total: b.Size, parts: []part{whole}}
		b.path = ""
	}
	e.upload = nil
	if e.file != nil {
		replaced = e.file.owner
	}
	e.dropFile()
	e.file, b.claimed = done, 0
	done.kind, done.stored = kind, time.Now()
	done.owner = create(done.total, replaced)
}

func (e *entry) dropUpload() {
	if e.upload != nil {
		remove(e.upload.path)
	}
	e.upload = nil
}

func (e *entry) dropFile() {
	if e.file != nil {
		remove(e.file.path)
	}
	e.file = nil
}

// repeatsOnly reports whether the upload under way, if there is one, has nothing but chunks that
// the complete file has too: late repeats, or the same file once more.
func (e *entry) repeatsOnly() bool { return e.upload == nil || e.upload.fresh == 0 }

// write copies a received chunk to its place. The first chunk's file becomes the upload's own
// if it begins the file.
func (f *file) write(st *Store, b *Body) error {
	if f.path == "" && b.span.Start == 0 {
		f.path, b.path = b.path, ""
		return nil
	}
	from, err := os.Open(b.path)
	if err != nil {
		return err
	}
	defer func() { _ = from.Close() }() // it was only read
	if f.path == "" {
		created, err := os.CreateTemp(st.dir, "*")
		if err != nil {
			return err
		}
		f.path = created.Name()
		if err := created.Close(); err != nil {
			return err
		}
	}
	to, err := os.OpenFile(f.path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.NewOffsetWriter(to, b.span.Start), from)
	if closeErr := to.Close(); err == nil {
		err = closeErr
	}
	return err
}

// search finds the first part that ends at an offset or later.
func (f *file) search(offset int64) int {
	return sort.Search(len(f.parts), func(i int) bool { return f.parts[i].End >= offset })
}

// find reports whether a file has a part of the same place and bytes.
func (f *file) find(p part) bool {
	if f == nil {
		return false
	}
	i := f.search(p.End)
	return i < len(f.parts) && f.parts[i].Range == p.Range && f.parts[i].sum == p.sum
}

// conflict says why a chunk does not fit to those that are there.
func (f *file) conflict(r Range) error {
	const restart = " To restart the upload, send the chunk that starts at byte 0 first."
	if f == nil {
		return nil
	}
	if f.total != r.Total {
		return RangeError(fmt.Sprintf("Content-Range says that the file has %d bytes; that of the upload under way has %d.", r.Total, f.total) + restart)
	}
	i := f.search(r.Start)
	if i < len(f.parts) && f.parts[i].Start <= r.End && f.parts[i].Range != r {
		return RangeError(fmt.Sprintf("Content-Range: bytes %v overlap bytes %v, which were stored before.", r, f.parts[i].Range) + restart)
	}
	return nil
}

// add takes a part that has no conflict, in place of an earlier one of the same range.
func (f *file) add(p part) {
	i := f.search(p.Start)
	if i < len(f.parts) && f.parts[i].Range == p.Range {
		f.count(f.parts[i], -1)
		f.parts[i] = p
	} else {
		f.parts = slices.Insert(f.parts, i, p)
	}
	f.count(p, 1)
}

func (f *file) count(p part, n int) {
	f.have += int64(n) * p.Length()
	if !p.repeat {
		f.fresh += n
	}
}

// missing is the first gap.
func (f *file) missing() Range {
	next := int64(0)
	for _, p := range f.parts {
		if p.Start > next {
			return Range{next, p.Start - 1, f.total}
		}
		next = p.End + 1
	}
	return Range{next, f.total - 1, f.total}
}
