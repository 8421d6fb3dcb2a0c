package compat

import (
	"bufio"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
)

// row is one way to mount the receiver. Either server or function runs in the child process.
type row struct {
	name string
	// modules are those that the row is about, with the version that was seen to behave so.
	modules []string
	// server serves the handler on an address until the process ends.
	server func(address string, h http.Handler) error
	// http3 has the deliveries sent over HTTP/3.
	http3 bool
	// function is a Lambda function, which is sent the events that event makes.
	function func(http.Handler) error
	event    func(request) any
	// deadline is what the requests' own contexts get, if that is less than the receiver's.
	deadline time.Duration
	// differs has what is not as in plain net/http.
	differs map[string]difference
}

// difference is what a row makes of a delivery in place of what the table says.
type difference struct {
	why string
	// wire is what the sender gets.
	wire response
	// ours is the status that the receiver meant; 0 is the table's, notCalled that it never
	// got the request, and observed nothing.
	ours int
	// handled is the table's plus this.
	handled int
	// ends says that the library ends its process, or is ended by who runs it.
	ends bool
}

const notCalled = -1

// waitLimit is how long a test waits for what must happen; it is not waited out where all is
// well. quiet is how long it waits for what must not.
const (
	waitLimit = 30 * time.Second
	quiet     = 2500 * time.Millisecond
)

// run starts the row's process and sends it each delivery.
func (r row) run(t *testing.T) {
	m := r.start(t)
	var beside sync.WaitGroup
	defer beside.Wait()
	for _, d := range deliveries() {
		switch {
		case d.needsConnection && r.function != nil:
		case d.slow && r.function == nil:
			beside.Go(func() { m.check(t, d) })
		default:
			m.check(t, d)
		}
	}
}

// mounted is a row with its process.
type mounted struct {
	row
	runtime *runtimeAPI // of a function
	mu      sync.Mutex
	process *process
}

func (r row) start(t *testing.T) *mounted {
	m := &mounted{row: r}
	if r.function != nil {
		m.runtime = newRuntimeAPI(t)
	}
	m.process = m.spawn(t)
	t.Cleanup(func() { m.process.end() })
	return m
}

// check sends a delivery and looks at what came of it.
func (m *mounted) check(t *testing.T, d delivery) {
	differs, isDifferent := m.differs[d.name]
	want, wantOurs, wantHandled := d.want, d.want.status, d.handled
	if isDifferent {
		want, wantHandled = differs.wire, d.handled+differs.handled
		if differs.ours != 0 {
			wantOurs = differs.ours
		}
	}
	limit := waitLimit
	if want == (response{}) || want.cut {
		limit = quiet
	}
	p := m.current()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	// Most HTTP clients accept gzip by themselves, and middleware compresses for those only.
	d.request.fields = append([]field{{deliveryHeader, d.name}, {"Accept-Encoding", "gzip"}}, d.request.fields...)
	got := m.send(ctx, d.request)
	if differs.ends {
		p.end() // where it has not ended by itself: as Lambda does at the function's timeout
		m.replace(t, p)
	}
	if !assert.True(t, differs.ends || p.alive(), "%s: the process has ended\n%s", d.name, p.stderr()) {
		m.replace(t, p)
		return
	}
	for _, answer := range got {
		assert.Equal(t, want, answer, "%s: the response", d.name)
	}
	if differs.ends {
		return
	}
	rec := p.record(t, d.name)
	assert.Equal(t, wantHandled, rec.Handled, "%s: handled", d.name)
	if wantOurs == notCalled {
		assert.Empty(t, rec.Observed, "%s: the receiver was called", d.name)
	} else {
		assert.Len(t, rec.Observed, d.request.times, "%s: deliveries observed", d.name)
	}
	for _, response := range got {
		if isSuccess(response.status) {
			assert.Positive(t, rec.Handled, "%s: not handled, and acknowledged", d.name)
		}
	}
	for _, o := range rec.Observed {
		assert.Equal(t, wantOurs, o.Status, "%s: the receiver's own status (%s)", d.name, o.Err)
		checkPromises(t, d, o, rec)
	}
	if d.handled > 0 || d.want.status >= http.StatusInternalServerError {
		limit := processingTimeout
		if m.deadline > 0 {
			limit = m.deadline
		}
		assert.LessOrEqual(t, rec.Remaining, limit, "%s: the handler's deadline", d.name)
	}
}

