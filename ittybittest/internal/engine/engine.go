// Package engine is what the local Ittybit does: tasks, automations, media, files and jobs. It
// knows nothing of HTTP, and posts no webhook by itself.
package engine

import (
	"fmt"
	"net/url"
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
	updating sync.Mutex // held while a file is updated, whose bytes move along: before mu
	mu       sync.Mutex // guards what follows, and the objects in it
	state
	places map[string]string // ids of files, by the host and path of their url
}

// state is what a snapshot keeps.
type state struct {
	ProjectID   string
	Tasks       *List[*Task]
	Automations *List[*record]
	Media       *List[*record]
	Files       *List[ordered.Object]
	Jobs        *List[*job]
	Samples     map[string]Sample // by the id of their file
	Outcomes    map[string]Outcome
}

// New makes an Engine.
func New(c Config) *Engine {
	e := &Engine{Config: c, places: map[string]string{}}
	e.state = state{
		ProjectID: c.NewID("proj"), Samples: map[string]Sample{}, Outcomes: map[string]Outcome{},
		Tasks:       newList(&e.mu, "Task", func(t *Task) string { return t.ID }, e.showTask),
		Automations: newList(&e.mu, "Automation", recordID, showAutomation),
		Media:       newList(&e.mu, "Media", recordID, e.showMedia),
		Files: newList(&e.mu, "File", func(f ordered.Object) string { return f.String("id") },
			func(f ordered.Object) ordered.Object { return f }),
		Jobs: newList(&e.mu, "Job", func(j *job) string { return j.ID }, showJob),
	}
	return e
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
	o := e.Outcomes[kind]
	change(&o)
	e.Outcomes[kind] = o
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
