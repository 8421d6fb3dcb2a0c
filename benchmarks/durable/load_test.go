// Package durable measures stores that commit an event before its delivery is answered, beside the
// least that they could do: a transaction of one's own, and River's own Insert. It uses what every
// version of the stores has, so that pairs can build it against any.
package durable

import (
	"context"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver that pgserver makes databases with
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/internal/pgserver"
)

// TestMain starts one PostgreSQL for all benchmarks, where one is installed and none is given.
func TestMain(m *testing.M) {
	stop, err := pgserver.ServerForAll(context.Background())
	if err != nil {
		fmt.Fprintln(os.Stderr, "FAIL:", err)
		os.Exit(1)
	}
	code := m.Run()
	if err := stop(); err != nil {
		fmt.Fprintln(os.Stderr, "FAIL:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// connect opens a pool of 16 connections to a database of the benchmark's own.
func connect(b *testing.B) *pgxpool.Pool {
	pool, err := pgxpool.New(b.Context(), pgserver.Database(b)+"&pool_max_conns=16")
	require.NoError(b, err)
	b.Cleanup(pool.Close)
	return pool
}

// number makes each event another one, in all benchmarks of the process.
var number atomic.Int64

// newEvent is the end of a task that nobody else has.
func newEvent() (*ittybit.Event, error) {
	return ittybit.ParseEvent(fmt.Appendf(nil, `{"id":"task_%d","object":"task","kind":"nsfw","status":"completed",`+
		`"results":{"is_nsfw":true,"confidence":0.97},"created":"2025-01-10T12:34:56Z"}`, number.Add(1)))
}

// candidate handles an event.
type candidate struct {
	by     string
	handle func(context.Context, *ittybit.Event) error
}

// compare has each candidate handle b.N events with 1, 8 and 64 at a time. It reports how many
// events a second were handled, and the latency that one of a hundred exceeds.
func compare(b *testing.B, candidates ...candidate) {
	for _, at := range []int{1, 8, 64} {
		for _, c := range candidates {
			b.Run(fmt.Sprintf("by=%s/at=%d", c.by, at), func(b *testing.B) {
				took := make([]time.Duration, b.N)
				var next atomic.Int64
				var wg sync.WaitGroup
				b.ResetTimer()
				for range at {
					wg.Go(func() {
						for n := next.Add(1) - 1; n < int64(b.N); n = next.Add(1) - 1 {
							event, err := newEvent()
							start := time.Now()
							if err == nil {
								err = c.handle(b.Context(), event)
							}
							if err != nil {
								b.Error(err)
								return
							}
							took[n] = time.Since(start)
						}
					})
				}
				wg.Wait()
				b.StopTimer()
				slices.Sort(took)
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
				b.ReportMetric(took[len(took)*99/100].Seconds()*1e3, "p99-ms")
			})
		}
	}
}
