package proxies

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestShutdown_losesNothing shuts one of two processes down under load, and starts it again.
// What is answered 200 was handled, once.
func TestShutdown_losesNothing(t *testing.T) {
	for _, f := range fronts {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			work := 10 * time.Millisecond
			first, second := startBackend(t, backendConfig{work: work}), startBackend(t, backendConfig{work: work})
			address := f.start(t, settings{}, first.address, second.address)
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			var senders sync.WaitGroup
			var mu sync.Mutex
			statuses := make(map[string]int)
			for n := range 8 {
				senders.Go(func() {
					s := &sender{address: address}
					defer s.close()
					for i := 0; ctx.Err() == nil; i++ {
						d := good(fmt.Sprintf("task_%d_%d", n, i))
						d.keep = true
						got := s.post(t.Context(), d) //nolint:contextcheck // what was begun is finished
						mu.Lock()
						statuses[d.id] = got.status
						mu.Unlock()
					}
				})
			}
			for deadline := time.Now().Add(waitLimit); first.total() < 10 || second.total() < 10; {
				require.True(t, time.Now().Before(deadline), "both processes get deliveries")
				time.Sleep(10 * time.Millisecond)
			}
			limit, cancel := context.WithTimeout(t.Context(), waitLimit)
			defer cancel()
			require.NoError(t, first.server.Shutdown(limit))
			time.Sleep(300 * time.Millisecond)
			restarted := startBackend(t, backendConfig{work: work, address: first.address})
			time.Sleep(500 * time.Millisecond)
			stop()
			senders.Wait()

			acknowledged, others := 0, 0
			for id, status := range statuses {
				handled := first.count(id) + second.count(id) + restarted.count(id)
				assert.LessOrEqual(t, handled, 1, "%s is handled twice", id)
				if status == http.StatusOK {
					acknowledged++
					assert.Equal(t, 1, handled, "%s is acknowledged", id)
				} else {
					others++
				}
			}
			assert.Positive(t, first.total(), "deliveries to the process that is shut down")
			assert.Positive(t, second.total())
			assert.Positive(t, acknowledged)
			t.Logf("%d acknowledged, %d to be delivered again", acknowledged, others)
		})
	}
}
