package ittybit

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
)

// EventHandler handles events: inside the request that brought them, behind a table,
// or on a fleet of workers. A nil error means that the event is handled and may be
// forgotten. With any other it comes again, unless it was made with [Discard]; see
// also [RetryLater]. Handlers are called concurrently.
type EventHandler interface {
	HandleEvent(ctx context.Context, e *Event) error
}

// EventHandlerFunc makes an [EventHandler] of a function.
type EventHandlerFunc func(ctx context.Context, e *Event) error

// HandleEvent calls f.
func (f EventHandlerFunc) HandleEvent(ctx context.Context, e *Event) error { return f(ctx, e) }

// AnyTaskKind stands for every kind of task where an [EventMux] is given one, and in the
// parameters of a list, where it is the same as no kind. Tasks and steps of a workflow have one
// kind: there it is a [*ParamError].
const AnyTaskKind TaskKind = "*"

// EventMux is an [EventHandler] that calls the most specific of its handlers: the one for a kind of
// task, else the one for the type of event, else [EventMux.OnUnhandled]. An event that none takes
// counts as handled. The zero EventMux is ready; one is safe for concurrent use.
//
// [EventTaskCompleted] and [EventTaskSucceeded] are one type here, and so are the other
// spellings of an end, such as task.canceled and [EventTaskCancelled]. On for such a type is
// the same as OnTask… for [AnyTaskKind].
//
// As with [net/http.ServeMux], registering the same thing twice panics, and so does a nil
// handler: both are mistakes that should show at start-up. A type or kind that looks like a
// misspelling of a known one is registered, and logged to [slog.Default] at Warn: it may be
// one that Ittybit has added.
type EventMux struct {
	mu       sync.RWMutex
	handlers map[route]EventHandler
}

type route struct {
	event EventType // canonical
	kind  TaskKind  // of a task; empty: any, or none
}

// anyEvent is the route of OnUnhandled. No event has this type.
const anyEvent EventType = "*"

// NewEventMux makes an empty EventMux.
func NewEventMux() *EventMux { return new(EventMux) }

// Handle registers h for a type of event.
func (m *EventMux) Handle(event EventType, h EventHandler) {
	if event == "" || event == anyEvent {
		panic(fmt.Sprintf("ittybit: EventMux: %q is not a type of event (OnUnhandled takes what nothing else took)", event))
	}
	if fn, ok := h.(EventHandlerFunc); h == nil || ok && fn == nil {
		panic("ittybit: EventMux: nil handler")
	}
	m.register(route{event: event.canonical()}, h)
	warnOfMisspelling(event, eventTypes)
}

// On registers fn for a type of event.
func (m *EventMux) On(event EventType, fn func(ctx context.Context, e *Event) error) {
	m.Handle(event, handlerOf(fn))
}

// OnTaskCompleted registers fn for tasks of a kind, or of [AnyTaskKind], that ended
// well: [EventTaskCompleted], and [EventTaskSucceeded], its later name. In fn, e.Task
// is never nil. A task whose status is ready has ended once it has an output or results.
func (m *EventMux) OnTaskCompleted(kind TaskKind, fn func(ctx context.Context, e *Event) error) {
	m.onTask(EventTaskCompleted, kind, handlerOf(fn))
}

// OnTaskFailed registers fn for tasks of a kind, or of [AnyTaskKind], that failed:
// [EventTaskFailed]. In fn, e.Task and e.Task.Error are never nil: where Ittybit gave no
// reason, the message says so. A cancelled task is [EventTaskCancelled].
func (m *EventMux) OnTaskFailed(kind TaskKind, fn func(ctx context.Context, e *Event) error) {
	h := handlerOf(fn)
	m.onTask(EventTaskFailed, kind, func(ctx context.Context, e *Event) error { return h(ctx, withTaskError(e)) })
}

// OnTaskCancelled registers fn for tasks of a kind, or of [AnyTaskKind], that were
// cancelled: [EventTaskCancelled]. In fn, e.Task is never nil.
func (m *EventMux) OnTaskCancelled(kind TaskKind, fn func(ctx context.Context, e *Event) error) {
	m.onTask(EventTaskCancelled, kind, handlerOf(fn))
}

func (m *EventMux) onTask(event EventType, kind TaskKind, h EventHandlerFunc) {
	if kind == "" {
		panic("ittybit: EventMux: empty task kind (AnyTaskKind takes every kind)")
	}
	if kind != AnyTaskKind {
		m.register(route{event, kind}, h)
		warnOfMisspelling(kind, taskKinds)
		return
	}
	m.register(route{event: event}, EventHandlerFunc(func(ctx context.Context, e *Event) error {
		if e.Task == nil {
			return m.fallback(ctx, e)
		}
		return h(ctx, e)
	}))
}

// withTaskError gives e with a reason for its task's failure. It changes nothing that others
// may hold.
func withTaskError(e *Event) *Event {
	if e.Task.Error != nil {
		return e
	}
	event, task := *e, *e.Task
	task.Error = &TaskError{Message: "Ittybit gave no reason"}
	event.Task = &task
	return &event
}

