package ittybit_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/ittybit/ittybit-go"
	"github.com/ittybit/ittybit-go/ittybittest"
)

func ExampleNewClient() {
	client, err := ittybit.NewClient("your-api-key", // os.Getenv("ITTYBIT_API_KEY"), mostly
		ittybit.WithUserAgent("your-app/1.2"),
		ittybit.WithLogger(slog.New(slog.NewTextHandler(os.Stderr, nil))),
		ittybit.WithHTTPClient(&http.Client{Timeout: 30 * time.Second}), // of each attempt
		ittybit.WithRetryPolicy(ittybit.RetryPolicy{MaxAttempts: 6, MaxWait: time.Minute}),
	)
	if err != nil {
		panic(err)
	}
	fmt.Println(client) // never the key

	_, err = ittybit.NewClient("")
	fmt.Println(err)
	// Output:
	// ittybit.Client(https://api.ittybit.com)
	// ittybit: apiKey is empty (set ITTYBIT_API_KEY)
}

// What Ittybit refuses is an APIError; errors.Is tells the reasons apart.
func ExampleAPIError() {
	local := ittybittest.NewServer()
	defer local.Close()
	client, err := local.Client()
	if err != nil {
		panic(err)
	}

	_, err = client.Tasks.Get(context.Background(), "task_of_yesterday")
	var answer *ittybit.APIError
	switch {
	case errors.Is(err, ittybit.ErrNotFound):
		fmt.Println("there is no such task")
	case errors.Is(err, ittybit.ErrRateLimited) && errors.As(err, &answer):
		fmt.Println("come again in", answer.RetryAfter)
	case errors.As(err, &answer):
		fmt.Println(answer.StatusCode, answer.Message)
	}
	// Output: there is no such task
}

// What can't be meant is refused before anything is sent.
func ExampleParamError() {
	client, err := ittybit.NewClient("your-api-key")
	if err != nil {
		panic(err)
	}
	_, err = client.Tasks.Create(context.Background(), ittybit.TaskCreateParams{
		Kind:       ittybit.TaskKindNSFW,
		URL:        "https://example.com/cat.jpg",
		WebhookURL: "http://your-app.com/nsfw-webhook", // Ittybit rejects plain http
	})
	var wrong *ittybit.ParamError
	if errors.As(err, &wrong) {
		fmt.Println(wrong.Param)
	}
	// Output: WebhookURL
}

// A call whose outcome is unknown may be repeated with the same key.
func ExampleWithIdempotencyKey() {
	local := ittybittest.NewServer()
	defer local.Close()
	local.FailRequests(1, ittybittest.RequestFault{Drop: ittybittest.DropAfter}) // it acts, and the answer is lost
	client, err := local.Client()
	if err != nil {
		panic(err)
	}
	ctx := context.Background()
	params := ittybit.TaskCreateParams{Kind: ittybit.TaskKindVideo, URL: "https://example.com/talk.mov"}

	_, err = client.Tasks.Create(ctx, params, ittybit.WithIdempotencyKey("order-42"))
	fmt.Println("unknown:", errors.Is(err, ittybit.ErrOutcomeUnknown))
	if _, err = client.Tasks.Create(ctx, params, ittybit.WithIdempotencyKey("order-42")); err != nil {
		panic(err)
	}
	page, err := client.Tasks.List(ctx, ittybit.TaskListParams{})
	if err != nil {
		panic(err)
	}
	fmt.Println(len(page.Items), "task") // Ittybit documents such keys for a later version of its API only
	// Output:
	// unknown: true
	// 1 task
}

func ExampleWithResponseInfo() {
	local := ittybittest.NewServer()
	defer local.Close()
	local.FailRequests(1, ittybittest.RequestFault{Status: http.StatusServiceUnavailable, Header: http.Header{"Retry-After": {"0"}}})
	client, err := local.Client()
	if err != nil {
		panic(err)
	}

	var info ittybit.ResponseInfo
	if _, err := client.Media.List(context.Background(), ittybit.MediaListParams{}, ittybit.WithResponseInfo(&info)); err != nil {
		panic(err)
	}
	fmt.Println(info.StatusCode, "after", info.Attempts, "attempts")
	// Output: 200 after 2 attempts
}

func ExamplePage_Next() {
	local := ittybittest.NewServer()
	defer local.Close()
	client, err := local.Client()
	if err != nil {
		panic(err)
	}
	ctx := context.Background()
	for range 5 {
		if _, err := client.Media.Create(ctx, ittybit.MediaCreateParams{}); err != nil {
			panic(err)
		}
	}

	page, err := client.Media.List(ctx, ittybit.MediaListParams{Limit: 2})
	for ; err == nil; page, err = page.Next(ctx) {
		fmt.Println(len(page.Items))
	}
	if !errors.Is(err, ittybit.ErrNoMorePages) {
		panic(err)
	}
	// Output:
	// 2
	// 2
	// 1
}
