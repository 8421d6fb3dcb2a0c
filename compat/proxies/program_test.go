package proxies

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// waitLimit is how long a test waits for what must happen; it is not waited out where all is
// well.
const waitLimit = 20 * time.Second

// front starts a proxy in front of backends (host:port), and gives its address. settings are
// lines of the proxy's own configuration, for the places that its template names.
type front func(t *testing.T, settings settings, backends ...string) string

// settings are lines that a test adds to a proxy's configuration.
type settings struct {
	global   string // nginx: http; HAProxy: defaults; Varnish: VCL; Apache: server; Caddy: reverse_proxy
	upstream string // nginx: upstream; HAProxy: on each server line; Apache: on each member
	args     []string
}

// program starts a proxy's program in a folder of its own, and ends it with the test.
type program struct {
	name    string // of its executable
	install string // how it is installed
	file    string // the configuration's name
	command func(dir, address string) []string
}

// start writes the configuration and waits until the program listens.
func (p program) start(t *testing.T, config func(dir, address string) string, more ...string) string {
	t.Helper()
	executable := p.find(t)
	dir, err := os.MkdirTemp("/tmp", "ittybit-proxy-") // a user that is not root must reach it
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	address := freeAddress(t)
	require.NoError(t, os.WriteFile(filepath.Join(dir, p.file), []byte(config(dir, address)), 0o644))
	log, err := os.Create(filepath.Join(dir, "log"))
	require.NoError(t, err)
	cmd := exec.Command(executable, append(p.command(dir, address), more...)...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, log, log
	cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir)
	// A group of its own: some of them start workers, which must end too.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if os.Geteuid() == 0 {
		const nobody = 65534
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
		require.NoError(t, os.Chown(dir, nobody, nobody))
	}
	require.NoError(t, cmd.Start())
	exited := make(chan struct{})
	go func() { _ = cmd.Wait(); close(exited) }()
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		<-exited
		if t.Failed() {
			text, _ := os.ReadFile(log.Name())
			t.Logf("%s's log: %s", p.name, text)
		}
	})
	waitUntilListening(t, address, exited, log.Name())
	return address
}

// find gives the path of the executable, or skips the test.
func (p program) find(t *testing.T) string {
	t.Helper()
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin") {
		if path, err := exec.LookPath(filepath.Join(dir, p.name)); err == nil {
			return path
		}
	}
	if slices.Contains(strings.Fields(os.Getenv("ITTYBIT_TEST_REQUIRE_PROXIES")), p.name) {
		t.Fatalf("%s is not installed: %s", p.name, p.install)
	}
	t.Skipf("%s is not installed: %s", p.name, p.install)
	return ""
}

func waitUntilListening(t *testing.T, address string, exited <-chan struct{}, log string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*waitLimit) // some compile their configuration
	defer cancel()
	for {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err == nil {
			_ = conn.Close()
			return
		}
		select {
		case <-exited:
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
			continue
		}
		text, _ := os.ReadFile(log)
		t.Fatalf("it does not listen on %s: %v\n%s", address, err, text)
	}
}

// freeAddress is one that nobody listens on, for a program that listens by itself. It is below the
// ports that systems give out by themselves, so that no other test gets it meanwhile.
func freeAddress(t *testing.T) string {
	t.Helper()
	for range 1000 {
		address := fmt.Sprintf("127.0.0.1:%d", 20_000+rand.IntN(12_000))
		listener, err := net.Listen("tcp", address)
		if err == nil {
			_ = listener.Close()
			return address
		}
	}
	t.Fatal("no port is free")
	return ""
}

// each makes a line for each backend.
func each(backends []string, format string) string {
	var lines strings.Builder
	for i, backend := range backends {
		fmt.Fprintf(&lines, strings.ReplaceAll(format, "NUMBER", fmt.Sprint(i)), backend)
	}
	return lines.String()
}
