package attack

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime"
	"runtime/metrics"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ittybit/ittybit-go"
)

const (
	// serverVariable makes the test binary the server that is attacked. Its value is the pace.
	serverVariable = "ITTYBIT_ATTACKED_SERVER"

	secret = "ittybit_test_key_Zq7vXw2LrT9pKs4m"

	webhookPath = "/ittybit-webhook" // routed as README does it
	barePath    = "/bare"            // the same handler without a mux that looks at the method

	maxBuffered = 32 << 20 // bytes; half of the default, so that what comes on top shows
	maxHeader   = 16 << 10 // bytes
)

// TestMain is the server where the test has started itself as one.
func TestMain(m *testing.M) {
	slog.SetDefault(slog.New(slog.DiscardHandler)) // what no test reads
	text := os.Getenv(serverVariable)
	if text == "" {
		os.Exit(m.Run())
	}
	var err error
	if pace, err = strconv.Atoi(text); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if err := serve(os.Stdin, os.Stdout); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// findings is what the server has seen.
type findings struct {
	Shutdown  string         // what http.Server.Shutdown returned; empty for nil
	Handled   map[string]int // how often an event was handled, by the SHA-256 of its payload
	Outcomes  map[ittybit.Outcome]int
	LogLines  int64
	LogBytes  int64
	LogLeaks  []string // lines with a secret or a signature
	ServerLog []string // what net/http had to say, the first lines of it
}

// footprint is what the server has needed.
type footprint struct {
	Connections                     int64  // at most, at the same time
	HeapBefore, HeapPeak, HeapAfter uint64 // bytes that live
	Goroutines, GoroutinesPeak      int    // before, at most
	GoroutinesLeft                  []string
}

// receiver is the application: it records what reaches it, and reads all of it.
type receiver struct {
	mu       sync.Mutex
	handled  map[string]int
	outcomes map[ittybit.Outcome]int
}

func (r *receiver) handle(_ context.Context, e *ittybit.Event) error {
	sum := sha256.Sum256(e.RawJSON())
	r.mu.Lock()
	r.handled[hex.EncodeToString(sum[:])]++
	r.mu.Unlock()
	_ = e.String()
	if e.Task != nil {
		readTask(e.Task)
	}
	return nil
}

// readTask reads a task in every way there is. That what it holds makes no sense is to be
// expected; that reading it panics is not, and would get a 500.
func readTask(task *ittybit.Task) {
	_, _ = task.NSFW()
	_, _ = task.Speech()
	_, _ = task.Description()
	_, _ = task.Subtitles()
	_, _ = task.Chapters()
	_, _ = task.Thumbnails()
	_, _ = task.Conditions()
	var anything any
	_ = task.DecodeResults(&anything)
	_ = task.Supersedes(&ittybit.Task{ID: task.ID, Status: ittybit.TaskStatusProcessing})
	_ = task.String()
}

func (r *receiver) observe(_ context.Context, d ittybit.Delivery) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.outcomes[d.Outcome]++
}

func (r *receiver) report(f *findings) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f.Handled, f.Outcomes = r.handled, r.outcomes
}

// routes is a service's mux with the webhook in it, as README has it.
func (r *receiver) routes(log io.Writer) (http.Handler, error) {
	events := ittybit.NewEventMux()
	events.OnTaskCompleted(ittybit.AnyTaskKind, r.handle)
	events.OnUnhandled(r.handle)
	webhook, err := ittybit.NewWebhookHandler(secret,
		ittybit.Deduplicate(ittybit.NewMemoryDeduplicator(100_000, 72*time.Hour), events),
		ittybit.WithMaxBufferedBytes(maxBuffered), ittybit.WithObserver(r.observe), ittybit.WithReadTimeout(paced(bodyTimeout)),
		ittybit.WithProcessingTimeout(paced(ittybit.DefaultProcessingTimeout)),
		ittybit.WithLogger(slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))))
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("POST "+webhookPath, webhook)
	mux.Handle(barePath, webhook)
	return mux, nil
}

// serve runs the server until a line, or the end, comes in, and then reports on out: its
// findings and, when all that it had is given back, its footprint.
func serve(in io.Reader, out io.Writer) error {
	use := startUsage()
	if err := serveUntilTold(in, out, use); err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(use.end())
}

