package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ittybit/ittybit-go"
)

// keys are those of tasks that have ended, as Event.Key gives them. They stand in one text, so that the
// collector finds nothing to follow in them.
type keys struct {
	text  string
	count int
}

const keyForm = "task:task_%010d:completed"

func makeKeys(count int) keys {
	text := make([]byte, 0, count*len(fmt.Sprintf(keyForm, 0)))
	for i := range count {
		text = fmt.Appendf(text, keyForm, i)
	}
	return keys{string(text), count}
}

// at gives key i, and begins anew after the last one.
func (k keys) at(i int) string {
	width := len(k.text) / k.count
	i %= k.count
	return k.text[i*width : (i+1)*width]
}

// store is a MemoryDeduplicator, or a map with one lock: the least that remembers keys. The map forgets what it is
// told to.
type store interface {
	handle(key string) (first bool, err error)
}

type memoryStore struct{ *ittybit.MemoryDeduplicator }

func newMemoryStore(capacity int) memoryStore {
	return memoryStore{ittybit.NewMemoryDeduplicator(capacity, time.Hour)}
}

func (s memoryStore) handle(key string) (bool, error) {
	claim, err := s.Claim(context.Background(), key)
	if errors.Is(err, ittybit.ErrAlreadyHandled) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, claim.Complete(context.Background())
}

type mapStore struct {
	mu   sync.Mutex
	keys map[string]struct{}
}

func (s *mapStore) handle(key string) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.keys[key]; ok {
		return false, nil
	}
	s.keys[key] = struct{}{}
	return true, nil
}

func newMapStore() *mapStore { return &mapStore{keys: map[string]struct{}{}} }

func (s *mapStore) forget(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.keys, key)
}

// fillStore lets a store handle the first n keys, which are all new to it.
func fillStore(s store, k keys, n int) error {
	for i := range n {
		if err := expectFirst(s, k.at(i), true); err != nil {
			return err
		}
	}
	return nil
}

// bytesPerKey gives what each of n keys in a store takes, without the text of the key.
func bytesPerKey(s store, n int) (float64, error) {
	k := makeKeys(n)
	before := heapAlloc()
	if err := fillStore(s, k, n); err != nil {
		return 0, err
	}
	after := heapAlloc()
	runtime.KeepAlive(s)
	runtime.KeepAlive(k.text)
	return (after - before) / float64(n), nil
}

// Contenders for remembering keys.
const (
	ourStore   = "MemoryDeduplicator"
	floorStore = "map with a mutex"
)

// deduplicatorGroups call full stores of different sizes, in fresh with keys that are new to them, so
// that each call forgets the oldest key, and in seen with keys that they have.
func deduplicatorGroups(counts ...int) (fresh, seen []group, err error) {
	for _, count := range counts {
		k := makeKeys(2*count + count/2) // by the time that a key comes again, it is forgotten
		ours := newMemoryStore(count)
		oursTurning := newMemoryStore(count)
		floor, floorTurning := newMapStore(), newMapStore()
		for _, s := range []store{ours, oursTurning, floor, floorTurning} {
			if err := fillStore(s, k, count); err != nil {
				return nil, nil, err
			}
		}
		floorAt, ourAt := count, count
		name := strconv.Itoa(count) + " keys"
		fresh = append(fresh, group{name: name, contenders: []contender{
			{floorStore, func() error {
				floorTurning.forget(k.at(floorAt - count))
				floorAt++
				return expectFirst(floorTurning, k.at(floorAt-1), true)
			}},
			{ourStore, func() error {
				ourAt++
				return expectFirst(oursTurning, k.at(ourAt-1), true)
			}},
		}})
		seen = append(seen, group{name: name, contenders: []contender{
			{floorStore, askAbout(floor, k, count)}, {ourStore, askAbout(ours, k, count)},
		}})
	}
	return fresh, seen, nil
}

// askAbout gives a store one of its count keys a run, here and there. They are of the younger half: a shard
// that got more than its share has forgotten some of the oldest.
func askAbout(s store, k keys, count int) func() error {
	half := count / 2
	at := 0
	return func() error {
		at = (at + 7919) % half
		return expectFirst(s, k.at(half+at), false)
	}
}

// expectFirst handles a key that is new to the store, or is not.
func expectFirst(s store, key string, want bool) error {
	first, err := s.handle(key)
	if err != nil {
		return err
	}
	if first != want {
		return fmt.Errorf("%w: %s is new: %t", errUnexpected, key, first)
	}
	return nil
}

// contention is what goroutines that share a store get done.
type contention struct {
	throughput []float64 // keys a second, one value a round
	p999       []float64 // nanoseconds that all but a thousandth of the calls keep to, one value a round
}

