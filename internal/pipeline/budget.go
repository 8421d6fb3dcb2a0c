package pipeline

import (
	"sync"
	"time"
)

const (
	// budgetSize is how many retries one host may get in a row while nothing succeeds.
	budgetSize = 150
	// budgetRefill is how many come back in a second, beside the one for each success.
	budgetRefill = 1.0
	// maxBudgets bounds the hosts that are remembered: signed URLs may name many.
	maxBudgets = 1000
)

type budgets struct {
	mu     sync.Mutex
	byHost map[string]*budget
}

func (b *budgets) of(host string) *budget {
	b.mu.Lock()
	defer b.mu.Unlock()
	if known := b.byHost[host]; known != nil {
		return known
	}
	if b.byHost == nil || len(b.byHost) >= maxBudgets {
		b.byHost = make(map[string]*budget)
	}
	fresh := &budget{left: budgetSize}
	b.byHost[host] = fresh
	return fresh
}

// succeeded gives the host a retry back. One that has taken none needs no budget: it would be full.
func (b *budgets) succeeded(host string) {
	b.mu.Lock()
	known := b.byHost[host]
	b.mu.Unlock()
	if known != nil {
		known.succeeded()
	}
}

// budget bounds the retries of all calls together, so that a service which is down is not kept
// down by the load of those who try again. A call that fails among others that succeed always
// gets its attempts.
type budget struct {
	mu       sync.Mutex
	left     float64
	refilled time.Time
}

// take takes a retry out of the budget, and reports whether there was one.
func (b *budget) take(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.refilled.IsZero() {
		b.add(max(now.Sub(b.refilled).Seconds(), 0) * budgetRefill)
	}
	b.refilled = now
	if b.left < 1 {
		return false
	}
	b.left--
	return true
}

func (b *budget) succeeded() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.add(1)
}

func (b *budget) add(retries float64) { b.left = min(b.left+retries, budgetSize) }
