package ittybittest

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// maxDeliveries bounds the memory that records take.
const maxDeliveries = 10_000

// Delivery is the record of one attempt to deliver a webhook.
type Delivery struct {
	// ID is that of the webhook: the same for all its attempts and copies. It is
	// not sent.
	ID string
	// Copy is 0, or the number of a copy that Faults.Duplicates asked for.
	Copy int
	// Attempt counts from 1.
	Attempt int
	// URL is where the webhook goes to.
	URL string
	// Body is the payload, the same for all attempts.
	Body []byte
	// Signature is the value of the Ittybit-Signature header.
	Signature string
	// Time is when the attempt began, and Duration how long it took until the
	// answer, or the error, was there.
	Time     time.Time
	Duration time.Duration
	// StatusCode is that of the receiver's answer, or 0 if there was none, and
	// then Err says why.
	StatusCode int
	Err        error
	// Final says that no other attempt follows.
	Final bool
}

// Delivered reports whether the receiver confirmed the delivery: with status
// 200, and no other, as Ittybit's webhooks documentation asks for.
func (d Delivery) Delivered() bool {
	return d.Err == nil && d.StatusCode == http.StatusOK
}

func (d Delivery) clone() Delivery {
	d.Body = bytes.Clone(d.Body)
	return d
}

// Deliveries returns the record of every attempt that ended, in the order in
// which they did; of more than 10,000 the latest.
func (s *Server) Deliveries() []Delivery {
	records, _, _ := s.log.since(0)
	return records
}

// WaitForDelivery returns the first record that match accepts, among those
// that are there already and then those to come. It fails when ctx ends or the
// server is closed. The match function is called for one record at a time. A record
// is made when the answer is there, which may be before a receiver has done what it
// does after answering, such as calling an observer.
func (s *Server) WaitForDelivery(ctx context.Context, match func(Delivery) bool) (Delivery, error) {
	next := 0
	for {
		closed := s.life.ctx.Err() != nil
		records, following, changed := s.log.since(next)
		for _, d := range records {
			if match(d) {
				return d, nil
			}
		}
		next = following
		if closed {
			return Delivery{}, fmt.Errorf("%w; no delivery matched, of %d", errClosed, next)
		}
		select {
		case <-changed:
		case <-s.life.ctx.Done():
		case <-ctx.Done():
			return Delivery{}, fmt.Errorf("ittybittest: no delivery matched, of %d: %w", next, context.Cause(ctx))
		}
	}
}

// Redeliver sends a recorded webhook once more: the same body to the same
// address, signed anew, with its own retries and a new ID. It does not wait. The
// only error is that the server was closed.
func (s *Server) Redeliver(d Delivery) error {
	if !s.deliver(d.URL, bytes.Clone(d.Body)) {
		return errClosed
	}
	return nil
}

// deliveryLog holds the records, numbered from 0.
type deliveryLog struct {
	mu      sync.Mutex
	dropped int // records that gave way to later ones
	records []Delivery
	changed chan struct{} // closed when a record comes; nil if nobody waits
}

func (l *deliveryLog) add(d Delivery) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.records = append(l.records, d)
	if extra := len(l.records) - maxDeliveries; extra > 0 {
		clear(l.records[:extra])
		l.records = l.records[extra:]
		l.dropped += extra
	}
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
}

// since returns the records from a number on, the number that the next record
// will have, and a channel that is closed when it comes.
func (l *deliveryLog) since(number int) ([]Delivery, int, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	records := []Delivery{}
	for _, d := range l.records[min(max(number-l.dropped, 0), len(l.records)):] {
		records = append(records, d.clone())
	}
	if l.changed == nil {
		l.changed = make(chan struct{})
	}
	return records, l.dropped + len(l.records), l.changed
}
