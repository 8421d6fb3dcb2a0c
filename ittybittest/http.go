package ittybittest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	apiVersion   = "2025-08-20"
	maxBodyBytes = 1 << 20
)

// request is an API request whose body was read and parsed.
type request struct {
	*http.Request
	id   string // the last part of the path, if the route has one
	body object // of a POST or PATCH
}

// response is an answer that can be kept, for idempotency keys.
type response struct {
	status int
	header http.Header
	body   []byte
}

func reply(status int, value any) *response {
	return &response{status: status, header: http.Header{}, body: encode(value)}
}

// apiError is a refusal: a status and a message for its body.
type apiError struct {
	status  int
	message string
	header  http.Header
}

func (e *apiError) Error() string { return e.message }

func refuse(status int, format string, args ...any) *apiError {
	return &apiError{status: status, message: fmt.Sprintf(format, args...)}
}

func badRequest(format string, args ...any) *apiError {
	return refuse(http.StatusBadRequest, format, args...)
}

func (e *apiError) response() *response {
	resp := reply(e.status, object{}.set("message", e.message))
	for name, values := range e.header {
		resp.header[http.CanonicalHeaderKey(name)] = values
	}
	return resp
}

// errAborted ends a request whose client has gone, or whose server closes.
var errAborted = errors.New("ittybittest: the request was abandoned")

// serveAPI is the whole way of a request: read it, let faults happen, answer.
func (s *Server) serveAPI(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	body, bodyErr := s.readBody(w, r)
	r.Body = io.NopCloser(bytes.NewReader(body))

	fault := s.faults.forRequest(r)
	if !s.life.pause(r.Context(), fault.Latency) || fault.Drop.beforeActing() {
		s.drop(r, start)
	}
	resp, err := fault.response(), error(nil)
	if resp == nil {
		resp, err = s.answer(r, body, bodyErr)
	}
	var refusal *apiError
	switch {
	case errors.As(err, &refusal):
		resp = refusal.response()
	case err != nil:
		s.drop(r, start)
	}
	if !s.life.pause(r.Context(), fault.AnswerLatency) || fault.Drop == DropAfter {
		s.drop(r, start)
	}

	s.send(w, r, start, fault.Drop, resp.status, resp.write)
}

// send writes an answer, and logs it; half of the answer, if it is to be cut.
func (s *Server) send(w http.ResponseWriter, r *http.Request, start time.Time, drop Drop, status int, answer func(http.ResponseWriter)) {
	if drop != DropInAnswer {
		answer(w)
		s.logRequest(r, status, time.Since(start))
		return
	}
	end := func() { s.drop(r, start) }
	answer(&halfAnswer{ResponseWriter: w, end: end})
	end() // it had no body
}

// write answers. The client may have gone.
func (resp *response) write(w http.ResponseWriter) {
	for name, values := range resp.header {
		w.Header()[name] = values
	}
	if resp.body != nil {
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(resp.body)))
	w.WriteHeader(resp.status)
	_, _ = w.Write(resp.body) //nolint:gosec // it is JSON, and says so
}

// halfAnswer sends half of an answer's body, and then ends the request.
type halfAnswer struct {
	http.ResponseWriter
	end  func()
	left int64
}

// WriteHeader implements http.ResponseWriter.
func (h *halfAnswer) WriteHeader(status int) {
	length, _ := strconv.ParseInt(h.Header().Get("Content-Length"), 10, 64) // 0 if there is none
	h.left = length / 2
	h.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (h *halfAnswer) Write(p []byte) (int, error) {
	n, err := h.ResponseWriter.Write(p[:min(int64(len(p)), h.left)])
	h.left -= int64(n)
	if h.left == 0 {
		_ = http.NewResponseController(h.ResponseWriter).Flush() // whatever became of it, this is the end
		h.end()
	}
	return n, err
}

// drop closes the connection without an answer, which net/http does for this
// panic.
func (s *Server) drop(r *http.Request, start time.Time) {
	s.logRequest(r, 0, time.Since(start))
	panic(http.ErrAbortHandler)
}

// readBody reads the body first of all, because net/http notices that a client
// has gone only after that.
func (s *Server) readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	control := http.NewResponseController(w)
	stop := context.AfterFunc(s.life.ctx, func() {
		_ = control.SetReadDeadline(time.Unix(1, 0)) // where it isn't supported, no body is slow
	})
	defer stop()
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBodyBytes))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, refuse(http.StatusRequestEntityTooLarge, "The request body is larger than %d bytes.", tooLarge.Limit)
	case err != nil:
		return nil, errAborted
	}
	return body, nil
}

