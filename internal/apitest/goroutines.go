package apitest

import (
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"runtime/pprof"
	"slices"
	"strings"
	"testing"
	"time"
)

// Main runs the tests of a package, and fails where one has left a goroutine behind. What goes to
// the default log without a test that reads it is not shown.
func Main(m *testing.M) {
	slog.SetDefault(slog.New(slog.DiscardHandler))
	code := m.Run()
	if left := goroutinesLeft(10 * time.Second); len(left) > 0 {
		fmt.Fprintf(os.Stderr, "FAIL: %d goroutines are left after the tests:\n\n%s\n", len(left), strings.Join(left, "\n\n"))
		code = max(code, 1)
	}
	os.Exit(code)
}

// goroutinesLeft gives the stacks of the goroutines that are still there after a grace
// period, in which those that are about to end may do so.
func goroutinesLeft(grace time.Duration) []string {
	for deadline := time.Now().Add(grace); ; time.Sleep(5 * time.Millisecond) {
		http.DefaultClient.CloseIdleConnections()
		left := foreignGoroutines()
		if len(left) == 0 || time.Now().After(deadline) {
			return left
		}
	}
}

// foreignGoroutines gives the stacks of all goroutines but this one and those that
// belong to the process: each of these has a root of its own.
func foreignGoroutines() []string {
	var all strings.Builder
	_ = pprof.Lookup("goroutine").WriteTo(&all, 2) // to memory
	stacks := strings.Split(strings.TrimSpace(all.String()), "\n\n")
	return slices.DeleteFunc(stacks[1:], ownedByTheProcess) // the first is this goroutine
}

// ownedByTheProcess knows what Go itself starts and never ends. The runtime's own
// goroutines are not in the stacks of runtime.Stack.
func ownedByTheProcess(stack string) bool {
	for _, root := range []string{
		"\nos/signal.loop(",                    // the fuzzer and go test -timeout listen for signals
		"\ntesting/internal/testdeps.",         // the fuzzer's coordinator
		"\ncreated by runtime/pprof.",          // a profile that -cpuprofile asked for
		"\ncreated by runtime/trace.Start",     // -trace
		"\ncreated by testing.(*M).startAlarm", // -timeout
	} {
		if strings.Contains(stack, root) {
			return true
		}
	}
	return false
}
