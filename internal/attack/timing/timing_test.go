// Package timing looks for a difference in the time that WebhookVerifier.Verify takes, which hangs
// on where a signature is wrong: who can measure such a difference can find a signature byte by
// byte.
//
//	ITTYBIT_TEST_TIMING=1000000 \
//	  go test -count=1 -v -timeout=1h -run=TestVerify ./internal/attack/timing
//
// For each pair of classes of headers it measures single calls in random order, crops the slow
// ones, which belong to the machine and not to the code, and compares the means by Welch's t test,
// as dudect does. A |t| above 10 is a leak; one below 4.5 is none that so many measurements can
// show. Two pairs are controls, without which the others would say nothing: a pair of the same
// class must show nothing, and a comparison that ends at the first wrong byte must be found out.
package timing

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The limits of |t|, as dudect has them.
const (
	nothing = 4.5
	leaking = 10
)

// measurementsVariable says how many calls of each class are measured. A million, on an idle
// machine, give a result that means something; without it they are so few that the result is
// chance.
const measurementsVariable = "ITTYBIT_TEST_TIMING"

func TestVerify_takesTheSameTimeWhereverASignatureIsWrong(t *testing.T) {
	measurements, err := strconv.Atoi(cmp.Or(os.Getenv(measurementsVariable), "1000"))
	require.NoError(t, err, measurementsVariable)
	table, sound := run(t, measurements)
	t.Log("\n" + table)
	assert.Equal(t, 2+6, strings.Count(table, "\n"))
	if os.Getenv(measurementsVariable) != "" {
		assert.True(t, sound)
	}
}

// run measures all pairs and gives a table of them. It reports whether all is as it should be.
func run(t *testing.T, measurements int) (table string, sound bool) {
	t.Helper()
	probes, err := allProbes()
	require.NoError(t, err)
	var out strings.Builder
	_, _ = fmt.Fprintf(&out, "| %d calls of each class | median | A − B | greatest \\|t\\| | |\n|---|---|---|---|---|\n", measurements)
	sound = true
	for _, p := range probes {
		a, b := p.measure(measurements, 1)
		r := compare(a, b)
		meaning, good := p.classify(r)
		sound = sound && good
		_, _ = fmt.Fprintf(&out, "| %s | %.0f ns | %+.2f ns | %.1f | %s |\n", p.name, r.median, r.difference, r.t, meaning)
	}
	return out.String(), sound
}

// classify says what the result means, and whether it is what it should be.
func (p *probe) classify(r result) (meaning string, good bool) {
	switch found := math.Abs(r.t); {
	case p.leaks && found > leaking:
		return "found, as it should be", true
	case p.leaks:
		return "NOT FOUND: the probe is blind", false
	case found > leaking:
		return "A LEAK", false
	case found > nothing:
		return "unclear: measure again, with more", false
	default:
		return "nothing", true
	}
}

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

func TestClassify(t *testing.T) {
	usual, control := &probe{}, &probe{leaks: true}
	for _, tt := range []struct {
		probe *probe
		t     float64
		good  bool
	}{
		{usual, 0, true}, {usual, -4, true}, {usual, 6, false}, {usual, -11, false}, {usual, math.Inf(1), false},
		{control, 100, true}, {control, -100, true}, {control, 0, false}, {control, 9, false},
	} {
		_, good := tt.probe.classify(result{t: tt.t})
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
