package timing

import (
	"math"
	"slices"
)

// result is what the comparison of two classes has come to.
type result struct {
	median     float64 // of both, in nanoseconds
	difference float64 // of the means of the fast 90 percent, A − B, in nanoseconds
	t          float64 // the one furthest from zero, of all crops
}

// crops are the shares of the measurements that are looked at, from the fastest on. What
// interrupts a measurement only ever makes it slower.
var crops = []float64{0.5, 0.75, 0.9, 0.99, 1}

// compare compares the means of two samples, cropped at the same values.
func compare(a, b []float64) result {
	both := slices.Sorted(slices.Values(slices.Concat(a, b)))
	r := result{median: both[len(both)/2]}
	for _, share := range crops {
		limit := both[int(share*float64(len(both)-1))]
		x, y := momentsUpTo(a, limit), momentsUpTo(b, limit)
		if share == 0.9 {
			r.difference = x.mean - y.mean
		}
		if t := welch(x, y); math.Abs(t) > math.Abs(r.t) {
			r.t = t
		}
	}
	return r
}

type moments struct{ n, mean, variance float64 }

// momentsUpTo takes the values that are not above limit.
func momentsUpTo(sample []float64, limit float64) moments {
	var m moments
	var squares float64 // of the distances from the mean, by Welford's method
	for _, value := range sample {
		if value > limit {
			continue
		}
		m.n++
		distance := value - m.mean
		m.mean += distance / m.n
		squares += distance * (value - m.mean)
	}
	if m.n > 1 {
		m.variance = squares / (m.n - 1)
	}
	return m
}

// welch gives Welch's t: the difference of the means, in units of its own standard error.
func welch(a, b moments) float64 {
	if a.n < 2 || b.n < 2 {
		return 0
	}
	deviation := math.Sqrt(a.variance/a.n + b.variance/b.n)
	if deviation == 0 {
		if a.mean == b.mean {
			return 0
		}
		return math.Inf(int(math.Copysign(1, a.mean-b.mean)))
	}
	return (a.mean - b.mean) / deviation
}
