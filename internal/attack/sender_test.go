package attack

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ittybit/ittybit-go"
)

// serverTimeout is how long an attacker waits for the server to do anything at all. It is longer
// than every timeout of the server, so that it is never waited out.
const serverTimeout = time.Minute

// What can become of a request besides a status.
const (
	cut  = "cut"       // the server hung up without a response
	open = "left open" // it did nothing: never right
)

// attack is one way to be hostile.
type attack struct {
	name    string
	workers int             // at the same time
	pause   time.Duration   // between two rounds of one worker, at most
	lasts   time.Duration   // a round that waits for one of the server's timeouts, at pace 1
	run     func(s *sender) // one round
	must    []string        // what has to become of some of it, each of these,
	// may is what may become of the rest. Where the server hangs up with some of the request
	// unread, its response can be lost on the way: that is cut, too.
	may []string
}

// tally counts what has become of an attack's requests.
type tally struct {
	mu     sync.Mutex
	sent   int
	became map[string]int
}

func newTally() *tally { return &tally{became: make(map[string]int)} }

// note counts one request.
func (t *tally) note(what string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sent++
	t.became[what]++
}

// has reports whether anything was sent, and each of these was seen.
func (t *tally) has(all []string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.sent == 0 {
		return false
	}
	for _, what := range all {
		if t.became[what] == 0 {
			return false
		}
	}
	return true
}

// sender is one worker of an attack. It is used by one goroutine.
type sender struct {
	*rand.Rand
	*tally

	target string        // host:port
	gate   chan struct{} // holds those who are busy
	good   *goodBook
	signed *book // what was signed by somebody who knows the secret
}

// conn is a connection to the server.
type conn struct {
	*net.TCPConn
	reader *bufio.Reader
}

// dial connects, or notes that it could not.
func (s *sender) dial() (*conn, bool) {
	raw, err := net.DialTimeout("tcp", s.target, paced(serverTimeout))
	if err != nil {
		s.note("no connection: " + err.Error())
		return nil, false
	}
	tcp := raw.(*net.TCPConn)
	_ = tcp.SetDeadline(time.Now().Add(paced(serverTimeout)))
	return &conn{tcp, bufio.NewReader(tcp)}, true
}

// say writes, and reports whether the server took it.
func (c *conn) say(text string) bool {
	_, err := io.WriteString(c, text)
	return err == nil
}

// reset closes the connection rudely.
func (c *conn) reset() {
	_ = c.SetLinger(0)
	_ = c.Close()
}

// response reads one response to the end, and gives its status.
func (c *conn) response() string {
	_ = c.SetDeadline(time.Now().Add(paced(serverTimeout)))
	resp, err := http.ReadResponse(c.reader, nil)
	if err == nil && resp.StatusCode == http.StatusContinue {
		resp, err = http.ReadResponse(c.reader, nil)
	}
	if err == nil {
		_, err = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
	}
	switch {
	case err == nil:
		return strconv.Itoa(resp.StatusCode)
	case isTimeout(err):
		return open
	default:
		return cut
	}
}

// isTimeout reports whether it was the attacker who gave up.
func isTimeout(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }

// exchange sends text on a connection of its own, and notes the one response.
func (s *sender) exchange(text string) {
	c, ok := s.dial()
	if !ok {
		return
	}
	defer c.reset()
	c.say(text)
	s.note(c.response())
}

// half is exchange with no more to come: the sending half of the connection is closed.
func (s *sender) half(text string) {
	c, ok := s.dial()
	if !ok {
		return
	}
	defer c.reset()
	c.say(text)
	_ = c.CloseWrite()
	s.note(c.response())
}

// pour sends start and then piece until the server hangs up or has responded, and notes that.
// A pause makes it slow.
func (s *sender) pour(start, piece string, pause time.Duration) {
	c, ok := s.dial()
	if !ok {
		return
	}
	stop := make(chan struct{})
	var writing sync.WaitGroup
	writing.Go(func() {
		for said := c.say(start); said; said = c.say(piece) {
			select {
			case <-stop:
				return
			case <-time.After(pause):
			}
		}
	})
	s.note(c.response())
	close(stop)
	c.reset()
	writing.Wait()
}

// head makes a request line and header fields, with the empty line after them.
func head(line string, fields ...string) string {
	return line + " HTTP/1.1\r\nHost: localhost\r\n" + strings.Join(append(fields, "", ""), "\r\n")
}

// post makes the head of a POST to the webhook's path.
func post(fields ...string) string { return head("POST "+webhookPath, fields...) }

func length(body string) string { return "Content-Length: " + strconv.Itoa(len(body)) }

// whole makes a POST with a body and, where it is not empty, a signature.
func whole(body, signature string, fields ...string) string {
	if signature != "" {
		fields = append(fields, signatureField(signature))
	}
	return post(append(fields, length(body))...) + body
}

func signatureField(signature string) string { return ittybit.SignatureHeader + ": " + signature }

// sign signs as Ittybit does.
func sign(body string) string { return ittybit.SignWebhook(secret, time.Now(), []byte(body)) }

// name gives an id that nothing else has.
func (s *sender) name() string { return fmt.Sprintf("%016x", s.Uint64()) }

// trap makes the payload of an event that must never be handled.
func (s *sender) trap() string { return task("task_trap_" + s.name()) }

// task makes the payload of a task that has ended.
func task(id string) string {
	return `{"id":"` + id + `","object":"task","kind":"nsfw","status":"completed","results":{"is_nsfw":true,"confidence":0.97}}`
}

// book remembers bodies that were signed. They may be handled, and nothing else may be.
type book struct {
	mu    sync.Mutex
	known map[string]bool // by the SHA-256 in hex
}

// add remembers body, before it is sent.
func (b *book) add(body string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.known[digest(body)] = true
}

func digest(body string) string {
	sum := sha256.Sum256([]byte(body))
	return hex.EncodeToString(sum[:])
}

// goodBook is the good deliveries, each of which has to be handled once.
type goodBook struct {
	book

	latest [256]delivery // for those who repeat them
	count  int
}

// delivery is a body with its signature.
type delivery struct{ body, signature string }

// next makes a delivery that is to be handled.
func (b *goodBook) next(id string) delivery {
	body := task("task_good_" + id)
	b.add(body)
	return delivery{body, sign(body)}
}

// delivered makes d known to those who repeat deliveries.
func (b *goodBook) delivered(d delivery) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.latest[b.count%len(b.latest)] = d
	b.count++
}

// overheard gives one of the latest deliveries, if there was one.
func (b *goodBook) overheard(random *rand.Rand) (delivery, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.count == 0 {
		return delivery{}, false
	}
	return b.latest[random.IntN(min(b.count, len(b.latest)))], true
}
