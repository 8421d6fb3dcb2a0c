package proxies

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
)

const secret = "proxies_key_0123456789abcdef"

// backend is a process of the application: a receiver with a deduplicator of its own, in a
// server with the settings of docs/deploying.md.
type backend struct {
	address string
	server  *http.Server
	mu      sync.Mutex
	handled map[string]int // by the task's id
	seen    []ittybit.Delivery
	headers []http.Header
}

// backendConfig is what a test wants to be otherwise.
type backendConfig struct {
	idle        time.Duration // IdleTimeout; 0 is 10 s
	readTimeout time.Duration // of the handler; 0 is its default
	maxBody     int64         // the same
	work        time.Duration // what handling takes
	err         error         // what it returns, its work done
	dies        bool          // it closes the connection in place of a response, its work done
	address     string        // where it listens; empty for a new one
}

func startBackend(t *testing.T, cfg backendConfig) *backend {
	t.Helper()
	b := &backend{handled: make(map[string]int)}
	var options []ittybit.WebhookOption
	if cfg.readTimeout > 0 {
		options = append(options, ittybit.WithReadTimeout(cfg.readTimeout))
	}
	if cfg.maxBody > 0 {
		options = append(options, ittybit.WithMaxBodyBytes(cfg.maxBody))
	}
	handle := ittybit.EventHandlerFunc(func(_ context.Context, e *ittybit.Event) error {
		time.Sleep(cfg.work)
		b.mu.Lock()
		defer b.mu.Unlock()
		b.handled[e.Task.ID]++
		return cfg.err
	})
	webhook, err := ittybit.NewWebhookHandler(secret, ittybit.Deduplicate(ittybit.NewMemoryDeduplicator(0, 0), handle),
		append(options, ittybit.WithObserver(func(_ context.Context, d ittybit.Delivery) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.seen = append(b.seen, d)
		}))...)
	require.NoError(t, err)
	address := cfg.address
	if address == "" {
		address = "127.0.0.1:0"
	}
	listener, err := net.Listen("tcp", address)
	require.NoError(t, err)
	b.address = listener.Addr().String()
	idle := cfg.idle
	if idle == 0 {
		idle = 10 * time.Second
	}
	b.server = &http.Server{
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 7 * time.Second, WriteTimeout: 10 * time.Second,
		IdleTimeout: idle, MaxHeaderBytes: 16 << 10, ErrorLog: log.New(io.Discard, "", 0),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			b.mu.Lock()
			b.headers = append(b.headers, r.Header.Clone())
			b.mu.Unlock()
			if cfg.dies {
				webhook.ServeHTTP(httptest.NewRecorder(), r)
				panic(http.ErrAbortHandler) // which closes the connection
			}
			webhook.ServeHTTP(w, r)
		}),
	}
	done := make(chan struct{})
	go func() { _ = b.server.Serve(listener); close(done) }()
	t.Cleanup(func() { _ = b.server.Close(); <-done })
	return b
}

func (b *backend) count(id string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.handled[id]
}

func (b *backend) total() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := 0
	for _, times := range b.handled {
		n += times
	}
	return n
}

// observed gives the statuses that the receiver meant.
func (b *backend) observed() []int {
	b.mu.Lock()
	defer b.mu.Unlock()
	var statuses []int
	for _, d := range b.seen {
		statuses = append(statuses, d.StatusCode)
	}
	return statuses
}

// lastHeader gives the fields of the request that came last.
func (b *backend) lastHeader() http.Header {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.headers) == 0 {
		return nil
	}
	return b.headers[len(b.headers)-1]
}

// errWork is what a handler returns that fails when its work is done.
var errWork = errors.New("it failed at the end")

// payload is that of a task, padded to size.
func payload(id string, size int) string {
	head := fmt.Sprintf(`{"id":%q,"object":"task","kind":"nsfw","status":"completed"`, id)
	return head + strings.Repeat(" ", max(0, size-len(head)-1)) + "}"
}

func signatureOf(body string) string { return ittybit.SignWebhook(secret, time.Now(), []byte(body)) }

