// Package mariadbtest gives tests a MariaDB database of their own. The test registers the driver:
// it imports github.com/go-sql-driver/mysql, which the root module does not depend on.
package mariadbtest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/ittybit/ittybit-go/internal/mariadbserver"
)

const (
	// serverVariable holds the DSN of a server, without a database, on which tests may make
	// databases.
	serverVariable = "ITTYBIT_TEST_MARIADB"
	// requireVariable, when it holds anything, has tests fail where they would be skipped for want
	// of MariaDB.
	requireVariable = "ITTYBIT_TEST_REQUIRE_MARIADB"
)

// Database makes a database and gives its DSN, without parameters: on the server at
// ITTYBIT_TEST_MARIADB, or else on one that is started for this test. Both are gone after the test.
// Where there is no MariaDB the test is skipped, or fails if ITTYBIT_TEST_REQUIRE_MARIADB is set.
func Database(t testing.TB) string {
	t.Helper()
	address := os.Getenv(serverVariable)
	if address == "" {
		address = Server(t).DSN("")
	}
	admin, err := sql.Open("mysql", address)
	if err != nil {
		t.Fatalf("mariadbtest: %v", err)
	}
	name := fmt.Sprintf("test_%016x", rand.Uint64()) //nolint:gosec // no secret: two tests are not to meet
	if _, err := admin.ExecContext(t.Context(), "CREATE DATABASE "+name+" CHARACTER SET utf8mb4"); err != nil {
		_ = admin.Close()
		t.Fatalf("mariadbtest: making a database: %v", err)
	}
	t.Cleanup(func() {
		_, err := admin.ExecContext(context.WithoutCancel(t.Context()), "DROP DATABASE "+name)
		if err := errors.Join(err, admin.Close()); err != nil {
			t.Errorf("mariadbtest: removing the database: %v", err)
		}
	})
	return strings.TrimSuffix(address, "/") + "/" + name
}

// ServerForAll is for TestMain: it starts one server for all tests of a package, which [Database]
// then uses, where none is given and one is installed. The function stops it again.
func ServerForAll(ctx context.Context) (stop func() error, err error) {
	stop = func() error { return nil }
	if os.Getenv(serverVariable) != "" {
		return stop, nil
	}
	server, err := mariadbserver.Start(ctx)
	switch {
	case errors.Is(err, mariadbserver.ErrNotInstalled): // the tests say so
		return stop, nil
	case err != nil:
		return nil, err
	}
	return server.Close, os.Setenv(serverVariable, server.DSN(""))
}

// Server starts a server for this test alone, to be stopped and started in it, with further options
// of mariadbd's. It is gone after the test. Where MariaDB is not installed the test is skipped, or
// fails if ITTYBIT_TEST_REQUIRE_MARIADB is set.
func Server(t testing.TB, options ...string) *mariadbserver.Server {
	t.Helper()
	server, err := mariadbserver.Start(t.Context(), options...)
	switch {
	case errors.Is(err, mariadbserver.ErrNotInstalled) && os.Getenv(requireVariable) == "":
		t.Skipf("needs MariaDB: %v", err)
	case err != nil:
		t.Fatalf("mariadbtest: %v", err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Errorf("mariadbtest: %v", err)
		}
	})
	return server
}
