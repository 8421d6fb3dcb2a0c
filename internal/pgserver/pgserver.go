// Package pgserver starts an installed PostgreSQL for tests: with data of its own, on a free port
// of the loopback interface, where anyone on this machine may connect. Nothing of it outlives
// [Server.Close].
//
// A test that wants a database registers the driver: it imports github.com/jackc/pgx/v5/stdlib,
// which the root module does not depend on. Where PostgreSQL, or PgBouncer, is not installed, tests
// are skipped, or fail if ITTYBIT_TEST_REQUIRE_POSTGRES is set.
package pgserver

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/ittybit/ittybit-go/internal/daemon"
)

// ErrNotInstalled is what [Start] gives where there is no PostgreSQL to start.
const ErrNotInstalled = daemon.NotInstalled("PostgreSQL is not installed: initdb and postgres are neither in PATH nor where its packages put them " +
	"(on Debian and its relatives: apt-get install postgresql)")

const owner = "postgres"

// Server is a PostgreSQL server. Its Pause stops it as a crash does: open transactions are lost,
// and what was committed is there again after Resume.
type Server struct {
	daemon.Daemon

	bin string // the folder of initdb and postgres
}

// Start makes a database cluster and starts a server on it. The user root, as whom PostgreSQL does
// not run, has it run by the user postgres.
func Start(ctx context.Context) (*Server, error) {
	return start(ctx, func(s *Server) *exec.Cmd {
		return s.program(ctx, "initdb", "-D", s.Data(), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
	})
}

// StartStandby starts a server on a copy of this one's data. It follows this one, and takes no
// writes, until the function pg_promote is called on it.
func (s *Server) StartStandby(ctx context.Context) (*Server, error) {
	return start(ctx, func(standby *Server) *exec.Cmd {
		return standby.program(ctx, "pg_basebackup", "-D", standby.Data(), "-d", s.URL(), "-R", "-c", "fast", "--no-sync")
	})
}

func start(ctx context.Context, makeData func(*Server) *exec.Cmd) (*Server, error) {
	bin, err := find(packageFolders())
	if err != nil {
		return nil, err
	}
	s := &Server{bin: bin}
	s.Daemon = daemon.Daemon{
		Name: "PostgreSQL", Owner: owner, Unset: "PG", Command: s.postgres, Ready: s.isReady, StopSignal: syscall.SIGQUIT,
	}
	if err := s.Start(ctx, func() *exec.Cmd { return makeData(s) }, nil); err != nil {
		return nil, err
	}
	return s, nil
}

// URL gives the address of the database "postgres", for its superuser.
func (s *Server) URL() string {
	return fmt.Sprintf("postgres://postgres@127.0.0.1:%d/postgres?sslmode=disable", s.Port)
}

func (s *Server) postgres(ctx context.Context) *exec.Cmd {
	return s.program(ctx, "postgres", "-D", s.Data(),
		"-c", "listen_addresses=127.0.0.1", "-c", "port="+strconv.Itoa(s.Port), "-c", "unix_socket_directories=")
}

// isReady reads the line by which the server tells pg_ctl, too, that it takes connections: the
// eighth of its lock file, whose first is the process that wrote it.
func (s *Server) isReady(pid int) bool {
	content, _ := os.ReadFile(filepath.Join(s.Data(), "postmaster.pid")) // not there yet
	lines := strings.Split(string(content), "\n")
	if len(lines) < 8 {
		return false
	}
	state := strings.TrimSpace(lines[7])
	return (state == "ready" || state == "standby") && strings.TrimSpace(lines[0]) == strconv.Itoa(pid)
}

func (s *Server) program(ctx context.Context, name string, args ...string) *exec.Cmd {
	return s.Program(ctx, filepath.Join(s.bin, name), args...)
}

func packageFolders() []string {
	return []string{
		"/usr/lib/postgresql/*/bin",                          // Debian
		"/usr/pgsql-*/bin",                                   // Red Hat
		"/opt/homebrew/opt/postgresql*/bin",                  // macOS
		"/usr/local/opt/postgresql*/bin",                     // macOS on Intel
		"/Applications/Postgres.app/Contents/Versions/*/bin", // macOS
	}
}

// find gives the folder that has initdb and postgres: that of PATH's initdb, which may be a link to
// it, or else the one with the highest number among those of the patterns.
func find(patterns []string) (string, error) {
	var folders []string
	if initdb, err := exec.LookPath("initdb"); err == nil {
		if target, err := filepath.EvalSymlinks(initdb); err == nil {
			folders = append(folders, filepath.Dir(target))
		}
	}
	for _, pattern := range patterns {
		found, _ := filepath.Glob(pattern) // the patterns are well-formed
		slices.SortFunc(found, func(a, b string) int { return versionIn(b) - versionIn(a) })
		folders = append(folders, found...)
	}
	for _, folder := range folders {
		if daemon.IsProgram(filepath.Join(folder, "initdb")) && daemon.IsProgram(filepath.Join(folder, "postgres")) {
			return folder, nil
		}
	}
	return "", ErrNotInstalled
}

// versionIn gives the last number in a path, or 0.
func versionIn(path string) int {
	digits := strings.FieldsFunc(path, func(r rune) bool { return r < '0' || r > '9' })
	if len(digits) == 0 {
		return 0
	}
	version, _ := strconv.Atoi(digits[len(digits)-1]) // too long: no version
	return version
}
