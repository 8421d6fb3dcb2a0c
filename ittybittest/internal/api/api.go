// Package api answers Ittybit's API and storage over HTTP: routes, keys, pages, idempotency, and
// where faults strike.
package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/ittybit/ittybit-go/ittybittest/internal/blobs"
	"github.com/ittybit/ittybit-go/ittybittest/internal/engine"
	"github.com/ittybit/ittybit-go/ittybittest/internal/lifecycle"
	"github.com/ittybit/ittybit-go/ittybittest/internal/ordered"
)

const (
	apiVersion = "2025-08-20"
	// MaxBodyBytes is the largest body of an API request.
	MaxBodyBytes = 1 << 20
)

// Fault is what goes wrong with a request.
type Fault struct {
	Latency, AnswerLatency time.Duration
	Status                 int // 0: it is acted on
	Header                 http.Header
	Message                string
	Drop                   Drop
}

// Drop says when a connection is dropped.
type Drop int

// These are the values of ittybittest.Drop.
const (
	DropNone Drop = iota
	DropBefore
	DropAfter
	DropInBody
	DropInAnswer
)

// Config says what an API works on.
type Config struct {
	Life         *lifecycle.Life
	Engine       *engine.Engine
	Blobs        *blobs.Store
	Key          string
	PublicURL    string // where links lead to; "": the host of the request
	StorageURL   string
	AsyncFiles   bool
	EmptyUploads bool // their responses have no body
	Fault        func(*http.Request) Fault
	Logger       *slog.Logger
}

// API is the API and the storage of one server. Make one with [New].
type API struct {
	Config
	mux     *http.ServeMux
	replies idempotency
}

// New makes an API.
func New(c Config) *API {
	a := &API{Config: c}
	a.mux = a.routes()
	return a
}

// response is a response that can be kept, for idempotency keys.
type response struct {
	status int
	header http.Header
	body   []byte
}

func reply(status int, value any) *response {
	return &response{status: status, header: http.Header{}, body: ordered.Encode(value)}
}

// refusal is an error that has a response.
type refusal struct {
	status  int
	message string
	header  http.Header
}

// Error implements error.
func (r *refusal) Error() string { return r.message }

// Refuse makes the error of a request that is answered with this status and message.
func Refuse(status int, format string, args ...any) error {
	return &refusal{status: status, message: fmt.Sprintf(format, args...)}
}

// errAborted ends a request whose client has gone, or whose server closes.
var errAborted = errors.New("ittybittest: the request was abandoned")

// failure is the response to an error.
func (a *API) failure(err error) *response {
	r := &refusal{status: http.StatusInternalServerError, message: fmt.Sprintf("The local Ittybit failed: %s.", err)}
	var ofEngine *engine.Error
	var ofText ordered.Error
	var ofRange blobs.RangeError
	switch {
	case errors.As(err, &r):
	case errors.As(err, &ofEngine):
		r.message = ofEngine.Message
		r.status = map[engine.Code]int{
			engine.Invalid: http.StatusBadRequest, engine.NotFound: http.StatusNotFound,
			engine.Conflict: http.StatusConflict, engine.NotEmulated: http.StatusNotImplemented,
		}[ofEngine.Code]
	case errors.As(err, &ofText), errors.As(err, &ofRange):
		r.status, r.message = http.StatusBadRequest, err.Error()
	case errors.Is(err, blobs.ErrFull):
		r.status, r.message = http.StatusInsufficientStorage, "The storage is full."
	case errors.Is(err, blobs.ErrEnded):
		r.status, r.message = http.StatusConflict, "The upload of this chunk has ended, or was restarted."
	default:
		a.Logger.Error("ittybittest: a request failed", "error", err)
	}
	resp := reply(r.status, ordered.Object{}.Set("message", r.message))
	for name, values := range r.header {
		resp.header[http.CanonicalHeaderKey(name)] = values
	}
	return resp
}

// Fail answers with an error.
func (a *API) Fail(w http.ResponseWriter, err error) { a.failure(err).write(w) }

// Write answers with a value as JSON, or without a body if it is nil.
func Write(w http.ResponseWriter, status int, value any) {
	resp := &response{status: status}
	if value != nil {
		resp = reply(status, value)
	}
	resp.write(w)
}

// response is what a fault answers, or nil.
func (f Fault) response(a *API) *response {
	if f.Status == 0 {
		return nil
	}
	message := f.Message
	if message == "" {
		message = http.StatusText(f.Status)
	}
	return a.failure(&refusal{f.Status, message, f.Header})
}

// ServeAPI answers a request to the API: read it, let faults happen, answer.
func (a *API) ServeAPI(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	body, bodyErr := a.readBody(w, r) //nolint:contextcheck // the end of the server, not of the request
	r.Body = io.NopCloser(bytes.NewReader(body))
	fault := a.Fault(r)
	if !a.Life.Pause(r.Context(), fault.Latency) || fault.Drop == DropBefore || fault.Drop == DropInBody {
		a.drop(r, start)
	}
	resp := fault.response(a)
	if resp == nil {
		var err error
		if resp, err = a.answer(r, body, bodyErr); errors.Is(err, errAborted) {
			a.drop(r, start)
		} else if err != nil {
			resp = a.failure(err)
		}
	}
	if !a.Life.Pause(r.Context(), fault.AnswerLatency) || fault.Drop == DropAfter {
		a.drop(r, start)
	}
	a.send(w, r, start, fault.Drop, resp.status, resp.write)
}

