package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/ittybit/ittybit-go"
)

// delivery is a signed webhook: each one is about a task of its own.
type delivery struct {
	body   []byte
	header string // of the signature
	wire   []byte // the whole request, as it goes over the wire
}

// deliveries gives signed webhooks in turn, to one or many goroutines.
type deliveries struct {
	all    []delivery
	served atomic.Int64
}

func (d *deliveries) next() *delivery {
	return &d.all[int(d.served.Add(1)-1)%len(d.all)]
}

// signDeliveries signs count webhooks of size bytes.
func signDeliveries(count, size int) []delivery {
	all := make([]delivery, count)
	template := taskPayload(size)
	for i := range all {
		body := bytes.Replace(template, []byte(taskID), fmt.Appendf(nil, "task_%06x", i), 1)
		header := ittybit.SignWebhook(secret, time.Now(), body)
		wire := fmt.Appendf(nil, "POST /ittybit-webhook HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n%s: %s\r\nContent-Length: %d\r\n\r\n",
			ittybit.SignatureHeader, header, len(body))
		wire = append(wire, body...)
		all[i] = delivery{body: wire[len(wire)-len(body):], header: header, wire: wire}
	}
	return all
}

// endpoint is an http.Handler that takes deliveries.
type endpoint struct {
	name    string
	handler http.Handler
	handled *atomic.Int64 // events that have come through; nil where nobody looks for events
}

// Names of endpoints.
const (
	bareName         = "bare handler"
	handWrittenName  = "written by hand"
	muxName          = "WebhookHandler, EventMux"
	deduplicatedName = "WebhookHandler, Deduplicate, EventMux"
)

// bareEndpoint reads the body and answers 200.
func bareEndpoint() endpoint {
	return endpoint{name: bareName, handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		w.WriteHeader(http.StatusOK)
	})}
}

// handWrittenEndpoint does what people write by hand: it reads the body, compares one MAC of a
// key that never changes, decodes a plain struct. No limit, no clock, no deduplication.
func handWrittenEndpoint() endpoint {
	handled := new(atomic.Int64)
	return endpoint{handWrittenName, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		if !matches(body, r.Header.Get(ittybit.SignatureHeader)) {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		var t task
		if json.Unmarshal(body, &t) != nil || t.ID == "" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		handled.Add(1)
		w.WriteHeader(http.StatusOK)
	}), handled}
}

// ourEndpoints are a WebhookHandler with an EventMux, and one that deduplicates too, in a store
// for that many keys.
func ourEndpoints(capacity int) ([]endpoint, error) {
	endpoints := make([]endpoint, 2)
	for i := range endpoints {
		handled := new(atomic.Int64)
		events := ittybit.NewEventMux()
		events.OnTaskCompleted(ittybit.AnyTaskKind, func(_ context.Context, e *ittybit.Event) error {
			if e.Task.ID == "" || len(e.Task.Results) == 0 {
				return errUnexpected
			}
			handled.Add(1)
			return nil
		})
		name, next := muxName, ittybit.EventHandler(events)
		if i == 1 {
			name, next = deduplicatedName, ittybit.Deduplicate(ittybit.NewMemoryDeduplicator(capacity, time.Hour), events)
		}
		handler, err := ittybit.NewWebhookHandler(secret, next)
		if err != nil {
			return nil, err
		}
		endpoints[i] = endpoint{name, handler, handled}
	}
	return endpoints, nil
}
