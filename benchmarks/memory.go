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

// flood is what came of many large posts at once.
type flood struct {
	name                              string
	limit                             int64 // of all bodies; 0 where they are not kept
	base, peak, live, after           float64
	answered, refused, denied, broken int64 // 200, 503, 401, no answer
}

// postAtOnce lets senders post to a handler at the same time: none sends the second half of its body
// before all of them have sent the first. Deliveries that reach work stay there until all others have their
// answer.
func postAtOnce(name string, senders int, handler http.Handler, release *gate, d delivery) (flood, error) {
	result := flood{name: name, base: heapAlloc()}
	s, err := serve(handler)
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
	var halves, all sync.WaitGroup
	halves.Add(senders)
	var counts [4]atomic.Int64
	for _, c := range clients {
		all.Go(func() {
			half := len(d.wire) / 2
			_, err := c.conn.Write(d.wire[:half])
			halves.Done()
			halves.Wait()
			if err == nil {
				_, _ = c.conn.Write(d.wire[half:]) // whoever was refused may have an answer all the same
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
			if status != http.StatusOK { // it has passed at the handler
				release.pass()
			}
		})
	}
	all.Wait()
	result.peak, result.live = watch()
	result.answered, result.refused, result.denied, result.broken = counts[0].Load(), counts[1].Load(), counts[2].Load(), counts[3].Load()
	hangUp()
	s.stop()
	result.after = heapAlloc()
	runtime.KeepAlive(handler) // what it keeps counts
	return result, nil
}

// gate opens when so many have passed or wait.
type gate struct {
	left atomic.Int64
	open chan struct{}
}

func newGate(n int) *gate {
	g := &gate{open: make(chan struct{})}
	g.left.Store(int64(n))
	return g
}

func (g *gate) pass() {
	if g.left.Add(-1) == 0 {
		close(g.open)
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

// watchHeap looks at the heap every millisecond. What it gives ends that, and gives the most that there was:
// with the garbage that waits to be collected, and of what the collector found in use.
func watchHeap() func() (peak, live float64) {
	samples := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/gc/heap/live:bytes"}}
	var peak, live float64
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		ticker := time.NewTicker(time.Millisecond)
		defer ticker.Stop()
		for {
			metrics.Read(samples)
			peak = max(peak, float64(samples[0].Value.Uint64()))
			live = max(live, float64(samples[1].Value.Uint64()))
			select {
			case <-stop:
				return
			case <-ticker.C:
			}
		}
	}()
	return func() (float64, float64) {
		close(stop)
		<-stopped
		return peak, live
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
	}), newGate(2*senders), signed)
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
		result, err := postAtOnce(tt.name, senders, handler, release, tt.d)
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
	rows := [][]string{{"heap above its start", "most in use", "most with garbage", "afterwards", "200", "503", "401", "no answer"}}
	for _, f := range results {
		rows = append(rows, []string{
			f.name, byteSize(f.live - f.base), byteSize(f.peak - f.base), byteSize(f.after - f.base),
			fmt.Sprint(f.answered), fmt.Sprint(f.refused), fmt.Sprint(f.denied), fmt.Sprint(f.broken),
		})
	}
	r.table(rows)
	bare := results[0]
	for _, f := range results[1:] {
		over := (f.live - f.base) - (bare.live - bare.base) - float64(f.limit)
		r.target(f.name+", 1,000 × 1 MiB", "in use ≤ WithMaxBufferedBytes + 16 MiB", over <= tolerated,
			"%s, of which the connections take %s", byteSize(f.live-f.base), byteSize(bare.live-bare.base))
		r.target(f.name+", 1,000 × 1 MiB", "falls back afterwards", f.after-f.base <= tolerated, "%s above the start", byteSize(f.after-f.base))
	}
	return nil
}
