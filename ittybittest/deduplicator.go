package ittybittest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ittybit/ittybit-go"
)

// TestDeduplicator holds a store of one's own to what [ittybit.Deduplicator] promises. newStore
// makes an empty one for each subtest. It takes less than a second with a store that is fast.
//
//	func TestStore(t *testing.T) {
//		ittybittest.TestDeduplicator(t, newStore)
//	}
func TestDeduplicator(t *testing.T, newStore func(t *testing.T) ittybit.Deduplicator) {
	claim := func(t *testing.T, store ittybit.Deduplicator, key string) ittybit.Claim {
		t.Helper()
		claim, err := store.Claim(t.Context(), key)
		if err != nil || claim == nil {
			t.Fatalf("claiming %q: got %v, %v, want a claim", key, claim, err)
		}
		return claim
	}
	ended := func(t *testing.T, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("ending a claim: %v", err)
		}
	}
	t.Run("a completed key is never claimed again", func(t *testing.T) {
		store := newStore(t)
		ended(t, claim(t, store, "key").Complete(t.Context()))
		for range 2 {
			if _, err := store.Claim(t.Context(), "key"); !errors.Is(err, ittybit.ErrAlreadyHandled) {
				t.Fatalf("got %v, want ErrAlreadyHandled", err)
			}
		}
	})
	t.Run("a released key is free again", func(t *testing.T) {
		store := newStore(t)
		ended(t, claim(t, store, "key").Release(t.Context()))
		ended(t, claim(t, store, "key").Complete(t.Context()))
	})
	t.Run("keys are apart", func(t *testing.T) {
		store := newStore(t)
		first := claim(t, store, "task:task_1:completed")
		for _, other := range []string{"task:task_1:Completed", "task:task_1:complete", "x/task:task_1:completed", " task:task_1:completed"} {
			ended(t, claim(t, store, other).Complete(t.Context()))
		}
		ended(t, first.Complete(t.Context()))
	})
	t.Run("a claim waits for its holder until its context ends", func(t *testing.T) {
		store := newStore(t)
		first := claim(t, store, "key")
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if _, err := store.Claim(ctx, "key"); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ittybit.ErrAlreadyHandled) {
			t.Fatalf("got %v, want the context's error", err)
		}
		ended(t, first.Release(t.Context()))
		ended(t, claim(t, store, "key").Complete(t.Context()))
	})
	t.Run("who waits sees what became of the key", func(t *testing.T) {
		store := newStore(t)
		for _, complete := range []bool{true, false} {
			key := fmt.Sprint("key ", complete)
			first := claim(t, store, key)
			result := make(chan error, 1)
			go func() {
				second, err := store.Claim(t.Context(), key)
				if err == nil {
					err = second.Release(t.Context())
				}
				result <- err
			}()
			time.Sleep(20 * time.Millisecond) // it waits by now, most likely: both are right
			if complete {
				ended(t, first.Complete(t.Context()))
				if err := <-result; !errors.Is(err, ittybit.ErrAlreadyHandled) {
					t.Fatalf("after Complete: got %v, want ErrAlreadyHandled", err)
				}
			} else {
				ended(t, first.Release(t.Context()))
				ended(t, <-result)
			}
		}
	})
	t.Run("of many at once one handles", func(t *testing.T) {
		store := newStore(t)
		var holders, handled atomic.Int64
		var group sync.WaitGroup
		for range 20 {
			group.Go(func() {
				claim, err := store.Claim(t.Context(), "key")
				if errors.Is(err, ittybit.ErrAlreadyHandled) {
					return
				}
				if err != nil {
					t.Errorf("claiming: %v", err)
					return
				}
				if holders.Add(1) > 1 {
					t.Error("two hold the key at once")
				}
				handled.Add(1)
				holders.Add(-1)
				if err := claim.Complete(t.Context()); err != nil {
					t.Errorf("completing: %v", err)
				}
			})
		}
		group.Wait()
		if handled.Load() != 1 {
			t.Errorf("%d handled it, want 1", handled.Load())
		}
	})
}
