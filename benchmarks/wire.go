package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/ittybit/ittybit-go"
)

// server is an http.Server on loopback.
type server struct {
	address string
	http    *http.Server
	ended   chan struct{}
}

// serve starts a server with the limits that SECURITY.md recommends.
func serve(handler http.Handler) (*server, error) {
	return start(&http.Server{
		Handler: handler, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 7 * time.Second, WriteTimeout: 10 * time.Second,
		IdleTimeout: 10 * time.Second, MaxHeaderBytes: 16 << 10,
	})
}

// servePatiently starts one whose limits no sender meets who has to wait for a thousand others.
func servePatiently(handler http.Handler) (*server, error) {
	return start(&http.Server{Handler: handler, ReadHeaderTimeout: time.Minute})
}

func start(of *http.Server) (*server, error) {
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &server{listener.Addr().String(), of, make(chan struct{})}
	go func() {
		defer close(s.ended)
		_ = s.http.Serve(listener) // ends with ErrServerClosed
	}()
	return s, nil
}

// stop closes the server and its connections, and waits until it takes no more. It may be called
// again.
func (s *server) stop() {
	_ = s.http.Close()
	<-s.ended
}

// client sends deliveries, one after the other, over a connection that it keeps.
type client interface {
	post(d *delivery) error
	close()
}

// leanClient writes requests that are there as bytes, and reads no more of an answer than it
// must: next to it, the server's part of the time is as large as it can be.
type leanClient struct {
	conn   net.Conn
	reader *bufio.Reader
}

func dialLean(address string) (*leanClient, error) {
	conn, err := new(net.Dialer).DialContext(context.Background(), "tcp", address)
	if err != nil {
		return nil, err
	}
	return &leanClient{conn, bufio.NewReader(conn)}, nil
}

func (c *leanClient) close() { _ = c.conn.Close() }

func (c *leanClient) post(d *delivery) error {
	if _, err := c.conn.Write(d.wire); err != nil {
		return err
	}
	status, err := c.readAnswer()
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("%w: status %d", errUnexpected, status)
	}
	return err
}

var errNotHTTP = errors.New("the answer is not HTTP")

// readAnswer reads an answer and gives its status.
func (c *leanClient) readAnswer() (int, error) {
	line, err := c.reader.ReadSlice('\n')
	if err != nil {
		return 0, err
	}
	if len(line) < len("HTTP/1.1 200") {
		return 0, errNotHTTP
	}
	status, err := strconv.Atoi(string(line[9:12]))
	if err != nil {
		return 0, errNotHTTP
	}
	length := 0
	for {
		if line, err = c.reader.ReadSlice('\n'); err != nil {
			return 0, err
		}
		if len(line) <= 2 {
			break
		}
		if value, found := bytes.CutPrefix(line, []byte("Content-Length: ")); found {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return 0, errNotHTTP
			}
		}
	}
	_, err = c.reader.Discard(length)
	return status, err
}

// usualClient is Go's own.
type usualClient struct {
	http *http.Client
	url  string
}

func newUsualClient(address string) *usualClient {
	return &usualClient{&http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1}}, "http://" + address + "/ittybit-webhook"}
}

func (c *usualClient) close() { c.http.CloseIdleConnections() }

func (c *usualClient) post(d *delivery) error {
	r, err := http.NewRequestWithContext(context.Background(), http.MethodPost, c.url, bytes.NewReader(d.body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set(ittybit.SignatureHeader, d.header)
	resp, err := c.http.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err = io.Copy(io.Discard, resp.Body); err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%w: status %d", errUnexpected, resp.StatusCode)
	}
	return err
}
