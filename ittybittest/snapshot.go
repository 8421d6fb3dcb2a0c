package ittybittest

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/ittybit/ittybit-go/ittybittest/internal/blobs"
)

const (
	snapshotState   = "state.json"
	snapshotUploads = "uploads/"
)

// Snapshot writes the server's state as a tar archive: tasks, automations, media, files, jobs,
// what was chosen with SetResults and FailTasks, and the bytes of complete uploads. Deliveries
// and their retries, uploads under way and faults are no part of it. It is an error where the
// server was closed or reset.
func (s *Server) Snapshot(w io.Writer) error {
	now := s.live.Load()
	state, err := now.engine.Snapshot()
	if err != nil {
		return fmt.Errorf("ittybittest: the state cannot be encoded as JSON: %w", err)
	}
	archive := tar.NewWriter(w)
	if err := addEntry(archive, tar.Header{Name: snapshotState, Size: int64(len(state))}, bytes.NewReader(state)); err != nil {
		return err
	}
	for _, name := range now.blobs.Names() {
		f, err := now.blobs.Open(name)
		if err != nil {
			continue // it was deleted meanwhile
		}
		info, err := f.Stat()
		if err == nil {
			header := tar.Header{Name: snapshotUploads + name, Size: info.Size(), ModTime: f.Stored}
			header.PAXRecords = map[string]string{"ITTYBIT.owner": f.Owner}
			if f.Type != "" { // an empty value is not written
				header.PAXRecords["ITTYBIT.type"] = f.Type
			}
			err = addEntry(archive, header, f)
		}
		_ = f.Close() // it was only read
		if err != nil {
			return err
		}
	}
	if now.life.Over() {
		return errors.New("ittybittest: the server was closed or reset before its snapshot was complete")
	}
	return archive.Close()
}

func addEntry(archive *tar.Writer, header tar.Header, from io.Reader) error {
	header.Mode, header.Typeflag, header.Format = 0o600, tar.TypeReg, tar.FormatPAX
	if err := archive.WriteHeader(&header); err != nil {
		return err
	}
	_, err := io.Copy(archive, from)
	return err
}

// Load replaces the server's state with that of a snapshot; after an error it is what it was. Tasks
// and jobs that were under way start again, and post their webhooks; what the workflow of an
// automation had still to do is not known, and not done. Records of deliveries stay. The key and
// the address of the storage should be those of the server that was saved: urls of files have them.
// Stores, logs and receivers must not call it.
func (s *Server) Load(r io.Reader) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	loaded := s.newWorld()
	err := loaded.load(tar.NewReader(r))
	if err == nil && s.life.Over() {
		err = errClosed
	}
	if err != nil {
		loaded.end()
		return err
	}
	s.live.Swap(loaded).end()
	return nil
}

func (w *world) load(archive *tar.Reader) error {
	for found := false; ; {
		header, err := archive.Next()
		if err == io.EOF && !found { // nothing would be read as an empty state
			return fmt.Errorf("ittybittest: not a snapshot: it has no %s", snapshotState)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("ittybittest: not a snapshot: %w", err)
		}
		if header.Name == snapshotState {
			found = true
			state, err := io.ReadAll(archive)
			if err == nil {
				err = w.engine.Load(state)
			}
			if err != nil {
				return fmt.Errorf("ittybittest: not a snapshot: %w", err)
			}
		} else if name, ok := strings.CutPrefix(header.Name, snapshotUploads); ok {
			if err := w.loadUpload(name, header, archive); err != nil {
				return fmt.Errorf("ittybittest: an upload of the snapshot cannot be stored: %w", err)
			}
		}
	}
}

func (w *world) loadUpload(name string, header *tar.Header, from io.Reader) error {
	body, err := w.blobs.Receive(name, blobs.Range{Total: -1}, header.Size, from)
	if err != nil {
		return err
	}
	defer w.blobs.End(body)
	_, err = w.blobs.Commit(body, header.PAXRecords["ITTYBIT.type"], func(int64, string) string { return header.PAXRecords["ITTYBIT.owner"] })
	return err
}
