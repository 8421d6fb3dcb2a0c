package ittybittest

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"path"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// serveStorage uploads and downloads: who may not is told so before a body is
// read, faults happen, and what was asked for is done.
func (s *Server) serveStorage(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	control := http.NewResponseController(w)
	stop := context.AfterFunc(s.life.ctx, func() { //nolint:contextcheck // the server's end, not the request's
		_ = control.SetReadDeadline(time.Unix(1, 0)) // so that Close waits for no slow client
		_ = control.SetWriteDeadline(time.Unix(1, 0))
	})
	defer stop()

	fault := s.faults.forRequest(withoutBody(r))
	in, err := s.admit(w, r, fault.Drop == DropInBody)
	if in != nil {
		defer s.stored.end(in)
	}
	if errors.Is(err, errAborted) || !s.life.pause(r.Context(), fault.Latency) || fault.Drop.beforeActing() {
		s.drop(r, start)
	}
	resp, found, made := fault.response(), (*content)(nil), (*document)(nil)
	switch {
	case resp != nil || err != nil:
	case in != nil:
		resp = s.store(r, in) //nolint:contextcheck // what an upload sets off outlives its request
	default:
		found, err = s.stored.open(storedName(r.URL.Path))
		if errors.Is(err, fs.ErrNotExist) {
			err = nothingAt(r)
			if made = s.documentAt(storedName(r.URL.Path)); made != nil {
				err = nil
			}
		}
	}
	if found != nil {
		defer func() { _ = found.Close() }() // it was only read
	}
	if resp == nil && err != nil {
		resp = s.storageRefusal(err)
	}
	if !s.life.pause(r.Context(), fault.AnswerLatency) || fault.Drop == DropAfter {
		s.drop(r, start)
	}
	status := http.StatusOK
	if resp != nil {
		status = resp.status
	}
	s.send(w, r, start, fault.Drop, status, func(w http.ResponseWriter) {
		switch {
		case resp != nil:
			resp.write(w)
		case made != nil:
			made.serve(w, r)
		default:
			found.serve(w, r)
		}
	})
}

// withoutBody is what a fault sees of a request to the storage.
func withoutBody(r *http.Request) *http.Request {
	r = r.Clone(r.Context())
	r.Body = http.NoBody
	return r
}

func storedName(path string) string { return strings.TrimPrefix(path, "/") }

func nothingAt(r *http.Request) error {
	return refuse(http.StatusNotFound, "There is nothing at %s.", r.URL.Path)
}

// storageRefusal is the answer for an error.
func (s *Server) storageRefusal(err error) *response {
	var refusal *apiError
	if errors.As(err, &refusal) {
		return refusal.response()
	}
	s.config.logger.Error("ittybittest: storage", "error", err)
	return refuse(http.StatusInternalServerError, "The storage failed: %s.", err).response()
}

// admit checks a request, and then receives the body of a PUT: half of it and
// no more, if it is to be cut.
func (s *Server) admit(w http.ResponseWriter, r *http.Request, cut bool) (*incoming, error) {
	name := storedName(r.URL.Path)
	if name == "" || path.Clean("/"+name) != "/"+name {
		return nil, nothingAt(r)
	}
	query := r.URL.Query()
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		if query.Has("signature") {
			return nil, s.checkSigned(r, "get")
		}
		return nil, nil //nolint:nilnil // anyone may read, and there is no body
	case http.MethodPut:
		if err := s.mayPut(r); err != nil {
			return nil, err
		}
		return s.receive(w, r, name, cut)
	}
	refusal := refuse(http.StatusMethodNotAllowed, "%s is not allowed here: use GET, HEAD, PUT.", r.Method)
	refusal.header = http.Header{"Allow": {"GET, HEAD, PUT"}}
	return nil, refusal
}

func (s *Server) mayPut(r *http.Request) error {
	switch {
	case r.Header.Get("Authorization") != "":
		return s.authenticate(r)
	case r.URL.Query().Has("signature"):
		return s.checkSigned(r, "put")
	}
	return &apiError{http.StatusUnauthorized, "An API key or a signature is required.", http.Header{"WWW-Authenticate": {"Bearer"}}}
}

// contentRange takes the documented spelling, with "=", and that of RFC 9110.
var contentRange = regexp.MustCompile(`^(?i:bytes)[= ](\d{1,15})-(\d{1,15})/(\d{1,15})$`)

