package pgserver

import (
	"context"
	"net/url"
	"os"
	"testing"

	"github.com/ittybit/ittybit-go/internal/daemon"
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
		address = NewServer(t).URL()
	}
	own, err := url.Parse(address)
	if err != nil {
		t.Fatalf("pgserver: %s is not a URL", serverVariable)
	}
	own.Path = "/" + daemon.TestDatabase(t, "pgx", address, "", " WITH (FORCE)")
	return own.String()
}

// ServerForAll is for TestMain: it starts one server for all tests of a package, which [Database]
// then uses, where none is given and one is installed. The function stops it again.
func ServerForAll(ctx context.Context) (stop func() error, err error) {
	return daemon.ForAllTests(ctx, serverVariable, Start, (*Server).URL)
}

// NewServer starts a server for this test alone, to be stopped and started in it. It is gone after
// the test.
func NewServer(t testing.TB) *Server {
	t.Helper()
	return daemon.ForTest(t, requireVariable, Start)
}

// NewStandby starts a copy of a server, which follows it. It is gone after the test.
func NewStandby(t testing.TB, of *Server) *Server {
	t.Helper()
	return daemon.ForTest(t, requireVariable, of.StartStandby)
}

// NewPooler starts a PgBouncer in transaction mode in front of the server of a database's URL. It
// is gone after the test.
func NewPooler(t testing.TB, address string, connections int) *Pooler {
	t.Helper()
	return daemon.ForTest(t, requireVariable, func(ctx context.Context) (*Pooler, error) {
		return StartPooler(ctx, address, connections)
	})
}
