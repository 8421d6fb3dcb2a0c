package inboxtest

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"net/url"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// Wire is a proxy of PostgreSQL's protocol, which counts round trips and cuts connections.
type Wire struct {
	listener net.Listener
	target   string

	mu         sync.Mutex
	roundTrips int
	cutAfter   int // round trips; 0: never
	conns      map[net.Conn]bool
	closed     bool
	all        sync.WaitGroup
}

// NewWire starts a proxy in front of the server of a database's URL, and gives the URL by way of
// it.
func NewWire(t testing.TB, address string) (*Wire, string) {
	t.Helper()
	own, err := url.Parse(address)
	require.NoError(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	w := &Wire{listener: listener, target: own.Host, conns: map[net.Conn]bool{}}
	own.Host = listener.Addr().String()
	w.all.Go(w.accept)
	t.Cleanup(w.close)
	return w, own.String()
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

// CutAt has the connection cut that the server's n-th response from now on is for, which does not
// arrive. Zero: none.
func (w *Wire) CutAt(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cutAfter = n
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
		hangUp := func() {
			_, _ = client.Close(), server.Close()
			w.mu.Lock()
			defer w.mu.Unlock()
			delete(w.conns, client)
			delete(w.conns, server)
		}
		w.all.Go(func() { defer hangUp(); _, _ = io.Copy(server, client) })
		w.all.Go(func() { defer hangUp(); w.responses(client, bufio.NewReader(server)) })
	}
}

// readyForQuery is the type of the message that ends each of the server's responses.
const readyForQuery = 'Z'

// responses hands on one whole response after the other.
func (w *Wire) responses(client io.Writer, server io.Reader) {
	for {
		var response []byte
		for done := false; !done; {
			head := make([]byte, 5) // the type, and the length without it
			if _, err := io.ReadFull(server, head); err != nil {
				_, _ = client.Write(response) // such as why the server closes the connection
				return
			}
			message := make([]byte, int(binary.BigEndian.Uint32(head[1:]))-4)
			if _, err := io.ReadFull(server, message); err != nil {
				return
			}
			response = append(append(response, head...), message...)
			// While it waits for a password or for data, the client has to see what there is.
			done = head[0] == readyForQuery || head[0] == 'R' || head[0] == 'G'
			if head[0] == readyForQuery && w.cut() {
				return
			}
		}
		if _, err := client.Write(response); err != nil {
			return
		}
	}
}

// cut counts a round trip, and reports whether the connection is to be cut.
func (w *Wire) cut() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.roundTrips++
	if w.cutAfter == 0 {
		return false
	}
	w.cutAfter--
	return w.cutAfter == 0
}
