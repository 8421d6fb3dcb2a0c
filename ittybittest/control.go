package ittybittest

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/ittybittest/internal/api"
	"github.com/ittybit/ittybit-go/ittybittest/internal/engine"
	"github.com/ittybit/ittybit-go/ittybittest/internal/ordered"
)

// control answers with a status and a value, which becomes JSON.
type control func(*http.Request) (int, any, error)

// serveControl answers what is under /_local/.
func (s *Server) serveControl(w http.ResponseWriter, r *http.Request) {
	if err := s.mayControl(r); err != nil {
		w.Header().Set("WWW-Authenticate", `Basic realm="ittybit"`)
		s.live.Load().api.Fail(w, err)
		return
	}
	mux := http.NewServeMux()
	for pattern, serve := range map[string]control{
		"GET /_local/{$}":                     s.controlInfo,
		"GET /_local/deliveries":              s.controlDeliveries,
		"GET /_local/deliveries/{id}":         s.controlDelivery,
		"POST /_local/deliveries/{id}/resend": s.controlResend,
		"POST /_local/deliveries/{id}/cancel": s.controlCancel,
		"POST /_local/events":                 s.controlEvent,
		"POST /_local/tasks/{id}/{action}":    s.controlTask,
		"PUT /_local/faults":                  s.controlFaults,
		"DELETE /_local/faults":               s.controlFaults,
		"POST /_local/reset":                  func(*http.Request) (int, any, error) { s.Reset(); return http.StatusNoContent, nil, nil }, //nolint:contextcheck // it outlives the request
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			if status, value, err := serve(r); err != nil {
				s.live.Load().api.Fail(w, err)
			} else {
				api.Write(w, status, value)
			}
		})
	}
	mux.HandleFunc("GET /_local/stream", s.controlStream)
	r.Body = http.MaxBytesReader(w, r.Body, api.MaxBodyBytes)
	mux.ServeHTTP(w, r)
}

// mayControl refuses pages of other sites, names that lead here by DNS tricks, and other
// machines without the password.
func (s *Server) mayControl(r *http.Request) error {
	name := (&url.URL{Host: r.Host}).Hostname()
	public, _ := url.Parse(s.URL)
	if !isLoopback(name) && name != public.Hostname() {
		return api.Refuse(http.StatusForbidden, "The host %q is not this server's: use a loopback address, or that of WithPublicURLs.", name)
	}
	if origin := r.Header.Get("Origin"); origin != "" {
		if from, err := url.Parse(origin); err != nil || from.Host != r.Host {
			return api.Refuse(http.StatusForbidden, "Pages of other sites can't drive the local Ittybit.")
		}
	}
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" && site != "none" {
		return api.Refuse(http.StatusForbidden, "Pages of other sites can't drive the local Ittybit.")
	}
	if ip, _, err := net.SplitHostPort(r.RemoteAddr); err == nil && isLoopback(ip) {
		return nil
	}
	_, given, _ := r.BasicAuth()
	if token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		given = token
	}
	want, got := sha256.Sum256([]byte(s.config.controlPassword)), sha256.Sum256([]byte(given))
	if s.config.controlPassword == "" || subtle.ConstantTimeCompare(want[:], got[:]) != 1 {
		return api.Refuse(http.StatusUnauthorized, "From another address than the loopback interface the password of WithControl is required.")
	}
	return nil
}

// readControl reads a JSON body into value; an empty one changes nothing.
func readControl(r *http.Request, value any) error {
	dec := json.NewDecoder(r.Body)
	dec.DisallowUnknownFields()
	err := dec.Decode(value)
	if err == nil {
		if _, more := dec.Token(); more != io.EOF {
			err = errors.New("something follows the JSON object")
		}
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return api.Refuse(http.StatusBadRequest, "The request body is not valid: %s.", err)
	}
	return nil
}

func (s *Server) controlInfo(*http.Request) (int, any, error) {
	return http.StatusOK, map[string]string{"url": s.URL, "storage_url": s.StorageURL, "version": ittybit.Version}, nil
}

