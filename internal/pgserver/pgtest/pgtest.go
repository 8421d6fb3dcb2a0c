// Package pgtest gives tests a PostgreSQL database of their own. The test registers the driver: it
// imports github.com/jackc/pgx/v5/stdlib, which the root module does not depend on.
package pgtest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"testing"

	"github.com/ittybit/ittybit-go/internal/pgserver"
)

const (
	// serverVariable holds the URL of a server on which tests may make databases.
	serverVariable = "ITTYBIT_TEST_POSTGRES"
	// requireVariable, when it holds anything, has tests fail where they would be skipped for want
	// of PostgreSQL.
	requireVariable = "ITTYBIT_TEST_REQUIRE_POSTGRES"
)

// Database makes a database and gives its URL: on the server at ITTYBIT_TEST_POSTGRES, or else on
// one that is started for this test. Both are gone after the test. Where there is no PostgreSQL the
// test is skipped, or fails if ITTYBIT_TEST_REQUIRE_POSTGRES is set.
func Database(t testing.TB) string {
	t.Helper()
	address := os.Getenv(serverVariable)
	if address == "" {
		address = Server(t).URL()
	}
	admin, err := sql.Open("pgx", address)
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	name := fmt.Sprintf("test_%016x", rand.Uint64()) //nolint:gosec // no secret: two tests are not to meet
	if _, err := admin.ExecContext(t.Context(), "CREATE DATABASE "+name); err != nil {
		_ = admin.Close()
		t.Fatalf("pgtest: making a database: %v", err)
	}
	t.Cleanup(func() {
		_, err := admin.ExecContext(context.WithoutCancel(t.Context()), "DROP DATABASE "+name+" WITH (FORCE)")
		if err := errors.Join(err, admin.Close()); err != nil {
			t.Errorf("pgtest: removing the database: %v", err)
		}
	})
	own, err := url.Parse(address)
	if err != nil {
		t.Fatalf("pgtest: %s is not a URL", serverVariable)
	}
	own.Path = "/" + name
	return own.String()
}

// ServerForAll is for TestMain: it starts one server for all tests of a package, which [Database]
// then uses, where none is given and one is installed. The function stops it again.
func ServerForAll(ctx context.Context) (stop func() error, err error) {
	stop = func() error { return nil }
	if os.Getenv(serverVariable) != "" {
		return stop, nil
	}
	server, err := pgserver.Start(ctx)
	switch {
	case errors.Is(err, pgserver.ErrNotInstalled): // the tests say so
		return stop, nil
	case err != nil:
		return nil, err
	}
	return server.Close, os.Setenv(serverVariable, server.URL())
}

// Server starts a server for this test alone, to be stopped and started in it. It is gone after the
// test. Where PostgreSQL is not installed the test is skipped, or fails if
// ITTYBIT_TEST_REQUIRE_POSTGRES is set.
func Server(t testing.TB) *pgserver.Server {
	t.Helper()
	server, err := pgserver.Start(t.Context())
	switch {
	case errors.Is(err, pgserver.ErrNotInstalled) && os.Getenv(requireVariable) == "":
		t.Skipf("needs PostgreSQL: %v", err)
	case err != nil:
		t.Fatalf("pgtest: %v", err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Errorf("pgtest: %v", err)
		}
	})
	return server
}

// Standby starts a copy of a server, which follows it. It is gone after the test.
func Standby(t testing.TB, of *pgserver.Server) *pgserver.Server {
	t.Helper()
	standby, err := of.StartStandby(t.Context())
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	t.Cleanup(func() {
		if err := standby.Close(); err != nil {
			t.Errorf("pgtest: %v", err)
		}
	})
	return standby
}

// Pooler starts a PgBouncer in transaction mode in front of the server of a database's URL. It is
// gone after the test. Where PgBouncer is not installed the test is skipped, or fails if
// ITTYBIT_TEST_REQUIRE_POSTGRES is set.
func Pooler(t testing.TB, address string, connections int) *pgserver.Pooler {
	t.Helper()
	pooler, err := pgserver.StartPooler(t.Context(), address, connections)
	switch {
	case errors.Is(err, pgserver.ErrPoolerNotInstalled) && os.Getenv(requireVariable) == "":
		t.Skipf("needs PgBouncer: %v", err)
	case err != nil:
		t.Fatalf("pgtest: %v", err)
	}
	t.Cleanup(func() {
		if err := pooler.Close(); err != nil {
			t.Errorf("pgtest: %v", err)
		}
	})
	return pooler
}
