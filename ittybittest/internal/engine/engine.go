// Package engine is what the local Ittybit does: tasks, automations, media, files and jobs. It
// knows nothing of HTTP, and posts no webhook by itself.
package engine

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/ittybit/ittybit-go/internal/jsonx"
	"github.com/ittybit/ittybit-go/ittybittest/internal/lifecycle"
	"github.com/ittybit/ittybit-go/ittybittest/internal/refusal"
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
	// Deliver posts a webhook. None of these functions may wait, or call the engine.
	Deliver func(url string, body []byte)
	// PlainHTTP reports whether a webhook may go to this host by plain http.
	PlainHTTP func(host string) bool
	// Changed is given each task as it is after a change.
	Changed func(Task)
}

// Engine is the state of a local Ittybit. Make one with [New].
type Engine struct {
	Config
	sync.Mutex // guards what follows: the caller of a method holds it, unless the method locks by itself
	state
}

// stateFormat changes with the form of state.
const stateFormat = 2

// state is what a snapshot keeps.
type state struct {
	Format      int
	ProjectID   string
	Tasks       *List[*task]
	Automations *List[*automation]
	Media       *List[*Media]
	Files       *List[*File]
	Jobs        *List[*job]
	Samples     map[string][]byte // what the storage serves for a file that a task made, by its id
	Outcomes    map[string]Outcome
}

// New makes an Engine.
func New(c Config) *Engine {
	e := &Engine{Config: c}
	e.state = state{
		Format: stateFormat, ProjectID: c.NewID("proj"), Samples: map[string][]byte{}, Outcomes: map[string]Outcome{},
		Tasks:       newList("Task", func(t *task) string { return t.ID }, func(t *task) any { return t.Task }),
		Automations: newList("Automation", func(a *automation) string { return a.ID }, showAutomation),
		Media:       newList("Media", func(m *Media) string { return m.ID }, func(m *Media) any { return m.show() }),
		Files:       newList("File", func(f *File) string { return f.ID }, func(f *File) any { return *f }),
		Jobs:        newList("Job", func(j *job) string { return j.ID }, func(j *job) any { return j.Job }),
	}
	return e
}

// Snapshot is the state as JSON. It locks by itself.
func (e *Engine) Snapshot() ([]byte, error) {
	e.Lock()
	defer e.Unlock()
	return jsonx.Marshal(e.state)
}

// Load takes the state of a snapshot into an engine that is new. Tasks and jobs that were under
// way start again. It locks by itself.
func (e *Engine) Load(data []byte) error {
	var saved struct{ Format int }
	if err := json.Unmarshal(data, &saved); err != nil {
		return err
	}
	if saved.Format != stateFormat { // before the rest, which may have any form
		return errors.New("it was saved by another version of ittybittest")
	}
	e.Lock()
	defer e.Unlock()
	if err := json.Unmarshal(data, &e.state); err != nil {
		return err
	}
	for _, f := range e.Files.all() {
		if m, err := e.Media.find(f.MediaID); err == nil {
			m.files = append(m.files, f)
		}
	}
	for _, t := range e.Tasks.all() {
		if e.arm(t); !t.isFinal() {
			t.Status, t.Progress = "pending", 0
			e.start(func() { e.run(t) })
		}
	}
	for _, j := range e.Jobs.all() {
		if j.FinishedAt == 0 {
			e.start(func() { e.runJob(j) })
		}
	}
	return nil
}

// start runs f in a goroutine of its own, which holds the mutex but for its pauses.
func (e *Engine) start(f func()) {
	e.Life.Go(func() {
		e.Lock()
		defer e.Unlock()
		f()
	})
}

// pause gives the mutex up for some time. It reports false if ctx or the engine's life ended first.
func (e *Engine) pause(ctx context.Context, d time.Duration) bool {
	e.Unlock()
	defer e.Lock()
	return e.Life.Pause(ctx, d)
}

// Time is written the way the API does: ISO 8601 in UTC.
type Time struct{ time.Time }

func now() Time { return Time{time.Now()} }

// MarshalJSON implements json.Marshaler.
func (t Time) MarshalJSON() ([]byte, error) {
	return []byte(t.UTC().Format(`"2006-01-02T15:04:05.000Z"`)), nil
}

// Outcome is what was chosen for a kind of task.
type Outcome struct {
	Results []byte `json:",omitempty"` // JSON; nil: the default ones
	Failure string `json:",omitempty"` // "": tasks complete
}

// SetOutcome changes what becomes of a kind of task. It locks by itself.
func (e *Engine) SetOutcome(kind string, change func(*Outcome)) {
	e.Lock()
	defer e.Unlock()
	o := e.Outcomes[kind]
	change(&o)
	e.Outcomes[kind] = o
}

// CheckWebhookURL refuses what Ittybit would, apart from plain http to a developer's own hosts. It
// needs no lock.
func (e *Engine) CheckWebhookURL(name, address string) error {
	u, err := url.Parse(address)
	if err != nil || !isWebURL(address) {
		return refusal.Invalid("%s must be an absolute https URL.", name)
	}
	if u.Scheme == "http" && !e.PlainHTTP(u.Hostname()) {
		return refusal.Invalid("%s must be an https URL: plain http is allowed for loopback hosts, and for those of WithWebhookHosts.", name)
	}
	return nil
}

func isWebURL(address string) bool {
	u, err := url.Parse(address)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Hostname() != ""
}

// pathOf is the path of an address, without its first slash.
func pathOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return strings.TrimPrefix(u.Path, "/")
}
