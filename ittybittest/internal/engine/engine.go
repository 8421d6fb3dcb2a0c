// Package engine is what the local Ittybit does: tasks, automations, media, files and jobs. It
// knows nothing of HTTP, and posts no webhook by itself.
package engine

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ittybit/ittybit-go/ittybittest/internal/lifecycle"
	"github.com/ittybit/ittybit-go/ittybittest/internal/ordered"
)

// FilesURL is the address of made-up files. Nothing is served there: .test is a reserved domain.
const FilesURL = "https://files.ittybit.test"

// Config says how an Engine works.
type Config struct {
	Life             *lifecycle.Life
	StorageURL       string
	TaskDuration     time.Duration
	ProgressWebhooks bool
	Endpoint         string // where every task's end and all new media are posted, too; "": nowhere
	NewID            func(prefix string) string
	// Deliver posts a webhook, and does not wait.
	Deliver func(url string, body []byte)
	// PlainHTTP reports whether a webhook may go to this host by plain http.
	PlainHTTP func(host string) bool
	// CheckSigned checks the signature of an address of the storage that is to be read.
	CheckSigned func(*url.URL) error
	// Changed is given each task as it is after a change.
	Changed func(ordered.Object)
}

// Engine is the state of a local Ittybit. Make one with [New].
type Engine struct {
	Config
	projectID string

	mu          sync.Mutex // guards what follows, and the objects in it
	tasks       list[*Task]
	automations list[*automation]
	media       list[*media]
	files       list[ordered.Object]
	jobs        list[*job]
	samples     map[string]Sample // by the id of their file
	places      map[string]string // ids of files, by the host and path of their url
	outcomes    map[string]Outcome
}

// New makes an Engine.
func New(c Config) *Engine {
	return &Engine{
		Config: c, projectID: c.NewID("proj"),
		samples: map[string]Sample{}, places: map[string]string{}, outcomes: map[string]Outcome{},
	}
}

// Error is why a request is refused.
type Error struct {
	Code    Code
	Message string
}

// Code is the kind of an Error.
type Code int

const (
	// Invalid is a request that asks for something wrong.
	Invalid Code = iota
	// NotFound is a request for something that is not there.
	NotFound
	// Conflict is a request that comes at the wrong time.
	Conflict
	// NotEmulated is a request for something that Ittybit may have, and documents too little of.
	NotEmulated
)

// Error implements error.
func (e *Error) Error() string { return e.Message }

func invalid(format string, args ...any) error {
	return &Error{Invalid, fmt.Sprintf(format, args...)}
}

func notFound(kind, id string) error {
	return &Error{NotFound, fmt.Sprintf("%s %q was not found.", kind, id)}
}

// Outcome is what was chosen for a kind of task.
type Outcome struct {
	Results []byte `json:",omitempty"` // JSON; nil: the default ones
	Failure string `json:",omitempty"` // "": tasks complete
}

// SetOutcome changes what becomes of a kind of task.
func (e *Engine) SetOutcome(kind string, change func(*Outcome)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	o := e.outcomes[kind]
	change(&o)
	e.outcomes[kind] = o
}

// list holds the objects of one resource in the order of their creation.
type list[T any] struct {
	ids  []string
	byID map[string]T
}

func (l *list[T]) set(id string, item T) {
	if l.byID == nil {
		l.byID = map[string]T{}
	}
	if _, known := l.byID[id]; !known {
		l.ids = append(l.ids, id)
	}
	l.byID[id] = item
}

func (l *list[T]) get(id string) (T, bool) {
	item, ok := l.byID[id]
	return item, ok
}

func (l *list[T]) remove(id string) bool {
	_, ok := l.byID[id]
	delete(l.byID, id)
	if ok {
		l.ids = slices.DeleteFunc(l.ids, func(other string) bool { return other == id })
	}
	return ok
}

// all are the items, the oldest first.
func (l *list[T]) all() []T {
	items := make([]T, len(l.ids))
	for i, id := range l.ids {
		items[i] = l.byID[id]
	}
	return items
}

// getFrom gives an item of a list as the API shows it.
func getFrom[T any](e *Engine, l *list[T], kind, id string, show func(T) ordered.Object) (ordered.Object, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	item, ok := l.get(id)
	if !ok {
		return nil, notFound(kind, id)
	}
	return show(item), nil
}

// pageOf gives a page of a list.
func pageOf[T any](e *Engine, l *list[T], w Window, showItem func(T) ordered.Object) ([]ordered.Object, int64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return show(l, w, nil, showItem)
}

// itself shows a file: it is stored as it is shown.
func itself(file ordered.Object) ordered.Object { return file }

// Window is a part of a list: a page of so many items. Pages count from 1.
type Window struct{ Page, Limit int64 }

// Last is the number of the last page of a list.
func (w Window) Last(total int64) int64 { return max(1, (total+w.Limit-1)/w.Limit) }

// show gives a page of the items that keep wants, the newest first, and how many there are.
func show[T any](l *list[T], w Window, keep func(T) bool, show func(T) ordered.Object) ([]ordered.Object, int64) {
	shown, total := []ordered.Object{}, int64(0)
	skip, last := int64(0), w.Last(int64(len(l.ids)))
	if skip = (w.Page - 1) * w.Limit; w.Page > last {
		skip = last * w.Limit
	}
	for _, id := range slices.Backward(l.ids) {
		item := l.byID[id]
		if keep != nil && !keep(item) {
			continue
		}
		if total >= skip && total-skip < w.Limit {
			shown = append(shown, show(item))
		}
		total++
	}
	return shown, total
}

// timestamp writes a time the way the API does: ISO 8601 in UTC.
func timestamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// CheckWebhookURL refuses what Ittybit would, apart from plain http to a developer's own hosts.
func (e *Engine) CheckWebhookURL(name, address string) error {
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" || (u.Scheme != "https" && u.Scheme != "http") {
		return invalid("%s must be an absolute https URL.", name)
	}
	if u.Scheme == "http" && !e.PlainHTTP(u.Hostname()) {
		return invalid("%s must be an https URL: plain http is allowed for loopback hosts, and for those of WithWebhookHosts.", name)
	}
	return nil
}

func isWebURL(address string) bool {
	u, err := url.Parse(address)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Hostname() != ""
}

// place is the key of places: the host and path of an address.
func place(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Host + "/" + strings.TrimPrefix(u.Path, "/")
}
