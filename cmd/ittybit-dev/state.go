package main

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/ittybit/ittybit-go/ittybittest"
)

// saveEvery is how often a changed state is written while the server runs, so that a crash loses
// little.
const saveEvery = 5 * time.Second

// savedState keeps the state of a local Ittybit in a directory, or nowhere if that is "".
type savedState struct {
	srv  *ittybittest.Server
	dir  string
	last [sha256.Size]byte // the sum of what was written last
}

func (s *savedState) path() string { return filepath.Join(s.dir, "state.tar") }

// load reads what an earlier run has left.
func (s *savedState) load() error {
	if s.dir == "" {
		return nil
	}
	f, err := os.Open(s.path())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // it was only read
	return s.srv.Load(f)
}

// keep writes the state now and then, and when ctx ends.
func (s *savedState) keep(ctx context.Context) error {
	ticker := time.NewTicker(saveEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return s.save()
		case <-ticker.C:
			if err := s.save(); err != nil {
				return err
			}
		}
	}
}

// errUnchanged ends the writing of a state that is on the disk already.
var errUnchanged = errors.New("the state has not changed")

// save puts the state in place at once, so that a crash leaves the one before.
func (s *savedState) save() error {
	if s.dir == "" {
		return nil
	}
	f, err := os.CreateTemp(s.dir, "state-*")
	if err != nil {
		return failed("%w", err)
	}
	err = s.write(f)
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(f.Name(), s.path())
	}
	if err == nil {
		return nil
	}
	removeErr := os.Remove(f.Name())
	if errors.Is(err, errUnchanged) {
		return removeErr
	}
	return failed("the state could not be saved: %w", errors.Join(err, removeErr))
}

// write writes a snapshot. It begins with a list of all that there is, uploads included: where that
// is what was written last, the uploads are not copied again.
func (s *savedState) write(to io.Writer) error {
	reader, writer := io.Pipe()
	go func() { _ = writer.CloseWithError(s.srv.Snapshot(writer)) }() // the reader has the error
	copied := io.TeeReader(reader, to)
	archive, sum := tar.NewReader(copied), sha256.New()
	_, err := archive.Next()
	if err == nil {
		_, err = io.Copy(sum, archive) //nolint:gosec // an archive of our own, not compressed
	}
	switch {
	case err != nil:
	case bytes.Equal(sum.Sum(nil), s.last[:]):
		err = errUnchanged
	default:
		if _, err = io.Copy(io.Discard, copied); err == nil {
			s.last = [sha256.Size]byte(sum.Sum(nil))
		}
	}
	_ = reader.CloseWithError(err) // ends a snapshot that is not wanted
	return err
}
