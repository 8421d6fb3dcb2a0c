// Package pgtest gives tests a PostgreSQL database of their own. The test registers the driver: it
// imports github.com/jackc/pgx/v5/stdlib, which the root module does not depend on. Where
// PostgreSQL, or PgBouncer, is not installed, tests are skipped, or fail if
// ITTYBIT_TEST_REQUIRE_POSTGRES is set.
package pgtest

import (
	"context"
	"net/url"
	"os"
	"testing"

	"github.com/ittybit/ittybit-go/internal/daemon"
	"github.com/ittybit/ittybit-go/internal/pgserver"
)

const (
	// serverVariable holds the URL of a server on which tests may make databases.
	serverVariable  = "ITTYBIT_TEST_POSTGRES"
	requireVariable = "ITTYBIT_TEST_REQUIRE_POSTGRES"
)

// Database makes a database and gives its URL: on the server at ITTYBIT_TEST_POSTGRES, or else on
// one that is started for this test. Both are gone after the test.
func Database(t testing.TB) string {
	t.Helper()
	address := os.Getenv(serverVariable)
	if address == "" {
		address = Server(t).URL()
	}
	own, err := url.Parse(address)
	if err != nil {
		t.Fatalf("pgtest: %s is not a URL", serverVariable)
	}
	own.Path = "/" + daemon.TestDatabase(t, "pgx", address, "", " WITH (FORCE)")
	return own.String()
}

// ServerForAll is for TestMain: it starts one server for all tests of a package, which [Database]
// then uses, where none is given and one is installed. The function stops it again.
func ServerForAll(ctx context.Context) (stop func() error, err error) {
	return daemon.ForAllTests(ctx, serverVariable, pgserver.Start, (*pgserver.Server).URL)
}

// Server starts a server for this test alone, to be stopped and started in it. It is gone after the
// test.
func Server(t testing.TB) *pgserver.Server {
	t.Helper()
	return daemon.ForTest(t, requireVariable, pgserver.Start)
}

// Standby starts a copy of a server, which follows it. It is gone after the test.
func Standby(t testing.TB, of *pgserver.Server) *pgserver.Server {
	t.Helper()
	return daemon.ForTest(t, requireVariable, of.StartStandby)
}

// Pooler starts a PgBouncer in transaction mode in front of the server of a database's URL. It is
// gone after the test.
func Pooler(t testing.TB, address string, connections int) *pgserver.Pooler {
	t.Helper()
	return daemon.ForTest(t, requireVariable, func(ctx context.Context) (*pgserver.Pooler, error) {
		return pgserver.StartPooler(ctx, address, connections)
	})
}
