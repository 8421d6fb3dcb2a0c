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
	"sync"
	"time"

	"github.com/ittybit/ittybit-go/ittybittest/internal/engine"
	"github.com/ittybit/ittybit-go/ittybittest/internal/fields"
	"github.com/ittybit/ittybit-go/ittybittest/internal/refusal"
)

// handler answers with a value, which becomes JSON, and a status. It is given the body of a POST
// or PATCH.
type handler func(r *http.Request, body fields.Object) (int, any, error)

func (a *API) routes() *http.ServeMux {
	e, mux := a.Engine, http.NewServeMux()
	for pattern, h := range map[string]handler{
		"GET /tasks":               a.list(20, e.ListTasks),
		"POST /tasks":              created(e.CreateTask),
		"GET /tasks/{id}":          found(e.Tasks.Get),
		"GET /automations":         a.list(10, e.Automations.List),
		"POST /automations":        created(e.CreateAutomation),
		"GET /automations/{id}":    found(e.Automations.Get),
		"PATCH /automations/{id}":  updated(e.UpdateAutomation),
		"DELETE /automations/{id}": deleted("Automation %s deleted", e.Automations.Delete),
		"GET /media":               a.list(20, e.Media.List),
		"POST /media":              created(e.CreateMedia),
		"GET /media/{id}":          found(e.Media.Get),
		"PATCH /media/{id}":        updated(e.UpdateMedia),
		"DELETE /media/{id}":       deleted("%s deleted", a.deleteMedia),
		"GET /files":               a.list(20, e.Files.List),
		"POST /files":              a.createFile,
		"GET /files/{id}":          found(e.Files.Get),
		"PATCH /files/{id}": updated(func(id string, body fields.Object) (any, error) {
			return e.UpdateFile(id, body, a.Blobs.Move)
		}),
		"DELETE /files/{id}": deleted("%s deleted", a.deleteFile),
		"POST /signatures":   a.createSignature,
		"GET /jobs":          a.listJobs,
		"POST /jobs":         created(e.CreateJob),
		"GET /jobs/{id}":     found(e.Jobs.Get),
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
		err = checkCharset(r)
		if err == nil && len(bytes.TrimSpace(raw)) > 0 { // all fields of several requests are optional
			if body, err = fields.Parse(raw); err != nil {
				err = refusal.Invalid("The request body %s.", err)
			}
		}
	}
	if err != nil {
		return a.failure(err)
	}
	handle := func() (*response, error) {
		status, value, err := h(r, body)
		if resp, made := value.(*response); err != nil || made {
			return resp, err
		}
		return reply(status, value), nil
	}
	key := ""
	if r.Method == http.MethodPost {
		key = r.Header.Get("Idempotency-Key")
	}
	resp, err := a.replies.once(key, sha256.Sum256(append([]byte(r.URL.Path+"\n"), raw...)), handle)
	if err != nil {
		return a.failure(err)
	}
	return resp
}

// replies are the responses to requests that carried an idempotency key, for a day.
type replies struct {
	mu    sync.Mutex
	byKey map[string]kept
	order []string // of the keys, the oldest first
}

type kept struct {
	digest [sha256.Size]byte // of the request
	since  time.Time
	resp   *response
}

// once calls handle, but for a key only once: others wait for that, and get the same response. An
// error leaves the key unused.
func (p *replies) once(key string, digest [sha256.Size]byte, handle func() (*response, error)) (*response, error) {
	if key == "" {
		return handle()
	}
	if len(key) > 255 {
		return nil, refusal.Invalid("Idempotency-Key must not be longer than 255 bytes.")
	}
	p.mu.Lock() // no handler waits for anything
	defer p.mu.Unlock()
	for len(p.order) > 0 && time.Since(p.byKey[p.order[0]].since) >= 24*time.Hour {
		delete(p.byKey, p.order[0])
		p.order = p.order[1:]
	}
	if old, ok := p.byKey[key]; ok {
		if old.digest != digest {
			return nil, refusal.New(http.StatusConflict, "This Idempotency-Key was used before, with a different request.")
		}
		return &response{http.StatusOK, old.resp.header, old.resp.body}, nil
	}
	resp, err := handle()
	if err == nil {
		if p.byKey == nil {
			p.byKey = map[string]kept{}
		}
		p.byKey[key] = kept{digest, time.Now(), resp}
		p.order = append(p.order, key)
	}
	return resp, err
}

func created(create func(fields.Object) (any, error)) handler {
	return func(_ *http.Request, body fields.Object) (int, any, error) {
		o, err := create(body)
		return http.StatusCreated, o, err
	}
}

func found(get func(id string) (any, error)) handler {
	return func(r *http.Request, _ fields.Object) (int, any, error) {
		o, err := get(r.PathValue("id"))
		return http.StatusOK, o, err
	}
}

func updated(update func(id string, body fields.Object) (any, error)) handler {
	return func(r *http.Request, body fields.Object) (int, any, error) {
		o, err := update(r.PathValue("id"), body)
		return http.StatusOK, o, err
	}
}

func deleted(message string, remove func(id string) error) handler {
	return func(r *http.Request, _ fields.Object) (int, any, error) {
		id := r.PathValue("id")
		return http.StatusOK, map[string]string{"message": fmt.Sprintf(message, id)}, remove(id)
	}
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

func (a *API) createFile(_ *http.Request, body fields.Object) (int, any, error) {
	status := http.StatusCreated
	if a.AsyncFiles {
		status = http.StatusAccepted
	}
	o, err := a.Engine.CreateFile(body, a.AsyncFiles)
	return status, o, err
}

// list answers with one page of the items, and links to others.
func (a *API) list(limit int64, items func(engine.Window) ([]any, int64, error)) handler {
	return func(r *http.Request, _ fields.Object) (int, any, error) { return a.page(r, limit, items) }
}

func (a *API) page(r *http.Request, limit int64, items func(engine.Window) ([]any, int64, error)) (int, any, error) {
	query := r.URL.Query()
	w := engine.Window{Page: 1, Limit: limit, Status: query.Get("status"), Kind: query.Get("kind")}
	if err := cmp.Or(Positive(query, "page", &w.Page, 0), Positive(query, "limit", &w.Limit, 100)); err != nil {
		return 0, nil, err
	}
	shown, total, err := items(w)
	if err != nil {
		return 0, nil, err
	}
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
	return 0, resp, nil
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
func (a *API) listJobs(r *http.Request, _ fields.Object) (int, any, error) {
	limit, query := int64(20), r.URL.Query()
	if err := Positive(query, "limit", &limit, 100); err != nil {
		return 0, nil, err
	}
	jobs, next := a.Engine.ListJobs(limit, query.Get("after"))
	resp := reply(http.StatusOK, jobs)
	if next != "" {
		query.Set("after", next)
		resp.header.Set("Link", fmt.Sprintf(`<%s/jobs?%s>; rel="next"`, a.base(r), query.Encode()))
	}
	return 0, resp, nil
}
