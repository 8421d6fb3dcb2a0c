package ittybittest

import (
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/ittybittest/internal/api"
	"github.com/ittybit/ittybit-go/ittybittest/internal/refusal"
)

// shownAttempt is the record of an attempt as it is shown; the last two fields not in a list.
type shownAttempt struct {
	Number      int64             `json:"number"`
	ID          string            `json:"id"`
	Copy        int               `json:"copy"`
	Attempt     int               `json:"attempt"`
	State       DeliveryState     `json:"state"`
	URL         string            `json:"url"`
	TaskID      string            `json:"task_id,omitempty"`
	Event       ittybit.EventType `json:"event,omitempty"`
	Kind        string            `json:"kind,omitempty"`
	Size        int               `json:"size"`
	Time        time.Time         `json:"time"`
	DurationMS  float64           `json:"duration_ms"`
	Error       string            `json:"error,omitempty"`
	NextAttempt time.Time         `json:"next_attempt,omitzero"`
	Status      int               `json:"status,omitempty"`
	Signature   string            `json:"signature,omitempty"`
	Response    *shownResponse    `json:"response,omitempty"`
}

type shownResponse struct {
	Headers http.Header `json:"headers"`
	Body    string      `json:"body"`
}

func (s *Server) show(d Delivery, full bool) shownAttempt {
	event, kind, taskID := d.what()
	o := shownAttempt{
		Number: d.Number, ID: d.ID, Copy: d.Copy, Attempt: d.Attempt, State: d.State(), URL: d.URL, TaskID: taskID, Event: event,
		Kind: kind, Size: len(d.Body), Time: d.Time, DurationMS: float64(d.Duration) / float64(time.Millisecond), Status: d.StatusCode,
	}
	if d.Err != nil {
		o.Error = d.Err.Error()
	}
	if o.State == DeliveryWaiting {
		o.NextAttempt = d.Time.Add(d.Duration + s.config.backoff.wait(d.Attempt))
	}
	if full {
		o.Signature = d.Signature
		if d.StatusCode != 0 {
			o.Response = &shownResponse{d.ResponseHeader, string(d.ResponseBody)}
		}
	}
	return o
}

// controlDeliveries lists the last attempt of each delivery, the newest first.
func (s *Server) controlDeliveries(r *http.Request) (int, any, error) {
	query, limit, before := r.URL.Query(), int64(50), int64(0)
	if err := errors.Join(api.Positive(query, "limit", &limit, 0), api.Positive(query, "before", &before, 0)); err != nil {
		return 0, nil, err
	}
	limit = min(limit, 1000)
	state := DeliveryState(query.Get("state"))
	if !slices.Contains([]DeliveryState{"", DeliveryDone, DeliveryFailed, DeliveryWaiting}, state) {
		return 0, nil, refusal.Invalid("state must be delivered, failed or waiting.")
	}
	status := query.Get("status")
	if _, _, ok := statusRange(status); !ok {
		return 0, nil, refusal.Invalid("status must be a status such as 404, a class such as 5xx, or none.")
	}
	page := struct {
		Deliveries []shownAttempt `json:"deliveries"`
		Next       string         `json:"next,omitempty"`
		Stream     string         `json:"stream"` // what follows it is not in the list
	}{Deliveries: []shownAttempt{}, Stream: s.feed.position()}
	records, err := s.log.store.List(DeliveryQuery{
		Latest: true, Limit: int(limit) + 1, Before: before, State: state, URL: query.Get("url"), TaskID: query.Get("task"),
		Event: ittybit.EventType(query.Get("event")), Kind: query.Get("kind"), Status: status,
	})
	if err != nil {
		return 0, nil, err
	}
	for _, d := range records[:min(int(limit), len(records))] {
		page.Deliveries = append(page.Deliveries, s.show(d, false))
	}
	if len(records) > int(limit) {
		query.Set("before", strconv.FormatInt(records[limit-1].Number, 10))
		page.Next = "/_local/deliveries?" + query.Encode()
	}
	return http.StatusOK, page, nil
}

// attemptsOf are the records of a delivery, the oldest first.
func (s *Server) attemptsOf(id string) ([]Delivery, error) {
	records, err := s.log.store.List(DeliveryQuery{ID: id, OldestFirst: true})
	if err == nil && len(records) == 0 {
		err = refusal.New(http.StatusNotFound, "Delivery %q was not found: no attempt of it has ended.", id)
	}
	return records, err
}

// controlDelivery shows a delivery: its request, its attempts with their responses, and what a
// check of its signature says.
func (s *Server) controlDelivery(r *http.Request) (int, any, error) {
	records, err := s.attemptsOf(r.PathValue("id"))
	if err != nil {
		return 0, nil, err
	}
	last := records[len(records)-1]
	attempts := make([]shownAttempt, len(records))
	for i, d := range records {
		attempts[i] = s.show(d, true)
	}
	body := any(string(last.Body))
	if json.Valid(last.Body) {
		body = json.RawMessage(last.Body)
	}
	header := http.Header{}
	setWebhookHeader(header, last.Signature)
	headers := map[string]string{}
	for name := range header {
		headers[name] = header.Get(name)
	}
	signature, explanation := s.checkSignature(last)
	return http.StatusOK, map[string]any{
		"id": last.ID, "state": last.State(), "attempts": attempts, "signature": signature, "explanation": explanation,
		"request": map[string]any{"method": http.MethodPost, "url": last.URL, "body": body, "headers": headers},
	}, nil
}

