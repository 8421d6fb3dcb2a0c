package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"runtime/metrics"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ittybit/ittybit-go"
)

// floods is how many senders come at once, each with a body of floodSize bytes, and tolerated what
// a flood may hold beside the bodies and the connections.
const (
	floods    = 1000
	floodSize = 1 << 20
	tolerated = 16 << 20
)

// flood is what came of many large posts at once: what the heap held before, when all senders had sent half of their
// bodies, when all of them had their answer or waited for work that waited too, at most with garbage, and afterwards.
type flood struct {
	name                              string
	limit                             int64   // of all bodies; 0 where they are not kept
	base, half, waiting, peak, after  float64 // bytes of the heap
	answered, refused, denied, broken int64   // 200, 503, 401, no answer
}

// postAtOnce lets senders post to a handler at the same time: none sends the second half of its body
// before all of them have sent the first. Where the handler holds deliveries at the release, they stay there until
// all others have their answer.
func postAtOnce(name string, senders int, handler http.Handler, release *gate, holds bool, d delivery) (flood, error) {
	result := flood{name: name, base: heapAlloc()}
	s, err := servePatiently(handler)
	if err != nil {
		return flood{}, err
	}
	defer s.stop()
	clients := make([]*leanClient, senders)
	hangUp := func() {
		for _, c := range clients {
			if c != nil {
				c.close()
			}
		}
	}
	defer hangUp()
	for i := range clients {
		if clients[i], err = dialLean(s.address); err != nil {
			return flood{}, err
		}
	}
	watch := watchHeap()
	half := newGate(senders)
	var all sync.WaitGroup
	var counts [4]atomic.Int64
	for _, c := range clients {
		all.Go(func() {
			middle := len(d.wire) / 2
			_, err := c.conn.Write(d.wire[:middle])
			half.wait(context.Background())
			if err == nil {
				_, _ = c.conn.Write(d.wire[middle:]) // whoever was refused may have an answer all the same
			}
			status, err := c.readAnswer()
			switch {
			case err != nil:
				counts[3].Add(1)
			case status == http.StatusOK:
				counts[0].Add(1)
			case status == http.StatusServiceUnavailable:
				counts[1].Add(1)
			default:
				counts[2].Add(1)
			}
			if status != http.StatusOK || !holds { // otherwise it has passed at the handler
				release.pass()
			}
		})
	}
	<-half.full
	result.half = heapInUse()
	close(half.open)
	<-release.full
	result.waiting = heapInUse()
	close(release.open)
	all.Wait()
	result.peak = watch()
	result.answered, result.refused, result.denied, result.broken = counts[0].Load(), counts[1].Load(), counts[2].Load(), counts[3].Load()
	hangUp()
	s.stop()
	result.after = heapAlloc()
	runtime.KeepAlive(handler) // what it keeps counts
	return result, nil
}

// gate is full when so many have passed or wait. Then somebody opens it.
type gate struct {
	left       atomic.Int64
	full, open chan struct{}
}

func newGate(n int) *gate {
	g := &gate{full: make(chan struct{}), open: make(chan struct{})}
	g.left.Store(int64(n))
	return g
}

func (g *gate) pass() {
	if g.left.Add(-1) == 0 {
		close(g.full)
	}
}

// wait is pass, and waits until the gate is open or ctx ends.
func (g *gate) wait(ctx context.Context) {
	g.pass()
	select {
	case <-g.open:
	case <-ctx.Done():
	}
}

// heapInUse is what the heap holds after one collection: what lies in pools is part of it.
func heapInUse() float64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

// watchHeap looks at the heap every millisecond, with the garbage that waits to be collected. What it gives ends
// that, and gives the most that there was.
func watchHeap() func() float64 {
	samples := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	var peak float64
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		ticker := time.NewTicker(time.Millisecond)
		defer ticker.Stop()
		for {
			metrics.Read(samples)
			peak = max(peak, float64(samples[0].Value.Uint64()))
			select {
			case <-stop:
				return
			case <-ticker.C:
			}
		}
	}()
	return func() float64 {
		close(stop)
		<-stopped
		return peak
	}
}

// measureFloods lets senders flood a handler that keeps nothing, and a WebhookHandler: with and
// without a signature.
func measureFloods(senders, size int) ([]flood, error) {
	signed := signDeliveries(1, size)[0]
	unsigned := delivery{wire: []byte(strings.Replace(string(signed.wire), ",v1=", ",v1=00", 1))}
	bare, err := postAtOnce("bare handler", senders, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusOK)
	}), newGate(senders), false, signed)
	if err != nil {
		return nil, err
	}
	results := []flood{bare}
	for _, tt := range []struct {
		name string
		d    delivery
	}{{"WebhookHandler, signed", signed}, {"WebhookHandler, unsigned", unsigned}} {
		release := newGate(senders)
		handler, err := ittybit.NewWebhookHandler(secret, ittybit.EventHandlerFunc(func(ctx context.Context, _ *ittybit.Event) error {
			release.wait(ctx)
			return nil
		}))
		if err != nil {
			return nil, err
		}
		result, err := postAtOnce(tt.name, senders, handler, release, true, tt.d)
		if err != nil {
			return nil, err
		}
		result.limit = ittybit.DefaultMaxBufferedBytes
		results = append(results, result)
	}
	return results, nil
}

func measureMemory(r *report) error {
	results, err := measureFloods(floods, floodSize)
	if err != nil {
		return err
	}
	r.printf("### %d posts of 1 MiB at once\n\n", floods)
	rows := [][]string{{"heap above its start", "half is sent", "handlers wait", "most, with garbage", "afterwards", "200", "503", "401", "no answer"}}
	for _, f := range results {
		rows = append(rows, []string{
			f.name, byteSize(f.half - f.base), byteSize(f.waiting - f.base), byteSize(f.peak - f.base), byteSize(f.after - f.base),
			fmt.Sprint(f.answered), fmt.Sprint(f.refused), fmt.Sprint(f.denied), fmt.Sprint(f.broken),
		})
	}
	r.table(rows)
	bare := results[0]
	for _, f := range results[1:] {
		used, connections := max(f.half, f.waiting)-f.base, max(bare.half, bare.waiting)-bare.base
		r.target(f.name+", 1,000 × 1 MiB", "in use ≤ WithMaxBufferedBytes + 16 MiB", used-connections-float64(f.limit) <= tolerated,
			"%s; connections alone: %s", byteSize(used), byteSize(connections))
		most := f.peak - f.base
		r.target(f.name+", 1,000 × 1 MiB", "the same with garbage, at any moment", most-(bare.peak-bare.base)-float64(f.limit) <= tolerated,
			"%s; connections alone: %s", byteSize(most), byteSize(bare.peak-bare.base))
		r.target(f.name+", 1,000 × 1 MiB", "falls back afterwards", f.after-f.base <= tolerated, "%s above the start", byteSize(f.after-f.base))
	}
	return nil
}
