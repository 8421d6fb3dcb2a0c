//go:build unix

package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// block is a block of shell commands in docs/local-development.md. That of a terminal of its own
// runs on, once it has printed some text.
type block struct{ terminal, until, script string }

// walk reads the blocks of the page. Ports, folders and the real Ittybit are replaced.
func walk(t *testing.T) (blocks []block) {
	t.Helper()
	page, err := os.ReadFile("../../docs/local-development.md")
	require.NoError(t, err)
	api, storage, app := freeAddress(t), freeAddress(t), freeAddress(t)
	_, appPort, _ := net.SplitHostPort(app)
	replace := strings.NewReplacer(
		"ittybit-dev serve ", "ittybit-dev serve --addr "+api+" --storage-addr "+storage+" --console-addr 127.0.0.1:0 ",
		"ittybit-dev listen ", "ittybit-dev listen --console-addr 127.0.0.1:0 ",
		"127.0.0.1:4848", api, "127.0.0.1:4849", storage, "127.0.0.1:3000", app, "localhost:3000", "localhost:"+appPort,
		"https://api.ittybit.com", "http://"+api, "ittybit_…", defaultKey, "/tmp/", t.TempDir()+"/",
	)
	pattern := regexp.MustCompile("(?:<!-- terminal: ([^,>]*?)(?:, until \"(.*?)\")? -->\n\n)?```sh\n((?s:.*?))```")
	for _, found := range pattern.FindAllStringSubmatch(string(page), -1) {
		blocks = append(blocks, block{found[1], found[2], replace.Replace(found[3])})
	}
	return blocks
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	return l.Addr().String()
}

func shell(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("sh", args...)
	cmd.Dir = "../.."
	cmd.Env = append(os.Environ(), "XDG_CONFIG_HOME="+t.TempDir(), "GOFLAGS=-buildvcs=false", "no_proxy=127.0.0.1,localhost")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for all of them
	return cmd
}

// terminal runs a script until the test ends, and waits until it has printed some text.
func terminal(t *testing.T, script, until string) *syncBuffer {
	t.Helper()
	cmd, out := shell(t, "-c", script), &syncBuffer{}
	cmd.Stdout, cmd.Stderr = out, out
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) // it may have ended
		kill := time.AfterFunc(20*time.Second, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
		_ = cmd.Wait() // with what the interrupted shell says
		assert.True(t, kill.Stop(), "it did not end after Ctrl-C: %s", script)
		if t.Failed() {
			t.Logf("%s\nprinted:\n%s", script, out)
		}
	})
	eventually(t, out, until)
	return out
}

func eventually(t *testing.T, out *syncBuffer, text string) {
	t.Helper()
	require.Eventually(t, func() bool { return strings.Contains(out.String(), text) }, 2*time.Minute, 10*time.Millisecond, text)
}

// session is a shell to which commands are given one after another.
type session struct {
	t    *testing.T
	in   io.Writer
	out  *bufio.Scanner
	kill func()
	ids  map[string]string // the last ones that were printed, by their prefix
}

func newSession(t *testing.T) *session {
	t.Helper()
	cmd := shell(t)
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	cmd.Stderr = cmd.Stdout
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait() // each command's status was seen
	})
	kill := func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	return &session{t, in, bufio.NewScanner(out), kill, map[string]string{}}
}