// OnMediaCreated registers fn for [EventMediaCreated]. In fn, e.Media is never nil. It
// takes the place of Handle and On for that type.
func (m *EventMux) OnMediaCreated(fn func(ctx context.Context, e *Event) error) {
	h := handlerOf(fn)
	m.Handle(EventMediaCreated, EventHandlerFunc(func(ctx context.Context, e *Event) error {
		if e.Media == nil {
			return m.fallback(ctx, e)
		}
		return h(ctx, e)
	}))
}

// OnUnhandled registers fn for the events that nothing else took.
func (m *EventMux) OnUnhandled(fn func(ctx context.Context, e *Event) error) {
	m.register(route{event: anyEvent}, handlerOf(fn))
}

func handlerOf(fn func(ctx context.Context, e *Event) error) EventHandlerFunc {
	if fn == nil {
		panic("ittybit: EventMux: nil function")
	}
	return fn
}

func (m *EventMux) register(r route, h EventHandler) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, twice := m.handlers[r]; twice {
		panic(fmt.Sprintf("ittybit: EventMux: %v is registered already", r))
	}
	if m.handlers == nil {
		m.handlers = make(map[route]EventHandler)
	}
	m.handlers[r] = h
}

// String names the route in a panic.
func (r route) String() string {
	switch {
	case r.event == anyEvent:
		return "OnUnhandled"
	case r.kind != "":
		return fmt.Sprintf("%s for tasks of kind %s", r.event, r.kind)
	case strings.HasPrefix(string(r.event), "task.") && r.event != EventTaskCreated && r.event != EventTaskUpdated:
		return fmt.Sprintf("%s (On for any of its spellings, or OnTask… for AnyTaskKind)", r.event)
	default:
		return string(r.event)
	}
}

// HandleEvent calls the most specific handler.
func (m *EventMux) HandleEvent(ctx context.Context, e *Event) error {
	if h := m.find(e); h != nil {
		return h.HandleEvent(ctx, e)
	}
	return m.fallback(ctx, e)
}

func (m *EventMux) find(e *Event) EventHandler {
	m.mu.RLock()
	defer m.mu.RUnlock()
	event := e.Type.canonical()
	if event == anyEvent { // of an event that somebody made: OnUnhandled is asked last
		return nil
	}
	if e.Task != nil && e.Task.Kind != "" {
		if h := m.handlers[route{event, e.Task.Kind}]; h != nil {
			return h
		}
	}
	return m.handlers[route{event: event}]
}

// fallback calls the handler of OnUnhandled. Where there is none, the event is handled.
func (m *EventMux) fallback(ctx context.Context, e *Event) error {
	m.mu.RLock()
	h := m.handlers[route{event: anyEvent}]
	m.mu.RUnlock()
	if h == nil {
		report(ctx, OutcomeIgnored)
		return nil
	}
	return h.HandleEvent(ctx, e)
}

// The names that a misspelling is compared with: those of this SDK, and those of other API
// versions that the documentation shows.
var (
	eventTypes = []EventType{
		EventMediaCreated, EventTaskCreated, EventTaskUpdated, EventTaskCompleted, EventTaskSucceeded, EventTaskFailed,
		EventTaskCancelled, "task.canceled", "task.error", EventJobSucceeded, EventJobFailed, EventJobCancelled,
		"job.queued", "job.processing", "run.created", "run.updated", "run.succeeded", "run.failed", EventUnknown,
	}
	taskKinds = []TaskKind{
		TaskKindIngest, TaskKindVideo, TaskKindImage, TaskKindAudio, TaskKindChapters, TaskKindSubtitles, TaskKindThumbnails,
		TaskKindNSFW, TaskKindSpeech, TaskKindDescription, TaskKindOutline, TaskKindPrompt, TaskKindWorkflow,
		TaskKindConditions, TaskKindHTTP, "adaptive_video", "animation", "summary", "tags", "probe", "import", "export",
	}
)

// warnOfMisspelling logs that name is nearly a known name, but for its case or one letter.
func warnOfMisspelling[T ~string](name T, known []T) {
	if slices.Contains(known, name) {
		return
	}
	lower := strings.ToLower(strings.TrimSpace(string(name)))
	for _, other := range known {
		if oneLetterApart(lower, string(other)) {
			slog.Default().Warn("ittybit: EventMux: a handler was registered for a name that looks misspelled",
				slog.String("name", string(name)), slog.String("did_you_mean", string(other)))
			return
		}
	}
}

// oneLetterApart reports whether a and b are the same, or become so when one letter is
// added, left out, replaced, or swapped with the next.
func oneLetterApart(a, b string) bool {
	for a != "" && b != "" && a[0] == b[0] {
		a, b = a[1:], b[1:]
	}
	for a != "" && b != "" && a[len(a)-1] == b[len(b)-1] {
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	switch {
	case len(a) <= 1 && len(b) <= 1:
		return true
	case len(a) == 2 && len(b) == 2:
		return a[0] == b[1] && a[1] == b[0]
	}
	return false
}
