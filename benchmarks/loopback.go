package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"time"
)

const (
	loadClients = 8                      // that post at the same time, each over a connection of its own
	loadSlice   = 100 * time.Millisecond // how long they do so before the next endpoint has its turn
)

// load is what clients saw of an endpoint, one value a round.
type load struct{ throughput, p50, p99, cpu []float64 } // requests a second; nanoseconds

// scenario is a kind of load.
type scenario struct {
	name string
	size int
	part int // of the rounds: one in so many
	dial func(address string) (client, error)
}

func scenarios() []scenario {
	lean := func(address string) (client, error) { return dialLean(address) }
	usual := func(address string) (client, error) { return newUsualClient(address), nil }
	small, large := sizes()[0], sizes()[2]
	return []scenario{
		{small.name + ", lean client", small.bytes, 1, lean},
		{small.name + ", net/http client", small.bytes, 1, usual},
		{large.name + ", lean client", large.bytes, 2, lean},
	}
}

// loadTarget is an endpoint on a server, with clients that post to it.
type loadTarget struct {
	endpoint endpoint
	server   *server
	clients  []client
	pool     *deliveries
	load     load
}

func (s scenario) targets() (targets []*loadTarget, err error) {
	ours, err := ourEndpoints(poolSize(s.size) / 2)
	if err != nil {
		return nil, err
	}
	all := signDeliveries(poolSize(s.size), s.size)
	for _, e := range append([]endpoint{bareEndpoint(), handWrittenEndpoint()}, ours...) {
		t := &loadTarget{endpoint: e, pool: &deliveries{all: all}}
		targets = append(targets, t)
		if t.server, err = serve(e.handler); err != nil {
			return targets, err
		}
		for range loadClients {
			c, err := s.dial(t.server.address)
			if err != nil {
				return targets, err
			}
			t.clients = append(t.clients, c)
		}
	}
	return targets, nil
}

func (t *loadTarget) stop() {
	for _, c := range t.clients {
		c.close()
	}
	if t.server != nil {
		t.server.stop()
	}
}

// apply lets all clients post for about d, each as soon as it has its answer, and adds what
// they saw to the load.
func (t *loadTarget) apply(d time.Duration) error {
	latencies := make([][]float64, len(t.clients))
	errs := make([]error, len(t.clients))
	var before int64
	if t.endpoint.handled != nil {
		before = t.endpoint.handled.Load()
	}
	start := time.Now()
	used, _ := processorTime()
	var group sync.WaitGroup
	for i, c := range t.clients {
		group.Go(func() {
			for last := start; last.Sub(start) < d; {
				if errs[i] = c.post(t.pool.next()); errs[i] != nil {
					return
				}
				now := time.Now()
				latencies[i] = append(latencies[i], float64(now.Sub(last)))
				last = now
			}
		})
	}
	group.Wait()
	took := time.Since(start)
	usedNow, _ := processorTime()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	all := slices.Concat(latencies...)
	if h := t.endpoint.handled; h != nil && h.Load()-before != int64(len(all)) {
		return fmt.Errorf("%w: %d deliveries, %d handled", errUnexpected, len(all), h.Load()-before)
	}
	slices.Sort(all)
	t.load.throughput = append(t.load.throughput, float64(len(all))/took.Seconds())
	t.load.cpu = append(t.load.cpu, float64(usedNow-used)/float64(len(all)))
	t.load.p50 = append(t.load.p50, quantile(all, 0.5))
	t.load.p99 = append(t.load.p99, quantile(all, 0.99))
	return nil
}

// compareLoads gives all endpoints the same load in turns.
func compareLoads(p plan, s scenario, slice time.Duration) ([]*loadTarget, error) {
	targets, err := s.targets()
	defer func() {
		for _, t := range targets {
			t.stop()
		}
	}()
	if err != nil {
		return nil, err
	}
	for _, t := range targets {
		if err := t.apply(slice); err != nil { // warms up
			return nil, fmt.Errorf("%s, %s: %w", s.name, t.endpoint.name, err)
		}
		t.load = load{}
	}
	order := slices.Clone(targets)
	for range (p.rounds + s.part - 1) / s.part {
		rand.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] }) //nolint:gosec // no secret hangs on the order
		for _, t := range order {
			runtime.GC()
			if err := t.apply(slice); err != nil {
				return nil, fmt.Errorf("%s, %s: %w", s.name, t.endpoint.name, err)
			}
		}
	}
	return targets, nil
}

func measureLoopback(r *report) error {
	r.printf("### On loopback, %d clients at once\n\n", loadClients)
	for _, s := range scenarios() {
		targets, err := compareLoads(r.plan, s, loadSlice)
		if err != nil {
			return err
		}
		r.loads(s, targets)
	}
	return nil
}

// loads prints what the clients of all endpoints saw, and the processor time that a request took,
// the client's part included, over the bare handler's. The targets are those of small payloads:
// of large ones, parsing is most of the work, however it is done.
func (r *report) loads(s scenario, targets []*loadTarget) {
	_, cpuKnown := processorTime()
	bare := targets[0].load
	rows := [][]string{
		{s.name, "throughput", "p50", "p99", "processor time"},
		{
			bareName, fmt.Sprintf("1 (= %.0f/s)", spreadOf(bare.throughput).median), base(bare.p50), base(bare.p99), base(bare.cpu),
		},
	}
	for _, t := range targets[1:] {
		throughput, p99 := ratio(t.load.throughput, bare.throughput), ratio(t.load.p99, bare.p99)
		rows = append(rows, []string{
			t.endpoint.name, throughput.String(), ratio(t.load.p50, bare.p50).String(), p99.String(), ratio(t.load.cpu, bare.cpu).String(),
		})
		if t.endpoint.name == handWrittenName || s.size != sizes()[0].bytes {
			continue
		}
		name := t.endpoint.name + ", " + s.name
		r.target(name, "throughput ≥ 0.93 of a bare handler's", throughput.median >= 0.93, "%v", throughput)
		r.target(name, "p99 ≤ 1.3 × a bare handler's", p99.median <= 1.3, "%v", p99)
	}
	if !cpuKnown {
		for i := range rows {
			rows[i] = rows[i][:len(rows[i])-1]
		}
	}
	r.table(rows)
}

// base prints what ratios are of.
func base(nanos []float64) string { return fmt.Sprintf("1 (= %s)", duration(spreadOf(nanos).median)) }
