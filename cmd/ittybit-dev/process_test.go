package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// asCommand is the variable that makes the test's program the command.
const asCommand = "ITTYBIT_DEV_TEST_AS_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		main()
	}
	for _, name := range []string{"ITTYBIT_URL", "ITTYBIT_STORAGE_URL", "ITTYBIT_API_KEY", "ITTYBIT_LOCAL_PASSWORD"} {
		_ = os.Unsetenv(name) // a developer's shell may have them
	}
	os.Exit(m.Run())
}

// process is the command in a process of its own, which can be killed.
type process struct {
	syncBuffer

	t     *testing.T
	cmd   *exec.Cmd
	ended chan struct{}
}

func startProcess(t *testing.T, args ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(os.Args[0], args...), ended: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), asCommand+"=1", "GORACE=atexit_sleep_ms=0")
	p.cmd.Stdout, p.cmd.Stderr = p, p
	require.NoError(t, p.cmd.Start())
	go func() {
		_ = p.cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Log(p.String())
		}
	})
	return p
}

// kill ends it at once, wherever it is.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.ended
}

// waitFor waits until it has printed something.
func (p *process) waitFor(text string) {
	p.t.Helper()
	require.Eventually(p.t, func() bool { return strings.Contains(p.String(), text) }, 60*time.Second, 5*time.Millisecond, text)
}

// interrupt is Ctrl-C. It gives the exit code.
func (p *process) interrupt() int {
	p.t.Helper()
	assert.NoError(p.t, p.cmd.Process.Signal(os.Interrupt))
	<-p.ended
	return p.cmd.ProcessState.ExitCode()
}
