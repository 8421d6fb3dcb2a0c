// Local starts a local Ittybit and keeps it running until Ctrl-C, for curl, for other SDKs
// and for developing without an account.
//
//	go run ./examples/local
//
// It prints its address, its key, and a few calls to begin with. Webhooks go to addresses of
// this machine only.
package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/ittybit/ittybit-go/ittybittest"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	run(ctx, os.Stdout, slog.New(slog.NewTextHandler(os.Stderr, nil)))
}

func run(ctx context.Context, out io.Writer, logger *slog.Logger) {
	server := ittybittest.NewServer(ittybittest.WithLogger(logger))
	defer server.Close()
	_, _ = fmt.Fprintf(out, `A local Ittybit, until Ctrl-C.

  export ITTYBIT_URL=%s ITTYBIT_API_KEY=%s

  curl -H "Authorization: Bearer $ITTYBIT_API_KEY" $ITTYBIT_URL/tasks
  curl -H "Authorization: Bearer $ITTYBIT_API_KEY" -H "Content-Type: application/json" $ITTYBIT_URL/tasks \
    -d '{"kind":"nsfw","url":"https://example.com/cat.jpg","webhook_url":"http://127.0.0.1:8080/ittybit-webhook"}'

In Go: ittybit.NewClient(os.Getenv("ITTYBIT_API_KEY"), ittybit.WithBaseURL(os.Getenv("ITTYBIT_URL")))
`, server.URL, server.APIKey)
	<-ctx.Done()
}