// contend lets goroutines handle all keys between them.
func contend(s store, k keys, goroutines int) (throughput, p999 float64, err error) {
	var next atomic.Int64
	errs := make([]error, goroutines)
	calls := make([][]float64, goroutines)
	for i := range calls {
		calls[i] = make([]float64, 0, k.count)
	}
	var group sync.WaitGroup
	start := time.Now()
	for i := range goroutines {
		group.Go(func() {
			last := time.Now()
			for {
				at := int(next.Add(1) - 1)
				if at >= k.count {
					return
				}
				if errs[i] = expectFirst(s, k.at(at), true); errs[i] != nil {
					return
				}
				now := time.Now()
				calls[i] = append(calls[i], float64(now.Sub(last)))
				last = now
			}
		})
	}
	group.Wait()
	throughput = float64(k.count) / time.Since(start).Seconds()
	all := slices.Concat(calls...)
	slices.Sort(all)
	return throughput, quantile(all, 0.999), errors.Join(errs...)
}

// compareContention lets 1, 2 and 8 goroutines fill stores of both kinds with new keys.
func compareContention(rounds, count int, goroutines []int) (map[string][]contention, error) {
	k := makeKeys(count)
	results := map[string][]contention{ourStore: make([]contention, len(goroutines)), floorStore: make([]contention, len(goroutines))}
	for range rounds {
		for i, n := range goroutines {
			for name, s := range map[string]store{
				ourStore:   newMemoryStore(count),
				floorStore: newMapStore(),
			} {
				runtime.GC()
				throughput, p999, err := contend(s, k, n)
				if err != nil {
					return nil, err
				}
				c := &results[name][i]
				c.throughput, c.p999 = append(c.throughput, throughput), append(c.p999, p999)
			}
		}
	}
	return results, nil
}

func measureDeduplicator(r *report) error {
	const million = 1_000_000
	r.printf("### MemoryDeduplicator\n\n")
	ours, err := bytesPerKey(newMemoryStore(million), million)
	if err != nil {
		return err
	}
	floor, err := bytesPerKey(newMapStore(), million)
	if err != nil {
		return err
	}
	r.printf("A million keys take %.0f bytes each, without their text; %.0f in a map with a mutex.\n\n", ours, floor)
	r.target("MemoryDeduplicator, 1,000,000 keys", "≤ 150 bytes each", ours <= 150, "%.0f", ours)

	fresh, seen, err := deduplicatorGroups(10_000, 100_000, million)
	for _, tt := range []struct {
		name   string
		groups []group
	}{{"a new key, in a full store: the oldest one is forgotten", fresh}, {"a key that was handled before", seen}} {
		all, err := compareAll(r.plan, tt.groups, err)
		if err != nil {
			return err
		}
		r.printf("One call, %s:\n\n", tt.name)
		r.ratios(all)
		few, many := all[0].ratio(ourStore, floorStore), all[len(all)-1].ratio(ourStore, floorStore)
		r.target("MemoryDeduplicator, "+tt.name, "O(1): as a map, ≤ 1.5 × as far from it at 1,000,000 keys as at 10,000",
			many.median <= 1.5*few.median, "%v × the map at 1,000,000, %v × at 10,000", many, few)
	}

	goroutines := []int{1, 2, 8}
	contentions, err := compareContention(min(r.plan.rounds, 21), 50_000, goroutines)
	if err != nil {
		return err
	}
	r.contention(goroutines, contentions)
	return nil
}

// contention prints what goroutines get done, and how long they wait.
func (r *report) contention(goroutines []int, contentions map[string][]contention) {
	alone := contentions[floorStore][0].throughput
	rows := [][]string{{"new keys: throughput, p99.9"}}
	for _, n := range goroutines {
		rows[0] = append(rows[0], fmt.Sprintf("goroutines: %d", n))
	}
	for _, name := range []string{floorStore, ourStore} {
		row := []string{name}
		for i := range goroutines {
			c := contentions[name][i]
			throughput := ratio(c.throughput, alone).String()
			if name == floorStore && i == 0 {
				throughput = fmt.Sprintf("1 (= %.2g million/s)", spreadOf(alone).median/1e6)
			}
			row = append(row, throughput+", "+duration(spreadOf(c.p999).median))
		}
		rows = append(rows, row)
	}
	r.table(rows)
	crowd := ratio(contentions[ourStore][2].throughput, contentions[ourStore][0].throughput)
	r.target("MemoryDeduplicator, 8 goroutines", "together ≥ 0.8 of what one gets done", crowd.median >= 0.8, "%v", crowd)
}
