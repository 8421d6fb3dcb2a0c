package api

import (
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/ittybit/ittybit-go/ittybittest/internal/engine"
	"github.com/ittybit/ittybit-go/ittybittest/internal/ordered"
)

// exchange is a request to the API, and the response that a route gives it.
type exchange struct {
	*http.Request
	raw      []byte
	bodyErr  error
	body     ordered.Object // of a POST or PATCH
	response *response
	err      error
}

// Header implements http.ResponseWriter, as what follows, for http.ServeMux.
func (x *exchange) Header() http.Header { return http.Header{} }

// WriteHeader takes what the mux answers by itself: that a path is not clean.
func (x *exchange) WriteHeader(int) { x.err = nothingAt(x.Request) }

// Write implements http.ResponseWriter.
func (x *exchange) Write(p []byte) (int, error) { return len(p), nil }

// handler answers with a value, which becomes JSON, and a status.
type handler func(*exchange) (int, any, error)

// route has the handlers of a path, by method.
type route struct {
	*API
	methods map[string]handler
}

// ServeHTTP is called by the mux, with an exchange.
func (rt route) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if x, ok := w.(*exchange); ok {
		x.Request = r
		x.response, x.err = rt.answer(x)
	}
}

func (rt route) answer(x *exchange) (*response, error) {
	handle, ok := rt.methods[x.Method]
	if !ok {
		var allowed []string
		for method := range rt.methods {
			allowed = append(allowed, method)
		}
		slices.Sort(allowed)
		return nil, notAllowed(x.Method, strings.Join(allowed, ", "))
	}
	if x.bodyErr != nil {
		return nil, x.bodyErr
	}
	if x.Method == http.MethodPost || x.Method == http.MethodPatch {
		if err := checkCharset(x.Request); err != nil {
			return nil, err
		}
		raw := x.raw
		if len(bytes.TrimSpace(raw)) == 0 { // all fields of several requests are optional
			raw = []byte("{}")
		}
		body, err := ordered.Parse(raw)
		if err != nil {
			return nil, Refuse(http.StatusBadRequest, "The request body %s.", err)
		}
		x.body = body
	}
	once := func() (*response, error) {
		status, value, err := handle(x)
		if resp, made := value.(*response); err != nil || made {
			return resp, err
		}
		return reply(status, value), nil
	}
	if x.Method == http.MethodPost {
		return rt.once(x, once)
	}
	return once()
}

func notAllowed(method, allow string) error {
	return &refusal{
		http.StatusMethodNotAllowed, fmt.Sprintf("%s is not allowed here: use %s.", method, allow), http.Header{"Allow": {allow}},
	}
}

func nothingAt(r *http.Request) error {
	return Refuse(http.StatusNotFound, "Not found: %s.", r.URL.Path)
}

func (a *API) routes() *http.ServeMux {
	e, mux := a.Engine, http.NewServeMux()
	add := func(pattern string, methods map[string]handler) { mux.Handle(pattern, route{a, methods}) }
	type methods = map[string]handler
	add("/tasks", methods{"GET": a.listTasks, "POST": created(e.CreateTask)})
	add("/tasks/{id}", methods{"GET": found(e.Tasks.Get)})
	add("/automations", methods{"GET": a.list(10, e.Automations.List), "POST": created(e.CreateAutomation)})
	add("/automations/{id}", methods{
		"GET": found(e.Automations.Get), "PATCH": updated(e.UpdateAutomation),
		"DELETE": deleted("Automation %s deleted", e.Automations.Delete),
	})
	add("/media", methods{"GET": a.list(20, e.Media.List), "POST": created(e.CreateMedia)})
	add("/media/{id}", methods{"GET": found(e.Media.Get), "PATCH": updated(e.UpdateMedia), "DELETE": deleted("%s deleted", a.deleteMedia)})
	add("/files", methods{"GET": a.list(20, e.Files.List), "POST": a.createFile})
	add("/files/{id}", methods{
		"GET": found(e.Files.Get), "DELETE": deleted("%s deleted", a.deleteFile),
		"PATCH": updated(func(id string, body ordered.Object) (ordered.Object, error) {
			return e.UpdateFile(id, body, a.Blobs.Move)
		}),
	})
	add("/signatures", methods{"POST": a.createSignature})
	add("/jobs", methods{"GET": a.listJobs, "POST": created(e.CreateJob)})
	add("/jobs/{id}", methods{"GET": found(e.Jobs.Get)})
	for _, pattern := range []string{
		"/tasks/{id}/start", "/automations/{id}/run", "/runs", "/runs/", "/events", "/events/", "/webhooks/", "/keys", "/keys/",
		"/connections", "/connections/", "/uploads", "/steps",
	} {
		mux.Handle(pattern, notEmulated{})
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) })
	return mux
}

