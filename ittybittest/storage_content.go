package ittybittest

import (
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path"
)

// create makes a temporary file.
func (st *storage) create() (*os.File, error) {
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

// release lets go of a temporary file. The caller holds st.mu.
func (st *storage) release(p *piece) {
	if p.holders--; p.holders == 0 {
		_ = os.Remove(p.name) //nolint:gosec // its name is random; it goes with the directory at the latest
	}
}

// save writes a body to a temporary file of its own, so that half a chunk
// never spoils a good one.
func (st *storage) save(in *incoming, body io.Reader) error {
	f, err := st.create()
	if err != nil {
		return err
	}
	hash := sha256.New()
	size, err := io.Copy(io.MultiWriter(f, hash), &arriving{st: st, in: in, body: body})
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	in.piece = &piece{name: f.Name(), size: size, sum: [sha256.Size]byte(hash.Sum(nil)), holders: 1}
	return err
}

// arriving is a body as it comes in. Its errors tell a client that has gone from
// one that sends too much, and both from a disk that fails.
type arriving struct {
	st   *storage
	in   *incoming
	body io.Reader
	size int64
}

// Read implements io.Reader.
func (a *arriving) Read(p []byte) (int, error) {
	n, err := a.body.Read(p)
	a.size += int64(n)
	if full := a.st.grow(a.in, a.size); full != nil {
		return 0, full
	}
	var tooLarge *http.MaxBytesError
	if err != nil && !errors.Is(err, io.EOF) && !errors.As(err, &tooLarge) {
		err = errAborted // the client has gone
	}
	return n, err
}

// content reads a stored file, which it keeps from being removed meanwhile.
type content struct {
	st   *storage
	name string
	blob blob
	at   int64
	file *os.File // of the chunk that was read last
	open int      // which chunk that is
}

// open opens what is stored at a path.
func (st *storage) open(name string) (*content, error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	sl := st.slots[name]
	if sl == nil || sl.blob == nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	for _, c := range sl.blob.chunks {
		c.holders++
	}
	return &content{st: st, name: name, blob: *sl.blob}, nil
}

// Read implements io.Reader.
func (c *content) Read(p []byte) (int, error) {
	if c.at >= c.blob.size {
		return 0, io.EOF
	}
	i := search(c.blob.chunks, c.at)
	if c.file == nil || c.open != i {
		c.closeFile()
		f, err := os.Open(c.blob.chunks[i].name)
		if err != nil {
			return 0, err
		}
		c.file, c.open = f, i
	}
	part := c.blob.chunks[i]
	n, err := c.file.ReadAt(p[:min(int64(len(p)), part.end+1-c.at)], c.at-part.start)
	c.at += int64(n)
	if n > 0 {
		err = nil
	}
	return n, err
}

// Seek implements io.Seeker.
func (c *content) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += c.at
	case io.SeekEnd:
		offset += c.blob.size
	}
	if offset < 0 {
		return 0, fs.ErrInvalid
	}
	c.at = offset
	return offset, nil
}

// Close implements io.Closer.
func (c *content) Close() error {
	c.closeFile()
	c.st.mu.Lock()
	defer c.st.mu.Unlock()
	for _, part := range c.blob.chunks {
		c.st.release(part.piece)
	}
	c.blob = blob{}
	return nil
}

func (c *content) closeFile() {
	if c.file != nil {
		_ = c.file.Close() // it was only read
	}
	c.file = nil
}

// serve answers with the file, or the ranges of it that were asked for.
func (c *content) serve(w http.ResponseWriter, r *http.Request) {
	if c.blob.kind != "" {
		w.Header().Set("Content-Type", c.blob.kind)
	}
	http.ServeContent(w, r, path.Base(c.name), c.blob.stored, c)
}

func (st *storage) clear() {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.dir != "" {
		_ = os.RemoveAll(st.dir) // what is left of it is in the system's temporary directory
	}
	st.dir, st.slots = "", nil
}
