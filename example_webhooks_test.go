package ittybit_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"time"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/ittybittest"
)

func ExampleNewWebhookHandler() {
	events := ittybit.NewEventMux()
	events.OnTaskCompleted(ittybit.TaskKindNSFW, func(_ context.Context, e *ittybit.Event) error {
		nsfw, err := e.Task.NSFW()
		if err != nil {
			return err
		}
		fmt.Println(e.Task.ID, nsfw.IsNSFW)
		return nil
	})
	webhook, err := ittybit.NewWebhookHandler("your Ittybit API key", events)
	if err != nil {
		panic(err)
	}
	mux := http.NewServeMux()
	mux.Handle("POST /ittybit-webhook", webhook)

	// What Ittybit would send.
	delivery := ittybittest.NewWebhookRequest("your Ittybit API key",
		`{"id":"task_123abc","object":"task","kind":"nsfw","status":"completed","results":{"is_nsfw":true,"confidence":0.97}}`)
	answer := httptest.NewRecorder()
	mux.ServeHTTP(answer, delivery)
	fmt.Println(answer.Code)
	// Output:
	// task_123abc true
	// 200
}

func ExampleRetryLater() {
	handler := ittybit.EventHandlerFunc(func(context.Context, *ittybit.Event) error {
		return ittybit.RetryLater(30*time.Second, errors.New("the database is being migrated"))
	})
	webhook, err := ittybit.NewWebhookHandler("your Ittybit API key", handler)
	if err != nil {
		panic(err)
	}
	answer := httptest.NewRecorder()
	webhook.ServeHTTP(answer, ittybittest.NewWebhookRequest("your Ittybit API key", `{"id":"task_1","object":"task","status":"completed"}`))
	fmt.Println(answer.Code, answer.Header().Get("Retry-After"))
	// Output: 503 30
}

func ExampleDiscard() {
	webhook, err := ittybit.NewWebhookHandler("your Ittybit API key", ittybit.EventHandlerFunc(func(context.Context, *ittybit.Event) error {
		return ittybit.Discard(errors.New("a task of a customer who has left")) // it would never succeed
	}))
	if err != nil {
		panic(err)
	}
	answer := httptest.NewRecorder()
	webhook.ServeHTTP(answer, ittybittest.NewWebhookRequest("your Ittybit API key", `{"id":"task_1","object":"task","status":"completed"}`))
	fmt.Println(answer.Code)
	// Output: 200
}

// An observer sees what became of each delivery, for metrics.
func ExampleWithObserver() {
	counts := make(map[ittybit.Outcome]int) // a counter of your metrics library, mostly, for deliveries come concurrently
	nothing := ittybit.EventHandlerFunc(func(context.Context, *ittybit.Event) error { return nil })
	webhook, err := ittybit.NewWebhookHandler("your Ittybit API key", nothing, ittybit.WithObserver(func(_ context.Context, d ittybit.Delivery) {
		counts[d.Outcome]++
	}))
	if err != nil {
		panic(err)
	}
	for _, key := range []string{"your Ittybit API key", "another Ittybit key", "your Ittybit API key"} {
		webhook.ServeHTTP(httptest.NewRecorder(), ittybittest.NewWebhookRequest(key, `{"id":"task_1","object":"task","status":"completed"}`))
	}
	fmt.Println(counts[ittybit.OutcomeHandled], counts[ittybit.OutcomeSignatureMismatch])
	// Output: 2 1
}

// One line a delivery; with a logger at Debug level its payload too. Never a key or a signature.
func ExampleWithLogger() {
	logger := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey || a.Key == "duration" {
				return slog.Attr{} // they differ from run to run
			}
			return a
		},
	}))
	webhook, err := ittybit.NewWebhookHandler("your Ittybit API key", ittybit.NewEventMux(), ittybit.WithLogger(logger))
	if err != nil {
		panic(err)
	}
	webhook.ServeHTTP(httptest.NewRecorder(), ittybittest.NewWebhookRequest("your Ittybit API key", `{"id":"task_1","object":"task","kind":"nsfw","status":"completed"}`))
	// Output: level=INFO msg="ittybit: webhook" outcome=ignored status=200 body_bytes=66 event=task.completed key=task:task_1:completed
}
