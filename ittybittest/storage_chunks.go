package ittybittest

import (
	"cmp"
	"io"
	"os"
	"slices"
)

// drop ends an upload that is under way.
func (sl *slot) drop() {
	if sl.upload != nil {
		for _, c := range sl.upload.chunks {
			discard(c.name)
		}
	}
	sl.upload = nil
}

// add takes a chunk, in place of an earlier one of the same range.
func (u *upload) add(c chunk) {
	u.chunks = slices.DeleteFunc(u.chunks, func(old chunk) bool {
		if old.span == c.span {
			discard(old.name)
		}
		return old.span == c.span
	})
	u.chunks = append(u.chunks, c)
}

// covered reports whether no byte is missing.
func (u *upload) covered() bool {
	next := int64(0)
	for _, c := range slices.SortedFunc(slices.Values(u.chunks), func(a, b chunk) int { return cmp.Compare(a.start, b.start) }) {
		if c.start > next {
			return false
		}
		next = max(next, c.end+1)
	}
	return next == u.total
}

// assemble writes the chunks to one file. The caller holds st.mu.
func (st *storage) assemble(u *upload) (name string, err error) {
	whole, err := st.createLocked()
	if err != nil {
		return "", err
	}
	for _, c := range u.chunks {
		if err = copyInto(io.NewOffsetWriter(whole, c.start), c.name); err != nil {
			break
		}
	}
	if closeErr := whole.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		discard(whole.Name())
		return "", err
	}
	return whole.Name(), nil
}

func copyInto(w io.Writer, name string) error {
	f, err := os.Open(name) //nolint:gosec // a temporary file of this server
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // it was only read
	_, err = io.Copy(w, f)
	return err
}

// forget removes the bytes of a file.
func (st *storage) forget(fileID string) {
	st.mu.Lock()
	defer st.mu.Unlock()
	for name, sl := range st.slots {
		if sl.blob != nil && sl.blob.fileID == fileID {
			discard(sl.blob.name)
			sl.blob = nil
			if sl.upload == nil {
				delete(st.slots, name)
			}
		}
	}
}

func (st *storage) clear() {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.dir != "" {
		_ = os.RemoveAll(st.dir) // what is left of it is in the system's temporary directory
	}
	st.dir, st.slots = "", nil
}
