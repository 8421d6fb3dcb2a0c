package main

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"time"
)

// contender is one of several ways to do the same work. run does it once, and gives an
// error unless the result is what it has to be.
type contender struct {
	name string
	run  func() error
}

// group is the contenders for the same work on the same input. The first one is the
// floor: the least that anybody has to do.
type group struct {
	name       string // of the input, such as "300 B"
	bytes      int    // of the input
	contenders []contender
}

// plan says how long a comparison may take.
type plan struct {
	rounds int           // how often each contender has its turn
	slice  time.Duration // how long a turn lasts; at least one run
	budget time.Duration // after this, a comparison ends when it has had minRounds
}

// minRounds is how many rounds there are however long they take, if so many were asked for.
const minRounds = 11

// comparison holds what was measured of a group.
type comparison struct {
	group  group
	nanos  map[string][]float64 // of one run, by contender, one value a round
	wall   map[string][]float64 // the same by the clock on the wall
	allocs map[string]allocations
}

// allocations is what one run allocates.
type allocations struct{ count, bytes float64 }

// compare lets the contenders of a group run in turns, in another order each round, so
// that whatever else the machine does hits all of them. The heap is collected before each
// turn: nobody pays for another one's garbage.
//
// What is compared is the processor time of the process, its collector included, where the system tells: other
// programs do not count then. Otherwise it is the time on the wall.
func compare(p plan, g group) (*comparison, error) {
	c := &comparison{group: g, nanos: map[string][]float64{}, wall: map[string][]float64{}, allocs: map[string]allocations{}}
	runs := make([]int, len(g.contenders))
	for range 5 { // a contender that is held up while it is tried would get turns that are too short to be fair
		for i, contender := range g.contenders {
			n, err := runsIn(p.slice, contender.run)
			if err != nil {
				return nil, fmt.Errorf("%s, %s: %w", g.name, contender.name, err)
			}
			runs[i] = max(runs[i], n)
		}
	}
	order := make([]int, len(g.contenders))
	for i := range order {
		order[i] = i
	}
	start := time.Now()
	for round := range p.rounds {
		if round >= minRounds && time.Since(start) > p.budget {
			break
		}
		rand.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] }) //nolint:gosec // no secret hangs on the order
		for _, i := range order {
			name := g.contenders[i].name
			runtime.GC()
			if _, err := timeRuns(runs[i]/20, g.contenders[i].run); err != nil { // wakes the caches
				return nil, fmt.Errorf("%s, %s: %w", g.name, name, err)
			}
			before, known := processorTime()
			took, err := timeRuns(runs[i], g.contenders[i].run)
			if err != nil {
				return nil, fmt.Errorf("%s, %s: %w", g.name, name, err)
			}
			c.wall[name] = append(c.wall[name], float64(took)/float64(runs[i]))
			if after, _ := processorTime(); known {
				took = after - before
			}
			c.nanos[name] = append(c.nanos[name], float64(took)/float64(runs[i]))
		}
	}
	for i, contender := range g.contenders {
		var err error
		if c.allocs[contender.name], err = countAllocations(min(runs[i], 100), contender.run); err != nil {
			return nil, fmt.Errorf("%s, %s: %w", g.name, contender.name, err)
		}
	}
	return c, nil
}

// runsIn finds how many runs take about d, as far as it can be told in a fifth of that.
func runsIn(d time.Duration, run func() error) (int, error) {
	for n := 1; ; n *= 2 {
		took, err := timeRuns(n, run)
		if err != nil {
			return 0, err
		}
		if took >= d/5 {
			return max(1, int(float64(n)*float64(d)/float64(took))), nil
		}
	}
}

func timeRuns(n int, run func() error) (time.Duration, error) {
	start := time.Now()
	for range n {
		if err := run(); err != nil {
			return 0, err
		}
	}
	return time.Since(start), nil
}

// countAllocations gives the allocations of one run, the least of three counts: what other
// goroutines allocate meanwhile is counted too.
func countAllocations(runs int, run func() error) (allocations, error) {
	least := allocations{}
	for try := range 3 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, err := timeRuns(runs, run); err != nil {
			return allocations{}, err
		}
		runtime.ReadMemStats(&after)
		counted := allocations{
			count: float64(after.Mallocs-before.Mallocs) / float64(runs),
			bytes: float64(after.TotalAlloc-before.TotalAlloc) / float64(runs),
		}
		if try == 0 || counted.count < least.count {
			least = counted
		}
	}
	return least, nil
}

// ratio gives the time of one contender over the time of another, round by round.
func (c *comparison) ratio(of, over string) spread { return ratio(c.nanos[of], c.nanos[over]) }

// ratio gives the spread of the ratios of values that belong together.
func ratio(of, over []float64) spread {
	ratios := make([]float64, len(of))
	for i := range of {
		ratios[i] = of[i] / over[i]
	}
	return spreadOf(ratios)
}

// floor is the name of the group's first contender.
func (c *comparison) floor() string { return c.group.contenders[0].name }

// spread is the median and the quartiles of what was measured in many rounds.
type spread struct{ median, low, high float64 }

func spreadOf(values []float64) spread {
	sorted := slices.Sorted(slices.Values(values))
	return spread{median: quantile(sorted, 0.5), low: quantile(sorted, 0.25), high: quantile(sorted, 0.75)}
}

// quantile takes the value at q (0 to 1) of sorted values, between two of them where it
// falls there. It is 0 where there are none.
func quantile(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	at := q * float64(len(sorted)-1)
	below := int(at)
	above := min(below+1, len(sorted)-1)
	return sorted[below] + (at-float64(below))*(sorted[above]-sorted[below])
}
