package ittybittest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/ittybit/ittybit-go"
)

const senderAgent = "ittybittest-webhooks/1"

// ErrNotLoopback is the Err of a delivery to another machine, which is never
// dialled.
var ErrNotLoopback = errors.New("ittybittest: webhooks are delivered to loopback hosts only (localhost, 127.0.0.1, ::1)")

var (
	errHungUp  = errors.New("ittybittest: the sender hung up, as its fault says")
	errClosed  = errors.New("ittybittest: the server was closed")
	errTooLate = errors.New("ittybittest: the receiver did not answer in time")
)

// NewWebhookRequest makes a request as a server receives it from Ittybit,
// signed with the secret at the current time, for tests that call a handler:
//
//	handler.ServeHTTP(httptest.NewRecorder(), ittybittest.NewWebhookRequest(secret, task))
//
// Its path is /ittybit-webhook. A []byte, a string and a json.RawMessage are the
// body as they are; anything else is marshalled as JSON. Like
// httptest.NewRequest it panics on an error: the payload can't be marshalled.
func NewWebhookRequest(secret string, payload any) *http.Request {
	var body []byte
	switch p := payload.(type) {
	case []byte:
		body = p
	case string:
		body = []byte(p)
	case json.RawMessage:
		body = p
	default:
		encoded, err := marshal(payload)
		if err != nil {
			panic("ittybittest: NewWebhookRequest: " + err.Error())
		}
		body = encoded
	}
	r := httptest.NewRequestWithContext(context.Background(), http.MethodPost, "/ittybit-webhook", bytes.NewReader(body))
	setWebhookHeader(r.Header, ittybit.SignWebhook(secret, time.Now(), body))
	return r
}

func setWebhookHeader(h http.Header, signature string) {
	h.Set("Content-Type", "application/json")
	h.Set("User-Agent", senderAgent)
	h.Set(ittybit.SignatureHeader, signature)
}

// checkWebhookURL refuses what Ittybit would, apart from plain http to a
// loopback host.
func checkWebhookURL(name, address string) error {
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" || (u.Scheme != "https" && u.Scheme != "http") {
		return badRequest("%s must be an absolute https URL.", name)
	}
	if u.Scheme == "http" && !isLoopback(u.Hostname()) {
		return badRequest("%s must be an https URL: plain http is allowed for loopback hosts only.", name)
	}
	return nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || (ip != nil && ip.IsLoopback())
}

// dialLoopback also checks what a name resolved to.
func dialLoopback(ctx context.Context, network, address string) (net.Conn, error) {
	dialer := net.Dialer{Control: func(_, resolved string, _ syscall.RawConn) error {
		if host, _, err := net.SplitHostPort(resolved); err != nil || !isLoopback(host) {
			return ErrNotLoopback
		}
		return nil
	}}
	return dialer.DialContext(ctx, network, address)
}

// delivery is a webhook on its way: one copy of it.
type delivery struct {
	id        string
	copy      int
	url       string
	body      []byte
	signature string        // of the first attempt, with SignOnce
	tried     chan struct{} // closed after the first attempt
}

// deliver sends a webhook, with the copies and the delay that the faults ask
// for. It does not wait.
func (s *Server) deliver(address string, body []byte) bool {
	faults, id := s.faults.get(), newID("dlv")
	for n := range 1 + max(faults.Duplicates, 0) {
		d := &delivery{id: id, copy: n, url: address, body: body, tried: make(chan struct{})}
		var started bool
		if faults.ReorderWindow > 0 {
			started = s.hold(d, faults.ReorderWindow)
		} else {
			started = s.life.start(func() { s.attempts(d) })
		}
		if !started {
			return false
		}
	}
	return true
}

// hold keeps a delivery until the window of the first one held is over.
func (s *Server) hold(d *delivery, window time.Duration) bool {
	s.mu.Lock()
	s.held = append(s.held, d)
	first := len(s.held) == 1
	s.mu.Unlock()
	if !first {
		return s.life.ctx.Err() == nil
	}
	return s.life.start(func() {
		if !s.life.pause(s.life.ctx, window) {
			return
		}
		s.mu.Lock()
		held := s.held
		s.held = nil
		s.mu.Unlock()
		for _, d := range slices.Backward(held) {
			if !s.life.start(func() { s.attempts(d) }) {
				return
			}
			<-d.tried
		}
	})
}

// attempts tries until the receiver confirmed, or the schedule is at its end.
func (s *Server) attempts(d *delivery) {
	for n := 1; ; n++ {
		record := s.attempt(d, n)
		s.logDelivery(record)
		s.log.add(record)
		if n == 1 {
			close(d.tried)
		}
		if record.Final || !s.life.pause(s.life.ctx, s.config.backoff.wait(n)) {
			return
		}
	}
}

// attempt makes one attempt, and returns its record.
func (s *Server) attempt(d *delivery, n int) Delivery {
	record := Delivery{ID: d.id, Copy: d.copy, Attempt: n, URL: d.url, Body: d.body, Time: time.Now()}
	if d.signature == "" || s.config.signing == SignEachAttempt {
		d.signature = ittybit.SignWebhook(s.APIKey, record.Time, d.body)
	}
	record.Signature = d.signature

	fault := s.faults.forDelivery(record.clone())
	if s.life.pause(s.life.ctx, fault.Delay) {
		started := time.Now()
		record.StatusCode, record.Err = s.post(record, fault.HangUp)
		record.Duration = time.Since(started)
	}
	if s.life.ctx.Err() != nil && record.StatusCode == 0 {
		record.Err = errClosed
	}
	record.Final = record.Delivered() || n >= s.config.backoff.Attempts ||
		errors.Is(record.Err, ErrNotLoopback) || s.life.ctx.Err() != nil
	return record
}

// post sends one request, and returns the status of the answer.
func (s *Server) post(record Delivery, hangUp HangUp) (int, error) {
	ctx, cancel := context.WithTimeoutCause(s.life.ctx, s.config.deliveryTimeout, errTooLate)
	defer cancel()
	var sent atomic.Bool
	if hangUp == HangUpBeforeAnswer {
		ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteRequest: func(info httptrace.WroteRequestInfo) {
			sent.Store(info.Err == nil)
			cancel()
		}})
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, record.URL, bytes.NewReader(record.Body))
	if err != nil {
		return 0, err
	}
	if !s.config.withoutSockets && !isLoopback(req.URL.Hostname()) {
		return 0, ErrNotLoopback
	}
	setWebhookHeader(req.Header, record.Signature)
	if hangUp == HangUpInBody {
		req.GetBody = nil
		req.Body = io.NopCloser(io.MultiReader(bytes.NewReader(record.Body[:len(record.Body)/2]), hungUpReader{}))
	}
	resp, err := s.sender.RoundTrip(req)
	if resp != nil {
		defer func() { _ = resp.Body.Close() }() // only read
	}
	switch {
	case sent.Load() || hangUp == HangUpInBody:
		return 0, errHungUp
	case errors.Is(context.Cause(ctx), errTooLate) && err != nil:
		return 0, fmt.Errorf("%w (%v)", errTooLate, s.config.deliveryTimeout)
	case err != nil:
		return 0, err
	}
	_, _ = io.CopyN(io.Discard, resp.Body, 64<<10) // so that the connection can be used again
	return resp.StatusCode, nil
}

type hungUpReader struct{}

func (hungUpReader) Read([]byte) (int, error) { return 0, errHungUp }
