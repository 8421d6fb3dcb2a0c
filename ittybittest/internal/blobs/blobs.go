// Package blobs stores what is uploaded, whole or in chunks, in temporary files: one for each
// upload, and one for each body that arrives. It knows nothing of HTTP.
package blobs

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"slices"
	"sort"
	"sync"
	"time"

	"github.com/ittybit/ittybit-go/ittybittest/internal/refusal"
)

// MaxLimit is the highest limit, in bytes: more than a disk has, and far from an overflow.
const MaxLimit = 1_000_000_000_000_000

// ErrFull is the refusal of a body for which the limit has no room.
var ErrFull = refusal.New(http.StatusInsufficientStorage, "The storage is full.")

// Store keeps uploads in a directory of its own. Make one with [New].
type Store struct {
	limit   int64
	mu      sync.Mutex
	dir     string // "" until something is stored
	entries map[string]*entry
}

// New makes a store of so many bytes.
func New(limit int64) *Store {
	return &Store{limit: limit, entries: map[string]*entry{}}
}

// entry is what is known of a name: at least one of both.
type entry struct {
	file   *file   // nil until an upload completed
	upload *upload // nil unless one in chunks is under way
}

// size is how many bytes of the limit it takes: a file counts together with what replaces it as
// much as the larger of both, and an upload in chunks as much as its whole file.
func (e *entry) size() (size int64) {
	if e.file != nil {
		size = e.file.total
	}
	if e.upload != nil {
		size = max(size, e.upload.total)
	}
	return size
}

// file is a complete upload.
type file struct {
	*upload
	owner  string
	kind   string
	stored time.Time
}

// Body is what arrives with one request.
type Body struct {
	Size int64 // once it was received
	name string
	span Range
	path string
	sum  [sha256.Size]byte
}

// room is how many bytes the upload of a name may have. The caller holds st.mu.
func (st *Store) room(name string) int64 {
	room := st.limit
	for other, e := range st.entries {
		if other != name {
			room -= e.size()
		}
	}
	return room
}

// Receive reads a body of some length, -1 if that is unknown, into a temporary file of its own, so
// that half a chunk never spoils a good one. Nothing is read if there is no room for it; of a chunk
// for its whole file. What was received must be ended.
func (st *Store) Receive(name string, span Range, length int64, from io.Reader) (*Body, error) {
	b := &Body{name: name, span: span}
	st.mu.Lock()
	room := st.room(name)
	st.mu.Unlock()
	if max(length, span.Total) > room {
		return nil, ErrFull
	}
	f, err := st.create()
	if err != nil {
		return nil, err
	}
	b.path = f.Name()
	hash := sha256.New()
	b.Size, err = io.Copy(io.MultiWriter(f, hash), io.LimitReader(from, room+1))
	b.sum = [sha256.Size]byte(hash.Sum(nil))
	if err = errors.Join(err, f.Close()); err == nil && b.Size > room {
		err = ErrFull
	}
	if err != nil {
		st.End(b)
		return nil, err
	}
	return b, nil
}

// End drops a body, and what came of it unless it was committed. It may be called again.
func (st *Store) End(b *Body) {
	st.mu.Lock()
	defer st.mu.Unlock()
	remove(b.path)
	b.path = ""
}

func (st *Store) create() (*os.File, error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.dir == "" {
		dir, err := os.MkdirTemp("", "ittybittest-")
		if err != nil {
			return nil, err
		}
		st.dir = dir
	}
	return os.CreateTemp(st.dir, "*")
}

// remove may fail where somebody reads the file; it goes with its directory at the latest.
func remove(path string) {
	if path != "" {
		_ = os.Remove(path)
	}
}

// File is a complete upload, to read.
type File struct {
	*os.File
	Type   string // its media type, "" if unknown
	Owner  string
	Stored time.Time
}

// Open opens the complete upload of a name. Its bytes stay what they are until it is closed.
// Where nothing is stored the error matches fs.ErrNotExist.
func (st *Store) Open(name string) (*File, error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	e := st.entries[name]
	if e == nil || e.file == nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	f, err := os.Open(e.file.path)
	if err != nil {
		return nil, err
	}
	return &File{File: f, Type: e.file.kind, Owner: e.file.owner, Stored: e.file.stored}, nil
}

// Move gives the complete upload of an owner another name. Where something is stored there, or an
// upload in chunks is under way to one of both, the error matches fs.ErrExist.
func (st *Store) Move(owner, from, to string) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	e := st.entries[from]
	switch {
	case from == to:
		return nil
	case e == nil || e.file == nil || e.file.owner != owner:
		return &fs.PathError{Op: "move", Path: from, Err: fs.ErrNotExist}
	case st.entries[to] != nil || e.upload != nil:
		return &fs.PathError{Op: "move", Path: to, Err: fs.ErrExist}
	}
	delete(st.entries, from)
	st.entries[to] = e
	return nil
}

// Delete removes the bytes of an owner.
func (st *Store) Delete(owner string) {
	st.mu.Lock()
	defer st.mu.Unlock()
	for name, e := range st.entries {
		if e.file != nil && e.file.owner == owner {
			remove(e.file.path)
			if e.file = nil; e.upload == nil {
				delete(st.entries, name)
			}
		}
	}
}

// Names are those of the complete uploads.
func (st *Store) Names() (names []string) {
	st.mu.Lock()
	defer st.mu.Unlock()
	for name, e := range st.entries {
		if e.file != nil {
			names = append(names, name)
		}
	}
	return names
}

// Clear removes everything.
func (st *Store) Clear() {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.dir != "" {
		_ = os.RemoveAll(st.dir) // what is left of it is in the system's temporary directory
	}
	st.dir, st.entries = "", map[string]*entry{}
}

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

// Result is what became of a body: a part of an upload, a file that it completed, or its repeat.
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
