package ittybit

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"sync"
	"sync/atomic"
)

// UploadToken says which chunks of an upload Ittybit has confirmed, for
// UploadParams.Resume. It holds the address and the size of the file and a checksum of
// each chunk; no key and no signature. The empty one begins anew.
type UploadToken string

// uploadState is what a token holds, in JSON.
type uploadState struct {
	Version   int    `json:"v"`
	URL       string `json:"url"`
	Size      int64  `json:"size"`
	ChunkSize int64  `json:"chunk"`
	// Chunks are five bytes each, in base64: 1 for a confirmed chunk, and its CRC-32C.
	Chunks string `json:"chunks"`
}

const (
	uploadStateVersion = 1
	chunkStateBytes    = 5
)

// sendChunks sends the file in chunks. The last one goes last and alone: it is what makes
// Ittybit look whether it has them all (resumable uploads guide).
func (u *uploading) sendChunks(ctx context.Context) error {
	if u.source.at == nil {
		return u.sendStream(ctx)
	}
	final := u.parts.count() - 1
	var before, rest []int
	for i := range final {
		if u.parts.before[i] {
			before = append(before, i)
		} else {
			rest = append(rest, i)
		}
	}
	// What was confirmed is compared first: nothing of another body goes out.
	if err := u.inParallel(ctx, before, u.compare); err != nil {
		return err
	}
	// The first one that is still to be sent goes alone too, so that an upload that is
	// refused is refused once.
	if first := u.parts.firstUnconfirmed(); first < final {
		if err := u.send(ctx, first, true); err != nil {
			return err
		}
	}
	if err := u.inParallel(ctx, rest, u.sendOnce); err != nil {
		return err
	}
	return u.send(ctx, final, final == 0)
}

// inParallel does something with chunks until that fails.
func (u *uploading) inParallel(ctx context.Context, chunks []int, do func(context.Context, int) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var (
		workers sync.WaitGroup
		next    atomic.Int64
		once    sync.Once
		failure error
	)
	for range min(u.params.Concurrency, len(chunks)) {
		workers.Go(func() {
			for ctx.Err() == nil {
				i := next.Add(1) - 1
				if i >= int64(len(chunks)) {
					return
				}
				if err := do(ctx, chunks[i]); err != nil {
					once.Do(func() { failure = err })
					cancel()
				}
			}
		})
	}
	workers.Wait()
	if failure == nil {
		failure = ctx.Err()
	}
	return failure
}

// compare reads chunk i, a confirmed one, of a source that can be read anywhere.
func (u *uploading) compare(ctx context.Context, i int) error {
	start, length := u.parts.bounds(i)
	sum, _ := u.parts.sum(i)
	return compare(ctx, io.NewSectionReader(u.source.section(start, length), 0, length), sum)
}

// sendOnce sends chunk i unless that has been done.
func (u *uploading) sendOnce(ctx context.Context, i int) error {
	if _, confirmed := u.parts.sum(i); confirmed {
		return nil
	}
	return u.send(ctx, i, false)
}

// send sends chunk i of a source that can be read anywhere.
func (u *uploading) send(ctx context.Context, i int, first bool) error {
	start, length := u.parts.bounds(i)
	return u.put(ctx, u.part(i, u.source.section(start, length), first))
}

// part is the PUT of chunk i. A file of one chunk is no resumable upload.
func (u *uploading) part(i int, body io.ReaderAt, first bool) uploadPart {
	start, length := u.parts.bounds(i)
	return uploadPart{
		index: i, start: start, length: length, body: body, first: first,
		chunk: u.parts.chunked(), finishes: i == u.parts.count()-1,
	}
}

// sendStream sends a source that can be read once, a chunk at a time.
func (u *uploading) sendStream(ctx context.Context) error {
	final := u.parts.count() - 1
	_, length := u.parts.bounds(0)
	buffer := make([]byte, length)
	first := u.parts.firstUnconfirmed()
	for i := range final + 1 {
		if err := ctx.Err(); err != nil {
			return err
		}
		_, length := u.parts.bounds(i)
		chunk := buffer[:length]
		if _, err := io.ReadFull(u.source.stream, chunk); err != nil {
			return bodyError(err)
		}
		if sum, confirmed := u.parts.sum(i); confirmed {
			if err := compare(ctx, bytes.NewReader(chunk), sum); err != nil {
				return err
			}
			continue
		}
		if i == final {
			if err := u.source.checkEnd(); err != nil {
				return err
			}
		}
		if err := u.put(ctx, u.part(i, bytes.NewReader(chunk), i == first)); err != nil {
			return err
		}
	}
	return nil
}

