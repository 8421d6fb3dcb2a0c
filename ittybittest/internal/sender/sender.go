// Package sender delivers webhooks: attempts with backoff, copies, and their order.
package sender

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ittybit/ittybit-go/ittybittest/internal/lifecycle"
)

const maxResponseBody = 64 << 10

var (
	errHungUp    = errors.New("ittybittest: the sender hung up, as its fault says")
	errTooLate   = errors.New("ittybittest: the receiver did not answer in time")
	errCancelled = errors.New("ittybittest: the delivery was cancelled")
	// ErrClosed is the error of an attempt that the server's end cut short.
	ErrClosed = errors.New("ittybittest: the server was closed")
)

// Attempt is the record of one attempt, as the package ittybittest shows it.
type Attempt struct {
	Number         int64
	ID             string
	Copy           int
	Attempt        int
	URL            string
	Body           []byte
	Signature      string
	Time           time.Time
	Duration       time.Duration
	StatusCode     int
	ResponseHeader http.Header
	ResponseBody   []byte
	Err            error
	Final          bool
}

// Delivered reports whether the receiver confirmed the delivery: with 200, and nothing else.
func (a Attempt) Delivered() bool { return a.Err == nil && a.StatusCode == http.StatusOK }

// Fault is what goes wrong with an attempt.
type Fault struct {
	Delay        time.Duration
	InBody       bool // hang up when half of the body was sent
	BeforeAnswer bool // hang up when the request was sent
}

// Config says how a Sender works.
type Config struct {
	Life      *lifecycle.Life
	Transport http.RoundTripper
	// Unbuffered has sent all of a request when it says so to httptrace.
	Unbuffered http.RoundTripper
	NewID      func() string
	Sign       func(at time.Time, body []byte) string
	SignOnce   bool
	Wait       func(attempt int) time.Duration // before the next one
	Attempts   int
	Timeout    time.Duration
	// Spread is asked for each webhook: how many copies go out beside it, and how long it is
	// held back for those that follow to overtake it.
	Spread func() (copies int, window time.Duration)
	Fault  func(Attempt) Fault
	// Refuse is asked before an address is dialled. An error that matches Refused ends a delivery.
	Refuse  func(*http.Request) error
	Refused error
	Record  func(Attempt)
}

// Sender delivers webhooks. Make one with [New].
type Sender struct {
	Config
	mu       sync.Mutex
	underWay map[string][]*delivery // by id
	held     []*delivery
}

// New makes a Sender.
func New(c Config) *Sender { return &Sender{Config: c, underWay: map[string][]*delivery{}} }

// delivery is one copy of a webhook on its way.
type delivery struct {
	Attempt
	ctx    context.Context //nolint:containedctx // it is the delivery's own
	cancel context.CancelFunc
	begun  chan struct{} // closed after the first attempt
	signed bool          // by the caller
}

// Send sends a webhook and does not wait. It reports false if the server is closed.
func (s *Sender) Send(url string, body []byte) (id string, ok bool) {
	return s.SendSigned(url, body, "")
}

// SendSigned is Send with this signature for every attempt, if it is not empty.
func (s *Sender) SendSigned(url string, body []byte, signature string) (id string, ok bool) {
	id = s.NewID()
	copies, window := s.Spread()
	for n := range 1 + max(copies, 0) {
		d := &delivery{Attempt: Attempt{ID: id, Copy: n, URL: url, Body: body, Signature: signature}, begun: make(chan struct{}), signed: signature != ""}
		d.ctx, d.cancel = context.WithCancel(s.Life.Context()) //nolint:fatcontext // each has its own
		s.mu.Lock()
		s.underWay[id] = append(s.underWay[id], d)
		s.mu.Unlock()
		if window > 0 {
			ok = s.hold(d, window)
		} else {
			ok = s.Life.Go(func() { s.deliver(d) })
		}
		if !ok {
			s.done(d)
			return id, false
		}
	}
	return id, true
}

// Cancel ends a delivery that is under way, with all its copies.
func (s *Sender) Cancel(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := s.underWay[id]
	delete(s.underWay, id)
	for _, d := range found {
		d.cancel()
	}
	return len(found) > 0
}

func (s *Sender) done(d *delivery) {
	d.cancel()
	s.mu.Lock()
	defer s.mu.Unlock()
	left := slices.DeleteFunc(s.underWay[d.ID], func(other *delivery) bool { return other == d })
	if s.underWay[d.ID] = left; len(left) == 0 {
		delete(s.underWay, d.ID)
	}
}

