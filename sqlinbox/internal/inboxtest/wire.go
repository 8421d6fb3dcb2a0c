package inboxtest

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// Wire is a proxy of a database's protocol, which counts round trips, and has requests fail.
type Wire struct {
	injector // of requests

	listener net.Listener
	target   string
	protocol protocol

	mu         sync.Mutex
	roundTrips int
	conns      map[net.Conn]bool
	closed     bool
	all        sync.WaitGroup
}

// protocol is one of a database.
type protocol struct {
	requests  func(*link, io.Reader) // hands on what the client sends
	responses func(*link, io.Reader) // hands on what the server sends
	failing   []byte                 // a request that fails
}

// NewWire starts a proxy in front of the server of a database's URL, of PostgreSQL, and gives the
// URL by way of it.
func NewWire(t testing.TB, address string) (*Wire, string) {
	t.Helper()
	own, err := url.Parse(address)
	require.NoError(t, err)
	w := newWire(t, own.Host, postgresProtocol())
	own.Host = w.listener.Addr().String()
	return w, own.String()
}

func newWire(t testing.TB, target string, p protocol) *Wire {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	w := &Wire{listener: listener, target: target, protocol: p, conns: map[net.Conn]bool{}}
	w.all.Go(w.accept)
	t.Cleanup(w.close)
	return w
}

func (w *Wire) close() {
	_ = w.listener.Close()
	w.mu.Lock()
	w.closed = true
	for conn := range w.conns {
		_ = conn.Close()
	}
	w.mu.Unlock()
	w.all.Wait()
}

// RoundTrips counts the round trips of what do does.
func (w *Wire) RoundTrips(do func()) int {
	w.mu.Lock()
	before := w.roundTrips
	w.mu.Unlock()
	do()
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.roundTrips - before
}

func (w *Wire) accept() {
	for {
		client, err := w.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", w.target)
		if err != nil {
			_ = client.Close()
			continue
		}
		w.mu.Lock()
		if w.closed {
			_, _ = client.Close(), server.Close()
		}
		w.conns[client], w.conns[server] = true, true
		w.mu.Unlock()
		link := &link{wire: w, client: client, server: server}
		w.all.Go(func() { defer link.close(); w.protocol.requests(link, bufio.NewReader(client)) })
		w.all.Go(func() { defer link.close(); w.protocol.responses(link, bufio.NewReader(server)) })
	}
}

// link is a client's connection, and the one to the server that stands for it.
type link struct {
	wire           *Wire
	client, server net.Conn
	losesReply     atomic.Bool // the next response of the server is not to arrive
}

func (l *link) close() {
	_, _ = l.client.Close(), l.server.Close()
	l.wire.mu.Lock()
	defer l.wire.mu.Unlock()
	delete(l.wire.conns, l.client)
	delete(l.wire.conns, l.server)
}

// Types of messages of the client's.
const (
	querying = 'Q' // a statement without arguments: a request of its own
	syncing  = 'S' // the end of a request of several messages
)

func postgresProtocol() protocol {
	const failing = "SELECT 1/0\x00"
	return protocol{postgresRequests, postgresResponses, append([]byte{querying, 0, 0, 0, byte(4 + len(failing))}, failing...)}
}

// postgresRequests hands on one whole request after the other.
func postgresRequests(l *link, client io.Reader) {
	startup, err := readMessage(client, 0) // the one without a type
	if err != nil || !l.request(callConnect, startup, client) {
		return
	}
	var request []byte
	for {
		message, err := readMessage(client, 1)
		if err != nil {
			return
		}
		request = append(request, message...)
		switch message[0] {
		case querying:
			statement := string(bytes.TrimRight(message[5:], "\x00"))
			if !l.request(statement, request, client) {
				return
			}
		case syncing:
			if !l.request("a request with arguments", request, client) {
				return
			}
		case 'P', 'B', 'D', 'E', 'C', 'H': // parts of a request
			continue
		default:
			if _, err := l.server.Write(request); err != nil {
				return
			}
		}
		request = nil
	}
}

// request hands one request on, unless it is the one that fails. It reports whether the connection
// goes on.
func (l *link) request(what string, request []byte, client io.Reader) bool {
	switch l.wire.next(what) {
	case Fails:
		if what == callConnect {
			return false
		}
		request = l.wire.protocol.failing
	case Loses:
		return false
	case LosesReply:
		l.losesReply.Store(true)
	case Hangs:
		_, _ = io.Copy(io.Discard, client) // until the client has given up
		return false
	}
	_, err := l.server.Write(request)
	return err == nil
}

// readMessage reads a message that begins with its type, of so many bytes, and its length.
func readMessage(from io.Reader, typeBytes int) ([]byte, error) {
	head := make([]byte, typeBytes+4)
	if _, err := io.ReadFull(from, head); err != nil {
		return nil, err
	}
	message := make([]byte, typeBytes+int(binary.BigEndian.Uint32(head[typeBytes:]))) // the length counts itself
	copy(message, head)
	_, err := io.ReadFull(from, message[len(head):])
	return message, err
}

// readyForQuery is the type of the message that ends each of the server's responses.
const readyForQuery = 'Z'

// postgresResponses hands on one whole response after the other.
func postgresResponses(l *link, server io.Reader) {
	for {
		var response []byte
		for done := false; !done; {
			message, err := readMessage(server, 1)
			if err != nil {
				_, _ = l.client.Write(response) // such as why the server closes the connection
				return
			}
			response = append(response, message...)
			// While it waits for a password or for data, the client has to see what there is.
			done = message[0] == readyForQuery || message[0] == 'R' || message[0] == 'G'
			if message[0] == readyForQuery {
				l.wire.count()
				if l.losesReply.Load() {
					return
				}
			}
		}
		if _, err := l.client.Write(response); err != nil {
			return
		}
	}
}

func (w *Wire) count() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.roundTrips++
}
