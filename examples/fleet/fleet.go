package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/ittybit/ittybit-go"
)

// stopTimeout is how long a member may take to finish what it has begun.
const stopTimeout = 10 * time.Second

// fleet is the processes that are led, and what they report.
type fleet struct {
	environment []string

	mu       sync.Mutex
	members  []*member
	turn     int // of the proxy
	outcomes map[string]map[ittybit.Outcome]int
	killed   int
}

// member is a process.
type member struct {
	role    string
	address string // of an endpoint
	cmd     *exec.Cmd
	stdin   io.Closer     // a member whose stdin ends, ends
	left    chan struct{} // closed when it has ended
}

// report is a line that a member writes.
type report struct {
	Address string          `json:"address,omitempty"` // the first line: it is ready
	Outcome ittybit.Outcome `json:"outcome,omitempty"`
}

// start starts a member, and waits until it is ready.
func (f *fleet) start(ctx context.Context, role string) error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(context.WithoutCancel(ctx), program, role) //nolint:gosec // this program itself
	cmd.Env = append(os.Environ(), f.environment...)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	m := &member{role: role, cmd: cmd, stdin: stdin, left: make(chan struct{})}
	ready := make(chan string, 1)
	go func() {
		defer close(m.left)
		f.listen(m, stdout, ready)
		_ = cmd.Wait() // how it ended is of no interest: it may have been killed
	}()
	f.mu.Lock()
	f.members = append(f.members, m)
	f.mu.Unlock()
	select {
	case address := <-ready:
		f.mu.Lock()
		defer f.mu.Unlock()
		m.address = address
		return nil
	case <-m.left:
		return fmt.Errorf("a new %s has ended at once", role)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// listen reads what a member writes.
func (f *fleet) listen(m *member, stdout io.Reader, ready chan<- string) {
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		var line report
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			continue // cut by a kill
		}
		if line.Address != "" {
			ready <- line.Address
			continue
		}
		f.mu.Lock()
		if f.outcomes == nil {
			f.outcomes = map[string]map[ittybit.Outcome]int{roleEndpoint: {}, roleWorker: {}}
		}
		f.outcomes[m.role][line.Outcome]++
		f.mu.Unlock()
	}
}

// count gives how many reports of an outcome have come from members in a role.
func (f *fleet) count(role string, outcome ittybit.Outcome) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.outcomes[role][outcome]
}

// replace kills a member, as a power failure would, and starts another in its place.
func (f *fleet) replace(ctx context.Context, role string) error {
	f.mu.Lock()
	i := slices.IndexFunc(f.members, func(m *member) bool { return m.role == role })
	m := f.members[i]
	f.members = slices.Delete(f.members, i, i+1)
	f.killed++
	f.mu.Unlock()
	if err := m.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-m.left
	return f.start(ctx, role)
}

// stop asks the members to finish, and waits for them.
func (f *fleet) stop() error {
	f.mu.Lock()
	members := slices.Clone(f.members)
	f.members = nil
	f.mu.Unlock()
	for _, m := range members {
		_ = m.cmd.Process.Signal(syscall.SIGTERM) // where there is such a thing; it may have ended
		_ = m.stdin.Close()
	}
	var errs []error
	timeout := time.After(stopTimeout)
	for _, m := range members {
		select {
		case <-m.left:
		case <-timeout:
			errs = append(errs, fmt.Errorf("a %s did not end, and was killed", m.role))
			_ = m.cmd.Process.Kill()
			<-m.left
		}
	}
	return errors.Join(errs...)
}

// proxy hands requests to the endpoints in turn. It knows of a dead one only when it has tried it: the
// answer is 502 then, and Ittybit delivers again.
func (f *fleet) proxy() http.Handler {
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: f.next()})
		},
		ErrorLog: log.New(io.Discard, "", 0), // each 502 shows in the table, as a retry
	}
}

// next gives the address of the endpoint whose turn it is.
func (f *fleet) next() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var addresses []string
	for _, m := range f.members {
		if m.role == roleEndpoint && m.address != "" {
			addresses = append(addresses, m.address)
		}
	}
	if len(addresses) == 0 {
		return "127.0.0.1:1" // nobody listens there
	}
	f.turn++
	return addresses[f.turn%len(addresses)]
}
