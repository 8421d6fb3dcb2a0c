package sqlinbox_test

import (
	"context"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/sqlinbox"
	"github.com/ittybit/ittybit-go/sqlinbox/internal/inboxtest"
)

// BenchmarkGroupCommit sets deliveries that are committed together beside those that are not, and
// beside a bare transaction with the same insert, turn by turn, so that all see the same machine.
func BenchmarkGroupCommit(b *testing.B) {
	for _, concurrent := range []int{1, 8, 64} {
		b.Run(strconv.Itoa(concurrent), func(b *testing.B) {
			e := sqliteEngine(b, walParameters)
			bench := newBench(b, e, e.open(b))
			bench.db.SetMaxIdleConns(concurrent)
			db, faulty := inboxtest.OpenFaulty(sqlinbox.SQLite, "sqlite", e.source) // it counts commits
			defer func() { require.NoError(b, db.Close()) }()
			ctx := context.Background()
			var turn sync.Mutex // as for the inbox, so that nobody waits in SQLite's pauses
			bare := func(e *ittybit.Event) error {
				turn.Lock()
				defer turn.Unlock()
				tx, err := bench.db.BeginTx(ctx, nil)
				if err != nil {
					return err
				}
				if _, err = tx.ExecContext(ctx, "INSERT INTO effects (event_key) VALUES ($1)", e.Key()); err != nil {
					return err
				}
				return tx.Commit()
			}
			handle := func(in *sqlinbox.Inbox) func(*ittybit.Event) error {
				h := in.Wrap(ittybit.EventHandlerFunc(effect))
				return func(e *ittybit.Event) error { return h.HandleEvent(ctx, e) }
			}
			group := sqlinbox.WithGroupCommit(64)
			counted := handle(sqlinbox.New(db, sqlinbox.SQLite, group))
			var took [3]time.Duration
			n := 0
			const events = 512 // of each, in a turn
			for b.Loop() {
				for i, way := range []func(*ittybit.Event) error{bare, handle(bench.inbox), handle(bench.with(group))} {
					took[i] += inboxtest.Burst(b, concurrent, events, n, way)
					n += events
				}
			}
			faulty.Fail(0, "")
			inboxtest.Burst(b, concurrent, events, n, counted)
			_, commits, _ := faulty.Figures()
			each := float64(events) * float64(b.N)
			b.ReportMetric(each/took[0].Seconds(), "bare/s")
			b.ReportMetric(each/took[1].Seconds(), "alone/s")
			b.ReportMetric(each/took[2].Seconds(), "grouped/s")
			b.ReportMetric(took[1].Seconds()/took[2].Seconds(), "×alone")
			b.ReportMetric(took[0].Seconds()/took[2].Seconds(), "×bare")
			b.ReportMetric(float64(commits)/events, "commits/event")
			b.ReportMetric(0, "ns/op")
		})
	}
}
