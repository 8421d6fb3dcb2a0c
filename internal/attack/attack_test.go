// Package attack plays a hostile internet against a webhook endpoint: its test starts one in a
// process of its own, sends it everything that a stranger, a careless proxy or a broken sender
// might, all at the same time, and looks at what becomes of the good deliveries in between, of
// the process's memory and goroutines, and of its log.
//
// What it finds stands in docs/reliability.md, and what follows from it in SECURITY.md.
package attack

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
)

const (
	// seedVariable repeats the choices of an earlier run, though not its timing.
	seedVariable = "ITTYBIT_TEST_SEED"

	attackTime      = 30 * time.Second
	shortAttackTime = 3 * time.Second

	// busyAttackers is how many attackers keep the machine busy at the same time. Those who
	// wait come on top. What is to be seen is how the server bears it, not who is faster.
	busyAttackers = 4
	// maxRoundsMore bounds what a worker does when the time is up.
	maxRoundsMore = 300

	// respondWithin is how long Ittybit waits for a response.
	respondWithin = 5 * time.Second

	// What the heap may grow by besides the buffered bodies: see SECURITY.md.
	heapPerConnection   = 64 << 10
	heapPerHeaderByte   = 20
	heapPerSignedByte   = 32
	signedAtTheSameTime = 2 * maxBody
	// heapLeft is what the process has come to know for good: types, tables, caches.
	heapLeft = 2 << 20
)

// TestWebhookHandler_againstAHostileInternet lets all attacks loose on one server at the
// same time, and sends good deliveries all the while.
func TestWebhookHandler_againstAHostileInternet(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv(seedVariable); text != "" {
		var err error
		seed, err = strconv.ParseUint(text, 10, 64)
		require.NoError(t, err)
	}
	pace = measurePace()
	t.Logf("%s=%d, timeouts x %d", seedVariable, seed, pace)
	duration := attackTime
	if testing.Short() {
		duration = shortAttackTime
	}
	attacks := slices.Concat(bodyAttacks(), compressedAttacks(), protocolAttacks(), connectionAttacks(), forgeries(), signedAttacks(), http2Attacks())

	server := startServer(t)
	good, signed := &goodBook{book: book{known: make(map[string]bool)}}, &book{known: make(map[string]bool)}
	during, stop := context.WithTimeout(context.Background(), duration)
	defer stop()
	gate, streams := make(chan struct{}, busyAttackers), uint64(0)
	newSender := func(counts *tally) *sender {
		streams++
		return &sender{Rand: rand.New(rand.NewPCG(seed, streams)), tally: counts, target: server.addr, gate: gate, good: good, signed: signed}
	}
	var workers sync.WaitGroup
	results := make([]*tally, len(attacks))
	for i, a := range attacks {
		results[i] = newTally()
		for range a.workers {
			s := newSender(results[i])
			workers.Go(func() { s.attack(during, &a) })
		}
	}
	deliverers := sendGoodOnes(during, &workers, newSender)
	workers.Wait()

	held := holdOn(newSender(newTally()))
	found, needed := server.stop(t)
	for _, c := range held {
		_ = c.Close()
	}
	table := tableOf(attacks, results, deliverers)
	t.Log("\n" + table + "\n" + summary(&found, &needed))
	for i, a := range attacks {
		checkAttack(t, &a, results[i])
	}
	for _, d := range deliverers {
		assert.Positive(t, d.s.became["200"], "good deliveries %s", d.name)
		assert.Equal(t, map[string]int{"200": d.s.sent}, d.s.became, "good deliveries %s", d.name)
	}
	checkHandled(t, &found, &good.book, signed)
	checkServer(t, &found, &needed)
}

// attack makes rounds of a until ctx ends, and on until it has seen what it must see.
func (s *sender) attack(ctx context.Context, a *attack) {
	end, _ := ctx.Deadline()
	enough := func() bool { return ctx.Err() != nil && s.has(a.must) }
	for first, more := true, maxRoundsMore; first || !enough() && more > 0; first = false {
		if ctx.Err() != nil {
			more--
		} else if !first && time.Until(end) < paced(a.lasts) && s.has(a.must) {
			return
		}
		s.round(a, enough)
		if a.pause > 0 {
			rest(ctx, time.Duration(s.Int64N(int64(a.pause))))
		}
	}
}

// round runs one round. One that does not wait for the server's timeouts keeps the machine
// busy, and takes its turn.
func (s *sender) round(a *attack, enough func() bool) {
	if a.lasts == 0 {
		s.gate <- struct{}{}
		defer func() { <-s.gate }()
		if enough() {
			return
		}
	}
	a.run(s)
}

