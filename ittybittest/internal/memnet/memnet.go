// Package memnet is a network in memory: real HTTP servers and clients that talk over net.Pipe
// in place of sockets, so that testing/synctest sees every goroutine wait.
package memnet

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"
)

// Network connects clients with listeners by the name of a host. The zero value is ready.
type Network struct {
	mu        sync.Mutex
	listeners map[string]*listener
}

// Listen makes the listener for a host such as "api.ittybit.test", or with "" for every host
// that has none.
func (n *Network) Listen(host string) net.Listener {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.listeners == nil {
		n.listeners = map[string]*listener{}
	}
	l := &listener{host: host, conns: make(chan net.Conn), closed: make(chan struct{})}
	n.listeners[host] = l
	return l
}

// Dial connects to a host, whatever the port. Where nobody listens the error matches
// syscall.ECONNREFUSED.
func (n *Network) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	l, ok := n.listeners[host]
	if !ok {
		l, ok = n.listeners[""]
	}
	n.mu.Unlock()
	refused := &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
	if !ok {
		return nil, refused
	}
	client, server := net.Pipe()
	select {
	case l.conns <- conn{server}:
		return conn{client}, nil
	case <-l.closed:
		err = refused
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	return nil, errors.Join(err, client.Close(), server.Close())
}

// Transport is an http.Transport of this network. Its https is plain HTTP, too.
func (n *Network) Transport() *http.Transport {
	return &http.Transport{
		DialContext: n.Dial, DialTLSContext: n.Dial,
		MaxIdleConnsPerHost: 100, ExpectContinueTimeout: 10 * time.Second,
	}
}

type listener struct {
	host   string
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (l *listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr implements net.Listener.
func (l *listener) Addr() net.Addr { return address() }

// conn has what callers expect of a TCP connection: addresses, and its errors.
type conn struct{ net.Conn }

func address() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

// LocalAddr implements net.Conn.
func (conn) LocalAddr() net.Addr { return address() }

// RemoteAddr implements net.Conn.
func (conn) RemoteAddr() net.Addr { return address() }

// Write implements net.Conn.
func (c conn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if errors.Is(err, io.ErrClosedPipe) {
		err = &net.OpError{Op: "write", Net: "tcp", Err: syscall.EPIPE}
	}
	return n, err
}
