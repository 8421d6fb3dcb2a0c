package ittybittest

import (
	"net/http"
	"slices"
	"time"

	"github.com/ittybit/ittybit-go/ittybittest/internal/refusal"
)

// shownFaults are all faults, as they are set and read over HTTP.
type shownFaults struct {
	LatencyMS  int64                `json:"latency_ms,omitempty"`
	Duplicates int                  `json:"duplicates,omitempty"`
	ReorderMS  int64                `json:"reorder_ms,omitempty"`
	Requests   []shownRequestFault  `json:"requests,omitempty"`
	Deliveries []shownDeliveryFault `json:"deliveries,omitempty"`
}

type shownRequestFault struct {
	Count           *int              `json:"count"` // nil: 1
	LatencyMS       int64             `json:"latency_ms,omitempty"`
	AnswerLatencyMS int64             `json:"answer_latency_ms,omitempty"`
	Status          int               `json:"status,omitempty"`
	Header          map[string]string `json:"header,omitempty"`
	Message         string            `json:"message,omitempty"`
	Drop            string            `json:"drop,omitempty"`
}

type shownDeliveryFault struct {
	Count   *int   `json:"count"` // nil: 1
	DelayMS int64  `json:"delay_ms,omitempty"`
	HangUp  string `json:"hang_up,omitempty"`
}

// maxDuplicates bounds the copies of a webhook, each of which takes a goroutine.
const maxDuplicates = 100_000

// These are the names of Drop and HangUp, in their order.
var (
	dropNames   = []string{"", "before", "after", "in_body", "in_answer"}
	hangUpNames = []string{"", "in_body", "before_answer"}
)

func milliseconds(n int64) time.Duration { return time.Duration(n) * time.Millisecond }

// controlFaults replaces all faults; without a body, as for DELETE, there are none.
func (s *Server) controlFaults(_ *http.Request, asked shownFaults) (int, any, error) {
	current := Faults{Latency: milliseconds(asked.LatencyMS), Duplicates: asked.Duplicates, ReorderWindow: milliseconds(asked.ReorderMS)}
	if asked.Duplicates < 0 || asked.Duplicates > maxDuplicates {
		return 0, nil, refusal.Invalid("duplicates must be from 0 to %d.", maxDuplicates)
	}
	var requests []queued[RequestFault]
	for _, f := range asked.Requests {
		drop, header := slices.Index(dropNames, f.Drop), http.Header{}
		for name, value := range f.Header {
			header.Set(name, value)
		}
		switch {
		case drop < 0:
			return 0, nil, refusal.Invalid("drop must be before, after, in_body or in_answer.")
		case f.Status != 0 && (f.Status < 200 || f.Status > 999):
			return 0, nil, refusal.Invalid("status must be from 200 to 999, or 0 for none.")
		}
		requests = append(requests, queued[RequestFault]{countOf(f.Count), RequestFault{
			Latency: milliseconds(f.LatencyMS), AnswerLatency: milliseconds(f.AnswerLatencyMS), Status: f.Status,
			Header: header, Message: f.Message, Drop: Drop(drop),
		}})
	}
	var deliveries []queued[DeliveryFault]
	for _, f := range asked.Deliveries {
		hangUp := slices.Index(hangUpNames, f.HangUp)
		if hangUp < 0 {
			return 0, nil, refusal.Invalid("hang_up must be in_body or before_answer.")
		}
		deliveries = append(deliveries, queued[DeliveryFault]{countOf(f.Count), DeliveryFault{Delay: milliseconds(f.DelayMS), HangUp: HangUp(hangUp)}})
	}
	if slices.ContainsFunc(requests, queued[RequestFault].isEmpty) || slices.ContainsFunc(deliveries, queued[DeliveryFault].isEmpty) {
		return 0, nil, refusal.Invalid("count must be 1 or more.")
	}
	s.SetFaults(current)
	for _, q := range requests {
		s.FailRequests(q.left, q.fault)
	}
	for _, q := range deliveries {
		s.FailDeliveries(q.left, q.fault)
	}
	return http.StatusNoContent, nil, nil
}

func countOf(n *int) int {
	if n == nil {
		return 1
	}
	return *n
}

// controlListFaults shows the faults that are set and not used up, in the form that PUT takes.
// Functions of SetFaults can't be shown.
func (s *Server) controlListFaults(*http.Request) (int, any, error) {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	shown := shownFaults{
		LatencyMS: s.faults.current.Latency.Milliseconds(), Duplicates: s.faults.current.Duplicates,
		ReorderMS: s.faults.current.ReorderWindow.Milliseconds(),
	}
	for _, q := range s.faults.requests {
		header := map[string]string{}
		for name := range q.fault.Header {
			header[name] = q.fault.Header.Get(name)
		}
		shown.Requests = append(shown.Requests, shownRequestFault{
			new(q.left), q.fault.Latency.Milliseconds(), q.fault.AnswerLatency.Milliseconds(), q.fault.Status, header,
			q.fault.Message, dropNames[q.fault.Drop],
		})
	}
	for _, q := range s.faults.deliveries {
		shown.Deliveries = append(shown.Deliveries, shownDeliveryFault{new(q.left), q.fault.Delay.Milliseconds(), hangUpNames[q.fault.HangUp]})
	}
	return http.StatusOK, shown, nil
}
