package ittybit

import (
	"context"
	"errors"
	"fmt"
	"time"
)

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