// rest waits for d, or until ctx ends.
func rest(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// deliverer sends good deliveries, one after the other.
type deliverer struct {
	name    string
	client  *http.Client
	s       *sender
	slowest time.Duration
}

// sendGoodOnes starts the senders of good deliveries.
func sendGoodOnes(ctx context.Context, workers *sync.WaitGroup, newSender func(*tally) *sender) []*deliverer {
	http2 := new(http.Protocols)
	http2.SetUnencryptedHTTP2(true)
	all := []*deliverer{
		{name: "on one connection", client: &http.Client{Timeout: paced(respondWithin), Transport: &http.Transport{}}},
		{name: "on a connection each", client: &http.Client{Timeout: paced(respondWithin), Transport: &http.Transport{DisableKeepAlives: true}}},
		{name: "by HTTP/2", client: &http.Client{Timeout: paced(respondWithin), Transport: &http.Transport{Protocols: http2}}},
	}
	for _, d := range all {
		d.s = newSender(newTally())
		workers.Go(func() {
			defer d.client.CloseIdleConnections()
			for ctx.Err() == nil {
				d.deliver()
				rest(ctx, time.Duration(d.s.Int64N(int64(40*time.Millisecond))))
			}
		})
	}
	return all
}

// deliver sends one good delivery, which is cut off after the five seconds that it has, at pace 1.
func (d *deliverer) deliver() {
	next := d.s.good.next(d.s.name())
	r, err := http.NewRequest(http.MethodPost, "http://"+d.s.target+webhookPath, strings.NewReader(next.body))
	if err != nil {
		d.s.note(err.Error())
		return
	}
	r.Header.Set(ittybit.SignatureHeader, next.signature)
	r.Header.Set("Content-Type", "application/json")
	start := time.Now()
	resp, err := d.client.Do(r)
	d.slowest = max(d.slowest, time.Since(start))
	if err != nil {
		d.s.note(err.Error())
		return
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	d.s.note(strconv.Itoa(resp.StatusCode))
	d.s.good.delivered(next)
}

// holdOn opens connections of every state for the server to shut down with.
func holdOn(s *sender) []*conn {
	var held []*conn
	for _, text := range []string{
		"", "POST", post("Content-Length: 100")[:40], post("Content-Length: 100") + "start", post("Transfer-Encoding: chunked") + "5\r\n",
		whole("{}", ""), head("PUT "+barePath, "Content-Length: 100"), preface, preface + frame(frameSettings, 0, 0, ""),
		preface + frame(frameSettings, 0, 0, "") + request2(1, false), preface[:20],
	} {
		for range 5 {
			if c, ok := s.dial(); ok {
				c.say(text)
				held = append(held, c)
			}
		}
	}
	return held
}

// attacked is the server's process.
type attacked struct {
	cmd    *exec.Cmd
	addr   string
	in     io.WriteCloser
	out    *bufio.Reader
	stderr bytes.Buffer
}

// startServer starts this test binary as the server.
func startServer(t *testing.T) *attacked {
	t.Helper()
	binary, err := os.Executable()
	require.NoError(t, err)
	a := &attacked{cmd: exec.Command(binary)}
	a.cmd.Env = append(os.Environ(), serverVariable+"="+strconv.Itoa(pace))
	a.cmd.Stderr = &a.stderr
	a.in, err = a.cmd.StdinPipe()
	require.NoError(t, err)
	out, err := a.cmd.StdoutPipe()
	require.NoError(t, err)
	a.out = bufio.NewReader(out)
	require.NoError(t, a.cmd.Start())
	t.Cleanup(func() { _ = a.cmd.Process.Kill() }) // which has ended, as a rule
	line, err := a.out.ReadString('\n')
	require.NoError(t, err, "the server says where it listens")
	a.addr = strings.TrimSpace(line)
	return a
}

// stop has the server shut down, and gives what it reports.
func (a *attacked) stop(t *testing.T) (f findings, n footprint) {
	t.Helper()
	require.NoError(t, a.in.Close())
	decoder := json.NewDecoder(a.out)
	assert.NoError(t, decoder.Decode(&f))
	assert.NoError(t, decoder.Decode(&n))
	assert.NoError(t, a.cmd.Wait(), "the race detector would end it with an error, too")
	assert.Empty(t, a.stderr.String())
	require.False(t, t.Failed())
	return f, n
}

// checkAttack asserts that an attack took place, and that the server did with it what it should.
func checkAttack(t *testing.T, a *attack, s *tally) {
	t.Helper()
	assert.Positive(t, s.sent, a.name)
	for _, must := range a.must {
		assert.Positive(t, s.became[must], "%s: none became %q of %v", a.name, must, s.became)
	}
	for what, n := range s.became {
		assert.True(t, slices.Contains(a.must, what) || slices.Contains(a.may, what), "%s: %d became %q", a.name, n, what)
	}
}

// checkHandled asserts that every good delivery was handled once, and nothing but them and
// what else was signed was handled at all.
func checkHandled(t *testing.T, found *findings, good, signed *book) {
	t.Helper()
	for sum := range good.known {
		if n := found.Handled[sum]; n != 1 {
			assert.Fail(t, "a good delivery was not handled once", "%s: %d times", sum, n)
		}
	}
	foreign := 0
	for sum, n := range found.Handled {
		if !good.known[sum] && !signed.known[sum] {
			foreign++
		}
		assert.Equal(t, 1, n, "%s was handled more than once", sum)
	}
	assert.Zero(t, foreign, "events were handled that nobody has signed")
	assert.Positive(t, found.Outcomes[ittybit.OutcomeDuplicate])
	// Timed out is another matter: where the machine is slow, a signed mebibyte may take longer
	// than its four seconds. The good ones got a 200.
	for _, never := range []ittybit.Outcome{ittybit.OutcomeAborted, ittybit.OutcomePanicked, ittybit.OutcomeFailed, ittybit.OutcomeOverloaded} {
		assert.Zero(t, found.Outcomes[never], never)
	}
}

// checkServer asserts that the server has stayed within its bounds, and is as it was before.
func checkServer(t *testing.T, found *findings, needed *footprint) {
	t.Helper()
	assert.Empty(t, found.Shutdown, "http.Server.Shutdown")
	assert.Positive(t, found.LogLines)
	assert.Empty(t, found.LogLeaks, "secrets and signatures in the log")
	for _, line := range found.ServerLog {
		assert.NotContains(t, line, "panic")
		assert.NotContains(t, line, "superfluous") // a second response
	}
	allowed := needed.HeapBefore + maxBuffered + heapPerSignedByte*signedAtTheSameTime +
		heapPerConnection*uint64(needed.Connections) + heapPerHeaderByte*maxHeader*fatHeads
	assert.LessOrEqual(t, needed.HeapPeak, allowed, "bytes alive during the attack")
	assert.LessOrEqual(t, needed.HeapAfter, needed.HeapBefore+heapLeft, "bytes alive after the attack")
	assert.Empty(t, needed.GoroutinesLeft)
}

// tableOf shows what was sent and what became of it.
func tableOf(attacks []attack, results []*tally, deliverers []*deliverer) string {
	var b strings.Builder
	b.WriteString("| attack | sent | became |\n|---|---|---|\n")
	for i, a := range attacks {
		row(&b, a.name, results[i])
	}
	for _, d := range deliverers {
		row(&b, fmt.Sprintf("**good deliveries, %s** (slowest %v)", d.name, d.slowest.Round(time.Millisecond)), d.s.tally)
	}
	return b.String()
}

func row(b *strings.Builder, name string, s *tally) {
	var parts []string
	for _, what := range slices.Sorted(maps.Keys(s.became)) {
		parts = append(parts, fmt.Sprintf("%s: %d", what, s.became[what]))
	}
	_, _ = fmt.Fprintf(b, "| %s | %d | %s |\n", name, s.sent, strings.Join(parts, ", "))
}

// summary describes the server.
func summary(found *findings, needed *footprint) string {
	var b strings.Builder
	for _, outcome := range slices.Sorted(maps.Keys(found.Outcomes)) {
		_, _ = fmt.Fprintf(&b, "%s: %d, ", outcome, found.Outcomes[outcome])
	}
	const kib = 1 << 10
	_, _ = fmt.Fprintf(&b, "\n%d events handled; connections: %d at most; heap in KiB: %d before, %d at most, %d after; goroutines: %d before, %d at most; log: %d lines, %d KiB",
		len(found.Handled), needed.Connections, needed.HeapBefore/kib, needed.HeapPeak/kib, needed.HeapAfter/kib,
		needed.Goroutines, needed.GoroutinesPeak, found.LogLines, found.LogBytes/kib)
	return b.String()
}