// compare refuses a body that is not what was sent before.
func compare(ctx context.Context, body io.Reader, want uint32) error {
	hash := crc32.New(castagnoli())
	buffer := make([]byte, 64<<10)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := body.Read(buffer)
		_, _ = hash.Write(buffer[:n]) // a hash takes everything
		switch {
		case errors.Is(err, io.EOF):
			if hash.Sum32() != want {
				return ErrUploadChanged
			}
			return nil
		case err != nil:
			return bodyError(err)
		}
	}
}

// castagnoli is the polynomial that processors compute themselves.
func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// bodyError says that it was the body that could not be read. One that ends too early is
// io.ErrUnexpectedEOF.
func bodyError(err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("ittybit: Body has fewer bytes than its Size: %w", err)
	}
	return fmt.Errorf("ittybit: Body can't be read: %w", err)
}

// uploadSource is what is uploaded: at, where it can be read anywhere, or a stream.
type uploadSource struct {
	at     io.ReaderAt
	base   int64
	stream io.Reader
	size   int64
}

// newUploadSource finds out what body can do, and how long it is.
func newUploadSource(body io.Reader, size int64) (*uploadSource, error) {
	if body == nil {
		return nil, &ParamError{Param: "Body", Reason: "is required"}
	}
	source := &uploadSource{stream: body, size: size}
	known := int64(-1)
	if sized, ok := body.(interface{ Len() int }); ok {
		known = int64(sized.Len())
	}
	if seeker, ok := body.(io.Seeker); ok {
		start, end, seekable, err := extent(seeker)
		if err != nil {
			return nil, &ParamError{Param: "Body", Reason: "can't be read: " + err.Error()}
		}
		if seekable {
			known = end - start
			if at, ok := body.(io.ReaderAt); ok {
				source.at, source.base = at, start
			}
		}
	}
	switch {
	case known < 0 && size == 0:
		return nil, &ParamError{Param: "Size", Reason: "is required: Body can't tell how long it is"}
	case known == 0:
		return nil, &ParamError{Param: "Body", Reason: "is empty; a file that was just written stands at its end: seek to where it begins"}
	case known > 0 && size > 0 && known != size:
		return nil, &ParamError{Param: "Size", Reason: fmt.Sprintf("is %d, but Body has %d bytes; io.NewSectionReader takes a part", size, known)}
	case known > 0:
		source.size = known
	}
	return source, nil
}

// extent gives where seeker stands and where it ends, and leaves it where it was. A pipe is an
// [*os.File] that can't seek. With an error, nobody knows where it was left.
func extent(seeker io.Seeker) (start, end int64, seekable bool, err error) {
	if start, err = seeker.Seek(0, io.SeekCurrent); err != nil {
		return 0, 0, false, nil //nolint:nilerr // it is read as it comes
	}
	if end, err = seeker.Seek(0, io.SeekEnd); err != nil {
		return 0, 0, false, err
	}
	_, err = seeker.Seek(start, io.SeekStart)
	return start, max(end, start), true, err
}

// section is a part of a source that can be read anywhere.
func (s *uploadSource) section(start, length int64) io.ReaderAt {
	return io.NewSectionReader(s.at, s.base+start, length)
}

// checkEnd refuses a stream that goes on past its size.
func (s *uploadSource) checkEnd() error {
	switch n, err := io.ReadFull(s.stream, make([]byte, 1)); {
	case n > 0:
		return fmt.Errorf("ittybit: Body has more bytes than its Size of %d", s.size)
	case errors.Is(err, io.EOF):
		return nil
	default:
		return bodyError(err)
	}
}

// uploadParts keeps the books of an upload. It is safe for concurrent use.
type uploadParts struct {
	state    uploadState
	progress func(UploadProgress)
	onToken  func(UploadToken)

	mu     sync.Mutex
	chunks []byte // chunkStateBytes each
	before []bool // confirmed before this upload began
	shown  UploadProgress
}

