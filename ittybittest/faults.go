package ittybittest

import (
	"fmt"
	"net/http"
	"sync"
	"time"
)

// Faults is what goes wrong, for [Server.SetFaults]. The zero value is
// nothing. The functions may be called from several goroutines at once.
type Faults struct {
	// Latency is added to every request before it is acted on.
	Latency time.Duration
	// Request, if not nil, chooses the fault of each request, to the API and to
	// the storage: the Host tells them apart. It may read the body of an API
	// request; of one to the storage it sees none.
	Request func(*http.Request) RequestFault

	// Duplicates is how many copies of each webhook are sent beside it at the
	// same moment. Each copy is retried on its own.
	Duplicates int
	// ReorderWindow holds webhooks back: those gathered within this time of the
	// first are sent one after the other, the last one first.
	ReorderWindow time.Duration
	// Delivery, if not nil, chooses the fault of each attempt to deliver a webhook. It sees what is
	// known before the attempt: ID, Copy, Attempt, URL, Body, Signature and Time.
	Delivery func(Delivery) DeliveryFault
}

// RequestFault is what goes wrong with one request to the API or the storage.
// Whoever may not upload is refused without the body being read, also by a
// fault; any other upload is received first, but not kept unless it is acted on.
type RequestFault struct {
	// Latency passes before the request is acted on. A client that gives up
	// meanwhile has changed nothing.
	Latency time.Duration
	// AnswerLatency passes between acting and answering. A client that gives up
	// meanwhile does not know that its request was acted on.
	AnswerLatency time.Duration
	// Status, if not 0, is answered in place of acting on the request, together
	// with Header (Retry-After, for instance) and Message.
	Status  int
	Header  http.Header
	Message string // default: the status's text
	// Drop closes the connection early.
	Drop Drop
}

// Drop says when a connection is dropped.
type Drop int

const (
	// DropNone drops nothing.
	DropNone Drop = iota
	// DropBefore closes the connection when the request was read, and does not act on it.
	DropBefore
	// DropAfter acts on the request, then closes the connection in place of answering.
	DropAfter
	// DropInBody closes the connection when half of an upload's body was read, or its first byte if
	// its length is not known, and keeps nothing of it. For any other request it is DropBefore.
	DropInBody
	// DropInAnswer acts on the request, and closes the connection when the status,
	// the header and half of the body of its answer were sent.
	DropInAnswer
)

// DeliveryFault is what goes wrong with one attempt to deliver a webhook. An
// attempt that hung up is retried, whatever the receiver made of it.
type DeliveryFault struct {
	// Delay passes before the attempt.
	Delay time.Duration
	// HangUp makes the sender close the connection early.
	HangUp HangUp
}

// HangUp says when the sender of a webhook closes its connection early.
type HangUp int

const (
	// HangUpNever lets an attempt come to its end.
	HangUpNever HangUp = iota
	// HangUpInBody closes the connection when half of the body was sent.
	HangUpInBody
	// HangUpBeforeAnswer sends the whole request, and closes the connection
	// without waiting for the answer.
	HangUpBeforeAnswer
)

// SetFaults replaces all faults, and clears those that [Server.FailRequests] and
// [Server.FailDeliveries] left. It can be called at any time; what is under way is not changed.
func (s *Server) SetFaults(f Faults) {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	s.faults.current = f
	s.faults.requests, s.faults.deliveries = nil, nil
}

// FailRequests gives the next n requests, to the API or the storage, this fault; the zero fault
// stands for status 503. Faults.Request is not asked about them. Several calls queue up. It panics
// if n is less than 1: that would fail nothing.
func (s *Server) FailRequests(n int, f RequestFault) {
	if f.Status == 0 && f.Drop == DropNone && f.Latency == 0 && f.AnswerLatency == 0 {
		f.Status = http.StatusServiceUnavailable
	}
	push(&s.faults, &s.faults.requests, n, f)
}

// FailDeliveries gives the next n attempts to deliver a webhook this fault; the zero fault
// stands for HangUpBeforeAnswer. Faults.Delivery is not asked about them. Several calls queue up.
// It panics if n is less than 1.
func (s *Server) FailDeliveries(n int, f DeliveryFault) {
	if f == (DeliveryFault{}) {
		f.HangUp = HangUpBeforeAnswer
	}
	push(&s.faults, &s.faults.deliveries, n, f)
}

type faults struct {
	mu         sync.Mutex
	current    Faults
	requests   []queued[RequestFault]
	deliveries []queued[DeliveryFault]
}

// queued is a fault of so many requests or attempts.
type queued[T any] struct {
	left  int
	fault T
}

func (q queued[T]) isEmpty() bool { return q.left < 1 }

func push[T any](f *faults, queue *[]queued[T], n int, fault T) {
	if n < 1 {
		panic(fmt.Sprintf("ittybittest: a fault must be for 1 or more, not %d", n))
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	*queue = append(*queue, queued[T]{n, fault})
}

func (f *faults) spread() (copies int, window time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.current.Duplicates, f.current.ReorderWindow
}

func (f *faults) forRequest(r *http.Request) RequestFault {
	fault, queued, current := pop(f, &f.requests)
	if !queued && current.Request != nil {
		fault = current.Request(r)
	}
	fault.Latency += current.Latency
	return fault
}

func (f *faults) forDelivery(d Delivery) DeliveryFault {
	fault, queued, current := pop(f, &f.deliveries)
	if !queued && current.Delivery != nil {
		fault = current.Delivery(d)
	}
	return fault
}

// pop takes the first fault of a queue, if there is one.
func pop[T any](f *faults, queue *[]queued[T]) (fault T, ok bool, current Faults) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(*queue) > 0 {
		first := &(*queue)[0]
		fault, ok = first.fault, true
		if first.left--; first.isEmpty() {
			*queue = (*queue)[1:]
		}
	}
	return fault, ok, f.current
}
