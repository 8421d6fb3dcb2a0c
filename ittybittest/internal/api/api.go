// Package api answers Ittybit's API and storage over HTTP: routes, keys, pages and idempotency.
package api

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path"
	"strconv"
	"strings"

	"github.com/ittybit/ittybit-go/ittybittest/internal/blobs"
	"github.com/ittybit/ittybit-go/ittybittest/internal/engine"
	"github.com/ittybit/ittybit-go/ittybittest/internal/fields"
	"github.com/ittybit/ittybit-go/ittybittest/internal/refusal"
)

const (
	apiVersion = "2025-08-20"
	// MaxBodyBytes is the largest body of an API request.
	MaxBodyBytes = 1 << 20
)

// Config says what an API works on.
type Config struct {
	Engine       *engine.Engine
	Blobs        *blobs.Store
	Key          string
	PublicURL    string // where links lead to; "": the host of the request
	StorageURL   string
	AsyncFiles   bool
	EmptyUploads bool // their responses have no body
	Logger       *slog.Logger
}

// API is the API and the storage of one server. Make one with [New].
type API struct {
	Config
	mux     *http.ServeMux
	replies map[string]kept // by the idempotency key; guarded by the engine's mutex, as are
	keys    []string        // those of the replies, the oldest first
}

// New makes an API.
func New(c Config) *API {
	a := &API{Config: c, replies: map[string]kept{}}
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

// ReadRequest reads a request to the API, and gives what acts on it; nil if the client has gone,
// which net/http notices only when the body was read. The body can be read again until then.
func (a *API) ReadRequest(w http.ResponseWriter, r *http.Request) (act func(http.ResponseWriter)) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxBodyBytes))
	var tooLarge *http.MaxBytesError
	if err != nil && !errors.As(err, &tooLarge) {
		return nil
	}
	rewind := func() { r.Body = io.NopCloser(bytes.NewReader(body)) }
	rewind()
	return func(w http.ResponseWriter) {
		rewind()
		err := a.check(r)
		if err == nil && tooLarge != nil {
			err = refusal.New(http.StatusRequestEntityTooLarge, "The request body is larger than %d bytes.", tooLarge.Limit)
		}
		if err != nil {
			a.Fail(w, err)
			return
		}
		a.mux.ServeHTTP(w, r)
	}
}

// check refuses a request without the key, for another version, or to where nothing is.
func (a *API) check(r *http.Request) error {
	if err := a.authenticate(r); err != nil {
		return err
	}
	for _, version := range r.Header.Values("Accept-Version") {
		if version != "" && version != apiVersion && version != "latest" {
			return refusal.Invalid("Accept-Version %q is not supported: use %q or \"latest\".", version, apiVersion)
		}
	}
	clean := path.Clean(r.URL.Path)
	if clean != r.URL.Path && clean+"/" != r.URL.Path { // the mux would redirect
		return nothingAt(r)
	}
	handler, pattern := a.mux.Handler(r)
	if pattern != "" {
		return nil
	}
	own := httptest.NewRecorder() // what the mux answers by itself gets the form of the API
	if handler.ServeHTTP(own, r); own.Code == http.StatusMethodNotAllowed {
		return notAllowed(r.Method, own.Header().Get("Allow"))
	}
	return nothingAt(r)
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
