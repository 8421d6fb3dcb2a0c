package api

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/ittybit/ittybit-go/ittybittest/internal/engine"
	"github.com/ittybit/ittybit-go/ittybittest/internal/fields"
	"github.com/ittybit/ittybit-go/ittybittest/internal/refusal"
)

// handler answers with a value, which becomes JSON, or a response. It is given the body of a POST
// or PATCH, and called with the engine locked.
type handler func(r *http.Request, body fields.Object) (any, error)

func (a *API) routes() *http.ServeMux {
	e, mux := a.Engine, http.NewServeMux()
	for pattern, h := range map[string]handler{
		"GET /tasks":               a.list(20, e.ListTasks),
		"POST /tasks":              ofBody(e.CreateTask),
		"GET /tasks/{id}":          byID(e.Tasks.Get),
		"GET /automations":         a.list(10, e.Automations.List),
		"POST /automations":        ofBody(e.CreateAutomation),
		"GET /automations/{id}":    byID(e.Automations.Get),
		"PATCH /automations/{id}":  updated(engine.Update(e.Automations, e.SetAutomation)),
		"DELETE /automations/{id}": deleted("Automation %s deleted", e.Automations.Delete),
		"GET /media":               a.list(20, e.Media.List),
		"POST /media":              ofBody(e.CreateMedia),
		"GET /media/{id}":          byID(e.Media.Get),
		"PATCH /media/{id}":        updated(engine.Update(e.Media, (*engine.Media).Set)),
		"DELETE /media/{id}":       deleted("%s deleted", a.deleteMedia),
		"GET /files":               a.list(20, e.Files.List),
		"POST /files":              ofBody(a.createFile),
		"GET /files/{id}":          byID(e.Files.Get),
		"PATCH /files/{id}":        updated(engine.Update(e.Files, e.SetFile(a.Blobs.Move))),
		"DELETE /files/{id}":       deleted("%s deleted", a.deleteFile),
		"POST /signatures":         ofBody(a.createSignature),
		"GET /jobs":                a.listJobs,
		"POST /jobs":               ofBody(e.CreateJob),
		"GET /jobs/{id}":           byID(e.Jobs.Get),
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { a.respond(r, h).write(w) })
	}
	// Ittybit has these, or had, and documents too little of them, or for another version.
	for _, pattern := range []string{
		"/tasks/{id}/start", "/automations/{id}/run", "/runs", "/runs/", "/events", "/events/", "/webhooks", "/webhooks/", "/keys", "/keys/",
		"/connections", "/connections/", "/uploads", "/steps",
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { a.Fail(w, refusal.NotEmulated(r.URL.Path)) })
	}
	return mux
}

// respond answers a request of a route.
func (a *API) respond(r *http.Request, h handler) *response {
	body := fields.Object{}
	raw, err := io.ReadAll(r.Body)
	if r.Method == http.MethodPost || r.Method == http.MethodPatch {
		if err == nil && len(bytes.TrimSpace(raw)) > 0 { // all fields of several requests are optional
			if body, err = fields.Parse(raw); err != nil {
				err = refusal.Invalid("The request body %s.", err)
			}
		}
	}
	if err != nil {
		return a.failure(err)
	}
	status, key := http.StatusOK, ""
	if r.Method == http.MethodPost {
		status, key = http.StatusCreated, r.Header.Get("Idempotency-Key")
	}
	resp, err := a.once(key, sha256.Sum256(append([]byte(r.URL.Path+"\n"), raw...)), func() (*response, error) {
		value, err := h(r, body)
		if resp, made := value.(*response); err != nil || made {
			return resp, err
		}
		return reply(status, value), nil
	})
	if err != nil {
		return a.failure(err)
	}
	return resp
}

// kept is the response to a request that carried an idempotency key.
type kept struct {
	digest [sha256.Size]byte // of the request
	since  time.Time
	resp   *response
}

// once calls handle with the engine locked, but for a key only once in a day: others wait for
// that, and get the same response. An error leaves the key unused.
func (a *API) once(key string, digest [sha256.Size]byte, handle func() (*response, error)) (*response, error) {
	a.Engine.Lock() // no handler waits for anything
	defer a.Engine.Unlock()
	if key == "" {
		return handle()
	}
	for len(a.keys) > 0 && time.Since(a.replies[a.keys[0]].since) >= 24*time.Hour {
		delete(a.replies, a.keys[0])
		a.keys = a.keys[1:]
	}
	if old, ok := a.replies[key]; ok {
		if old.digest != digest {
			return nil, refusal.New(http.StatusConflict, "This Idempotency-Key was used before, with a different request.")
		}
		return &response{http.StatusOK, old.resp.header, old.resp.body}, nil
	}
	resp, err := handle()
	if err == nil {
		a.replies[key] = kept{digest, time.Now(), resp}
		a.keys = append(a.keys, key)
	}
	return resp, err
}

