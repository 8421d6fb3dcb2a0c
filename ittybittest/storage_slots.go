package ittybittest

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"slices"
	"sort"
	"sync"
	"time"
)

// maxStorage is the most that WithStorageLimit can be, in bytes: far more than
// any disk has, and far from an overflow.
const maxStorage = 1_000_000_000_000_000

// storage holds what was uploaded, in temporary files with random names. A
// chunk stays in the file in which it came: a complete upload is the list of
// its chunks, so that nothing is copied to complete it.
type storage struct {
	limit int64
	mu    sync.Mutex // may be held when Server.mu is taken, never the other way round
	dir   string     // "" until something is stored
	slots map[string]*slot
}

// slot is what is known of a path.
type slot struct {
	blob   *blob   // nil until an upload completed
	upload *upload // nil unless one is under way
	bodies map[*incoming]bool
}

// blob is a complete upload.
type blob struct {
	chunks []chunk // in order, without gaps; of a whole body, one
	size   int64
	fileID string
	kind   string // its Content-Type, "" if unknown
	stored time.Time
}

// upload is some chunks of a file, in order, of which none overlap.
type upload struct {
	total  int64
	chunks []chunk
	have   int64 // bytes of all of them
	own    int   // how many of them the complete file does not have
}

// span is a range of bytes, both ends included, of a file of total bytes. That
// of a whole body has total -1.
type span struct{ start, end, total int64 }

func (sp span) length() int64 { return sp.end - sp.start + 1 }

// String writes a span as Content-Range does, without the total.
func (sp span) String() string { return fmt.Sprintf("%d-%d", sp.start, sp.end) }

type chunk struct {
	span
	*piece
}

// piece is a temporary file. It is removed with its last holder.
type piece struct {
	name    string
	size    int64
	sum     [sha256.Size]byte
	holders int  // guarded by storage.mu, as what follows
	stored  bool // it is, or was, a part of a complete file
}

// incoming is the body of a PUT.
type incoming struct {
	name    string // the path
	span    span
	upload  *upload // that the chunk is for; nil for a whole body
	anew    bool    // upload takes the place of the one under way
	claimed int64   // bytes of the limit that only this body needs
	piece   *piece  // nil until it was received
}

// begin makes room for a body of some length, -1 if that is unknown. It must be
// ended.
func (st *storage) begin(name string, sp span, length int64) (*incoming, error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	sl := st.slots[name]
	if sl == nil {
		if st.slots == nil {
			st.slots = map[string]*slot{}
		}
		sl = &slot{bodies: map[*incoming]bool{}}
		st.slots[name] = sl
	}
	in := &incoming{name: name, span: sp}
	sl.bodies[in] = true
	var err error
	if sp.total < 0 {
		err = st.claim(in, max(length, 0))
	} else {
		err = st.join(sl, in)
	}
	if err != nil {
		st.leave(in)
	}
	return in, err
}

// join finds the upload that a chunk belongs to, or begins one. The caller
// holds st.mu.
func (st *storage) join(sl *slot, in *incoming) error {
	problem := sl.upload.conflict(in.span)
	if problem != nil && sl.echoes() && !sl.receiving() {
		st.dropUpload(sl)
	}
	switch {
	case sl.upload == nil:
		sl.upload = &upload{total: in.span.total}
		in.upload = sl.upload
		return st.claim(in, 0) // the upload counts by itself
	case problem == nil:
		in.upload = sl.upload
		return nil
	case in.span.start == 0:
		in.upload, in.anew = &upload{total: in.span.total}, true
		return st.claim(in, in.span.total)
	}
	return problem
}

// claim takes that many bytes of the limit for a body, if there are so many.
// The caller holds st.mu.
func (st *storage) claim(in *incoming, bytes int64) error {
	if bytes > st.limit {
		return noRoom()
	}
	before, used := in.claimed, int64(0)
	in.claimed = bytes
	for _, sl := range st.slots {
		used += sl.charge()
	}
	if used > st.limit {
		in.claimed = before
		return noRoom()
	}
	return nil
}

