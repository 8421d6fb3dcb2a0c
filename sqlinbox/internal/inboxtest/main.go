package inboxtest

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/ittybit/ittybit-go/internal/daemon"
	"github.com/ittybit/ittybit-go/internal/pgserver"
)

// Main is for TestMain: it runs the tests, or the receiver that one of them has started. It fails
// where the tests leave a goroutine behind. The functions start servers for all tests, beside
// PostgreSQL, and give what stops them.
func Main(m *testing.M, servers ...func(context.Context) (stop func() error, err error)) {
	if setup := os.Getenv(receiverVariable); setup != "" {
		if err := runReceiver(setup); err != nil {
			fmt.Fprintln(os.Stderr, "receiver:", err)
			os.Exit(1)
		}
		return
	}
	before := runtime.NumGoroutine()
	code := daemon.RunTests(m.Run, append(servers, pgserver.ServerForAll)...)
	os.Exit(max(code, leftBehind(before)))
}

// leftBehind gives 1 where there are more goroutines than before, after a while.
func leftBehind(before int) int {
	for deadline := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<20)
			fmt.Fprintf(os.Stderr, "FAIL: goroutines are left after the tests:\n\n%s\n", stacks[:runtime.Stack(stacks, true)])
			return 1
		}
	}
	return 0
}
