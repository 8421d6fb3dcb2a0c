package api

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"path"
	"regexp"
	"strconv"
	"strings"
	"testing/iotest"
	"time"

	"github.com/ittybit/ittybit-go/ittybittest/internal/blobs"
	"github.com/ittybit/ittybit-go/ittybittest/internal/refusal"
)

// ReadUpload checks a request to the storage, and receives the body of a PUT: half of it and no
// more, if it is to be cut. Who may not upload is refused before a body is read. It gives what acts
// on the request, nil if the client has gone, and what drops the body.
func (a *API) ReadUpload(w http.ResponseWriter, r *http.Request, cut bool) (act func(http.ResponseWriter), drop func()) {
	body, err := a.admit(w, r, cut)
	drop = func() {
		if body != nil {
			a.Blobs.End(body)
		}
	}
	if errors.Is(err, errAborted) {
		return nil, drop
	}
	return func(w http.ResponseWriter) {
		var resp *response
		switch {
		case err != nil:
		case body != nil:
			resp, err = a.store(r, body)
		default:
			err = a.open(w, r)
		}
		if err != nil {
			resp = a.failure(err)
		}
		if resp != nil {
			resp.write(w)
		}
	}, drop
}

// errAborted is the error of a body whose client has gone.
var errAborted = errors.New("ittybittest: the request was abandoned")

// AllowBrowsers lets pages of any site use what they have a signed URL for, and answers the
// question that a browser asks before. No fault strikes that.
func AllowBrowsers(w http.ResponseWriter, r *http.Request) (answered bool) {
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Access-Control-Expose-Headers", "Accept-Ranges, Content-Length, Content-Range, Retry-After")
	if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
		return false
	}
	h.Set("Access-Control-Allow-Methods", "GET, HEAD, PUT")
	h.Set("Access-Control-Allow-Headers", "Authorization, Content-Range, Content-Type, Range")
	h.Set("Access-Control-Max-Age", "600")
	w.WriteHeader(http.StatusNoContent)
	return true
}

// open serves what a path has: an upload, or what a task ended with.
func (a *API) open(w http.ResponseWriter, r *http.Request) error {
	name := strings.TrimPrefix(r.URL.Path, "/")
	f, err := a.Blobs.Open(name)
	if err == nil {
		defer func() { _ = f.Close() }() // it was only read
		serve(w, r, f.Type, path.Base(name), f.Stored, f)
		return nil
	}
	if file, body, ok := a.Engine.Sample(name); ok && errors.Is(err, fs.ErrNotExist) {
		serve(w, r, file.Type, "", file.Created.Time, bytes.NewReader(body))
		return nil
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = nothingAt(r)
	}
	return err
}

// serve serves bytes, or the ranges of them that were asked for.
func serve(w http.ResponseWriter, r *http.Request, mediaType, name string, modified time.Time, from io.ReadSeeker) {
	if mediaType != "" {
		w.Header().Set("Content-Type", mediaType)
	}
	// Anybody's page, uploaded, must not run as one of this machine.
	w.Header().Set("Content-Security-Policy", "sandbox")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	http.ServeContent(w, r, name, modified, from)
}

// admit checks a request, and then receives the body of a PUT.
func (a *API) admit(w http.ResponseWriter, r *http.Request, cut bool) (*blobs.Body, error) {
	name := strings.TrimPrefix(r.URL.Path, "/")
	signed := r.URL.Query().Has("signature")
	switch {
	case name == "" || path.Clean("/"+name) != "/"+name:
		return nil, nothingAt(r)
	case r.Method == http.MethodGet || r.Method == http.MethodHead:
		if signed {
			return nil, CheckSigned(a.Key, r.URL, "get")
		}
		return nil, nil //nolint:nilnil // anyone may read, and there is no body
	case r.Method != http.MethodPut:
		return nil, notAllowed(r.Method, "GET, HEAD, PUT")
	}
	err := unauthorized("An API key or a signature is required.")
	if r.Header.Get("Authorization") != "" {
		err = a.authenticate(r)
	} else if signed {
		err = CheckSigned(a.Key, r.URL, "put")
	}
	if err != nil {
		return nil, err
	}
	return a.receive(w, r, name, cut)
}

// parseRange reads a request's Content-Range, if it has one: in the documented spelling, with
// "=", and in that of RFC 9110.
func parseRange(r *http.Request) (blobs.Range, error) {
	given := strings.Join(r.Header.Values("Content-Range"), ", ")
	if len(r.Header.Values("Content-Range")) == 0 {
		return blobs.Range{Total: -1}, nil
	}
	var n [3]int64
	parts := regexp.MustCompile(`^(?i:bytes)[= ](\d{1,15})-(\d{1,15})/(\d{1,15})$`).FindStringSubmatch(given)
	for i := range n {
		if parts != nil {
			n[i], _ = strconv.ParseInt(parts[i+1], 10, 64) // 15 digits fit
		}
	}
	span := blobs.Range{Start: n[0], End: n[1], Total: n[2]}
	if span.Start > span.End || span.End >= span.Total {
		return span, refusal.Invalid("Content-Range must be bytes=<start>-<end>/<total>, with the end included, not %q.", given)
	}
	if r.ContentLength >= 0 && r.ContentLength != span.Length() {
		return span, wrongLength(span)
	}
	return span, nil
}

func wrongLength(span blobs.Range) error {
	return refusal.Invalid("The body is not the %d bytes that Content-Range says.", span.Length())
}

// receive reads a body into the storage.
func (a *API) receive(w http.ResponseWriter, r *http.Request, name string, cut bool) (*blobs.Body, error) {
	span, err := parseRange(r)
	if err != nil {
		return nil, err
	}
	length, from := r.ContentLength, io.Reader(r.Body) // -1: unknown
	if !span.Whole() {
		length = span.Length()
	}
	if length >= 0 {
		from = http.MaxBytesReader(w, r.Body, length)
	}
	if cut { // the client gets no response
		from = io.MultiReader(io.LimitReader(from, max(length/2, 1)), iotest.ErrReader(errAborted))
	}
	body, err := a.Blobs.Receive(name, span, length, from)
	var tooLarge *http.MaxBytesError
	var full *refusal.Error
	var ofDisk *fs.PathError
	switch {
	case errors.As(err, &tooLarge), err == nil && length >= 0 && body.Size != length:
		err = wrongLength(span)
	case err != nil && !errors.As(err, &full) && !errors.As(err, &ofDisk):
		err = errAborted // the client has gone
	}
	return body, err
}

// store adds a whole body or a chunk to what its path has.
func (a *API) store(r *http.Request, body *blobs.Body) (*response, error) {
	a.Engine.Lock()
	defer a.Engine.Unlock()
	mediaType := r.Header.Get("Content-Type")
	result, err := a.Blobs.Commit(body, mediaType, func(size int64, replaced string) string {
		return a.Engine.Uploaded(strings.TrimPrefix(r.URL.Path, "/"), mediaType, size, replaced).ID
	})
	if err != nil {
		return nil, err
	}
	resp := reply(http.StatusAccepted, map[string]string{"message": "The chunk was stored. " + result.Missing})
	if result.Missing == "" {
		file, err := a.Engine.Files.Get(result.Owner)
		if err != nil { // a snapshot has its bytes, and not the file that was made of them meanwhile
			a.Blobs.Delete(result.Owner)
			return nil, refusal.New(http.StatusConflict, "The file was deleted meanwhile: upload it again.")
		}
		resp = reply(http.StatusCreated, file)
	}
	if a.EmptyUploads {
		resp.body = nil
	}
	return resp, nil
}
