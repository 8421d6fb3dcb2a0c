// Package mariadbserver starts an installed MariaDB for tests and demonstrations: with data of its
// own, on a free port of the loopback interface, where anyone on this machine may connect. Nothing
// of it outlives [Server.Close].
package mariadbserver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/ittybit/ittybit-go/internal/daemon"
)

// ErrNotInstalled is what [Start] gives where there is no MariaDB to start.
var ErrNotInstalled = errors.New("MariaDB is not installed: mariadbd and mariadb-install-db are neither in PATH nor in /usr/sbin " +
	"(on Debian and its relatives: apt-get install mariadb-server)")

// owner is as whom root has MariaDB run: the user that its packages make. MariaDB refuses to run as
// root.
const owner = "mysql"

// Server is a MariaDB server.
type Server struct {
	daemon.Daemon

	program string
	dir     string
	options []string
}

// Start makes a folder of data and starts a server on it, with further options of mariadbd's.
func Start(ctx context.Context, options ...string) (_ *Server, err error) {
	program, ok := daemon.Find("mariadbd")
	install, installOK := daemon.Find("mariadb-install-db")
	if !ok || !installOK {
		return nil, ErrNotInstalled
	}
	dir, err := os.MkdirTemp("", "ittybit-mariadb-")
	if err != nil {
		return nil, err
	}
	s := &Server{program: program, dir: dir, options: options}
	s.Daemon = daemon.Daemon{Name: "MariaDB", Owner: owner, Command: s.serve, StopSignal: syscall.SIGKILL} // which is how it crashes
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if err := daemon.Give(dir, owner); err != nil {
		return nil, err
	}
	cmd := s.command(ctx, install, "--no-defaults", "--datadir="+s.data(), "--auth-root-authentication-method=normal",
		"--skip-test-db", "--skip-name-resolve")
	if err := daemon.RunAs(cmd, owner); err != nil {
		return nil, err
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("mariadb-install-db: %w: %s", err, daemon.Tail(out))
	}
	err = s.StartOnFreePort(ctx, nil)
	return s, err
}

// DSN gives the address of a database in the form of github.com/go-sql-driver/mysql, for the
// superuser. An empty name is none.
func (s *Server) DSN(database string) string { return "root@tcp(" + s.Address() + ")/" + database }

func (s *Server) serve(ctx context.Context) *exec.Cmd {
	args := append([]string{
		"--no-defaults", "--datadir=" + s.data(), "--bind-address=127.0.0.1", "--port=" + strconv.Itoa(s.Port),
		"--socket=" + filepath.Join(s.dir, "socket"), "--pid-file=" + filepath.Join(s.dir, "pid"), "--skip-name-resolve",
		"--innodb-buffer-pool-size=64M", "--max-connections=300",
	}, s.options...)
	return s.command(ctx, s.program, args...)
}

// Close stops the server and removes its data.
func (s *Server) Close() error { return errors.Join(s.Pause(), os.RemoveAll(s.dir)) }

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

// command is one of MariaDB's programs, to be run by the one who owns the data.
func (s *Server) command(ctx context.Context, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, program, args...) //nolint:gosec // a program of the installed MariaDB
	cmd.Dir = s.dir
	cmd.Env = daemon.Environ("MYSQL") // MYSQL_HOME and its like
	return cmd
}
