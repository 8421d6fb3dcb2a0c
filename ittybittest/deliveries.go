package ittybittest

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/ittybit/ittybit-go"
)

// Delivery is the record of one attempt to deliver a webhook.
type Delivery struct {
	// Number counts the records of a server from 1.
	Number int64
	// ID is that of the webhook: the same for all its attempts and copies. It is not sent.
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
	// StatusCode is that of the receiver's answer, or 0 if there was none, and then Err says why.
	StatusCode int
	// ResponseHeader and ResponseBody are those of the answer; of the body 64 KiB at most.
	ResponseHeader http.Header
	ResponseBody   []byte
	Err            error
	// Final says that no other attempt follows.
	Final bool
}

// Delivered reports whether the receiver confirmed the delivery: with status
// 200, and no other, as Ittybit's webhooks documentation asks for.
func (d Delivery) Delivered() bool {
	return d.Err == nil && d.StatusCode == http.StatusOK
}

// Event is the event that the delivery brings, as [ittybit.ParseEvent] reads it.
func (d Delivery) Event() (*ittybit.Event, error) { return ittybit.ParseEvent(d.Body) }

// Kind is that of the task, job or media that the delivery is about, such as "nsfw"; "" if the
// payload has none.
func (d Delivery) Kind() string {
	_, kind, _ := d.what()
	return kind
}

// what the delivery is about.
func (d Delivery) what() (event ittybit.EventType, kind, taskID string) {
	e, err := d.Event()
	switch {
	case err != nil:
		return "", "", ""
	case e.Task != nil:
		kind, taskID = string(e.Task.Kind), e.Task.ID
	case e.Job != nil:
		kind = string(e.Job.Kind)
	case e.Media != nil:
		kind = string(e.Media.Kind)
	}
	return e.Type, kind, taskID
}

// TaskID is the id of the task that the delivery is about, "" if it is about something else.
func (d Delivery) TaskID() string {
	_, _, id := d.what()
	return id
}

// State says how the delivery stood after this attempt.
func (d Delivery) State() DeliveryState {
	switch {
	case d.Delivered():
		return DeliveryDone
	case d.Final:
		return DeliveryFailed
	}
	return DeliveryWaiting
}

// DeliveryState is how a delivery stands.
type DeliveryState string

const (
	// DeliveryDone is a delivery that the receiver confirmed.
	DeliveryDone DeliveryState = "delivered"
	// DeliveryFailed is one that was not confirmed and will not be attempted again.
	DeliveryFailed DeliveryState = "failed"
	// DeliveryWaiting is one that another attempt follows.
	DeliveryWaiting DeliveryState = "waiting"
)

// Deliveries returns the record of every attempt that ended, in the order in
// which they did, as far as the store has them.
func (s *Server) Deliveries() []Delivery {
	records, _ := s.log.store.List(DeliveryQuery{OldestFirst: true})
	return records
}

// WaitForDelivery returns the first record that match accepts, among those that are there already
// and then those to come. It fails when ctx ends or the server is closed. The match function is
// called for one record at a time. A record is made when the answer is there, which may be before a
// receiver has done what it does after answering, such as calling an observer.
func (s *Server) WaitForDelivery(ctx context.Context, match func(Delivery) bool) (Delivery, error) {
	return s.waitForDelivery(ctx, DeliveryQuery{}, match)
}

// waitForDelivery is WaitForDelivery among the records that a query asks for.
func (s *Server) waitForDelivery(ctx context.Context, q DeliveryQuery, match func(Delivery) bool) (Delivery, error) {
	seen := 0
	for q.OldestFirst = true; ; {
		closed, changed := s.life.Over(), s.feed.wait()
		records, err := s.log.store.List(q)
		if err != nil {
			return Delivery{}, err
		}
		for _, d := range records {
			if match(d) {
				return d, nil
			}
			q.After = d.Number
			seen++
		}
		if closed {
			return Delivery{}, fmt.Errorf("%w; no delivery matched, of %d", errClosed, seen)
		}
		select {
		case <-changed:
		case <-s.life.Context().Done():
		case <-ctx.Done():
			return Delivery{}, fmt.Errorf("ittybittest: no delivery matched, of %d: %w", seen, context.Cause(ctx))
		}
	}
}

// WaitForTask returns the last attempt to deliver the end of the task with this id: one that was
// confirmed, or that no other follows. It fails as [Server.WaitForDelivery] does.
func (s *Server) WaitForTask(ctx context.Context, id string) (Delivery, error) {
	return s.WaitForDelivery(ctx, func(d Delivery) bool {
		e, err := d.Event()
		return d.Final && err == nil && e.Task != nil && e.Task.ID == id && e.Task.Terminal()
	})
}

// Redeliver sends a recorded webhook once more: the same body to the same
// address, signed again, with its own retries and a new ID. It does not wait. The
// only error is that the server was closed.
func (s *Server) Redeliver(d Delivery) error {
	if _, ok := s.live.Load().sender.send(d.URL, bytes.Clone(d.Body), ""); !ok {
		return errClosed
	}
	return nil
}

// Record adds the record of an attempt that was made elsewhere, such as by a program that delivers
// the events of the real Ittybit: it is listed and streamed as the server's own are. Its Number is
// set here.
func (s *Server) Record(d Delivery) {
	d, err := s.log.add(d)
	if err != nil {
		s.config.logger.Error("ittybittest: a delivery could not be recorded", "id", d.ID, "error", err)
	}
	s.feed.add("delivery", s.show(d, false))
	// The log leaves out the signature, and the query of the address, where people keep secrets.
	attrs := []slog.Attr{
		slog.String("id", d.ID), slog.Int("attempt", d.Attempt), slog.String("url", withoutQuery(d.URL)),
		slog.Int("status", d.StatusCode), slog.Duration("duration", d.Duration), slog.Bool("final", d.Final),
	}
	level := slog.LevelInfo
	if !d.Delivered() {
		level = slog.LevelWarn
	}
	if d.Err != nil {
		attrs = append(attrs, slog.String("error", d.Err.Error()))
	}
	s.config.logger.LogAttrs(context.Background(), level, "ittybittest: webhook", attrs...)
}

func withoutQuery(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}

// deliveryLog numbers the records, and reports new ones to those who wait.
type deliveryLog struct {
	store  DeliveryStore
	mu     sync.Mutex
	number int64 // of the last record
}

func lastNumber(store DeliveryStore) int64 {
	records, _ := store.List(DeliveryQuery{Limit: 1}) // a store that fails says so on Add
	if len(records) == 0 {
		return 0
	}
	return records[0].Number
}

func (l *deliveryLog) add(d Delivery) (Delivery, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.number++
	d.Number = l.number
	return d, l.store.Add(d)
}
