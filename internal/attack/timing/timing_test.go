package main

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestWelch(t *testing.T) {
	a, b := momentsUpTo([]float64{1, 2, 3, 4, 5, 99}, 50), momentsUpTo([]float64{2, 4, 6, 8, 10, 99}, 50)
	assert.Equal(t, moments{n: 5, mean: 3, variance: 2.5}, a)
	assert.Equal(t, moments{n: 5, mean: 6, variance: 10}, b)
	assert.InDelta(t, -3/math.Sqrt(2.5/5+10.0/5), welch(a, b), 1e-12)
	assert.Zero(t, welch(a, a))
	assert.Zero(t, welch(moments{n: 1}, b), "one value has no variance")
	assert.Equal(t, math.Inf(-1), welch(moments{n: 2, mean: 1}, moments{n: 2, mean: 2}))
}

// noisy makes times like a machine's: most about mean, some far above.
func noisy(random *rand.Rand, mean float64) []float64 {
	times := make([]float64, 100_000)
	for i := range times {
		times[i] = mean + 20*random.NormFloat64()
		if random.IntN(20) == 0 {
			times[i] += 10_000 * random.ExpFloat64()
		}
	}
	return times
}

func TestCompare_findsASmallDifferenceUnderNoise(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	r := compare(noisy(random, 400), noisy(random, 403))
	assert.Less(t, r.t, -float64(leaking))
	assert.InDelta(t, -3, r.difference, 1)
	assert.InDelta(t, 401.5, r.median, 5)
}

func TestCompare_findsNothingWhereNothingIs(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	r := compare(noisy(random, 400), noisy(random, 400))
	assert.Less(t, math.Abs(r.t), nothing)
}

func TestJudge(t *testing.T) {
	usual, control := &probe{}, &probe{leaks: true}
	for _, tt := range []struct {
		probe *probe
		t     float64
		good  bool
	}{
		{usual, 0, true}, {usual, -4, true}, {usual, 6, false}, {usual, -11, false}, {usual, math.Inf(1), false},
		{control, 100, true}, {control, -100, true}, {control, 0, false}, {control, 9, false},
	} {
		_, good := tt.probe.judge(result{t: tt.t})
		assert.Equal(t, tt.good, good, "%v, leaks: %v", tt.t, tt.probe.leaks)
	}
}

func TestAllProbes_measureWrongSignaturesOnly(t *testing.T) {
	probes, err := allProbes()
	require.NoError(t, err)
	controls := 0
	for _, p := range probes {
		assert.True(t, p.verify(p.signed), p.name)
		a, b := p.measure(5000, 1) // panics where a wrong signature is accepted
		assert.InDelta(t, 5000, len(a), 2500, p.name)
		assert.InDelta(t, 5000, len(b), 2500, p.name)
		if p.leaks {
			controls++
		}
	}
	assert.Equal(t, 1, controls)
}

func TestRun_printsALineForEachProbe(t *testing.T) {
	var out strings.Builder
	_, err := run(&out, 1000, 1) // what it finds with so few is chance
	require.NoError(t, err)
	assert.Equal(t, 2+6, strings.Count(out.String(), "\n"))
}