// checkPromises checks what the receiver itself owes in every row, whatever it says of differences.
func checkPromises(t *testing.T, d delivery, o observed, rec record) {
	if isSuccess(o.Status) {
		assert.Positive(t, rec.Handled, "%s: not handled, and meant to be acknowledged", d.name)
	}
	if d.want.status == http.StatusUnauthorized {
		assert.Zero(t, rec.Handled, "%s: handled though nobody has signed it", d.name)
	}
	if o.Outcome == ittybit.OutcomeHandled || o.Outcome == ittybit.OutcomeDuplicate {
		assert.Equal(t, http.StatusOK, o.Status, "%s: handled, and reported as an error", d.name)
	}
}

func isSuccess(status int) bool { return status >= 200 && status < 300 }

// send sends a request as often as it asks for.
func (m *mounted) send(ctx context.Context, r request) []response {
	switch {
	case m.function != nil:
		return m.runtime.send(ctx, m.event, r)
	case m.http3:
		return sendHTTP3(ctx, m.current().Address, r)
	default:
		return sendHTTP1(ctx, m.current().Address, r)
	}
}

func (m *mounted) current() *process {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.process
}

// replace starts a new process in place of one that has ended.
func (m *mounted) replace(t *testing.T, old *process) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.process == old {
		old.end()
		m.process = m.spawn(t)
	}
}

// process is a child that serves a row.
type process struct {
	announcement
	cmd    *exec.Cmd
	log    *os.File
	exited chan struct{}
}

func (m *mounted) spawn(t *testing.T) *process {
	self, err := os.Executable()
	require.NoError(t, err)
	log, err := os.CreateTemp(t.TempDir(), "stderr")
	require.NoError(t, err)
	p := &process{cmd: exec.Command(self), log: log, exited: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), rowVariable+"="+m.name)
	if m.runtime != nil {
		p.cmd.Env = append(p.cmd.Env, "AWS_LAMBDA_RUNTIME_API="+m.runtime.address(), "AWS_LAMBDA_FUNCTION_NAME=compat")
	}
	p.cmd.Stderr = log
	stdout, err := p.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, p.cmd.Start())
	lines := bufio.NewScanner(stdout)
	if !lines.Scan() || json.Unmarshal(lines.Bytes(), &p.announcement) != nil {
		_ = p.cmd.Process.Kill()
		t.Fatalf("the row's process did not start: %s\n%s", lines.Text(), p.stderr())
	}
	if m.server != nil && !m.http3 {
		waitUntilListening(t, p)
	}
	go func() {
		for lines.Scan() { // frameworks print their routes
		}
		_ = p.cmd.Wait()
		close(p.exited)
	}()
	return p
}

func waitUntilListening(t *testing.T, p *process) {
	ctx, cancel := context.WithTimeout(t.Context(), waitLimit)
	defer cancel()
	for {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", p.Address)
		if err == nil {
			_ = conn.Close()
			return
		}
		if ctx.Err() != nil {
			_ = p.cmd.Process.Kill()
			t.Fatalf("the row's server does not listen: %v\n%s", err, p.stderr())
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func (p *process) end() {
	_ = p.cmd.Process.Kill()
	<-p.exited
}

// alive reports whether the process goes on. One that is about to end is given a moment for it.
func (p *process) alive() bool {
	select {
	case <-p.exited:
		return false
	default:
	}
	conn, err := net.DialTimeout("tcp", p.Records, waitLimit)
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}

// stderr is what the process has logged, without the end of what is too long to read.
func (p *process) stderr() string {
	text, err := os.ReadFile(p.log.Name())
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-4096):])
}

// record gives what the receiver saw of a delivery, once its calls have ended.
func (p *process) record(t *testing.T, name string) record {
	ctx, cancel := context.WithTimeout(t.Context(), waitLimit)
	defer cancel()
	for {
		var rec record
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.Records+"/?delivery="+url.QueryEscape(name), nil)
		require.NoError(t, err)
		resp, err := http.DefaultClient.Do(req)
		if !assert.NoError(t, err, "%s: the process has ended\n%s", name, p.stderr()) {
			return rec
		}
		err = json.NewDecoder(resp.Body).Decode(&rec)
		_ = resp.Body.Close()
		require.NoError(t, err)
		if rec.Entered == rec.Left {
			return rec
		}
		select {
		case <-ctx.Done():
			t.Errorf("%s: the receiver has not returned", name)
			return rec
		case <-time.After(10 * time.Millisecond):
		}
	}
}
