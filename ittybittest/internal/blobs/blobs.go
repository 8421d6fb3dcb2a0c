// Package blobs stores what is uploaded, whole or in chunks, in temporary files: one for each
// upload, and one for each body that arrives. It knows nothing of HTTP.
package blobs

import (
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"os"
	"sync"
	"time"
)

// MaxLimit is the highest limit, in bytes: more than a disk has, and far from an overflow.
const MaxLimit = 1_000_000_000_000_000

// ErrFull is the error of a body for which the limit has no room.
var ErrFull = errors.New("the storage is full")

// RangeError says why a chunk does not fit to those that are there.
type RangeError string

// Error implements error.
func (e RangeError) Error() string { return string(e) }

// ReadError is the error of the reader that a body came from.
type ReadError struct{ Err error }

// Error implements error.
func (e *ReadError) Error() string { return e.Err.Error() }

// Unwrap gives the reader's error.
func (e *ReadError) Unwrap() error { return e.Err }

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

// entry is what is known of a name.
type entry struct {
	file   *file   // nil until an upload completed
	upload *upload // nil unless one in chunks is under way
	bodies map[*Body]bool
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
	Size    int64 // once it was received
	name    string
	span    Range
	claimed int64 // bytes of the limit
	path    string
	sum     [sha256.Size]byte
}

// Begin makes room for a body of some length, -1 if that is unknown; a chunk makes room for its
// whole file. The body must be ended.
func (st *Store) Begin(name string, span Range, length int64) (*Body, error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	e := st.entries[name]
	if e == nil {
		e = &entry{bodies: map[*Body]bool{}}
		st.entries[name] = e
	}
	b := &Body{name: name, span: span}
	e.bodies[b] = true
	err := st.claim(b, max(length, span.Total, 0))
	if err != nil {
		st.leave(b)
	}
	return b, err
}

// claim takes that many bytes of the limit for a body. The caller holds st.mu.
func (st *Store) claim(b *Body, bytes int64) error {
	before, used := b.claimed, int64(0)
	b.claimed = bytes
	for _, e := range st.entries {
		used += e.usage()
	}
	if used > st.limit {
		b.claimed = before
		return ErrFull
	}
	return nil
}

// usage is how many bytes of the limit a name takes: what it has counts together with what
// replaces it as much as the larger of both.
func (e *entry) usage() (size int64) {
	chunked := int64(0)
	for b := range e.bodies {
		if b.span.Whole() {
			size += b.claimed
		} else {
			chunked = max(chunked, b.claimed)
		}
	}
	size = max(size, chunked)
	if e.file != nil {
		size = max(size, e.file.total)
	}
	if e.upload != nil {
		size = max(size, e.upload.total)
	}
	return size
}

// Receive reads a body into a temporary file of its own, so that half a chunk never spoils a
// good one. An error of the reader is a [ReadError].
func (st *Store) Receive(b *Body, from io.Reader) error {
	f, err := st.create()
	if err != nil {
		return err
	}
	b.path = f.Name()
	hash := sha256.New()
	b.Size, err = io.Copy(io.MultiWriter(f, hash), &arriving{st: st, body: b, from: from})
	b.sum = [sha256.Size]byte(hash.Sum(nil))
	return errors.Join(err, f.Close())
}

// arriving claims room for a body whose length is not known.
type arriving struct {
	st   *Store
	body *Body
	from io.Reader
	size int64
}

// Read implements io.Reader.
func (a *arriving) Read(p []byte) (int, error) {
	n, err := a.from.Read(p)
	a.size += int64(n)
	if a.size > a.body.claimed { // only this goroutine changes it
		a.st.mu.Lock()
		full := a.st.claim(a.body, a.size)
		a.st.mu.Unlock()
		if full != nil {
			return 0, full
		}
	}
	if err != nil && !errors.Is(err, io.EOF) {
		err = &ReadError{err}
	}
	return n, err
}

// End drops a body, and what came of it unless it was committed. It may be called again.
func (st *Store) End(b *Body) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.leave(b)
}

func (st *Store) leave(b *Body) {
	remove(b.path)
	b.path = ""
	if e := st.entries[b.name]; e != nil {
		delete(e.bodies, b)
		st.tidy(b.name)
	}
}

// tidy drops an entry that has no bytes and expects none. The caller holds st.mu.
func (st *Store) tidy(name string) {
	if e := st.entries[name]; len(e.bodies) == 0 && e.file == nil && e.upload == nil {
		delete(st.entries, name)
	}
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

// Move gives the complete upload of an owner another name. Where something is stored there or
// arriving at one of both, the error matches fs.ErrExist.
func (st *Store) Move(owner, from, to string) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	e := st.entries[from]
	switch {
	case from == to:
		return nil
	case e == nil || e.file == nil || e.file.owner != owner:
		return &fs.PathError{Op: "move", Path: from, Err: fs.ErrNotExist}
	case st.entries[to] != nil || e.upload != nil || len(e.bodies) > 0:
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
			e.file = nil
			st.tidy(name)
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