// hold keeps a delivery until the window of the first one held is over.
func (s *Sender) hold(d *delivery, window time.Duration) bool {
	s.mu.Lock()
	s.held = append(s.held, d)
	first := len(s.held) == 1
	s.mu.Unlock()
	if !first {
		return !s.Life.Over()
	}
	return s.Life.Go(func() {
		if !s.Life.Pause(s.Life.Context(), window) {
			return
		}
		s.mu.Lock()
		held := s.held
		s.held = nil
		s.mu.Unlock()
		for _, d := range slices.Backward(held) {
			if !s.Life.Go(func() { s.deliver(d) }) {
				return
			}
			<-d.begun
		}
	})
}

// deliver makes attempts until the receiver confirmed, or the schedule is at its end.
func (s *Sender) deliver(d *delivery) {
	defer s.done(d)
	for n := 1; ; n++ {
		a := s.attempt(d, n)
		s.Record(a)
		if n == 1 {
			close(d.begun)
		}
		if a.Final {
			return
		}
		if !s.Life.Pause(d.ctx, s.Wait(n)) {
			if !s.Life.Over() { // cancelled: the record says so
				a.Attempt, a.Time, a.Duration, a.Final = n+1, time.Now(), 0, true
				a.StatusCode, a.ResponseHeader, a.ResponseBody, a.Err = 0, nil, nil, errCancelled
				s.Record(a)
			}
			return
		}
	}
}

func (s *Sender) attempt(d *delivery, n int) Attempt {
	a := d.Attempt
	a.Attempt, a.Time = n, time.Now()
	if d.Signature == "" || !s.SignOnce && !d.signed {
		d.Signature = s.Sign(a.Time, a.Body)
	}
	a.Signature = d.Signature
	shown := a
	shown.Body = bytes.Clone(a.Body)
	fault := s.Fault(shown)
	if s.Life.Pause(d.ctx, fault.Delay) {
		started := time.Now()
		a.Err = s.post(d.ctx, &a, fault)
		a.Duration = time.Since(started)
	}
	if d.ctx.Err() != nil && a.StatusCode == 0 {
		a.Err = errCancelled
		if s.Life.Over() {
			a.Err = ErrClosed
		}
	}
	a.Final = a.Delivered() || n >= s.Attempts || errors.Is(a.Err, s.Refused) || d.ctx.Err() != nil
	return a
}

// post sends one request, and fills in the response.
func (s *Sender) post(ctx context.Context, a *Attempt, fault Fault) error {
	ctx, cancel := context.WithTimeoutCause(ctx, s.Timeout, errTooLate)
	defer cancel()
	var sent atomic.Bool
	transport := s.Transport
	if fault.BeforeAnswer {
		transport = s.Unbuffered
		ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteRequest: func(info httptrace.WroteRequestInfo) {
			sent.Store(info.Err == nil)
			cancel()
		}})
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, a.URL, bytes.NewReader(a.Body))
	if err != nil {
		return err
	}
	if err := s.Refuse(req); err != nil {
		return err
	}
	SetHeader(req.Header, a.Signature)
	if fault.InBody {
		req.GetBody = nil
		req.Body = io.NopCloser(io.MultiReader(bytes.NewReader(a.Body[:len(a.Body)/2]), hungUpReader{}))
	}
	resp, err := transport.RoundTrip(req)
	if resp != nil {
		defer func() { _ = resp.Body.Close() }() // only read
	}
	switch {
	case fault.InBody, fault.BeforeAnswer && (err == nil || sent.Load()):
		return errHungUp
	case errors.Is(context.Cause(ctx), errTooLate) && err != nil:
		return fmt.Errorf("%w (%v)", errTooLate, s.Timeout)
	case err != nil:
		return err
	}
	a.StatusCode, a.ResponseHeader = resp.StatusCode, resp.Header
	a.ResponseBody, _ = io.ReadAll(io.LimitReader(resp.Body, maxResponseBody)) // the status alone counts
	return nil
}

// SetHeader sets the headers of a webhook.
func SetHeader(h http.Header, signature string) {
	h.Set("Content-Type", "application/json")
	h.Set("User-Agent", "ittybittest-webhooks/1")
	h.Set("Ittybit-Signature", signature)
}

type hungUpReader struct{}

// Read implements io.Reader.
func (hungUpReader) Read([]byte) (int, error) { return 0, errHungUp }
