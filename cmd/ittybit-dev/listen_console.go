package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/ittybit/ittybit-go/cmd/ittybit-dev/internal/console"
	"github.com/ittybit/ittybit-go/ittybittest"
)

// recorder keeps the attempts of listen, and shows them in a console. It is a local Ittybit that
// has no port: with the real key it would sign anything for whoever reached it.
type recorder struct {
	srv     *ittybittest.Server
	forward string
}

// openRecorder serves a console of what is delivered to an address, and gives the address of its
// page.
func openRecorder(ctx context.Context, s *settings, f *listenFlags) (*recorder, string, error) {
	to, err := url.Parse(f.forward)
	if err != nil {
		return nil, "", err
	}
	inside, password := newPipe(), rand.Text()
	srv := ittybittest.NewServer(
		ittybittest.WithAPIKey(s.apiKey()), ittybittest.WithListeners(inside, newPipe()), ittybittest.WithControl(password),
		ittybittest.WithWebhookHosts(to.Hostname()), ittybittest.WithBackoff(ittybittest.Backoff{First: time.Second, Max: maxListenWait}),
	)
	page, err := startConsole(ctx, f.console, f.state, console.Config{
		Control: srv.URL, ControlPassword: password, Transport: &http.Transport{DialContext: inside.dial},
		API: s.url, Shown: withoutQuery(s.url), Key: s.apiKey(), Forward: withoutQuery(f.forward), Password: s.password,
	})
	if err != nil {
		srv.Close()
		return nil, "", err
	}
	return &recorder{srv, f.forward}, page, nil
}

// add records an attempt. There may be no recorder.
func (r *recorder) add(key string, d ittybittest.Delivery) {
	if r == nil {
		return
	}
	sum := sha256.Sum256([]byte(key))
	d.ID, d.URL = "dlv_"+hex.EncodeToString(sum[:8]), r.forward
	d.Final = d.Delivered()
	r.srv.Record(d)
}

// Close ends what is sent again.
func (r *recorder) Close() {
	if r != nil {
		r.srv.Close()
	}
}

// pipe is a listener that only its own dial reaches.
type pipe struct {
	connections chan net.Conn
	closed      chan struct{}
	once        sync.Once
}

func newPipe() *pipe { return &pipe{connections: make(chan net.Conn), closed: make(chan struct{})} }

// Accept implements net.Listener.
func (p *pipe) Accept() (net.Conn, error) {
	select {
	case c := <-p.connections:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (p *pipe) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

// Addr implements net.Listener. No port has this number.
func (p *pipe) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

func (p *pipe) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	near, far := net.Pipe()
	var err error
	select {
	case p.connections <- far:
		return near, nil
	case <-p.closed:
		err = net.ErrClosed
	case <-ctx.Done():
		err = ctx.Err()
	}
	return nil, errors.Join(err, near.Close(), far.Close())
}
