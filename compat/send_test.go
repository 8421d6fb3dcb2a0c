package compat

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/quic-go/quic-go/http3"
)

// pause is what a trickling sender waits between two pieces.
const pause = 100 * time.Millisecond

// pieceList cuts a body into n parts.
func pieceList(body string, n int) []string {
	if n < 2 {
		return []string{body}
	}
	size := (len(body) + n - 1) / n
	var pieces []string
	for len(body) > size {
		pieces, body = append(pieces, body[:size]), body[size:]
	}
	return append(pieces, body)
}

// sendHTTP1 sends a request over one connection, byte by byte as it is written here, and reads
// what comes back while it writes.
func sendHTTP1(ctx context.Context, address string, r request) []response {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return []response{{}}
	}
	defer func() { _ = conn.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	reader := bufio.NewReader(conn)
	var answers []response
	for range r.times {
		go writeHTTP1(conn, r)
		answers = append(answers, readHTTP1(reader))
	}
	return answers
}

func writeHTTP1(w io.Writer, r request) {
	var head strings.Builder
	head.WriteString("POST /ittybit-webhook HTTP/1.1\r\nHost: compat.test\r\nContent-Type: application/json\r\n")
	for _, f := range r.fields {
		fmt.Fprintf(&head, "%s: %s\r\n", f.name, f.value)
	}
	if r.chunked {
		head.WriteString("Transfer-Encoding: chunked\r\n\r\n")
	} else {
		fmt.Fprintf(&head, "Content-Length: %d\r\n\r\n", len(r.body))
	}
	_, _ = io.WriteString(w, head.String())
	pieces := pieceList(r.body, r.pieces)
	if r.stops {
		pieces = pieces[:len(pieces)-1]
	}
	for i, piece := range pieces {
		if i > 0 {
			time.Sleep(pause)
		}
		if r.chunked {
			piece = fmt.Sprintf("%x\r\n%s\r\n", len(piece), piece)
		}
		if _, err := io.WriteString(w, piece); err != nil {
			return
		}
	}
	if r.chunked {
		_, _ = io.WriteString(w, "0\r\n\r\n")
	}
}

func readHTTP1(reader *bufio.Reader) response {
	resp, err := http.ReadResponse(reader, &http.Request{Method: http.MethodPost})
	if err != nil {
		return response{}
	}
	return readToEnd(resp)
}

func readToEnd(resp *http.Response) response {
	defer func() { _ = resp.Body.Close() }()
	_, err := io.Copy(io.Discard, resp.Body)
	return response{resp.StatusCode, resp.Header.Get("Retry-After"), err != nil}
}

// sendHTTP3 sends a request over one QUIC connection.
func sendHTTP3(ctx context.Context, address string, r request) []response {
	transport := &http3.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	defer func() { _ = transport.Close() }()
	var answers []response
	for range r.times {
		answers = append(answers, roundTripHTTP3(ctx, transport, address, r))
	}
	return answers
}

func roundTripHTTP3(ctx context.Context, transport *http3.Transport, address string, r request) response {
	body, writer := io.Pipe()
	defer func() { _ = body.Close() }()
	go func() {
		for i, piece := range pieceList(r.body, r.pieces) {
			if i > 0 {
				time.Sleep(pause)
			}
			if i > 0 && r.stops {
				return
			}
			if _, err := io.WriteString(writer, piece); err != nil {
				return
			}
		}
		_ = writer.Close()
	}()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+address+"/ittybit-webhook", body)
	if err != nil {
		return response{}
	}
	for _, f := range r.fields {
		req.Header.Add(f.name, f.value)
	}
	if !r.chunked {
		req.ContentLength = int64(len(r.body))
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return response{}
	}
	return readToEnd(resp)
}
