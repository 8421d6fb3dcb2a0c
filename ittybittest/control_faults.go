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
	Count           int               `json:"count"`
	LatencyMS       int64             `json:"latency_ms,omitempty"`
	AnswerLatencyMS int64             `json:"answer_latency_ms,omitempty"`
	Status          int               `json:"status,omitempty"`
	Header          map[string]string `json:"header,omitempty"`
	Message         string            `json:"message,omitempty"`
	Drop            string            `json:"drop,omitempty"`
}

type shownDeliveryFault struct {
	Count   int    `json:"count"`
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
	for _, f := range asked.Requests {
		if slices.Index(dropNames, f.Drop) < 0 {
			return 0, nil, api.Refuse(http.StatusBadRequest, "drop must be before, after, in_body or in_answer.")
		}
	}
	for _, f := range asked.Deliveries {
		if slices.Index(hangUpNames, f.HangUp) < 0 {
			return 0, nil, api.Refuse(http.StatusBadRequest, "hang_up must be in_body or before_answer.")
		}
	}
	s.SetFaults(Faults{
		Latency: milliseconds(asked.LatencyMS), Duplicates: asked.Duplicates, ReorderWindow: milliseconds(asked.ReorderMS),
	})
	for _, f := range asked.Requests {
		header := http.Header{}
		for name, value := range f.Header {
			header.Set(name, value)
		}
		s.FailRequests(max(f.Count, 1), RequestFault{
			Latency: milliseconds(f.LatencyMS), AnswerLatency: milliseconds(f.AnswerLatencyMS), Status: f.Status,
			Header: header, Message: f.Message, Drop: Drop(slices.Index(dropNames, f.Drop)),
		})
	}
	for _, f := range asked.Deliveries {
		s.FailDeliveries(max(f.Count, 1), DeliveryFault{
			Delay: milliseconds(f.DelayMS), HangUp: HangUp(slices.Index(hangUpNames, f.HangUp)),
		})
	}
	return http.StatusNoContent, nil, nil
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
			shown.Requests[len(shown.Requests)-1].Count++
			continue
		}
		header := map[string]string{}
		for name := range f.Header {
			header[name] = f.Header.Get(name)
		}
		shown.Requests = append(shown.Requests, shownRequestFault{
			1, f.Latency.Milliseconds(), f.AnswerLatency.Milliseconds(), f.Status, header, f.Message, dropNames[f.Drop],
		})
	}
	for i, f := range s.faults.deliveries {
		if i > 0 && f == s.faults.deliveries[i-1] {
			shown.Deliveries[len(shown.Deliveries)-1].Count++
			continue
		}
		shown.Deliveries = append(shown.Deliveries, shownDeliveryFault{1, f.Delay.Milliseconds(), hangUpNames[f.HangUp]})
	}
	return http.StatusOK, shown, nil
}
