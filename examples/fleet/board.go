package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/ittybittest"
)

// tick is the time between two rows of the table.
const tick = 500 * time.Millisecond

// board counts.
type board struct {
	pool  *pgxpool.Pool
	local *ittybittest.Server
	fleet *fleet
	start time.Time

	mu        sync.Mutex
	arrived   map[string]bool // the webhooks of which a delivery was answered 200
	ended     map[string]int  // how many of a webhook's two copies are delivered, or given up
	attempts  int
	retried   int
	abandoned int
}

func newBoard(pool *pgxpool.Pool, local *ittybittest.Server, fleet *fleet) *board {
	return &board{
		pool: pool, local: local, fleet: fleet, start: time.Now(),
		arrived: make(map[string]bool), ended: make(map[string]int),
	}
}

// note counts an attempt to deliver.
func (b *board) note(d ittybittest.Delivery) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.attempts++
	if d.Attempt > 1 {
		b.retried++
	}
	if d.Delivered() {
		b.arrived[d.ID] = true
	}
	if d.Final {
		b.ended[d.ID]++
		if !d.Delivered() {
			b.abandoned++
		}
	}
}

// watch counts, and prints a row now and then, until ctx ends.
func (b *board) watch(ctx context.Context, out io.Writer) {
	var counting sync.WaitGroup
	defer counting.Wait()
	counting.Go(func() {
		_, _ = b.local.WaitForDelivery(ctx, func(d ittybittest.Delivery) bool { // it ends with ctx
			b.note(d)
			return false
		})
	})
	_, _ = fmt.Fprintf(out, "%8s %9s %9s %11s %8s %9s %8s\n", "seconds", "attempts", "delivered", "duplicated", "retried", "enqueued", "handled")
	rows := time.NewTicker(tick)
	defer rows.Stop()
	for {
		select {
		case <-ctx.Done():
			b.row(context.WithoutCancel(ctx), out)
			return
		case <-rows.C:
			b.row(ctx, out)
		}
	}
}

func (b *board) row(ctx context.Context, out io.Writer) {
	handled, _, err := b.effects(ctx)
	if err != nil {
		return // the next row may have it
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	_, _ = fmt.Fprintf(out, "%8.1f %9d %9d %11d %8d %9d %8d\n", time.Since(b.start).Seconds(), b.attempts, len(b.arrived),
		b.fleet.count(roleEndpoint, ittybit.OutcomeDuplicate), b.retried, b.fleet.count(roleEndpoint, ittybit.OutcomeHandled), handled)
}

// effects counts the effects in the database, and the tasks that they are of.
func (b *board) effects(ctx context.Context) (effects, tasks int, err error) {
	err = b.pool.QueryRow(ctx, "SELECT count(*), count(DISTINCT task_id) FROM fleet_effect").Scan(&effects, &tasks)
	return effects, tasks, err
}

// wait waits until every copy of every webhook has come to its end, and each event has its effect.
func (b *board) wait(ctx context.Context, events int) error {
	look := time.NewTicker(tick / 5)
	defer look.Stop()
	for {
		_, tasks, err := b.effects(ctx)
		if err == nil && tasks >= events && b.delivered(events) {
			return nil
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("%d of %d events have their effect: %w", tasks, events, ctx.Err()), err)
		}
	}
}

func (b *board) delivered(events int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.ended) < events {
		return false
	}
	for _, copies := range b.ended {
		if copies < 2 {
			return false
		}
	}
	return true
}

// prove compares what was sent with what is in the database.
func (b *board) prove(ctx context.Context, out io.Writer, events int) error {
	effects, tasks, err := b.effects(ctx)
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if effects != events || tasks != events || len(b.arrived) != events {
		return fmt.Errorf("events sent %d, acknowledged %d, effects %d, of %d tasks", events, len(b.arrived), effects, tasks)
	}
	_, _ = fmt.Fprintf(out, "\nevents sent %d = events handled %d, each once, after %d attempts to deliver, %d of them retries; processes killed: %d\n",
		events, effects, b.attempts, b.retried, b.fleet.killed)
	return nil
}
