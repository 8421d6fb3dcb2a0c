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
	"net/http/httptest"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/ittybit/ittybit-go/ittybittest/internal/blobs"
	"github.com/ittybit/ittybit-go/ittybittest/internal/engine"
	"github.com/ittybit/ittybit-go/ittybittest/internal/fields"
	"github.com/ittybit/ittybit-go/ittybittest/internal/lifecycle"
	"github.com/ittybit/ittybit-go/ittybittest/internal/refusal"
)

const (
	apiVersion = "2025-08-20"
	// MaxBodyBytes is the largest body of an API request.
	MaxBodyBytes = 1 << 20
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
	replies replies
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
	return &response{status: status, header: http.Header{}, body: fields.Encode(value)}
}

// write answers. The client may have gone.
func (resp *response) write(w http.ResponseWriter) {
	for name, values := range resp.header {
		w.Header()[http.CanonicalHeaderKey(name)] = values
	}
	if resp.body != nil {
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
	}
	if resp.status != http.StatusNoContent {
		w.Header().Set("Content-Length", strconv.Itoa(len(resp.body)))
	}
	w.WriteHeader(resp.status)
	_, _ = w.Write(resp.body) //nolint:gosec // JSON, and said to be
}

// Write answers with a value as JSON, or without a body if it is nil.
func Write(w http.ResponseWriter, status int, value any) {
	resp := &response{status: status}
	if value != nil {
		resp = reply(status, value)
	}
	resp.write(w)
}

func nothingAt(r *http.Request) error {
	return refusal.New(http.StatusNotFound, "Not found: %s.", r.URL.Path)
}

func notAllowed(method, allow string) error {
	return &refusal.Error{
		Status: http.StatusMethodNotAllowed, Message: fmt.Sprintf("%s is not allowed here: use %s.", method, allow),
		Header: http.Header{"Allow": {allow}},
	}
}

// failure is the response to an error.
func (a *API) failure(err error) *response {
	r := &refusal.Error{Status: http.StatusInternalServerError, Message: fmt.Sprintf("The local Ittybit failed: %s.", err)}
	if !errors.As(err, &r) {
		a.Logger.Error("ittybittest: a request failed", "error", err)
	}
	resp := reply(r.Status, map[string]string{"message": r.Message})
	resp.header = r.Header
	return resp
}

// Fail answers with an error.
func (a *API) Fail(w http.ResponseWriter, err error) { a.failure(err).write(w) }

// ServeAPI answers a request to the API. It reads the body first of all, because net/http notices
// that a client has gone only after that.
func (a *API) ServeAPI(w http.ResponseWriter, r *http.Request) {
	x := &exchange{API: a, start: time.Now()}
	defer a.endWithServer(w)() //nolint:contextcheck // the end of the server, not of the request
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxBodyBytes))
	rewind := func() { r.Body = io.NopCloser(bytes.NewReader(body)) }
	rewind()
	x.ResponseWriter, x.request, x.fault = w, r, a.Fault(r)
	rewind() // the fault's function may have read it
	var tooLarge *http.MaxBytesError
	if err != nil && !errors.As(err, &tooLarge) {
		x.drop() //nolint:contextcheck // it has the request; the client has gone
	}
	x.serve(func() { //nolint:contextcheck // it has the request
		if err := a.authenticate(r); err != nil {
			a.Fail(x, err)
			return
		}
		for _, version := range r.Header.Values("Accept-Version") {
			if version != "" && version != apiVersion && version != "latest" {
				a.Fail(x, refusal.Invalid("Accept-Version %q is not supported: use %q or \"latest\".", version, apiVersion))
				return
			}
		}
		handler, pattern := a.mux.Handler(r)
		if clean := path.Clean(r.URL.Path); clean != r.URL.Path && clean+"/" != r.URL.Path {
			pattern = "" // the mux redirects
		}
		if own := httptest.NewRecorder(); pattern == "" { // it gets the form of the API
			handler.ServeHTTP(own, r)
			err := nothingAt(r)
			if own.Code == http.StatusMethodNotAllowed {
				err = notAllowed(r.Method, own.Header().Get("Allow"))
			}
			a.Fail(x, err)
			return
		}
		if tooLarge != nil {
			a.Fail(x, refusal.New(http.StatusRequestEntityTooLarge, "The request body is larger than %d bytes.", tooLarge.Limit))
			return
		}
		a.mux.ServeHTTP(x, r)
	})
}

// endWithServer lets no slow client keep the server from closing.
func (a *API) endWithServer(w http.ResponseWriter) (stop func()) {
	control := http.NewResponseController(w)
	cancel := context.AfterFunc(a.Life.Context(), func() {
		// Where it isn't supported, the server's Close does it.
		_ = control.SetReadDeadline(time.Unix(1, 0))
		_ = control.SetWriteDeadline(time.Unix(1, 0))
	})
	return func() { cancel() }
}

func (a *API) authenticate(r *http.Request) error {
	scheme, key, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	want, got := sha256.Sum256([]byte(a.Key)), sha256.Sum256([]byte(key))
	if strings.EqualFold(scheme, "Bearer") && subtle.ConstantTimeCompare(want[:], got[:]) == 1 {
		return nil
	}
	if scheme == "" {
		return unauthorized("An API key is required: send it as \"Authorization: Bearer <API key>\".")
	}
	return unauthorized("The API key is not valid.")
}

func unauthorized(message string) error {
	return &refusal.Error{Status: http.StatusUnauthorized, Message: message, Header: http.Header{"Www-Authenticate": {"Bearer"}}}
}

// checkCharset refuses what is not UTF-8. Ittybit only recommends a Content-Type, and its own
// samples leave it out.
func checkCharset(r *http.Request) error {
	given := r.Header.Get("Content-Type")
	_, params, err := mime.ParseMediaType(given)
	if charset := strings.ToLower(params["charset"]); err == nil && charset != "" && charset != "utf-8" {
		return refusal.New(http.StatusUnsupportedMediaType, "The body must be JSON in UTF-8, not %q.", given)
	}
	return nil
}
