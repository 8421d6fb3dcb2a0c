package pgserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"sync"
	"time"
)

const (
	startTimeout = time.Minute
	stopTimeout  = 30 * time.Second
	portAttempts = 5
	logTail      = 2 << 10 // bytes of a failed command's output that an error shows
)

// daemon is a program that can be stopped and started again, on the same port.
type daemon struct {
	name    string                     // such as PostgreSQL
	quit    os.Signal                  // which ends it at once
	ready   func(context.Context) bool // whether it takes connections
	command func(context.Context) *exec.Cmd
	port    int

	mu     sync.Mutex
	cmd    *exec.Cmd // nil while it is stopped
	exited chan struct{}
}

// startOnFreePort finds a port, on which configure, where given, prepares the daemon, and starts it.
func (d *daemon) startOnFreePort(ctx context.Context, configure func() error) (err error) {
	for range portAttempts {
		if d.port, err = freePort(ctx); err != nil {
			return err
		}
		if configure != nil {
			if err := configure(); err != nil {
				return err
			}
		}
		// Meanwhile another process may have taken the port.
		if err = d.Resume(ctx); err == nil || ctx.Err() != nil {
			break
		}
	}
	return err
}

// Pause stops it at once, as a crash does: every connection is cut. Pausing what is stopped does
// nothing.
func (d *daemon) Pause() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.cmd == nil {
		return nil
	}
	process := d.cmd.Process
	d.cmd = nil
	if err := process.Signal(d.quit); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stopping %s: %w", d.name, err)
	}
	select {
	case <-d.exited:
		return nil
	case <-time.After(stopTimeout):
		_ = process.Kill()
		<-d.exited
		return fmt.Errorf("%s did not stop, and was killed", d.name)
	}
}

// Resume starts it again, on the same port with the same data, and waits until it takes
// connections.
func (d *daemon) Resume(ctx context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.cmd != nil {
		return nil
	}
	// The daemon outlives ctx, which is only for its start.
	cmd := d.command(context.WithoutCancel(ctx))
	if err := runAsOwner(cmd); err != nil {
		return err
	}
	detach(cmd) // an interrupt from the terminal is for the program, which then stops the daemon
	output := new(lastBytes)
	cmd.Stdout, cmd.Stderr = output, output
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting %s: %w", d.name, err)
	}
	d.cmd, d.exited = cmd, make(chan struct{})
	go func(exited chan struct{}) {
		_ = cmd.Wait() // how it ended is in its output
		close(exited)
	}(d.exited)
	if err := d.waitUntilReady(ctx); err != nil {
		d.cmd = nil
		_ = cmd.Process.Signal(d.quit)
		<-d.exited
		return fmt.Errorf("starting %s: %w: %s", d.name, err, tail(output.bytes()))
	}
	return nil
}

func (d *daemon) waitUntilReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !d.ready(ctx) {
		select {
		case <-tick.C:
		case <-d.exited:
			return errors.New("it ended")
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
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
