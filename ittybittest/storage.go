package ittybittest

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

// storage holds what was uploaded, in temporary files with random names. Its
// zero value is ready for use.
type storage struct {
	mu    sync.Mutex // may be held when Server.mu is taken, never the other way round
	dir   string     // "" until something is stored
	slots map[string]*slot
}

// slot is what is known of a path.
type slot struct {
	blob   *blob   // nil until an upload completed
	upload *upload // nil unless one is under way
}

// blob is a complete upload.
type blob struct {
	name   string // of the temporary file
	size   int64
	fileID string
	kind   string // its Content-Type, "" if unknown
	stored time.Time
	last   chunk // that completed it
}

// upload is some chunks of a file, in the order of their arrival.
type upload struct {
	total  int64
	chunks []chunk
}

// span is a range of bytes, both ends included, of a file of total bytes. That
// of a whole body has total -1.
type span struct{ start, end, total int64 }

type chunk struct {
	span
	name string // of the temporary file
	size int64
	sum  [sha256.Size]byte
}

func (c chunk) same(other chunk) bool {
	return c.span == other.span && c.size == other.size && c.sum == other.sum
}

func (s *Server) createSignature(r *request) (*response, error) {
	texts := map[string]string{}
	for _, name := range []string{"filename", "folder", "method"} {
		value, err := r.body.text(name)
		if err != nil {
			return nil, err
		}
		texts[name] = value
	}
	filename, folder := sanitise(texts["filename"]), []string{}
	if strings.Trim(filename, ".") == "" {
		return nil, badRequest("filename is required.")
	}
	for part := range strings.SplitSeq(texts["folder"], "/") {
		if part = sanitise(part); strings.Trim(part, ".") != "" {
			folder = append(folder, part)
		}
	}
	method := cmp.Or(strings.ToLower(texts["method"]), "get")
	if method != "get" && method != "put" {
		return nil, badRequest("method must be get or put.")
	}
	now := time.Now()
	expiry := now.Add(time.Hour).Unix()
	if raw, ok := r.body.get("expiry"); ok {
		if json.Unmarshal(raw, &expiry) != nil || expiry <= now.Unix() {
			return nil, badRequest("expiry must be a time in the future, in unix seconds.")
		}
	}
	signed := fmt.Sprintf("%s?expiry=%d&method=%s", strings.Join(append(folder, filename), "/"), expiry, method)
	signature := s.sign(signed)
	return reply(http.StatusCreated, object{}.
		set("domain", hostOf(s.StorageURL)).
		set("filename", filename).
		set("folder", strings.Join(folder, "/")).
		set("expiry", expiry).
		set("method", method).
		set("signature", signature).
		set("url", s.StorageURL+"/"+signed+"&signature="+signature)), nil
}

var unsafeInName = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

func sanitise(name string) string { return unsafeInName.ReplaceAllString(name, "-") }

func (s *Server) sign(text string) string {
	mac := hmac.New(sha256.New, []byte(s.APIKey))
	mac.Write([]byte(text))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// serveStorage uploads and downloads.
func (s *Server) serveStorage(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	control := http.NewResponseController(w)
	stop := context.AfterFunc(s.life.ctx, func() { //nolint:contextcheck // the server's end, not the request's
		_ = control.SetReadDeadline(time.Unix(1, 0)) // so that Close waits for no slow client
		_ = control.SetWriteDeadline(time.Unix(1, 0))
	})
	defer stop()
	resp, err := s.answerStorage(w, r) //nolint:contextcheck // what an upload sets off outlives its request
	var refusal *apiError
	switch {
	case errors.As(err, &refusal):
		resp = refusal.response()
	case errors.Is(err, errAborted):
		s.drop(r, start)
	case err != nil:
		s.config.logger.Error("ittybittest: storage", "error", err)
		resp = refuse(http.StatusInternalServerError, "The storage failed: %s.", err).response()
	}
	status := http.StatusOK
	if resp != nil { // otherwise http.ServeContent answered
		status = resp.status
		for name, values := range resp.header {
			w.Header()[name] = values
		}
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		w.WriteHeader(status)
		_, _ = w.Write(resp.body) // the client may have gone
	}
	s.logRequest(r, status, time.Since(start))
}

func (s *Server) answerStorage(w http.ResponseWriter, r *http.Request) (*response, error) {
	name := strings.TrimPrefix(r.URL.Path, "/")
	if name == "" || path.Clean("/"+name) != "/"+name {
		return nil, refuse(http.StatusNotFound, "There is nothing at %s.", r.URL.Path)
	}
	query := r.URL.Query()
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		if query.Has("signature") {
			if err := s.checkSigned(r, "get"); err != nil {
				return nil, err
			}
		}
		return nil, s.download(w, r, name)
	case http.MethodPut:
		var err error
		switch {
		case r.Header.Get("Authorization") != "":
			if s.authenticate(r) != nil {
				err = refuse(http.StatusForbidden, "The API key is not valid.")
			}
		case query.Has("signature"):
			err = s.checkSigned(r, "put")
		default:
			err = refuse(http.StatusUnauthorized, "An API key or a signature is required.")
		}
		if err != nil {
			return nil, err
		}
		return s.receive(w, r, name)
	}
	refusal := refuse(http.StatusMethodNotAllowed, "%s is not allowed here: use GET, HEAD, PUT.", r.Method)
	refusal.header = http.Header{"Allow": {"GET, HEAD, PUT"}}
	return nil, refusal
}