// delivery is written as it stands.
type delivery struct {
	id      string
	fields  []string // lines of the head, without framing
	body    string
	chunked bool
	pause   time.Duration // between two bytes
	expect  bool          // waits for 100 Continue
	keep    bool          // keeps the connection
}

func good(id string) delivery {
	body := payload(id, 0)
	return delivery{id: id, fields: []string{"Ittybit-Signature: " + signatureOf(body)}, body: body}
}

// sender is a connection to a proxy.
type sender struct {
	address string
	conn    net.Conn
	reader  *bufio.Reader
}

// answer is what a sender gets; status 0 where the connection was closed.
type answer struct {
	status     int
	retryAfter string
}

// post sends a delivery over a new connection.
func post(ctx context.Context, address string, d delivery) answer {
	s := &sender{address: address}
	defer s.close()
	return s.post(ctx, d)
}

func (s *sender) close() {
	if s.conn != nil {
		_ = s.conn.Close()
		s.conn = nil
	}
}

// checkConnection drops a connection that the proxy has closed, as HTTP clients do. It asks the
// kernel: a read with a short deadline fails the same way where the test was not scheduled in time.
func (s *sender) checkConnection() {
	if s.conn == nil {
		return
	}
	_ = s.conn.SetDeadline(time.Time{})
	raw, err := s.conn.(*net.TCPConn).SyscallConn()
	if err == nil {
		var received error
		err = raw.Read(func(fd uintptr) bool {
			_, _, received = syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
			return true
		})
		if errors.Is(received, syscall.EAGAIN) && err == nil {
			return // open, and nothing has come
		}
	}
	s.close()
}

func (s *sender) post(ctx context.Context, d delivery) answer {
	s.checkConnection()
	if s.conn == nil {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", s.address)
		if err != nil {
			return answer{}
		}
		s.conn, s.reader = conn, bufio.NewReader(conn)
	}
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(waitLimit)
	}
	_ = s.conn.SetDeadline(deadline)
	var head strings.Builder
	head.WriteString("POST /ittybit-webhook HTTP/1.1\r\nHost: proxies.test\r\nContent-Type: application/json\r\n")
	for _, line := range d.fields {
		head.WriteString(line + "\r\n")
	}
	if !d.keep {
		head.WriteString("Connection: close\r\n")
	}
	body := d.body
	if d.chunked {
		head.WriteString("Transfer-Encoding: chunked\r\n")
		half := len(body) / 2
		body = fmt.Sprintf("%x\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n", half, body[:half], len(body)-half, body[half:])
	} else {
		fmt.Fprintf(&head, "Content-Length: %d\r\n", len(body))
	}
	if d.expect {
		head.WriteString("Expect: 100-continue\r\n")
	}
	_, _ = io.WriteString(s.conn, head.String()+"\r\n")
	if d.expect {
		resp, err := http.ReadResponse(s.reader, nil)
		if err != nil || resp.StatusCode != http.StatusContinue {
			return answer{}
		}
	}
	conn := s.conn
	go writeSlowly(conn, body, d.pause)
	resp, err := http.ReadResponse(s.reader, &http.Request{Method: http.MethodPost})
	for err == nil && resp.StatusCode == http.StatusContinue { // Caddy hands on the backend's, too
		resp, err = http.ReadResponse(s.reader, &http.Request{Method: http.MethodPost})
	}
	if err != nil {
		s.close()
		return answer{}
	}
	defer func() { _ = resp.Body.Close() }()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.Close {
		s.close()
	}
	return answer{resp.StatusCode, resp.Header.Get("Retry-After")}
}

func writeSlowly(w io.Writer, body string, pause time.Duration) {
	if pause == 0 {
		_, _ = io.WriteString(w, body)
		return
	}
	for i := range len(body) {
		if _, err := io.WriteString(w, body[i:i+1]); err != nil {
			return
		}
		time.Sleep(pause)
	}
}

// requireAnswer sends a delivery that must get a status.
func requireAnswer(t *testing.T, address string, d delivery, status int) answer {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), waitLimit)
	defer cancel()
	got := post(ctx, address, d)
	assert.Equal(t, status, got.status, d.id)
	return got
}
