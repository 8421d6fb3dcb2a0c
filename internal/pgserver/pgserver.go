// Package pgserver starts an installed PostgreSQL for tests and demonstrations: with data of its
// own, on a free port of the loopback interface, where anyone on this machine may connect. Nothing
// of it outlives [Server.Close].
package pgserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// ErrNotInstalled is what [Start] gives where there is no PostgreSQL to start.
var ErrNotInstalled = errors.New("PostgreSQL is not installed: initdb and postgres are neither in PATH nor where its packages put them " +
	"(on Debian and its relatives: apt-get install postgresql)")

const (
	startTimeout = time.Minute
	stopTimeout  = 30 * time.Second
	portTries    = 5
	logTail      = 2 << 10 // bytes of a failed command's output that an error shows
)

// Server is a PostgreSQL server.
type Server struct {
	bin  string // the folder of initdb and postgres
	dir  string
	port int

	mu      sync.Mutex
	process *process // nil while it is stopped
}

// process is a running server.
type process struct {
	cmd    *exec.Cmd
	exited chan struct{} // closed when it has ended
}

// Start makes a database cluster in a temporary folder and starts a server on it. The user root, as
// whom PostgreSQL does not run, has it run by the user postgres.
func Start(ctx context.Context) (_ *Server, err error) {
	bin, err := find(packageFolders())
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "ittybit-postgres-")
	if err != nil {
		return nil, err
	}
	s := &Server{bin: bin, dir: dir}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if err := giveToOwner(dir); err != nil {
		return nil, err
	}
	initdb, err := s.command(ctx, "initdb", "-D", s.data(), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
	if err != nil {
		return nil, err
	}
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w: %s", err, tail(out))
	}
	for range portTries {
		if s.port, err = freePort(ctx); err != nil {
			return nil, err
		}
		// Between the two another process may have taken the port.
		if err = s.Resume(ctx); err == nil || ctx.Err() != nil {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

// URL gives the address of the database "postgres", for its superuser.
func (s *Server) URL() string {
	return fmt.Sprintf("postgres://postgres@127.0.0.1:%d/postgres?sslmode=disable", s.port)
}

// Pause stops the server at once, as a crash does: open connections are cut, open transactions
// lost. What was committed is there again after [Server.Resume]. Pausing a server that is stopped
// does nothing.
func (s *Server) Pause() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil {
		return nil
	}
	p := s.process
	s.process = nil
	if err := p.cmd.Process.Signal(syscall.SIGQUIT); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stopping PostgreSQL: %w", err)
	}
	select {
	case <-p.exited:
		return nil
	case <-time.After(stopTimeout):
		_ = p.cmd.Process.Kill()
		<-p.exited
		return errors.New("PostgreSQL did not stop, and was killed")
	}
}

// Resume starts the server again, on the same port with the same data, and waits until it takes
// connections.
func (s *Server) Resume(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process != nil {
		return nil
	}
	// The server outlives ctx, which is only for its start.
	cmd, err := s.command(context.WithoutCancel(ctx), "postgres", "-D", s.data(),
		"-c", "listen_addresses=127.0.0.1", "-c", "port="+strconv.Itoa(s.port), "-c", "unix_socket_directories=")
	if err != nil {
		return err
	}
	detach(cmd) // an interrupt from the terminal is for the program, which then stops the server
	output := new(lastBytes)
	cmd.Stdout, cmd.Stderr = output, output
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting PostgreSQL: %w", err)
	}
	p := &process{cmd: cmd, exited: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // how it ended is in its output
		close(p.exited)
	}()
	if err := s.waitUntilReady(ctx, p); err != nil {
		_ = cmd.Process.Signal(syscall.SIGQUIT)
		<-p.exited
		return fmt.Errorf("starting PostgreSQL: %w: %s", err, tail(output.bytes()))
	}
	s.process = p
	return nil
}

// waitUntilReady waits for the line by which the server tells pg_ctl, too, that it takes
// connections: the eighth of its lock file, whose first is the process that wrote it.
func (s *Server) waitUntilReady(ctx context.Context, p *process) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		content, _ := os.ReadFile(filepath.Join(s.data(), "postmaster.pid")) // not there yet
		lines := strings.Split(string(content), "\n")
		if len(lines) > 7 && strings.TrimSpace(lines[7]) == "ready" && strings.TrimSpace(lines[0]) == strconv.Itoa(p.cmd.Process.Pid) {
			return nil
		}
		select {
		case <-tick.C:
		case <-p.exited:
			return errors.New("it ended")
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Close stops the server and removes its data.
func (s *Server) Close() error {
	return errors.Join(s.Pause(), os.RemoveAll(s.dir))
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

// command is one of PostgreSQL's programs, to be run by the one who owns the data.
func (s *Server) command(ctx context.Context, name string, args ...string) (*exec.Cmd, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(s.bin, name), args...) //nolint:gosec // a program of the installed PostgreSQL
	cmd.Dir = s.dir
	// Nothing of the caller's own PostgreSQL (PGDATA, PGPORT and their like) is meant for this one.
	cmd.Env = slices.DeleteFunc(os.Environ(), func(variable string) bool { return strings.HasPrefix(variable, "PG") })
	if err := runAsOwner(cmd); err != nil {
		return nil, err
	}
	return cmd, nil
}

// packageFolders gives the patterns of the folders into which packages put PostgreSQL's programs.
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
		if isProgram(filepath.Join(folder, "initdb")) && isProgram(filepath.Join(folder, "postgres")) {
			return folder, nil
		}
	}
	return "", ErrNotInstalled
}

func isProgram(file string) bool {
	info, err := os.Stat(file)
	return err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0
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

func freePort(ctx context.Context) (int, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	port := listener.Addr().(*net.TCPAddr).Port //nolint:forcetypeassert,errcheck // of a TCP listener
	return port, listener.Close()
}

// lastBytes keeps the end of what is written to it.
type lastBytes struct {
	mu   sync.Mutex
	kept []byte
}

func (l *lastBytes) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.kept = append(l.kept, p...)
	if over := len(l.kept) - logTail; over > 0 {
		l.kept = slices.Delete(l.kept, 0, over)
	}
	return len(p), nil
}

func (l *lastBytes) bytes() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Clone(l.kept)
}

func tail(output []byte) string {
	output = bytes.TrimSpace(output)
	return string(output[max(0, len(output)-logTail):])
}
