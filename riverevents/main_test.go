package riverevents_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/ittybit/ittybit-go/internal/pgserver"
)

// serverVariable holds the URL of a PostgreSQL server for tests.
const serverVariable = "ITTYBIT_TEST_POSTGRES"

// TestMain is also the entry of the processes that the crash test starts and kills. Where no server is given, it starts
// one for all tests; where none is installed, pgtest says so and skips.
func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		os.Exit(play(role))
	}
	stop := func() error { return nil }
	if os.Getenv(serverVariable) == "" {
		server, err := pgserver.Start(context.Background())
		switch {
		case err == nil:
			stop = server.Close
			err = os.Setenv(serverVariable, server.URL())
		case errors.Is(err, pgserver.ErrNotInstalled):
			err = nil
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "FAIL:", err)
			os.Exit(1)
		}
	}
	goleak.VerifyTestMain(m, goleak.IgnoreCurrent(), goleak.Cleanup(func(code int) {
		if err := stop(); err != nil {
			fmt.Fprintln(os.Stderr, "FAIL:", err)
			code = max(code, 1)
		}
		os.Exit(code)
	}))
}