// answer checks a request in the order in which a service would.
func (s *Server) answer(r *http.Request, body []byte, bodyErr error) (*response, error) {
	if err := s.authenticate(r); err != nil {
		return nil, err
	}
	if err := checkVersion(r); err != nil {
		return nil, err
	}
	handle, id, err := s.route(r)
	if err != nil {
		return nil, err
	}
	if bodyErr != nil {
		return nil, bodyErr
	}
	req := &request{Request: r, id: id}
	if r.Method != http.MethodPost && r.Method != http.MethodPatch {
		return handle(req)
	}
	if err := checkContentType(r); err != nil {
		return nil, err
	}
	if req.body, err = parseObject(body); err != nil {
		return nil, badRequest("The request body %s.", err)
	}
	if r.Method == http.MethodPost {
		return s.once(req, body, handle)
	}
	return handle(req)
}

func (s *Server) authenticate(r *http.Request) error {
	scheme, key, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	want, got := sha256.Sum256([]byte(s.APIKey)), sha256.Sum256([]byte(key))
	if strings.EqualFold(scheme, "Bearer") && subtle.ConstantTimeCompare(want[:], got[:]) == 1 {
		return nil
	}
	message := "The API key is not valid."
	if scheme == "" {
		message = "An API key is required: send it as \"Authorization: Bearer <API key>\"."
	}
	return &apiError{http.StatusUnauthorized, message, http.Header{"WWW-Authenticate": {"Bearer"}}}
}

func checkVersion(r *http.Request) error {
	for _, version := range r.Header.Values("Accept-Version") {
		if version != "" && version != apiVersion && version != "latest" {
			return badRequest("Accept-Version %q is not supported: use %q or \"latest\".", version, apiVersion)
		}
	}
	return nil
}

func checkContentType(r *http.Request) error {
	given := r.Header.Get("Content-Type")
	mediaType, params, err := mime.ParseMediaType(given)
	charset := strings.ToLower(params["charset"])
	if err != nil || mediaType != "application/json" || (charset != "" && charset != "utf-8") {
		return refuse(http.StatusUnsupportedMediaType, "Content-Type must be application/json, not %q.", given)
	}
	return nil
}

type handlerFunc func(*request) (*response, error)

// route finds what answers a path and method.
func (s *Server) route(r *http.Request) (handlerFunc, string, error) {
	resource, id, hasID := strings.Cut(strings.TrimPrefix(r.URL.EscapedPath(), "/"), "/")
	id, err := url.PathUnescape(id)
	methods := s.methods(resource, hasID)
	if err != nil || len(methods) == 0 || (hasID && id == "") {
		return nil, "", refuse(http.StatusNotFound, "There is nothing at %s.", r.URL.Path)
	}
	if handle, ok := methods[r.Method]; ok {
		return handle, id, nil
	}
	allowed := make([]string, 0, len(methods))
	for method := range methods {
		allowed = append(allowed, method)
	}
	slices.Sort(allowed)
	allow := strings.Join(allowed, ", ")
	refusal := refuse(http.StatusMethodNotAllowed, "%s is not allowed here: use %s.", r.Method, allow)
	refusal.header = http.Header{"Allow": {allow}}
	return nil, "", refusal
}

func (s *Server) methods(resource string, hasID bool) map[string]handlerFunc {
	type routes = map[string]handlerFunc
	switch {
	case resource == "tasks" && !hasID:
		return routes{"GET": s.listTasks, "POST": s.createTask}
	case resource == "tasks":
		return routes{"GET": s.getTask}
	case resource == "automations" && !hasID:
		return routes{"GET": s.listAutomations, "POST": s.createAutomation}
	case resource == "automations":
		return routes{"GET": s.getAutomation, "PATCH": s.updateAutomation, "DELETE": s.deleteAutomation}
	case resource == "media" && !hasID:
		return routes{"GET": s.listMedia, "POST": s.createMedia}
	case resource == "media":
		return routes{"GET": s.getMedia, "PATCH": s.updateMedia, "DELETE": s.deleteMedia}
	case resource == "files" && !hasID:
		return routes{"GET": s.listFiles, "POST": s.createFile}
	case resource == "files":
		return routes{"GET": s.getFile, "PATCH": s.updateFile, "DELETE": s.deleteFile}
	case resource == "signatures" && !hasID:
		return routes{"POST": s.createSignature}
	}
	return nil
}

func notFound(kind, id string) error {
	return refuse(http.StatusNotFound, "The requested %s was not found: there is no %q.", kind, id)
}
