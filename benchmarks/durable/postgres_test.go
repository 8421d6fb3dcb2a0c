package durable

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
)

// BenchmarkPGX writes a row for each event through pgx.
func BenchmarkPGX(b *testing.B) {
	pool := connect(b)
	_, err := pool.Exec(b.Context(), "CREATE TABLE effects (key text NOT NULL)")
	require.NoError(b, err)
	write := func(ctx context.Context, tx pgx.Tx, e *ittybit.Event) error {
		_, err := tx.Exec(ctx, "INSERT INTO effects VALUES ($1)", e.Key())
		return err
	}
	deliver(b, "transaction", func(ctx context.Context, e *ittybit.Event) error {
		return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error { return write(ctx, tx, e) })
	})
}
