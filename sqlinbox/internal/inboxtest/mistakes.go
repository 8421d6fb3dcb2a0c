package inboxtest

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/sqlinbox"
)

func beyondTx(t *testing.T, b *bench) {
	if b.Dialect != sqlinbox.SQLite {
		return // another connection writes there
	}
	h := b.inbox.Wrap(ittybit.EventHandlerFunc(func(ctx context.Context, _ *ittybit.Event) error {
		_, err := b.DB.ExecContext(ctx, "INSERT INTO effects VALUES ('beyond')")
		return err
	}))
	status, seen := deliver(t, h, 1, ittybit.WithProcessingTimeout(200*time.Millisecond))
	assert.Equal(t, http.StatusServiceUnavailable, status)
	assert.ErrorContains(t, seen.Err, "write with Tx(ctx)")
	assert.Zero(t, b.rows(t, "handled"))
}

// A handler that ends the transaction by SQL of its own. What it committed is handled. What it
// rolled back comes again, but by a driver that does not notice it: there it is lost.
func endedBySQL(t *testing.T, b *bench) {
	end := func(n int, statement string) int {
		status, _ := deliver(t, b.inbox.Wrap(b.effect(func(ctx context.Context) error { return b.Exec(ctx, statement) })), n)
		return status
	}
	end(1, "COMMIT")
	assert.Equal(t, 1, b.effects(t))
	assert.Equal(t, 1, b.rows(t, "handled"))
	_, seen := deliver(t, b.inbox.Wrap(b.effect(nil)), 1)
	assert.Equal(t, ittybit.OutcomeDuplicate, seen.Outcome)

	want := http.StatusServiceUnavailable
	if b.EndUnnoticed {
		want = http.StatusOK
	}
	assert.Equal(t, want, end(2, "ROLLBACK"))
	assert.Equal(t, 1, b.effects(t))
	assert.Equal(t, 1, b.rows(t, "handled"))
	status, _ := deliver(t, b.inbox.Wrap(b.effect(nil)), 2)
	assert.Equal(t, http.StatusOK, status, "the event is free")
	assert.Equal(t, 2, b.effects(t))
}
