package blobs

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sort"
	"time"

	"github.com/ittybit/ittybit-go/ittybittest/internal/refusal"
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

// upload has the parts of a file that are there, in order and without overlaps, in one file.
type upload struct {
	total int64
	path  string
	parts []part
}

type part struct {
	Range
	sum [sha256.Size]byte
}

// Result is what became of a body: a part of an upload, a file that it completed, or a repeat of one.
type Result struct {
	// Owner is that of the file; "" of an upload that is not complete.
	Owner string
	// Missing says what an upload lacks after a chunk; "" if that is nothing.
	Missing string
}

// Commit adds a received body to what its name has. If that completes a file, create is asked
// for its owner; it is given the file's size and the owner of the file that is replaced.
func (st *Store) Commit(b *Body, kind string, create func(size int64, replaced string) (owner string)) (Result, error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if max(b.Size, b.span.Total) > st.room(b.name) { // others may have come meanwhile
		return Result{}, ErrFull
	}
	e, p, owner := st.entries[b.name], part{b.span, b.sum}, ""
	if e == nil {
		e = &entry{}
	}
	if e.file != nil {
		owner = e.file.owner
	}
	var u *upload
	if b.span.Whole() {
		p.Range = Range{0, b.Size - 1, b.Size}
		u, b.path = &upload{total: b.Size, path: b.path}, "" // the body's file is the upload's now
	} else {
		var err error
		if u, err = e.place(p.Range, b); err != nil {
			return Result{}, err
		}
		e.upload = u
	}
	st.entries[b.name] = e
	u.add(p)
	missing := u.missing()
	switch {
	case p.last() && u.isPartOf(e.file):
		if u != e.upload {
			remove(u.path)
		}
		e.dropUpload()
		return Result{Owner: owner}, nil
	case missing.Length() > 0:
		return Result{Missing: "Bytes " + missing.String() + " are among those that are missing."}, nil
	case !p.last():
		return Result{Missing: "All other chunks are stored: send the last chunk again."}, nil
	case u == e.upload:
		e.upload = nil // it is the file now
	}
	e.dropUpload()
	if e.file != nil {
		remove(e.file.path)
	}
	e.file = &file{upload: u, kind: kind, stored: time.Now(), owner: create(u.total, owner)}
	return Result{Owner: e.file.owner}, nil
}

// place writes a chunk into the upload that it belongs to. If none is under way, it begins one. If
// it does not fit to the one under way, it restarts that if it is the first chunk, or if those that
// are there only repeat the complete file.
func (e *entry) place(r Range, b *Body) (*upload, error) {
	u := e.upload
	if conflict := u.conflict(r); conflict != nil {
		if r.Start > 0 && !u.isPartOf(e.file) {
			return nil, conflict
		}
		e.dropUpload()
		u = nil
	}
	if u == nil && r.Start == 0 {
		u, b.path = &upload{total: r.Total, path: b.path}, "" // the body's file is the upload's now
		return u, nil
	}
	from, err := os.Open(b.path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = from.Close() }() // it was only read
	if u == nil {
		u = &upload{total: r.Total, path: b.path + "-upload"}
	}
	to, err := os.OpenFile(u.path, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	_, err = io.Copy(io.NewOffsetWriter(to, r.Start), from)
	if err = errors.Join(err, to.Close()); err != nil && u != e.upload {
		remove(u.path)
	}
	return u, err
}

func (e *entry) dropUpload() {
	if e.upload != nil {
		remove(e.upload.path)
	}
	e.upload = nil
}

// search finds the first part that ends at an offset or later.
func (u *upload) search(offset int64) int {
	return sort.Search(len(u.parts), func(i int) bool { return u.parts[i].End >= offset })
}

// isPartOf reports whether a file has all parts of an upload, with the same bytes: they are late
// repeats, or the same file once more.
func (u *upload) isPartOf(f *file) bool {
	return f != nil && !slices.ContainsFunc(u.parts, func(p part) bool { return !slices.Contains(f.parts, p) })
}

// conflict says why a chunk does not fit to those that are there.
func (u *upload) conflict(r Range) error {
	const restart = " To restart the upload, send the chunk that starts at byte 0 first."
	if u == nil {
		return nil
	}
	if u.total != r.Total {
		return refusal.Invalid("Content-Range says that the file has %d bytes; that of the upload under way has %d."+restart, r.Total, u.total)
	}
	i := u.search(r.Start)
	if i < len(u.parts) && u.parts[i].Start <= r.End && u.parts[i].Range != r {
		return refusal.Invalid("Content-Range: bytes %v overlap bytes %v, which were stored before."+restart, r, u.parts[i].Range)
	}
	return nil
}

// add takes a part that has no conflict, in place of an earlier one of the same range.
func (u *upload) add(p part) {
	i := u.search(p.Start)
	if i < len(u.parts) && u.parts[i].Range == p.Range {
		u.parts[i] = p
	} else {
		u.parts = slices.Insert(u.parts, i, p)
	}
}

// missing is the first gap; it has no bytes if there is none.
func (u *upload) missing() Range {
	next := int64(0)
	for _, p := range u.parts {
		if p.Start > next {
			return Range{next, p.Start - 1, u.total}
		}
		next = p.End + 1
	}
	return Range{next, u.total - 1, u.total}
}