// shownAttempt is the record of an attempt, with its response or without.
func shownAttempt(d Delivery, response bool) ordered.Object {
	o := ordered.Object{}.Set("number", d.Number).Set("id", d.ID).Set("copy", d.Copy).Set("attempt", d.Attempt).
		Set("state", d.State()).Set("url", d.URL).SetText("task_id", d.TaskID())
	if e, err := d.Event(); err == nil {
		o = o.SetText("event", string(e.Type))
	}
	o = o.Set("time", d.Time).Set("duration_ms", float64(d.Duration)/float64(time.Millisecond))
	if d.Err != nil {
		o = o.SetText("error", d.Err.Error())
	}
	if d.StatusCode == 0 {
		return o
	}
	if o = o.Set("status", d.StatusCode); response {
		o = o.Set("response", map[string]any{"headers": d.ResponseHeader, "body": string(d.ResponseBody)})
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
	switch state {
	case "", DeliveryDone, DeliveryFailed, DeliveryWaiting:
	default:
		return 0, nil, api.Refuse(http.StatusBadRequest, "state must be delivered, failed or waiting.")
	}
	records, err := s.log.store.List(DeliveryQuery{
		Latest: true, Limit: int(limit) + 1, Before: before, State: state, URL: query.Get("url"), TaskID: query.Get("task"),
	})
	if err != nil {
		return 0, nil, err
	}
	page := struct {
		Deliveries []ordered.Object `json:"deliveries"`
		Next       string           `json:"next,omitempty"`
	}{Deliveries: []ordered.Object{}}
	for _, d := range records[:min(int(limit), len(records))] {
		page.Deliveries = append(page.Deliveries, shownAttempt(d, false))
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
		err = api.Refuse(http.StatusNotFound, "Delivery %q was not found: no attempt of it has ended.", id)
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
	attempts := make([]ordered.Object, len(records))
	for i, d := range records {
		attempts[i] = shownAttempt(d, true)
	}
	body := any(string(last.Body))
	if json.Valid(last.Body) {
		body = json.RawMessage(last.Body)
	}
	return http.StatusOK, map[string]any{
		"id": last.ID, "state": last.State(), "attempts": attempts, "signature": s.checkSignature(last),
		"request": map[string]any{
			"method": http.MethodPost, "url": last.URL, "body": body,
			"headers": map[string]string{"Content-Type": "application/json", ittybit.SignatureHeader: last.Signature},
		},
	}, nil
}

// checkSignature is what a receiver with this server's key says of a signature, at the time of
// the attempt.
func (s *Server) checkSignature(d Delivery) string {
	verifier, err := ittybit.NewWebhookVerifier(s.APIKey, ittybit.WithClock(func() time.Time { return d.Time }), ittybit.WithUntimestampedSignatures())
	if err == nil {
		err = verifier.Verify(d.Body, d.Signature)
	}
	if err != nil {
		return err.Error()
	}
	return "valid"
}

func (s *Server) controlResend(r *http.Request) (int, any, error) {
	records, err := s.attemptsOf(r.PathValue("id"))
	if err != nil {
		return 0, nil, err
	}
	return s.send(r, records[0].URL, records[0].Body, false)
}

// send sends a webhook, and waits for its first attempt if the caller wants to.
func (s *Server) send(r *http.Request, address string, body []byte, wait bool) (int, any, error) {
	id, ok := s.live.Load().sender.Send(address, body) //nolint:contextcheck // a delivery outlives the request
	if !ok {
		return 0, nil, api.Refuse(http.StatusServiceUnavailable, "The server is closed.")
	}
	if !wait {
		return http.StatusAccepted, map[string]string{"id": id}, nil
	}
	d, err := s.WaitForDelivery(r.Context(), func(d Delivery) bool { return d.ID == id })
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, shownAttempt(d, true), nil
}

func (s *Server) controlCancel(r *http.Request) (int, any, error) {
	if !s.live.Load().sender.Cancel(r.PathValue("id")) {
		return 0, nil, api.Refuse(http.StatusConflict, "Delivery %q is not under way.", r.PathValue("id"))
	}
	return http.StatusNoContent, nil, nil
}

// controlEvent sends a webhook with a payload of the caller's, or a fixture.
func (s *Server) controlEvent(r *http.Request) (int, any, error) {
	asked := struct {
		URL, Event, Kind, Message string
		Progress                  int
		Results, Body             json.RawMessage
		Wait                      bool
	}{Kind: "nsfw", Message: "The file is broken.", Progress: 50}
	if err := readControl(r, &asked); err != nil {
		return 0, nil, err
	}
	if asked.URL == "" {
		return 0, nil, api.Refuse(http.StatusBadRequest, "url is required.")
	}
	if err := s.live.Load().engine.CheckWebhookURL("url", asked.URL); err != nil {
		return 0, nil, err
	}
	body := bytes.Clone(asked.Body)
	if (asked.Event == "") == (asked.Body == nil) {
		return 0, nil, api.Refuse(http.StatusBadRequest, "Exactly one of event (a fixture) and body is required.")
	}
	if asked.Event != "" {
		var results any
		if asked.Results != nil {
			results = asked.Results
		}
		var err error
		if body, err = fixture(asked.Event, asked.Kind, results, asked.Message, asked.Progress); err != nil {
			return 0, nil, api.Refuse(http.StatusBadRequest, "%s.", err)
		}
	}
	return s.send(r, asked.URL, body, asked.Wait)
}

// controlTask finishes a task, lets it fail, or sets its progress or results.
func (s *Server) controlTask(r *http.Request) (int, any, error) {
	asked := struct {
		Results  json.RawMessage
		Message  string
		Progress int
	}{Message: "The task was failed by hand."}
	if err := readControl(r, &asked); err != nil {
		return 0, nil, err
	}
	id, e := r.PathValue("id"), s.live.Load().engine
	var err error
	switch r.PathValue("action") {
	case "finish":
		err = e.Control(id, nil, &engine.Outcome{Results: asked.Results}, true)
	case "fail":
		err = e.Control(id, nil, &engine.Outcome{Failure: asked.Message}, true)
	case "progress":
		if asked.Progress < 0 || asked.Progress > 100 {
			return 0, nil, api.Refuse(http.StatusBadRequest, "progress must be a number from 0 to 100.")
		}
		err = e.Control(id, &asked.Progress, nil, false)
	case "results":
		err = e.Control(id, nil, &engine.Outcome{Results: asked.Results}, false)
	default:
		err = api.Refuse(http.StatusNotFound, "Not found: %s. Use finish, fail, progress or results.", r.URL.Path)
	}
	return http.StatusNoContent, nil, err
}

// controlFaults replaces all faults; without a body, as for DELETE, there are none.
func (s *Server) controlFaults(r *http.Request) (int, any, error) {
	var asked struct {
		LatencyMS  int `json:"latency_ms"`
		Duplicates int
		ReorderMS  int `json:"reorder_ms"`
		Requests   []struct {
			Count           int
			LatencyMS       int `json:"latency_ms"`
			AnswerLatencyMS int `json:"answer_latency_ms"`
			Status          int
			Header          map[string]string
			Message, Drop   string
		}
		Deliveries []struct {
			Count   int
			DelayMS int    `json:"delay_ms"`
			HangUp  string `json:"hang_up"`
		}
	}
	if err := readControl(r, &asked); err != nil {
		return 0, nil, err
	}
	ms := func(n int) time.Duration { return time.Duration(n) * time.Millisecond }
	s.SetFaults(Faults{Latency: ms(asked.LatencyMS), Duplicates: asked.Duplicates, ReorderWindow: ms(asked.ReorderMS)})
	drops := map[string]Drop{"": DropNone, "before": DropBefore, "after": DropAfter, "in_body": DropInBody, "in_answer": DropInAnswer}
	for _, f := range asked.Requests {
		drop, ok := drops[f.Drop]
		if !ok {
			return 0, nil, api.Refuse(http.StatusBadRequest, "drop must be before, after, in_body or in_answer.")
		}
		fault := RequestFault{Latency: ms(f.LatencyMS), AnswerLatency: ms(f.AnswerLatencyMS), Status: f.Status, Header: http.Header{}, Message: f.Message, Drop: drop}
		for name, value := range f.Header {
			fault.Header.Set(name, value)
		}
		s.FailRequests(max(f.Count, 1), fault)
	}
	hangUps := map[string]HangUp{"": HangUpNever, "in_body": HangUpInBody, "before_answer": HangUpBeforeAnswer}
	for _, f := range asked.Deliveries {
		hangUp, ok := hangUps[f.HangUp]
		if !ok {
			return 0, nil, api.Refuse(http.StatusBadRequest, "hang_up must be in_body or before_answer.")
		}
		s.FailDeliveries(max(f.Count, 1), DeliveryFault{Delay: ms(f.DelayMS), HangUp: hangUp})
	}
	return http.StatusNoContent, nil, nil
}

// controlStream sends what happens as server-sent events, from the last one on that the client
// has seen.
func (s *Server) controlStream(w http.ResponseWriter, r *http.Request) {
	last, err := strconv.ParseInt(r.Header.Get("Last-Event-ID"), 10, 64)
	if err != nil {
		last = s.feed.latest()
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	flush := http.NewResponseController(w)
	_, _ = io.WriteString(w, ": connected\n\n")
	for {
		notices, changed := s.feed.since(last)
		for _, n := range notices {
			last = n.number
			_, _ = fmt.Fprintf(w, "id: %d\nevent: %s\ndata: %s\n\n", n.number, n.kind, n.data)
		}
		if flush.Flush() != nil {
			return
		}
		select {
		case <-changed:
		case <-r.Context().Done():
			return
		case <-s.life.Context().Done():
			return
		}
	}
}
