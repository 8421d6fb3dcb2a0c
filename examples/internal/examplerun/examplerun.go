// Package examplerun runs the examples in their tests as a user would: it builds the program in the
// test's folder, starts it, reads what it prints, and interrupts it.
package examplerun

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// timeout is how long a program may take to print what is waited for, or to end.
const timeout = 60 * time.Second

// Program is a running example.
type Program struct {
	t      testing.TB
	cmd    *exec.Cmd
	ended  chan struct{}
	err    error
	mu     sync.Mutex
	output bytes.Buffer
	grown  chan struct{} // closed and made anew with each piece of output
}

// Build compiles the program in the test's folder and gives its path.
func Build(t testing.TB) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "example")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", name, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return name
}

// Start starts a program, with more variables of the environment. It is killed when the test ends.
func Start(t testing.TB, env []string, name string, args ...string) *Program {
	t.Helper()
	p := &Program{t: t, cmd: exec.Command(name, args...), ended: make(chan struct{}), grown: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), "ITTYBIT_API_KEY=", "WEBHOOK_URL=")
	p.cmd.Env = append(p.cmd.Env, env...)
	p.cmd.Stdout, p.cmd.Stderr = p, p
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // it may have ended
		<-p.ended
		if t.Failed() {
			t.Logf("%s printed:\n%s", name, p.Output())
		}
	})
	return p
}

// Write takes what the program prints.
func (p *Program) Write(text []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.grown)
	p.grown = make(chan struct{})
	return p.output.Write(text)
}

// Output is what it has printed, on both outputs.
func (p *Program) Output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.output.String()
}

// WaitFor waits until it has printed lines that match, and gives the match and its groups.
func (p *Program) WaitFor(pattern string) []string {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), timeout)
	defer cancel()
	for expression := regexp.MustCompile(pattern); ; {
		p.mu.Lock()
		grown, lines := p.grown, p.output.String()
		p.mu.Unlock()
		lines = lines[:strings.LastIndexByte(lines, '\n')+1]
		if found := expression.FindStringSubmatch(lines); found != nil {
			return found
		}
		select {
		case <-grown:
		case <-p.ended:
			if found := expression.FindStringSubmatch(p.Output()); found != nil {
				return found
			}
			p.t.Fatalf("ended (%v) and printed nothing like %q", p.err, pattern)
		case <-ctx.Done():
			p.t.Fatalf("printed nothing like %q", pattern)
		}
	}
}

// Interrupt is Ctrl-C. It waits until the program has ended, and gives its error.
func (p *Program) Interrupt() error {
	p.t.Helper()
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Fatal(err)
	}
	return p.Wait()
}

// Wait waits until the program has ended, and gives its error.
func (p *Program) Wait() error {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(timeout):
		p.t.Fatal("the program does not end")
	}
	return p.err
}