// grow claims more for a body whose length was not known.
func (st *storage) grow(in *incoming, size int64) error {
	if in.span.total >= 0 || size <= in.claimed { // only this body's goroutine changes it
		return nil
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.claim(in, size)
}

// charge is how many bytes of the limit a path takes: what it has counts
// together with what replaces it only as far as that is larger.
func (sl *slot) charge() int64 {
	arriving, size := int64(0), int64(0)
	for in := range sl.bodies {
		arriving += in.claimed
	}
	if sl.blob != nil {
		size = sl.blob.size
	}
	if sl.upload != nil {
		size = max(size, sl.upload.total)
	}
	return max(size, arriving)
}

// receiving reports whether a body for the upload under way is on its way.
func (sl *slot) receiving() bool {
	for in := range sl.bodies {
		if in.upload != nil && in.upload == sl.upload {
			return true
		}
	}
	return false
}

// end forgets a body, and what came of it unless it was accepted. It may be
// called again.
func (st *storage) end(in *incoming) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.leave(in)
}

func (st *storage) leave(in *incoming) {
	if in.piece != nil {
		st.release(in.piece)
		in.piece = nil
	}
	if sl := st.slots[in.name]; sl != nil {
		delete(sl.bodies, in)
		st.tidy(in.name)
	}
}

// tidy forgets what has no bytes and expects none. The caller holds st.mu.
func (st *storage) tidy(name string) {
	sl := st.slots[name]
	if sl.upload != nil && len(sl.upload.chunks) == 0 && !sl.receiving() {
		sl.upload = nil
	}
	if sl.blob == nil && sl.upload == nil && len(sl.bodies) == 0 {
		delete(st.slots, name)
	}
}

// verdict is what a body that was received came to.
type verdict int

const (
	rejected  verdict = iota
	kept              // as a part of the upload under way, or of the file, which had it before
	repeated          // it completed the file that is there already
	completed         // it completes a file
)

// accept adds a body to what its path has. The caller holds st.mu.
func (st *storage) accept(sl *slot, in *incoming) (verdict, error) {
	if in.span.total < 0 {
		whole := chunk{span{0, in.piece.size - 1, in.piece.size}, in.piece}
		if sl.echoes() && sl.blob.find(whole) != nil && len(sl.blob.chunks) == 1 {
			return repeated, nil
		}
		return completed, nil
	}
	c := chunk{in.span, in.piece}
	echo := sl.blob.find(c)
	switch fits := sl.upload != nil && sl.upload.conflict(c.span) == nil; {
	case in.upload == sl.upload:
	case echo != nil && c.last():
		return repeated, nil // late, and nothing to do with the upload that is under way
	case echo != nil:
		return kept, nil
	case in.anew && fits: // another chunk has begun it anew
		in.upload, in.claimed = sl.upload, 0
	case in.anew:
		st.dropUpload(sl)
		sl.upload, in.claimed = in.upload, 0
	default:
		return rejected, refuse(http.StatusConflict, "The upload that this chunk belongs to has ended, or was begun anew.")
	}
	if err := sl.upload.conflict(c.span); err != nil {
		return rejected, err
	}
	if echo != nil {
		c = *echo
	}
	st.add(sl.upload, c)
	switch {
	case echo != nil && c.last() && sl.echoes():
		st.dropUpload(sl)
		return repeated, nil
	case c.last() && sl.upload.have == sl.upload.total:
		return completed, nil
	}
	return kept, nil
}

// stillMissing says what an upload lacks after a chunk, if it lacks something.
func (sl *slot) stillMissing(in *incoming) string {
	if in.upload != sl.upload || sl.echoes() {
		return ""
	}
	if sl.upload.have == sl.upload.total {
		return " No other one is missing: send the one that ends the file once more."
	}
	return " Bytes " + sl.upload.missing().String() + " are among those that are missing."
}

// echoes reports whether the upload under way, if there is one, has nothing but
// chunks that the complete file has too: late repeats, or the same file once more.
func (sl *slot) echoes() bool { return sl.upload == nil || sl.upload.own == 0 }