// checkSigned checks the signature in the query. The path may be signed as it
// is, or as it is escaped in the address.
func (s *Server) checkSigned(r *http.Request, method string) error {
	query := r.URL.Query()
	given := query.Get("method")
	tail := "?expiry=" + query.Get("expiry") + "&method=" + given
	valid := false
	for _, name := range []string{r.URL.Path, r.URL.EscapedPath()} {
		want := s.sign(strings.TrimPrefix(name, "/") + tail)
		valid = hmac.Equal([]byte(want), []byte(query.Get("signature"))) || valid
	}
	expiry, err := strconv.ParseInt(query.Get("expiry"), 10, 64)
	switch {
	case !valid || err != nil:
		return refuse(http.StatusForbidden, "The signature is not valid.")
	case given != method:
		return refuse(http.StatusForbidden, "The signature is for another method: %q, not %q.", given, method)
	case time.Now().Unix() >= expiry:
		return refuse(http.StatusForbidden, "The signature has expired.")
	}
	return nil
}

func (s *Server) download(w http.ResponseWriter, r *http.Request, name string) error {
	s.stored.mu.Lock()
	sl := s.stored.slots[name]
	if sl == nil || sl.blob == nil {
		s.stored.mu.Unlock()
		if d := s.documentAt(name); d != nil {
			d.serve(w, r)
			return nil
		}
		return refuse(http.StatusNotFound, "There is nothing at %s.", r.URL.Path)
	}
	b := *sl.blob
	f, err := os.Open(b.name)
	s.stored.mu.Unlock()
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // it was only read
	if b.kind != "" {
		w.Header().Set("Content-Type", b.kind)
	}
	http.ServeContent(w, r, path.Base(name), b.stored, f)
	return nil
}

var contentRange = regexp.MustCompile(`^bytes=(\d{1,18})-(\d{1,18})/(\d{1,18})$`)

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
			n[i], _ = strconv.ParseInt(parts[i+1], 10, 64) // 18 digits fit
		}
	}
	sp := span{n[0], n[1], n[2]}
	if sp.start > sp.end || sp.end >= sp.total {
		return span{}, badRequest("Content-Range must be bytes=<start>-<end>/<total>, not %q.", strings.Join(given, ", "))
	}
	if r.ContentLength >= 0 && r.ContentLength != sp.end-sp.start+1 {
		return span{}, wrongLength(sp)
	}
	return sp, nil
}

func wrongLength(sp span) error {
	return badRequest("The body is not the %d bytes that Content-Range says.", sp.end-sp.start+1)
}

// receive reads a body, and then decides what it means for the path.
func (s *Server) receive(w http.ResponseWriter, r *http.Request, name string) (*response, error) {
	sp, err := parseRange(r)
	if err != nil {
		return nil, err
	}
	most := s.stored.room(name, s.config.storageLimit)
	if max(sp.total, r.ContentLength) > most {
		return nil, noRoom()
	}
	if sp.total >= 0 {
		most = sp.end - sp.start + 1
	}
	c, err := s.stored.save(http.MaxBytesReader(w, r.Body, most))
	c.span = sp
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge) && sp.total >= 0:
		return nil, wrongLength(sp)
	case errors.As(err, &tooLarge):
		return nil, noRoom()
	case err != nil:
		return nil, err
	case sp.total >= 0 && c.size != most:
		discard(c.name)
		return nil, wrongLength(sp)
	}
	return s.accept(r, name, c)
}

