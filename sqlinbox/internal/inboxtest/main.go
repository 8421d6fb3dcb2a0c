package inboxtest

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/ittybit/ittybit-go/internal/pgserver/pgtest"
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
	os.Exit(runTests(m, append(servers, pgtest.ServerForAll)))
}

// runTests starts one server of each kind for all tests, where none is given and one is installed.
func runTests(m *testing.M, servers []func(context.Context) (func() error, error)) (code int) {
	before := runtime.NumGoroutine()
	defer func() { code = max(code, leftBehind(before)) }()
	var stops []func() error
	defer func() {
		for _, stop := range stops {
			if err := stop(); err != nil {
				fmt.Fprintln(os.Stderr, "FAIL:", err)
				code = 1
			}
		}
	}()
	for _, start := range servers {
		stop, err := start(context.Background())
		if err != nil {
			fmt.Fprintln(os.Stderr, "FAIL:", err)
			return 1
		}
		stops = append(stops, stop)
	}
	return m.Run()
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
