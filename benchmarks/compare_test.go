package main

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestQuantile(t *testing.T) {
	assert.Zero(t, quantile(nil, 0.5))
	assert.Equal(t, 7.0, quantile([]float64{7}, 0.99))
	assert.Equal(t, 2.5, quantile([]float64{1, 2, 3, 4}, 0.5))
	assert.Equal(t, 4.0, quantile([]float64{1, 2, 3, 4}, 1))
}

func TestRatio_isTakenRoundByRound(t *testing.T) {
	assert.Equal(t, spread{median: 2, low: 2, high: 2}, ratio([]float64{20, 200, 2}, []float64{10, 100, 1}), "noise that hits both does not show")
	assert.Equal(t, spread{median: 3, low: 2, high: 4}, ratio([]float64{5, 1, 3, 2, 4}, []float64{1, 1, 1, 1, 1}))
}

func TestCompare_givesEverybodyATurnInEachRound(t *testing.T) {
	var turns [2]int
	sink := make([]byte, 0)
	g := group{name: "g", contenders: []contender{
		{"idle", func() error { turns[0]++; time.Sleep(time.Millisecond); return nil }},
		{"busy", func() error { turns[1]++; sink = make([]byte, 1000); time.Sleep(3 * time.Millisecond); return nil }},
	}}
	c, err := compare(plan{rounds: 5}, g)
	require.NoError(t, err)
	assert.NotEmpty(t, sink)
	assert.Len(t, c.nanos["idle"], 5)
	assert.Len(t, c.nanos["busy"], 5)
	assert.Equal(t, "idle", c.floor())
	assert.GreaterOrEqual(t, c.wall["busy"][0], 3e6)
	assert.GreaterOrEqual(t, c.allocs["busy"].bytes, 1000.0)
	assert.Equal(t, turns[0], turns[1])
}

func TestCompare_endsWithItsBudgetButNotBeforeElevenRounds(t *testing.T) {
	g := group{contenders: []contender{{"one", func() error { return nil }}}}
	c, err := compare(plan{rounds: 1000, budget: -1}, g)
	require.NoError(t, err)
	assert.Len(t, c.nanos["one"], minRounds)
}

func TestCompare_failsWhereAContenderDoes(t *testing.T) {
	broken, left := errors.New("broken"), 3
	g := group{name: "g", contenders: []contender{{"weak", func() error {
		if left--; left < 0 {
			return broken
		}
		return nil
	}}}}
	_, err := compare(plan{rounds: 100, budget: time.Hour}, g)
	require.ErrorIs(t, err, broken)
	assert.ErrorContains(t, err, "g, weak")
}
