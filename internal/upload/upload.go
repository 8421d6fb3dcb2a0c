// Package upload sends one body by PUT, whole or in chunks that can be resumed, and accounts for
// what was sent and confirmed.
package upload

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/ittybit/ittybit-go/internal/errtext"
	"github.com/ittybit/ittybit-go/internal/pipeline"
)

// maxChunks bounds a token, and what is kept in memory of an upload.
const maxChunks = 100_000

// What an upload ends with. The text is that of the package's users.
var (
	ErrIncomplete  = errors.New("ittybit: upload incomplete")
	ErrChanged     = errors.New("ittybit: the body has changed since the upload was begun")
	ErrUnconfirmed = errors.New("ittybit: upload not confirmed")
)

// InputError is a field of a Request that was refused before anything was sent.
type InputError struct{ Param, Reason string }

func (e *InputError) Error() string { return "ittybit: " + e.Param + " " + e.Reason }

// Request is an upload. All sizes are in bytes.
type Request struct {
	Target      *url.URL
	Anonymous   bool // the target is signed: the key is not sent
	Header      http.Header
	Body        io.Reader
	Size        int64 // 0: the body says
	Threshold   int64 // above it, the body goes up in chunks
	ChunkSize   int64
	Concurrency int
	Resume      string
	OnToken     func(token string)
	OnProgress  func(Progress)
	// Decode reads the response that completes the upload, and gives the size of the file that it
	// describes; 0: it does not say.
	Decode func(pipeline.Response) (size int64, err error)
	// StatusOf gives the status of an error that is a response which is not a success; else 0.
	StatusOf func(error) int
}

// Progress is how far an upload is, in bytes.
type Progress struct {
	Sent      int64 // handed to the network; it falls back when a chunk is sent again
	Confirmed int64
	Total     int64
}

// Result is what became of an upload.
type Result struct {
	Last    pipeline.Response // that completed it, or to what failed
	Token   string            // to resume with; empty: there is nothing to go on from
	Decoded bool              // Decode was called, and what it read is of this upload
}

type session struct {
	pipeline  *pipeline.Pipeline
	request   Request
	publicURL string
	source    *source
	tracker   *tracker
	result    Result
	size      int64 // of the file that the response describes
}

// Do makes an upload. An InputError comes before anything was sent.
func Do(ctx context.Context, p *pipeline.Pipeline, r Request) (Result, error) {
	s := &session{pipeline: p, request: r, publicURL: PublicURL(r.Target)}
	var err error
	if s.source, err = newSource(r.Body, r.Size); err != nil {
		return Result{}, err
	}
	if s.tracker, err = newTracker(s.publicURL, s.source.size, r); err != nil {
		return Result{}, err
	}
	if s.source.at == nil || s.source.size > r.Threshold || r.Resume != "" {
		err = s.sendChunks(ctx)
	} else {
		err = s.put(ctx, part{length: s.source.size, body: s.source.section(0, s.source.size), finishes: true, first: true})
	}
	s.result.Token = s.tracker.token()
	return s.result, err
}

// PublicURL is where the file of a target will be, without a signature.
func PublicURL(target *url.URL) string {
	plain := *target
	plain.RawQuery = ""
	return plain.String()
}

// part is what one PUT sends.
type part struct {
	index    int // of the chunk
	start    int64
	length   int64
	body     io.ReaderAt // of length bytes
	chunk    bool        // it is a part of the file, and says which
	first    bool        // it finds out whether Ittybit takes the upload at all
	finishes bool        // it is the last one, whose response has the file
}

func (s *session) put(ctx context.Context, part part) error {
	if part.finishes {
		if err := s.source.checkSize(); err != nil {
			return err
		}
	}
	body := &partBody{part: part, tracker: s.tracker}
	resp, err := s.pipeline.Do(ctx, s.httpRequest(part, body))
	sum, complete := body.close() // nothing reads the source any more
	if part.first && s.request.StatusOf(err) == http.StatusExpectationFailed {
		body.rollbackSent()
		part.first = false // "repeat without 100-continue", says RFC 9110 of this response
		return s.put(ctx, part)
	}
	if part.finishes || err != nil {
		s.tracker.mu.Lock()
		s.result.Last = resp
		s.tracker.mu.Unlock()
	}
	succeeded := err == nil || part.finishes && s.result.Decoded
	switch {
	case !succeeded:
		return s.explain(err, part)
	case !complete:
		s.dropResult(part)
		return fmt.Errorf("ittybit: PUT %s: the response %d came before the body was sent in full", s.publicURL, resp.StatusCode)
	case part.finishes && part.chunk && resp.StatusCode == http.StatusAccepted:
		return fmt.Errorf("%w: PUT %s: the response to the last chunk was 202, as if others were missing", ErrIncomplete, s.publicURL)
	case part.finishes && s.size != 0 && s.size != s.source.size:
		return fmt.Errorf("%w: PUT %s: the response says that the file has %d bytes, not %d", ErrIncomplete, s.publicURL, s.size, s.source.size)
	case errors.Is(err, ErrUnconfirmed):
		return err
	case !part.finishes:
		s.tracker.confirm(part.index, sum)
		return nil
	}
	if changed := s.source.checkSize(); changed != nil {
		s.dropResult(part)
		return fmt.Errorf("%w: delete %s, or upload it again", changed, s.publicURL)
	}
	s.tracker.finish()
	return err
}

func (s *session) httpRequest(part part, body *partBody) pipeline.Request {
	header := s.request.Header.Clone()
	if header == nil {
		header = make(http.Header)
	}
	if part.chunk {
		// With "=", and not the space of RFC 9110: so the resumable uploads guide has it.
		header.Set("Content-Range", fmt.Sprintf("bytes=%d-%d/%d", part.start, part.start+part.length-1, s.source.size))
	}
	if part.first {
		// What is refused for its signature, its size or its name is refused before it is
		// sent; and without the response being lost with a connection that is cut meanwhile.
		header.Set("Expect", "100-continue")
	}
	req := pipeline.Request{
		Method: http.MethodPut, URL: s.request.Target, Header: header, Anonymous: s.request.Anonymous,
		Stream: body.open, ContentLength: part.length, Slow: true,
	}
	if part.chunk { // which draws on no retry budget while the upload makes progress
		req.Progressing = func() bool { return s.tracker.isProgressing(s.request.Concurrency) }
	}
	if part.finishes {
		req.Decoder = pipeline.DecoderFunc(func(resp pipeline.Response) error { return s.decode(part, resp) })
	}
	return req
}

// decode reads the response that completes an upload, which may say nothing.
func (s *session) decode(part part, resp pipeline.Response) (err error) {
	if resp.StatusCode == http.StatusAccepted && part.chunk {
		return nil // it is not complete
	}
	s.result.Decoded = true
	s.size, err = s.request.Decode(resp)
	return err
}

// explain says what a response means that is not about the chunk it came for.
func (s *session) explain(err error, part part) error {
	status := s.request.StatusOf(err)
	if part.chunk && s.tracker.confirmed() && (status == http.StatusNotFound || status == http.StatusGone) {
		return fmt.Errorf("%w: %w", ErrIncomplete, errtext.Bare(err))
	}
	return err
}

// dropResult takes back a result that can't be true.
func (s *session) dropResult(part part) {
	if part.finishes {
		s.result.Decoded = false
	}
}