// parseRange reads a request's Content-Range, if it has one.
func parseRange(r *http.Request) (span, error) {
	given := r.Header.Values("Content-Range")
	if len(given) == 0 {
		return span{total: -1}, nil
	}
	var n [3]int64
	parts := contentRange.FindStringSubmatch(strings.Join(given, ", "))
	for i := range n {
		if parts != nil {
			n[i], _ = strconv.ParseInt(parts[i+1], 10, 64) // 15 digits fit
		}
	}
	sp := span{n[0], n[1], n[2]}
	if sp.start > sp.end || sp.end >= sp.total {
		return span{}, badRequest("Content-Range must be bytes=<start>-<end>/<total>, with the end included, not %q.", strings.Join(given, ", "))
	}
	if r.ContentLength >= 0 && r.ContentLength != sp.length() {
		return span{}, wrongLength(sp)
	}
	return sp, nil
}

func wrongLength(sp span) error {
	return badRequest("The body is not the %d bytes that Content-Range says.", sp.length())
}

func noRoom() error {
	return refuse(http.StatusInsufficientStorage, "The storage is full.")
}

// receive reads a body into a file of its own.
func (s *Server) receive(w http.ResponseWriter, r *http.Request, name string, cut bool) (*incoming, error) {
	sp, err := parseRange(r)
	if err != nil {
		return nil, err
	}
	length := r.ContentLength // -1: unknown
	if sp.total >= 0 {
		length = sp.length()
	}
	in, err := s.stored.begin(name, sp, length)
	if err != nil {
		return nil, err
	}
	body := io.Reader(r.Body)
	switch {
	case cut:
		_, _ = io.CopyN(io.Discard, r.Body, max(length/2, 1)) // the client is told nothing anyway
		err = errAborted
	case length >= 0:
		body = http.MaxBytesReader(w, r.Body, length)
		fallthrough
	default:
		err = s.stored.save(in, body)
	}
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) || err == nil && length >= 0 && in.piece.size != length {
		err = wrongLength(sp)
	}
	if err != nil {
		s.stored.end(in)
		return nil, err
	}
	return in, nil
}

// store adds a whole body or a chunk to what a path has.
func (s *Server) store(r *http.Request, in *incoming) *response {
	st := &s.stored
	st.mu.Lock()
	defer st.mu.Unlock()
	sl := st.slots[in.name]
	verdict, err := st.accept(sl, in)
	var resp *response
	switch verdict {
	case kept:
		resp = reply(http.StatusAccepted, object{}.set("message", "The chunk was stored."+sl.stillMissing(in)))
	case repeated:
		s.mu.Lock()
		file, ok := s.files.get(sl.blob.fileID)
		s.mu.Unlock()
		if !ok {
			st.dropBlob(sl)
			return refuse(http.StatusConflict, "The file was deleted meanwhile: upload it again.").response()
		}
		resp = reply(http.StatusCreated, file)
	case completed:
		resp = reply(http.StatusCreated, s.complete(r, sl, in))
	default:
		return s.storageRefusal(err)
	}
	if s.config.emptyUploadAnswers {
		resp.body = nil
	}
	return resp
}

// complete makes a path's new File, in place of the one it had. The caller
// holds s.stored.mu.
func (s *Server) complete(r *http.Request, sl *slot, in *incoming) object {
	now, old := time.Now(), sl.blob
	b := sl.finish(&s.stored, in)
	b.stored, b.kind = now, r.Header.Get("Content-Type")
	file := newFile("source", mediaKind("/"+path.Base(in.name)), now)
	file = file.setText("type", b.kind).
		set("filesize", b.size).
		set("filename", path.Base(in.name)).
		setText("folder", strings.TrimPrefix(path.Dir("/"+in.name), "/")).
		set("url", s.StorageURL+r.URL.EscapedPath()).
		set("original", true)
	if old != nil {
		s.removeFile(old.fileID)
	}
	file = s.addFile("", file)
	b.fileID, _ = file.text("id")
	return file
}

// OpenStored opens the bytes of a complete upload at a path such as
// "holidays/beach.mp4", for a test to read without a request. They stay what
// they are when the path is replaced or deleted meanwhile, until the server is
// closed. Where nothing is stored, the error matches [io/fs.ErrNotExist].
func (s *Server) OpenStored(path string) (io.ReadCloser, error) {
	c, err := s.stored.open(storedName(path))
	if err != nil {
		return nil, err
	}
	return c, nil
}
