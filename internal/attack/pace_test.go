package attack

import (
	"crypto/sha256"
	"runtime"
	"slices"
	"sync"
	"time"
)

// The server's own timeouts, as SECURITY.md advises, where the machine has nothing else to do.
const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 7 * time.Second
	writeTimeout      = 10 * time.Second
	idleTimeout       = 10 * time.Second
	shutdownTimeout   = 15 * time.Second
)

// pace is by how much every timeout of the attack is longer, of the server and of its senders: 1,
// but where other processes leave so little of the machine that honest work would run into them.
var pace = 1

func paced(d time.Duration) time.Duration { return d * time.Duration(pace) }

// measurePace compares what work takes, for as many as will be busy, with what it takes where
// nothing interrupts it: a ratio, which does not depend on how fast the machine is.
func measurePace() int {
	const pieces, most = 64, 8
	piece := make([]byte, 1<<20)
	shortest := make([]time.Duration, busyAttackers)
	start := time.Now()
	var workers sync.WaitGroup
	for i := range shortest {
		workers.Go(func() {
			shortest[i] = time.Hour
			for range pieces {
				began := time.Now()
				_ = sha256.Sum256(piece)
				shortest[i] = min(shortest[i], time.Since(began))
			}
		})
	}
	workers.Wait()
	undisturbed := slices.Min(shortest) * pieces * busyAttackers / time.Duration(min(runtime.GOMAXPROCS(0), busyAttackers))
	return min(max(1, int(time.Since(start)/undisturbed)/2), most)
}
