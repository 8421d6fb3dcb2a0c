package daemon

import (
	"context"
	"fmt"
	"os"
)

// RunTests runs tests while servers run for all of them, and gives the exit code. It is for
// TestMain: each function starts a server, and gives what stops it.
func RunTests(run func() int, servers ...func(context.Context) (stop func() error, err error)) (code int) {
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
	return run()
}