// notEmulated is what Ittybit has, or had, and documents too little of, or for another version.
type notEmulated struct{}

// ServeHTTP implements http.Handler.
func (notEmulated) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if x, ok := w.(*exchange); ok {
		x.err = &engine.Error{Code: engine.NotEmulated, Message: r.URL.Path + " is not emulated by the local Ittybit: see docs/local-server.md."}
	}
}

func created(create func(ordered.Object) (ordered.Object, error)) handler {
	return func(x *exchange) (int, any, error) {
		o, err := create(x.body)
		return http.StatusCreated, o, err
	}
}

func found(get func(id string) (ordered.Object, error)) handler {
	return func(x *exchange) (int, any, error) {
		o, err := get(x.PathValue("id"))
		return http.StatusOK, o, err
	}
}

func updated(update func(id string, body ordered.Object) (ordered.Object, error)) handler {
	return func(x *exchange) (int, any, error) {
		o, err := update(x.PathValue("id"), x.body)
		return http.StatusOK, o, err
	}
}

func deleted(message string, remove func(id string) error) handler {
	return func(x *exchange) (int, any, error) {
		err := remove(x.PathValue("id"))
		return http.StatusOK, ordered.Object{}.Set("message", fmt.Sprintf(message, x.PathValue("id"))), err
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

func (a *API) createFile(x *exchange) (int, any, error) {
	status := http.StatusCreated
	if a.AsyncFiles {
		status = http.StatusAccepted
	}
	o, err := a.Engine.CreateFile(x.body, a.AsyncFiles)
	return status, o, err
}

func (a *API) listTasks(x *exchange) (int, any, error) {
	query := x.URL.Query()
	return a.page(x, 20, func(w engine.Window) ([]ordered.Object, int64, error) {
		return a.Engine.ListTasks(w, query.Get("status"), query.Get("kind"))
	})
}

func (a *API) list(limit int64, items func(engine.Window) ([]ordered.Object, int64)) handler {
	return func(x *exchange) (int, any, error) {
		return a.page(x, limit, func(w engine.Window) ([]ordered.Object, int64, error) {
			shown, total := items(w)
			return shown, total, nil
		})
	}
}

// page answers a list request with one page of the items, and links to others.
func (a *API) page(x *exchange, limit int64, items func(engine.Window) ([]ordered.Object, int64, error)) (int, any, error) {
	query, w := x.URL.Query(), engine.Window{Page: 1, Limit: limit}
	if err := Positive(query, "page", &w.Page, 0); err != nil {
		return 0, nil, err
	}
	if err := Positive(query, "limit", &w.Limit, 100); err != nil {
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
		links = append(links, fmt.Sprintf(`<%s%s?%s>; rel=%q`, a.base(x.Request), x.URL.Path, query.Encode(), rel))
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
		return Refuse(http.StatusBadRequest, "%s must be a number from 1 to %d.", name, most)
	case err != nil || value < 1:
		return Refuse(http.StatusBadRequest, "%s must be a number, 1 or greater.", name)
	}
	*n = value
	return nil
}

// listJobs pages by cursors, as the 2026 API does.
func (a *API) listJobs(x *exchange) (int, any, error) {
	limit, query := int64(20), x.URL.Query()
	if err := Positive(query, "limit", &limit, 100); err != nil {
		return 0, nil, err
	}
	jobs := a.Engine.ListJobs(limit+1, query.Get("after"))
	resp := reply(http.StatusOK, jobs[:min(limit, int64(len(jobs)))])
	if int64(len(jobs)) > limit {
		query.Set("after", jobs[limit-1].String("id"))
		resp.header.Set("Link", fmt.Sprintf(`<%s/jobs?%s>; rel="next"`, a.base(x.Request), query.Encode()))
	}
	return 0, resp, nil
}
