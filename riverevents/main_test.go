package riverevents_test

import (
	"context"
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/ittybit/ittybit-go/internal/pgserver"
)

// serverVariable may hold the URL of a server that runs already.
const serverVariable = "ITTYBIT_TEST_POSTGRES"

// TestMain is also the entry of the processes that the crash test starts and kills. Where no server
// is given, it starts one for all tests; where none is installed, pgserver says so and skips.
func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		os.Exit(play(role))
	}
	stop, err := pgserver.ServerForAll(context.Background())
	if err != nil {
		fmt.Fprintln(os.Stderr, "FAIL:", err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m, goleak.IgnoreCurrent(), goleak.Cleanup(func(code int) {
		if err := stop(); err != nil {
			fmt.Fprintln(os.Stderr, "FAIL:", err)
			code = max(code, 1)
		}
		os.Exit(code)
	}))
}
