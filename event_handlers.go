package ittybit

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
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

// DiscardError is what [Discard] makes.
type DiscardError struct{ Err error }

// Error implements error.
func (e *DiscardError) Error() string {
	if e == nil {
		return "ittybit: discarded"
	}
	return fmt.Sprintf("ittybit: discarded: %v", e.Err)
}

// Unwrap gives the reason.
func (e *DiscardError) Unwrap() error {
	if e == nil {
		return nil
	}
	return e.Err
}

// Discard makes an error that ends an event: it is answered 200 and does not come
// again, for it would fail the same way for ever. The error is logged and shown to the
// observer. It may be wrapped; joined with others, it ends the event only where all of
// them do. Discard(nil) is nil.
func Discard(err error) error {
	if err == nil {
		return nil
	}
	return &DiscardError{Err: err}
}

// RetryLaterError is what [RetryLater] makes.
type RetryLaterError struct {
	After time.Duration // how long to wait at least
	Err   error
}

// Error implements error.
func (e *RetryLaterError) Error() string {
	if e == nil {
		return "ittybit: to be tried again"
	}
	return fmt.Sprintf("ittybit: to be tried again in %v: %v", e.After, e.Err)
}

// Unwrap gives the reason.
func (e *RetryLaterError) Unwrap() error {
	if e == nil {
		return nil
	}
	return e.Err
}

// RetryLater makes an error that asks for the event to come again in d at the
// earliest: a webhook is answered 503 with Retry-After, in whole seconds and at least
// one. Ittybit documents that it retries with exponential backoff, not that it follows
// Retry-After; a queue's worker can.
func RetryLater(d time.Duration, err error) error {
	if err == nil {
		err = errors.New("not now")
	}
	return &RetryLaterError{After: max(d, 0), Err: err}
}

// ErrAlreadyHandled is what [Deduplicator.Claim] gives for a key that was completed
// before. [WebhookHandler] takes it from a handler for success, too.
var ErrAlreadyHandled = errors.New("ittybit: the event was handled before")

// Deduplicator remembers which events were handled, so that a redelivery is not
// handled again. [MemoryDeduplicator] serves one process. A store that processes share
// must lease its claims, so that a crash frees them: for longer than a handler may run,
// which is longer than its deadline where it does not follow its context. It must
// remember keys for longer than Ittybit retries, and than [WithTolerance] lets a delivery
// be repeated.
type Deduplicator interface {
	// Claim waits for a claim on key. It gives ErrAlreadyHandled if key was completed
	// before. While another holder has it, it waits until ctx ends, and gives its error.
	// With any error the event is not handled, and comes again.
	Claim(ctx context.Context, key string) (Claim, error)
}

// Claim is the right to handle one event. Exactly one of its methods is called, once,
// with a context that lives for five seconds, whatever became of the handler's own.
type Claim interface {
	// Complete ends the claim after success, or [Discard]: the key is never handled
	// again. An error (the lease was lost, or a transaction could not be committed)
	// makes the event come again.
	Complete(ctx context.Context) error
	// Release ends the claim after a failure or a panic: the key is free again. An
	// error only joins the handler's own.
	Release(ctx context.Context) error
}

// claimTimeout is how long ending a claim may take. The handler's own deadline may be
// over by then, and its work is not to be forgotten for that.
const claimTimeout = 5 * time.Second

// DeduplicateOption sets up [Deduplicate].
type DeduplicateOption interface {
	applyDeduplicate(*deduplicator)
}

type deduplicateOption func(*deduplicator)

func (o deduplicateOption) applyDeduplicate(d *deduplicator) { o(d) }

// DeduplicateBy replaces [Event.Key] as what names an event. Events with an empty key
// are handled each time.
func DeduplicateBy(key func(*Event) string) DeduplicateOption {
	return deduplicateOption(func(d *deduplicator) {
		if key == nil {
			panic("ittybit: DeduplicateBy: nil function")
		}
		d.key = key
	})
}

// DeduplicateName puts name in front of the keys. Two endpoints that share one store
// need a name each, or an event that one has handled never reaches the other.
func DeduplicateName(name string) DeduplicateOption {
	return deduplicateOption(func(d *deduplicator) { d.name = name })
}

// Deduplicate gives a handler that calls next once for each event, however often the
// event comes: a delivery that meets another one of the same event waits for it, and
// one that comes after it was handled (or discarded) is dealt with at once. After an
// error or a panic the event is free to be handled again. It is handled again, too, after
// a crash between the handling and its mark: what next does should bear repeating, or
// commit together with the mark. A store or next that is nil panics.
func Deduplicate(store Deduplicator, next EventHandler, opts ...DeduplicateOption) EventHandler {
	if store == nil || next == nil {
		panic("ittybit: Deduplicate: nil store or handler")
	}
	d := &deduplicator{store: store, next: next, key: (*Event).Key}
	for _, opt := range opts {
		opt.applyDeduplicate(d)
	}
	return d
}

type deduplicator struct {
	store Deduplicator
	next  EventHandler
	key   func(*Event) string
	name  string
}

// HandleEvent implements [EventHandler].
func (d *deduplicator) HandleEvent(ctx context.Context, e *Event) error {
	key := d.key(e)
	if key == "" {
		return d.next.HandleEvent(ctx, e)
	}
	if d.name != "" {
		key = d.name + "/" + key
	}
	claim, err := d.store.Claim(ctx, key)
	if errors.Is(err, ErrAlreadyHandled) {
		report(ctx, OutcomeDuplicate)
		return nil
	}
	if err == nil && claim == nil {
		err = errors.New("the store gave neither a claim nor an error")
	}
	if err != nil {
		return fmt.Errorf("ittybit: claiming %s: %w", key, err)
	}
	return d.handle(ctx, e, claim)
}

// handle runs next and ends the claim, also when next panics or ends its goroutine.
func (d *deduplicator) handle(ctx context.Context, e *Event, claim Claim) (err error) {
	judged := false
	defer func() {
		if judged {
			return
		}
		ending, cancel := claimContext(ctx)
		defer cancel()
		_ = claim.Release(ending) // the panic is the news
	}()
	err = d.next.HandleEvent(ctx, e)
	verdict, _ := judge(err)
	judged = true

	ending, cancel := claimContext(ctx)
	defer cancel()
	if verdict.settled() {
		if completeErr := claim.Complete(ending); completeErr != nil {
			// It may be handled twice; forgetting it would be worse.
			return fmt.Errorf("ittybit: the event was handled, but could not be marked so: %w", completeErr)
		}
		return err
	}
	if releaseErr := claim.Release(ending); releaseErr != nil {
		return errors.Join(err, fmt.Errorf("ittybit: releasing the event: %w", releaseErr))
	}
	return err
}

// claimContext is for ending a claim: it outlives the handler's own.
func claimContext(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), claimTimeout)
}
