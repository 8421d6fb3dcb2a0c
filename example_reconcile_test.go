package ittybit_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/ittybittest"
)

// A delivery is lost, because the endpoint was down until Ittybit gave up. Reconcile finds the
// task, and the handler gets it once: the same one, behind the same deduplicator.
func ExampleReconcile() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	local := ittybittest.NewServer(ittybittest.WithBackoff(ittybittest.Backoff{First: time.Millisecond, Attempts: 2}))
	defer local.Close()
	client, err := local.Client()
	if err != nil {
		fmt.Println(err)
		return
	}

	events := ittybit.NewEventMux()
	events.OnTaskCompleted(ittybit.AnyTaskKind, func(_ context.Context, e *ittybit.Event) error {
		fmt.Println("handled:", e.Task.Kind)
		return nil
	})
	once := ittybit.Deduplicate(ittybit.NewMemoryDeduplicator(1000, time.Hour), events)

	endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadGateway) // the proxy in front of it is all that is up
	}))
	defer endpoint.Close()
	_, err = client.Tasks.Create(ctx, ittybit.TaskCreateParams{
		Kind: ittybit.TaskKindNSFW, URL: "https://example.com/cat.jpg", WebhookURL: endpoint.URL,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	lost, err := local.WaitForDelivery(ctx, func(d ittybittest.Delivery) bool { return d.Final })
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("delivered:", lost.Delivered(), "after", lost.Attempt, "attempts")

	// Now and then, such as every ten minutes:
	var checkpoint ittybit.ReconcileCheckpoint // as it was stored
	for range 2 {
		report, err := ittybit.Reconcile(ctx, client, once, ittybit.ReconcileParams{Checkpoint: checkpoint})
		if err != nil {
			fmt.Println(err)
			return
		}
		checkpoint = report.Checkpoint // to be stored
		fmt.Println("found:", report.Handled)
	}
	// Output:
	// delivered: false after 2 attempts
	// handled: nsfw
	// found: 1
	// found: 0
}
