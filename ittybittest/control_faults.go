package ittybittest

import (
	"net/http"
	"reflect"
	"slices"
	"time"

	"github.com/ittybit/ittybit-go/ittybittest/internal/api"
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

// These are the names of Drop and HangUp, in their order.
var (
	dropNames   = []string{"", "before", "after", "in_body", "in_answer"}
	hangUpNames = []string{"", "in_body", "before_answer"}
)

func milliseconds(n int64) time.Duration { return time.Duration(n) * time.Millisecond }

// controlFaults replaces all faults; without a body, as for DELETE, there are none.
func (s *Server) controlFaults(r *http.Request) (int, any, error) {
	var asked shownFaults
	if err := readControl(r, &asked); err != nil {
		return 0, nil, err
	}
	if err := asked.check(); err != nil {
		return 0, nil, err
	}
	s.SetFaults(Faults{
		Latency: milliseconds(asked.LatencyMS), Duplicates: asked.Duplicates, ReorderWindow: milliseconds(asked.ReorderMS),
	})
	for _, f := range asked.Requests {
		header := http.Header{}
		for name, value := range f.Header {
			header.Set(name, value)
		}
		s.FailRequests(countOf(f.Count), RequestFault{
			Latency: milliseconds(f.LatencyMS), AnswerLatency: milliseconds(f.AnswerLatencyMS), Status: f.Status,
			Header: header, Message: f.Message, Drop: Drop(slices.Index(dropNames, f.Drop)),
		})
	}
	for _, f := range asked.Deliveries {
		s.FailDeliveries(countOf(f.Count), DeliveryFault{
			Delay: milliseconds(f.DelayMS), HangUp: HangUp(slices.Index(hangUpNames, f.HangUp)),
		})
	}
	return http.StatusNoContent, nil, nil
}

// check refuses what can't be queued or answered.
func (f shownFaults) check() error {
	var counts []int
	for _, f := range f.Requests {
		if slices.Index(dropNames, f.Drop) < 0 {
			return api.Refuse(http.StatusBadRequest, "drop must be before, after, in_body or in_answer.")
		}
		if f.Status != 0 && (f.Status < 200 || f.Status > 999) {
			return api.Refuse(http.StatusBadRequest, "status must be from 200 to 999, or 0 for none.")
		}
		counts = append(counts, countOf(f.Count))
	}
	for _, f := range f.Deliveries {
		if slices.Index(hangUpNames, f.HangUp) < 0 {
			return api.Refuse(http.StatusBadRequest, "hang_up must be in_body or before_answer.")
		}
		counts = append(counts, countOf(f.Count))
	}
	left := maxFaults
	for _, n := range counts {
		if n < 1 || n > left {
			return api.Refuse(http.StatusBadRequest, "count must be 1 or more, and all together at most %d.", maxFaults)
		}
		left -= n
	}
	if f.Duplicates < 0 || f.Duplicates > maxFaults {
		return api.Refuse(http.StatusBadRequest, "duplicates must be from 0 to %d.", maxFaults)
	}
	return nil
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
	for i, f := range s.faults.requests {
		if i > 0 && reflect.DeepEqual(f, s.faults.requests[i-1]) {
			*shown.Requests[len(shown.Requests)-1].Count++
			continue
		}
		header := map[string]string{}
		for name := range f.Header {
			header[name] = f.Header.Get(name)
		}
		shown.Requests = append(shown.Requests, shownRequestFault{
			new(1), f.Latency.Milliseconds(), f.AnswerLatency.Milliseconds(), f.Status, header, f.Message, dropNames[f.Drop],
		})
	}
	for i, f := range s.faults.deliveries {
		if i > 0 && f == s.faults.deliveries[i-1] {
			*shown.Deliveries[len(shown.Deliveries)-1].Count++
			continue
		}
		shown.Deliveries = append(shown.Deliveries, shownDeliveryFault{new(1), f.Delay.Milliseconds(), hangUpNames[f.HangUp]})
	}
	return http.StatusOK, shown, nil
}
