package ittybittest

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
	"testing/iotest"
	"time"

	"github.com/ittybit/ittybit-go/ittybittest/internal/lifecycle"
)

const maxResponseBody = 64 << 10

var (
	errHungUp    = errors.New("ittybittest: the sender hung up, as its fault says")
	errTooLate   = errors.New("ittybittest: the receiver did not answer in time")
	errCancelled = errors.New("ittybittest: the delivery was cancelled")
	errClosed    = errors.New("ittybittest: the server was closed")
)

// sender delivers webhooks: attempts with backoff, copies, and their order.
type sender struct {
	srv   *Server
	life  *lifecycle.Life
	newID func(prefix string) string

	mu       sync.Mutex
	underWay map[string]*webhook // by id
	held     []*delivery
}

// webhook is one on its way, with so many copies left.
type webhook struct {
	cancel context.CancelFunc
	copies int
}

// delivery is one copy of a webhook on its way.
type delivery struct {
	Delivery
	ctx   context.Context //nolint:containedctx // it is the webhook's own
	begun chan struct{}   // closed after the first attempt
	keep  bool            // its signature, for every attempt
}

// send sends a webhook, and does not wait. With a signature every attempt has that. It reports
// false if the server is closed.
func (s *sender) send(url string, body []byte, signature string) (id string, ok bool) {
	id = s.newID("dlv")
	duplicates, window := s.srv.faults.spread()
	copies := 1 + max(duplicates, 0)
	ctx, cancel := context.WithCancel(s.life.Context())
	s.mu.Lock()
	s.underWay[id] = &webhook{cancel, copies}
	s.mu.Unlock()
	for n := range copies {
		d := &delivery{
			Delivery: Delivery{ID: id, Copy: n, URL: url, Body: body, Signature: signature}, ctx: ctx,
			begun: make(chan struct{}), keep: signature != "" || s.srv.config.signing == SignOnce,
		}
		if window > 0 {
			ok = s.hold(d, window)
		} else {
			ok = s.life.Go(func() { s.deliver(d) })
		}
		if !ok {
			s.cancel(id)
			return id, false
		}
	}
	return id, true
}

// cancel ends a delivery that is under way, with all its copies.
func (s *sender) cancel(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	hook := s.underWay[id]
	if delete(s.underWay, id); hook != nil {
		hook.cancel()
	}
	return hook != nil
}

// done counts a copy off; the last one ends the webhook.
func (s *sender) done(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if hook := s.underWay[id]; hook != nil {
		if hook.copies--; hook.copies == 0 {
			hook.cancel()
			delete(s.underWay, id)
		}
	}
}

// hold keeps a delivery until the window of the first one held is over.
func (s *sender) hold(d *delivery, window time.Duration) bool {
	s.mu.Lock()
	s.held = append(s.held, d)
	first := len(s.held) == 1
	s.mu.Unlock()
	if !first {
		return !s.life.Over()
	}
	return s.life.Go(func() {
		if !s.life.Pause(s.life.Context(), window) {
			return
		}
		s.mu.Lock()
		held := s.held
		s.held = nil
		s.mu.Unlock()
		for _, d := range slices.Backward(held) {
			if !s.life.Go(func() { s.deliver(d) }) {
				return
			}
			<-d.begun
		}
	})
}

// deliver makes attempts until the receiver confirmed, or the schedule is at its end.
func (s *sender) deliver(d *delivery) {
	defer s.done(d.ID)
	for n := 1; ; n++ {
		a := s.attempt(d, n)
		s.srv.Record(a)
		if n == 1 {
			close(d.begun)
		}
		if a.Final {
			return
		}
		if !s.life.Pause(d.ctx, s.srv.config.backoff.wait(n)) {
			if !s.life.Over() { // cancelled: the record says so
				a.Attempt, a.Time, a.Duration, a.Final = n+1, time.Now(), 0, true
				a.StatusCode, a.ResponseHeader, a.ResponseBody, a.Err = 0, nil, nil, errCancelled
				s.srv.Record(a)
			}
			return
		}
	}
}

func (s *sender) attempt(d *delivery, n int) Delivery {
	if d.Attempt, d.Time = n, time.Now(); d.Signature == "" || !d.keep {
		d.Signature = s.srv.config.signing.sign(s.srv.APIKey, d.Time, d.Body)
	}
	a := d.Delivery
	shown := a
	shown.Body = bytes.Clone(a.Body)
	fault := s.srv.faults.forDelivery(shown)
	if s.life.Pause(d.ctx, fault.Delay) {
		started := time.Now()
		a.Err = s.post(d.ctx, &a, fault)
		a.Duration = time.Since(started)
	}
	if d.ctx.Err() != nil && a.StatusCode == 0 {
		a.Err = errCancelled
		if s.life.Over() {
			a.Err = errClosed
		}
	}
	a.Final = a.Delivered() || n >= s.srv.config.backoff.Attempts || errors.Is(a.Err, ErrNotLoopback) || d.ctx.Err() != nil
	return a
}

// post sends one request, and fills in the response.
func (s *sender) post(ctx context.Context, a *Delivery, fault DeliveryFault) error {
	timeout := s.srv.config.deliveryTimeout
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, errTooLate)
	defer cancel()
	var sent atomic.Bool
	transport := s.srv.webhooks
	if fault.HangUp == HangUpBeforeAnswer {
		transport = s.srv.unbuffered
		ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteRequest: func(info httptrace.WroteRequestInfo) {
			sent.Store(info.Err == nil)
			cancel()
		}})
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, a.URL, bytes.NewReader(a.Body))
	if err != nil {
		return err
	}
	if !s.srv.config.withoutSockets && !s.srv.mayDeliverTo(req.URL.Hostname()) {
		return ErrNotLoopback
	}
	setWebhookHeader(req.Header, a.Signature)
	if fault.HangUp == HangUpInBody {
		req.GetBody = nil
		req.Body = io.NopCloser(io.MultiReader(bytes.NewReader(a.Body[:len(a.Body)/2]), iotest.ErrReader(errHungUp)))
	}
	resp, err := transport.RoundTrip(req)
	if resp != nil {
		defer func() { _ = resp.Body.Close() }() // it was only read
	}
	switch {
	case fault.HangUp == HangUpInBody, fault.HangUp == HangUpBeforeAnswer && (err == nil || sent.Load()):
		return errHungUp
	case errors.Is(context.Cause(ctx), errTooLate) && err != nil:
		return fmt.Errorf("%w (%v)", errTooLate, timeout)
	case err != nil:
		return err
	}
	a.StatusCode, a.ResponseHeader = resp.StatusCode, resp.Header
	a.ResponseBody, _ = io.ReadAll(io.LimitReader(resp.Body, maxResponseBody)) // the status counts
	return nil
}

func setWebhookHeader(h http.Header, signature string) {
	h.Set("Content-Type", "application/json")
	h.Set("User-Agent", "ittybittest-webhooks/1")
	h.Set("Ittybit-Signature", signature)
}
