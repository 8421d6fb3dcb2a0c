//go:build !race

package benchmarks

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestAllocations_areNoMoreThanThePeers(t *testing.T) {
	for _, size := range sizes() {
		verify, parse := map[string]float64{}, map[string]float64{}
		for _, p := range peers() {
			body := p.payload(size.bytes)
			verifies, parses := p.verify(body), p.parse(body)
			verify[p.name] = allocations(t, func() error { return verifies(body) })
			parse[p.name] = allocations(t, func() error { return parses(body) })
		}
		assert.Zero(t, verify["ittybit-go"], size.name)
		for _, name := range []string{"baseline", "stripe-go", "openai-go"} { // those that parse
			assert.LessOrEqual(t, parse["ittybit-go"], parse[name], "%s, %s", size.name, name)
		}
	}
}

// Tasks.Get retries, and keeps what it does not know: that may take so many allocations more.
func TestAllocations_ofTasksGet(t *testing.T) {
	byHand, ours := gets(t, "http://127.0.0.1", &http.Client{Transport: memoryTransport{}})
	assert.LessOrEqual(t, allocations(t, ours), allocations(t, byHand)+20)
}

func allocations(t *testing.T, run func() error) float64 {
	return testing.AllocsPerRun(50, func() {
		if err := run(); err != nil {
			t.Error(err)
		}
	})
}