// last reports whether a chunk ends the file.
func (c chunk) last() bool { return c.end == c.total-1 }

// search finds the first chunk that ends at an offset or later.
func search(chunks []chunk, offset int64) int {
	return sort.Search(len(chunks), func(i int) bool { return chunks[i].end >= offset })
}

// find gives the chunk of the file that has the same place and bytes, or nil.
func (b *blob) find(c chunk) *chunk {
	if b == nil {
		return nil
	}
	i := search(b.chunks, c.end)
	if i == len(b.chunks) || b.chunks[i].span != c.span || b.chunks[i].size != c.size || b.chunks[i].sum != c.sum {
		return nil
	}
	return &b.chunks[i]
}

// conflict says why a chunk does not fit to those that are there.
func (u *upload) conflict(sp span) error {
	if u == nil {
		return nil
	}
	if u.total != sp.total {
		return badRequest("Content-Range says that the file has %d bytes; that of the upload under way has %d. "+
			"To begin it anew, send the chunk that starts at byte 0 first.", sp.total, u.total)
	}
	i := search(u.chunks, sp.start)
	if i < len(u.chunks) && u.chunks[i].start <= sp.end && u.chunks[i].span != sp {
		return badRequest("Content-Range: bytes %v overlap bytes %v, which were stored before. "+
			"To begin the upload anew, send the chunk that starts at byte 0 first.", sp, u.chunks[i].span)
	}
	return nil
}

// add takes a chunk that has no conflict, in place of an earlier one of the same
// range. The caller holds st.mu.
func (st *storage) add(u *upload, c chunk) {
	c.holders++
	i := search(u.chunks, c.start)
	if i < len(u.chunks) && u.chunks[i].span == c.span {
		u.count(u.chunks[i], -1)
		st.release(u.chunks[i].piece)
		u.chunks[i] = c
	} else {
		u.chunks = slices.Insert(u.chunks, i, c)
	}
	u.count(c, 1)
}

func (u *upload) count(c chunk, n int) {
	u.have += int64(n) * c.length()
	if !c.stored {
		u.own += n
	}
}

// missing is the first gap.
func (u *upload) missing() span {
	next := int64(0)
	for _, c := range u.chunks {
		if c.start > next {
			return span{next, c.start - 1, u.total}
		}
		next = c.end + 1
	}
	return span{next, u.total - 1, u.total}
}

// dropUpload ends an upload that is under way. The caller holds st.mu.
func (st *storage) dropUpload(sl *slot) {
	if sl.upload != nil {
		for _, c := range sl.upload.chunks {
			st.release(c.piece)
		}
	}
	sl.upload = nil
}

// finish makes a path's new blob, and drops what was there before. The caller
// holds st.mu.
func (sl *slot) finish(st *storage, in *incoming) *blob {
	b := &blob{size: in.piece.size}
	if in.span.total < 0 {
		b.chunks = []chunk{{span{0, b.size - 1, b.size}, in.piece}}
	} else {
		b.chunks, b.size = slices.Clone(sl.upload.chunks), sl.upload.total
	}
	for _, c := range b.chunks {
		c.holders++
		c.stored = true
	}
	st.dropUpload(sl)
	st.dropBlob(sl)
	sl.blob, in.claimed = b, 0
	return b
}

func (st *storage) dropBlob(sl *slot) {
	if sl.blob != nil {
		for _, c := range sl.blob.chunks {
			st.release(c.piece)
		}
	}
	sl.blob = nil
}

// forget removes the bytes of a file.
func (st *storage) forget(fileID string) {
	st.mu.Lock()
	defer st.mu.Unlock()
	for name, sl := range st.slots {
		if sl.blob != nil && sl.blob.fileID == fileID {
			if sl.echoes() && !sl.receiving() {
				st.dropUpload(sl) // it was about this file
			}
			st.dropBlob(sl)
			st.tidy(name)
		}
	}
}
