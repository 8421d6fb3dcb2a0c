package pgserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// ErrPoolerNotInstalled is what [StartPooler] gives where there is no PgBouncer to start.
var ErrPoolerNotInstalled = errors.New("PgBouncer is not installed: pgbouncer is neither in PATH nor in /usr/sbin " +
	"(on Debian and its relatives: apt-get install pgbouncer)")

// Pooler is a PgBouncer in front of a server, in transaction mode: each transaction is given one of
// its few connections to the server, whichever is free.
type Pooler struct {
	program string
	dir     string
	port    int

	mu      sync.Mutex
	process *process // nil while it is stopped
}

// StartPooler starts a PgBouncer in front of the server at address, a URL, with so many connections
// to it.
func StartPooler(ctx context.Context, address string, connections int) (_ *Pooler, err error) {
	program, err := exec.LookPath("pgbouncer")
	if err != nil {
		program = "/usr/sbin/pgbouncer" // which is not in everybody's PATH
		if !isProgram(program) {
			return nil, ErrPoolerNotInstalled
		}
	}
	server, err := url.Parse(address)
	if err != nil {
		return nil, errors.New("the address of PostgreSQL is not a URL")
	}
	dir, err := os.MkdirTemp("", "ittybit-pgbouncer-")
	if err != nil {
		return nil, err
	}
	p := &Pooler{program: program, dir: dir}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.Close())
		}
	}()
	for range portTries {
		if p.port, err = freePort(ctx); err != nil {
			return nil, err
		}
		err = p.configure(server, connections)
		if err != nil {
			return nil, err
		}
		// Between the two another process may have taken the port.
		if err = p.Resume(ctx); err == nil || ctx.Err() != nil {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	return p, nil
}

func (p *Pooler) configure(server *url.URL, connections int) error {
	text := fmt.Sprintf(`[databases]
* = host=%s port=%s user=%s
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = %d
max_client_conn = 400
`, server.Hostname(), server.Port(), server.User.Username(), p.port, connections)
	if err := os.WriteFile(p.file(), []byte(text), 0o644); err != nil { //nolint:gosec // PgBouncer runs as another user, and it is no secret
		return err
	}
	return os.Chmod(p.dir, 0o755) //nolint:gosec // as above
}

func (p *Pooler) file() string { return filepath.Join(p.dir, "pgbouncer.ini") }

// URL gives the address of a server's database by way of the pooler.
func (p *Pooler) URL(address string) string {
	own, err := url.Parse(address)
	if err != nil {
		return address
	}
	own.Host = net.JoinHostPort("127.0.0.1", strconv.Itoa(p.port))
	return own.String()
}

// Pause stops the pooler at once: every connection of a client is cut.
func (p *Pooler) Pause() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.process == nil {
		return nil
	}
	running := p.process
	p.process = nil
	if err := running.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stopping PgBouncer: %w", err)
	}
	select {
	case <-running.exited:
		return nil
	case <-time.After(stopTimeout):
		_ = running.cmd.Process.Kill()
		<-running.exited
		return errors.New("PgBouncer did not stop, and was killed")
	}
}

// Resume starts the pooler again, on the same port, and waits until it takes connections.
func (p *Pooler) Resume(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.process != nil {
		return nil
	}
	// The pooler outlives ctx, which is only for its start.
	cmd := exec.CommandContext(context.WithoutCancel(ctx), p.program, p.file()) //nolint:gosec // the installed PgBouncer
	cmd.Dir = p.dir
	if err := runAsOwner(cmd); err != nil {
		return err
	}
	detach(cmd)
	output := new(lastBytes)
	cmd.Stdout, cmd.Stderr = output, output
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting PgBouncer: %w", err)
	}
	running := &process{cmd: cmd, exited: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // how it ended is in its output
		close(running.exited)
	}()
	if err := p.waitUntilReady(ctx, running); err != nil {
		_ = cmd.Process.Kill()
		<-running.exited
		return fmt.Errorf("starting PgBouncer: %w: %s", err, tail(output.bytes()))
	}
	p.process = running
	return nil
}

func (p *Pooler) waitUntilReady(ctx context.Context, running *process) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(p.port)))
		if err == nil {
			return conn.Close()
		}
		select {
		case <-tick.C:
		case <-running.exited:
			return errors.New("it ended")
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Close stops the pooler and removes its files.
func (p *Pooler) Close() error { return errors.Join(p.Pause(), os.RemoveAll(p.dir)) }
