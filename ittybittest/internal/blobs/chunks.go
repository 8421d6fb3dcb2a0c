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

// upload has the parts of a file that are there, in order and without overlaps.
type upload struct {
	total int64
	parts []*part
}

type part struct {
	Range
	sum  [sha256.Size]byte
	path string // "" when the file is complete
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
	e, u, p, owner := st.entries[b.name], b.upload, &part{b.span, b.sum, b.path}, ""
	if e.file != nil {
		owner = e.file.owner
	}
	switch ended := e.file != nil && u == e.file.upload; {
	case b.span.Whole():
		p.Range = Range{0, b.Size - 1, b.Size}
		u = &upload{total: b.Size}
	case u == nil: // it restarts the upload, if no other chunk has done so
		if u = e.upload; u == nil || u.conflict(p.Range) != nil {
			u = e.begin(p.Total)
		}
	case u == e.upload:
	case ended && u.has(p): // a late repeat
		if p.last() {
			return Result{State: Repeated, Owner: owner}, nil
		}
		return Result{State: Stored, Owner: owner}, nil
	case ended && (e.upload == nil || p.Start == 0):
		u = e.begin(p.Total)
	default:
		return Result{}, ErrEnded
	}
	if err := u.conflict(p.Range); err != nil {
		return Result{}, err
	}
	u.add(p)
	b.path = ""
	missing := u.missing()
	switch {
	case p.last() && e.repeatsOnly() && e.file.has(p):
		e.dropUpload()
		return Result{State: Repeated, Owner: owner}, nil
	case missing.Length() > 0:
		return Result{Stored, owner, "Bytes " + missing.String() + " are among those that are missing."}, nil
	case !p.last():
		return Result{Stored, owner, "All other chunks are stored: send the last chunk again."}, nil
	}
	b.claimed = 0
	if u != e.upload {
		e.upload.drop()
	}
	e.upload = nil
	if e.file != nil && len(e.file.parts) == len(u.parts) && !slices.ContainsFunc(u.parts, e.file.lacks) {
		u.drop()
		return Result{State: Repeated, Owner: owner}, nil
	}
	path, err := u.join()
	if err != nil {
		u.drop()
		return Result{}, err
	}
	if e.file != nil {
		remove(e.file.path)
	}
	e.file = &file{upload: u, path: path, kind: kind, stored: time.Now(), owner: create(u.total, owner)}
	return Result{State: Completed, Owner: e.file.owner}, nil
}

// join makes one file of the parts: that of the first one.
func (u *upload) join() (path string, err error) {
	to, err := os.OpenFile(u.parts[0].path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return "", err
	}
	for _, p := range u.parts[1:] {
		from, openErr := os.Open(p.path)
		if openErr != nil {
			return "", errors.Join(openErr, to.Close())
		}
		_, copyErr := io.Copy(to, from)
		_ = from.Close() // it was only read
		if err = errors.Join(err, copyErr); err != nil {
			break
		}
	}
	if closeErr := to.Close(); err != nil || closeErr != nil {
		return "", errors.Join(err, closeErr)
	}
	path, u.parts[0].path = u.parts[0].path, "" // it is the file's now
	u.drop()
	return path, nil
}

// drop removes the files of the parts.
func (u *upload) drop() {
	if u != nil {
		for _, p := range u.parts {
			remove(p.path)
			p.path = ""
		}
	}
}

// search finds the first part that ends at an offset or later.
func (u *upload) search(offset int64) int {
	return sort.Search(len(u.parts), func(i int) bool { return u.parts[i].End >= offset })
}

// find gives the part of exactly this range, or nil.
func (u *upload) find(r Range) *part {
	if i := u.search(r.End); i < len(u.parts) && u.parts[i].Range == r {
		return u.parts[i]
	}
	return nil
}

// has reports whether a part of the same place and bytes is there.
func (u *upload) has(p *part) bool {
	own := u.find(p.Range)
	return own != nil && own.sum == p.sum
}

func (u *upload) lacks(p *part) bool { return !u.has(p) }

// repeatsOnly reports whether an upload is under way that has nothing but chunks that the
// complete file has too: late repeats, or the same file once more.
func (e *entry) repeatsOnly() bool {
	return e.upload != nil && e.file != nil && !slices.ContainsFunc(e.upload.parts, e.file.lacks)
}

// begin starts an upload, in place of the one under way.
func (e *entry) begin(total int64) *upload {
	e.dropUpload()
	e.upload = &upload{total: total}
	return e.upload
}

func (e *entry) dropUpload() {
	e.upload.drop()
	e.upload = nil
}

// conflict says why a chunk does not fit to those that are there.
func (u *upload) conflict(r Range) error {
	const restart = " To restart the upload, send the chunk that starts at byte 0 first."
	if u == nil {
		return nil
	}
	if u.total != r.Total {
		return RangeError(fmt.Sprintf("Content-Range says that the file has %d bytes; that of the upload under way has %d.", r.Total, u.total) + restart)
	}
	i := u.search(r.Start)
	if i < len(u.parts) && u.parts[i].Start <= r.End && u.parts[i].Range != r {
		return RangeError(fmt.Sprintf("Content-Range: bytes %v overlap bytes %v, which were stored before.", r, u.parts[i].Range) + restart)
	}
	return nil
}

// add takes a part that has no conflict, in place of an earlier one of the same range.
func (u *upload) add(p *part) {
	i := u.search(p.Start)
	if i < len(u.parts) && u.parts[i].Range == p.Range {
		remove(u.parts[i].path)
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
