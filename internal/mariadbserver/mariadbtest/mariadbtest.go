// Package mariadbtest gives tests a MariaDB database of their own. The test registers the driver:
// it imports github.com/go-sql-driver/mysql, which the root module does not depend on. Where
// MariaDB is not installed, tests are skipped, or fail if ITTYBIT_TEST_REQUIRE_MARIADB is set.
package mariadbtest

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/ittybit/ittybit-go/internal/daemon"
	"github.com/ittybit/ittybit-go/internal/mariadbserver"
)

// serverVariable holds the DSN of a server, without a database, on which tests may make databases.
const serverVariable = "ITTYBIT_TEST_MARIADB"

// Database makes a database and gives its DSN, without parameters: on the server at
// ITTYBIT_TEST_MARIADB, or else on one that is started for this test. Both are gone after the test.
func Database(t testing.TB) string {
	t.Helper()
	address := os.Getenv(serverVariable)
	if address == "" {
		address = Server(t).DSN("")
	}
	return strings.TrimSuffix(address, "/") + "/" + daemon.TestDatabase(t, "mysql", address, " CHARACTER SET utf8mb4", "")
}

// ServerForAll is for TestMain: it starts one server for all tests of a package, which [Database]
// then uses, where none is given and one is installed. The function stops it again.
func ServerForAll(ctx context.Context) (stop func() error, err error) {
	return daemon.ForAllTests(ctx, serverVariable, start(), func(s *mariadbserver.Server) string { return s.DSN("") })
}

// Server starts a server for this test alone, to be stopped and started in it, with further options
// of mariadbd's. It is gone after the test.
func Server(t testing.TB, options ...string) *mariadbserver.Server {
	t.Helper()
	return daemon.ForTest(t, "ITTYBIT_TEST_REQUIRE_MARIADB", start(options...))
}

func start(options ...string) func(context.Context) (*mariadbserver.Server, error) {
	return func(ctx context.Context) (*mariadbserver.Server, error) {
		return mariadbserver.Start(ctx, options...)
	}
}
