//go:build !e534ef9

package durable

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/sqlinbox"
	"github.com/ittybit/ittybit-go/sqlinbox/pgxinbox"
)

// What the build of the tag's name does not have.
func init() { //nolint:gochecknoinits // one build has it, the other not
	grouped = []sqlinbox.Option{sqlinbox.WithGroupCommit(64)}
	pgxInbox = func(b *testing.B, pool *pgxpool.Pool) func(context.Context, *ittybit.Event) error {
		in := pgxinbox.New(pool)
		require.NoError(b, in.Migrate(b.Context()))
		return in.Wrap(ittybit.EventHandlerFunc(func(ctx context.Context, e *ittybit.Event) error {
			_, err := pgxinbox.Tx(ctx).Exec(ctx, effect, e.Key())
			return err
		})).HandleEvent
	}
}
