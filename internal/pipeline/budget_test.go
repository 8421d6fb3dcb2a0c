package pipeline

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestBudget_isRefilledBySuccessesAndByTime(t *testing.T) {
	now := time.Unix(0, 0)
	var all budgets
	b := all.of("api.example")
	takeAll := func() (n int) {
		for b.take(now) {
			n++
		}
		return n
	}
	assert.Equal(t, budgetSize, takeAll())
	all.succeeded("api.example")
	all.succeeded("api.example")
	assert.Equal(t, 2, takeAll(), "one for each success")
	now = now.Add(7*time.Second + 500*time.Millisecond)
	assert.Equal(t, 7, takeAll(), "one a second")
	now = now.Add(500 * time.Millisecond)
	assert.Equal(t, 1, takeAll())
	now = now.Add(24 * time.Hour)
	assert.Equal(t, budgetSize, takeAll(), "never more than it holds")
	now = now.Add(-time.Hour)
	assert.False(t, b.take(now), "a clock that goes back gives nothing")
}

func TestBudgets_areOneForEachHostAndBounded(t *testing.T) {
	now := time.Unix(0, 0)
	var all budgets
	first := all.of("a")
	for first.take(now) {
		continue
	}
	assert.Same(t, first, all.of("a"))
	assert.True(t, all.of("b").take(now), "another host has its own")
	all.succeeded("c")
	assert.Len(t, all.byHost, 2, "one that has taken none needs none")
	for i := range 3 * maxBudgets {
		all.of(string(rune('a' + i)))
	}
	assert.LessOrEqual(t, len(all.byHost), maxBudgets)
}
