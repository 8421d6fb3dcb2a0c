package sqlinbox_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
)

// BenchmarkWrap sets an event's handling beside a bare transaction with the same insert,
// turn by turn, so that both see the same machine.
func BenchmarkWrap(b *testing.B) {
	for name, open := range engines() {
		b.Run(name, func(b *testing.B) {
			e := open(b)
			bench := newBench(b, e, e.open(b))
			ctx := context.Background()
			h := bench.inbox.Wrap(ittybit.EventHandlerFunc(effect))
			var bare, wrapped time.Duration
			n := 0
			for b.Loop() {
				n++
				event := task(b, n)
				start := time.Now()
				require.NoError(b, h.HandleEvent(ctx, event))
				between := time.Now()
				tx, err := bench.db.BeginTx(ctx, nil)
				require.NoError(b, err)
				_, err = tx.ExecContext(ctx, "INSERT INTO effects (event_key) VALUES ('"+event.Key()+"')")
				require.NoError(b, err)
				require.NoError(b, tx.Commit())
				wrapped, bare = wrapped+between.Sub(start), bare+time.Since(between)
			}
			b.ReportMetric(float64(bare.Microseconds())/float64(n), "bare-µs/event")
			b.ReportMetric(float64(wrapped.Microseconds())/float64(n), "wrapped-µs/event")
			b.ReportMetric(float64(wrapped)/float64(bare), "ratio")
			b.ReportMetric(0, "ns/op")
		})
	}
}
