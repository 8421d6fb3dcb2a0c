package mariadbserver

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/ittybit/ittybit-go/internal/daemon"
)

// serverVariable holds the DSN of a server, without a database, on which tests may make databases.
const serverVariable = "ITTYBIT_TEST_MARIADB"

// Database makes a database and gives its DSN, without parameters: on the server at
// ITTYBIT_TEST_MARIADB, or else on one that is started for this test. Both are gone after the test.
func Database(t testing.TB) string {
	t.Helper()
	address := os.Getenv(serverVariable)
	if address == "" {
		address = NewServer(t).DSN("")
	}
	return strings.TrimSuffix(address, "/") + "/" + daemon.TestDatabase(t, "mysql", address, " CHARACTER SET utf8mb4", "")
}

// ServerForAll is for TestMain: it starts one server for all tests of a package, which [Database]
// then uses, where none is given and one is installed. The function stops it again.
func ServerForAll(ctx context.Context) (stop func() error, err error) {
	return daemon.ForAllTests(ctx, serverVariable, with(nil), func(s *Server) string { return s.DSN("") })
}

// NewServer starts a server for this test alone, to be stopped and started in it, with further
// options of mariadbd's. It is gone after the test.
func NewServer(t testing.TB, options ...string) *Server {
	t.Helper()
	return daemon.ForTest(t, "ITTYBIT_TEST_REQUIRE_MARIADB", with(options))
}

func with(options []string) func(context.Context) (*Server, error) {
	return func(ctx context.Context) (*Server, error) { return Start(ctx, options...) }
}
