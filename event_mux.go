package ittybit

import (
	"context"
	"fmt"
	"sync"
)

// EventHandler handles events: inside the request that brought them, behind a table,
// or on a fleet of workers. A nil error means that the event is dealt with and may be
// forgotten. With any other it comes again, unless it was made with [Discard]; see
// also [RetryLater]. Handlers are called concurrently.
type EventHandler interface {
	HandleEvent(ctx context.Context, e *Event) error
}

// EventHandlerFunc makes an [EventHandler] of a function.
type EventHandlerFunc func(ctx context.Context, e *Event) error

// HandleEvent calls f.
func (f EventHandlerFunc) HandleEvent(ctx context.Context, e *Event) error { return f(ctx, e) }

// AnyTaskKind stands for every kind of task where an [EventMux] is told one.
const AnyTaskKind TaskKind = "*"

// EventMux is an [EventHandler] that calls the most specific of its handlers: for a
// kind of task first, then for a type of event, then for tasks of any kind, then
// [EventMux.OnUnhandled]. An event that nothing takes is dealt with. The zero EventMux is
// ready; one is safe for concurrent use.
//
// As with [net/http.ServeMux], registering the same thing twice panics, and so does a
// nil handler: both are mistakes that should show at start-up.
type EventMux struct {
	mu       sync.RWMutex
	handlers map[route]EventHandler
}

// route is what a handler is registered for.
type route struct {
	event EventType // EventTaskCompleted stands for EventTaskSucceeded too, where kind is set
	kind  TaskKind  // of a task; empty: the event type decides alone
}

// anyEvent is the route of OnUnhandled. No event has this type.
const anyEvent EventType = "*"

// NewEventMux gives an empty EventMux.
func NewEventMux() *EventMux { return new(EventMux) }

// Handle registers h for a type of event.
func (m *EventMux) Handle(event EventType, h EventHandler) {
	if event == "" || event == anyEvent {
		panic(fmt.Sprintf("ittybit: EventMux: %q is not a type of event (OnUnhandled takes what nothing else took)", event))
	}
	if fn, ok := h.(EventHandlerFunc); h == nil || ok && fn == nil {
		panic("ittybit: EventMux: nil handler")
	}
	m.register(route{event: event}, h)
}

// On registers fn for a type of event.
func (m *EventMux) On(event EventType, fn func(ctx context.Context, e *Event) error) {
	m.Handle(event, handlerOf(fn))
}

// OnTaskCompleted registers fn for tasks of a kind, or of [AnyTaskKind], that ended
// well: [EventTaskCompleted], and [EventTaskSucceeded], its later name. In fn, e.Task
// is never nil. A task whose status is "ready", which the documentation leaves unclear, is
// an [EventTaskUpdated].
func (m *EventMux) OnTaskCompleted(kind TaskKind, fn func(ctx context.Context, e *Event) error) {
	m.onTask(EventTaskCompleted, kind, fn)
}

// OnTaskFailed registers fn for tasks of a kind, or of [AnyTaskKind], that failed:
// [EventTaskFailed]. In fn, e.Task is never nil. A cancelled task is
// [EventTaskCancelled].
func (m *EventMux) OnTaskFailed(kind TaskKind, fn func(ctx context.Context, e *Event) error) {
	m.onTask(EventTaskFailed, kind, fn)
}

func (m *EventMux) onTask(event EventType, kind TaskKind, fn func(ctx context.Context, e *Event) error) {
	if kind == "" {
		panic("ittybit: EventMux: empty task kind (AnyTaskKind takes every kind)")
	}
	m.register(route{event, kind}, handlerOf(fn))
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
	event := e.Type
	if event == EventTaskSucceeded {
		event = EventTaskCompleted
	}
	if e.Task != nil && e.Task.Kind != "" {
		if h := m.handlers[route{event, e.Task.Kind}]; h != nil {
			return h
		}
	}
	if h := m.handlers[route{event: e.Type}]; h != nil {
		return h
	}
	if e.Task != nil {
		return m.handlers[route{event, AnyTaskKind}]
	}
	return nil
}

// fallback calls the handler of OnUnhandled. Where there is none, the event is dealt with.
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
