// Package daemon runs an installed server for tests: it is started, stopped and started again, on a
// free port of the loopback interface.
package daemon

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

const (
	startTimeout = time.Minute
	stopTimeout  = 30 * time.Second
	portAttempts = 5
	logTail      = 2 << 10 // bytes of a failed command's output that an error shows
)

// Daemon is a server. Its fields are set before its first use.
type Daemon struct {
	// Name is for error texts.
	Name string
	// Owner is the user as whom root has it run: the one that its packages make.
	Owner string
	// Unset begins the names of the variables that are meant for the caller's own server.
	Unset string
	// Command makes the command that starts it.
	Command func(ctx context.Context) *exec.Cmd
	// Ready reports whether the process takes connections. Nil: when its port is open.
	Ready func(pid int) bool
	// StopSignal ends the process at once.
	StopSignal syscall.Signal
	// Port is where it listens, and Dir the folder of its files. Start sets both.
	Port int
	Dir  string

	mu      sync.Mutex
	process *process // nil while it is stopped
}

type process struct {
	cmd    *exec.Cmd
	exited chan struct{} // closed when it has ended
}

// Start makes a folder, runs the command that prepares it, where there is one, and starts the
// server on a free port, for which configure is called first, where it is given. What has failed
// leaves nothing.
func (d *Daemon) Start(ctx context.Context, prepare func() *exec.Cmd, configure func() error) (err error) {
	if d.Dir, err = os.MkdirTemp("", "ittybit-"+strings.ToLower(d.Name)+"-"); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.Close())
		}
	}()
	if err := give(d.Dir, d.Owner); err != nil {
		return err
	}
	if prepare != nil {
		cmd := prepare()
		if err := runAs(cmd, d.Owner); err != nil {
			return err
		}
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", filepath.Base(cmd.Path), err, tail(out))
		}
	}
	return d.startOnFreePort(ctx, configure)
}

// Close stops the server and removes its files.
func (d *Daemon) Close() error { return errors.Join(d.Pause(), os.RemoveAll(d.Dir)) }

// Data is a folder for the server's data.
func (d *Daemon) Data() string { return filepath.Join(d.Dir, "data") }

// Program makes a command of one of the server's programs, in its folder.
func (d *Daemon) Program(ctx context.Context, path string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, path, args...) //nolint:gosec // a program of the installed server
	cmd.Dir = d.Dir
	cmd.Env = slices.DeleteFunc(os.Environ(), func(variable string) bool { return strings.HasPrefix(variable, d.Unset) })
	return cmd
}

// startOnFreePort uses another port where another process has taken the first.
func (d *Daemon) startOnFreePort(ctx context.Context, configure func() error) (err error) {
	for range portAttempts {
		if d.Port, err = freePort(ctx); err != nil {
			return err
		}
		if configure != nil {
			if err := configure(); err != nil {
				return err
			}
		}
		if err = d.Resume(ctx); err == nil || ctx.Err() != nil {
			break
		}
	}
	return err
}

// Pause stops the server at once, as a crash does. Pausing one that is stopped does nothing.
func (d *Daemon) Pause() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.process == nil {
		return nil
	}
	running := d.process
	d.process = nil
	if err := running.stop(d.StopSignal); err != nil {
		return fmt.Errorf("stopping %s: %w", d.Name, err)
	}
	return nil
}

func (p *process) stop(signal os.Signal) error {
	if err := p.cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-p.exited:
		return nil
	case <-time.After(stopTimeout):
		_ = p.cmd.Process.Kill()
		<-p.exited
		return errors.New("it did not stop, and was killed")
	}
}

// Resume starts the server again, on the same port, and waits until it takes connections.
func (d *Daemon) Resume(ctx context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.process != nil {
		return nil
	}
	cmd := d.Command(context.WithoutCancel(ctx)) // it outlives ctx, which is only for its start
	if err := runAs(cmd, d.Owner); err != nil {
		return err
	}
	detach(cmd) // an interrupt from the terminal is for the program, which then stops the server
	output, err := os.Create(filepath.Join(d.Dir, "output"))
	if err != nil {
		return err
	}
	defer func() { _ = output.Close() }() // the server has it open, too
	cmd.Stdout, cmd.Stderr = output, output
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting %s: %w", d.Name, err)
	}
	running := &process{cmd: cmd, exited: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // how it ended is in its output
		close(running.exited)
	}()
	if err := d.waitUntilReady(ctx, running); err != nil {
		_ = running.stop(d.StopSignal)        // it may have ended
		text, _ := os.ReadFile(output.Name()) // to say more, where there is more
		return fmt.Errorf("starting %s: %w: %s", d.Name, err, tail(text))
	}
	d.process = running
	return nil
}

func (d *Daemon) waitUntilReady(ctx context.Context, running *process) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	ready := d.Ready
	if ready == nil {
		ready = func(int) bool { return d.isOpen(ctx) }
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if ctx.Err() == nil && ready(running.cmd.Process.Pid) {
			return nil
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

func (d *Daemon) isOpen(ctx context.Context) bool {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", d.Address())
	if err == nil {
		err = conn.Close()
	}
	return err == nil
}

// Address gives the host and the port.
func (d *Daemon) Address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(d.Port)) }

func freePort(ctx context.Context) (int, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	port := listener.Addr().(*net.TCPAddr).Port //nolint:forcetypeassert,errcheck // of a TCP listener
	return port, listener.Close()
}

// Find gives the path of a program that is in PATH, or in /usr/sbin, which is not in everybody's
// PATH.
func Find(program string) (string, bool) {
	if path, err := exec.LookPath(program); err == nil {
		return path, true
	}
	path := "/usr/sbin/" + program
	return path, IsProgram(path)
}

// IsProgram reports whether a file may be run.
func IsProgram(file string) bool {
	info, err := os.Stat(file)
	return err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0
}

func tail(output []byte) string {
	output = bytes.TrimSpace(output)
	return string(output[max(0, len(output)-logTail):])
}
