package inboxtest

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/ittybittest"
)

const missed = 5 // tasks whose webhook never came

// missedTasks is a client of a server with tasks that have ended.
func missedTasks(t *testing.T) *ittybit.Client {
	t.Helper()
	srv := ittybittest.NewServer(ittybittest.WithTaskDuration(0))
	t.Cleanup(srv.Close)
	return createMissed(t, srv)
}

func createMissed(t *testing.T, srv *ittybittest.Server) *ittybit.Client {
	t.Helper()
	client, err := srv.Client()
	require.NoError(t, err)
	for n := range missed {
		_, err := client.Tasks.Create(t.Context(), ittybit.TaskCreateParams{
			Kind: ittybit.TaskKindNSFW, URL: fmt.Sprintf("https://example.com/%d.jpg", n),
		})
		require.NoError(t, err)
	}
	return client
}

// Of the processes of a fleet one runs, and none again before the time.
func reconciledByOne(t *testing.T, b *bench) {
	client := missedTasks(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var all sync.WaitGroup
	for range 3 {
		inbox := b.New()
		all.Go(func() {
			err := inbox.Reconcile(ctx, client, b.effect(nil), time.Hour, ittybit.ReconcileParams{Rate: 1000})
			assert.ErrorIs(t, err, context.Canceled)
		})
	}
	const due = "SELECT count(*) FROM ittybit_inbox_reconcile WHERE next_run > 0 AND held_until = 0 AND lease = 1 AND checkpoint <> '{}'"
	assert.Eventually(t, func() bool {
		var n int // without a write-ahead log, a reader may find the database locked
		err := b.DB.QueryRowContext(t.Context(), due).Scan(&n)
		return err == nil && n == 1
	}, time.Minute, 20*time.Millisecond, "one run has ended")
	cancel()
	all.Wait()
	assert.Equal(t, missed, b.effects(t))
	assert.Equal(t, 1, b.count(t, due), "there was no other run")

	var param *ittybit.ParamError
	require.ErrorAs(t, b.inbox.Reconcile(t.Context(), client, nil, time.Hour, ittybit.ReconcileParams{}), &param)
	require.ErrorAs(t, b.inbox.Reconcile(t.Context(), client, b.effect(nil), 0, ittybit.ReconcileParams{}), &param)
	b.exec(t, "UPDATE ittybit_inbox_reconcile SET next_run = 0")
	require.ErrorAs(t, b.inbox.Reconcile(t.Context(), nil, b.effect(nil), time.Hour, ittybit.ReconcileParams{}), &param)
}

// A process whose lease ran out, and that goes on, overwrites nothing.
func reconciledLate(t *testing.T, b *bench) {
	client := missedTasks(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	const newer = `{"since":"2030-01-01T00:00:00Z"}`
	var once sync.Once
	taken := make(chan struct{})
	params := ittybit.ReconcileParams{Rate: 1000, OnCheckpoint: func(ittybit.ReconcileCheckpoint) {
		once.Do(func() { // while this process was stopped, another one took over, and has got further
			query, args := Bind(b.Dialect, "UPDATE ittybit_inbox_reconcile SET lease = lease + 1, checkpoint = $1,"+
				" next_run = held_until + 3600000000", []any{newer})
			_, err := b.DB.ExecContext(t.Context(), query, args...)
			assert.NoError(t, err)
			close(taken)
		})
	}}
	var run sync.WaitGroup
	ended := make(chan struct{})
	run.Go(func() {
		defer close(ended)
		assert.ErrorIs(t, b.inbox.Reconcile(ctx, client, b.effect(nil), time.Hour, params), context.Canceled)
	})
	select {
	case <-taken:
	case <-ended:
		t.Fatal("there was no checkpoint")
	}
	cancel()
	run.Wait()
	assert.Equal(t, 1, b.count(t, "SELECT count(*) FROM ittybit_inbox_reconcile WHERE checkpoint = $1 AND lease = 2 AND held_until > 0", newer))
}
