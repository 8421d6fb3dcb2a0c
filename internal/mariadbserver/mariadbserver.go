// Package mariadbserver starts an installed MariaDB for tests: with data of its own, on a free port
// of the loopback interface, where anyone on this machine may connect. Nothing of it outlives
// [Server.Close].
//
// A test that wants a database registers the driver: it imports github.com/go-sql-driver/mysql,
// which the root module does not depend on. Where MariaDB is not installed, tests are skipped, or
// fail if ITTYBIT_TEST_REQUIRE_MARIADB is set.
package mariadbserver

import (
	"context"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/ittybit/ittybit-go/internal/daemon"
)

// ErrNotInstalled is what [Start] gives where there is no MariaDB to start.
const ErrNotInstalled = daemon.NotInstalled("MariaDB is not installed: mariadbd and mariadb-install-db are neither in PATH nor in /usr/sbin " +
	"(on Debian and its relatives: apt-get install mariadb-server)")

// Server is a MariaDB server.
type Server struct {
	daemon.Daemon

	program string
	options []string
}

// Start makes a folder of data and starts a server on it, with further options of mariadbd's. The
// user root, as whom MariaDB does not run, has it run by the user mysql.
func Start(ctx context.Context, options ...string) (*Server, error) {
	program, ok := daemon.Find("mariadbd")
	install, installOK := daemon.Find("mariadb-install-db")
	if !ok || !installOK {
		return nil, ErrNotInstalled
	}
	s := &Server{program: program, options: options}
	s.Daemon = daemon.Daemon{ // SIGKILL is how it crashes
		Name: "MariaDB", Owner: "mysql", Unset: "MYSQL", Command: s.serve, StopSignal: syscall.SIGKILL,
	}
	err := s.Start(ctx, func() *exec.Cmd {
		return s.Program(ctx, install, "--no-defaults", "--datadir="+s.Data(), "--auth-root-authentication-method=normal",
			"--skip-test-db", "--skip-name-resolve")
	}, nil)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// DSN gives the address of a database in the form of github.com/go-sql-driver/mysql, for the
// superuser. An empty name is none.
func (s *Server) DSN(database string) string { return "root@tcp(" + s.Address() + ")/" + database }

func (s *Server) serve(ctx context.Context) *exec.Cmd {
	args := append([]string{
		"--no-defaults", "--datadir=" + s.Data(), "--bind-address=127.0.0.1", "--port=" + strconv.Itoa(s.Port),
		"--socket=" + filepath.Join(s.Dir, "socket"), "--pid-file=" + filepath.Join(s.Dir, "pid"), "--skip-name-resolve",
		"--innodb-buffer-pool-size=64M", "--max-connections=300",
	}, s.options...)
	return s.Program(ctx, s.program, args...)
}