func serveUntilTold(in io.Reader, out io.Writer, use *usage) error {
	rec := &receiver{handled: make(map[string]int), outcomes: make(map[ittybit.Outcome]int)}
	log, serverLog := new(logScanner), new(firstLines)
	handler, err := rec.routes(log)
	if err != nil {
		return err
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: paced(readHeaderTimeout),
		ReadTimeout:       paced(readTimeout),
		WriteTimeout:      paced(writeTimeout),
		IdleTimeout:       paced(idleTimeout),
		MaxHeaderBytes:    maxHeader,
		Protocols:         protocols,
		ConnState:         use.connState,
		ErrorLog:          slog.NewLogLogger(slog.NewTextHandler(io.MultiWriter(log, serverLog), nil), slog.LevelWarn),
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	if _, err := fmt.Fprintln(out, listener.Addr()); err != nil {
		return err
	}
	_, _ = bufio.NewReader(in).ReadString('\n') // its end means that the test has gone

	var found findings
	ctx, cancel := context.WithTimeout(context.Background(), paced(shutdownTimeout))
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		found.Shutdown = err.Error() + "\n" + strings.Join(stacks(), "\n\n")
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	use.settle() // over HTTP/2, Shutdown does not wait for those whose senders have gone
	rec.report(&found)
	log.report(&found)
	found.ServerLog = serverLog.kept()
	return json.NewEncoder(out).Encode(found)
}

// usage watches what the process needs.
type usage struct {
	before         uint64 // bytes
	goroutines     int
	peakHeap       uint64
	peakGoroutines int
	stop, stopped  chan struct{}

	mu                           sync.Mutex
	connections, peakConnections int64
}

// startUsage takes the values from before, and begins to look for the peaks.
func startUsage() *usage {
	u := &usage{before: settledHeap(), goroutines: runtime.NumGoroutine(), stop: make(chan struct{}), stopped: make(chan struct{})}
	go func() {
		defer close(u.stopped)
		ticker := time.NewTicker(20 * time.Millisecond)
		defer ticker.Stop()
		for {
			u.peakHeap = max(u.peakHeap, liveHeap())
			u.peakGoroutines = max(u.peakGoroutines, runtime.NumGoroutine())
			select {
			case <-u.stop:
				return
			case <-ticker.C:
			}
		}
	}()
	return u
}

func (u *usage) connState(c net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		if tcp, ok := c.(*net.TCPConn); ok {
			// Else it takes 24,000 responses until the system takes no more from the one who reads
			// none.
			_ = tcp.SetWriteBuffer(16 << 10)
		}
		u.count(1)
	case http.StateClosed, http.StateHijacked:
		u.count(-1)
	case http.StateActive, http.StateIdle:
	}
}

func (u *usage) count(connections int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.connections += connections
	u.peakConnections = max(u.peakConnections, u.connections)
}

// settle waits until there are no more goroutines than before, and the one of usage itself.
func (u *usage) settle() {
	for deadline := time.Now().Add(15 * time.Second); runtime.NumGoroutine() > u.goroutines+1 && time.Now().Before(deadline); {
		time.Sleep(5 * time.Millisecond)
	}
}

// end reports what was needed, and what is left of it.
func (u *usage) end() footprint {
	close(u.stop)
	<-u.stopped
	u.settle()
	u.mu.Lock()
	defer u.mu.Unlock()
	f := footprint{
		Connections: u.peakConnections,
		HeapBefore:  u.before, HeapPeak: u.peakHeap, HeapAfter: settledHeap(),
		Goroutines: u.goroutines, GoroutinesPeak: u.peakGoroutines,
	}
	if runtime.NumGoroutine() > u.goroutines {
		f.GoroutinesLeft = stacks()
	}
	return f
}

// stacks gives what all goroutines are doing.
func stacks() []string {
	text := make([]byte, 1<<20)
	return strings.Split(string(text[:runtime.Stack(text, true)]), "\n\n")
}

// liveHeap gives the bytes that the last garbage collection has found to be in use.
func liveHeap() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// settledHeap gives the bytes in use when all that can be collected has been, pools included.
func settledHeap() uint64 {
	for range 3 {
		runtime.GC()
	}
	return liveHeap()
}

// logScanner looks for what must not be in a log.
type logScanner struct {
	mu           sync.Mutex
	lines, bytes int64
	leaks        []string
}

// Write takes one line: slog writes each with one call.
func (l *logScanner) Write(line []byte) (int, error) {
	leaked := bytes.Contains(line, []byte(secret)) || holdsSignature(line)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines++
	l.bytes += int64(len(line))
	if leaked && len(l.leaks) < 5 {
		l.leaks = append(l.leaks, string(line[:min(len(line), 2000)]))
	}
	return len(line), nil
}

func (l *logScanner) report(f *findings) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f.LogLines, f.LogBytes, f.LogLeaks = l.lines, l.bytes, l.leaks
}

// holdsSignature finds a SHA-256 in hex: 64 digits in a row with letters among them. Nothing
// that the attackers send looks like one, but for signatures.
func holdsSignature(line []byte) bool {
	run, letters := 0, false
	for _, c := range line {
		switch {
		case c >= '0' && c <= '9':
			run++
		case c >= 'a' && c <= 'f', c >= 'A' && c <= 'F':
			run, letters = run+1, true
		default:
			if run == 64 && letters {
				return true
			}
			run, letters = 0, false
		}
	}
	return run == 64 && letters
}

// firstLines keeps the first lines of a log.
type firstLines struct {
	mu    sync.Mutex
	lines []string
}

func (f *firstLines) Write(line []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.lines) < 200 {
		f.lines = append(f.lines, string(line[:min(len(line), 500)]))
	}
	return len(line), nil
}

func (f *firstLines) kept() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.lines
}