func ofBody(do func(fields.Object) (any, error)) handler {
	return func(_ *http.Request, body fields.Object) (any, error) { return do(body) }
}

func byID(do func(id string) (any, error)) handler {
	return func(r *http.Request, _ fields.Object) (any, error) { return do(r.PathValue("id")) }
}

func updated(do func(id string, body fields.Object) (any, error)) handler {
	return func(r *http.Request, body fields.Object) (any, error) { return do(r.PathValue("id"), body) }
}

func deleted(message string, remove func(id string) error) handler {
	return byID(func(id string) (any, error) {
		return map[string]string{"message": fmt.Sprintf(message, id)}, remove(id)
	})
}

func (a *API) deleteMedia(id string) error {
	files, err := a.Engine.DeleteMedia(id)
	for _, file := range files {
		a.Blobs.Delete(file)
	}
	return err
}

func (a *API) deleteFile(id string) error {
	err := a.Engine.DeleteFile(id)
	if err == nil {
		a.Blobs.Delete(id)
	}
	return err
}

func (a *API) createFile(body fields.Object) (any, error) {
	made, err := a.Engine.CreateFile(body, a.AsyncFiles)
	if err == nil && a.AsyncFiles {
		return reply(http.StatusAccepted, made), nil
	}
	return made, err
}

// list answers with one page of the items, and links to others.
func (a *API) list(limit int64, items func(engine.Window) ([]any, int64)) handler {
	return func(r *http.Request, _ fields.Object) (any, error) { return a.page(r, limit, items) }
}

func (a *API) page(r *http.Request, limit int64, items func(engine.Window) ([]any, int64)) (any, error) {
	query := r.URL.Query()
	w := engine.Window{Page: 1, Limit: limit, Status: query.Get("status"), Kind: query.Get("kind")}
	if err := cmp.Or(Positive(query, "page", &w.Page, 0), Positive(query, "limit", &w.Limit, 100)); err != nil {
		return nil, err
	}
	shown, total := items(w)
	resp, last := reply(http.StatusOK, shown), w.Last(total)
	var links []string
	link := func(rel string, page int64) {
		query.Set("page", strconv.FormatInt(page, 10))
		query.Set("limit", strconv.FormatInt(w.Limit, 10))
		links = append(links, fmt.Sprintf(`<%s%s?%s>; rel=%q`, a.base(r), r.URL.Path, query.Encode(), rel))
	}
	link("self", w.Page)
	link("first", 1)
	if w.Page > 1 {
		link("prev", min(w.Page-1, last))
	}
	if w.Page < last {
		link("next", w.Page+1)
	}
	link("last", last)
	resp.header.Set("Links", strings.Join(links, ", "))
	return resp, nil
}

// base is the address that a request was sent to, unless the server has a public one.
func (a *API) base(r *http.Request) string {
	if a.PublicURL != "" {
		return a.PublicURL
	}
	scheme, _, _ := strings.Cut(a.StorageURL, ":")
	return scheme + "://" + r.Host
}

// Positive reads a number, 1 or greater, of a query; most is the highest one, 0 if any is allowed.
func Positive(query url.Values, name string, n *int64, most int64) error {
	if !query.Has(name) {
		return nil
	}
	value, err := strconv.ParseInt(query.Get(name), 10, 64)
	switch {
	case most > 0 && (err != nil || value < 1 || value > most):
		return refusal.Invalid("%s must be a number from 1 to %d.", name, most)
	case err != nil || value < 1:
		return refusal.Invalid("%s must be a number, 1 or greater.", name)
	}
	*n = value
	return nil
}

// listJobs pages by cursors, as the 2026 API does.
func (a *API) listJobs(r *http.Request, _ fields.Object) (any, error) {
	limit, query := int64(20), r.URL.Query()
	if err := Positive(query, "limit", &limit, 100); err != nil {
		return nil, err
	}
	jobs, next := a.Engine.ListJobs(limit, query.Get("after"))
	resp := reply(http.StatusOK, jobs)
	if next != "" {
		query.Set("after", next)
		resp.header.Set("Link", fmt.Sprintf(`<%s/jobs?%s>; rel="next"`, a.base(r), query.Encode()))
	}
	return resp, nil
}