// send writes a response, and logs it; half of the response, if it is to be cut.
func (a *API) send(w http.ResponseWriter, r *http.Request, start time.Time, drop Drop, status int, write func(http.ResponseWriter)) {
	if drop == DropInAnswer {
		end := func() { a.drop(r, start) }
		write(&halfWriter{ResponseWriter: w, end: end})
		end() // it had no body
	}
	write(w)
	a.log(r, status, start)
}

// drop closes the connection without a response, which net/http does for this panic.
func (a *API) drop(r *http.Request, start time.Time) {
	a.log(r, 0, start)
	panic(http.ErrAbortHandler)
}

// log leaves out the headers, which hold the key. Status 0 is a dropped connection.
func (a *API) log(r *http.Request, status int, start time.Time) {
	a.Logger.LogAttrs(context.WithoutCancel(r.Context()), slog.LevelInfo, "ittybittest: request",
		slog.String("method", r.Method), slog.String("path", r.URL.Path),
		slog.Int("status", status), slog.Duration("duration", time.Since(start)))
}

// write answers. The client may have gone.
func (resp *response) write(w http.ResponseWriter) {
	for name, values := range resp.header {
		w.Header()[name] = values
	}
	if resp.body != nil {
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
	}
	if resp.status != http.StatusNoContent {
		w.Header().Set("Content-Length", strconv.Itoa(len(resp.body)))
	}
	w.WriteHeader(resp.status)
	_, _ = w.Write(resp.body)
}

// halfWriter sends half of a response's body, and then ends the request.
type halfWriter struct {
	http.ResponseWriter
	end  func()
	left int64
}

// WriteHeader implements http.ResponseWriter.
func (h *halfWriter) WriteHeader(status int) {
	length, _ := strconv.ParseInt(h.Header().Get("Content-Length"), 10, 64) // 0 if there is none
	h.left = length / 2
	h.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (h *halfWriter) Write(p []byte) (int, error) {
	n, err := h.ResponseWriter.Write(p[:min(int64(len(p)), h.left)])
	h.left -= int64(n)
	if h.left == 0 {
		_ = http.NewResponseController(h.ResponseWriter).Flush() // whatever became of it, this is the end
		h.end()
	}
	return n, err
}

// readBody reads the body first of all, because net/http notices that a client has gone only
// after that.
func (a *API) readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	defer a.endWithServer(w)()
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxBodyBytes))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, Refuse(http.StatusRequestEntityTooLarge, "The request body is larger than %d bytes.", tooLarge.Limit)
	case err != nil:
		return nil, errAborted
	}
	return body, nil
}

// endWithServer lets no slow client keep the server from closing.
func (a *API) endWithServer(w http.ResponseWriter) (stop func()) {
	control := http.NewResponseController(w)
	cancel := context.AfterFunc(a.Life.Context(), func() {
		_ = control.SetReadDeadline(time.Unix(1, 0)) // where it isn't supported, the server's Close does it
		_ = control.SetWriteDeadline(time.Unix(1, 0))
	})
	return func() { cancel() }
}

// answer checks a request in the order in which a service would.
func (a *API) answer(r *http.Request, body []byte, bodyErr error) (*response, error) {
	if err := a.authenticate(r); err != nil {
		return nil, err
	}
	for _, version := range r.Header.Values("Accept-Version") {
		if version != "" && version != apiVersion && version != "latest" {
			return nil, Refuse(http.StatusBadRequest, "Accept-Version %q is not supported: use %q or \"latest\".", version, apiVersion)
		}
	}
	x := &exchange{Request: r, raw: body, bodyErr: bodyErr}
	a.mux.ServeHTTP(x, r)
	return x.response, x.err
}

func (a *API) authenticate(r *http.Request) error {
	scheme, key, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	want, got := sha256.Sum256([]byte(a.Key)), sha256.Sum256([]byte(key))
	if strings.EqualFold(scheme, "Bearer") && subtle.ConstantTimeCompare(want[:], got[:]) == 1 {
		return nil
	}
	message := "The API key is not valid."
	if scheme == "" {
		message = "An API key is required: send it as \"Authorization: Bearer <API key>\"."
	}
	return &refusal{http.StatusUnauthorized, message, http.Header{"Www-Authenticate": {"Bearer"}}}
}

// checkCharset refuses what is not UTF-8. Ittybit only recommends a Content-Type, and its own
// samples leave it out.
func checkCharset(r *http.Request) error {
	given := r.Header.Get("Content-Type")
	_, params, err := mime.ParseMediaType(given)
	if charset := strings.ToLower(params["charset"]); err == nil && charset != "" && charset != "utf-8" {
		return Refuse(http.StatusUnsupportedMediaType, "The body must be JSON in UTF-8, not %q.", given)
	}
	return nil
}
