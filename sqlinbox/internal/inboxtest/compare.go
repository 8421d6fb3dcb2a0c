package inboxtest

import (
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/sqlinbox"
)

// CompareDrivers handles events by a driver of SQLite and by modernc.org/sqlite, which the test
// registers as "sqlite", turn by turn, so that both see the same machine. It reports what both
// handle in a second, and the ratio.
func CompareDrivers(b *testing.B, driver string) {
	for _, concurrent := range []int{1, 8, 64} {
		b.Run(strconv.Itoa(concurrent), func(b *testing.B) {
			var took [2]time.Duration
			var ways [2]func(*ittybit.Event) error
			for i, name := range []string{"sqlite", driver} {
				bench := newBench(b, SQLite(name, "wal")(b))
				bench.DB.SetMaxIdleConns(concurrent)
				h := bench.New(sqlinbox.WithGroupCommit(64)).Wrap(bench.effect(nil))
				ways[i] = func(e *ittybit.Event) error { return h.HandleEvent(b.Context(), e) }
			}
			n := 0
			const events = 256 // of each, in a turn
			for b.Loop() {
				for i, way := range ways {
					took[i] += Burst(b, concurrent, events, n, way)
				}
				n += events
			}
			each := float64(events) * float64(b.N)
			b.ReportMetric(each/took[0].Seconds(), "modernc/s")
			b.ReportMetric(each/took[1].Seconds(), driver+"/s")
			b.ReportMetric(took[0].Seconds()/took[1].Seconds(), "×modernc")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// Burst handles events, the first of which has this number, so many at a time, and gives how long
// that took.
func Burst(b *testing.B, concurrent, events, first int, handle func(*ittybit.Event) error) time.Duration {
	b.Helper()
	all := make([]*ittybit.Event, events)
	for i := range all {
		all[i] = task(b, first+i)
	}
	var next atomic.Int64
	var workers sync.WaitGroup
	began := time.Now()
	for range concurrent {
		workers.Go(func() {
			for i := next.Add(1) - 1; i < int64(events); i = next.Add(1) - 1 {
				if err := handle(all[i]); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	workers.Wait()
	return time.Since(began)
}