// run runs a line that must go well.
func (s *session) run(line string) string {
	s.t.Helper()
	for prefix, id := range s.ids {
		line = strings.ReplaceAll(line, prefix+"…", id)
	}
	stuck := time.AfterFunc(2*time.Minute, s.kill)
	defer stuck.Stop()
	_, err := fmt.Fprintf(s.in, "%s\nprintf '\\n@ended %%d\\n' $?\n", line)
	require.NoError(s.t, err)
	var output strings.Builder
	for s.out.Scan() {
		if status, ended := strings.CutPrefix(s.out.Text(), "@ended "); ended {
			require.Equal(s.t, "0", status, "%s\n%s", line, output.String())
			found := map[string]string{}
			for _, id := range regexp.MustCompile(`\b(dlv_|task_)\w{16}\b`).FindAllStringSubmatch(output.String(), -1) {
				if found[id[1]] == "" { // the first of a list is the newest
					found[id[1]] = id[0]
				}
			}
			for prefix, id := range found {
				s.ids[prefix] = id
			}
			return output.String()
		}
		output.WriteString(s.out.Text() + "\n")
	}
	s.t.Fatalf("%s: the shell has ended: %v\n%s", line, s.out.Err(), output.String())
	return ""
}

// Who follows docs/local-development.md word by word, in a clone, sees what it says.
func TestDocumentation_theWalkWorks(t *testing.T) {
	for _, program := range []string{"sh", "curl"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip(program + " is not in PATH")
		}
	}
	s, preamble := newSession(t), ""
	terminals, printed := map[string]*syncBuffer{}, map[string]string{}
	for _, b := range walk(t) {
		switch {
		case b.until != "":
			terminals[b.terminal] = terminal(t, preamble+b.script, b.until)
			continue
		case b.terminal != "":
			preamble = b.script
		}
		for line := range strings.Lines(b.script) {
			if strings.Contains(line, "dlv_…") { // the delivery of the task, once it is there
				require.Eventually(t, func() bool {
					return strings.Contains(s.run("ittybit-dev deliveries --task $TASK --state delivered"), "dlv_")
				}, time.Minute, time.Second)
			}
			output := s.run(strings.TrimSpace(line))
			if task := s.ids["task_"]; strings.Contains(line, "tasks create") {
				s.run("TASK=" + task)
			}
			words := strings.Fields(line)
			printed[strings.Join(words[:min(3, len(words))], " ")] = output
		}
	}
	require.Len(t, terminals, 3)
	assert.Contains(t, terminals["serve"].String(), strings.Split(preamble, "\n")[0], "what it prints is what the page says")
	assert.Contains(t, printed["ittybit-dev tasks wait"], `"completed"`)
	assert.Contains(t, printed["ittybit-dev show "+s.ids["dlv_"]]+printed["ittybit-dev show dlv_…"], "Signature: valid")
	assert.Contains(t, printed["ittybit-dev upload README.md"], "/examples/README.md")
	assert.Contains(t, printed["ittybit-dev trigger task.completed"], "200 OK")
	assert.Contains(t, printed["ittybit-dev resend dlv_…"], "200 OK")
	assert.Contains(t, printed["ittybit-dev verify --headers"], "valid: Verify accepts")
	for _, outcome := range []string{"outcome=handled status=200", "outcome=duplicate status=200"} {
		eventually(t, terminals["application"], outcome)
	}
	s.run("ittybit-dev tasks create nsfw https://example.com/dog.jpg")
	eventually(t, terminals["listen"], s.ids["task_"]+" (nsfw): 200 OK")
}

// The flags of the page's compose file are there.
func TestDocumentation_composeCommand(t *testing.T) {
	page, err := os.ReadFile("../../docs/local-development.md")
	require.NoError(t, err)
	found := regexp.MustCompile(`(?s)\n +command: (serve .*?)\n    environment`).FindStringSubmatch(string(page))
	require.NotNil(t, found)
	cmd, args, err := newRoot().Find(strings.Fields(found[1]))
	require.NoError(t, err)
	require.NoError(t, cmd.ParseFlags(args))
	assert.Equal(t, "0.0.0.0:4848", cmd.Flag("addr").Value.String())
	assert.Equal(t, "[app]", cmd.Flag("allow-host").Value.String())
	assert.Equal(t, "127.0.0.1:4848 http://127.0.0.1:4849 ittybit_local_dev_key", defaultAddress+" "+defaultStorage+" "+defaultKey)
}
