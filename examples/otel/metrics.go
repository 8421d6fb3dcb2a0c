package main

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/riverevents"
)

// instruments are the metrics of the endpoint and of the workers. Every attribute of theirs has
// few values, whoever calls: none is an id, an address, or text that was received.
type instruments struct {
	deliveries metric.Int64Counter
	duration   metric.Float64Histogram
	inFlight   metric.Int64UpDownCounter
	age        metric.Float64Histogram
	size       metric.Int64Histogram

	attempts     metric.Int64Counter
	workDuration metric.Float64Histogram
}

func newInstruments(meter metric.Meter) (*instruments, error) {
	short := metric.WithExplicitBucketBoundaries(0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 2, 4, 5) // seconds; Ittybit waits 5
	long := metric.WithExplicitBucketBoundaries(0.01, 0.1, 1, 5, 30, 60, 300, 1800, 3600)
	days := metric.WithExplicitBucketBoundaries(0.1, 1, 5, 30, 60, 300, 1800, 3600, 6*3600, 24*3600, 7*24*3600)
	bytes := metric.WithExplicitBucketBoundaries(1<<8, 1<<10, 1<<12, 1<<14, 1<<16, 1<<18, 1<<20)

	var m instruments
	var errs [7]error
	m.deliveries, errs[0] = meter.Int64Counter("ittybit.webhook.deliveries", metric.WithUnit("{delivery}"),
		metric.WithDescription("Deliveries that were answered, by outcome."))
	m.duration, errs[1] = meter.Float64Histogram("ittybit.webhook.duration", metric.WithUnit("s"), short,
		metric.WithDescription("Time from a delivery's arrival to its answer."))
	m.inFlight, errs[2] = meter.Int64UpDownCounter("ittybit.webhook.in_flight", metric.WithUnit("{delivery}"),
		metric.WithDescription("Verified deliveries that are being handled."))
	m.age, errs[3] = meter.Float64Histogram("ittybit.webhook.age", metric.WithUnit("s"), days,
		metric.WithDescription("Time from the event, or from its signature, to the delivery's arrival."))
	m.size, errs[4] = meter.Int64Histogram("ittybit.webhook.body.size", metric.WithUnit("By"), bytes,
		metric.WithDescription("Size of the bodies that were read."))
	m.attempts, errs[5] = meter.Int64Counter("ittybit.event.attempts", metric.WithUnit("{attempt}"),
		metric.WithDescription("Attempts of workers to handle an event, by outcome."))
	m.workDuration, errs[6] = meter.Float64Histogram("ittybit.event.duration", metric.WithUnit("s"), long,
		metric.WithDescription("Time that an attempt took."))
	return &m, errors.Join(errs[:]...)
}

// delivered is for [ittybit.WithObserver].
func (m *instruments) delivered(ctx context.Context, d ittybit.Delivery) {
	arrived := time.Now().Add(-d.Duration)
	event, outcome := eventLabel(d.Event), attribute.String("outcome", string(d.Outcome))
	m.deliveries.Add(ctx, 1, metric.WithAttributes(outcome, event, attribute.Int("status", d.StatusCode)))
	m.duration.Record(ctx, d.Duration.Seconds(), metric.WithAttributes(outcome))
	if d.BodyBytes > 0 {
		m.size.Record(ctx, int64(d.BodyBytes), metric.WithAttributes(outcome))
	}
	since := func(what string, then time.Time) {
		if !then.IsZero() { // clocks differ: what comes from the future has just happened
			m.age.Record(ctx, max(0, arrived.Sub(then).Seconds()), metric.WithAttributes(attribute.String("since", what)))
		}
	}
	// Where retries are not signed anew, the second of these grows with them, up to the tolerance.
	if d.Event != nil {
		since("event", d.Event.CreatedAt) // of a task that has ended: when it did
	}
	since("signature", d.Signed)
}

// inFlightAround counts what is in next. [ittybit.Delivery].InFlight is known only at a delivery's
// end, so that a gauge made of it would say nothing while handlers hang.
func (m *instruments) inFlightAround(next ittybit.EventHandler) ittybit.EventHandler {
	return ittybit.EventHandlerFunc(func(ctx context.Context, e *ittybit.Event) error {
		m.inFlight.Add(ctx, 1)
		defer m.inFlight.Add(ctx, -1)
		return next.HandleEvent(ctx, e)
	})
}

// attempted is for [riverevents.WithObserver].
func (m *instruments) attempted(ctx context.Context, a riverevents.Attempt) {
	outcome := attribute.String("outcome", string(a.Outcome))
	m.attempts.Add(ctx, 1, metric.WithAttributes(outcome, eventLabel(a.Event), attribute.Bool("last", a.Last)))
	m.workDuration.Record(ctx, a.Duration.Seconds(), metric.WithAttributes(outcome))
}

// eventLabel is an event's type as an attribute of metrics. Types are open: a sender can make up
// any number of them, and each would be a time series for good.
func eventLabel(e *ittybit.Event) attribute.KeyValue {
	label := "other"
	switch {
	case e == nil:
		label = "none"
	case isKnown(e.Type):
		label = string(e.Type)
	}
	return attribute.String("event", label)
}

func isKnown(event ittybit.EventType) bool {
	switch event {
	case ittybit.EventMediaCreated,
		ittybit.EventTaskCreated, ittybit.EventTaskUpdated, ittybit.EventTaskCompleted,
		ittybit.EventTaskSucceeded, ittybit.EventTaskFailed, ittybit.EventTaskCancelled,
		ittybit.EventJobSucceeded, ittybit.EventJobFailed:
		return true
	}
	return false
}