// controlBody answers with the bytes of a request, for a file: never for a page.
func (s *Server) controlBody(w http.ResponseWriter, r *http.Request) {
	records, err := s.attemptsOf(r.PathValue("id"))
	if err != nil {
		s.live.Load().api.Fail(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Disposition", `attachment; filename="webhook.json"`)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(records[0].Body) //nolint:gosec // an attachment, which no browser renders
}

// checkSignature is what a receiver with this server's key says of a signature, at the time of
// the attempt, and what its Explain says.
func (s *Server) checkSignature(d Delivery) (result, explanation string) {
	verifier, err := ittybit.NewWebhookVerifier(s.APIKey, ittybit.WithClock(func() time.Time { return d.Time }), ittybit.WithUntimestampedSignatures())
	if err != nil {
		return err.Error(), ""
	}
	result = "valid"
	if err := verifier.Verify(d.Body, d.Signature); err != nil {
		result = err.Error()
	}
	return result, verifier.Explain(d.Body, d.Signature)
}

type askedResend struct {
	AsSent bool `json:"as_sent"`
	Wait   bool
}

// controlResend delivers a webhook once more: signed again, or as its last attempt was.
func (s *Server) controlResend(r *http.Request, asked askedResend) (int, any, error) {
	records, err := s.attemptsOf(r.PathValue("id"))
	if err != nil {
		return 0, nil, err
	}
	last, signature := records[len(records)-1], ""
	if asked.AsSent {
		signature = last.Signature
	}
	return s.send(r, last.URL, last.Body, signature, asked.Wait)
}

// send sends a webhook, and waits for its first attempt if the caller wants to. Without a
// signature each attempt is signed.
func (s *Server) send(r *http.Request, address string, body []byte, signature string, wait bool) (int, any, error) {
	id, ok := s.live.Load().sender.send(address, body, signature) //nolint:contextcheck // it outlives the request
	if !ok {
		return 0, nil, refusal.New(http.StatusServiceUnavailable, "The server is closed.")
	}
	if !wait {
		return http.StatusAccepted, map[string]string{"id": id}, nil
	}
	d, err := s.waitForDelivery(r.Context(), DeliveryQuery{ID: id}, func(Delivery) bool { return true })
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, s.show(d, true), nil
}

func (s *Server) controlCancel(r *http.Request) (int, any, error) {
	if !s.live.Load().sender.cancel(r.PathValue("id")) {
		return 0, nil, refusal.New(http.StatusConflict, "Delivery %q is not under way.", r.PathValue("id"))
	}
	return http.StatusNoContent, nil, nil
}

type askedEvent struct {
	URL, Event, Message string
	Kind                ittybit.TaskKind
	Progress            int
	Results, Body       json.RawMessage
	Wait                bool
}

// fixtures make the payload of the event with that name.
func fixtures() map[string]func(askedEvent) []byte {
	return map[string]func(asked askedEvent) []byte{
		"task.completed": func(asked askedEvent) []byte {
			if asked.Results == nil {
				return TaskCompleted(asked.Kind, nil)
			}
			return TaskCompleted(asked.Kind, asked.Results)
		},
		"task.failed":    func(asked askedEvent) []byte { return TaskFailed(asked.Kind, asked.Message) },
		"task.cancelled": func(asked askedEvent) []byte { return TaskCancelled(asked.Kind) },
		"task.updated":   func(asked askedEvent) []byte { return TaskUpdated(asked.Kind, asked.Progress) },
		"media.created":  func(asked askedEvent) []byte { return MediaCreated(asked.Message) },
		"job.succeeded":  func(asked askedEvent) []byte { return JobSucceeded(string(asked.Kind)) },
		"job.failed":     func(asked askedEvent) []byte { return JobFailed(string(asked.Kind), asked.Message) },
	}
}

// controlEvent sends a webhook with a payload of the caller's, or a fixture.
func (s *Server) controlEvent(r *http.Request, asked askedEvent) (int, any, error) {
	if asked.URL == "" {
		return 0, nil, refusal.Invalid("url is required.")
	}
	if err := s.live.Load().engine.CheckWebhookURL("url", asked.URL); err != nil {
		return 0, nil, err
	}
	payload, known := fixtures()[asked.Event]
	switch {
	case (asked.Event == "") == (asked.Body == nil):
		return 0, nil, refusal.Invalid("Exactly one of event (a fixture) and body is required.")
	case known:
		asked.Body = payload(asked)
	case asked.Event != "":
		all := strings.Join(slices.Sorted(maps.Keys(fixtures())), ", ")
		return 0, nil, refusal.Invalid("There is no fixture %q: use one of %s.", asked.Event, all)
	}
	return s.send(r, asked.URL, asked.Body, "", asked.Wait)
}
