// Package blobs stores what is uploaded, whole or in chunks, in temporary files: one for each
// upload, and one for each body that arrives. It knows nothing of HTTP.
package blobs

import (
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
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
