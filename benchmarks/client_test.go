package main

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestGetGroups_decodeTheTask(t *testing.T) {
	groups, stop, err := getGroups()
	require.NoError(t, err)
	defer stop()
	for _, g := range groups {
		for _, c := range g.contenders {
			assert.NoError(t, c.run(), "%s, %s", g.name, c.name)
		}
	}
}

// moreAllocationsOfGet is how many more allocations Tasks.Get may have than the same by hand, which has no retries
// and keeps nothing of the answer but its struct.
const moreAllocationsOfGet = 20

func TestAllocations_ofGet(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector adds allocations")
	}
	g, err := getGroup("memory", "http://127.0.0.1", memoryTransport{})
	require.NoError(t, err)
	counts := make([]float64, len(g.contenders))
	for i, c := range g.contenders {
		counts[i] = testing.AllocsPerRun(50, func() {
			if err := c.run(); err != nil {
				t.Error(err)
			}
		})
	}
	assert.LessOrEqual(t, counts[1], counts[0]+moreAllocationsOfGet)
}

func TestListTasks_seesEachTaskOnce(t *testing.T) {
	heaps, err := listTasks(2_050, 100, 1_000, 2_050)
	require.NoError(t, err)
	require.Len(t, heaps, 3)
	assert.Equal(t, 2_050, heaps[2].tasks)
	assert.Positive(t, heaps[2].bytes)
}

func TestDeduplicatorGroups_stayFullAndRememberTheirKeys(t *testing.T) {
	fresh, seen, err := deduplicatorGroups(1_000, 20_000)
	require.NoError(t, err)
	for i, g := range append(fresh, seen...) {
		for _, c := range g.contenders {
			for range []int{3_000, 50_000}[i%2] { // once round, and more
				require.NoError(t, c.run(), "%s, %s", g.name, c.name)
			}
		}
	}
}

func TestCompareContention_handlesEveryKeyOnce(t *testing.T) {
	results, err := compareContention(2, 5_000, []int{1, 8})
	require.NoError(t, err)
	for name, all := range results {
		for _, c := range all {
			require.Len(t, c.throughput, 2, name)
			assert.Positive(t, c.throughput[0], name)
			assert.Positive(t, c.p999[0], name)
		}
	}
}

func TestBytesPerKey_ofTheMemoryDeduplicator(t *testing.T) {
	const n = 100_000
	k := makeKeys(3)
	assert.Equal(t, "task:task_0000000002:completed", k.at(2))
	assert.Equal(t, k.at(0), k.at(3))
	each, err := bytesPerKey(newMemoryStore(n), n)
	require.NoError(t, err)
	assert.Positive(t, each)
	assert.LessOrEqual(t, each, 150.0)
}
