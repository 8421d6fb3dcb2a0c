package ittybit_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
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
	response := httptest.NewRecorder()
	mux.ServeHTTP(response, delivery)
	fmt.Println(response.Code)
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
	response := httptest.NewRecorder()
	webhook.ServeHTTP(response, ittybittest.NewWebhookRequest("your Ittybit API key", `{"id":"task_1","object":"task","status":"completed"}`))
	fmt.Println(response.Code, response.Header().Get("Retry-After"))
	// Output: 503 30
}

func ExampleDiscard() {
	webhook, err := ittybit.NewWebhookHandler("your Ittybit API key", ittybit.EventHandlerFunc(func(context.Context, *ittybit.Event) error {
		return ittybit.Discard(errors.New("a task of a customer who has left")) // it would never succeed
	}))
	if err != nil {
		panic(err)
	}
	response := httptest.NewRecorder()
	webhook.ServeHTTP(response, ittybittest.NewWebhookRequest("your Ittybit API key", `{"id":"task_1","object":"task","status":"completed"}`))
	fmt.Println(response.Code)
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

func ExampleSignWebhook() {
	body := []byte(`{"id":"task_123abc"}`)
	header := ittybit.SignWebhook("your Ittybit API key", time.Unix(1736512520, 0), body)
	timestamp, _, _ := strings.Cut(header, ",")
	fmt.Println(ittybit.SignatureHeader, timestamp)
	// Output: Ittybit-Signature t=1736512520
}

// In a framework that does not speak net/http: give Verify the raw body and the header.
func ExampleWebhookVerifier_Verify() {
	verifier, err := ittybit.NewWebhookVerifier("your Ittybit API key")
	if err != nil {
		panic(err)
	}
	body := []byte(`{"id":"task_123abc","object":"task","status":"completed"}`)
	for _, header := range []string{
		ittybit.SignWebhook("your Ittybit API key", time.Now(), body),
		ittybit.SignWebhook("your Ittybit API key", time.Now().Add(-time.Hour), body),
		ittybit.SignWebhook("another Ittybit key", time.Now(), body),
		"",
	} {
		switch err := verifier.Verify(body, header); {
		case err == nil:
			fmt.Println("genuine")
		case errors.Is(err, ittybit.ErrSignatureExpired):
			fmt.Println("genuine, but too old")
		case errors.Is(err, ittybit.ErrSignatureMismatch):
			fmt.Println("of another key, or changed on its way")
		default:
			fmt.Println(err)
		}
	}
	// Output:
	// genuine
	// genuine, but too old
	// of another key, or changed on its way
	// ittybit: webhook signature is missing
}

func ExampleWebhookVerifier_Middleware() {
	verifier, err := ittybit.NewWebhookVerifier("your Ittybit API key")
	if err != nil {
		panic(err)
	}
	events := ittybit.NewEventMux()
	events.OnUnhandled(func(_ context.Context, e *ittybit.Event) error {
		fmt.Println("verified:", e.Type)
		return nil
	})
	yours := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, "unreadable", http.StatusBadRequest)
			return
		}
		event, err := ittybit.ParseEvent(body)
		if err != nil {
			http.Error(w, "no event", http.StatusBadRequest)
			return
		}
		if err := events.HandleEvent(r.Context(), event); err != nil {
			http.Error(w, "again, please", http.StatusServiceUnavailable)
			return
		}
		w.WriteHeader(http.StatusOK)
	})
	handler := verifier.Middleware(yours)

	forged := httptest.NewRecorder()
	handler.ServeHTTP(forged, ittybittest.NewWebhookRequest("another Ittybit key", `{}`))
	genuine := httptest.NewRecorder()
	handler.ServeHTTP(genuine, ittybittest.NewWebhookRequest("your Ittybit API key", `{}`))
	fmt.Println(forged.Code, genuine.Code)
	// Output:
	// verified: unknown
	// 401 200
}

func ExampleWebhookVerifier_Explain() {
	verifier, err := ittybit.NewWebhookVerifier("your Ittybit API key", ittybit.WithClock(func() time.Time { return time.Unix(1736512522, 0) }))
	if err != nil {
		panic(err)
	}
	body := []byte(`{"id":"task_123abc"}`)
	header := ittybit.SignWebhook("your Ittybit API key", time.Unix(1736512520, 0), body)
	fmt.Print(verifier.Explain(body, header))
	// Output:
	// Verify accepts this delivery.
	// Body: 20 bytes. Header: 80 bytes.
	// The timestamp is in seconds: 2025-01-10T12:35:20Z, 2s before now; allowed are 5m0s in either direction.
	// Matches: HMAC-SHA256 over t.body, in hex, with secret 1 as given.
}

// While the API key is being rotated, both keys are good.
func ExampleWithSecrets() {
	verifier, err := ittybit.NewWebhookVerifier("the new Ittybit key", ittybit.WithSecrets("the old Ittybit key"))
	if err != nil {
		panic(err)
	}
	body := []byte(`{"id":"task_123abc"}`)
	for _, key := range []string{"the new Ittybit key", "the old Ittybit key", "key of somebody else"} {
		err := verifier.Verify(body, ittybit.SignWebhook(key, time.Now(), body))
		fmt.Println(key+":", err == nil)
	}
	// Output:
	// the new Ittybit key: true
	// the old Ittybit key: true
	// key of somebody else: false
}

// Where repeats do no harm, signatures may be older.
func ExampleWithTolerance() {
	verifier, err := ittybit.NewWebhookVerifier("your Ittybit API key", ittybit.WithTolerance(72*time.Hour))
	if err != nil {
		panic(err)
	}
	body := []byte(`{"id":"task_123abc"}`)
	header := ittybit.SignWebhook("your Ittybit API key", time.Now().Add(-time.Hour), body)
	fmt.Println(verifier.Verify(body, header))
	// Output: <nil>
}

// Another reading of what is signed, should Ittybit publish one: here the body alone.
func ExampleWithSignedContent() {
	verifier, err := ittybit.NewWebhookVerifier("your Ittybit API key", ittybit.WithSignedContent(func(mac hash.Hash, _ string, body []byte) {
		_, _ = mac.Write(body) // a hash takes everything
	}))
	if err != nil {
		panic(err)
	}
	body := []byte(`{"id":"task_123abc"}`)
	mac := hmac.New(sha256.New, []byte("your Ittybit API key"))
	_, _ = mac.Write(body)
	header := fmt.Sprintf("t=%d,v1=%x", time.Now().Unix(), mac.Sum(nil))
	fmt.Println(verifier.Verify(body, header))
	// Output: <nil>
}

// The bare signature of a guide of 2026: it has no timestamp, and so no protection from replays.
func ExampleWithUntimestampedSignatures() {
	verifier, err := ittybit.NewWebhookVerifier("your webhook secret", ittybit.WithUntimestampedSignatures())
	if err != nil {
		panic(err)
	}
	body := []byte(`{"id":"task_123abc"}`)
	mac := hmac.New(sha256.New, []byte("your webhook secret"))
	_, _ = mac.Write(body)
	fmt.Println(verifier.Verify(body, hex.EncodeToString(mac.Sum(nil))))
	// Output: <nil>
}