func noRoom() error {
	return refuse(http.StatusInsufficientStorage, "The storage is full.")
}

// room is how many bytes a path may have, those it already has included.
func (st *storage) room(name string, limit int64) int64 {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.roomLocked(name, limit)
}

func (st *storage) roomLocked(name string, limit int64) int64 {
	for other, sl := range st.slots {
		if other == name {
			continue
		}
		used := int64(0)
		if sl.blob != nil {
			used = sl.blob.size
		}
		if sl.upload != nil {
			used = max(used, sl.upload.total)
		}
		limit -= used
	}
	return max(limit, 0)
}

// create makes a temporary file.
func (st *storage) create() (*os.File, error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.createLocked()
}

func (st *storage) createLocked() (*os.File, error) {
	if st.dir == "" {
		dir, err := os.MkdirTemp("", "ittybittest-")
		if err != nil {
			return nil, err
		}
		st.dir = dir
	}
	return os.CreateTemp(st.dir, "*")
}

// save writes a body to a temporary file of its own, so that half a chunk
// never spoils a good one.
func (st *storage) save(body io.Reader) (chunk, error) {
	f, err := st.create()
	if err != nil {
		return chunk{}, err
	}
	hash, source := sha256.New(), &watched{Reader: body}
	size, err := io.Copy(io.MultiWriter(f, hash), source)
	var tooLarge *http.MaxBytesError
	if source.err != nil && !errors.As(err, &tooLarge) {
		err = errAborted // the client has gone
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		discard(f.Name())
		return chunk{}, err
	}
	return chunk{name: f.Name(), size: size, sum: [sha256.Size]byte(hash.Sum(nil))}, nil
}

// watched tells a reader's error from that of the writer it is copied to.
type watched struct {
	io.Reader
	err error
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.Reader.Read(p)
	if err != nil && err != io.EOF {
		w.err = err
	}
	return n, err
}

func discard(name string) {
	_ = os.Remove(name) // goes with the directory at the latest
}

// accept adds a whole body or a chunk to what a path has.
func (s *Server) accept(r *http.Request, name string, c chunk) (*response, error) {
	st := &s.stored
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.slots == nil {
		st.slots = map[string]*slot{}
	}
	sl := st.slots[name]
	if sl == nil {
		sl = &slot{}
		st.slots[name] = sl
	}
	if sl.blob != nil && sl.upload == nil && sl.blob.last.same(c) {
		s.mu.Lock()
		file, ok := s.files.get(sl.blob.fileID)
		s.mu.Unlock()
		if ok {
			discard(c.name)
			return reply(http.StatusCreated, file), nil
		}
	}
	if max(c.total, c.size) > st.roomLocked(name, s.config.storageLimit) {
		discard(c.name)
		return nil, noRoom()
	}
	if c.total < 0 {
		return reply(http.StatusCreated, s.complete(r, name, sl, c, c.name, c.size)), nil
	}
	if sl.upload == nil || sl.upload.total != c.total {
		sl.drop()
		sl.upload = &upload{total: c.total}
	}
	sl.upload.add(c)
	if c.end != c.total-1 || !sl.upload.covered() {
		return reply(http.StatusAccepted, object{}.set("message", "The chunk was stored.")), nil
	}
	whole, err := st.assemble(sl.upload)
	if err != nil {
		return nil, err
	}
	return reply(http.StatusCreated, s.complete(r, name, sl, c, whole, c.total)), nil
}

// complete makes a path's new blob, and the File for it. The caller holds
// s.stored.mu.
func (s *Server) complete(r *http.Request, name string, sl *slot, last chunk, content string, size int64) object {
	now := time.Now()
	kind := r.Header.Get("Content-Type")
	file := newFile("source", mediaKind("/"+path.Base(name)), now)
	if kind != "" {
		file = file.set("type", kind)
	}
	folder := strings.TrimPrefix(path.Dir("/"+name), "/")
	file = file.set("filesize", size).
		set("filename", path.Base(name)).
		setText("folder", folder).
		set("url", s.StorageURL+r.URL.EscapedPath()).
		set("original", true)
	file = s.addFile("", file)
	id, _ := file.text("id")
	if sl.blob != nil {
		discard(sl.blob.name)
	}
	sl.drop()
	sl.blob = &blob{name: content, size: size, fileID: id, kind: kind, stored: now, last: last}
	return file
}
