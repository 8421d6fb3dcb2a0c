package ittybittest_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/ittybit/ittybit-go/ittybittest"
)

// A handler can be tested with one signed request.
func ExampleNewWebhookRequest() {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Println(r.Method, r.URL.Path, string(body))
	})
	task := map[string]any{"id": "task_123abc", "object": "task", "status": "completed"}
	handler.ServeHTTP(httptest.NewRecorder(), ittybittest.NewWebhookRequest("api-key", task))
	// Output: POST /ittybit-webhook {"id":"task_123abc","object":"task","status":"completed"}
}

// Any HTTP client can create a task; its webhook arrives at a loopback address.
func ExampleServer() {
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		fmt.Println("webhook:", r.URL.Path, r.Header.Get("Ittybit-Signature") != "")
	}))
	defer receiver.Close()
	srv := ittybittest.NewServer()
	defer srv.Close()
	srv.SetResults("nsfw", map[string]any{"is_nsfw": true, "confidence": 0.97})

	body := `{"kind":"nsfw","url":"https://example.com/a.png","webhook_url":"` + receiver.URL + `/nsfw-webhook"}`
	req, _ := http.NewRequest(http.MethodPost, srv.URL+"/tasks", strings.NewReader(body))
	req.Header.Set("Authorization", "Bearer "+srv.APIKey)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	fmt.Println(resp.Status)

	delivery, err := srv.WaitForDelivery(context.Background(), ittybittest.Delivery.Delivered)
	fmt.Println(delivery.Attempt, delivery.StatusCode, err)
	// Unordered output:
	// 201 Created
	// webhook: /nsfw-webhook true
	// 1 200 <nil>
}
