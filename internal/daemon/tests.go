package daemon

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"testing"
)

// NotInstalled is an error that says what must be installed first.
type NotInstalled string

func (e NotInstalled) Error() string { return string(e) }

// ForTest starts a server for a test, after which it is gone. Where it is not installed the test is
// skipped, or fails if the variable of the environment holds anything.
func ForTest[S io.Closer](t testing.TB, requireVariable string, start func(context.Context) (S, error)) S {
	t.Helper()
	server, err := start(t.Context())
	if missing, ok := errors.AsType[NotInstalled](err); ok && os.Getenv(requireVariable) == "" {
		t.Skip(missing)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	return server
}

// ForAllTests is for TestMain: it starts a server, if one is installed, and sets the variable to
// its address, unless the variable holds another one. The function stops it again.
func ForAllTests[S io.Closer](
	ctx context.Context, variable string, start func(context.Context) (S, error), address func(S) string,
) (stop func() error, err error) {
	nothing := func() error { return nil }
	if os.Getenv(variable) != "" {
		return nothing, nil
	}
	server, err := start(ctx)
	if errors.As(err, new(NotInstalled)) { // the tests say so
		return nothing, nil
	}
	if err != nil {
		return nil, err
	}
	if err := os.Setenv(variable, address(server)); err != nil {
		return nil, errors.Join(err, server.Close())
	}
	return server.Close, nil
}

// TestDatabase makes a database, which is gone after the test, and gives its name. The statements
// that make and drop it end as options say.
func TestDatabase(t testing.TB, driver, address, createOptions, dropOptions string) string {
	t.Helper()
	admin, err := sql.Open(driver, address)
	if err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("test_%016x", rand.Uint64()) //nolint:gosec // no secret: two tests are not to meet
	if _, err := admin.ExecContext(t.Context(), "CREATE DATABASE "+name+createOptions); err != nil {
		_ = admin.Close()
		t.Fatalf("making a database: %v", err)
	}
	t.Cleanup(func() {
		_, err := admin.ExecContext(context.WithoutCancel(t.Context()), "DROP DATABASE "+name+dropOptions)
		if err := errors.Join(err, admin.Close()); err != nil {
			t.Errorf("removing the database: %v", err)
		}
	})
	return name
}

// RunTests runs tests while servers run for all of them, and gives the exit code. It is for
// TestMain: each function starts a server, and gives what stops it.
func RunTests(run func() int, servers ...func(context.Context) (stop func() error, err error)) (code int) {
	if len(servers) == 0 {
		return run()
	}
	stop, err := servers[0](context.Background())
	if err == nil {
		code = RunTests(run, servers[1:]...)
		err = stop()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "FAIL:", err)
		return 1
	}
	return code
}
