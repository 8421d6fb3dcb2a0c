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
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/ittybittest"
)

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
