package pgserver

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"github.com/ittybit/ittybit-go/internal/daemon"
)

// ErrPoolerNotInstalled is what [StartPooler] gives where there is no PgBouncer to start.
const ErrPoolerNotInstalled = daemon.NotInstalled("PgBouncer is not installed: pgbouncer is neither in PATH nor in /usr/sbin " +
	"(on Debian and its relatives: apt-get install pgbouncer)")

// Pooler is a PgBouncer in front of a server, in transaction mode: each transaction is given one of
// its few connections to the server, whichever is free. Who gets none is refused after 3 s, as
// docs/stores.md advises.
type Pooler struct {
	daemon.Daemon

	program string
}

// StartPooler starts a PgBouncer in front of the server at address, a URL, with so many connections
// to it.
func StartPooler(ctx context.Context, address string, connections int) (*Pooler, error) {
	program, ok := daemon.Find("pgbouncer")
	if !ok {
		return nil, ErrPoolerNotInstalled
	}
	server, err := url.Parse(address)
	if err != nil {
		return nil, errors.New("the address of PostgreSQL is not a URL")
	}
	p := &Pooler{program: program}
	p.Daemon = daemon.Daemon{Name: "PgBouncer", Owner: owner, Unset: "PG", Command: p.serve, StopSignal: syscall.SIGTERM}
	if err := p.Start(ctx, nil, func() error { return p.configure(server, connections) }); err != nil {
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
query_wait_timeout = 3
`, server.Hostname(), server.Port(), server.User.Username(), p.Port, connections)
	return os.WriteFile(p.file(), []byte(text), 0o644) //nolint:gosec // PgBouncer runs as another user, and it is no secret
}

func (p *Pooler) file() string { return filepath.Join(p.Dir, "pgbouncer.ini") }

func (p *Pooler) serve(ctx context.Context) *exec.Cmd {
	return p.Program(ctx, p.program, p.file())
}

// URL gives the address of a server's database by way of the pooler.
func (p *Pooler) URL(address string) string {
	own, err := url.Parse(address)
	if err != nil {
		return address
	}
	own.Host = p.Address()
	return own.String()
}