func newUploadParts(place string, size int64, p UploadParams) (*uploadParts, error) {
	parts := &uploadParts{
		state:    uploadState{Version: uploadStateVersion, URL: place, Size: size, ChunkSize: p.ChunkSize},
		progress: p.OnProgress, onToken: p.OnCheckpoint,
	}
	parts.shown.Total = size
	if p.Resume == "" {
		if (size-1)/p.ChunkSize >= maxUploadChunks {
			return nil, &ParamError{Param: "ChunkSize", Reason: fmt.Sprintf("makes more than %d chunks", maxUploadChunks)}
		}
		parts.chunks = make([]byte, parts.count()*chunkStateBytes)
		parts.before = make([]bool, parts.count())
		return parts, nil
	}
	if err := parts.resume(p.Resume); err != nil {
		return nil, err
	}
	return parts, nil
}

// resume takes up what a token says.
func (p *uploadParts) resume(token UploadToken) error {
	refuse := func(reason string) error { return &ParamError{Param: "Resume", Reason: reason} }
	var state uploadState
	if json.Unmarshal([]byte(token), &state) != nil || state.Version != uploadStateVersion {
		return refuse("is no token of this version of the SDK")
	}
	if state.URL != p.state.URL || state.Size != p.state.Size {
		return refuse("is the token of another upload: its address or its size differs")
	}
	if state.ChunkSize <= 0 || (state.Size-1)/state.ChunkSize >= maxUploadChunks {
		return refuse("is damaged")
	}
	p.state.ChunkSize = state.ChunkSize
	chunks, err := base64.StdEncoding.DecodeString(state.Chunks)
	if err != nil || len(chunks) != p.count()*chunkStateBytes {
		return refuse("is damaged")
	}
	p.chunks, p.before = chunks, make([]bool, p.count())
	for i := range p.before {
		if _, confirmed := p.sum(i); confirmed {
			p.before[i] = true
			_, length := p.bounds(i)
			p.shown.Sent += length
			p.shown.Confirmed += length
		}
	}
	if p.before[p.count()-1] {
		return refuse("is damaged") // an upload whose last chunk was confirmed needs no token
	}
	return nil
}

func (p *uploadParts) count() int {
	return int((p.state.Size-1)/p.state.ChunkSize) + 1 // a Size is at least 1
}

// chunked reports whether the file has several chunks.
func (p *uploadParts) chunked() bool { return p.count() > 1 }

// bounds gives where chunk i begins, and how long it is.
func (p *uploadParts) bounds(i int) (start, length int64) {
	start = int64(i) * p.state.ChunkSize
	return start, min(p.state.ChunkSize, p.state.Size-start)
}

// sum gives the checksum of a confirmed chunk.
func (p *uploadParts) sum(i int) (uint32, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	chunk := p.chunks[i*chunkStateBytes:]
	return binary.BigEndian.Uint32(chunk[1:]), chunk[0] == 1
}

func (p *uploadParts) firstUnconfirmed() int {
	for i := range p.count() {
		if _, confirmed := p.sum(i); !confirmed {
			return i
		}
	}
	return p.count()
}

// confirmed reports whether any chunk is.
func (p *uploadParts) confirmed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.shown.Confirmed > 0
}

// confirm notes that Ittybit has chunk i.
func (p *uploadParts) confirm(i int, sum uint32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	chunk := p.chunks[i*chunkStateBytes:]
	chunk[0] = 1
	binary.BigEndian.PutUint32(chunk[1:], sum)
	_, length := p.bounds(i)
	p.shown.Confirmed += length
	p.show()
	if p.onToken != nil {
		p.onToken(p.encode())
	}
}

// finish notes that Ittybit has the file.
func (p *uploadParts) finish() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.shown.Confirmed = p.shown.Total
	p.show()
}

// sent counts bytes that went out, or are to be sent again.
func (p *uploadParts) sent(n int64) {
	if p.progress == nil || n == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.shown.Sent += n
	p.show()
}

func (p *uploadParts) show() {
	if p.progress != nil {
		p.progress(p.shown)
	}
}

// token is what to resume with: nothing where nothing was confirmed.
func (p *uploadParts) token() UploadToken {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shown.Confirmed == 0 {
		return ""
	}
	return p.encode()
}

func (p *uploadParts) encode() UploadToken {
	state := p.state
	state.Chunks = base64.StdEncoding.EncodeToString(p.chunks)
	data, err := json.Marshal(state)
	if err != nil {
		return "" // numbers and text can always be marshalled
	}
	return UploadToken(data)
}
